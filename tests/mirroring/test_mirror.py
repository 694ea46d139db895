"""Mirrors in folders: served, brought up to date, killed, full disks, damage, hostile names."""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from disks import mounted
from hypothesis import given
from hypothesis import strategies as st

import openallen as oa
from openallen.archive import SAMPLE, Fault, archive_app, serving
from openallen.cli.app import run
from openallen.errors import (
    CorruptError,
    ExitCode,
    NotFoundError,
    RefusedError,
    StoreError,
    UsageError,
)
from openallen.mirroring.folders import alone
from openallen.mirroring.ledger import LEDGER, Entry, Ledger
from openallen.mirroring.places import Places
from openallen.mirroring.wanted import Asked
from openallen.plans import IncompleteError, safe_path

CELL = "cell:313862022"
FILES = {f"900000000{n}" for n in range(1, 5)}
BUCKET = "aind-open-data"
ASSET = "ecephys_625749_2022-08-03_15-15-06"


@dataclass
class Institute:
    """An archive on loopback that stands for the institute, and counts what it is asked."""

    url: str
    root: Path
    asked: Counter[str] = field(default_factory=Counter)

    def count(self, part: str) -> int:
        return sum(n for path, n in self.asked.items() if part in path and "*" not in path)


@contextmanager
def institute(root: Path, *faults: Fault) -> Iterator[Institute]:
    app = archive_app(root, faults=faults)
    found = Institute("", root)

    async def counted(scope, receive, send):
        if scope["type"] == "http":
            found.asked[scope["path"]] += 1
        await app(scope, receive, send)

    with serving(counted) as url:
        found.url = url
        yield found


@pytest.fixture(scope="module")
def sample() -> Iterator[Institute]:
    with institute(SAMPLE) as found:
        yield found


@pytest.fixture
def lab(tmp_path) -> Iterator[Institute]:
    """The sample's cell and a bucket of an asset, in a folder that a test may change."""
    root = tmp_path / "lab"
    shutil.copytree(SAMPLE, root, ignore=shutil.ignore_patterns("buckets"))
    behavior = root / "buckets" / BUCKET / ASSET / "behavior"
    behavior.mkdir(parents=True)
    (behavior / "licks.csv").write_text("t\n1\n")
    (behavior / "rewards.csv").write_text("t\n2\n")
    with institute(root) as found:
        yield found


def files_below(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def verified(root: Path) -> Counter[str]:
    from openallen import maintenance

    return Counter(checked.status for _, checked in maintenance.verify([root]))


# --- what a mirror holds, and what it answers -----------------------------------------------------


def test_a_mirror_that_was_carried_elsewhere_answers_without_the_service(tmp_path):
    with institute(SAMPLE) as down:
        report = oa.mirror(CELL, to=tmp_path / "mirror", source=down.url)
        came = oa.show(CELL, source=down.url).to_dict()
        rows = oa.list("rma:NeuronReconstruction", source=down.url).to_dicts()
        sha256 = {o.digest for o in report.outcomes}
    shutil.copytree(tmp_path / "mirror", tmp_path / "disk")
    shutil.rmtree(tmp_path / "mirror")
    with serving(archive_app(tmp_path / "disk")) as url:
        assert oa.show(CELL, source=url).to_dict()["name"] == came["name"]
        oa.fetch(CELL, to=tmp_path / "cell", source=url)
        # A query that nobody asked when the mirror was made: rows are joined anew.
        assert oa.list("rma:NeuronReconstruction", source=url).to_dicts() == rows
        asked = "model::Specimen,rma::criteria,ephys_result[id$gt0],rma::include,donor"
        assert [r["id"] for r in oa.query(asked, source=url).rows()] == [313862022]
    assert {p.stem for p in (tmp_path / "disk" / "files").iterdir()} == FILES
    assert sha256 == {f"sha256:{e.sha256}" for e in Ledger(tmp_path / "disk").entries.values()}
    assert verified(tmp_path / "disk").keys() == {"intact"}


def test_a_list_is_its_rows_and_with_files_those_of_each(sample, tmp_path):
    oa.mirror("cell:?line=Scnn1a-Tg2-Cre", to=tmp_path / "rows", source=sample.url)
    assert not (tmp_path / "rows" / "files").exists()
    report = oa.mirror(
        "cell:?line=Scnn1a-Tg2-Cre", to=tmp_path / "m", files=True, source=sample.url
    )
    assert len(report.fetched) == 4
    with serving(archive_app(tmp_path / "rows")) as url:
        found = oa.list("cell:", source=url)
        assert {row["line"] for row in found} == {"Scnn1a-Tg2-Cre"}


def test_a_plan_first_writes_nothing(sample, tmp_path, capsys):
    to = tmp_path / "mirror"
    words = ["mirror", CELL, "--to", str(to), "--source", sample.url]
    assert run([*words, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["files_missing"] == 4
    assert plan["rows"] > 10
    assert not to.exists()
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fetched"] == 4


# --- again ----------------------------------------------------------------------------------------


def test_what_has_not_changed_is_not_fetched_again(lab, tmp_path):
    to = tmp_path / "mirror"
    files = f"asset:{ASSET}/behavior/*.csv"
    oa.mirror(CELL, files, to=to, source=lab.url)
    assert lab.count("well_known_file_download") == 4
    assert lab.count(".csv") == 2
    before = files_below(to)
    lab.asked.clear()
    report = oa.mirror(to=to, source=lab.url)
    assert len(report.here) == 6
    assert (lab.count("well_known_file_download"), lab.count(".csv")) == (0, 0)
    assert files_below(to) == before
    # One object changes, which its bucket tells by another tag; the others stay as they are.
    (lab.root / "buckets" / BUCKET / ASSET / "behavior" / "licks.csv").write_text("t\n1\n2\n")
    lab.asked.clear()
    report = oa.mirror(to=to, source=lab.url)
    assert [Path(o.file.path).name for o in report.fetched] == ["licks.csv"]
    assert (lab.count("licks.csv"), lab.count("rewards.csv")) == (1, 0)
    assert (to / "buckets" / BUCKET / ASSET / "behavior" / "licks.csv").read_text() == "t\n1\n2\n"
    assert verified(to).keys() == {"intact"}
    lab.asked.clear()
    oa.mirror(to=to, source=lab.url, refresh=True)
    assert lab.count("well_known_file_download") == 4


def test_old_versions_stay_under_names_of_their_own(release, tmp_path):
    name = "release:visual-behavior-ophys"
    part = "behavior_session_table"
    to = tmp_path / "mirror"
    oa.mirror(f"{name}@0.1.0/{part}", to=to, source="live")
    oa.mirror(f"{name}@1.0.0/{part}", to=to, source="live")
    entries = [e for e in Ledger(to).entries.values() if part in e.name]
    assert len({e.file for e in entries}) == len({e.sha256 for e in entries}) == 2
    lines = (to / "buckets" / f"{release.bucket}.jsonl").read_text().splitlines()
    told = [line for line in map(json.loads, lines) if part in line["key"]]
    assert {line["version_id"] for line in told} == {e.version_id for e in entries}
    versions = {o["VersionId"]: o["IsLatest"] for o in release.s3.list_object_versions(
        Bucket=release.bucket, Prefix=told[0]["key"])["Versions"]}  # fmt: skip
    assert versions[told[-1]["version_id"]]


def test_a_file_that_fails_is_named_and_the_others_are_served(lab, tmp_path, capsys):
    (lab.root / "files" / "9000000003.png").unlink()
    to = tmp_path / "mirror"
    assert run(["mirror", CELL, "--to", str(to), "--source", lab.url]) == ExitCode.INCOMPLETE
    said = "".join(capsys.readouterr())
    assert "file:9000000003 morphology_summary_397905347.png: not found" in said
    assert {p.stem for p in (to / "files").iterdir()} == FILES - {"9000000003"}
    with pytest.raises(IncompleteError):
        oa.mirror(to=to, source=lab.url)
    shutil.copy(SAMPLE / "files" / "9000000003.png", lab.root / "files")
    lab.asked.clear()
    assert [o.file.path for o in oa.mirror(to=to, source=lab.url).fetched] == [
        "files/9000000003.png"
    ]
    assert lab.count("well_known_file_download") == 1


# --- ended early ----------------------------------------------------------------------------------


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "openallen", *words]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_a_run_that_was_ended_early_goes_on(tmp_path, how):
    to = tmp_path / "mirror"
    slow = Fault("delay", 0.15, "imageservice")
    with institute(SAMPLE, slow) as slowly:
        words = command(
            "mirror", "stack:313862022", "--to", str(to), "--downsample", "6", "--planes", ":24",
            "--source", slowly.url, "-q",
        )  # fmt: skip
        ran = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while time.monotonic() < end and ran.poll() is None:
            if (to / LEDGER).exists() and (to / LEDGER).read_text().count("image_download") > 4:
                break
            time.sleep(0.02)
        ran.send_signal(how)
        code = ran.wait(60)
        assert code == (-how if how is signal.SIGKILL else ExitCode.INTERRUPTED)
        held = sum("image_download" in name for name in Ledger(to).entries)
        asked = slowly.count("image_download")
        assert 0 < held < 28
        report = oa.mirror(to=to, source=slowly.url)
        assert report.ok
        again = slowly.count("image_download") - asked
        assert again <= len(report.outcomes) - held
    names = files_below(to)
    assert not [n for n in names if ".part" in n or ".lease" in n or "openallen-work" in n]
    assert verified(to).keys() == {"intact"}


def test_a_full_disk_says_so_and_the_next_run_goes_on(sample, tmp_path):
    words = command("mirror", CELL, "--to", str(tmp_path / "mirror"), "--source", sample.url)

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    ran = subprocess.run(words, capture_output=True, text=True, preexec_fn=little, check=False)
    assert ran.returncode == ExitCode.REFUSED, ran.stderr
    assert "the disk is full" in ran.stderr
    Ledger(tmp_path / "mirror")
    assert oa.mirror(to=tmp_path / "mirror", source=sample.url).ok
    assert verified(tmp_path / "mirror").keys() == {"intact"}


def test_a_disk_that_is_too_small_is_left_as_it_was(sample, tmp_path):
    with mounted(tmp_path / "disk", 120_000) as disk:
        with pytest.raises((RefusedError, StoreError, IncompleteError)):
            oa.mirror(CELL, to=disk / "mirror", source=sample.url)
        assert not [n for n in files_below(disk) if "openallen-work" in n]


# --- what is refused before anything is asked ----------------------------------------------------


@pytest.mark.parametrize(
    ("address", "options", "says"),
    [
        (CELL, {"downsampel": 4}, "downsampel"),
        (CELL, {"downsample": 4}, "downsample"),  # of a stack, not of a cell
        (CELL, {"files": "yes"}, "files and refresh are True or False"),
        (CELL, {"settings": {"store": "x"}}, "settings are a Settings, not dict"),
        (CELL, {"endpoint_url": 5}, "endpoint_url is text, not int"),
        (CELL, {"limit": 0}, "limit is a number of rows from 1"),
    ],
)  # fmt: skip
def test_arguments_that_mean_nothing_are_refused(sample, tmp_path, address, options, says):
    sample.asked.clear()
    given = {"source": sample.url} | options
    with pytest.raises(UsageError, match=says):
        oa.mirror(address, to=tmp_path / "mirror", **given)
    assert not sample.asked
    assert not (tmp_path / "mirror").exists()


def test_options_of_files_that_are_not_taken_are_told(sample, tmp_path, capsys):
    words = ["mirror", "cell:", "--limit", "1", "--include", "morphology", "--source", sample.url]
    assert run([*words, "--to", str(tmp_path / "mirror")]) == 0
    assert "include means nothing without --files" in "".join(capsys.readouterr())
    with pytest.raises(UsageError, match="a mirror is copied whole"):
        oa.mirror(tmp_path / "mirror", to=tmp_path / "copy", downsample=3)
    with pytest.raises(UsageError, match="a mirror is copied whole"):
        oa.mirror(tmp_path / "mirror", to=tmp_path / "copy", files=True)
    with pytest.raises(UsageError, match="downsample without an address"):
        oa.mirror(to=tmp_path / "mirror", source=sample.url, downsample=3)


def test_an_archive_that_is_shown_says_how_it_is_asked(sample, tmp_path, capsys):
    to = tmp_path / "mirror"
    oa.mirror("stack:", to=to, source=sample.url, limit=1)
    assert run(["show", str(to)]) == ExitCode.USAGE
    said = "".join(capsys.readouterr())
    assert "it answers as a service does" in said
    command = said.partition("try: openallen ")[2].strip()
    assert run(shlex.split(command)) == 0
    assert "Mus musculus" in capsys.readouterr().out


# --- places that are refused ----------------------------------------------------------------------


def test_places_that_hold_something_else_are_refused(sample, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for to, why in (
        ("mine", "this folder is no mirror"),
        ("file", "this is a file"),
        ("store/cells/1", "part of the store"),
        ("", "part of the store"),
    ):
        with pytest.raises(RefusedError, match=why):
            oa.mirror(CELL, to=tmp_path / to, source=sample.url)
    with pytest.raises(NotFoundError, match="nothing was mirrored here yet"):
        oa.mirror(to=tmp_path / "new", source=sample.url)
    with pytest.raises(NotFoundError, match="no such cell"):
        oa.mirror("cell:1", to=tmp_path / "new", source=sample.url)
    assert not (tmp_path / "new").exists()
    oa.mirror("rma:Age", to=tmp_path / "m", source=sample.url)
    with pytest.raises(RefusedError, match="a mirror of another service"):
        oa.mirror(CELL, to=tmp_path / "m", source="live")


def test_two_runs_at_one_mirror_do_not_mix(sample, tmp_path):
    with alone(tmp_path / "m"), pytest.raises(RefusedError, match="another process is at this"):
        oa.mirror(CELL, to=tmp_path / "m", source=sample.url)


def test_one_thing_in_two_sizes_and_a_short_list_are_remembered_as_asked(sample, tmp_path):
    to = tmp_path / "m"
    for size in (6, 5):
        oa.mirror("stack:313862022", to=to, source=sample.url, downsample=size, planes=":1")
    oa.mirror("cell:", to=to, source=sample.url, limit=2)
    known = Ledger(to).addresses.values()
    assert [(a.address, a.options.get("downsample"), a.limit) for a in known] == [
        ("stack:313862022", 6, None), ("stack:313862022", 5, None), ("cell:", None, 2),
    ]  # fmt: skip
    sample.asked.clear()
    report = oa.mirror(to=to, source=sample.url)
    assert not report.fetched
    assert sample.count("image_download") == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(sample, tmp_path):
    (tmp_path / "mirror").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="cannot write here"):
        oa.mirror(CELL, to=tmp_path / "mirror", source=sample.url)


def test_offline_is_an_error(tmp_path):
    assert run(["mirror", CELL, "--to", str(tmp_path / "m"), "--offline"]) == ExitCode.OFFLINE


# --- damage ---------------------------------------------------------------------------------------


def test_damage_is_found_and_repaired(sample, tmp_path, capsys):
    to = tmp_path / "mirror"
    oa.mirror(CELL, to=to, source=sample.url)
    good = (to / "files" / "9000000001.swc").read_bytes()
    (to / "files" / "9000000001.swc").write_bytes(good[:-1] + b"?")
    (to / "files" / "9000000003.png").unlink()
    with (to / "tables" / "specimens.jsonl").open("a") as table:
        table.write("damage\n")
    assert run(["verify", str(to)]) == ExitCode.INTEGRITY
    assert "damaged: " in capsys.readouterr().out
    assert run(["store", "repair", str(to), "--source", sample.url]) == 0
    assert (to / "files" / "9000000001.swc").read_bytes() == good
    assert verified(to).keys() == {"intact"}


def test_a_ledger_that_was_cut_goes_on_and_one_that_is_damaged_says_where(sample, tmp_path):
    to = tmp_path / "mirror"
    oa.mirror(CELL, to=to, source=sample.url)
    text = (to / LEDGER).read_text()
    (to / LEDGER).write_text(text + '{"name": "/api/v2/we')
    assert len(Ledger(to).entries) == 4
    assert not oa.mirror(to=to, source=sample.url).fetched
    lines = text.splitlines()
    for damage in (
        '{"name": 5}',
        '{"name": "x", "size_bytes": 1, "file": "../../etc/passwd"}',
        "[]}",
    ):
        (to / LEDGER).write_text("\n".join([lines[0], damage, *lines[1:]]) + "\n")
        with pytest.raises(CorruptError, match=r"mirror\.jsonl.*damaged \(line 2"):
            oa.mirror(to=to, source=sample.url)


# --- places in a mirror ---------------------------------------------------------------------------

KEYS = st.lists(
    st.sampled_from(["a", "A", "b", "..", ".", "", "con", "a.txt", "ß", "SS", "x\\y", "\n", "é"]),
    min_size=1,
    max_size=4,
).map("/".join)


@given(st.lists(st.tuples(KEYS, st.sampled_from(["", "v1", "V1"])), unique=True, max_size=30))
def test_every_object_has_a_place_of_its_own_on_any_disk(keys):
    places = Places(())
    found = [places.place(Asked("bucket", key, version)) for key, version in keys]
    folded = [place.casefold() for place in found]
    assert len(set(folded)) == len(found)
    for place in found:
        safe_path(place)
        assert not any(other.startswith(f"{place.casefold()}/") for other in folded)


@given(st.text(max_size=40), st.text(max_size=40), st.integers(0, 10**12))
def test_an_entry_reads_as_it_was_written(name, etag, size):
    entry = Entry(name=name or "x", file="files/1.swc", size_bytes=size, etag=etag, latest=False)
    try:
        line = entry.line().encode()
    except UnicodeEncodeError:
        return
    assert Entry.read(json.loads(line)) == entry
