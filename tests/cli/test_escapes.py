"""Text from services and files never reaches a terminal as an order."""

import csv
import io
import json
import os
import pty
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import openallen as oa
from openallen.cli.query_command import _csv
from openallen.errors import CorruptError
from openallen.formats.objects import FolderObjects
from openallen.formats.zarrs import Hierarchy
from openallen.harmless import harmless, harmless_json
from openallen.plans import Plan

EVIL = "a\x1b]0;owned\x07b\x9b31mc\u202egnp.exe\u2066d\x08\re\u2028f\U000e0041g"
ACTS = [c for c in EVIL if not c.isprintable()]


TURNS = [*map(chr, [*range(10), *range(11, 32), *range(127, 160)]), *"\u200e\u202e\u2066\u2028"]


def acting(text):
    return [c for c in text if c in ACTS]


@given(st.text())
def test_json_means_the_same_and_has_nothing_that_acts(text):
    written = harmless_json(json.dumps({text: [text]}, ensure_ascii=False, indent=1))
    assert json.loads(written) == {text: [text]}
    assert not any(c in written for c in TURNS)
    assert all(c >= " " or c == "\n" for c in written)


@given(st.text())
def test_text_is_shown_without_what_acts(text):
    shown = harmless(text)
    assert not any(c in shown for c in TURNS)
    assert harmless(shown) == shown


def test_errors_plans_and_cards_spell_it_out(tmp_path):
    error = CorruptError(EVIL, address=EVIL, why=EVIL, hint=EVIL)
    assert not acting(str(error))
    assert error.why == EVIL  # what a program reads is as it was
    plan = Plan(address=EVIL, title=EVIL, source=EVIL, to=tmp_path, files=(), notes=(EVIL,))
    assert not acting(str(plan) + repr(plan))
    (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
    (tmp_path / ".zattrs").write_text(json.dumps({EVIL: EVIL}))
    assert not acting(repr(Hierarchy(FolderObjects(tmp_path))))
    rows = oa.Rows([{"id": EVIL, EVIL: EVIL}]) if hasattr(oa, "Rows") else EVIL[:1]
    assert not acting(repr(rows))


@pytest.fixture
def service(loopback):
    """A service whose rows, names of columns and errors hold orders to terminals."""

    def answer(asked, reply):
        if "Broken" in asked.target:
            told = {"success": False, "msg": EVIL}
        else:
            row = {"id": 1, "name": EVIL, f"column{EVIL}": 2}
            told = {"success": True, "start_row": 0, "num_rows": 1, "total_rows": 1, "msg": [row]}
        reply.send(json.dumps(told).encode(), headers={"Content-Type": "application/json"})

    return loopback({"/api/v2/data/query.json": answer}).url


def on_terminal(*words):
    """Run a command with a terminal for all its streams; return what it wrote there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "openallen", *words], stdin=theirs, stdout=theirs, stderr=theirs,
        env=os.environ | {"TERM": "dumb", "COLUMNS": "200"},
    )  # fmt: skip
    os.close(theirs)
    written = b""
    try:
        while piece := os.read(ours, 4096):
            written += piece
    except OSError:  # the other side is closed
        pass
    process.wait(60)
    os.close(ours)
    return written.decode("utf-8")


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    "words",
    [
        ("query", "Specimen"), ("query", "Specimen", "--json"), ("query", "Broken"),
        ("query", "Broken", "--json"), ("query", "Specimen", "--format", "csv"),
        ("query", "Broken", "--debug"), ("list", "rma:Specimen"),
    ],
)  # fmt: skip
def test_a_terminal_gets_no_orders(service, words):
    written = on_terminal(*words, "--source", service)
    plain = written.replace("\r\n", "\n")
    assert "owned" in plain, plain  # the text is there
    assert not [c for c in acting(plain) if c != "\x1b"], plain
    assert "\x1b]0;" not in plain
    assert "gnp.exe" in plain


# --- formulas -------------------------------------------------------------------------------------

CELLS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", " =1", "\t=1", "\uff1d1"]


@pytest.mark.parametrize("text", CELLS)
def test_formulas_are_disarmed_where_asked(text):
    rows = [{"id": -5, "x": text, "n": "-2.5e-3", f"{text}!": None}]
    plain = next(csv.DictReader(io.StringIO(_csv(rows).decode(), newline="")))
    assert plain["x"] == text
    made = _csv(rows, formulas=False).decode()
    safe = next(csv.DictReader(io.StringIO(made, newline="")))
    assert safe["x"] == f"'{text}"
    assert f"'{text}!" in safe
    assert (safe["id"], safe["n"]) == ("-5", "-2.5e-3")  # numbers stay numbers
