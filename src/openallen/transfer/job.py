"""The contract of a job: a plan, how to run it, and the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from openallen.plans import Plan, Report
from openallen.store import Index
from openallen.transfer.engine import run
from openallen.transfer.interruption import Interruption
from openallen.transfer.progress import Observer
from openallen.transfer.sharing import Cluster
from openallen.transfer.space import check_space
from openallen.transport import Http, Retry

__all__ = ["FileJob", "Job", "Means", "carry_out"]


@dataclass(frozen=True, kw_only=True)
class Means:
    """The means a job is run with.

    Parameters
    ----------
    http
        The HTTP client.
    index
        The index of the store.
    retry
        When to try again.
    observer
        Receives progress.
    connections
        Maximum number of connections; the plan's own where None.
    verify
        Whether published digests are compared while fetching.
    processes
        Number of processes that share the files; chosen by the run where None.
    interruption
        Ends the run from another thread.
    cluster
        A cluster whose workers share the files.
    """

    http: Http
    index: Index
    retry: Retry
    observer: Observer | None = None
    connections: int | None = None
    verify: bool = True
    processes: int | None = None
    interruption: Interruption | None = None
    cluster: Cluster | None = None

    def run(self, plan: Plan) -> Report:
        """Run a plan."""
        return run(
            plan,
            http=self.http,
            index=self.index,
            retry=self.retry,
            observer=self.observer,
            connections=self.connections,
            verify=self.verify,
            processes=self.processes,
            interruption=self.interruption,
            cluster=self.cluster,
        )


class Job(Protocol):
    """One thing to be fetched.

    Attributes
    ----------
    plan : Plan
        What it would take.
    """

    @property
    def plan(self) -> Plan:
        """What it would take."""
        ...

    def run(self, means: Means) -> Report:
        """Fetch it; failures are in the report."""
        ...

    def result(self) -> object:
        """Open what was fetched."""
        ...


def carry_out(work: Job, means: Means, plan: Plan) -> Report:
    """Run a job, if the disk can hold what is missing.

    Where workers of a cluster fetch to their own disks, its files are fetched and nothing else is
    done: no manifest is written, and nothing is made of the files, as no machine has all of them.

    Parameters
    ----------
    work
        The job.
    means
        What it is run with.
    plan
        Its plan with what is here.

    Raises
    ------
    SpaceError
        If the disk cannot hold what is missing.
    """
    cluster = means.cluster
    if cluster is not None and cluster.own_disks:
        return means.run(cluster.elsewhere(work.plan))
    check_space(plan)
    return work.run(means)


@dataclass(frozen=True)
class FileJob:
    """A job of one file.

    Parameters
    ----------
    plan
        A plan of one file.
    """

    plan: Plan

    def run(self, means: Means) -> Report:
        """Fetch it; failures are in the report."""
        return means.run(self.plan)

    def result(self) -> object:
        """Return the path of the file."""
        return self.plan.to / self.plan.files[0].path
