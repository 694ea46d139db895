"""Many files at once: a few threads, each with many requests on a multi handle of its own.

What does not go smoothly is left for the ordinary engine, which asks again, waits, takes up parts
and names what is wrong. The promises hold here too: a lease before a request, bytes verified
before they get their name.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final

from openallen.errors import OpenAllenError
from openallen.plans import Outcome, Plan, RemoteFile
from openallen.store import Index
from openallen.transfer.admission import Admission, Entry
from openallen.transfer.arrivals import Arrival, Held, Streamed, failure
from openallen.transfer.progress import Meter, Observer
from openallen.transfer.rate_limiter import RateLimiter
from openallen.transfer.status import moment
from openallen.transport import Http
from openallen.transport.multiplexer import Body, Multiplexer

__all__ = ["SMALL_BYTES", "WORTH_FILES", "Bulk", "fits"]

SMALL_BYTES: Final = 1 << 20
"""Files up to this size are held in memory whole before anything is written."""

MOST_BYTES: Final = 48 << 20
"""Larger files are left to the ordinary engine, which asks for pieces of them side by side."""

WORTH_FILES: Final = 16
"""Fewer files than this are left to the ordinary engine."""

_MOST_THREADS: Final = 4
_EACH: Final = 8
_LOOK_S: Final = 0.2
_PATIENCE: Final = 8
_FINISHERS: Final = 4
_DRAIN_S: Final = 5.0
"""How long what is under way may take where the rest is left: it would only be asked for again."""


Settle = Callable[[Arrival, Body], None]


def fits(file: RemoteFile) -> bool:
    """Return whether a file may be fetched this way."""
    return 0 < (file.size_bytes or 0) < MOST_BYTES and file.check is None


@dataclass(kw_only=True)
class Bulk:
    """Fetches files of a plan; what is missing from `outcomes` afterwards was left.

    A few threads share the files, each with a multi handle of its own. Small files are let in,
    asked for, verified, written and named all by one thread, without handing anything to another;
    of larger files the bytes are written and hashed as they come, and a few more threads wait for
    the disk.

    Parameters
    ----------
    plan
        Whose files.
    http
        Who asks.
    admission
        Lets them in.
    index
        Remembers them.
    rate_limiter
        How many requests at once.
    meter, observer
        Are told.
    verify
        Whether digests are compared now.
    more
        Returns more files where there are any, called whenever none is waiting.
    stopped
        Whether the run has ended.
    """

    plan: Plan
    http: Http
    admission: Admission
    index: Index
    rate_limiter: RateLimiter
    meter: Meter
    observer: Observer
    verify: bool = True
    more: Callable[[], Sequence[RemoteFile]] | None = None
    stopped: Callable[[], bool] = lambda: False
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._todo: deque[RemoteFile] = deque()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._left = 0
        self._enough_s = math.inf  # when nothing more is begun, as of `time.monotonic`
        self._taken: list[RemoteFile] = []

    @property
    def left(self) -> list[RemoteFile]:
        """Files that are left to be fetched another way."""
        return [file for file in self._taken if file.path not in self.outcomes]

    def run(self, files: Iterable[RemoteFile]) -> None:
        """Fetch what goes smoothly of `files`."""
        self._todo = deque(files)
        self._taken = list(self._todo)
        self._refill()
        count = self._threads()
        with (
            ThreadPoolExecutor(_FINISHERS, thread_name_prefix="finish") as finishers,
            ThreadPoolExecutor(count, thread_name_prefix="bulk") as pool,
        ):
            work = [pool.submit(self._work, count, finishers) for _ in range(count)]
            try:
                # Waited for in short turns: a signal may have gone to another thread.
                while wait(work, _LOOK_S).not_done:
                    if self.stopped():
                        self._stop.set()
            finally:  # also on Ctrl-C: what is under way is dropped
                self._stop.set()
            for one in work:
                one.result()

    def _threads(self) -> int:
        """Return how many threads to use.

        For small files one: nearly every step holds the interpreter's lock. For larger ones
        several: writing and hashing do not.
        """
        streamed = sum((file.size_bytes or 0) > SMALL_BYTES for file in self._todo)
        most = min(_MOST_THREADS, os.cpu_count() or 1, self.rate_limiter.most)
        return max(1, min(most, streamed // _EACH))

    def _work(self, threads: int, finishers: ThreadPoolExecutor) -> None:
        """Fetch files with requests of this thread's own until none are left."""
        try:
            requests = Multiplexer(self.http, limit_bytes=SMALL_BYTES)
        except OpenAllenError as error:
            self._leave(error)
            return
        turn = _Turn(requests, finishers)
        try:
            while not (self._stop.is_set() or time.monotonic() > self._enough_s + _DRAIN_S):
                self._let_in(turn, -(-self.rate_limiter.limit // threads))
                if not turn.busy:
                    break
                for body in turn.bodies():
                    arrival = body.key
                    assert isinstance(arrival, Arrival)
                    turn.arrivals.discard(arrival)
                    if isinstance(arrival, Streamed):  # the disk may take its time
                        turn.finish(self._settle, arrival, body)
                    else:
                        self._settle(arrival, body)
                turn.save()
        finally:
            turn.close(self._drop)

    def _let_in(self, turn: _Turn, limit: int) -> None:
        """Ask for as many files as may be under way."""
        while turn.busy < limit:
            with self._lock:
                if self._enough_s < math.inf:
                    return
                self._refill()
                if not self._todo:
                    return
                file = self._todo.popleft()
            try:
                entered = self.admission.enter(file)
                if isinstance(entered, Outcome):
                    self._done(entered)
                elif entered is not None:
                    self._ask(turn, file, entered)
            except OpenAllenError as error:
                self._leave(error)

    def _refill(self) -> None:
        if self._todo or self.more is None:
            return
        files = self.more()
        if not files:
            self.more = None
        self._todo.extend(files)
        self._taken.extend(files)

    def _ask(self, turn: _Turn, file: RemoteFile, entry: Entry) -> None:
        if self._begun(entry):
            self.admission.leave(entry)
            return
        arrival: Arrival
        if (file.size_bytes or 0) <= SMALL_BYTES:
            arrival = Held(file, entry, verify=self.verify)
        else:
            arrival = Streamed(file, entry, verify=self.verify, received=self.meter.add_bytes)
        try:
            turn.ask(arrival)
        except OpenAllenError:
            self.admission.leave(entry)
            raise

    def _begun(self, entry: Entry) -> bool:
        """Return whether somebody left a part of the file, which the ordinary way goes on with."""
        return entry.lease.inherited or self.admission.leftovers.has(entry.lease.target)

    def _settle(self, arrival: Arrival, body: Body) -> None:
        """Verify, write and name what came, or leave the file."""
        self.meter.add_bytes(len(body.data))
        try:
            if body.error is not None:
                raise body.error
            outcome = self._named(arrival) if arrival.finish(body) else None
        except (OpenAllenError, OSError) as error:
            self._drop(arrival)
            self._leave(failure(error, arrival), arrival.file)
            return
        except BaseException:
            self._drop(arrival)
            raise
        self.admission.leave(arrival.entry)
        if outcome is not None:
            self.rate_limiter.done()
            self._done(outcome)

    def _named(self, arrival: Arrival) -> Outcome:
        """Record a file that has its name."""
        file, entry = arrival.file, arrival.entry
        record = self.index.remember(
            entry.lease.target,
            digest=arrival.digest,
            source=file.url,
            address=file.address,
            command=file.retry,
        )
        return Outcome(
            file=file,
            status="fetched",
            size_bytes=arrival.size_bytes,
            digest=arrival.digest,
            fetched_at=moment(record.mtime_ns / 1e9),
            attempts=1,
            facts=arrival.facts,
            damaged=entry.damaged,
        )

    def _done(self, outcome: Outcome) -> None:
        with self._lock:
            self.outcomes[outcome.file.path] = outcome
        self.meter.settle(outcome)
        self.observer.settled(outcome)

    def _drop(self, arrival: Arrival) -> None:
        """Give up a file that is under way; what came of it is there for the ordinary way."""
        if arrival.drop():
            assert isinstance(arrival, Streamed)
            self.admission.leftovers.note(arrival.entry.lease.target, arrival.part.path)
        self.admission.leave(arrival.entry)

    def _leave(self, error: OpenAllenError, file: RemoteFile | None = None) -> None:
        """Leave a file for the ordinary engine; where many are left, leave all of them."""
        self.rate_limiter.failed(error)
        if error.retryable and file is not None:
            self.observer.retrying(file, 1, error, 0.0)
        with self._lock:
            self._left += 1
            if self._left > _PATIENCE + len(self.outcomes) // 10:
                self._enough_s = min(self._enough_s, time.monotonic())


class _Turn:
    """What one thread has under way.

    Parameters
    ----------
    requests
        Its requests.
    finishers
        Threads that may wait for the disk.
    """

    def __init__(self, requests: Multiplexer, finishers: ThreadPoolExecutor) -> None:
        self._requests = requests
        self._finishers = finishers
        self._finishing: set[Future[None]] = set()
        self.arrivals: set[Arrival] = set()
        self._saved_s = time.monotonic()

    @property
    def busy(self) -> int:
        """How many files are under way: a slow disk holds up new requests too."""
        if self._finishing:
            self._reap()
        return self._requests.waiting + len(self._finishing)

    def ask(self, arrival: Arrival) -> None:
        """Send the request for a file."""
        sink = arrival if isinstance(arrival, Streamed) else None
        self._requests.ask(arrival, arrival.file.url, sink=sink)
        self.arrivals.add(arrival)

    def bodies(self) -> Iterable[Body]:
        """Wait for something to end, and return what has."""
        if not self._requests.waiting:
            wait(self._finishing, _LOOK_S)
            return ()
        return self._requests.bodies()

    def finish(self, settle: Settle, arrival: Arrival, body: Body) -> None:
        """Have another thread settle a file."""
        self._finishing.add(self._finishers.submit(settle, arrival, body))

    def save(self) -> None:
        """Record how much of the larger files is on disk, now and then."""
        now_s = time.monotonic()
        if now_s - self._saved_s < _LOOK_S:
            return
        self._saved_s = now_s
        for arrival in self.arrivals:
            if isinstance(arrival, Streamed) and arrival.due(now_s):
                self._finishing.add(self._finishers.submit(arrival.save))

    def _reap(self) -> None:
        over = {one for one in self._finishing if one.done()}
        self._finishing -= over
        for one in over:
            one.result()

    def close(self, drop: Callable[[Arrival], None]) -> None:
        """Drop what is under way, and wait for what is being finished."""
        self._requests.close()
        self._finishing |= {self._finishers.submit(drop, arrival) for arrival in self.arrivals}
        wait(self._finishing)
        self._reap()
