"""A plan shared among the workers of a cluster: each file once, one report, whoever is lost."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from clusters import BLOCKED, SOURCE, WAIT_S, Hosts, TestCluster, another_version, until
from loopback import Loopback, Reply, Request

from openallen.cluster import connect
from openallen.errors import (
    StoreError,
    UnreachableError,
    UsageError,
)
from openallen.plans import Outcome, Plan, RemoteFile
from openallen.store import Index, Leases
from openallen.transfer import Cluster, run
from openallen.transfer.admission import Entry
from openallen.transfer.assigned import Assignment, Relay, fetching
from openallen.transfer.batches import BATCH_FILES, Batches
from openallen.transfer.progress import Meter, Quiet
from openallen.transport import Http, Retry
from openallen.version import __version__

distributed = pytest.importorskip("distributed")

QUICK = Retry(attempts=2, first_wait_s=0.01)
SIZES = [*[3_000] * 60, *[1_200_000] * 4]


def body_of(number: int) -> bytes:
    seed = hashlib.sha256(str(number).encode()).digest()
    return (seed * (SIZES[number] // 32 + 1))[: SIZES[number]]


class Gate:
    """Holds answers back until it is opened, and says when the first request came."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, number: int):
        def handle(request: Request, reply: Reply) -> None:
            self.begun.set()
            self.go.wait(WAIT_S)
            reply.send(body_of(number))

        return handle


@pytest.fixture
def server(loopback):
    def serve(number: int):
        return lambda request, reply: reply.send(body_of(number))

    return loopback({f"/{i}": serve(i) for i in range(len(SIZES))})


@pytest.fixture
def gate(server):
    """Holds the larger files back."""
    gate = Gate()
    server.routes |= {f"/{i}": gate(i) for i in range(60, 64)}
    yield gate
    gate.go.set()


@pytest.fixture
def team(dask_cluster):
    return dask_cluster


def plan_of(to: Path, url: str, numbers=None, *, digests: bool = True) -> Plan:
    files = [
        RemoteFile(
            address=f"file:{i}", url=f"{url}/{i}", path=f"f/{i}", kind="files",
            size_bytes=SIZES[i] if digests else None,
            digest=f"sha256:{hashlib.sha256(body_of(i)).hexdigest()}" if digests else "",
        )
        for i in (range(len(SIZES)) if numbers is None else numbers)
    ]  # fmt: skip
    return Plan(
        address="file:all", title="files", source="test", to=to, files=tuple(files), connections=6
    )


def fetch(plan: Plan, index: Path, scheduler=None, **options):
    cluster = None
    if scheduler is not None:
        told = {k: options.pop(k) for k in ("own_disks", "patience_s") if k in options}
        cluster = Cluster(scheduler=scheduler, **told)
    with Http(silence_timeout_s=20) as http, Index(index) as found:
        return run(
            plan, http=http, index=found, cluster=cluster,
            **({"retry": QUICK, "processes": 1} | options),
        )  # fmt: skip


def told(report) -> list[tuple]:
    return [(o.file.path, o.status, o.digest, o.size_bytes, str(o.error)) for o in report.outcomes]


def whole(to: Path, count: int = len(SIZES)) -> bool:
    return all((to / "f" / str(i)).read_bytes() == body_of(i) for i in range(count))


def names(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


class Counting(Quiet):
    """Keeps the meter, and what was said."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.workers = 0

    def started(self, plan: Plan, meter: Meter) -> None:
        self.meter = meter

    def settled(self, outcome: Outcome) -> None:
        self.paths.append(outcome.file.path)
        self.workers = max(self.workers, self.meter.read().workers)


# --- everything once ------------------------------------------------------------------------------


def test_the_report_is_that_of_one_process_and_each_file_is_asked_for_once(tmp_path, server, team):
    server.routes |= {
        "/5": lambda q, r: r.send(b"gone", "404 Not Found"),
        "/61": lambda q, r: r.send(b"w" * 1_200_000),
    }
    counting = Counting()
    plan = plan_of(tmp_path / "to", server.url)
    plan.to.mkdir()
    left = plan.to / ".openallen-0123456789abcdef"  # by a caller that was killed
    left.write_text("x")
    os.utime(left, (0, 0))
    report = fetch(plan, tmp_path / "ix", team.address, observer=counting)
    asked = Counter(r.target for r in server.seen)
    assert asked == {f"/{i}": 1 for i in range(64)} | {"/61": 2}  # what is damaged is tried again
    assert server.busy_most <= plan.connections
    server.seen.clear()
    alone = fetch(plan_of(tmp_path / "alone", server.url), tmp_path / "ix2")
    assert told(report) == told(alone)
    assert sorted(counting.paths) == sorted(f.path for f in plan.files)
    reading = counting.meter.read()
    assert (reading.files_done, reading.files_failed) == (len(SIZES), 2)
    assert reading.bytes_done >= report.fetched_bytes
    assert counting.workers == 2
    # No lease, no part, and not the file by which workers knew the folder.
    assert names(tmp_path / "to") == {f"f/{i}" for i in range(64)} - {"f/5", "f/61"}
    server.seen.clear()
    again = fetch(plan, tmp_path / "ix", team.address)
    assert (len(again.here), len(again.failed)) == (62, 2)
    assert {r.target for r in server.seen} == {"/5", "/61"}
    server.seen.clear()
    nowhere = fetch(
        plan_of(tmp_path / "to", server.url, range(5)), tmp_path / "ix", "tcp://[::1]:9"
    )
    assert nowhere.ok  # everything is here: no scheduler is asked
    assert not server.seen


def test_both_workers_fetch_and_a_client_may_be_handed_in(tmp_path, server, team, gate):
    with team.client() as client:
        counting = Counting()
        done: list = []
        plan = plan_of(tmp_path / "to", server.url, range(60, 64))
        thread = threading.Thread(
            target=lambda: done.append(fetch(plan, tmp_path / "ix", client, observer=counting))
        )
        thread.start()
        until(lambda: server.busy == 2, "both workers ask")  # one file a batch: there are few
        gate.go.set()
        thread.join(WAIT_S)
        assert done[0].ok
        assert client.status == "running"
        until(lambda: not client.futures, "nothing is kept on the cluster", 10)


def test_few_files_are_spread_and_large_ones_go_alone():
    def file(number: int, size: int | None) -> RemoteFile:
        return RemoteFile(
            address="a", url="u", path=f"{number}", kind="files", size_bytes=size,
        )  # fmt: skip

    few = Batches([file(i, 10) for i in range(16)])
    assert [len(few.take(2)) for _ in range(3)] == [2, 1, 1]
    many = Batches([*(file(i, 10) for i in range(5_000)), file(5_000, 1 << 30)])
    assert [f.path for f in many.take(2)] == ["5000"]
    assert len(many.take(2)) == BATCH_FILES
    unknown = Batches([file(i, None) for i in range(5_000)])
    assert len(unknown.take(1)) <= BATCH_FILES
    back = many.take(2)
    for one in back:
        many.put_back(one, alone=True)
    assert [len(many.take(2)) for _ in back] == [1] * len(back)


# --- who is lost ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_a_killed_worker_had_is_fetched_by_others_and_the_rest_is_not_fetched_again(
    tmp_path, server, gate, team, caplog
):
    plan = plan_of(tmp_path / "to", server.url, digests=False)
    done: list = []
    thread = threading.Thread(
        target=lambda: done.append(fetch(plan, tmp_path / "ix", team.address))
    )
    thread.start()
    gate.begun.wait(WAIT_S)
    until(lambda: len({r.target for r in server.seen}) == len(SIZES) or server.busy >= 2, "busy")
    team.kill_worker("one")
    # Those that join later take part, unless they cannot.
    team.start_worker("three")
    team.start_worker("old", env=another_version(tmp_path, "0.0.9"))
    until(lambda: "a worker is left out" in caplog.text, "it is noticed")
    assert "has 0.0.9" in caplog.text
    gate.go.set()
    thread.join(WAIT_S)
    assert done[0].ok
    assert whole(tmp_path / "to")
    assert names(tmp_path / "to") == {f"f/{i}" for i in range(64)}
    asked = [r.target for r in server.seen]
    twice = {t for t in asked if asked.count(t) > 1}
    # Only what was under way on the killed worker, and never a file that was there.
    assert len(twice) <= BATCH_FILES
    assert all(asked.count(t) == 1 for t in asked if int(t[1:]) < 60 and t not in twice)
    assert len(asked) - len(set(asked)) <= 6  # its connections


@pytest.mark.slow
def test_a_scheduler_that_comes_back_finds_the_run_waiting(tmp_path, server, gate, team):
    plan = plan_of(tmp_path / "to", server.url)
    done: list = []
    thread = threading.Thread(target=lambda: done.append(fetch(plan, tmp_path / "ix", team.file)))
    thread.start()
    gate.begun.wait(WAIT_S)
    team.kill_scheduler()
    # Without a scheduler workers end; what they had under way is dropped.
    for worker in team.workers.values():
        worker.wait(WAIT_S)
    assert not list((tmp_path / "to").rglob("*.lease"))
    team.workers.clear()
    team.start_scheduler()
    team.start_worker("three")
    gate.go.set()
    thread.join(WAIT_S)
    assert done[0].ok
    assert whole(tmp_path / "to")


@pytest.mark.slow
def test_without_any_worker_left_the_rest_is_named_and_the_next_run_goes_on(
    tmp_path, server, gate, team, caplog
):
    team.kill_worker("two")
    plan = plan_of(tmp_path / "to", server.url)
    done: list = []
    thread = threading.Thread(
        target=lambda: done.append(fetch(plan, tmp_path / "ix", team.address, patience_s=1))
    )
    thread.start()
    gate.begun.wait(WAIT_S)
    team.kill_worker("one")
    thread.join(WAIT_S)
    gate.go.set()
    report = done[0]
    assert report.failed
    assert "has no workers" in str(report.failed[0].error)
    assert "is lost" in caplog.text
    with pytest.raises(UnreachableError, match="has no workers"):  # nothing was begun
        fetch(plan, tmp_path / "ix", team.address, patience_s=0.5)
    assert fetch(plan, tmp_path / "ix").ok
    assert whole(tmp_path / "to")


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_the_tasks_and_the_next_run_goes_on(tmp_path, archive, team, times):
    slow = archive("delay=0.3")
    options = ["fetch", "stack:313862022", "--to", str(tmp_path / "to"), "--downsample", "5",
               "--planes", ":20", "--source", slow, "--yes", "--scheduler", team.address,
               "--store", str(tmp_path / "store")]  # fmt: skip
    env = os.environ | {"PYTHONPATH": str(SOURCE)}
    caller = subprocess.Popen(
        [sys.executable, "-m", "openallen", *options], env=env, stderr=subprocess.PIPE, text=True
    )
    until(lambda: list((tmp_path / "to").glob("planes/*.jpg")), "the first plane")
    for _ in range(times):
        caller.send_signal(signal.SIGINT)
        time.sleep(0.1)
    _, said = caller.communicate(timeout=20)
    assert caller.returncode == 130, said
    assert "Traceback" not in said
    until(lambda: not list((tmp_path / "to").rglob("*.lease")), "leases are let go", 5)
    assert not list((tmp_path / "to").glob(".openallen-*"))
    if times == 2:
        return
    manifest = json.loads((tmp_path / "to" / "manifest.json").read_text())
    here = [p for p in manifest["planes"] if p.get("path")]
    assert 0 < len(here) < 20
    done = subprocess.run([sys.executable, "-m", "openallen", *options, "--json"], env=env,
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    report = json.loads(done.stdout)["reports"][0]
    assert (report["failed"], report["here"]) == (0, len(here))


# --- who may take part ----------------------------------------------------------------------------


@pytest.mark.slow
def test_workers_of_another_version_or_without_openallen_are_named(tmp_path, server, team):
    team.start_worker("old", env=another_version(tmp_path, "0.0.9"))
    team.start_worker("none", site=BLOCKED.format(name="openallen"))
    team.wait_for(4)
    with pytest.raises(UsageError) as caught:
        fetch(plan_of(tmp_path / "to", server.url), tmp_path / "ix", team.address)
    assert f"workers need openallen {__version__}" in caught.value.what
    assert "has 0.0.9" in caught.value.why
    assert "has none (ModuleNotFoundError" in caught.value.why
    assert caught.value.why.count("tcp://") == 2  # the others are not named
    assert "pip install" in caught.value.hint
    assert not server.seen
    # For all other work on a cluster the same.
    with pytest.raises(UsageError) as again, connect(team.address):
        pass
    assert str(again.value) == str(caught.value)


@pytest.mark.slow
def test_a_worker_that_does_not_see_the_folder_is_named_even_if_it_has_one_of_that_name(
    tmp_path, server, team
):
    to = tmp_path / "shared" / "to"
    to.mkdir(parents=True)
    hide = f'mount -t tmpfs none {tmp_path / "shared"} && mkdir {to} && exec "$@"'
    apart = ["unshare", "--mount", "sh", "-c", hide, "sh"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("another file system for a worker needs the right to mount one")
    team.kill_worker("two")
    team.start_worker("apart", prefix=apart)
    with team.client() as client:
        until(lambda: len(client.nthreads()) == 2, "both are there")
    with pytest.raises(StoreError, match="do not see this folder") as caught:
        fetch(plan_of(to, server.url), tmp_path / "ix", team.address)
    assert caught.value.why.count("tcp://") == 1
    assert "--own-disks" in caught.value.hint
    assert not server.seen
    report = fetch(
        plan_of(to, server.url), tmp_path / "ix", team.address, own_disks=True
    )  # fmt: skip
    assert report.ok
    here = names(to)
    there = {o.file.path for o in report.outcomes} - here
    assert there  # the worker apart did its share, where nobody else sees it
    assert all(o.where.endswith(f":{to / o.file.path}") for o in report.outcomes)


def test_own_disks_are_listed_and_what_is_there_is_not_fetched_again(tmp_path, server, team):
    server.routes["/5"] = lambda q, r: r.send(b"gone", "404 Not Found")
    plan = plan_of(tmp_path / "to", server.url, digests=False)
    report = fetch(plan, tmp_path / "ix", team.address, own_disks=True)
    assert len(report.failed) == 1
    assert not report.failed[0].where
    lines = (tmp_path / "to" / "openallen-files.jsonl").read_text().splitlines()
    noted = {r["path"]: r for r in map(json.loads, lines)}
    assert len(lines) == len(noted) == 63
    assert noted["f/7"]["digest"] == f"sha256:{hashlib.sha256(body_of(7)).hexdigest()}"
    assert report.to_dict()["files"][0]["where"].endswith(f":{tmp_path / 'to' / 'f' / '0'}")
    assert ": 63 files" in str(report) or "63 files" in str(report)
    server.seen.clear()
    again = fetch(plan, tmp_path / "ix", team.address, own_disks=True)
    assert (len(again.here), len(again.failed)) == (63, 1)
    assert [r.target for r in server.seen] == ["/5"]


def test_a_disk_of_a_worker_that_cannot_be_used_is_named(tmp_path, server, team):
    (tmp_path / "to").write_text("a file")
    plan = plan_of(tmp_path / "to", server.url)
    report = fetch(plan, tmp_path / "ix", team.address, own_disks=True)
    assert len(report.failed) == len(SIZES)
    assert {type(o.error) for o in report.failed} == {StoreError}


CALLER = """
import json, sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {support!r}]
from test_cluster import fetch, plan_of
from openallen.errors import OpenAllenError
from openallen.cluster.connecting import client_of
to, ix, scheduler, urls = sys.argv[1:]
client = client_of(scheduler)
client.wait_for_workers(2, timeout=60)
said = []
for url, own_disks in ((urls.split()[0], False), (urls.split()[1], True), (urls.split()[0], True)):
    try:
        report = fetch(plan_of(Path(to), url, range(40)), Path(ix), client, own_disks=own_disks)
        said.append([o.where for o in report.outcomes])
    except OpenAllenError as error:
        said.append(str(error))
print(json.dumps(said))
"""


@pytest.mark.slow
def test_hosts_of_their_own_with_disks_of_their_own(tmp_path, server):
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        hosts = Hosts(["node1", "node2"], disk)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"hosts of their own need the right to make network namespaces: {error}")
    far = Loopback(dict(server.routes), host=hosts.here)
    here = Path(__file__).parent
    code = CALLER.format(tests=str(here), support=str(here.parent / "support"))
    try:
        with TestCluster(tmp_path / "cluster", host=hosts.here) as cluster:
            for name in ("node1", "node2"):
                cluster.start_worker(name, prefix=hosts.on(name))
            done = subprocess.run(
                [sys.executable, "-c", code, str(disk / "to"), str(tmp_path / "ix"),
                 cluster.address, f"{far.url} {server.url}"],
                env=os.environ | {"PYTHONPATH": str(SOURCE)}, text=True,
                capture_output=True, timeout=100, check=False,
            )  # fmt: skip
    finally:
        far.close()
        hosts.close()
    assert done.returncode == 0, done.stderr
    unseen, elsewhere, where = json.loads(done.stdout)
    assert "do not see this folder" in unseen
    assert "on node1" in unseen
    assert "on node2" in unseen
    assert "is on a loopback address of this machine" in elsewhere
    assert Counter(r.target for r in far.seen) == {f"/{i}": 1 for i in range(40)}
    assert not server.seen
    assert {w.partition(":")[0] for w in where} == {"node1", "node2"}
    assert all(w.endswith(f":{disk}/to/f/{i}") for i, w in enumerate(where))
    assert names(disk) == set()  # nothing on the caller's


# --- schedulers -----------------------------------------------------------------------------------


def test_disks_of_workers_need_a_cluster_and_a_folder():
    import openallen as oa

    for told in ({"to": "x"}, {"scheduler": "local:1"}):
        with pytest.raises(UsageError, match="own disks"):
            oa.fetch("stack:313862022", own_disks=True, **told)


@pytest.mark.parametrize("of_a_cluster", [False, True])
def test_a_worker_waits_for_no_record_that_nobody_can_write(
    server, tmp_path, monkeypatch, of_a_cluster
):
    """Its index is its own, for one batch: three seconds a batch went by for nothing."""
    begun_s = time.time() + 60 if of_a_cluster else None
    waits: list[float] = []
    plan = plan_of(tmp_path, server.url, [0], digests=False)
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "0").write_bytes(b"just written, by whom is not known")
    monkeypatch.setattr("openallen.transfer.admission.time.sleep", waits.append)
    if begun_s is not None:
        os.utime(tmp_path / "f" / "0", (begun_s - 5, begun_s - 5))
    monkeypatch.setattr("openallen.transfer.admission._RECORDED_WITHIN_S", 0.2)
    with Http() as http, Index(tmp_path / "index") as index, closing(Leases()) as leases:
        order = Assignment(
            to=tmp_path, index=tmp_path / "index", http=http.options, connections=1, most_large=1,
            verify=True, retry=QUICK, log_level=0, begun_s=begun_s,
        )  # fmt: skip
        work = fetching(order, Relay(lambda *_: None, lambda: None), http=http, index=index,
                        leases=leases)  # fmt: skip
        assert isinstance(work.admission.enter(plan.files[0]), Entry)
    assert bool(waits) == (begun_s is None)
