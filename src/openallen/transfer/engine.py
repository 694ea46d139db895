"""Runs a plan: workers, claims, retries, and an end that names every file."""

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

from openallen.errors import OfflineError, OpenAllenError, RefusedError, StoreError
from openallen.plans import Outcome, Plan, RemoteFile, Report
from openallen.store import Claim, Claims, Index, Leftovers, Part
from openallen.transfer.desk import Desk, Entry
from openallen.transfer.download import Download
from openallen.transfer.lane import WORTH_FILES, Lane, fits
from openallen.transfer.pace import Pace
from openallen.transfer.progress import Meter, Observer, Quiet
from openallen.transfer.space import prepare
from openallen.transfer.survey import fetched_time, vouched
from openallen.transport import Http, Retry

__all__ = ["Interrupted", "run"]

_LOOK_AGAIN_S: Final = 0.3
_MOST_STREAMS: Final = 16
_MOST_THREADS: Final = 64
_FINAL = (RefusedError, StoreError, OfflineError)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run. What is there is verified; the rest goes on with the next run.

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
    claims: Claims | None = None,
    verify: bool = True,
) -> Report:
    """Fetch what is missing or damaged of a plan.

    Files that are here and intact are left alone, to the byte. A file another process is fetching
    is waited for. Nothing wrong is ever at a final path.

    Parameters
    ----------
    plan
        What to fetch.
    http
        The client to ask with; closed if the run is interrupted.
    index
        What is remembered of files.
    retry
        When to try again.
    observer
        Is told what happens, from worker threads.
    connections
        Most connections at once; the plan's own bound where None.
    claims
        The claims of this process, where several runs share them.
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
    prepare(plan.to)
    work = _Run(
        plan=plan,
        http=http,
        index=index,
        retry=retry or Retry(),
        observer=observer or Quiet(),
        pace=Pace(connections or plan.connections),
        claims=claims or Claims(),
        verify=verify,
    )
    try:
        return work.run()
    finally:
        if claims is None:
            work.claims.close()


@dataclass(kw_only=True)
class _Run:
    plan: Plan
    http: Http
    index: Index
    retry: Retry
    observer: Observer
    pace: Pace
    claims: Claims
    verify: bool
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    active: int = 0
    idle: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    change: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.meter = Meter(len(self.plan.files))
        self.waiting = deque((0.0, file) for file in self.plan.files)
        self.desk = Desk(to=self.plan.to, index=self.index, claims=self.claims, verify=self.verify)

    def run(self) -> Report:
        start = time.monotonic()
        self.observer.started(self.plan, self.meter)
        self._settle_known()
        workers: list[Future[None]] = []
        interrupted = False
        pool = ThreadPoolExecutor(min(self.pace.most, _MOST_THREADS), thread_name_prefix="fetch")
        try:
            self._by_lane()
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
        """Settle what the index vouches for before any thread starts."""
        self.outcomes = vouched(self.plan, self.index, verify=self.verify)
        for outcome in self.outcomes.values():
            self.meter.settle(outcome)
            self.observer.settled(outcome)
        self._cross_out()

    def _cross_out(self) -> None:
        if self.outcomes:
            self.waiting = deque(i for i in self.waiting if i[1].path not in self.outcomes)

    def _by_lane(self) -> None:
        """Fetch small files many at a time, where there are many; what is left comes after."""
        small = [file for _, file in self.waiting if fits(file)]
        if len(small) < WORTH_FILES or self.pace.most < 2:
            return
        lane = Lane(
            plan=self.plan,
            http=self.http,
            desk=self.desk,
            index=self.index,
            pace=self.pace,
            meter=self.meter,
            observer=self.observer,
            verify=self.verify,
        )
        try:
            lane.run(small)
        finally:
            self.outcomes.update(lane.outcomes)
            self._cross_out()

    def _watch(self, pool: ThreadPoolExecutor, workers: list[Future[None]]) -> None:
        """Keep as many workers as the pace allows until nothing is left to do."""
        with self.change:
            while not self.stop.is_set() and (self.waiting or self.active):
                wanted = min(self.pace.limit, _MOST_THREADS, len(self.waiting) + self.active)
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
                due = next((i for i in self.waiting if i[0] <= time.monotonic()), None)
                if due is not None and self.active < self.pace.limit:
                    self.waiting.remove(due)
                    self.active += 1
                    return due[1]
                self.idle += 1
                self.change.wait(0.1 if self.waiting else None)
                self.idle -= 1
        return None

    def _one(self, file: RemoteFile) -> Outcome | None:
        """Settle one file; None where it has to wait for another process."""
        start = time.monotonic()
        entered: Outcome | Entry | None = None
        try:
            entered = self.desk.enter(file)
            if entered is None:
                self._wait_for(file, self.plan.to / file.path)
                return None
            if isinstance(entered, Entry):
                got = self._download(file, entered.claim, start)
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
                self.desk.leave(entered)
        if outcome.status == "not tried":
            return None
        with self.change:
            self.outcomes[file.path] = outcome
        return outcome

    def _wait_for(self, file: RemoteFile, target: Path) -> None:
        self.observer.waiting(file, self.claims.holder(target))
        with self.change:
            self.waiting.append((time.monotonic() + _LOOK_AGAIN_S, file))

    def _download(self, file: RemoteFile, claim: Claim, start: float) -> Outcome:
        left = self.desk.leftovers.of(claim.target, fresh=claim.inherited)
        part = Part(claim, resumable=file.ranges, left=left)
        download = Download(
            file,
            part,
            claim,
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
                self.pace.failed(error)
                if claim.lost and not self.stop.is_set():
                    self._wait_for(file, claim.target)
                if claim.lost or self.stop.is_set():
                    break
                if not error.retryable or attempt == self.retry.attempts:
                    return Outcome(
                        file=file,
                        status="failed",
                        error=error,
                        attempts=attempt,
                        elapsed_s=time.monotonic() - start,
                    )
                wait_s = self.retry.wait_s(attempt, error)
                self.observer.retrying(file, attempt, error, wait_s)
                self.stop.wait(wait_s)
                continue
            self.pace.done()
            self.index.remember(claim.target, digest=digest, source=file.url, address=file.address)
            return Outcome(
                file=file,
                status="fetched",
                size_bytes=size,
                digest=digest,
                fetched_at=fetched_time(claim.target),
                elapsed_s=time.monotonic() - start,
                attempts=attempt,
                facts=facts,
            )
        return Outcome(file=file, status="not tried")

    def _streams(self) -> int:
        """Say how many connections one large file may use: its share of those there are."""
        files = max(1, self.active + len(self.waiting))
        return max(1, min(_MOST_STREAMS, self.pace.most // files))

    def _sweep(self) -> None:
        """Remove what a killed process left beside files that are whole now."""
        whole = {o.file.path for o in self.outcomes.values() if o.status in {"fetched", "here"}}
        for folder in {path.rpartition("/")[0] for path in whole}:
            for name in Leftovers.targets(self.plan.to / folder):
                target = self.plan.to / folder / name
                inside = f"{folder}/{name}" if folder else name
                if inside in whole and self.claims.sweep(target):
                    Leftovers.clear(target)

    def _settle_folders(self) -> None:
        """Put the new names on disk too: a rename is only in memory until its folder is synced."""
        fetched = (o.file.path for o in self.outcomes.values() if o.status == "fetched")
        for folder in {path.rpartition("/")[0] for path in fetched}:
            with suppress(OSError):
                handle = os.open(self.plan.to / folder, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
