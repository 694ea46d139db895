"""Killed processes, two processes at once, full disks: on real processes and real file systems."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from disks import mounted, resize
from loopback import Handler, Reply, Request, file_handler

from openallen.errors import SpaceError
from openallen.plans import Plan, RemoteFile
from openallen.transfer import check_space

# A process of its own that runs one plan: argv = base URL, destination, index folder, names.
FETCH = """
import json, os, sys
from pathlib import Path
from openallen.transfer import run
from openallen.plans import Plan, RemoteFile
from openallen.store import Index
from openallen.transport import Http, Retry
base, to, index, *names = sys.argv[1:]
digests = json.loads(os.environ.get("DIGESTS", "{}"))
files = tuple(
    RemoteFile(address=f"file:{n}", url=f"{base}/{n}", path=f"f/{n}", kind="files",
               ranges=n.startswith("big"), digest=digests.get(n, ""))
    for n in names
)
plan = Plan(address="file:all", title="files", source=base, to=Path(to), files=files)
with Http(silence_timeout_s=5) as http, Index(Path(index)) as memory:
    report = run(plan, http=http, index=memory, retry=Retry(attempts=3, first_wait_s=0.05))
errors = sorted({type(o.error).__name__ for o in report.failed if o.error})
print(json.dumps({"fetched": len(report.fetched), "here": len(report.here), "errors": errors}))
"""


def body_of(name: str) -> bytes:
    size = 6_000_000 if name.startswith("big") else 30_000
    return random.Random(name).randbytes(size)


def drip(body: bytes) -> Handler:
    """Serve in pieces with pauses, so that a kill finds every state a file can be in."""
    whole = file_handler(body, etag='"1"')
    pause_s = 0.08 if len(body) > 1_000_000 else 0.004

    class Slow:
        def __init__(self, reply: Reply) -> None:
            self.reply = reply

        def send(self, *args, **kw) -> None:
            pieces: list[bytes] = []
            real, self.reply.raw = self.reply.raw, pieces.append
            self.reply.send(*args, **kw)
            self.reply.raw = real
            data = b"".join(pieces)
            step = max(4000, len(data) // 25)
            for start in range(0, len(data), step):
                real(data[start : start + step])
                time.sleep(pause_s)

    def handle(q: Request, r: Reply) -> None:
        whole(q, Slow(r))

    return handle


def start(server, to: Path, names: list[str], *, index: Path | None = None, **options):
    command = [sys.executable, "-c", FETCH, server.url, str(to), str(index or to.parent / "ix")]
    return subprocess.Popen([*command, *names], stdout=subprocess.PIPE, text=True, **options)


def finish(process) -> dict:
    out, _ = process.communicate(timeout=150)
    assert process.returncode == 0
    return json.loads(out)


def finals(to: Path) -> dict[str, bytes]:
    return {
        p.name: p.read_bytes()
        for p in to.rglob("*")
        if p.is_file() and p.suffix not in {".part", ".lease", ".json", ".new"}
    }


NAMES = ["big1", "big2", *(f"s{i:02}" for i in range(80))]


@pytest.fixture(scope="module")
def bodies() -> dict[str, bytes]:
    return {name: body_of(name) for name in NAMES}


@pytest.mark.slow
def test_killed_at_random_moments_and_started_again_until_done(tmp_path, loopback, bodies):
    server = loopback({f"/{n}": drip(b) for n, b in bodies.items()})
    to = tmp_path / "to"
    moments = random.Random(7)
    for wait_s in [*(0.25 + moments.random() * 0.3 for _ in range(8)), 1.6, 1.8]:
        before = len(server.seen)
        process = start(server, to, NAMES)
        while len(server.seen) == before and process.poll() is None:
            time.sleep(0.01)  # a busy machine takes a while to begin
        time.sleep(wait_s)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        for name, found in finals(to).items():
            assert found == bodies[name], f"{name} is wrong at its final path"
    result = finish(start(server, to, NAMES))
    assert result["errors"] == []
    assert result["fetched"] + result["here"] == len(NAMES)
    assert finals(to) == bodies
    assert sorted(p.name for p in (to / "f").iterdir()) == sorted(NAMES)
    # bytes already on disk were gone on with, not fetched again
    assert any("range" in q.headers for q in server.seen)


def test_two_processes_on_one_set_fetch_each_file_once(tmp_path, loopback, bodies):
    server = loopback({f"/{n}": drip(b) for n, b in bodies.items()})
    to = tmp_path / "to"
    # Each has an index of its own, as two hosts have: what is published tells what is whole.
    digests = {n: f"sha256:{hashlib.sha256(b).hexdigest()}" for n, b in bodies.items()}
    told = os.environ | {"DIGESTS": json.dumps(digests)}
    pair = [start(server, to, NAMES, index=tmp_path / f"ix{i}", env=told) for i in range(2)]
    results = [finish(process) for process in pair]
    assert [r["errors"] for r in results] == [[], []]
    assert [r["fetched"] + r["here"] for r in results] == [len(NAMES)] * 2
    assert sum(r["fetched"] for r in results) == len(NAMES)
    assert len(server.seen) == len(NAMES)
    assert finals(to) == bodies
    assert sorted(p.name for p in (to / "f").iterdir()) == sorted(NAMES)


def test_a_file_size_limit_stops_the_run_and_leaves_nothing_wrong(tmp_path, loopback, bodies):
    import resource

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    server = loopback({f"/{n}": file_handler(b) for n, b in bodies.items()})
    to = tmp_path / "to"
    result = finish(start(server, to, ["s00", "big1"], preexec_fn=limit))
    assert result["errors"] == ["SpaceError"]
    assert all(bodies[n] == found for n, found in finals(to).items())
    assert finish(start(server, to, ["s00", "big1"]))["errors"] == []
    assert finals(to) == {n: bodies[n] for n in ("s00", "big1")}


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 8 MB."""
    with mounted(tmp_path / "disk", 8 << 20) as disk:
        yield disk


def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(tmp_path, loopback, bodies, small_disk):
    server = loopback({f"/{n}": file_handler(b) for n, b in bodies.items()})
    to = small_disk / "to"
    result = finish(start(server, to, NAMES, index=tmp_path / "ix"))
    assert result["errors"] == ["SpaceError"]
    kept = finals(to)
    assert kept
    assert all(bodies[n] == found for n, found in kept.items())
    resize(small_disk, 32 << 20)
    before = len(server.seen)
    result = finish(start(server, to, NAMES, index=tmp_path / "ix"))
    assert result["errors"] == []
    assert result["here"] == len(kept)
    assert len(server.seen) - before == len(NAMES) - len(kept)
    assert finals(to) == bodies


def test_a_plan_larger_than_the_disk_is_refused_with_the_numbers(small_disk):
    file = RemoteFile(
        address="file:1", url="http://127.0.0.1:1/a", path="a", kind="files", size_bytes=9_000_000
    )
    plan = Plan(
        address="file:1", title="one", source="x", to=small_disk / "not" / "yet", files=(file,)
    )
    with pytest.raises(SpaceError, match=r"9\.00 MB to fetch, 8\.39 MB free") as caught:
        check_space(plan)
    assert caught.value.exit_code == 6


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to mount")
def test_a_read_only_file_system_is_refused_before_anything(tmp_path, loopback, small_disk):
    server = loopback({"/s00": file_handler(b"x")})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    process = start(server, small_disk / "to", ["s00"], stderr=subprocess.PIPE)
    _, stderr = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "StoreError: " in stderr
    assert "cannot write here" in stderr
    assert server.seen == []
