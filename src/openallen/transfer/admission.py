"""Admission of files to a run: is it here, is another process fetching it, may we."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from openallen.plans import Outcome, RemoteFile
from openallen.store import Index, Lease, Leases, Leftovers
from openallen.store.disk import disk_error
from openallen.transfer.status import intact

__all__ = ["Admission", "Entry"]


_OTHERS_BEGAN_S: Final = 10
"""Files so much older than this run, in seconds, may be of another that is still under way."""
_RECORDED_WITHIN_S: Final = 3
"""How long the record of such a file is waited for: the other run writes them once a second."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The right to fetch one file.

    Parameters
    ----------
    lease
        Its lease, released when the file is settled.
    damaged
        Whether a damaged file is there.
    """

    lease: Lease
    damaged: bool


@dataclass(kw_only=True)
class Admission:
    """Admits files to a run.

    Parameters
    ----------
    to
        The destination.
    index
        The index.
    leases
        Those of this process.
    verify
        Whether published digests are compared now.
    begun_s
        When the run began, in seconds since 1970, by the clock of the destination's file system.
    shared
        Whether other runs write to the index; where they do not, no record of theirs is waited for.
    """

    to: Path
    index: Index
    leases: Leases
    verify: bool = True
    begun_s: float = field(default_factory=time.time)
    shared: bool = True
    leftovers: Leftovers = field(default_factory=Leftovers)
    _made: set[str] = field(default_factory=set)
    _made_s: float = field(default_factory=time.monotonic)

    def enter(self, file: RemoteFile) -> Outcome | Entry | None:
        """Return the outcome of a file that is here, else the right to fetch it, or None.

        None means that another process holds the lease.

        Raises
        ------
        StoreError, SpaceError
            If the folder cannot be created or written to.
        """
        target = Path(f"{self.to}/{file.path}")
        there = os.path.exists(target)  # noqa: PTH110 - thousands of these in a run
        outcome = self._here(file, target) if there else None
        if outcome is not None:
            return outcome
        folder = file.path.rpartition("/")[0]
        if folder not in self._made:
            _make_folder(target.parent)
            self._made.add(folder)
        lease = self.leases.take(target)
        if lease is None:
            return None
        # The holder before us may have finished it between the two looks.
        try:
            if os.path.exists(target):  # noqa: PTH110
                outcome = self._here(file, target)
        except BaseException:
            self.leases.release(lease)
            raise
        if outcome is not None:
            self.leases.release(lease)
            return outcome
        return Entry(lease, there)

    def _here(self, file: RemoteFile, target: Path) -> Outcome | None:
        if self.shared and not (file.digest or file.last_digest):
            self._wait_for_record(target)
        return intact(file, target, self.index, verify=self.verify, begun_s=self.begun_s)

    def _wait_for_record(self, target: Path) -> None:
        """Wait for the record of a file that another run wrote just before this one began."""
        try:
            age_s = self.begun_s - target.stat().st_mtime
        except OSError:
            return
        end_s = self._made_s + _RECORDED_WITHIN_S
        while (
            0 < age_s < _OTHERS_BEGAN_S
            and time.monotonic() < end_s
            and self.index.recall(target) is None
        ):
            time.sleep(0.05)

    def leave(self, entry: Entry) -> None:
        """Release the right to fetch a file."""
        with suppress(OSError):
            self.leases.release(entry.lease)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, folder) from error
