"""Strict validation with the real aind-data-schema, in an environment of its own."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from openallen.errors import MissingExtraError, OpenAllenError, UsageError
from openallen.sources.assets import Record, validate

PYTHON = os.environ.get("OPENALLEN_TEST_AIND_SCHEMA", "")
needs_schema = pytest.mark.skipif(
    not PYTHON, reason="OPENALLEN_TEST_AIND_SCHEMA names no python with aind-data-schema"
)


def records(data: Path) -> list[dict]:
    text = gzip.decompress((data / "assets" / "records.jsonl.gz").read_bytes()).decode()
    return [json.loads(line) for line in text.splitlines()]


@needs_schema
def test_real_records_of_the_second_schema_are_valid_and_old_ones_are_not(data):
    told: dict[str, list[bool]] = {"0": [], "1": [], "2": []}
    for record in records(data):
        subject = record.get("subject")
        major = str((subject or {}).get("schema_version") or "?").partition(".")[0]
        if len(told.get(major, [0] * 5)) >= 5:
            continue
        (one,) = validate({"subject": subject}, python=PYTHON)
        assert one.version == subject["schema_version"]
        assert one.shipped
        assert bool(one.errors) is not one.valid
        told[major].append(bool(one.valid))
    assert told == {"0": [False] * 5, "1": [False] * 5, "2": [True] * 5}


@needs_schema
def test_what_is_wrong_is_named(data):
    record = next(
        r
        for r in records(data)
        if str(r["data_description"].get("schema_version")).startswith("2.")
    )
    good = dict(record["data_description"])
    good["modalities"] = "SPIM"
    good.pop("institution")
    found = {
        v.core_file: v
        for v in validate(
            Record({"data_description": good, "session": {"schema_version": "1.0.0"}}),
            python=PYTHON,
        )
    }
    wrong = found["data_description"]
    assert wrong.valid is False
    assert any(line.startswith("institution:") for line in wrong.errors)
    assert any(line.startswith("modalities") for line in wrong.errors)
    assert "not valid" in str(wrong)
    assert (found["session"].valid, found["session"].shipped) == (None, None)
    assert "no schema" in str(found["session"])


def test_where_it_is_not_installed():
    with pytest.raises(MissingExtraError, match="pip install aind-data-schema"):
        validate({"subject": {}}, python=sys.executable)


def test_what_is_no_python(tmp_path):
    with pytest.raises(UsageError, match="not a Python"):
        validate({"subject": {}}, python=str(tmp_path / "none"))
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho oops >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(OpenAllenError, match="oops"):
        validate({"subject": {}}, python=str(broken))


def test_the_command_line_says_how_to_get_it():
    done = subprocess.run(
        [sys.executable, "-m", "openallen", "show", "stack:1", "--validate"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--validate is for asset: addresses only" in done.stderr
