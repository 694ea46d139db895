"""Runs a plan: workers, leases, retries, and a report that names every file."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from openallen.errors import SpaceError, StoreError
from openallen.plans import Outcome, Plan, Report
from openallen.store import Index, Leases, Leftovers
from openallen.store.disk import sync_folders
from openallen.transfer.cluster import share_out_to
from openallen.transfer.fetching import Fetching
from openallen.transfer.interruption import Interruption
from openallen.transfer.processes import share_out
from openallen.transfer.progress import Meter, Observer, Quiet
from openallen.transfer.rate_limiter import RateLimiter
from openallen.transfer.sharing import Cluster
from openallen.transfer.space import prepare
from openallen.transfer.status import here_by_name, share_known, vouched
from openallen.transfer.waiting import Waiting
from openallen.transport import Http, Retry

__all__ = ["Interrupted", "run"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run, or an `Interruption`.

    What is there is verified; the next run resumes the rest.

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
    processes: int | None = None,
    interruption: Interruption | None = None,
    cluster: Cluster | None = None,
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
    processes
        Number of processes that share the files; chosen by their size and the processors where
        None: one interpreter fills a fast link with two to four processors, not with more.
    interruption
        Ends the run from another thread.
    cluster
        A cluster whose workers share the files, instead of processes of this machine. Where they
        fetch to their own disks, nothing is read from or written to the destination here.

    Returns
    -------
    Report
        One outcome for each file, in the plan's order. Failures are in it, not raised.

    Raises
    ------
    StoreError
        If the destination cannot be written to at all.
    Interrupted
        On Ctrl-C, or when `interruption` is asked for, with the report so far.
    UnreachableError, UsageError
        If a cluster cannot be used; before the first file.
    """
    elsewhere = cluster is not None and cluster.own_disks
    if not elsewhere and len(here_by_name(plan)) < len(plan.files):
        prepare(plan.to)
        share_known(plan, index)
    held = leases or Leases()
    observer = observer or Quiet()
    work = Fetching(
        plan=plan,
        http=http,
        index=index,
        retry=retry or Retry(),
        observer=observer,
        rate_limiter=RateLimiter(connections or plan.connections),
        leases=held,
        verify=verify,
        meter=Meter(len(plan.files)),
        waiting=Waiting(plan.files),
    )
    try:
        stopper = interruption or Interruption()
        return _Run(work=work, processes=processes, interruption=stopper, cluster=cluster).run()
    finally:
        if leases is None:
            held.close()


@dataclass(kw_only=True)
class _Run:
    """A run of a plan, from the first look to the report."""

    work: Fetching
    processes: int | None
    interruption: Interruption
    cluster: Cluster | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether the files go to the disks of workers."""
        return self.cluster is not None and self.cluster.own_disks

    def run(self) -> Report:
        start = time.monotonic()
        work, plan = self.work, self.work.plan
        work.observer.started(plan, work.meter)
        if not self.elsewhere:
            self._settle_known()
        interrupted = False
        try:
            with self.interruption.calling(self._end):
                self._fetch()
            interrupted = self.interruption.asked
        except KeyboardInterrupt:
            interrupted = True
        finally:
            work.observer.finished()
        if not self.elsewhere:
            self._tidy()
        left = (Outcome(file=f, status="not tried") for f in plan.files)
        outcomes = tuple(work.outcomes.get(o.file.path, o) for o in left)
        report = Report(plan=plan, outcomes=outcomes, elapsed_s=time.monotonic() - start)
        if interrupted:
            raise Interrupted(report)
        return report

    def _fetch(self) -> None:
        if self.cluster is None:
            share_out(self.work, asked=self.processes)
        else:
            share_out_to(self.work, self.cluster)
        if not self.elsewhere:
            self.work.run()

    def _tidy(self) -> None:
        self._sweep()
        outcomes = self.work.outcomes.values()
        sync_folders(self.work.plan.to, [o.file.path for o in outcomes if o.status == "fetched"])

    def _end(self) -> None:
        self.work.stop.set()
        self.work.http.close()  # so that every thread ends at once

    def _settle_known(self) -> None:
        """Settle files the index vouches for before any thread starts."""
        work = self.work
        known = vouched(work.plan, work.index, verify=work.verify)
        for outcome in known.values():
            work.meter.settle(outcome)
            work.observer.settled(outcome)
        work.settle(known)

    def _sweep(self) -> None:
        """Remove what a killed process left beside files that are whole now."""
        whole = {
            o.file.path for o in self.work.outcomes.values() if o.status in {"fetched", "here"}
        }
        for folder in {path.rpartition("/")[0] for path in whole}:
            for name in Leftovers.targets(self.work.plan.to / folder):
                target = self.work.plan.to / folder / name
                inside = f"{folder}/{name}" if folder else name
                with suppress(StoreError, SpaceError):  # a read-only folder keeps its leftovers
                    if inside in whole and self.work.leases.sweep(target):
                        Leftovers.clear(target)
