"""Schedulers and workers that are what they should be, or not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from clusters import SOURCE, free_port, until

import openallen as oa
from openallen.cli.app import root
from openallen.cluster import check_scheduler, check_workers, connect, each
from openallen.cluster.connecting import client_of
from openallen.errors import MissingExtraError, OpenAllenError, UnreachableError, UsageError

pytest.importorskip("distributed")


@pytest.mark.parametrize(
    "where",
    ["", "local:", "local:0", "local:x", "local:-1", "local:999999", "local:²", "nowhere", "tcp://",
     "tcp://h", "http://127.0.0.1:8787/status", "a b:1", 3, None, b"tcp://h:1", {}],
)  # fmt: skip
def test_what_names_no_scheduler_is_refused_at_once_and_by_all_alike(where, tmp_path):
    with pytest.raises(UsageError) as caught:
        check_scheduler(where)
    assert caught.value.hint
    with pytest.raises(UsageError) as again, connect(where):
        pass
    assert str(again.value) == str(caught.value)
    if where is not None:  # which is no cluster
        with pytest.raises(UsageError) as fetched:
            oa.fetch("stack:313862022", to=tmp_path / "to", source="sample", scheduler=where)
        assert str(fetched.value) == str(caught.value)


@pytest.mark.parametrize(
    "where",
    ["tcp://10.0.0.1:8786", "node7:8786", "tls://[::1]:8786", "inproc://10.0.0.1/812/1",
     "gateway://host:80/cluster.7", "local:256", "local"],
)  # fmt: skip
def test_what_may_be_a_scheduler_is_not_refused(where):
    check_scheduler(where)


@pytest.mark.parametrize("text", [None, "", "{}", "[", '{"address": 3}', "[" * 100_000, b"\xff"])
def test_files_without_an_address_are_refused_by_name(tmp_path, text):
    file = tmp_path / "scheduler.json"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    for where in (file, str(file)):
        with pytest.raises(UsageError, match="not the file of a scheduler") as caught:
            check_scheduler(where)
        assert caught.value.address == str(file)
        assert caught.value.hint == f"dask scheduler --scheduler-file {file}"


@pytest.mark.parametrize(
    "words",
    [["fetch", "stack:313862022", "--source", "sample"], ["convert", "cell"],
     ["bench", "compression", "NP1"]],
    ids=lambda words: words[0],
)  # fmt: skip
def test_the_commands_refuse_it_alike(words):
    error = CliRunner().invoke(root, [*words, "--scheduler", "nowhere"]).exception
    assert isinstance(error, UsageError)
    assert error.what == "'nowhere' is not the address of a scheduler"
    assert "local:4" in error.hint


def test_schedulers_that_do_not_answer_are_named_in_time(tmp_path, loopback):
    nobody = f"tcp://127.0.0.1:{free_port()}"
    file = tmp_path / "scheduler.json"
    file.write_text(f'{{"address": "{nobody}"}}')
    silent = loopback().url.replace("http", "tcp")
    for where in (nobody, file, silent, "nonsense://127.0.0.1:1"):
        start = time.monotonic()
        with pytest.raises(UnreachableError, match="does not answer") as caught:
            client_of(where, timeout_s=0.5)
        assert caught.value.address == str(where)
        assert "dask scheduler" in caught.value.hint
        assert time.monotonic() - start < 15


def test_a_scheduler_without_workers_is_an_error_before_and_after(dask_scheduler):
    from clustertasks import end_the_worker

    with (
        pytest.raises(UnreachableError, match="has no workers") as caught,
        connect(dask_scheduler.address, patience_s=0.3),
    ):
        pass
    assert caught.value.hint == f"dask worker {dask_scheduler.address}"
    dask_scheduler.start_worker("one")
    with connect(dask_scheduler.address) as client:
        found = list(each(client, end_the_worker, {"bad": (True,)}, patience_s=0.5))
    ((key, result, error),) = found
    assert (key, result) == ("bad", None)
    assert isinstance(error, UnreachableError)
    assert "no workers any more" in str(error)
    assert error.hint == caught.value.hint


def test_clients_files_and_cluster_objects_name_the_same(dask_cluster):
    class Object:
        scheduler_address = dask_cluster.address
        security = None

    with dask_cluster.client() as given:
        for where in (
            dask_cluster.address,
            dask_cluster.file,
            str(dask_cluster.file),
            Object,
            given,
        ):
            with connect(where) as client:
                assert len(check_workers(client)) == 2
                assert (client is given) == (where is given)
            assert client.status == ("running" if where is given else "closed")
    with pytest.raises(UnreachableError, match="not connected"), connect(given):
        pass


def test_tasks_are_done_and_errors_come_back(dask_cluster):
    with connect(dask_cluster.address) as client:
        assert len(check_workers(client)) == 2
        found = {
            k: (r, e) for k, r, e in each(client, divmod, {n: (n,) for n in range(4)}, shared=6)
        }
        assert {k: r for k, (r, e) in found.items() if e is None} == {
            1: (6, 0),
            2: (3, 0),
            3: (2, 0),
        }
        assert isinstance(found[0][1], ZeroDivisionError)
        with connect(client) as same:  # it stays open
            assert same is client
        assert client.status == "running"


def test_what_a_killed_worker_had_taken_is_done_again(dask_cluster, tmp_path):
    from clustertasks import note_and_wait

    first = {}
    with connect(dask_cluster.address) as client:
        going = each(client, note_and_wait, {n: (n,) for n in range(6)}, shared=str(tmp_path))
        for key, result, error in going:
            assert error is None
            first[key] = result
            if len(first) == 1:
                dask_cluster.kill_worker("one")
    assert sorted(first) == list(range(6))
    assert set(first.values()) >= {dask_cluster.workers["two"].pid}
    begun = [p.name for p in tmp_path.iterdir()]
    assert {name.partition("-")[0] for name in begun} == {str(n) for n in range(6)}


def test_a_task_that_ends_its_workers_is_an_error_of_ours(dask_scheduler):
    from clustertasks import end_the_worker

    dask_scheduler.start_worker("again", more=["--nanny"])
    with connect(dask_scheduler.address) as client:
        tasks = {"bad": (True,), "good": (False,), "fine": (False,)}
        errors = {key: error for key, _, error in each(client, end_the_worker, tasks)}
    assert errors["good"] is errors["fine"] is None
    assert isinstance(errors["bad"], OpenAllenError)
    assert "ended, one after the other" in str(errors["bad"])


def test_a_scheduler_that_comes_back_goes_on_and_one_that_does_not_is_named(dask_cluster, tmp_path):
    from clustertasks import note_and_wait

    with connect(dask_cluster.address) as client:
        tasks = {n: (n,) for n in range(4)}
        going = each(client, note_and_wait, tasks, shared=str(tmp_path), patience_s=20)
        done = [next(going)[0]]
        dask_cluster.close()
        dask_cluster.start_scheduler()
        dask_cluster.start_worker("one")
        done += [key for key, _, error in going if error is None]
        assert sorted(done) == [0, 1, 2, 3]
        going = each(client, note_and_wait, tasks, shared=str(tmp_path), patience_s=0.5)
        next(going)
        dask_cluster.close()
        rest = list(going)
        assert len(rest) == 3
        for _, _, error in rest:
            assert isinstance(error, UnreachableError)
            assert error.address == dask_cluster.address


def test_giving_up_cancels_what_has_not_begun(dask_cluster, tmp_path):
    from clustertasks import note_and_wait

    with connect(dask_cluster.address) as client:
        going = each(client, note_and_wait, {n: (n,) for n in range(30)}, shared=str(tmp_path))
        next(going)
        going.close()
        time.sleep(1)
        assert len(list(tmp_path.iterdir())) < 15
        assert not client.futures


SCRIPT = """
import sys
import openallen as oa
from openallen.cli.app import root
from openallen.cluster import connect, each
print("run", flush=True)
with connect("local:2") as client:
    print(sorted((k, r) for k, r, e in each(client, divmod, {n: (n,) for n in (1, 2)}, shared=7)))
    stack = oa.fetch("stack:313862022", to="to", source=sys.argv[1], downsample=5, planes=":6",
                     projections=False, morphology=False, scheduler=client)
    print(len(stack.planes), client.status, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_local_workers_do_not_run_the_script_again_and_end_with_it(tmp_path, sample_url):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(script), sample_url], env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    ) as caller:  # fmt: skip
        lines = [caller.stdout.readline().strip() for _ in range(3)]
        family = descendants(caller.pid)
        caller.kill()  # the cluster ends with whoever started it, in whatever way that ends
        said = caller.stderr.read()
    assert lines == ["run", "[(1, (7, 0)), (2, (3, 1))]", "6 running"], said
    assert said == ""
    assert len(family) >= 3 or not Path("/proc/self").exists()  # one that has the cluster, and two
    until(lambda: not any(is_there(pid) for pid in family), "all of them have ended", 20)


def descendants(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            found += [int(path.parent.name)] if parent == pid else []
    return found + [one for child in found for one in descendants(child)]


def is_there(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_without_the_extra_the_command_that_installs_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    for ask in (lambda: check_scheduler("local:1"), lambda: connect("local:1").__enter__()):
        with pytest.raises(MissingExtraError) as caught:
            ask()
        assert caught.value.extra == "cluster"
        assert "[cluster]" in str(caught.value)
