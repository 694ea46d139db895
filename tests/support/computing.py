"""Real clusters on loopback: a scheduler and workers, each in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import openallen

SOURCES = Path(openallen.__file__).parents[1]


def other_version(folder: Path, version: str = "0.0.9") -> Path:
    """Make a folder with an openallen of another version, for the path of a worker."""
    package = folder / "openallen"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "version.py").write_text(f'__version__ = "{version}"\n')
    return folder


def without_openallen(folder: Path) -> Path:
    """Make a folder that hides openallen from a worker."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "openallen.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'openallen'\", name='openallen')\n"
    )
    return folder


class Cluster:
    """A scheduler in a process of its own, and workers that are started and ended one by one."""

    def __init__(self, scratch: Path, port: int = 0) -> None:
        self.scratch = scratch
        self.workers: list[subprocess.Popen[bytes]] = []
        self.address = ""
        self.start_scheduler(port)

    def start_scheduler(self, port: int = 0) -> None:
        """Start the scheduler; at the port it had, where it is started again."""
        port = port or (int(self.address.rpartition(":")[2]) if self.address else 0)
        log = self.scratch / f"scheduler-{time.monotonic_ns()}.log"
        self.scheduler = self._process(
            "dask_scheduler", log, "--port", str(port), "--no-dashboard", "--no-show"
        )
        self.address = _told(log, r"Scheduler at:\s+(tcp://\S+)", self.scheduler)

    def add(
        self, count: int = 1, *, path: Path | None = None, env: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (), nanny: bool = False, threads: int = 1,
    ) -> list[subprocess.Popen[bytes]]:  # fmt: skip
        """Start workers.

        Parameters
        ----------
        count
            How many; each is a process.
        path
            A folder whose modules go before all others.
        env
            Variables of their own: ``OPENALLEN_STORE``.
        prefix
            What the command begins with: ``("ip", "netns", "exec", "host1")``.
        nanny
            Whether workers that end are started again.
        threads
            Tasks at once in each.
        """
        made, logs = [], []
        for _ in range(count):
            log = self.scratch / f"worker-{time.monotonic_ns()}.log"
            one = self._process(
                "dask_worker", log, self.address, "--nthreads", str(threads), "--no-dashboard",
                "--nanny" if nanny else "--no-nanny", "--local-directory", str(self.scratch),
                "--memory-limit", "0", path=path, env=env, prefix=prefix,
            )  # fmt: skip
            made.append(one)
            logs.append(log)
        for one, log in zip(made, logs, strict=True):
            _told(log, r"(Registered to)", one)
        self.workers += made
        return made

    def _process(
        self, module: str, log: Path, *words: str, path: Path | None = None,
        env: dict[str, str] | None = None, prefix: tuple[str, ...] = (),
    ) -> subprocess.Popen[bytes]:  # fmt: skip
        host = () if prefix else ("--host", "127.0.0.1")
        places = [str(path)] if path is not None else []
        around = os.environ | {
            "PYTHONPATH": os.pathsep.join([*places, str(SOURCES), str(Path(__file__).parent)]),
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "3",
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
        }
        with log.open("wb") as out:
            return subprocess.Popen(
                [*prefix, sys.executable, "-m", f"distributed.cli.{module}", *words, *host],
                stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=around | (env or {}), start_new_session=True, cwd=self.scratch,
            )  # fmt: skip

    @staticmethod
    def kill(process: subprocess.Popen[bytes]) -> None:
        """End a process, and those it started, at once: as a machine that loses its power."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def remove(self) -> None:
        """End all workers."""
        while self.workers:
            self.kill(self.workers.pop())

    def close(self) -> None:
        """End everything."""
        self.remove()
        self.kill(self.scheduler)


def _told(log: Path, pattern: str, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = re.search(pattern, log.read_text(errors="replace"))
        if found is not None:
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise AssertionError(f"{process.args}: {log.read_text(errors='replace')}")


@contextmanager
def cluster(scratch: Path, workers: int = 0) -> Iterator[Cluster]:
    """Run a scheduler and workers, for as long as the context lasts."""
    made = Cluster(scratch)
    try:
        made.add(workers)
        yield made
    finally:
        made.close()


__all__ = ["Cluster", "cluster", "other_version", "without_openallen"]
