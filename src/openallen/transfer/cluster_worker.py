"""The worker's side of a plan shared among a cluster: fetches a batch of files, tells of them."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from openallen.plans import Outcome, RemoteFile
from openallen.store import Index, Leases
from openallen.store.disk import sync_folders
from openallen.transfer.assigned import Assignment, Relay, Tell, fetching
from openallen.transport import Http

__all__ = ["FILES_NAME", "Order", "run"]

FILES_NAME: Final = "openallen-files.jsonl"
"""What names the files that a worker fetched to its own disk, a line each."""

_OWN: Final = ".openallen"
"""The folder of the index on a worker's own disk."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A batch of files for one worker.

    Parameters
    ----------
    assignment
        How they are fetched.
    files
        The files.
    topic
        Under which it is told what happens.
    number
        Which batch it is.
    own_disk
        Whether the destination is on the disk of the worker.
    """

    assignment: Assignment
    files: tuple[RemoteFile, ...]
    topic: str
    number: int
    own_disk: bool


def run(order: bytes) -> None:
    """Fetch a batch; a task of dask. What becomes of the files is told as it happens.

    Parameters
    ----------
    order
        An `Order`, pickled: the scheduler, which reads tasks too, need not have openallen.
    """
    from distributed import get_worker

    told: Order = pickle.loads(order)  # noqa: S301 - from our own caller
    worker: Any = get_worker()
    key = worker.get_current_task()

    def tell(*message: object) -> None:
        with suppress(RuntimeError):  # the loop of a worker that is closing
            said = pickle.dumps(message)
            worker.log_event(told.topic, {"batch": told.number, "said": said})

    def wanted() -> bool:
        # Nobody waits for a task that was cancelled, by the caller or because it is gone. A worker
        # that has lost its scheduler closes; its threads would go on.
        task = worker.state.tasks.get(key)
        running = worker.status.name in {"running", "paused"}
        return running and task is not None and task.state in {"executing", "long-running"}

    tell("begun")
    try:
        outcomes = _fetch(told, tell, wanted)
        if told.own_disk:
            _note(told.assignment.to, outcomes)
    finally:
        tell("over")


def _fetch(told: Order, tell: Tell, wanted: Any) -> list[Outcome]:
    assignment, leases = told.assignment, Leases()
    with _index(told) as index, Http(**assignment.http) as http:

        def look() -> None:
            if not wanted():
                work.stop.set()
                http.close()

        relay = Relay(tell, look)
        work = fetching(assignment, relay, http=http, index=index, leases=leases)
        work.waiting.extend(told.files)
        relay.begin()
        try:
            work.run()
            came = [o.file.path for o in work.outcomes.values() if o.status == "fetched"]
            sync_folders(assignment.to, came)
        finally:
            leases.close()
            relay.end()
    return list(work.outcomes.values())


@contextmanager
def _index(told: Order) -> Iterator[Index]:
    """Open the index: that of the worker's disk, or none: the caller keeps that of a shared store.

    SQLite needs locks, which network file systems of clusters do not always have.
    """
    if told.own_disk:
        with Index(told.assignment.to / _OWN) as index:
            yield index
        return
    with TemporaryDirectory(prefix="openallen-") as folder, Index(Path(folder)) as index:
        yield index


def _note(to: Path, outcomes: list[Outcome]) -> None:
    """Add the files that were fetched to the list beside them."""
    lines = [
        json.dumps(
            {
                "path": outcome.file.path,
                "address": outcome.file.address,
                "url": outcome.file.url,
                "size_bytes": outcome.size_bytes,
                "digest": outcome.digest or None,
                "fetched_at": outcome.fetched_at,
            }
        )
        for outcome in outcomes
        if outcome.status == "fetched"
    ]
    if not lines:
        return
    with suppress(OSError):  # the files are there and verified; the list is for people
        handle = os.open(to / FILES_NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(handle, "".join(f"{line}\n" for line in lines).encode())  # in one piece
        finally:
            os.close(handle)
