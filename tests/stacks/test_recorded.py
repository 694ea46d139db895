"""What a manifest is enough for: verifying, repairing and reopening without the service."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import openallen as oa
from openallen import maintenance
from openallen.archive.faults import Fault
from openallen.brainmap.client import LIVE_URL, Client
from openallen.errors import CorruptError, IntegrityError, NotFoundError, OfflineError, RefusedError
from openallen.sources.stacks import (
    Options,
    StackJob,
    describe,
    parse_planes,
    repair_command,
    repair_job,
    verify_stack,
)
from openallen.sources.stacks.manifest import read_manifest
from openallen.sources.stacks.plan import planes_text
from openallen.sources.stacks.recorded import facts_of, options_of
from openallen.store import Index
from openallen.store.checked import repair_commands
from openallen.transfer.job import Means
from openallen.transport import Http, Retry

STACK = "stack:313862022"


@pytest.fixture
def cell(packaged, tmp_path) -> Path:
    """A copy of it that may be changed, in a folder with a name that needs quoting."""
    return Path(shutil.copytree(packaged, tmp_path / "it's a cell"))


def live(folder: Path) -> Path:
    """Make a folder say that its files came from the live service."""
    told = json.loads((folder / "manifest.json").read_text())
    told["source"] = "live"
    (folder / "manifest.json").write_text(json.dumps(told))
    return folder


def offline_client() -> Client:
    return Client(http=Http(offline=True), base_url=LIVE_URL, source="live")


def run(command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a printed command as a shell would."""
    program, *arguments = shlex.split(command)
    assert program == "openallen"
    return subprocess.run(
        [sys.executable, "-m", "openallen", *arguments], capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL, env={**os.environ, **env}, timeout=120,
    )  # fmt: skip


# --- verifying ------------------------------------------------------------------------------------


def test_a_copied_folder_is_verified_by_its_manifest(cell):
    checked = list(verify_stack(cell))
    assert len(checked) == 57
    assert {c.status for c in checked} == {"intact"}
    assert {c.address for c in checked} == {STACK}


@pytest.mark.parametrize("damage", ["flipped", "shorter", "missing"])
def test_damage_is_named_and_repaired_with_what_the_manifest_knows(cell, sample_url, damage):
    path = cell / "planes" / "0017.jpg"
    good = path.read_bytes()
    data = bytearray(good)
    data[len(data) // 2] ^= 1
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flipped" else good[:-1])
    stray = cell / "planes" / "mine.txt"
    stray.write_text("note")
    bad = {c.path: c.status for c in verify_stack(cell) if c.status != "intact"}
    assert bad == {path: "missing" if damage == "missing" else "damaged", stray: "unknown"}
    (command,) = repair_commands(verify_stack(cell))
    assert command == repair_command(cell)
    assert command == (
        f"openallen fetch {STACK} --to {shlex.quote(str(cell))} --downsample 5"
        f" --source {sample_url}"
    )
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == good


def test_what_cannot_be_verified(tmp_path, cell):
    with pytest.raises(NotFoundError, match="no image stack"):
        verify_stack(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(CorruptError):
        repair_command(tmp_path)
    told = json.loads((cell / "manifest.json").read_text())
    told["planes"][0]["path"] = "../../etc/passwd"
    (cell / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(IntegrityError, match="unsafe"):
        verify_stack(cell)


# --- facts, options, plans ------------------------------------------------------------------------


@pytest.mark.parametrize("left_bytes", [0, 1, 20, 300, -2])
def test_a_truncated_manifest_is_damage_wherever_the_folder_is(cell, left_bytes):
    path = cell / "manifest.json"
    path.write_bytes(path.read_bytes()[:left_bytes].rstrip())
    with pytest.raises(CorruptError, match="not a manifest of a stack"):
        list(maintenance.verify([cell]))


def test_the_manifest_knows_the_facts_of_the_stack(packaged, sample_url):
    from dataclasses import replace

    from openallen.sources.context import connected

    with connected(source=sample_url) as client:
        asked = describe(client, 313862022)
    known = facts_of(read_manifest(packaged))
    bare = tuple(replace(r, scale_factor_z_um=None) for r in asked.reconstructions)
    kept = {f.id for f in (f for r in known.reconstructions for f in r.files)}
    bare = tuple(replace(r, files=tuple(f for f in r.files if f.id in kept)) for r in bare)
    key = {r.id: {f.id for f in r.files} for r in bare}
    assert {r.id: {f.id for f in r.files} for r in known.reconstructions} == key
    assert known.planes == asked.planes
    for name in ("specimen", "projections", "z_step", "queries", "source", "notes", "raw_bytes"):
        assert getattr(known, name) == getattr(asked, name), name


@pytest.mark.parametrize(
    ("given", "planes"),
    [
        ({}, ":"),
        ({"planes": "10:20:3", "projections": False, "morphology": False}, "10:20:3"),
        ({"planes": "7", "quality": 30, "projections": False}, "7:8"),
        ({"planes": "-2:", "morphology": False}, "48:50"),
    ],
)
def test_the_options_of_a_folder_are_those_it_was_fetched_with(tmp_path, sample_url, given, planes):
    to = tmp_path / "part"
    oa.fetch(STACK, to=to, source=sample_url, downsample=5, **given)
    manifest = read_manifest(to)
    options = options_of(manifest)
    wanted = parse_planes(planes)
    assert range(50)[options.planes] == range(50)[wanted]
    assert options.quality == given.get("quality")
    assert options.projections is given.get("projections", True)
    assert options.morphology is given.get("morphology", True)
    before = {p: p.stat().st_mtime_ns for p in to.rglob("*") if p.is_file()}
    done = run(repair_command(to))
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in to.rglob("*") if p.is_file()} == before


INDEX = st.one_of(st.none(), st.integers(-60, 60))


@given(INDEX, INDEX, st.one_of(st.none(), st.integers(-9, 9).filter(bool)))
def test_a_slice_of_planes_reads_back_from_its_text(start, stop, step):
    given_ = slice(start, stop, step)
    text = planes_text(given_)
    if text == ":":
        assert range(50)[given_] == range(50)
    else:
        assert range(50)[parse_planes(text)] == range(50)[given_]


def test_offline_a_folder_that_is_whole_is_done_and_left_as_it_is(cell, tmp_path):
    live(cell)
    before = {p: p.stat().st_mtime_ns for p in cell.rglob("*") if p.is_file()}
    client = offline_client()
    job = StackJob.prepare(client, 313862022, Options(downsample=5), cell)
    assert len(job.plan.files) == 57
    with Index(tmp_path / "index") as index:
        report = job.run(Means(http=client.http, index=index, retry=Retry(attempts=1)))
    assert report.ok
    assert len(report.here) == 57
    after = {p: p.stat().st_mtime_ns for p in cell.rglob("*") if p.is_file()}
    assert {p for p in after if after[p] != before.get(p)} <= {cell / "manifest.json"}
    assert len(job.result().planes) == 50


def test_in_a_read_only_folder_too(frozen, packaged, tmp_path):
    root, freeze = frozen
    folder = live(Path(shutil.copytree(packaged, root / "cell")))
    freeze()
    client = offline_client()
    job = StackJob.prepare(client, 313862022, Options(downsample=5), folder)
    with Index(root) as index:
        report = job.run(Means(http=client.http, index=index, retry=Retry(attempts=1)))
    assert report.ok
    assert {c.status for c in verify_stack(folder)} == {"intact"}


def test_online_a_read_only_folder_that_is_whole_is_done(frozen, packaged, sample_url):
    root, freeze = frozen
    folder = Path(shutil.copytree(packaged, root / "cell"))
    freeze()
    assert len(oa.fetch(STACK, to=folder, source=sample_url, downsample=5).planes) == 50


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        (Options(downsample=4), RefusedError, "downsample 5"),
        (Options(downsample=5, quality=3), RefusedError, "quality best"),
        (Options(downsample=5, planes=slice(60, None)), NotFoundError, "planes 0 to 49"),
    ],
)
def test_offline_what_the_folder_does_not_hold_is_an_error(cell, options, error, why):
    with pytest.raises(error) as caught:
        StackJob.prepare(offline_client(), 313862022, options, live(cell))
    assert why in caught.value.why


def test_offline_a_part_does_not_pass_for_the_whole(tmp_path, sample_url):
    to = tmp_path / "part"
    oa.fetch(STACK, to=to, source=sample_url, downsample=5, planes=":4", projections=False)
    live(to)
    client = offline_client()
    part = Options(downsample=5, planes=slice(1, 3), projections=False)
    assert len(StackJob.prepare(client, 313862022, part, to).plan.files) == 2 + 3
    for options in (Options(downsample=5), Options(downsample=5, planes=slice(0, 2))):
        with pytest.raises(OfflineError, match="stack:313862022: not here") as caught:
            StackJob.prepare(client, 313862022, options, to)
        assert "does not hold all" in caught.value.why
    with pytest.raises(OfflineError) as caught:
        StackJob.prepare(client, 5, part, tmp_path / "empty")
    assert caught.value.hint.startswith("openallen fetch stack:5 --to ")


def test_the_job_of_a_repair_is_of_the_files_that_are_recorded(tmp_path, sample_url):
    from openallen.sources.context import connected

    to = tmp_path / "part"
    for planes in ("3", "10", "11"):
        oa.fetch(STACK, to=to, source=sample_url, downsample=5, planes=planes, projections=False)
    (to / "planes" / "0012.jpg").write_bytes(b"rot")
    with connected(source=sample_url) as client, Index(tmp_path / "index") as index:
        job = repair_job(client, to)
        assert len(job.plan.files) == 3 + 3
        report = job.run(Means(http=client.http, index=index, retry=Retry()))
    assert [o.file.path for o in report.fetched] == ["planes/0012.jpg"]
    assert {c.status for c in verify_stack(to)} == {"intact"}
    with pytest.raises(RefusedError, match="holds something else") as caught:
        repair_job(offline_client(), to)
    assert "another source" in caught.value.why


# --- printed commands -----------------------------------------------------------------------------


def test_every_command_a_partial_fetch_prints_works_as_typed(tmp_path, archive):
    wrong = Fault("corrupt", path="0500304445-0016_")
    url = archive(wrong)
    to = tmp_path / "it's (mine) & yours"
    command = (
        f"openallen fetch {STACK} --to {shlex.quote(str(to))} --downsample 5 --quality 40"
        f" --planes=12:18 --no-morphology --source {url}"
    )
    done = run(command, OPENALLEN_ATTEMPTS="1")
    assert done.returncode == 5
    printed = [
        line.partition("try: ")[2] for line in (done.stdout + done.stderr).splitlines()
        if "try: openallen" in line
    ]  # fmt: skip
    assert len(printed) == 2
    one, whole = printed
    assert "--no-projections" in one
    assert one.endswith("--planes 15")
    for hint in printed:  # the fault is still there: it fails for that, not for how it is written
        again = run(hint, OPENALLEN_ATTEMPTS="1")
        assert again.returncode not in {0, 2, 6}
        assert "No such option" not in again.stderr
    told = json.loads(run(f"{whole} --json", OPENALLEN_ATTEMPTS="1").stdout)["reports"][0]
    assert told["command"] == whole
    assert (told["here"], told["failed"]) == (5 + 4, 1)
    fine = archive()
    folder = json.loads((to / "manifest.json").read_text())
    folder["source"] = fine
    (to / "manifest.json").write_text(json.dumps(folder))
    mended = run(one.replace(url, fine))
    assert mended.returncode == 0, mended.stderr
    assert re.search(r"fetched +1 file", mended.stdout)
    assert run(whole.replace(url, fine)).returncode == 0


def test_a_folder_that_holds_something_else_comes_with_a_command_that_works(cell, sample_url):
    with pytest.raises(RefusedError) as caught:
        oa.fetch(STACK, to=cell, source=sample_url, downsample=4, planes="0", projections=False)
    done = run(f"{caught.value.hint} --yes")
    assert done.returncode == 0, done.stderr
    assert (cell.with_name(f"{cell.name}-downsample-4") / "manifest.json").exists()
