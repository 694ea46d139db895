"""A dask cluster for tests: scheduler and workers are processes of their own, as on a real one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

SUPPORT = Path(__file__).parent
SOURCE = SUPPORT.parents[1] / "src"
PATH = os.pathsep.join((str(SOURCE), str(SUPPORT)))
"""Where workers find openallen, and the tasks of tests."""
WAIT_S = 60.0

BLOCKED = """
import sys
class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Nowhere())
"""


def another_version(folder: Path, version: str) -> dict[str, str]:
    """Return the environment of a worker that has another version of openallen installed."""
    package = folder / f"site-{version}" / "openallen"
    package.mkdir(parents=True)
    for path in (SOURCE / "openallen").iterdir():
        if path.name not in {"version.py", "__pycache__"}:
            (package / path.name).symlink_to(path)
    (package / "version.py").write_text(f"__version__ = {version!r}\n")
    return {"PYTHONPATH": str(package.parent)}


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port nobody listens on now."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


def until(condition, what: str, limit_s: float = WAIT_S) -> None:
    """Wait for a condition."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)


class TestCluster:
    """A scheduler and its workers.

    Parameters
    ----------
    folder
        Where logs and the workers' own files go.
    host
        The address the scheduler listens on.
    prefix
        What goes before the scheduler's command: ``ip netns exec NAME``.
    """

    __test__ = False

    def __init__(
        self, folder: Path, *, host: str = "127.0.0.1", prefix: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.host = host
        self.port = free_port(host)
        self.address = f"tcp://{host}:{self.port}"
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self._prefix = tuple(prefix)
        folder.mkdir(parents=True, exist_ok=True)
        self.scheduler = self._scheduler()

    def _scheduler(self) -> subprocess.Popen[bytes]:
        options = ["--host", self.host, "--port", str(self.port), "--no-dashboard",
                   "--scheduler-file", str(self.file)]  # fmt: skip
        command = [*self._prefix, sys.executable, "-m", "distributed.cli.dask_scheduler", *options]
        # A task is given up with the second worker that it ends.
        env = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
        return self._start("scheduler", command, env)

    def _start(
        self, name: str, command: Sequence[str], env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        own = {n: v for n, v in os.environ.items() if not n.startswith("OPENALLEN_")}
        own |= {"PYTHONPATH": PATH, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s"}
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, env=own | dict(env), stdout=log, stderr=log, cwd=self.folder,
                process_group=0,
            )  # fmt: skip

    def start_scheduler(self) -> None:
        """Start the scheduler again, at the same address."""
        self.scheduler = self._scheduler()

    def kill_scheduler(self) -> None:
        """Kill the scheduler."""
        self.scheduler.kill()
        self.scheduler.wait()

    def start_worker(
        self,
        name: str,
        *,
        threads: int = 1,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        site: str = "",
        more: Sequence[str] = ("--no-nanny",),
    ) -> subprocess.Popen[bytes]:
        """Start a worker, and return its process.

        Parameters
        ----------
        name
            The worker's name.
        threads
            How many tasks it runs at once.
        env
            Environment variables.
        prefix
            What goes before the command: ``ip netns exec NAME``.
        site
            Python that the worker runs first, as a ``sitecustomize`` of its environment would.
        more
            Further options of ``dask worker``: without ``--no-nanny`` it starts again by itself.
        """
        env = dict(env or {})
        if site:
            there = self.folder / f"site-{name}"
            there.mkdir(exist_ok=True)
            (there / "sitecustomize.py").write_text(site)
            env["PYTHONPATH"] = f"{there}{os.pathsep}{PATH}"
        options = [self.address, "--name", name, "--nthreads", str(threads), "--no-dashboard",
                   "--memory-limit", "0", "--local-directory", str(self.folder / f"local-{name}"),
                   "--death-timeout", "60", *more]  # fmt: skip
        command = [*prefix, sys.executable, "-m", "distributed.cli.dask_worker", *options]
        self.workers[name] = self._start(f"worker-{name}", command, env)
        return self.workers[name]

    def start_workers(self, *names: str, **options) -> None:
        """Start several workers, and wait until they have joined."""
        for name in names:
            self.start_worker(name, **options)
        self.wait_for(len(self.workers))

    def wait_for(self, count: int) -> None:
        """Wait until so many workers have joined."""
        with self.client() as client:
            client.wait_for_workers(count, timeout=WAIT_S)

    @contextmanager
    def client(self) -> Iterator:
        """Return a client of this cluster, which ends with the context."""
        from distributed import Client

        with Client(self.address, timeout=WAIT_S, set_as_default=False) as client:
            yield client

    def kill_worker(self, name: str) -> None:
        """Kill a worker, as a node that loses its power does."""
        worker = self.workers.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def log(self, name: str) -> str:
        """Return what ``scheduler`` or ``worker-NAME`` wrote."""
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")

    def close(self) -> None:
        """End everything."""
        for name in list(self.workers):
            self.kill_worker(name)
        self.kill_scheduler()

    def restore(self, *names: str) -> None:
        """Have these workers and no others, whatever a test did: what ended is started again."""
        for name, worker in list(self.workers.items()):
            if name not in names or worker.poll() is not None:
                self.kill_worker(name)
        if self.scheduler.poll() is not None:
            for name in list(self.workers):
                self.kill_worker(name)
            self.start_scheduler()
        with self.client() as client:
            until(lambda: len(client.nthreads()) == len(self.workers), "it knows who is gone")
            for name in names:
                if name not in self.workers:
                    self.start_worker(name)
            until(lambda: len(client.nthreads()) == len(names), f"workers {names}")

    @property
    def file(self) -> Path:
        """The file that the scheduler wrote."""
        return self.folder / "scheduler.json"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Hosts:
    """Network namespaces as hosts of their own, each with a name and a disk.

    Parameters
    ----------
    names
        Their names.
    disk
        A folder that is another file system on each of them.

    Attributes
    ----------
    here : str
        The address of this host that all of them reach.
    """

    def __init__(self, names: Sequence[str], disk: Path) -> None:
        self._tag = f"oa{os.getpid() % 10_000}"
        self._net = f"10.77.{os.getpid() % 250}"
        self._disk = disk
        self._made: list[str] = []
        self.here = f"{self._net}.1"
        try:
            for number, name in enumerate(names):
                self._make(number, name)
        except (OSError, subprocess.CalledProcessError):
            self.close()
            raise

    def _make(self, number: int, name: str) -> None:
        space, link = f"{self._tag}{name}", f"{self._tag}{number}"
        ours, theirs = f"{self._net}.{4 * number + 1}", f"{self._net}.{4 * number + 2}"
        self._ip(f"netns add {space}")
        self._made.append(space)
        self._ip(f"link add {link}a type veth peer name {link}b netns {space}")
        self._ip(f"addr add {ours}/30 dev {link}a")
        self._ip(f"link set {link}a up")
        self._ip(f"-n {space} addr add {theirs}/30 dev {link}b")
        self._ip(f"-n {space} link set {link}b up")
        self._ip(f"-n {space} link set lo up")
        self._ip(f"-n {space} route add default via {ours}")
        subprocess.run([*self.on(name), "true"], check=True, capture_output=True)

    @staticmethod
    def _ip(words: str) -> None:
        subprocess.run(["ip", *words.split()], check=True, capture_output=True)

    def on(self, name: str) -> list[str]:
        """Return what goes before a command that runs on a host."""
        begin = f'hostname {name} && mount -t tmpfs none {self._disk} && exec "$@"'
        return ["ip", "netns", "exec", f"{self._tag}{name}", "unshare", "--mount", "--uts",
                "sh", "-c", begin, "sh"]  # fmt: skip

    def close(self) -> None:
        """Remove them; their links go with them."""
        for space in self._made:
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)
