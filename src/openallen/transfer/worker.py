"""The child's side of a plan shared among processes: takes files, fetches them, tells of them."""

from __future__ import annotations

import logging
import os
import pickle
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO

from openallen.plans import RemoteFile
from openallen.store import Index, Leases
from openallen.transfer.assigned import Assignment, Relay, fetching
from openallen.transfer.fetching import Kind
from openallen.transfer.processes import READY
from openallen.transport import Http

__all__ = ["main"]


def main() -> None:
    """Fetch what the parent hands out, until there is no more, or no parent."""
    # What anything prints must not come between the messages; nor may the interpreter's own
    # standard input be held by a thread when it ends.
    from_parent, to_parent = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    to_parent.write(READY)
    parent = _Parent(from_parent, to_parent)
    assignment = parent.receive()
    assert isinstance(assignment, Assignment)
    logging.basicConfig(level=assignment.log_level, handlers=[_Forward(parent)], force=True)
    with Http(**assignment.http) as http, Index(assignment.index) as index:
        _work(parent, assignment, http, index)


def _work(parent: _Parent, assignment: Assignment, http: Http, index: Index) -> None:
    relay, leases = Relay(parent.tell), Leases()
    work = fetching(assignment, relay, http=http, index=index, leases=leases, more=parent.more)

    def gone() -> None:
        work.stop.set()
        http.close()

    parent.listen(gone)
    relay.begin()
    try:
        work.run()
    finally:
        leases.close()
        relay.end()


class _Parent:
    """The pipes to the parent."""

    def __init__(self, source: IO[bytes], sink: IO[bytes]) -> None:
        self._source, self._sink = source, sink
        self._lock = threading.Lock()
        self._batches: queue.SimpleQueue[Sequence[RemoteFile]] = queue.SimpleQueue()
        self._asking = threading.Lock()
        self._gone = False

    def receive(self) -> object:
        """Return the next message."""
        return pickle.load(self._source)  # noqa: S301 - from our own parent

    def tell(self, *message: object) -> None:
        """Send a message; nobody may be there to hear it."""
        with self._lock, suppress(OSError, ValueError):
            pickle.dump(message, self._sink)
            self._sink.flush()

    def listen(self, gone: Callable[[], None]) -> None:
        """Receive batches of files from now on; call `gone` when there is no parent any more."""

        def loop() -> None:
            with suppress(EOFError, OSError, pickle.UnpicklingError):
                while True:
                    self._batches.put(self.receive())  # type: ignore[arg-type]
            self._gone = True
            self._batches.put(())
            gone()

        threading.Thread(target=loop, name="parent", daemon=True).start()

    def more(self, kind: Kind) -> Sequence[RemoteFile]:
        """Ask for more files, and wait for them."""
        with self._asking:
            if self._gone:
                return ()
            self.tell("more", kind)
            return self._batches.get()


class _Forward(logging.Handler):
    """Hands log records to the parent."""

    def __init__(self, parent: _Parent) -> None:
        super().__init__()
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one over as text."""
        self._parent.tell("log", record.name, record.levelno, record.getMessage())
