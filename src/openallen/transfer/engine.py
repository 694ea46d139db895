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
from openallen.store.disk import disk_error
from openallen.transfer.download import Download
from openallen.transfer.pace import Pace
from openallen.transfer.progress import Meter, Observer, Quiet
from openallen.transfer.space import prepare
from openallen.transfer.survey import fetched_time, intact, vouched
from openallen.transport import Http, Retry

__all__ = ["Interrupted", "run"]

_LOOK_AGAIN_S: Final = 0.3
_MOST_STREAMS: Final = 16
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
    leftovers: Leftovers = field(default_factory=Leftovers)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    made: set[Path] = field(default_factory=set)
    active: int = 0
    idle: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    change: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.meter = Meter(len(self.plan.files))
        self.waiting = deque((0.0, file) for file in self.plan.files)

    def run(self) -> Report:
        start = time.monotonic()
        self.observer.started(self.plan, self.meter)
        self._settle_known()
        workers: list[Future[None]] = []
        interrupted = False
        pool = ThreadPoolExecutor(self.pace.most, thread_name_prefix="fetch")
        try:
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
        self.outcomes = vouched(self.plan, self.index)
        for outcome in self.outcomes.values():
            self.meter.settle(outcome)
            self.observer.settled(outcome)
        if self.outcomes:
            self.waiting = deque(i for i in self.waiting if i[1].path not in self.outcomes)

    def _watch(self, pool: ThreadPoolExecutor, workers: list[Future[None]]) -> None:
        """Keep as many workers as the pace allows until nothing is left to do."""
        with self.change:
            while not self.stop.is_set() and (self.waiting or self.active):
                wanted = min(self.pace.limit, len(self.waiting) + self.active)
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
        target = self.plan.to / file.path
        claim: Claim | None = None
        try:
            outcome = intact(file, target, self.index)
            damaged = outcome is None and target.exists()
            if outcome is None:
                if target.parent not in self.made:
                    _make_folder(target.parent)
                    self.made.add(target.parent)
                claim = self.claims.take(target)
                if claim is None:
                    self._wait_for(file, target)
                    return None
                # The holder before us may have finished it between the two looks.
                outcome = intact(file, target, self.index) or replace(
                    self._download(file, claim, start), damaged=damaged
                )
        except OpenAllenError as error:
            if isinstance(error, _FINAL):
                self.stop.set()
            outcome = Outcome(
                file=file, status="failed", error=error, elapsed_s=time.monotonic() - start
            )
        finally:
            if claim is not None:
                self.claims.release(claim)
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
        left = self.leftovers.of(claim.target, fresh=claim.inherited)
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
        whole = {
            self.plan.to / o.file.path
            for o in self.outcomes.values()
            if o.status in {"fetched", "here"}
        }
        for folder in {path.parent for path in whole}:
            for name in Leftovers.targets(folder):
                target = folder / name
                if target in whole and self.claims.sweep(target):
                    Leftovers.clear(target)

    def _settle_folders(self) -> None:
        """Put the new names on disk too: a rename is only in memory until its folder is synced."""
        fetched = [o.file.path for o in self.outcomes.values() if o.status == "fetched"]
        for folder in {(self.plan.to / path).parent for path in fetched}:
            with suppress(OSError):
                handle = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, folder) from error
