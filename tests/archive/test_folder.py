"""``--source DIR``: a folder that is an archive stands for every service, from this process."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from archives import keep

import openallen as oa
from openallen import maintenance
from openallen.archive import SAMPLE
from openallen.archive.embedded import folder_url
from openallen.archive.holdings import Holdings
from openallen.cli.app import run as run_command
from openallen.errors import CorruptError, NotFoundError, UsageError
from openallen.settings import Settings, service_name

PLANE = "image:321549654?downsample=6"


@pytest.fixture(scope="module")
def mirror(tmp_path_factory) -> Path:
    """An archive of two rows, one kept picture and a bucket."""
    root = tmp_path_factory.mktemp("carried") / "mirror"
    (root / "tables").mkdir(parents=True)
    rows = [{"id": n, "acronym": f"VIS{n}", "graph_id": 1} for n in (1, 2)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "tables" / "structures.jsonl").write_text(text)
    (root / "buckets" / "allen-brain-observatory").mkdir(parents=True)
    keep(root, "/api/v2/data/Gene/query.json", b"{}")
    return root


@pytest.fixture
def run(monkeypatch):
    """Run the command line in this process; return its exit code, and what it printed."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["openallen", *words])
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run_command(list(words))
        return code, out.getvalue(), err.getvalue()

    return call


def names(source: str | None = None) -> list[str]:
    return [row["acronym"] for row in oa.query("Structure", source=source).rows()]


def test_a_folder_answers_however_it_is_named(mirror, monkeypatch, run):
    monkeypatch.setenv("HOME", str(mirror.parent))
    monkeypatch.chdir(mirror.parent)
    spelled = [str(mirror), "mirror", "./mirror", "mirror/", "~/mirror"]
    for source in spelled:
        assert names(source) == ["VIS1", "VIS2"], source
        assert service_name(source) == str(mirror), source
    monkeypatch.setenv("OPENALLEN_SOURCE", "~/mirror")
    assert names() == ["VIS1", "VIS2"]
    code, out, err = run("query", "Structure", "--offline", "--ids")
    assert (code, out.split()) == (0, ["1", "2"]), err


def test_a_users_settings_file_may_name_it_a_project_file_may_not(mirror, tmp_path, monkeypatch):
    config = tmp_path / "config" / "openallen" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'source = "{mirror}"\noffline = true\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert names() == ["VIS1", "VIS2"]
    monkeypatch.chdir(tmp_path)
    Path("openallen.toml").write_text(f'source = "{mirror}"\n')
    with pytest.raises(UsageError, match="'source' cannot be set in project file"):
        names()


@pytest.mark.parametrize(
    "case",
    [
        ("./no-such-folder", NotFoundError, "./no-such-folder: no such folder"),
        ("~/no-such-folder", NotFoundError, "~/no-such-folder: no such folder"),
        ("/no/such/folder", NotFoundError, "/no/such/folder: no such folder"),
        ("~no-such-user/x", UsageError, "unknown source '~no-such-user/x'"),
        ("empty", NotFoundError, "empty: not an archive"),
        ("file.txt", NotFoundError, "file.txt: not an archive"),
        ("broken", CorruptError, "broken/answers.jsonl"),
        ("smaple", UsageError, "unknown source 'smaple'"),
        ("", UsageError, "unknown source ''"),
        ("ftp://x", NotFoundError, "no such folder"),
    ],
)
def test_what_is_no_archive_is_said_by_name(tmp_path, monkeypatch, run, case):
    source, kind, said = case
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("broken").mkdir()
    Path("broken/answers.jsonl").write_text("no line\n")
    Path("file.txt").write_text("x")
    with pytest.raises(kind) as caught:
        oa.query("Structure", source=source).count()
    assert said in str(caught.value)
    assert caught.value.hint or kind is CorruptError
    code, _, err = run("list", "release:visual-coding-2p", "--source", source)
    assert code
    assert said in err


def test_hints_print_it_as_it_was_typed(mirror, monkeypatch, run):
    monkeypatch.chdir(mirror.parent)
    _, _, err = run("show", "stack:7", "--source", "./mirror")
    assert "--source ./mirror" in err
    assert str(mirror) not in err


def test_buckets_are_those_of_the_folder(mirror, monkeypatch, run):
    monkeypatch.chdir(mirror.parent)
    code, _, err = run("list", "release:visual-behavior-ophys", "--source", "mirror")
    assert code
    assert "the archive mirror has no bucket visual-behavior-ophys-data" in err


def test_fetched_things_remember_the_folder_and_are_fetched_again(tmp_path, monkeypatch):
    monkeypatch.chdir(SAMPLE.parent)
    to = tmp_path / "cell"
    # The source is a folder that happens to hold what the embedded sample does.
    stack = oa.fetch("stack:313862022", to=to, source="./sample", downsample=6, planes=":2")
    manifest = json.loads((to / "manifest.json").read_text())
    assert manifest["source"] == str(SAMPLE)
    plane = next(p for p in sorted(to.rglob("*.jpg")) if "plane" in str(p))
    plane.unlink()
    monkeypatch.chdir(tmp_path)
    bad = [one for one in maintenance.verify([str(to)]) if one[1].status != "intact"]
    assert len(bad) == 1
    assert maintenance.repair(bad) == []
    assert plane.exists()
    assert stack.manifest.source == str(SAMPLE)


def test_a_release_is_fetched_and_opened_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    monkeypatch.setenv("OPENALLEN_SOURCE", str(SAMPLE))
    where = "release:visual-coding-2p/ophys_experiment_data/900000001.nwb"
    assert Path(oa.fetch(where, to=tmp_path / "cache")).exists()
    assert Settings.load().is_folder


def test_a_folder_is_served_once_and_anew_when_its_tables_change(mirror, tmp_path):
    first = folder_url(mirror)
    linked = tmp_path / "linked"
    linked.symlink_to(mirror)
    assert folder_url(linked) == first
    text = (mirror / "tables" / "structures.jsonl").read_text()
    (mirror / "tables" / "structures.jsonl").write_text(text + '{"id": 3, "acronym": "VIS3"}\n')
    try:
        assert names(str(mirror)) == ["VIS1", "VIS2", "VIS3"]
    finally:
        (mirror / "tables" / "structures.jsonl").write_text(text)
        os.utime(mirror / "tables" / "structures.jsonl")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("archive.json", f'{{"name": {"1" * 5000}}}', "archive.json cannot be read"),
        ("archive.json", '{"simulated_files": 5}', "'simulated_files' in archive.json is not"),
        ("archive.json", '{"simulated": 5}', "'simulated' in archive.json is not a list"),
        ("archive.json", '{"files": []}', "'files' in archive.json is not an object"),
        ("tables/genes.json", "5", "a table cannot be read (it has no rows)"),
        ("tables/genes.json", "null", "a table cannot be read (it has no rows)"),
    ],
)
def test_a_part_of_another_kind_is_named(tmp_path, name, text, said):
    (tmp_path / "tables").mkdir()
    (tmp_path / name).write_text(text)
    with pytest.raises(CorruptError) as caught:
        Holdings(tmp_path)
    assert said in str(caught.value)
    assert name in caught.value.address


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_description_that_is_no_plain_file_is_not_waited_for(tmp_path, make):
    make(tmp_path / "archive.json")
    with pytest.raises(CorruptError, match=r"archive\.json is not a plain file"):
        Holdings(tmp_path)


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85"])
def test_lines_of_a_table_end_with_a_line_feed_only(tmp_path, mark):
    (tmp_path / "tables").mkdir()
    name = f"one{mark}two"
    row = json.dumps({"id": 1, "name": name}, ensure_ascii=False)
    (tmp_path / "tables" / "genes.jsonl").write_bytes(f"{row}\r\n{row}\n".encode())
    assert [r["name"] for r in Holdings(tmp_path).rows("genes", "id", 1)] == [name, name]
