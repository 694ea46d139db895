"""What a fetcher elsewhere is told before its first file, and how it tells what happens.

It may be a process of this machine, or a worker of a cluster.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from openallen.errors import OpenAllenError
from openallen.plans import Outcome, Plan, RemoteFile
from openallen.store import Index, Leases
from openallen.transfer.fetching import Fetching, Kind
from openallen.transfer.progress import Meter
from openallen.transfer.rate_limiter import RateLimiter
from openallen.transport import Http, Retry

__all__ = ["Assignment", "Relay", "Tell", "fetching"]

_TELL_EVERY_S: Final = 0.2


class Tell(Protocol):
    """Sends a message to whoever shares the plan out; nobody may be there to hear it."""

    def __call__(self, *message: object) -> None:
        """Send a message."""
        ...


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a fetcher has to know before its first file.

    Parameters
    ----------
    to, index
        The destination, and the folder of the index.
    http
        The options of the client.
    connections, most_large, verify, retry
        As for `Fetching`.
    log_level
        What the parent wants to hear of.
    begun_s
        When the whole run began, by the clock of the destination's file system, in seconds since
        1970; now where None.
    """

    to: Path
    index: Path
    http: dict[str, Any]
    connections: int
    most_large: int
    verify: bool
    retry: Retry
    log_level: int
    begun_s: float | None = None


def fetching(
    assignment: Assignment,
    relay: Relay,
    *,
    http: Http,
    index: Index,
    leases: Leases,
    more: Callable[[Kind], Sequence[RemoteFile]] | None = None,
) -> Fetching:
    """Return a fetcher for files that are handed out.

    Parameters
    ----------
    assignment
        What holds for all of them.
    relay
        Hears of them.
    http, index, leases, more
        As for `Fetching`.
    """
    plan = Plan(address="", title="", source="", to=assignment.to, files=(), command="-")
    return Fetching(
        plan=plan,
        http=http,
        index=index,
        retry=assignment.retry,
        observer=relay,
        rate_limiter=RateLimiter(assignment.connections),
        leases=leases,
        verify=assignment.verify,
        meter=relay.meter,
        most_large=assignment.most_large,
        more=more,
        begun_s=assignment.begun_s,
    )


class Relay:
    """Tells what happens, several things at a time.

    Parameters
    ----------
    tell
        Sends a message.
    look
        Called as often: looks whether anybody still wants the files.

    Attributes
    ----------
    meter : Meter
        Counts the bytes that are told of.
    """

    def __init__(self, tell: Tell, look: Callable[[], object] = lambda: None) -> None:
        self.meter = Meter(0)
        self._tell = tell
        self._look = look
        self._lock = threading.Lock()
        self._settled: list[Outcome] = []
        self._told_bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="relay", daemon=True)

    def begin(self) -> None:
        """Tell now and then from here on."""
        self._thread.start()

    def end(self) -> None:
        """Tell what was not told yet."""
        self._over.set()
        self._thread.join()
        self._flush()

    def _loop(self) -> None:
        while not self._over.wait(_TELL_EVERY_S):
            self._flush()
            self._look()

    def _flush(self) -> None:
        with self._lock:
            settled, self._settled = self._settled, []
            done = self.meter.read().bytes_done
            new, self._told_bytes = done - self._told_bytes, done
        if new:
            self._tell("bytes", new)
        if settled:
            self._tell("settled", settled)

    def started(self, plan: Plan, meter: Meter) -> None:
        """Ignore the start: it is the parent's."""

    def settled(self, outcome: Outcome) -> None:
        """Keep an outcome until it is told."""
        with self._lock:
            # Plain facts: the empty ones that all outcomes share cannot be handed over.
            self._settled.append(replace(outcome, facts=dict(outcome.facts)))

    def retrying(
        self, file: RemoteFile, attempt: int, error: OpenAllenError, wait_s: float
    ) -> None:
        """Tell that a file is tried again."""
        self._tell("retrying", file.path, attempt, error, wait_s)

    def waiting(self, file: RemoteFile, holder: str) -> None:
        """Tell that somebody else is fetching a file."""
        self._tell("waiting", file.path, holder)

    def finished(self) -> None:
        """Ignore the end: it is the parent's."""
