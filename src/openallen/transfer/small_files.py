"""Small files in bulk: many requests from one thread, disk work in batches beside it.

A file that fails is left for the general engine, which retries, waits, resumes parts and reports
errors. The guarantees are the same: a lease before a request, bytes verified before they get their
name.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from openallen.errors import OpenAllenError, UnreachableError
from openallen.plans import Outcome, Plan, RemoteFile
from openallen.store import Index, Part
from openallen.store.digests import digest_text, new_hasher
from openallen.transfer.admission import Admission, Entry
from openallen.transfer.progress import Meter, Observer
from openallen.transfer.rate_limiter import RateLimiter
from openallen.transfer.status import moment
from openallen.transfer.verify import algorithm_for, recognise, simulated, verify_bytes
from openallen.transport import Http
from openallen.transport.multiplexer import Body, Multiplexer

__all__ = ["SMALL_BYTES", "WORTH_FILES", "SmallFiles", "fits"]

Batch = list[Any]


class Done(NamedTuple):
    """The result of a batch: each file with an outcome, an entry, an error or nothing."""

    found: list[tuple[RemoteFile, Any]]
    settled_bytes: int | None = None


SMALL_BYTES: Final = 1 << 20
"""Files up to this size are held in memory whole before anything is written."""

WORTH_FILES: Final = 16
"""Fewer small files than this are fetched one by one."""

_BATCH: Final = 8
_MOST_WORKERS: Final = 4
_SLOW_S: Final = 0.002
_MOST_HELD_BYTES: Final = 32 << 20
_PATIENCE: Final = 8


def fits(file: RemoteFile) -> bool:
    """Return whether a file may be fetched in bulk."""
    return 0 < (file.size_bytes or 0) <= SMALL_BYTES and file.check is None


class _Workers:
    """Threads for disk work: one where the disk is quick, more where it makes them wait.

    On a quick disk a second thread only takes the interpreter from the first.
    """

    def __init__(self) -> None:
        self._threads = [self._thread()]
        self._turn = 0

    @staticmethod
    def _thread() -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, thread_name_prefix="small")

    def submit(self, work: Callable[[Batch], Done], batch: Batch) -> Future[Done]:
        """Run a batch on one of the threads."""
        self._turn = (self._turn + 1) % len(self._threads)
        return self._threads[self._turn].submit(self._timed, work, batch)

    def _timed(self, work: Callable[[Batch], Done], batch: Batch) -> Done:
        start, busy = time.perf_counter(), time.thread_time()
        try:
            return work(batch)
        finally:
            each_s = (time.perf_counter() - start) / len(batch)
            idle_s = each_s - (time.thread_time() - busy) / len(batch)
            if idle_s > _SLOW_S and len(self._threads) < _MOST_WORKERS:
                self._threads.append(self._thread())

    def close(self) -> None:
        """Wait for the batches under way."""
        for thread in self._threads:
            thread.shutdown(cancel_futures=True)


@dataclass(kw_only=True)
class SmallFiles:
    """Fetches small files of a plan; those not in `outcomes` afterwards were left.

    Parameters
    ----------
    plan
        The plan.
    http
        The HTTP client.
    admission
        Admits files.
    index
        The index.
    rate_limiter
        The limit on requests at once.
    meter, observer
        Receive progress.
    verify
        Whether digests are compared now.
    """

    plan: Plan
    http: Http
    admission: Admission
    index: Index
    rate_limiter: RateLimiter
    meter: Meter
    observer: Observer
    verify: bool = True
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._todo: deque[RemoteFile] = deque()
        self._entries: dict[str, Entry] = {}
        self._ready: list[tuple[RemoteFile, Body]] = []
        self._settling = 0
        self._work: deque[Future[Done]] = deque()
        self._held_bytes = 0
        self._left = 0

    def run(self, files: Iterable[RemoteFile]) -> None:
        """Fetch `files`, as far as that works at the first attempt."""
        self._todo = deque(files)
        self._files: dict[Hashable, RemoteFile] = {f.path: f for f in self._todo}
        many = Multiplexer(self.http, limit_bytes=SMALL_BYTES)
        workers = _Workers()
        try:
            while self._todo or self._work or many.waiting or self._ready:
                self._let_in(many, workers)
                self._collect(many)
                full = self._held_bytes > _MOST_HELD_BYTES
                for body in many.bodies(0 if full else self.rate_limiter.limit):
                    self._ready.append((self._files[body.key], body))
                    self._held_bytes += len(body.data)
                self._settle_ready(many, workers)
                if self._left > _PATIENCE + len(self.outcomes) // 10:
                    break
        finally:
            many.close()
            workers.close()
            self._collect(None)
            for entry in self._entries.values():
                self.admission.leave(entry)

    def _settle_ready(self, many: Multiplexer, workers: _Workers) -> None:
        """Pass bodies to workers: in batches, or singly where a worker would be idle."""
        while len(self._ready) >= _BATCH or (self._ready and not self._settling):
            batch, self._ready = self._ready[:_BATCH], self._ready[_BATCH:]
            self._settling += 1
            self._hand_over(self._settle, batch, many, workers)

    def _let_in(self, many: Multiplexer, workers: _Workers) -> None:
        """Prepare as many files as will be requested soon."""
        ahead = many.waiting + _BATCH * len(self._work)
        while self._todo and ahead < self.rate_limiter.limit + _BATCH:
            batch = [self._todo.popleft() for _ in range(min(_BATCH, len(self._todo)))]
            self._hand_over(self._enter, batch, many, workers)
            ahead += len(batch)

    def _hand_over(
        self, work: Callable[[Batch], Done], batch: Batch, many: Multiplexer, workers: _Workers
    ) -> None:
        future = workers.submit(work, batch)
        future.add_done_callback(lambda _: many.wake())
        self._work.append(future)

    def _collect(self, many: Multiplexer | None) -> None:
        """Collect results of workers; request files that were admitted."""
        for _ in range(len(self._work)):
            future = self._work.popleft()
            if future.cancelled():
                continue
            if many is not None and not future.done():
                self._work.append(future)
                continue
            done = future.result()
            self._settling -= done.settled_bytes is not None
            self._held_bytes -= done.settled_bytes or 0
            for file, what in done.found:
                self._note(file, what, many)

    def _note(self, file: RemoteFile, what: Any, many: Multiplexer | None) -> None:
        if isinstance(what, Entry):
            self._entries[file.path] = what
            if many is not None:
                try:
                    many.ask(file.path, file.url)
                except OpenAllenError:
                    self._leave(file)
        elif isinstance(what, Outcome):
            self._entries.pop(file.path, None)
            self.outcomes[file.path] = what
            self.meter.settle(what)
            self.observer.settled(what)
        else:
            self._leave(file, what)

    def _leave(self, file: RemoteFile, error: OpenAllenError | None = None) -> None:
        """Leave a file for the general engine."""
        entry = self._entries.pop(file.path, None)
        if entry is not None:
            self.admission.leave(entry)
        if error is not None:
            self._left += 1
            self.rate_limiter.failed(error)
            if error.retryable:
                self.observer.retrying(file, 1, error, 0.0)

    # --- in the workers ---------------------------------------------------------------------------

    def _enter(self, batch: list[RemoteFile]) -> Done:
        found: list[tuple[RemoteFile, Any]] = []
        for file in batch:
            try:
                entered = self.admission.enter(file)
            except OpenAllenError as error:
                found.append((file, error))
                continue
            if isinstance(entered, Entry) and self._begun(entry := entered):
                self.admission.leave(entry)
                entered = None
            found.append((file, entered))
        return Done(found)

    def _begun(self, entry: Entry) -> bool:
        """Return whether a part of the file was left, which the general engine resumes."""
        return entry.lease.inherited or self.admission.leftovers.has(entry.lease.target)

    def _settle(self, batch: list[tuple[RemoteFile, Body]]) -> Done:
        found: list[tuple[RemoteFile, Any]] = []
        for file, body in batch:
            try:
                found.append((file, self._one(file, body)))
            except OpenAllenError as error:
                found.append((file, error))
            except OSError:
                found.append((file, UnreachableError("could not be written in bulk")))
        return Done(found, sum(len(body.data) for _, body in batch))

    def _one(self, file: RemoteFile, body: Body) -> Outcome | OpenAllenError | None:
        if body.error is not None:
            return body.error
        data = body.data
        self.meter.add_bytes(len(data))
        recognise(file, memoryview(data))
        algorithm = algorithm_for(file, verify=self.verify)
        hasher = new_hasher(algorithm)
        hasher.update(memoryview(data))
        digest = digest_text(algorithm, hasher)
        verify_bytes(file, digest, len(data))
        entry = self._entries[file.path]
        if entry.lease.lost:
            return None
        part = Part(entry.lease, resumable=False)
        try:
            part.write_whole(data)
        except OSError:
            part.discard()
            raise
        record = self.index.remember(
            entry.lease.target,
            digest=digest,
            source=file.url,
            address=file.address,
            command=file.retry,
        )
        self.admission.leave(entry)
        self.rate_limiter.done()
        headers = body.head.headers if body.head else {}
        return Outcome(
            file=file,
            status="fetched",
            size_bytes=len(data),
            digest=digest,
            fetched_at=moment(record.mtime_ns / 1e9),
            attempts=1,
            facts=simulated(headers),
            damaged=entry.damaged,
        )
