"""One question to many sessions, on a real scheduler with workers in processes of their own."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from clustertasks import note_session

import openallen as oa
from openallen.errors import UsageError
from openallen.sessions.across import Sessions

distributed = pytest.importorskip("distributed")
NAME = "release:visual-behavior-ophys"
EXPERIMENT = 951980471


@pytest.fixture
def sessions(release):
    """Sessions of a release on a real S3 server; all but one are files of no kind."""
    return oa.open(f"{NAME}@1.0.0").sessions("ophys_experiment")


def many(sessions: Sessions, count: int) -> Sessions:
    """The same session under several ids: a file that opens, as often as wanted."""
    address = sessions.addresses[EXPERIMENT]
    return Sessions(dict.fromkeys(range(count), address), sessions.opening, sessions.name)


def test_a_cluster_answers_what_threads_answer(sessions, dask_cluster):
    factor = 3  # a closure, and a lambda: neither can be imported
    told: list[tuple[int, int, int]] = []

    def ask(session):
        return {"cells": factor * len(session.cell_specimen_table), "dff": session.dff_traces}

    here = sessions.map(ask)
    there = sessions.map(ask, client=dask_cluster.address, progress=lambda *s: told.append(s))
    assert list(there.values) == list(here.values) == [EXPERIMENT]
    assert there.values[EXPERIMENT]["cells"] == 24
    np.testing.assert_array_equal(
        np.stack(there.values[EXPERIMENT]["dff"]["dff"]),
        np.stack(here.values[EXPERIMENT]["dff"]["dff"]),
    )
    # The failures are the same, session by session, in the same order.
    assert list(there.errors) == list(here.errors)
    assert {i: e.partition("\n")[0] for i, e in there.errors.items()} == {
        i: e.partition("\n")[0] for i, e in here.errors.items()
    }
    assert told[-1] == (len(sessions), len(sessions), len(sessions) - 1)
    assert [step[0] for step in told] == list(range(1, len(sessions) + 1))


def test_tasks_are_small_and_each_session_is_opened_once_by_a_worker(
    sessions, dask_cluster, tmp_path
):
    some, store = many(sessions, 6), tmp_path / "worker-store"
    with distributed.Client(dask_cluster.address, set_as_default=False) as client:
        answers = some.map(
            lambda s: note_session(s, tmp_path / "notes"), client=client, store=store
        )
        assert not answers.errors, answers.errors
        assert client.status == "running"
    notes = sorted(p.name for p in (tmp_path / "notes").iterdir())
    assert len(notes) == 6
    assert set(answers.values.values()) <= {worker.pid for worker in dask_cluster.workers.values()}
    assert list((store / "ranges").glob("*.data"))  # what was read is in the store of the workers
    assert not (Path(os.environ["OPENALLEN_STORE"]) / "ranges").exists()


def test_sessions_of_a_killed_worker_are_done_again(sessions, dask_cluster, tmp_path):
    some, notes = many(sessions, 6), tmp_path / "notes"
    killed = threading.Event()

    def kill(done, total, failed):
        if not killed.is_set():
            killed.set()
            dask_cluster.kill_worker("one")

    with dask_cluster.client() as client:
        answers = some.map(lambda s: note_session(s, notes, 0.3), client=client, progress=kill)
    assert not answers.errors, answers.errors
    assert sorted(answers.values) == list(range(6))
    # What the killed worker had done and not yet handed over is done again, by the other one; nobody
    # does a session twice.
    done = Counter(name.name.partition("-")[0] for name in notes.iterdir())
    survivor = str(dask_cluster.workers["two"].pid)
    assert done[survivor] <= 6 <= done.total()
    assert len(done) <= 2


def test_results_that_cannot_be_sent_name_their_session(sessions, dask_cluster):
    one = many(sessions, 1)
    made = one.map(lambda s: (n for n in range(3)), client=dask_cluster.address)
    assert "cannot be sent back: a generator" in made.errors[0]
    assert one.addresses[0] in made.errors[0]
    assert "return numbers, arrays or tables" in made.errors[0]
    ended = one.map(lambda s: sys.exit(3), client=dask_cluster.address)
    assert "SystemExit: 3" in ended.errors[0]
    with distributed.Client(dask_cluster.address, set_as_default=False) as client:
        assert len(client.nthreads()) == 2  # nothing of this ended a worker


def test_functions_that_cannot_be_sent_are_refused_before_anything_is_done(sessions, dask_cluster):
    lock, large = threading.Lock(), bytes(17 << 20)
    with pytest.raises(UsageError, match="cannot be sent to other machines"):
        sessions.map(lambda s: lock, client=dask_cluster.address)
    with pytest.raises(UsageError, match="carries too much"):
        sessions.map(lambda s: large, client=dask_cluster.address)
    with pytest.raises(UsageError, match="its own workers"):
        sessions.map(repr, client=dask_cluster.address, workers=3)
    with pytest.raises(UsageError, match="needs a client"):
        sessions.map(repr, store="/elsewhere")
    with pytest.raises(UsageError, match="not the address of a scheduler"):
        sessions.map(repr, client="here")


def test_a_module_that_workers_lack_is_named(sessions, dask_cluster, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def ask(session):\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    answers = many(sessions, 1).map(only_here.ask, client=dask_cluster.address)
    assert "cannot be loaded on the worker" in answers.errors[0]
    assert "No module named 'only_here'" in answers.errors[0]
    assert "upload_file" in answers.errors[0]


def test_ctrl_c_cancels_what_has_not_begun(sessions, dask_cluster, tmp_path):
    def interrupt(*step):
        raise KeyboardInterrupt

    notes = tmp_path / "notes"
    with pytest.raises(KeyboardInterrupt):
        many(sessions, 30).map(
            lambda s: note_session(s, notes, 0.2), client=dask_cluster.address, progress=interrupt
        )
    time.sleep(1)
    begun = len(list(notes.iterdir()))
    time.sleep(0.5)
    assert len(list(notes.iterdir())) == begun < 15
