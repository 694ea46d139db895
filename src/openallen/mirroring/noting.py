"""Progress of a mirror's run: each file is written down as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from openallen.errors import OpenAllenError
from openallen.plans import Outcome, Plan, RemoteFile
from openallen.transfer.progress import Meter, Observer, Quiet

__all__ = ["Noting"]


class Noting:
    """An observer that has each file that is there noted, and tells another observer.

    Parameters
    ----------
    note
        Called with each outcome of a file that is there.
    inner
        The other observer.
    """

    def __init__(self, note: Callable[[Outcome], None], inner: Observer | None) -> None:
        self._note = note
        self._inner: Observer = inner or Quiet()

    def started(self, plan: Plan, meter: Meter) -> None:
        """Tell that a run began."""
        self._inner.started(plan, meter)

    def settled(self, outcome: Outcome) -> None:
        """Note a file, and tell that it is settled."""
        if outcome.status in {"fetched", "here"}:
            with suppress(OpenAllenError):  # a full disk ends the run by itself
                self._note(outcome)
        self._inner.settled(outcome)

    def retrying(
        self, file: RemoteFile, attempt: int, error: OpenAllenError, wait_s: float
    ) -> None:
        """Tell that an attempt failed."""
        self._inner.retrying(file, attempt, error, wait_s)

    def waiting(self, file: RemoteFile, holder: str) -> None:
        """Tell that another process is fetching a file."""
        self._inner.waiting(file, holder)

    def finished(self) -> None:
        """Tell that the run ended."""
        self._inner.finished()
