"""Releases from the command line: real processes, real output, exit codes."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

NAME = "release:visual-behavior-ophys"


def openallen(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "openallen", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_projects_versions_tables_files(release):
    projects = rows(openallen("list", "release:", "--json"))
    assert [p["address"] for p in projects][:3] == [
        "release:visual-behavior-ophys", "release:visual-behavior-neuropixels", "release:abc-atlas",
    ]  # fmt: skip
    versions = rows(openallen("list", NAME, "--json"))
    assert [(v["version"], v["newest"]) for v in versions] == [
        ("1.0.0", True), ("0.2.0", False), ("0.1.0", False),
    ]  # fmt: skip
    found = rows(
        openallen(
            "list",
            f"{NAME}/ophys_experiment_table",
            "targeted_structure=VISp",
            "imaging_depth<200",
            "--json",
        )
    )
    assert found
    assert all(r["targeted_structure"] == "VISp" and r["imaging_depth"] < 200 for r in found)
    files = rows(openallen("list", f"{NAME}@0.2.0/files", "kind=table", "--json"))
    assert len(files) == 4
    assert all("versionId=" in str(f["url"]) and f["size_bytes"] for f in files)


def test_a_table_for_people_shows_what_was_asked_for(release):
    done = openallen("list", f"{NAME}/ophys_experiment_table", "imaging_depth<200", "--limit", 2)
    assert done.stdout.split()[:2] == ["ophys_experiment_id", "imaging_depth"]
    assert "of" in done.stderr
    assert "--all" in done.stderr


def test_show_tells_sizes_notes_and_what_is_here(release):
    release.put("visual-behavior-ophys/release_notes.txt", b"1.0.0 mends one file\n")
    done = openallen("show", f"{NAME}@1.0.0", "--json")
    told = json.loads(done.stdout)
    assert told["files"] == 51
    assert told["files_here"] == 0
    assert told["bytes_exact"] is True
    assert told["kinds"]["ophys_experiment"]["files"] == 26
    assert told["release_notes"] == "1.0.0 mends one file\n"
    assert "alleninstitute.org/terms-of-use" in told["terms"]
    assert "1.0.0 mends one file" in openallen("show", f"{NAME}@1.0.0").stdout


def test_fetch_diff_verify_repair_prune(release):
    assert openallen("fetch", f"{NAME}@0.2.0", "--quiet").returncode == 0
    done = openallen("fetch", f"{NAME}@1.0.0", "--json")
    report = json.loads(done.stdout)["reports"][0]
    assert (report["failed"], report["fetched"] + report["here"]) == (0, 51)
    assert report["fetched"] == 2
    told = json.loads(openallen("diff", f"{NAME}@0.2.0", "1.0.0", "--json").stdout)
    assert told["same"] == 48
    assert told["bytes_to_fetch"] == report["bytes_fetched"]
    assert {c["change"] for c in told["changes"]} == {"added", "removed", "changed", "renamed"}
    folder = Path(report["to"]) / "visual-behavior-ophys-1.0.0"
    spoilt = next(folder.rglob("behavior_session_999.nwb"))
    spoilt.write_bytes(b"rot")
    done = openallen("store", "verify", "--json")
    assert done.returncode == 7
    assert [b["status"] for b in json.loads(done.stdout)["bad"]] == ["damaged"]
    assert openallen("store", "repair").returncode == 0
    assert openallen("store", "verify").stdout.startswith("102 intact (")
    assert openallen("store", "prune", f"{NAME}@0.2.0").returncode == 6
    assert openallen("store", "prune", f"{NAME}@0.2.0", "--yes").returncode == 0
    assert openallen("store", "verify").stdout.startswith("51 intact (")
    assert not folder.with_name("visual-behavior-ophys-0.2.0").exists()


def test_repair_keeps_what_it_cannot_replace_and_mends_shared_bytes_once(release, monkeypatch):
    for version in ("0.2.0", "1.0.0"):
        done = openallen("fetch", f"{NAME}@{version}", "--json")
    store = Path(json.loads(done.stdout)["reports"][0]["to"])
    names = sorted(store.rglob("behavior_session_872953842.nwb"))
    assert len(names) == 2
    assert names[0].samefile(names[1])
    names[0].write_bytes(b"rot")
    with monkeypatch.context() as nowhere:
        nowhere.setenv("OPENALLEN_S3_ENDPOINT", "http://127.0.0.1:1")
        nowhere.setenv("OPENALLEN_ATTEMPTS", "1")
        assert openallen("store", "repair").returncode != 0
    assert [p.read_bytes() for p in names] == [b"rot", b"rot"]
    done = openallen("store", "repair", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["repaired"] == 2
    assert names[0].samefile(names[1])
    assert openallen("store", "verify").stdout.startswith("102 intact (")


@pytest.mark.parametrize("where", ["store", "folder"])
def test_verify_later_is_said_and_made_good_by_the_command_it_names(release, tmp_path, where):
    to = ["--to", str(tmp_path / "a folder")] if where == "folder" else []
    done = openallen("fetch", f"{NAME}@1.0.0", "--verify-later", *to)
    (told,) = (line for line in done.stdout.splitlines() if "not verified" in line)
    assert "51 files; openallen verify " in told
    command = shlex.split(told.partition("; ")[2])
    assert openallen(*command[1:]).stdout.startswith("51 intact (")
    assert "not verified" not in openallen("fetch", f"{NAME}@1.0.0", *to).stdout


def test_adopting_in_place_points_the_store_there(release, tmp_path):
    theirs = tmp_path / "cache"
    assert openallen("fetch", f"{NAME}@0.2.0", "--to", theirs, "--quiet").returncode == 0
    done = openallen("store", "adopt", theirs, "--in-place", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["folder"] == str(theirs)
    assert told["how"] == {"in place": 51}
    report = json.loads(openallen("fetch", f"{NAME}@0.2.0", "--json").stdout)["reports"][0]
    assert (report["here"], report["to"]) == (51, str(theirs))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("list", "release:visual-behavior-ofys"), 3, "release:visual-behavior-ophys"),
        (("list", f"{NAME}/no_table"), 3, "no table"),
        (("list", f"{NAME}/ophys_experiment_table", "depth=5"), 2, "no column 'depth'"),
        (("show", f"{NAME}@9.9.9"), 3, "versions: 1.0.0, 0.2.0, 0.1.0"),
        (("show", f"{NAME}@latest"), 2, "not a version"),
        (("diff", NAME, "1.0.0"), 2, "no version given"),
        (("diff", f"{NAME}@1.0.0", "stack:1"), 2, "one project"),
        (("store", "prune", NAME), 2, "no version given"),
        (("store", "adopt", "/nowhere"), 3, "no such folder"),
        (("store", "prune", "stack:1"), 3, "not in the store"),
        (("fetch", f"{NAME}/behavior_session/5"), 3, "no behavior_session '5'"),
    ],
)
def test_mistakes(release, arguments, code, message):
    done = openallen(*arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_show_a_session_by_address_and_by_file(release, tmp_path):
    address = f"{NAME}@1.0.0/ophys_experiment/951980471"
    done = openallen("show", address, "--picture", tmp_path / "p.png", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["kind"] == "ophys_experiment"
    assert told["here"] is False
    assert told["metadata"]["targeted_structure"] == "VISp"
    assert "dff_traces" in told["attributes"]
    assert (tmp_path / "p.png").stat().st_size > 10_000
    path = Path(json.loads(openallen("fetch", address, "--json").stdout)["reports"][0]["to"])
    file = next(path.rglob("*951980471.nwb"))
    done = openallen("show", file)
    assert "imaging depth" in done.stdout
    assert openallen("show", tmp_path / "none.nwb").returncode == 3
    (tmp_path / "no.nwb").write_bytes(b"<html>")
    done = openallen("show", tmp_path / "no.nwb")
    assert done.returncode == 7
    assert "not an HDF5 file" in done.stderr
    assert openallen("show", "stack:313862022", "--picture", "x.png").returncode == 2
    assert openallen("show", file, "--picture", tmp_path / "x.txt").returncode == 2
    (tmp_path / "cut.nwb").write_bytes(file.read_bytes()[:200_000])
    done = openallen("show", tmp_path / "cut.nwb")  # an EOFError, which click takes for Ctrl-C
    assert done.returncode == 7
    assert "truncated HDF5 file" in done.stderr


def test_store_and_offline_of_the_command_line_count_for_lists_and_sessions(release, tmp_path):
    store = tmp_path / "elsewhere"
    table = f"{NAME}@1.0.0/ophys_experiment_table"
    done = openallen("list", table, "--store", store, "--quiet")
    assert done.returncode == 0, done.stderr
    assert list(store.rglob("ophys_experiment_table.csv"))
    session = f"{NAME}@1.0.0/ophys_experiment/951980471"
    assert openallen("show", session, "--store", store).returncode == 0
    assert list((store / "ranges").glob("*.data"))
