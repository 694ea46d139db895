"""A plan shared among several processes: one interpreter does not fill a fast link.

The parent hands files out, a few at a time, and hears what became of them; each child is a fetcher
like any other, with connections and leases of its own. A child that dies costs its time, nothing
else: its files are fetched by the parent. Without the parent a child ends.
"""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import IO, Any, Final

from openallen.plans import Outcome, RemoteFile
from openallen.transfer.assigned import Assignment
from openallen.transfer.bulk import fits
from openallen.transfer.fetching import FINAL, MOST_LARGE, Fetching, Kind

__all__ = ["READY", "count_of", "share_out"]

_LOG = logging.getLogger("openallen.transfer")
_MOST: Final = 8
_WORTH_BYTES: Final = 4 << 30
"""What one more process is worth its start for."""
_BATCH_FILES: Final = 64
_BATCH_BYTES: Final = 64 << 20
_LOOK_S: Final = 0.2
_PATIENCE_S: Final = 10.0
_CHILD: Final = (
    "import sys; sys.path = sys.argv[1:]; from openallen.transfer.worker import main; main()"
)
READY: Final = b"\0openallen\n"
"""What a child says first: whatever comes before is of something else that its start printed."""


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def count_of(files: int, total_bytes: int, *, asked: int | None, connections: int) -> int:
    """Return how many processes share a number of files.

    Parameters
    ----------
    files, total_bytes
        How many files, and their size.
    asked
        What the user says; chosen here where None: half the processors, as far as each process
        has gigabytes to fetch.
    connections
        How many connections the service bears.
    """
    most = min(files, connections)
    if asked is not None:
        return max(1, min(asked, most))
    worth = total_bytes // _WORTH_BYTES
    return max(1, min(processors() // 2, _MOST, worth, most // 2))


def share_out(work: Fetching, *, asked: int | None) -> None:
    """Have several processes fetch what is waiting, where that is worth it.

    Afterwards `work.waiting` holds what is left: what cannot be handed to another process, and
    what a child that died had taken.

    Parameters
    ----------
    work
        The files.
    asked
        Number of processes; chosen here where None.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, when every child has ended.
    """
    files = [file for file in work.waiting.files() if file.check is None]
    total_bytes = sum(file.size_bytes or 0 for file in files)
    count = count_of(len(files), total_bytes, asked=asked, connections=work.rate_limiter.most)
    if count < 2 or not sys.executable or getattr(sys, "frozen", False):
        return
    _LOG.info("%d processes share %d files", count, len(files))
    crew = _Crew(work, files, count)
    try:
        crew.run()
    finally:
        work.settle(crew.outcomes)


class _Crew:
    """The children, and what they share."""

    def __init__(self, work: Fetching, files: list[RemoteFile], count: int) -> None:
        self.work = work
        self.outcomes: dict[str, Outcome] = {}
        self.by_path = {file.path: file for file in files}
        self._queues: dict[Kind, deque[RemoteFile]] = {
            "bulk": deque(file for file in files if fits(file)),
            "one by one": deque(file for file in files if not fits(file)),
        }
        self._lock = threading.Lock()
        self._count = count
        self._children: list[_Child] = []
        self._assignment = Assignment(
            to=work.plan.to,
            index=work.index.root,
            http=work.http.options,
            connections=-(-work.rate_limiter.most // count),
            most_large=-(-MOST_LARGE // count),
            verify=work.verify,
            retry=work.retry,
            log_level=_LOG.getEffectiveLevel(),
        )

    def run(self) -> None:
        """Start the children, and wait until every one has ended."""
        try:
            self._start()
            while any([child.is_alive(_LOOK_S) for child in self._children]):  # noqa: C419 - each waits
                if self.work.stop.is_set():
                    break
        finally:
            self._end()

    def _start(self) -> None:
        for _ in range(self._count):
            if self.work.stop.is_set():
                return
            try:
                self._children.append(_Child(self, self._assignment))
            except OSError as error:  # too many processes, or no memory: fewer do it too
                _LOG.warning("no further worker process: %s", error)
                return

    def _end(self) -> None:
        """Tell the children to end, and wait; kill those that take too long, on Ctrl-C all."""
        deadline_s = time.monotonic() + _PATIENCE_S
        try:
            for child in self._children:
                child.stop()
            for child in self._children:
                child.end(deadline_s)
        except BaseException:
            for child in self._children:
                child.kill()
            for child in self._children:
                child.end(0.0)
            raise

    def batch(self, kind: Kind) -> list[RemoteFile]:
        """Return the next few files of a kind."""
        found: list[RemoteFile] = []
        with self._lock:
            queue = self._queues[kind]
            most = _BATCH_FILES if kind == "bulk" else 1
            while queue and len(found) < most:
                found.append(queue.popleft())
                if sum(file.size_bytes or 0 for file in found) >= _BATCH_BYTES:
                    break
        return found

    def settled(self, outcome: Outcome) -> None:
        """Take in what became of a file."""
        work = self.work
        outcome = replace(outcome, file=self.by_path[outcome.file.path])
        with self._lock:
            self.outcomes[outcome.file.path] = outcome
        work.meter.settle(outcome)
        work.observer.settled(outcome)
        if isinstance(outcome.error, FINAL):
            work.stop.set()


class _Child:
    """One child process, and the thread that listens to it."""

    def __init__(self, crew: _Crew, assignment: Assignment) -> None:
        self._crew = crew
        # With the modules of this interpreter, not with what lies in the working directory.
        flags = ["-I"] if sys.flags.isolated else ["-P"]
        command = [sys.executable, *flags, "-c", _CHILD, *sys.path]
        # Not in the parent's group: on Ctrl-C the parent tells its children what to do.
        apart: dict[str, Any] = {"process_group": 0}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, **apart)  # noqa: S603
        self._lock = threading.Lock()
        self._stopped = False
        # Not `Thread.join`: a join that Ctrl-C interrupts has Python take the thread for ended.
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="child", daemon=True)
        self._tell(assignment)
        self._thread.start()

    def is_alive(self, wait_s: float) -> bool:
        """Return whether it is still at work, after a wait."""
        return not self._over.wait(wait_s)

    def stop(self) -> None:
        """Tell it to end: it drops what is under way, and says what became of the rest."""
        self._stopped = True
        if not self._lock.acquire(timeout=_LOOK_S):
            self.kill()  # it does not take what it is told
            self._lock.acquire()
        try:
            with suppress(OSError):
                self._pipe(self._process.stdin).close()
        finally:
            self._lock.release()

    def kill(self) -> None:
        """End it at once; what came of its files is there for the next run."""
        self._process.kill()

    def end(self, deadline_s: float) -> None:
        """Wait until it has ended; kill it where it has not by then, as of `time.monotonic`."""
        if not self._over.wait(max(0.0, deadline_s - time.monotonic())):
            self.kill()
        self._over.wait()
        self._thread.join()
        self._pipe(self._process.stdout).close()

    def _tell(self, message: object) -> None:
        with self._lock, suppress(OSError):
            if not self._stopped:
                pipe = self._pipe(self._process.stdin)
                pickle.dump(message, pipe)
                pipe.flush()

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe

    def _listen(self) -> None:
        try:
            self._hear()
        finally:
            self._over.set()

    def _hear(self) -> None:
        pipe = self._pipe(self._process.stdout)
        try:
            while (line := pipe.readline()) and not line.endswith(READY):
                pass
            while True:
                name, *rest = pickle.load(pipe)  # noqa: S301 - from our own child
                getattr(self, f"_on_{name}")(*rest)
        except (EOFError, OSError):
            pass
        except Exception as error:  # noqa: BLE001 - whatever came, it was no message
            _LOG.warning("a worker process sent something unreadable: %s", error)
            self.kill()
        code = self._process.wait()
        if code and not self._stopped:
            _LOG.warning("a worker process ended with status %s; its files are fetched again", code)

    def _on_more(self, kind: Kind) -> None:
        self._tell(self._crew.batch(kind))

    def _on_settled(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self._crew.settled(outcome)

    def _on_bytes(self, count: int) -> None:
        self._crew.work.meter.add_bytes(count)

    def _on_retrying(self, path: str, attempt: int, error: Any, wait_s: float) -> None:
        self._crew.work.observer.retrying(self._crew.by_path[path], attempt, error, wait_s)

    def _on_waiting(self, path: str, holder: str) -> None:
        self._crew.work.observer.waiting(self._crew.by_path[path], holder)

    def _on_log(self, name: str, level: int, text: str) -> None:
        logging.getLogger(name).log(level, "%s", text)
