"""A cluster that shares a fetch: which one, and where its workers put the files."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from openallen.cluster.naming import address_of, check_scheduler, is_cluster, local_workers
from openallen.cluster.workers import PATIENCE_S
from openallen.errors import UsageError
from openallen.plans import Plan

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Cluster"]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster that shares a plan, and where its workers put the files.

    Parameters
    ----------
    scheduler
        As for `openallen.cluster.check_scheduler`: the address of its scheduler, the scheduler's
        ``.json`` file, ``local:N`` for N workers on this machine, a client, or a cluster of dask.
    own_disks
        Whether the destination is a folder on the disk of each worker; else all of them, and the
        caller, share it.
    patience_s
        How long to wait for a worker or the scheduler where there is none, in seconds.
    """

    scheduler: str | Path | Client
    own_disks: bool = False
    patience_s: float = PATIENCE_S

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return address_of(self.scheduler)

    @property
    def local_workers(self) -> int | None:
        """How many workers on this machine are to be started; None for another cluster."""
        return local_workers(self.scheduler)

    @property
    def is_named(self) -> bool:
        """Whether its scheduler can be found again once it is lost."""
        named = isinstance(self.scheduler, str | Path) or is_cluster(self.scheduler)
        return named and self.local_workers is None

    @classmethod
    def chosen(
        cls, scheduler: str | Path | Client | None, *, own_disks: bool, to: Path | str | None
    ) -> Cluster | None:
        """Return the cluster that a user has chosen; None without one.

        Parameters
        ----------
        scheduler, own_disks
            As for the class.
        to
            The folder that was named; None for the store.

        Raises
        ------
        UsageError
            If it is no scheduler, or disks of workers are meant without one, or without a folder.
        MissingExtraError
            Without the extra ``cluster``.
        """
        if own_disks and (scheduler is None or to is None):
            missing = "a cluster" if scheduler is None else "a folder"
            hint = "--scheduler ADDRESS" if scheduler is None else "--to DIR"
            raise UsageError(
                f"workers cannot fetch to their own disks without {missing}", hint=hint
            )
        if scheduler is None:
            return None
        check_scheduler(scheduler)
        return cls(scheduler=scheduler, own_disks=own_disks)

    def elsewhere(self, plan: Plan) -> Plan:
        """Return a plan of which nothing is here, with the command that goes to workers' disks.

        Parameters
        ----------
        plan
            The plan, as for a folder of this machine.
        """
        command = f"{plan.command} --scheduler {shlex.quote(self.name)} --own-disks"
        files = tuple(replace(file, retry="") for file in plan.files)
        return replace(plan, files=files, here=frozenset(), command=command)
