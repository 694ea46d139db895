"""Progress of a transfer: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from openallen.display import bytes_text, count_text, seconds_text
from openallen.harmless import harmless

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from openallen.errors import OpenAllenError
    from openallen.plans import Outcome, Plan, RemoteFile
    from openallen.transfer import Meter

__all__ = ["LiveProgress", "PlainProgress", "counting", "progress_for"]

_LINE_EVERY_S = 5.0
_EVERY = 1000


def progress_for(*, quiet: bool, verbose: int) -> LiveProgress | PlainProgress:
    """Return a live bar for a terminal, else an object that prints a line every few seconds."""
    if sys.stderr.isatty() and not quiet:
        return LiveProgress(verbose=verbose)
    return PlainProgress(quiet=quiet, verbose=verbose)


@contextmanager
def counting(
    total: int | None, noun: str, *, quiet: bool, every: int | None = None
) -> Iterator[Callable[[object], None]]:
    """Show a count, up to `total` where it is known; yields a function to call for each item."""
    of = "" if total is None else f" of {total:,}"
    every = every or (1 if total is not None else _EVERY)
    done = 0
    shown_at = time.monotonic()
    live = sys.stderr.isatty() and not quiet

    def step(_: object) -> None:
        nonlocal done, shown_at
        done += 1
        if done % every:
            return
        if live:
            sys.stderr.write(f"\r{noun} {done:,}{of}")
            sys.stderr.flush()
        elif not quiet and time.monotonic() - shown_at > _LINE_EVERY_S:
            shown_at = time.monotonic()
            sys.stderr.write(f"{noun} {done:,}{of}\n")

    try:
        yield step
    finally:
        if live:
            sys.stderr.write("\r\x1b[K")


class PlainProgress:
    """A line every few seconds, for logs and pipes; short runs print nothing.

    Parameters
    ----------
    quiet
        Print nothing at all.
    verbose
        From 1 on, retries are printed too.
    """

    def __init__(self, *, quiet: bool = False, verbose: int = 0) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._waited: set[str] = set()

    def started(self, plan: Plan, meter: Meter) -> None:
        """Start printing."""
        del plan
        self._thread = threading.Thread(target=self._tell, args=(meter,), daemon=True)
        if not self._quiet:
            self._thread.start()

    def _tell(self, meter: Meter) -> None:
        while not self._done.wait(_LINE_EVERY_S):
            now = meter.read()
            failed = f", {now.files_failed} failed" if now.files_failed else ""
            workers = f", {count_text(now.workers, 'worker')}" if now.workers else ""
            self._line(
                f"{now.files_done:,} of {now.files_total:,} files{failed}, "
                f"{bytes_text(now.bytes_done)}, {bytes_text(now.bytes_per_s)}/s, "
                f"{seconds_text(now.elapsed_s)}{workers}"
            )

    def settled(self, outcome: Outcome) -> None:
        """Print a finished file, if verbose."""
        if self._verbose:
            self._line(f"{outcome.status}  {outcome.file.path}")

    def retrying(
        self, file: RemoteFile, attempt: int, error: OpenAllenError, wait_s: float
    ) -> None:
        """Print a retry, if verbose."""
        if self._verbose:
            self._line(_retry_text(file, attempt, error, wait_s))

    def waiting(self, file: RemoteFile, holder: str) -> None:
        """Print once that another process is fetching a file."""
        if holder not in self._waited:
            self._waited.add(holder)
            self._line(f"waiting for {holder}, which is fetching {file.path}")

    def finished(self) -> None:
        """Stop printing."""
        self._done.set()

    def _line(self, text: str) -> None:
        if not self._quiet:
            with suppress(OSError):
                sys.stderr.write(harmless(text) + "\n")


def _retry_text(file: RemoteFile, attempt: int, error: OpenAllenError, wait_s: float) -> str:
    return f"attempt {attempt} of {file.path} failed: {error.what}; retrying in {wait_s:.1f} s"


class LiveProgress:
    """A live progress bar for all files together.

    Parameters
    ----------
    verbose
        From 1 on, retries are printed too.
    """

    def __init__(self, *, verbose: int = 0) -> None:
        self._verbose = verbose
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._meter: Meter | None = None
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._waited: set[str] = set()

    def started(self, plan: Plan, meter: Meter) -> None:
        """Show the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        self._meter = meter
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[bytes]}"),
            Remaining(compact=True),
            console=Console(stderr=True, highlight=False),
            transient=True,
        )
        self._task = self._progress.add_task(
            harmless(plan.address), total=len(plan.files), bytes=""
        )
        self._progress.start()
        self._thread = threading.Thread(target=self._draw, daemon=True)
        self._thread.start()

    def _draw(self) -> None:
        while not self._done.wait(0.1):
            self._show()

    def _show(self) -> None:
        if self._progress is None or self._task is None or self._meter is None:
            return
        now = self._meter.read()
        text = f"{bytes_text(now.bytes_done)}  {bytes_text(now.bytes_per_s)}/s"
        if now.files_failed:
            text += f"  {now.files_failed} failed"
        if now.workers:
            text += f"  {count_text(now.workers, 'worker')}"
        self._progress.update(self._task, completed=now.files_done, bytes=text)

    def settled(self, outcome: Outcome) -> None:
        """Do nothing: the meter counts."""

    def retrying(
        self, file: RemoteFile, attempt: int, error: OpenAllenError, wait_s: float
    ) -> None:
        """Print a retry above the bar, if verbose."""
        if self._verbose:
            self._above(_retry_text(file, attempt, error, wait_s))

    def waiting(self, file: RemoteFile, holder: str) -> None:
        """Print once that another process is fetching a file."""
        if holder not in self._waited:
            self._waited.add(holder)
            self._above(f"waiting for {holder}, which is fetching {file.path}")

    def _above(self, text: str) -> None:
        if self._progress is not None:
            self._progress.console.print(harmless(text), markup=False)

    def finished(self) -> None:
        """Remove the bar."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()
        if self._progress is not None:
            self._show()
            self._progress.stop()
