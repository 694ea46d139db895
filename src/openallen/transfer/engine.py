"""Runs a plan: workers, leases, retries, and a report that names every file."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from openallen.errors import OfflineError, OpenAllenError, RefusedError, SpaceError, StoreError
from openallen.plans import Outcome, Plan, RemoteFile, Report
from openallen.store import Index, Lease, Leases, Leftovers, Part
from openallen.transfer.admission import Admission, Entry
from openallen.transfer.bulk import WORTH_FILES, Bulk, fits
from openallen.transfer.download import Download, is_large
from openallen.transfer.progress import Meter, Observer, Quiet
from openallen.transfer.rate_limiter import RateLimiter
from openallen.transfer.space import prepare
from openallen.transfer.status import fetched_time, here_by_name, share_known, vouched
from openallen.transport import Http, Retry

__all__ = ["Interrupted", "run"]

_LOOK_AGAIN_S: Final = 0.3
_MOST_STREAMS: Final = 16
_MOST_THREADS: Final = 64
_MOST_LARGE: Final = max(2, min(8, os.cpu_count() or 1))
"""How many large files are fetched at once, with many connections each: more of them only hold
each other up, and the digests of so many are computed at a time."""
_FINAL = (RefusedError, StoreError, OfflineError)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run. What is there is verified; the next run resumes the rest.

    Attributes
    ----------
    report : Report
        What became of each file until then.
    """

    def __init__(self, report: Report) -> None:
        super().__init__("interrupted")
        self.report = report


def run(
    plan: Plan,
    *,
    http: Http,
    index: Index,
    retry: Retry | None = None,
    observer: Observer | None = None,
    connections: int | None = None,
    leases: Leases | None = None,
    verify: bool = True,
) -> Report:
    """Fetch what is missing or damaged of a plan.

    Files that are here and intact are left alone, to the byte, and a plan of which everything is
    here writes nothing: it runs in a read-only folder too. Bytes that are here under another name
    are linked. A file another process is fetching is waited for. Nothing unverified is ever at a
    final path.

    Parameters
    ----------
    plan
        What to fetch.
    http
        The HTTP client; closed if the run is interrupted.
    index
        The index of the store.
    retry
        When to try again.
    observer
        Receives progress, from worker threads.
    connections
        Maximum number of connections; the plan's own where None.
    leases
        The leases of this process, where several runs share them.
    verify
        Whether published digests are compared now. Without, sizes are, and the files count as not
        verified until a later run or `store verify` has read them.

    Returns
    -------
    Report
        One outcome for each file, in the plan's order. Failures are in it, not raised.

    Raises
    ------
    StoreError
        If the destination cannot be written to at all.
    Interrupted
        On Ctrl-C, with the report so far.
    """
    if len(here_by_name(plan)) < len(plan.files):
        prepare(plan.to)
        share_known(plan, index)
    work = _Run(
        plan=plan,
        http=http,
        index=index,
        retry=retry or Retry(),
        observer=observer or Quiet(),
        rate_limiter=RateLimiter(connections or plan.connections),
        leases=leases or Leases(),
        verify=verify,
    )
    try:
        return work.run()
    finally:
        if leases is None:
            work.leases.close()


@dataclass(kw_only=True)
class _Run:
    plan: Plan
    http: Http
    index: Index
    retry: Retry
    observer: Observer
    rate_limiter: RateLimiter
    leases: Leases
    verify: bool
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    active: int = 0
    large: int = 0
    idle: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    change: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.meter = Meter(len(self.plan.files))
        self.waiting = deque((0.0, file) for file in self.plan.files)
        self.admission = Admission(
            to=self.plan.to, index=self.index, leases=self.leases, verify=self.verify
        )

    def run(self) -> Report:
        start = time.monotonic()
        self.observer.started(self.plan, self.meter)
        self._settle_known()
        workers: list[Future[None]] = []
        interrupted = False
        pool = ThreadPoolExecutor(
            min(self.rate_limiter.most, _MOST_THREADS), thread_name_prefix="fetch"
        )
        try:
            self._bulk()
            self._watch(pool, workers)
        except KeyboardInterrupt:
            interrupted = True
            self.stop.set()
            self.http.close()
        finally:
            self.stop.set()
            with self.change:
                self.change.notify_all()
            pool.shutdown()
            self.observer.finished()
        for worker in workers:
            worker.result()
        self._sweep()
        self._settle_folders()
        left = (Outcome(file=f, status="not tried") for f in self.plan.files)
        outcomes = tuple(self.outcomes.get(o.file.path, o) for o in left)
        report = Report(plan=self.plan, outcomes=outcomes, elapsed_s=time.monotonic() - start)
        if interrupted:
            raise Interrupted(report)
        return report

    def _settle_known(self) -> None:
        """Settle files the index vouches for before any thread starts."""
        self.outcomes = vouched(self.plan, self.index, verify=self.verify)
        for outcome in self.outcomes.values():
            self.meter.settle(outcome)
            self.observer.settled(outcome)
        self._cross_out()

    def _cross_out(self) -> None:
        if self.outcomes:
            self.waiting = deque(i for i in self.waiting if i[1].path not in self.outcomes)

    def _bulk(self) -> None:
        """Fetch many files from few threads, where there are many; the rest comes after."""
        files = [file for _, file in self.waiting if fits(file)]
        if len(files) < WORTH_FILES or self.rate_limiter.most < 2:
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
        )
        try:
            bulk.run(files)
        finally:
            self.outcomes.update(bulk.outcomes)
            self._cross_out()

    def _watch(self, pool: ThreadPoolExecutor, workers: list[Future[None]]) -> None:
        """Keep as many workers as the rate limiter allows until nothing is left to do."""
        with self.change:
            while not self.stop.is_set() and (self.waiting or self.active):
                wanted = min(
                    self.rate_limiter.limit, _MOST_THREADS, len(self.waiting) + self.active
                )
                while len(workers) < wanted:
                    workers.append(pool.submit(self._work))
                self.change.wait(0.2)

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
                with self.change:
                    self.active -= 1
                    self.large -= is_large(file)
                    # With work left and nobody idle there is nobody to tell: waking a hundred
                    # threads for each of five thousand files costs more than the files.
                    if self.idle or not self.waiting:
                        self.change.notify_all()
            if outcome is not None:
                self.meter.settle(outcome)
                self.observer.settled(outcome)

    def _next(self) -> RemoteFile | None:
        with self.change:
            while not self.stop.is_set():
                if not self.waiting and not self.active:
                    return None
                due = self._due()
                if due is not None and self.active < self.rate_limiter.limit:
                    self.waiting.remove(due)
                    self.active += 1
                    self.large += is_large(due[1])
                    return due[1]
                self.idle += 1
                self.change.wait(0.1 if self.waiting else None)
                self.idle -= 1
        return None

    def _due(self) -> tuple[float, RemoteFile] | None:
        """Return the next file whose turn it is, if any."""
        now_s = time.monotonic()
        full = self.large >= _MOST_LARGE and self._streams() > 1
        for item in self.waiting:
            if item[0] <= now_s and not (full and is_large(item[1])):
                return item
        return None

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
            if isinstance(error, _FINAL):
                self.stop.set()
            outcome = Outcome(
                file=file, status="failed", error=error, elapsed_s=time.monotonic() - start
            )
        finally:
            if isinstance(entered, Entry):
                self.admission.leave(entered)
        if outcome.status == "not tried":
            return None
        with self.change:
            self.outcomes[file.path] = outcome
        return outcome

    def _wait_for(self, file: RemoteFile, target: Path) -> None:
        self.observer.waiting(file, self.leases.holder(target))
        with self.change:
            self.waiting.append((time.monotonic() + _LOOK_AGAIN_S, file))

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
                self.rate_limiter.failed(error)
                if lease.lost and not self.stop.is_set():
                    self._wait_for(file, lease.target)
                if lease.lost or self.stop.is_set():
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

    def _fetched(self, file: RemoteFile, lease: Lease, digest: str) -> Outcome:
        """Record that a file is whole and in its place."""
        self.rate_limiter.done()
        self.index.remember(
            lease.target,
            digest=digest,
            source=file.url,
            address=file.address,
            command=file.retry,
        )
        at = fetched_time(lease.target)
        return Outcome(file=file, status="fetched", digest=digest, fetched_at=at)

    def _streams(self) -> int:
        """Return how many connections one large file may use: its share of the limit."""
        files = max(1, min(_MOST_LARGE, self.active + len(self.waiting)))
        return max(1, min(_MOST_STREAMS, self.rate_limiter.most // files))

    def _sweep(self) -> None:
        """Remove what a killed process left beside files that are whole now."""
        whole = {o.file.path for o in self.outcomes.values() if o.status in {"fetched", "here"}}
        for folder in {path.rpartition("/")[0] for path in whole}:
            for name in Leftovers.targets(self.plan.to / folder):
                target = self.plan.to / folder / name
                inside = f"{folder}/{name}" if folder else name
                with suppress(StoreError, SpaceError):  # a read-only folder keeps its leftovers
                    if inside in whole and self.leases.sweep(target):
                        Leftovers.clear(target)

    def _settle_folders(self) -> None:
        """Sync folders of new files: a rename is only in memory until its folder is synced."""
        fetched = (o.file.path for o in self.outcomes.values() if o.status == "fetched")
        for folder in {path.rpartition("/")[0] for path in fetched}:
            with suppress(OSError):
                handle = os.open(self.plan.to / folder, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
