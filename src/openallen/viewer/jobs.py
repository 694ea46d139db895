"""What pages have done: fetches, verifications, repairs; a few at a time, each can be interrupted.

A job is paused by interrupting its run, as Ctrl-C does on the command line: what is here by then
is verified and stays, and the run that follows goes on from there.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from openallen import maintenance, verbs
from openallen.address import Address
from openallen.display import bytes_text, count_text
from openallen.errors import NotFoundError, OpenAllenError, RefusedError, StoreError
from openallen.settings import Settings
from openallen.transfer import Interrupted, Interruption, Meter

if TYPE_CHECKING:
    from pathlib import Path

    from openallen.maintenance import Target
    from openallen.plans import Outcome, Plan, RemoteFile, Report
    from openallen.store.checked import Checked

__all__ = ["ACTIONS", "Job", "Jobs"]

ACTIONS: Final = ("confirm", "pause", "resume", "cancel", "verify", "repair")
"""What a page can ask of a job."""

_AT_ONCE: Final = 2
_MOST_WAITING: Final = 100
_MOST_KEPT: Final = 50
_MOST_ERRORS: Final = 20
_CLOSE_S: Final = 8.0
_ACTIVE: Final = frozenset({"planning", "fetching", "verifying", "repairing"})
_OVER: Final = frozenset({"done", "incomplete", "failed", "cancelled"})
# What may be asked of a job in a state.
_ALLOWED: Final[Mapping[str, tuple[str, ...]]] = {
    "waiting": ("cancel",),
    "planning": ("cancel",),
    "asks": ("confirm", "cancel"),
    "fetching": ("pause", "cancel"),
    "verifying": ("cancel",),
    "repairing": (),
    "pausing": (),
    "paused": ("resume", "cancel"),
    "done": ("verify",),
    "incomplete": ("resume",),
    "failed": ("resume",),
    "cancelled": ("resume",),
}


@dataclass(eq=False)
class Job:
    """One thing being fetched or verified; the observer of its own run.

    Parameters
    ----------
    id
        What tells it from the others of this server.
    address
        What is fetched.
    kind
        ``fetch``, ``verify`` or ``repair``.
    options
        Options of the fetch, as text.
    """

    id: str
    address: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    state: str = "waiting"
    message: str = ""
    confirmed: bool = False
    files_done: int = 0
    files: int = 0
    bytes_total: int = 0
    errors: list[dict[str, str]] = field(default_factory=list)
    plan_text: str = ""
    folder: Path | None = None
    bad: list[tuple[Target, Checked]] = field(default_factory=list)
    interruption: Interruption = field(default_factory=Interruption)
    wish: str = ""
    thread: threading.Thread | None = None
    changed_at: float = field(default_factory=time.time)
    _meter: Meter | None = None

    @property
    def actions(self) -> tuple[str, ...]:
        """What may be asked of it now."""
        allowed = _ALLOWED[self.state]
        if self.kind != "fetch":
            allowed = tuple(a for a in allowed if a == "cancel")
            allowed += ("verify",) if self.state in _OVER else ()
        return (*allowed, "repair") if self.state in _OVER and self.bad else allowed

    def to_dict(self) -> dict[str, Any]:
        """Return its state, ready for JSON."""
        now = self._meter.read() if self._meter is not None else None
        return {
            "id": self.id,
            "address": self.address,
            "kind": self.kind,
            "state": self.state,
            "files_done": now.files_done if now else self.files_done,
            "files": self.files,
            "bytes_done": now.bytes_done if now else 0,
            "bytes": self.bytes_total,
            "rate": round(now.bytes_per_s) if now and self.state == "fetching" else 0,
            "message": self.message,
            "errors": list(self.errors),
            "plan": self.plan_text if self.state == "asks" else "",
            "actions": list(self.actions),
            "options": {k: str(v) for k, v in self.options.items()},
        }

    def told(self, state: str, message: str = "") -> None:
        """Change its state."""
        self.message = message
        self.state = state
        self.changed_at = time.time()

    def planned(self, plan: Plan) -> None:
        """Note what it takes."""
        self.folder = plan.to
        self.files, self.bytes_total = len(plan.files), plan.missing_bytes
        self.plan_text = str(plan)

    def fail(self, error: OpenAllenError, path: str = "") -> None:
        """Note an error, of the whole or of one file."""
        if len(self.errors) < _MOST_ERRORS:
            why = f" ({error.why})" if error.why else ""
            self.errors.append({"path": path, "what": error.what + why, "hint": error.hint})

    # --- the observer of its run ------------------------------------------------------------------

    def started(self, plan: Plan, meter: Meter) -> None:
        """Begin to count."""
        del plan
        self._meter = meter

    def settled(self, outcome: Outcome) -> None:
        """Note a file that failed."""
        if outcome.error is not None and not self.interruption.asked:
            self.fail(outcome.error, outcome.file.path)

    def retrying(
        self, file: RemoteFile, attempt: int, error: OpenAllenError, wait_s: float
    ) -> None:
        """Say that a file is tried again."""
        if not self.interruption.asked:
            self.message = (
                f"attempt {attempt} of {file.path} failed: {error.what}; again in {wait_s:.1f} s"
            )

    def waiting(self, file: RemoteFile, holder: str) -> None:
        """Say that another process is fetching a file."""
        self.message = f"waiting for {holder}, which is fetching {file.path}"

    def finished(self) -> None:
        """Keep what was counted."""
        if self._meter is not None:
            self.files_done = self._meter.read().files_done


class Jobs:
    """The jobs of one server.

    Parameters
    ----------
    settings
        Settings; where fetches go is their store, always.
    after
        Called with the address of a thing whose files have changed.
    """

    def __init__(self, settings: Settings, after: Callable[[str], object]) -> None:
        self._settings = settings
        self._after = after
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._closed = False

    # --- what pages ask for -----------------------------------------------------------------------

    def add(self, kind: str, address: str, options: Mapping[str, Any] | None = None) -> Job:
        """Begin a job as soon as there is room; one for the same thing that is not over is it.

        Parameters
        ----------
        kind
            ``fetch`` or ``verify``.
        address
            What to fetch.
        options
            Options of the fetch.

        Raises
        ------
        UsageError
            If it is no address.
        RefusedError
            If too many are waiting, it is being fetched with other options, or the server is
            ending.
        """
        where = str(Address.parse(address))
        with self._lock:
            if self._closed:
                raise RefusedError("this server is ending", address=where)
            for job in self._jobs.values():
                if (
                    job.address == where
                    and job.kind == kind
                    and job.state not in _OVER | {"paused"}
                ):
                    if dict(job.options) != dict(options or {}):
                        raise RefusedError(
                            "it is being fetched with other options", address=where, hint="/jobs"
                        )
                    return job
            if len(self._waiting) >= _MOST_WAITING:
                raise RefusedError("too many are waiting already", address=where)
            job = Job(str(next(self._ids)), where, kind, dict(options or {}))
            self._jobs[job.id] = job
            self._tidy()
            self._waiting.append(job)
        self._next()
        return job

    def get(self, id: str) -> Job:  # noqa: A002 - what it is
        """Return a job.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        job = self._jobs.get(id)
        if job is None:
            raise NotFoundError("no such job", address=id[:40], hint="/jobs")
        return job

    def act(self, id: str, action: str) -> Job:  # noqa: A002 - what it is
        """Ask something of a job.

        Parameters
        ----------
        id
            The job.
        action
            One of `ACTIONS`.

        Raises
        ------
        NotFoundError
            If there is no such job.
        RefusedError
            If that is not possible in its state.
        """
        job = self.get(id)
        with self._lock:
            if action not in job.actions:
                raise RefusedError(f"cannot {action}: it is {job.state}", address=job.address)
            if action in {"pause", "cancel"}:
                self._stop(job, action)
                return job
            if action in {"resume", "confirm", "repair"}:
                job.confirmed = job.confirmed or action == "confirm"
                job.kind = "repair" if action == "repair" else job.kind
                job.interruption, job.wish = Interruption(), ""
                job.errors.clear()
                job.told("waiting")
                self._waiting.append(job)
        if action == "verify":
            return self.add("verify", job.address)
        self._next()
        return job

    def states(self) -> list[dict[str, Any]]:
        """Return the state of every job, the newest first."""
        return [job.to_dict() for job in reversed(list(self._jobs.values()))]

    def folders(self) -> set[str]:
        """Return the folders that jobs are writing into now."""
        jobs = list(self._jobs.values())
        return {str(j.folder) for j in jobs if j.folder is not None and j.state in _ACTIVE}

    def busy_with(self, address: str) -> bool:
        """Return whether a job of a thing, or of part of it, is under way or waiting."""
        own = address.partition("?")[0].partition("/")[0].partition("@")[0]
        jobs = list(self._jobs.values())
        return any(
            j.address.partition("?")[0].partition("/")[0].partition("@")[0] == own
            and j.state in _ACTIVE | {"waiting", "pausing"}
            for j in jobs
        )

    def close(self) -> None:
        """Interrupt what is under way, and wait until it has ended: what is here is whole."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            for job in self._jobs.values():
                if job.state in _ACTIVE:
                    self._stop(job, "pause")
        deadline = time.monotonic() + _CLOSE_S
        for job in list(self._jobs.values()):
            thread = job.thread
            if thread is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    # --- running ----------------------------------------------------------------------------------

    def _stop(self, job: Job, wish: str) -> None:
        if job in self._waiting:
            self._waiting.remove(job)
        if job.state in _ACTIVE:
            job.wish = wish
            job.told("pausing", "what is under way is put away")
            job.interruption.ask()
        else:
            job.told("cancelled", "nothing was removed")

    def _tidy(self) -> None:
        over = [job for job in self._jobs.values() if job.state in _OVER]
        for job in over[: max(0, len(self._jobs) - _MOST_KEPT)]:
            del self._jobs[job.id]

    def _next(self) -> None:
        with self._lock:
            running = sum(j.thread is not None and j.thread.is_alive() for j in self._jobs.values())
            while self._waiting and running < _AT_ONCE and not self._closed:
                job = self._waiting.popleft()
                name = f"job {job.id}"
                job.thread = threading.Thread(target=self._run, args=(job,), name=name, daemon=True)
                job.told("planning" if job.kind == "fetch" else "verifying")
                job.thread.start()
                running += 1

    def _run(self, job: Job) -> None:
        try:
            {"fetch": self._fetch, "verify": self._verify, "repair": self._repair}[job.kind](job)
        except (Interrupted, KeyboardInterrupt):
            self._interrupted(job)
        except OpenAllenError as error:
            if job.interruption.asked:
                self._interrupted(job)
            else:
                job.fail(error)
                job.told("failed", error.what)
        except Exception as error:  # noqa: BLE001 - a bug must not leave a job that never ends
            wrong = StoreError(
                "went wrong inside openallen", why=f"{type(error).__name__}: {error}"
            )
            job.fail(wrong)
            job.told("failed", wrong.what)
        finally:
            self._after(job.address)
            with self._lock:
                if job.thread is threading.current_thread():  # not the one that resumed it already
                    job.thread = None  # so that its place is free
            self._next()

    def _fetch(self, job: Job) -> None:
        with verbs.preparing(job.address, settings=self._settings, **job.options) as work:
            job.planned(work.plan)
            self._check(job)
            limit = self._settings.confirm_bytes
            if work.plan.needs_confirmation(limit) and not job.confirmed:
                size = work.plan.size_text
                job.told("asks", f"{size} is more than {bytes_text(limit)}: fetch it?")
                return
            if work.plan.missing:
                job.told("fetching")
            report = work.run(job, job.interruption)
        self._reported(job, report)

    @staticmethod
    def _reported(job: Job, report: Report) -> None:
        here = count_text(len(report.here), "file")
        got = f"{count_text(len(report.fetched), 'file')}, {bytes_text(report.fetched_bytes)}"
        told = f"fetched {got}" if report.fetched else ""
        if report.here:
            told += f"{'; ' if told else ''}{here} already here"
        if report.ok:
            job.told("done", told)
            return
        failed = count_text(len(report.failed), "file")
        wrong = f"{failed} of {len(report.outcomes):,} could not be fetched"
        job.told("incomplete", f"{wrong}; {told}" if told else wrong)

    def _verify(self, job: Job) -> None:
        counts: Counter[str] = Counter()
        job.bad = []
        for target, checked in maintenance.verify([job.address], settings=self._settings):
            self._check(job)
            counts[checked.status] += 1
            job.files_done = job.files = counts.total()
            if checked.bad:
                job.bad.append((target, checked))
                wrong = StoreError(checked.status, hint=checked.repair)
                job.fail(wrong, str(checked.path.name))
        told = ", ".join(f"{n:,} {status}" for status, n in counts.items())
        job.told("failed" if job.bad else "done", told or "nothing to verify")

    def _repair(self, job: Job) -> None:
        job.told("repairing")
        failed = maintenance.repair(job.bad, settings=self._settings, observer=lambda: job)
        job.errors.clear()
        for checked, error in failed:
            job.fail(error, str(checked.path.name))
        repaired = count_text(len(job.bad) - len(failed), "file")
        job.bad = [pair for pair in job.bad if any(pair[1] is c for c, _ in failed)]
        job.kind = "verify"
        job.told("failed" if failed else "done", f"{repaired} repaired")

    @staticmethod
    def _check(job: Job) -> None:
        if job.interruption.asked:
            raise KeyboardInterrupt

    @staticmethod
    def _interrupted(job: Job) -> None:
        if job.wish == "cancel":
            job.told("cancelled", "files that are here are kept; resume continues from there")
        else:
            job.told("paused", "resume continues where it stopped")
