"""Folders of releases: read-only, moved, mirrored, adopted; and the versions they hold."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import openallen as oa
from openallen import maintenance
from openallen.display import bytes_text
from openallen.errors import NotFoundError, OfflineError
from openallen.plans import Plan
from openallen.sources.context import Context
from openallen.sources.releases import PROJECTS, Release, ReleaseCache, Version, open_release
from openallen.sources.releases.access import release_in
from openallen.sources.releases.folders import is_release
from openallen.sources.releases.retention import adopt, prune, verify, versions_held
from openallen.store import Index, digest_of
from openallen.store.checked import repair_commands
from openallen.transport import Http
from openallen.transport.s3 import Bucket

NAME = "release:visual-behavior-ophys"
PROJECT = PROJECTS["visual-behavior-ophys"]


def cache(folder: Path, *, mirror: bool = False) -> ReleaseCache:
    return ReleaseCache(PROJECT, Bucket(http=Http(offline=True), name="none"), folder, mirror)


def opened_in(folder: Path) -> tuple[ReleaseCache, Release]:
    with Context() as context:
        return release_in(context, folder)


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    found = (p for p in folder.rglob("*") if p.is_file())
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns) for p in found}


@pytest.fixture
def offline(release, monkeypatch):
    """Turn the network off, the S3 server on loopback included."""

    endpoint = os.environ["OPENALLEN_S3_ENDPOINT"]

    def turn_off(off: bool = True) -> None:
        monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", "" if off else endpoint)
        monkeypatch.setenv("OPENALLEN_OFFLINE", "1" if off else "0")

    return turn_off


# --- read-only ------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [True, False])
def test_what_is_in_a_read_only_store_is_used(release, frozen, offline, monkeypatch, network):
    store, freeze = frozen
    monkeypatch.setenv("OPENALLEN_STORE", str(store))
    oa.fetch(f"{NAME}@0.2.0")
    oa.fetch(f"{NAME}@1.0.0/tables")
    before = tree(store)
    freeze()
    if not network:
        offline()
    assert str(oa.open(f"{NAME}@0.2.0").version) == "0.2.0"
    opened = oa.open(NAME)
    assert str(opened.version) == "1.0.0"
    assert len(opened.table("ophys_experiment_table")) > 0
    assert [str(v) for v in opened.versions()] == ["1.0.0", "0.2.0", "0.1.0"]
    assert oa.plan(f"{NAME}@0.2.0").missing == ()
    assert oa.fetch(f"{NAME}@0.2.0").is_dir()
    assert oa.fetch(f"{NAME}@0.2.0/ophys_experiment/951980471").is_file()
    assert opened.compare("0.2.0").count("removed") == 1
    assert {h.files for h in versions_held(cache(store / "releases" / PROJECT.name))} == {51, 4}
    assert tree(store) == before
    with pytest.raises(oa.OpenAllenError) as caught:
        oa.fetch(f"{NAME}@1.0.0/behavior_session/999")
    assert ("Read-only" in str(caught.value)) is network


def test_a_version_whose_manifest_is_not_in_a_read_only_store_is_read_all_the_same(
    release, frozen, monkeypatch
):
    store, freeze = frozen
    monkeypatch.setenv("OPENALLEN_STORE", str(store))
    oa.open(f"{NAME}@0.2.0")
    freeze()
    opened = oa.open(f"{NAME}@1.0.0")
    assert len(opened.files) == 51
    assert str(oa.open(NAME).version) == "0.2.0"


def test_a_read_only_store_without_its_index_is_read_through(release, frozen, offline, monkeypatch):
    store, freeze = frozen
    monkeypatch.setenv("OPENALLEN_STORE", str(store))
    oa.fetch(f"{NAME}@0.2.0/tables")
    (store / "index.sqlite").unlink()
    freeze()
    offline()
    assert oa.fetch(f"{NAME}@0.2.0/tables").is_dir()


# --- plans ----------------------------------------------------------------------------------------


def test_every_count_of_what_is_to_fetch_is_the_same(release, tmp_path):
    oa.fetch(f"{NAME}@0.1.0", to=tmp_path)
    plan = oa.plan(f"{NAME}@1.0.0", to=tmp_path)
    compared = open_release(f"{NAME}@0.1.0", tmp_path).compare("1.0.0")
    assert compared.plan.missing_bytes == plan.missing_bytes == compared.fetch_bytes
    assert not plan.needs_confirmation(plan.missing_bytes)
    assert plan.needs_confirmation(plan.missing_bytes - 1)
    files, size = len(plan.missing), bytes_text(plan.missing_bytes)
    assert f"to fetch          {files} files, {size}" in str(plan)
    assert f"here              {51 - files} files" in str(plan)


def test_sizes_that_are_not_known_are_said_to_be(release, tmp_path, offline):
    open_release(f"{NAME}@0.2.0", tmp_path)
    offline()
    plan: Plan = oa.plan(f"{NAME}@0.2.0/tables", to=tmp_path)
    assert plan.size_text == "size unknown"
    assert "4 files, size unknown" in str(plan)
    assert plan.to_dict()["files_of_unknown_size"] == 4
    with pytest.raises(OfflineError, match="4 files of 4 not here, size unknown") as caught:
        oa.fetch(f"{NAME}@0.2.0/tables", to=tmp_path)
    assert caught.value.hint == plan.command
    many = oa.plan(f"{NAME}@0.2.0", to=tmp_path)
    assert many.needs_confirmation(10**12)
    assert not plan.needs_confirmation(10**12)


# --- folders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mirror", [False, True])
def test_a_folder_is_opened_as_it_is(release, tmp_path, offline, mirror):
    made = tmp_path / "made"
    oa.fetch(f"{NAME}@0.2.0", to=made, mirror=mirror)
    moved = made.rename(tmp_path / "moved")
    offline()
    inner = moved / (PROJECT.name if mirror else f"{PROJECT.name}-0.2.0")
    for folder in (moved, inner):
        assert is_release(folder)
        found, opened = opened_in(folder)
        assert (found.project.name, found.folder, found.mirror) == (PROJECT.name, moved, mirror)
        assert str(opened.version) == "0.2.0"
        assert Version("0.2.0") in opened.versions()
        assert len(list(opened.rows("ophys_experiment_table"))) == 27
        (path,) = opened.fetch("ophys_experiment", 951980471)
        assert path.is_relative_to(opened.folder)
        assert oa.open(folder).address == opened.address
        assert oa.show(folder)["files_here"] == 51
    good = path.read_bytes()
    path.write_bytes(b"rotten")
    assert [c.path for _, c in maintenance.verify([inner]) if c.bad] == [path]
    with pytest.raises(OfflineError, match="1 file of 1 not here"):
        opened_in(moved)[1].fetch("ophys_experiment", 951980471)
    path.unlink()
    with pytest.raises(OfflineError, match="1 file of 1 not here") as caught:
        opened_in(moved)[1].fetch("ophys_experiment", 951980471)
    assert str(moved) in caught.value.hint
    offline(False)
    assert opened_in(inner)[1].fetch("ophys_experiment", 951980471) == [path]
    assert path.read_bytes() == good


def test_what_holds_no_release(tmp_path):
    assert not is_release(tmp_path)
    with pytest.raises(NotFoundError, match="no cache of a release in this folder"):
        opened_in(tmp_path)


def test_a_mirror_is_adopted(release, tmp_path, offline):
    mirror = tmp_path / "mirror"
    oa.fetch(f"{NAME}@1.0.0", to=mirror, mirror=True)
    offline()
    with Index(tmp_path / "index") as index:
        found = adopt(mirror, cache(tmp_path / "ours"), index)
        assert found.how == {"hard link": 51}
        assert [str(v) for v in found.versions] == ["1.0.0"]
        assert not [c for c in found.checked if c.status != "intact"]
        before = tree(mirror)
        found = adopt(mirror, cache(mirror), index)
        assert found.how == {"in place": 51}
        assert tree(mirror) == before
    opened = open_release(NAME, tmp_path / "ours")
    assert oa.plan(f"{NAME}@1.0.0", to=tmp_path / "ours").missing == ()
    assert opened.path("ophys_experiment", 951980471).is_file()


@pytest.mark.parametrize("mirror", [False, True])
def test_damage_comes_with_the_command_that_repairs_it(release, tmp_path, mirror):
    to = tmp_path / "it's here"
    oa.fetch(f"{NAME}@0.2.0", to=to, mirror=mirror)
    spoilt = next(to.rglob("behavior_session_*.nwb"))
    good = spoilt.read_bytes()
    spoilt.write_bytes(b"?" * len(good))
    with Index(tmp_path / "index") as index:
        checked = list(verify(cache(to, mirror=mirror), index))
    assert [c.path for c in checked if c.bad] == [spoilt]
    (command,) = repair_commands(checked)
    run(command)
    assert spoilt.read_bytes() == good


def run(command: str) -> None:
    import shlex
    import subprocess
    import sys

    program, *arguments = shlex.split(command)
    assert program == "openallen"
    done = subprocess.run(
        [sys.executable, "-m", "openallen", *arguments],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_every_command_a_partial_fetch_prints_works_as_typed(release, tmp_path, monkeypatch):
    import json
    import shlex
    import subprocess
    import sys

    monkeypatch.setenv("OPENALLEN_ATTEMPTS", "1")
    to = tmp_path / "it's (mine) & yours"
    open_release(f"{NAME}@0.2.0", to)
    path = to / f"{PROJECT.name}_project_manifest_v0.2.0.json"
    whole = path.read_bytes()
    document = json.loads(whole)
    key = next(k for k, e in document["data_files"].items() if "951980471" in e["url"])
    document["data_files"][key]["file_hash"] = "0" * 128
    path.write_text(json.dumps(document))
    address = f"{NAME}@0.2.0/ophys_experiment?targeted_structure=VISp&imaging_depth__lt=400"
    done = subprocess.run(
        [sys.executable, "-m", "openallen", "fetch", address, "--to", str(to)],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    printed = [line.partition("try: ")[2] for line in lines if "try: openallen" in line]
    assert len(printed) == 2
    assert shlex.split(printed[1]) == ["openallen", "fetch", address, "--to", str(to)]
    path.write_bytes(whole)
    for hint in printed:
        run(hint)
    _, opened = opened_in(to)
    assert str(opened.version) == "0.2.0"
    assert opened.fetch("ophys_experiment", 951980471)[0].is_file()


# --- versions held --------------------------------------------------------------------------------


def test_versions_held_say_what_each_would_free(release, tmp_path):
    oa.fetch(f"{NAME}@0.2.0", to=tmp_path)
    oa.fetch(f"{NAME}@1.0.0", to=tmp_path)
    open_release(f"{NAME}@0.1.0", tmp_path)
    newest, second, first = versions_held(cache(tmp_path))
    assert [str(h.version) for h in (newest, second, first)] == ["1.0.0", "0.2.0", "0.1.0"]
    assert (first.files, first.size_bytes, first.files_listed) == (0, 0, 51)
    files = [p for p in (tmp_path / f"{PROJECT.name}-0.2.0").rglob("*") if p.is_file()]
    assert (second.files, second.size_bytes) == (51, sum(p.stat().st_size for p in files))
    (pruned,) = prune(cache(tmp_path), [Version("0.2.0")], dry_run=True)
    assert pruned.freed_bytes == second.size_bytes - second.shared_bytes > 0
    assert newest.to_dict()["address"] == f"{NAME}@1.0.0"
    twin = tmp_path / "theirs.nwb"  # a name outside, as adopting makes: pruning frees none of it
    alone = next(p for p in files if p.suffix == ".nwb" and p.stat().st_nlink == 1)
    os.link(alone, twin)
    (pruned,) = prune(cache(tmp_path), [Version("0.2.0")], dry_run=True)
    again = versions_held(cache(tmp_path))[1]
    assert pruned.freed_bytes == again.size_bytes - again.shared_bytes
    assert again.shared_bytes == second.shared_bytes + twin.stat().st_size
    shutil.rmtree(tmp_path / f"{PROJECT.name}-0.2.0")
    (tmp_path / f"{PROJECT.name}_project_manifest_v1.0.0.json").write_text("{")
    newest, second, _ = versions_held(cache(tmp_path))
    assert (newest.manifest, newest.files, newest.shared_bytes) == (False, 51, 0)
    assert second.files == 0


def test_versions_held_of_a_mirror(release, tmp_path):
    oa.fetch(f"{NAME}@1.0.0", to=tmp_path, mirror=True)
    (held,) = versions_held(cache(tmp_path, mirror=True))
    assert (held.files, held.files_listed, held.shared_bytes) == (51, 51, 0)


def test_a_damaged_twin_counts_as_here_and_is_fetched(release, tmp_path):
    oa.fetch(f"{NAME}@0.1.0", to=tmp_path)
    old = next((tmp_path / f"{PROJECT.name}-0.1.0").rglob("*.nwb"))
    good = digest_of(old)
    old.write_bytes(b"?" * old.stat().st_size)
    oa.fetch(f"{NAME}@0.2.0", to=tmp_path)
    inside = old.relative_to(tmp_path / f"{PROJECT.name}-0.1.0")
    assert digest_of(tmp_path / f"{PROJECT.name}-0.2.0" / inside) == good
