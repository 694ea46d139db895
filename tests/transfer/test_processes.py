"""A plan shared among processes: the same files, the same report, whoever dies."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from disks import mounted, resize
from hypothesis import given
from hypothesis import strategies as st
from loopback import Reply, Request

from openallen.errors import SpaceError
from openallen.plans import Outcome, Plan, RemoteFile
from openallen.store import Index
from openallen.transfer import run
from openallen.transfer.processes import count_of
from openallen.transfer.progress import Meter, Quiet
from openallen.transport import Http, Retry

QUICK = Retry(attempts=2, first_wait_s=0.01)
SIZES = [*[3_000] * 90, *[1_200_000] * 12, *[50_000_000] * 2]


def body_of(number: int) -> bytes:
    seed = hashlib.sha256(str(number).encode()).digest()
    return (seed * (SIZES[number] // 32 + 1))[: SIZES[number]]


def serve(number: int):
    body = body_of(number)

    def handle(request: Request, reply: Reply) -> None:
        span = request.headers.get("range", "")
        if not span:
            reply.send(body, headers={"ETag": '"one"'})
            return
        first, _, last = span.removeprefix("bytes=").partition("-")
        first, last = int(first), int(last or len(body) - 1)
        told = {"ETag": '"one"', "Content-Range": f"bytes {first}-{last}/{len(body)}"}
        reply.send(body[first : last + 1], "206 Partial Content", told)

    return handle


def plan_of(to: Path, url: str, numbers=None) -> Plan:
    files = [
        RemoteFile(
            address=f"file:{i}", url=f"{url}/{i}", path=f"f/{i}", kind="files",
            size_bytes=SIZES[i], digest=f"blake2b:{hashlib.blake2b(body_of(i)).hexdigest()}",
        )
        for i in (range(len(SIZES)) if numbers is None else numbers)
    ]  # fmt: skip
    return Plan(
        address="file:all", title="files", source="test", to=to, files=tuple(files), connections=32
    )


def fetch(plan: Plan, index: Path, **options):
    with Http(silence_timeout_s=20) as http, Index(index) as found:
        return run(plan, http=http, index=found, **({"retry": QUICK, "processes": 3} | options))


@pytest.fixture
def server(loopback):
    return loopback({f"/{i}": serve(i) for i in range(len(SIZES))})


class Counting(Quiet):
    """Keeps the meter, and what was said."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def started(self, plan: Plan, meter: Meter) -> None:
        self.meter = meter

    def settled(self, outcome: Outcome) -> None:
        self.paths.append(outcome.file.path)


@pytest.mark.slow
def test_several_processes_make_the_report_of_one(tmp_path, server):
    server.routes |= {
        "/5": lambda q, r: r.send(b"gone", "404 Not Found"),
        "/91": lambda q, r: r.send(b"w" * 1_200_000),
    }
    counting = Counting()
    plan = plan_of(tmp_path / "to", server.url)
    report = fetch(plan, tmp_path / "ix", observer=counting)
    asked = len(server.seen)
    alone = fetch(plan_of(tmp_path / "alone", server.url), tmp_path / "ix2", processes=1)
    assert [(o.file.path, o.status, o.digest, o.size_bytes) for o in report.outcomes] == [
        (o.file.path, o.status, o.digest, o.size_bytes) for o in alone.outcomes
    ]
    assert [str(o.error) for o in report.failed] == [str(o.error) for o in alone.failed]
    assert asked == len(server.seen) - asked  # not one more request
    assert sorted(counting.paths) == sorted(f.path for f in plan.files)
    reading = counting.meter.read()
    assert (reading.files_done, reading.files_failed) == (len(SIZES), 2)
    assert reading.bytes_done >= report.fetched_bytes
    names = {p.name for p in (tmp_path / "to" / "f").iterdir()}
    assert names == {str(i) for i in range(len(SIZES))} - {"5", "91"}
    server.routes |= {"/5": serve(5), "/91": serve(91)}
    again = fetch(plan, tmp_path / "ix")
    assert (len(again.here), len(again.fetched)) == (len(SIZES) - 2, 2)


def test_what_a_child_logs_is_heard(tmp_path, server, caplog):
    server.routes["/1"] = lambda q, r: r.send(b"no", "503 Slow Down")
    with caplog.at_level(logging.DEBUG, "openallen"):
        fetch(plan_of(tmp_path / "to", server.url, range(20)), tmp_path / "ix", processes=2)
    assert "2 processes share 20 files" in caplog.text
    assert f"GET {server.url}/1" in caplog.text


FETCH = """
import json, sys
sys.path[:0] = [{tests!r}, {support!r}]
from pathlib import Path
from test_processes import fetch, plan_of
from openallen.transfer import Interrupted
try:
    report = fetch(plan_of(Path({to!r}), {url!r}), Path({ix!r}))
    print(json.dumps(sorted(o.status for o in report.outcomes)))
except Interrupted as interrupted:
    print(json.dumps(sorted(o.status for o in interrupted.report.outcomes)))
"""


class Crew:
    """A run in a process of its own, and its children."""

    def __init__(self, tmp_path: Path, url: str) -> None:
        here = Path(__file__).parent
        code = FETCH.format(
            tests=str(here), support=str(here.parent / "support"), to=str(tmp_path / "to"),
            url=url, ix=str(tmp_path / "ix"),
        )  # fmt: skip
        self.parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)

    def children(self) -> list[int]:
        listed = Path(f"/proc/{self.parent.pid}/task/{self.parent.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def statuses(self) -> list[str]:
        out, _ = self.parent.communicate(timeout=120)
        return json.loads(out)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def until(condition, what: str, limit_s: float = 90):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)


@pytest.fixture
def crew(tmp_path, server, held):
    crew = Crew(tmp_path, server.url)
    held[0].wait(90)
    yield crew
    crew.parent.kill()
    crew.parent.wait()
    crew.parent.stdout.close()


@pytest.fixture
def held(server):
    """Holds the answers for the large files until told; all else is answered at once."""
    go, begun = threading.Event(), threading.Event()

    def slowly(number: int):
        def handle(request: Request, reply: Reply) -> None:
            begun.set()
            go.wait(100)
            serve(number)(request, reply)

        return handle

    large = [i for i, size in enumerate(SIZES) if size > 10_000_000]
    server.routes |= {f"/{i}": slowly(i) for i in large}
    yield begun, go
    go.set()


def whole(to: Path) -> bool:
    return all((to / "f" / str(i)).read_bytes() == body_of(i) for i in range(len(SIZES)))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for children in /proc")
def test_a_child_that_is_killed_costs_nothing_but_time(tmp_path, held, crew):
    _, go = held
    children = crew.children()
    assert children
    os.kill(children[0], signal.SIGKILL)
    go.set()
    # A file that the child had finished, and not told of, is found to be here.
    assert set(crew.statuses()) <= {"fetched", "here"}
    assert whole(tmp_path / "to")
    assert {p.name for p in (tmp_path / "to" / "f").iterdir()} == {
        str(i) for i in range(len(SIZES))
    }


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for children in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_with_the_parent_all_end_and_the_next_run_goes_on(tmp_path, server, held, crew, how):
    _, go = held
    children = crew.children()
    assert children
    crew.parent.send_signal(how)
    crew.parent.wait(60)
    until(lambda: all(gone(pid) for pid in children), "the children end")
    if how is signal.SIGINT:
        assert set(crew.statuses()) <= {"fetched", "not tried"}
        assert not list((tmp_path / "to").rglob("*.lease"))
    go.set()
    assert fetch(plan_of(tmp_path / "to", server.url), tmp_path / "ix").ok
    assert whole(tmp_path / "to")


def test_a_full_disk_ends_all_of_them_and_room_lets_them_go_on(tmp_path, server):
    with mounted(tmp_path / "disk", 6 << 20) as disk:
        plan = plan_of(disk / "to", server.url, range(len(SIZES) - 2))
        report = fetch(plan, tmp_path / "ix", processes=2)
        with pytest.raises(SpaceError):
            report.raise_if_failed()
        for outcome in report.fetched:
            number = int(outcome.file.path[2:])
            assert (disk / "to" / "f" / str(number)).read_bytes() == body_of(number)
        resize(disk, 64 << 20)
        again = fetch(plan, tmp_path / "ix", processes=2)
        assert again.ok
        assert len(again.here) == len(report.fetched)


@given(
    st.integers(0, 10**6), st.integers(0, 10**14), st.none() | st.integers(1, 64),
    st.integers(1, 256),
)  # fmt: skip
def test_never_more_processes_than_files_or_connections(files, total_bytes, asked, connections):
    count = count_of(files, total_bytes, asked=asked, connections=connections)
    assert 1 <= count <= max(1, min(files, connections))
    if asked is not None:
        assert count <= asked


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for children in /proc")
@pytest.mark.parametrize("times", [1, 2])
def test_a_child_that_does_not_answer_does_not_hold_up_ctrl_c(tmp_path, server, held, crew, times):
    _, go = held
    children = crew.children()
    os.kill(children[0], signal.SIGSTOP)
    for _ in range(times):
        crew.parent.send_signal(signal.SIGINT)
        time.sleep(0.5)
    assert set(crew.statuses()) <= {"fetched", "not tried"}
    until(lambda: all(gone(pid) for pid in children), "the children end", 5)
    go.set()
    assert fetch(plan_of(tmp_path / "to", server.url), tmp_path / "ix").ok
    assert whole(tmp_path / "to")


def test_what_lies_about_or_is_printed_at_the_start_does_not_stop_a_child(
    tmp_path, server, caplog, monkeypatch
):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("print('hello')")
    (tmp_path / "queue.py").write_text("raise SystemExit('not the module that is meant')")
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{before}")
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.DEBUG, "openallen"):
        report = fetch(plan_of(tmp_path / "to", server.url, range(20)), tmp_path / "ix")
    assert report.ok
    assert "worker process" not in caplog.text


@pytest.mark.parametrize("program", ["printf '\\000openallen\\nnonsense'; exec sleep 100", ""])
def test_without_children_the_parent_fetches(tmp_path, server, caplog, monkeypatch, program):
    python = tmp_path / "python"
    if program:
        python.write_text(f"#!/bin/sh\n{program}\n")
        python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    report = fetch(plan_of(tmp_path / "to", server.url, range(20)), tmp_path / "ix")
    assert (len(report.fetched), len(server.seen)) == (20, 20)
    assert ("sent something unreadable" if program else "no further worker process") in caplog.text


@pytest.mark.parametrize("most", [24, 28, 32, 36])
def test_few_open_files_are_named_not_raised(tmp_path, server, most):
    code = FETCH.format(
        tests=str(Path(__file__).parent), support=str(Path(__file__).parent.parent / "support"),
        to=str(tmp_path / "to"), url=server.url, ix=str(tmp_path / "ix"),
    )  # fmt: skip
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({most}, {most}))\n"
    code = code.replace("from pathlib", limit + "from pathlib", 1)
    code = code.replace("/ix'))", "/ix'), processes=1)")
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=90
    )
    assert "Traceback" not in done.stderr
    assert set(json.loads(done.stdout)) <= {"fetched", "failed", "not tried"}
