"""Schedulers and workers that are what they should be, or not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from computing import SOURCES, Cluster, cluster, other_version, without_openallen

from openallen.cluster import check_workers, connect, each
from openallen.errors import MissingExtraError, OpenAllenError, UnreachableError, UsageError
from openallen.version import __version__

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
def two(running):
    """A scheduler with two workers, new ones for each test."""
    running.add(2)
    yield running
    running.remove()


@pytest.mark.parametrize(
    "where", ["", "local:", "local:0", "local:many", "local:-1", "local:999999", "nowhere", "tcp://"]
)  # fmt: skip
def test_what_names_no_scheduler_is_said(where):
    with pytest.raises(UsageError) as caught, connect(where):
        pass
    assert caught.value.hint


def test_schedulers_that_do_not_answer_are_named(tmp_path):
    with pytest.raises(UnreachableError) as caught, connect("tcp://127.0.0.1:9", patience_s=0.5):
        pass
    assert caught.value.address == "tcp://127.0.0.1:9"
    assert caught.value.hint == "dask scheduler"
    file = tmp_path / "scheduler.json"
    with pytest.raises(UsageError, match="no file of a scheduler"), connect(str(file)):
        pass
    for text in ("", "{}", "[", '{"address": 3}'):
        file.write_text(text)
        with pytest.raises(UsageError, match="no file of a scheduler"), connect(str(file)):
            pass
    file.write_text('{"address": "tcp://127.0.0.1:9"}')
    with (
        pytest.raises(UnreachableError, match=r"scheduler\.json"),
        connect(str(file), patience_s=0.5),
    ):
        pass


def test_a_scheduler_without_workers_is_an_error(running):
    with (
        pytest.raises(UnreachableError, match="has no workers") as caught,
        connect(running.address, patience_s=0.3),
    ):
        pass
    assert caught.value.hint == f"dask worker {running.address}"


def test_workers_of_another_version_and_without_openallen_are_named(running, tmp_path):
    running.add(path=other_version(tmp_path / "other"))
    running.add()
    try:
        with (
            pytest.raises(UsageError, match=r"openallen 0\.0\.9, not") as caught,
            connect(running.address),
        ):
            pass
        assert caught.value.address.startswith("tcp://127.0.0.1:")
        assert "1 of 2 workers" in caught.value.why
        assert caught.value.hint == f"pip install openallen=={__version__}"
        running.remove()
        running.add(path=without_openallen(tmp_path / "without"))
        with distributed.Client(running.address, set_as_default=False) as client:
            while len(client.scheduler_info(n_workers=-1)["workers"]) > 1:
                time.sleep(0.05)
            with pytest.raises(UsageError, match="has no openallen") as caught:
                check_workers(client)
        assert "install" in caught.value.hint
    finally:
        running.remove()


def test_tasks_are_done_and_errors_come_back(two):
    with connect(two.address) as client:
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


def test_what_a_killed_worker_had_taken_is_done_again(two, tmp_path):
    from clustertasks import note_and_wait

    first = {}
    with connect(two.address) as client:
        going = each(client, note_and_wait, {n: (n,) for n in range(6)}, shared=str(tmp_path))
        for key, result, error in going:
            assert error is None
            first[key] = result
            if len(first) == 1:
                Cluster.kill(two.workers[0])
    assert sorted(first) == list(range(6))
    assert set(first.values()) >= {two.workers[1].pid}
    begun = [p.name for p in tmp_path.iterdir()]
    assert {name.partition("-")[0] for name in begun} == {str(n) for n in range(6)}


def test_a_task_that_ends_its_workers_is_an_error_of_ours(running):
    from clustertasks import end_the_worker

    running.add(nanny=True)
    try:
        with connect(running.address) as client:
            found = list(
                each(client, end_the_worker, {"bad": (True,), "good": (False,), "fine": (False,)})
            )
        errors = {key: error for key, _, error in found}
        assert errors["good"] is errors["fine"] is None
        assert isinstance(errors["bad"], OpenAllenError)
        assert "ended, one after the other" in str(errors["bad"])
    finally:
        running.remove()


def test_a_scheduler_that_comes_back_goes_on_and_one_that_does_not_is_named(tmp_path):
    from clustertasks import note_and_wait

    with cluster(tmp_path, 1) as made, connect(made.address, patience_s=20) as client:
        tasks = {n: (n,) for n in range(4)}
        going = each(client, note_and_wait, tasks, shared=str(tmp_path), patience_s=20)
        done = [next(going)[0]]
        made.remove()
        Cluster.kill(made.scheduler)
        again = threading.Thread(target=lambda: (made.start_scheduler(), made.add(1)))
        again.start()
        done += [key for key, _, error in going if error is None]
        again.join()
        assert sorted(done) == [0, 1, 2, 3]
        going = each(client, note_and_wait, tasks, shared=str(tmp_path), patience_s=0.5)
        next(going)
        made.close()
        rest = list(going)
        assert len(rest) == 3
        for _, _, error in rest:
            assert isinstance(error, UnreachableError)
            assert error.address == made.address


def test_without_any_worker_left_the_rest_is_an_error(running):
    from clustertasks import end_the_worker

    running.add()
    with connect(running.address) as client:
        found = list(each(client, end_the_worker, {"bad": (True,)}, patience_s=0.5))
    running.remove()
    ((key, result, error),) = found
    assert (key, result) == ("bad", None)
    assert isinstance(error, UnreachableError)
    assert "no workers any more" in str(error)


def test_giving_up_cancels_what_has_not_begun(two, tmp_path):
    from clustertasks import note_and_wait

    with connect(two.address) as client:
        going = each(client, note_and_wait, {n: (n,) for n in range(30)}, shared=str(tmp_path))
        next(going)
        going.close()
        time.sleep(1)
        assert len(list(tmp_path.iterdir())) < 15
        assert not client.futures


SCRIPT = """
import sys
from openallen.cluster import connect, each
print("run", flush=True)
with connect("local:2") as client:
    print(sorted((k, r) for k, r, e in each(client, divmod, {n: (n,) for n in (1, 2)}, shared=7)))
"""


def test_local_workers_do_not_run_the_script_again_and_end_with_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    env = os.environ | {"PYTHONPATH": str(SOURCES)}
    done = subprocess.run(
        [sys.executable, str(script)], env=env, check=False, capture_output=True, text=True, timeout=90, cwd=tmp_path
    )  # fmt: skip
    assert done.stdout.splitlines() == ["run", "[(1, (7, 0)), (2, (3, 1))]"], done.stderr
    assert done.stderr == ""


def test_without_the_extra_the_command_that_installs_it_is_told(tmp_path):
    (tmp_path / "distributed.py").write_text("raise ModuleNotFoundError(name='distributed')")
    code = "from openallen.cluster import connect\nwith connect('local:1'): pass"
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(SOURCES)])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, check=False, capture_output=True, text=True
    )
    assert "MissingExtraError" in done.stderr
    assert "[cluster]" in done.stderr
    assert MissingExtraError("cluster", "work").extra == "cluster"
