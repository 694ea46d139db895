"""Fetches files that are waiting: leases, retries, as many connections as the service bears."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from openallen.errors import OfflineError, OpenAllenError, RefusedError, StoreError
from openallen.plans import Outcome, Plan, RemoteFile
from openallen.store import Index, Lease, Leases, Part
from openallen.transfer.admission import Admission, Entry
from openallen.transfer.bulk import WORTH_FILES, Bulk, fits
from openallen.transfer.download import Download, is_large
from openallen.transfer.progress import Meter, Observer
from openallen.transfer.rate_limiter import RateLimiter
from openallen.transfer.status import fetched_time
from openallen.transfer.waiting import Waiting
from openallen.transport import Http, Retry

__all__ = ["FINAL", "MOST_LARGE", "Fetching", "Kind"]

Kind = Literal["bulk", "one by one"]
"""How a file is fetched: many by one thread, or a thread for each."""

FINAL: Final = (RefusedError, StoreError, OfflineError)
"""Errors after which nothing else can succeed either."""

MOST_LARGE: Final = max(2, min(8, os.cpu_count() or 1))
"""How many large files are fetched at once, with many connections each: more of them only hold
each other up, and the digests of so many are computed at a time."""

_LOOK_AGAIN_S: Final = 0.3
_MOST_STREAMS: Final = 16
_MOST_THREADS: Final = 64


@dataclass(kw_only=True)
class Fetching:
    """Files being fetched.

    Parameters
    ----------
    plan
        Whose files.
    http, index, retry, observer, rate_limiter, leases, verify
        As for `openallen.transfer.run`.
    meter
        Counts.
    begun_s
        When the whole run began, in seconds since 1970, by the clock of the destination's file
        system: files newer than that were verified by whoever wrote them. Now where None.
    most_large
        How many large files at once.
    more
        Returns more files to fetch of one kind, none where there are no more; called from any
        thread whenever few are waiting.

    Attributes
    ----------
    waiting
        Files whose turn has not come.
    outcomes
        What became of the others, by path.
    stop
        Ends the work: nothing new is begun, what is under way is dropped.
    """

    plan: Plan
    http: Http
    index: Index
    retry: Retry
    observer: Observer
    rate_limiter: RateLimiter
    leases: Leases
    verify: bool
    meter: Meter
    most_large: int = MOST_LARGE
    more: Callable[[Kind], Sequence[RemoteFile]] | None = None
    begun_s: float | None = None
    waiting: Waiting = field(default_factory=Waiting)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    _active: int = 0
    _large: int = 0
    _idle: int = 0
    _change: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.admission = Admission(
            to=self.plan.to,
            index=self.index,
            leases=self.leases,
            verify=self.verify,
            begun_s=time.time() if self.begun_s is None else self.begun_s,
            shared=self.begun_s is None,  # else the index is of this process, for one batch
        )

    def run(self) -> None:
        """Fetch what is waiting; what is not in `outcomes` afterwards was not tried.

        On Ctrl-C the client is closed, so that every thread ends at once.
        """
        workers: list[Future[None]] = []
        most = min(self.rate_limiter.most, _MOST_THREADS)
        pool = ThreadPoolExecutor(most, thread_name_prefix="fetch")
        try:
            self._bulk()
            self._watch(pool, workers)
        except KeyboardInterrupt:
            self.stop.set()
            self.http.close()
            raise
        finally:
            self.stop.set()
            with self._change:
                self._change.notify_all()
            pool.shutdown()
        for worker in workers:
            worker.result()

    def settle(self, outcomes: dict[str, Outcome]) -> None:
        """Take in what became of files: they are not waiting any more."""
        self.outcomes.update(outcomes)
        if outcomes:
            self.waiting.drop(outcomes)

    def _bulk(self) -> None:
        """Fetch many files from few threads, where there are many; the rest comes after."""
        files = self.waiting.take_all(fits)
        if self.more is None and (len(files) < WORTH_FILES or self.rate_limiter.most < 2):
            self.waiting.extend(files)
            return
        bulk = Bulk(
            plan=self.plan,
            http=self.http,
            admission=self.admission,
            index=self.index,
            rate_limiter=self.rate_limiter,
            meter=self.meter,
            observer=self.observer,
            verify=self.verify,
            more=None if self.more is None else functools.partial(self.more, "bulk"),
            stopped=self.stop.is_set,
        )
        try:
            bulk.run(files)
        finally:
            self.outcomes.update(bulk.outcomes)
            self.waiting.extend(bulk.left)

    def _watch(self, pool: ThreadPoolExecutor, workers: list[Future[None]]) -> None:
        """Keep as many workers as the rate limiter allows until nothing is left to do."""
        with self._change:
            while not self.stop.is_set():
                self._refill()
                if not (self.waiting or self._active):
                    break
                possible = self.waiting.possible(large=self._large_left) + self._active
                wanted = min(self.rate_limiter.limit, _MOST_THREADS, possible)
                while len(workers) < wanted:
                    workers.append(pool.submit(self._work))
                self._change.wait(0.2)

    def _work(self) -> None:
        while (file := self._next()) is not None:
            outcome = None
            broke = True
            try:
                outcome = self._one(file)
                broke = False
            finally:
                if broke:  # a bug: end the run; the future carries the exception to the caller
                    self.stop.set()
                with self._change:
                    self._active -= 1
                    self._large -= is_large(file)
                    # With work left and nobody idle there is nobody to tell: waking a hundred
                    # threads for each of five thousand files costs more than the files.
                    if self._idle or not self.waiting:
                        self._change.notify_all()
            if outcome is not None:
                self.meter.settle(outcome)
                self.observer.settled(outcome)

    def _next(self) -> RemoteFile | None:
        with self._change:
            while not self.stop.is_set():
                self._refill()
                if not self.waiting and not self._active:
                    return None
                if self._active < self.rate_limiter.limit:
                    file = self.waiting.take(large=self._large_left > 0)
                    if file is not None:
                        self._active += 1
                        self._large += is_large(file)
                        return file
                # Without a file that may be tried in a while, there is only an end to wait for.
                soon = self.waiting.possible(large=self._large_left) > 0
                self._idle += 1
                self._change.wait(0.1 if soon else None)
                self._idle -= 1
        return None

    @property
    def _large_left(self) -> int:
        """How many more large files may be begun."""
        return self.most_large - self._large if self._streams() > 1 else len(self.waiting)

    def _refill(self) -> None:
        """Ask for more files where none is waiting and another could be begun."""
        if self.more is None or self.waiting or self._large >= self.most_large:
            return
        files = self.more("one by one")
        if not files:
            self.more = None
        self.waiting.extend(files)

    def _one(self, file: RemoteFile) -> Outcome | None:
        """Settle one file; None where it has to wait for another process."""
        start = time.monotonic()
        entered: Outcome | Entry | None = None
        try:
            entered = self.admission.enter(file)
            if entered is None:
                self._wait_for(file, self.plan.to / file.path)
                return None
            if isinstance(entered, Entry):
                got = self._download(file, entered.lease, start)
                outcome = replace(got, damaged=entered.damaged)
            else:
                outcome = entered
        except OpenAllenError as error:
            if isinstance(error, FINAL):
                self.stop.set()
            outcome = Outcome(
                file=file, status="failed", error=error, elapsed_s=time.monotonic() - start
            )
        finally:
            if isinstance(entered, Entry):
                self.admission.leave(entered)
        if outcome.status == "not tried":
            return None
        with self._change:
            self.outcomes[file.path] = outcome
        return outcome

    def _wait_for(self, file: RemoteFile, target: Path) -> None:
        self.observer.waiting(file, self.leases.holder(target))
        with self._change:
            self.waiting.add(file, after_s=_LOOK_AGAIN_S)

    def _download(self, file: RemoteFile, lease: Lease, start: float) -> Outcome:
        left = self.admission.leftovers.of(lease.target, fresh=lease.inherited)
        part = Part(lease, resumable=file.ranges, left=left)
        download = Download(
            file,
            part,
            lease,
            self.http,
            self.meter.add_bytes,
            streams=self._streams,
            retry=self.retry,
            stopped=self.stop.is_set,
            verify=self.verify,
        )
        for attempt in range(1, self.retry.attempts + 1):
            if self.stop.is_set():
                break
            try:
                digest, size, facts = download.attempt()
            except OpenAllenError as error:
                if self._is_over(file, lease, error):
                    break
                if not error.retryable or attempt == self.retry.attempts:
                    took_s = time.monotonic() - start
                    failed = Outcome(file=file, status="failed")
                    return replace(failed, elapsed_s=took_s, attempts=attempt, error=error)
                wait_s = self.retry.wait_s(attempt, error)
                self.observer.retrying(file, attempt, error, wait_s)
                self.stop.wait(wait_s)
                continue
            outcome = self._fetched(file, lease, digest)
            return replace(
                outcome,
                size_bytes=size,
                facts=facts,
                attempts=attempt,
                elapsed_s=time.monotonic() - start,
            )
        return Outcome(file=file, status="not tried")

    def _is_over(self, file: RemoteFile, lease: Lease, error: OpenAllenError) -> bool:
        """Return whether another attempt is pointless: the run has ended, or the lease is lost."""
        self.rate_limiter.failed(error)
        if lease.lost and not self.stop.is_set():
            self._wait_for(file, lease.target)
        return lease.lost or self.stop.is_set()

    def _fetched(self, file: RemoteFile, lease: Lease, digest: str) -> Outcome:
        """Record that a file is whole and in its place."""
        self.rate_limiter.done()
        try:
            self.index.remember(
                lease.target,
                digest=digest,
                source=file.url,
                address=file.address,
                command=file.retry,
            )
            at = fetched_time(lease.target)
        except OSError as error:  # no reason to end the run: the others may well stay
            why = error.strerror or str(error)
            what = "the file was removed as soon as it had arrived"
            raise OpenAllenError(what, address=file.address, why=why) from error
        return Outcome(file=file, status="fetched", digest=digest, fetched_at=at)

    def _streams(self) -> int:
        """Return how many connections one large file may use: its share of the limit."""
        files = max(1, min(self.most_large, self._active + len(self.waiting)))
        return max(1, min(_MOST_STREAMS, self.rate_limiter.most // files))
