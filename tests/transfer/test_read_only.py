"""Everything that is here works from a disk that cannot be written to; what is not says why."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from loopback import file_handler

import openallen as oa
from openallen.errors import StoreError
from openallen.plans import Plan, RemoteFile
from openallen.store import Index
from openallen.store.checked import verify_remembered
from openallen.transfer import check_space, run, with_status
from openallen.transport import Http

ADDRESSES = (
    "image:321549654?downsample=5",
    "file:9000000001",
    "grid:69855739",
    "grid:69855739?include=energy,density",
    "atlas:P56/gridAnnotation",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_is_here_is_fetched_without_writing(frozen, monkeypatch, sample_url, address):
    store, freeze = frozen
    monkeypatch.setenv("OPENALLEN_STORE", str(store))
    oa.fetch(address, source=sample_url)
    before = {p: p.stat().st_mtime_ns for p in store.rglob("*")}
    freeze()
    oa.fetch(address, source=sample_url)
    assert oa.plan(address, source=sample_url).missing == ()
    assert {p: p.stat().st_mtime_ns for p in store.rglob("*")} == before


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_index_knows_the_command_that_repairs_a_file(tmp_path, sample_url, address):
    """The address, the folder and the source are in it, quoted for a shell."""
    import os

    to = tmp_path / "it's here"
    oa.fetch(address, to=to, source=sample_url)
    with Index(Path(os.environ["OPENALLEN_STORE"])) as index:
        known = index.everything()
        (path, *_) = [p for p in sorted(known) if not p.endswith(".json")]
        good = Path(path).read_bytes()
        Path(path).write_bytes(b"rot")
        bad = [c for c in verify_remembered(to, index) if c.bad]
    assert [str(c.path) for c in bad] == [path]
    program, *arguments = shlex.split(bad[0].repair)
    assert program == "openallen"
    done = subprocess.run(
        [sys.executable, "-m", "openallen", *arguments], capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Path(path).read_bytes() == good


def plan_of(to: Path, url: str, *names: str, **options) -> Plan:
    files = tuple(
        RemoteFile(address=f"file:{n}", url=f"{url}/{n}", path=f"f/{n}", kind="files", **options)
        for n in names
    )
    return Plan(address="file:all", title="files", source=url, to=to, files=files)


def test_what_is_missing_of_a_read_only_folder_is_refused_before_a_request(
    frozen, loopback, tmp_path
):
    root, freeze = frozen
    server = loopback({f"/{n}": file_handler(b"x" * 9) for n in "ab"})
    with Http() as http, Index(tmp_path) as index:
        run(plan_of(root, server.url, "a"), http=http, index=index)
        freeze()
        assert run(plan_of(root, server.url, "a"), http=http, index=index).ok
        before = len(server.seen)
        with pytest.raises(StoreError, match="cannot write here"):
            run(plan_of(root, server.url, "a", "b"), http=http, index=index)
        assert len(server.seen) == before


def test_leftovers_of_a_killed_run_are_no_obstacle_in_a_read_only_folder(
    frozen, loopback, tmp_path
):
    root, freeze = frozen
    server = loopback({"/a": file_handler(b"x" * 9)})
    with Http() as http, Index(tmp_path) as index:
        run(plan_of(root, server.url, "a"), http=http, index=index)
        (root / "f" / "a.lease").write_text('{"pid": 1, "token": "0"}')
        (root / "f" / "a.01234567.part").write_text("half")
        freeze()
        assert run(plan_of(root, server.url, "a"), http=http, index=index).ok


# --- the same bytes under another name ------------------------------------------------------------


def test_bytes_that_are_here_under_another_name_are_linked_not_fetched(tmp_path, loopback):
    from openallen.store import digest_of

    server = loopback({"/a": file_handler(b"good" * 9)})
    twin = tmp_path / "twin"
    twin.write_bytes(b"good" * 9)
    known = {"digest": digest_of(twin), "size_bytes": 36}
    plan = plan_of(tmp_path / "to", server.url, "a", also_at=(tmp_path / "no", twin), **known)
    assert with_status(plan).missing == ()
    assert with_status(plan).missing_bytes == 0
    check_space(with_status(plan))
    with Http() as http, Index(tmp_path) as index:
        report = run(plan, http=http, index=index)
    assert (len(report.here), len(report.fetched), server.seen) == (1, 0, [])
    assert (tmp_path / "to" / "f" / "a").samefile(twin)


@pytest.mark.parametrize("twin", [b"BAD!" * 9, b"short", None])
def test_other_bytes_under_another_name_are_not(tmp_path, loopback, twin):
    import hashlib

    body = b"good" * 9
    server = loopback({"/a": file_handler(body)})
    other = tmp_path / "twin"
    if twin is not None:
        other.write_bytes(twin)
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    plan = plan_of(
        tmp_path / "to", server.url, "a", also_at=(other,), digest=digest, size_bytes=len(body)
    )
    with Http() as http, Index(tmp_path) as index:
        assert len(run(plan, http=http, index=index).fetched) == 1
    assert (tmp_path / "to" / "f" / "a").read_bytes() == body
