"""The child's side of a plan shared among processes: takes files, fetches them, tells of them."""

from __future__ import annotations

import logging
import os
import pickle
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import IO, Final

from openallen.errors import OpenAllenError
from openallen.plans import Outcome, Plan, RemoteFile
from openallen.store import Index, Leases
from openallen.transfer.fetching import Fetching, Kind
from openallen.transfer.processes import READY, Assignment
from openallen.transfer.progress import Meter
from openallen.transfer.rate_limiter import RateLimiter
from openallen.transport import Http

__all__ = ["main"]

_TELL_EVERY_S: Final = 0.2


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
    observer, leases = _Relay(parent), Leases()
    plan = Plan(address="", title="", source="", to=assignment.to, files=(), command="-")
    work = Fetching(
        plan=plan,
        http=http,
        index=index,
        retry=assignment.retry,
        observer=observer,
        rate_limiter=RateLimiter(assignment.connections),
        leases=leases,
        verify=assignment.verify,
        meter=observer.meter,
        most_large=assignment.most_large,
        more=parent.more,
    )

    def gone() -> None:
        work.stop.set()
        http.close()

    parent.listen(gone)
    observer.begin()
    try:
        work.run()
    finally:
        leases.close()
        observer.end()


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


class _Relay:
    """Tells the parent what happens, several things at a time."""

    def __init__(self, parent: _Parent) -> None:
        self.meter = Meter(0)
        self._parent = parent
        self._lock = threading.Lock()
        self._settled: list[Outcome] = []
        self._told_bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="relay", daemon=True)

    def begin(self) -> None:
        """Tell now and then from here on."""
        self._thread.start()

    def end(self) -> None:
        """Tell what was not told yet."""
        self._over.set()
        self._thread.join()
        self._flush()

    def _loop(self) -> None:
        while not self._over.wait(_TELL_EVERY_S):
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            settled, self._settled = self._settled, []
            done = self.meter.read().bytes_done
            new, self._told_bytes = done - self._told_bytes, done
        if new:
            self._parent.tell("bytes", new)
        if settled:
            self._parent.tell("settled", settled)

    def started(self, plan: Plan, meter: Meter) -> None:
        """Ignore the start: it is the parent's."""

    def settled(self, outcome: Outcome) -> None:
        """Keep an outcome until it is told."""
        with self._lock:
            # Plain facts: the empty ones that all outcomes share cannot be handed over.
            self._settled.append(replace(outcome, facts=dict(outcome.facts)))

    def retrying(
        self, file: RemoteFile, attempt: int, error: OpenAllenError, wait_s: float
    ) -> None:
        """Tell that a file is tried again."""
        self._parent.tell("retrying", file.path, attempt, error, wait_s)

    def waiting(self, file: RemoteFile, holder: str) -> None:
        """Tell that somebody else is fetching a file."""
        self._parent.tell("waiting", file.path, holder)

    def finished(self) -> None:
        """Ignore the end: it is the parent's."""


class _Forward(logging.Handler):
    """Hands log records to the parent."""

    def __init__(self, parent: _Parent) -> None:
        super().__init__()
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one over as text."""
        self._parent.tell("log", record.name, record.levelno, record.getMessage())
