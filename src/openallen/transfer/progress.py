"""Progress of a run. Faces draw it; the engine only counts."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol

from openallen.errors import OpenAllenError
from openallen.plans import Outcome, Plan, RemoteFile

__all__ = ["Meter", "Observer", "Quiet", "Reading"]


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of a run at one moment.

    Parameters
    ----------
    files_done, files_total
        Files settled one way or the other, and files in the plan.
    files_failed
        Those among them that failed.
    bytes_done
        Bytes received by this run, tries that failed included.
    elapsed_s
        Seconds since the start.
    bytes_per_s
        Speed over the last few seconds.
    workers
        How many workers of a cluster take part; 0 without a cluster.
    """

    files_done: int
    files_total: int
    files_failed: int
    bytes_done: int
    elapsed_s: float
    bytes_per_s: float
    workers: int = 0


class Meter:
    """Counts files and bytes; a face reads it whenever it draws.

    Attributes
    ----------
    workers : int
        As for `Reading`; set by the run.
    """

    workers: int = 0

    def __init__(self, files_total: int) -> None:
        self._lock = threading.Lock()
        self._files_total = files_total
        self._files_done = self._files_failed = self._bytes_done = 0
        self._start = time.monotonic()
        self._window: list[tuple[float, int]] = [(self._start, 0)]

    def add_bytes(self, count: int) -> None:
        """Count bytes received."""
        with self._lock:
            self._bytes_done += count

    def settle(self, outcome: Outcome) -> None:
        """Count a file as done."""
        with self._lock:
            self._files_done += 1
            self._files_failed += outcome.status == "failed"

    def read(self) -> Reading:
        """Return the current state."""
        now = time.monotonic()
        with self._lock:
            self._window.append((now, self._bytes_done))
            while len(self._window) > 2 and now - self._window[0][0] > 5:
                self._window.pop(0)
            (since, before), span = self._window[0], now - self._window[0][0]
            speed = (self._bytes_done - before) / span if span > 0 else 0.0
            return Reading(
                self._files_done,
                self._files_total,
                self._files_failed,
                self._bytes_done,
                now - self._start,
                speed if since != now else 0.0,
                self.workers,
            )


class Observer(Protocol):
    """Receives progress, from worker threads; must be quick and must not raise."""

    def started(self, plan: Plan, meter: Meter) -> None:
        """Report that a run began."""

    def settled(self, outcome: Outcome) -> None:
        """Report that a file is settled, one way or the other."""

    def retrying(
        self, file: RemoteFile, attempt: int, error: OpenAllenError, wait_s: float
    ) -> None:
        """Report that an attempt failed; the next one follows after `wait_s` seconds."""

    def waiting(self, file: RemoteFile, holder: str) -> None:
        """Report that another process is fetching this file."""

    def finished(self) -> None:
        """Report that the run ended, however it did."""


class Quiet:
    """An observer that ignores everything."""

    def started(self, plan: Plan, meter: Meter) -> None:
        """Ignore the start."""

    def settled(self, outcome: Outcome) -> None:
        """Ignore a file."""

    def retrying(
        self, file: RemoteFile, attempt: int, error: OpenAllenError, wait_s: float
    ) -> None:
        """Ignore a retry."""

    def waiting(self, file: RemoteFile, holder: str) -> None:
        """Ignore a wait."""

    def finished(self) -> None:
        """Ignore the end."""
