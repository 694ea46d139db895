"""Work on a dask cluster: connecting, whether its workers can do the work, tasks and their results.

A task is a function of openallen and the few values it needs, addresses rather than data. What a
worker that was lost had taken is done again by another one; the scheduler of dask sees to that.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final, TypeVar

from openallen.errors import OpenAllenError, UnreachableError, UsageError, requiring
from openallen.extras import install_command
from openallen.version import __version__

__all__ = ["address_of", "check_workers", "connect", "each"]

PATIENCE_S: Final = 30.0
"""How long a scheduler or the first worker is waited for, in seconds."""

_LOCAL: Final = re.compile(r"local(?::(?P<count>\S*))?\Z")
_REMOTE: Final = re.compile(r"(?:(?:tcp|tls|ucx|ws|wss|inproc)://)?\S+[:/]\d+\S*\Z")
_MOST_LOCAL: Final = 256
_CLOSING_S: Final = 10
_POLL_S: Final = 0.02
_LOOK_S: Final = 1.0
_FORMS: Final = "tcp://HOST:PORT, local:N, or the scheduler's .json file"

K = TypeVar("K")


# --- connecting -----------------------------------------------------------------------------------


@contextmanager
def connect(where: Any, *, patience_s: float = PATIENCE_S) -> Iterator[Any]:
    """Connect to a scheduler and check its workers, as long as the context lasts.

    Parameters
    ----------
    where
        The address of a scheduler (``tcp://10.0.0.1:8786``), its file (``scheduler.json``),
        ``local:N`` for N processes on this machine, or a client or cluster of ``dask.distributed``,
        which stays open.
    patience_s
        How long the scheduler, and its first worker, are waited for, in seconds.

    Yields
    ------
    distributed.Client
        Whose workers have this version of openallen.

    Raises
    ------
    MissingExtraError
        Without the extra ``cluster``.
    UsageError
        If `where` is none of these, or a worker has another version of openallen or of Python, or
        no openallen.
    UnreachableError
        If no scheduler answers, or it has no workers.
    """
    with requiring("work on a cluster", "cluster"):
        import distributed
    with ExitStack() as stack:
        if isinstance(where, distributed.Client):
            client = where
        elif hasattr(where, "scheduler_address") and not isinstance(where, str):
            client = stack.enter_context(_client(where, str(where.scheduler_address), patience_s))
        else:
            client = stack.enter_context(_by_text(str(where), patience_s))
        if client.asynchronous:
            raise UsageError(
                "an asynchronous client cannot be used",
                address=address_of(client),
                hint="distributed.Client(address) without asynchronous=True",
            )
        check_workers(client, patience_s=patience_s)
        yield client


def address_of(client: Any) -> str:
    """Return the address of a client's scheduler, as far as it is known.

    Parameters
    ----------
    client
        The client.
    """
    scheduler = getattr(client, "scheduler", None)
    known = getattr(scheduler, "address", "") or getattr(client, "_start_arg", "")
    return known if isinstance(known, str) else "the scheduler"


def _by_text(where: str, patience_s: float) -> Any:
    local = _LOCAL.match(where)
    if local is not None:
        return _local(where, local["count"])
    if where.endswith(".json"):
        return _client(_in_file(where), where, patience_s)
    if _REMOTE.match(where) is None:
        raise UsageError("not the address of a scheduler", address=where, hint=_FORMS)
    return _client(where, where, patience_s)


def _in_file(where: str) -> str:
    """Return the address in the file that a scheduler wrote."""
    hint = f"dask scheduler --scheduler-file {where}"
    try:
        told = json.loads(Path(where).read_bytes())
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError("no file of a scheduler", address=where, why=why, hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise UsageError("no file of a scheduler", address=where, why=str(error)) from error
    address = told.get("address") if isinstance(told, dict) else None
    if not isinstance(address, str):
        why = "it has no address"
        raise UsageError("no file of a scheduler", address=where, why=why, hint=hint)
    return address


@contextmanager
def _client(where: Any, name: str, patience_s: float) -> Iterator[Any]:
    import distributed

    try:
        client = distributed.Client(where, timeout=patience_s, set_as_default=False)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
        raise UnreachableError(
            "no scheduler answers",
            address=name,
            why=(str(error) or type(error).__name__).partition("\n")[0],
            hint="dask scheduler",
        ) from error
    try:
        yield client
    finally:
        with suppress(OSError, TimeoutError, CancelledError):
            client.close(timeout=_CLOSING_S)


@contextmanager
def _local(where: str, count: str | None) -> Iterator[Any]:
    """Start a scheduler in this process and workers in processes of their own.

    These are started with the interpreter and a module: multiprocessing would run the script of a
    user again in each.
    """
    import distributed

    workers = _count(where, count)
    with (
        _silent("distributed"),
        distributed.LocalCluster(
            n_workers=0,
            processes=False,
            protocol="tcp://",
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
        ) as cluster,
    ):
        env = os.environ | {
            "PYTHONPATH": os.pathsep.join(p or str(Path.cwd()) for p in sys.path),
            "DASK_LOGGING__DISTRIBUTED": "error",
        }
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
        command += ["--nworkers", str(workers), "--nthreads", "1", "--no-dashboard"]
        command += ["--host", "127.0.0.1", "--death-timeout", str(PATIENCE_S)]
        crew = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL)  # noqa: S603
        try:
            with distributed.Client(cluster, set_as_default=False) as client:
                _wait(client, workers, PATIENCE_S)
                yield client
        finally:
            for end in (crew.terminate, crew.kill):
                if crew.poll() is None:
                    end()
                    with suppress(subprocess.TimeoutExpired):
                        crew.wait(_CLOSING_S)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Have a library tell of errors only: its own level is that of every connection."""
    log = logging.getLogger(name)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _count(where: str, count: str | None) -> int:
    if count is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if not count.isdecimal() or not 1 <= int(count) <= _MOST_LOCAL:
        raise UsageError(
            "not a number of workers",
            address=where,
            why=f"'{count}' is not between 1 and {_MOST_LOCAL}",
            hint="local:4",
        )
    return int(count)


# --- the workers ----------------------------------------------------------------------------------


def check_workers(client: Any, *, patience_s: float = PATIENCE_S) -> tuple[str, ...]:
    """Return the addresses of the workers, all of which have this version of openallen.

    Those that come later are not seen here: each task looks for itself.

    Parameters
    ----------
    client
        The client.
    patience_s
        How long the first worker is waited for, in seconds.

    Raises
    ------
    UsageError
        If a worker has another version of openallen or of Python, or no openallen.
    UnreachableError
        If the scheduler has no workers, or is gone.
    """
    with scheduler_errors(client):
        _wait(client, 1, patience_s)
        # Functions of the standard library: what is asked here must not need what is asked for.
        pythons = client.run(platform.python_version, on_error="return")
        versions = client.run(resolve_name, "openallen.version:__version__", on_error="return")
    here = platform.python_version()
    other = {w: str(v) for w, v in pythons.items() if _minor(str(v)) != _minor(here)}
    if other:
        raise _wrong(other, len(pythons), f"Python {here}", "Python {}", "run them with the same")
    lacking = {w for w, v in versions.items() if isinstance(v, BaseException)}
    if lacking:
        worker = min(lacking)
        raise UsageError(
            "this worker has no openallen",
            address=worker,
            why=_so_many(len(lacking), len(versions), str(versions[worker])),
            hint=install_command("cluster"),
        )
    other = {w: v for w, v in versions.items() if v != __version__}
    if other:
        hint = f"pip install openallen=={__version__}"
        raise _wrong(other, len(versions), __version__, "openallen {}", hint)
    return tuple(versions)


def _wrong(other: Mapping[str, str], count: int, here: str, form: str, hint: str) -> UsageError:
    worker = min(other)
    return UsageError(
        f"this worker has {form.format(other[worker])}, not {here}",
        address=worker,
        why=_so_many(len(other), count, "all need the version that is here"),
        hint=hint,
    )


def _so_many(wrong: int, count: int, why: str) -> str:
    return f"{wrong} of {count} workers; {why}" if count > 1 else why


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _wait(client: Any, count: int, patience_s: float) -> None:
    import distributed

    try:
        client.wait_for_workers(count, timeout=patience_s)
    except (TimeoutError, distributed.TimeoutError) as error:
        address = address_of(client)
        raise UnreachableError(
            "this scheduler has no workers" if count == 1 else f"not all of {count} workers came",
            address=address,
            why=f"none came within {patience_s:g} s" if count == 1 else f"within {patience_s:g} s",
            hint=f"dask worker {address}",
        ) from error


@contextmanager
def scheduler_errors(client: Any) -> Iterator[None]:
    """Raise `UnreachableError` where what is asked of a scheduler fails as it is gone.

    Parameters
    ----------
    client
        The client.
    """
    try:
        yield
    except OpenAllenError:
        raise
    except (OSError, CancelledError) as error:
        raise lost(client, str(error)) from error
    except Exception as error:
        if type(error).__name__ == "ClosedClientError" or client.status == "closed":
            raise lost(client, str(error)) from error
        raise


def lost(client: Any, why: str = "") -> UnreachableError:
    """Return the error for a scheduler that is gone.

    Parameters
    ----------
    client
        The client.
    why
        What is known.
    """
    return UnreachableError(
        "the scheduler is gone",
        address=address_of(client),
        why=why.partition("\n")[0] or "the connection broke",
        hint="start it again, and give the same command: what is finished is kept",
    )


# --- tasks ----------------------------------------------------------------------------------------


def each(
    client: Any,
    function: Callable[..., Any],
    tasks: Mapping[K, tuple[Any, ...]],
    *,
    shared: Any = None,
    label: str = "task",
    patience_s: float = PATIENCE_S,
) -> Generator[tuple[K, Any, BaseException | None]]:
    """Call a function on the workers for each task; yield results and errors as they come.

    What a lost worker had taken is done again by others. Where the scheduler itself is lost and
    comes back within `patience_s`, what was not yet yielded is asked for anew. When the iteration
    is given up, also by Ctrl-C, what has not begun is cancelled.

    Parameters
    ----------
    client
        The client, as `connect` yields it.
    function
        A function of a module of openallen, called as ``function(shared, *arguments)``.
    tasks
        The arguments of each, small.
    shared
        A value all of them have; it goes to each worker once.
    label
        What the tasks are called on the scheduler's page.
    patience_s
        How long a lost scheduler is waited for, in seconds.

    Yields
    ------
    key, result, error
        The key of the task; its result, None where it failed; what it failed with, else None:
        `UnreachableError` for those that are left when the scheduler does not come back.
    """
    doubtful: list[K] = []
    work = _Work(client, function, shared, label, patience_s)
    for key, result, error in work.done(dict(tasks)):
        if isinstance(error, _WorkersEndedError):
            doubtful.append(key)
        else:
            yield key, result, error
    # A worker takes all it had with it, so not each of these is to blame: alone, it shows.
    for key in doubtful:
        if len(doubtful) == 1:
            yield key, None, _WorkersEndedError()
        else:
            yield from work.done({key: tasks[key]})


class _WorkersEndedError(OpenAllenError):
    """Workers ended again and again while they had a task."""

    def __init__(self) -> None:
        super().__init__(
            "the workers that were at it ended, one after the other",
            why="out of memory, or a crash: their logs say which",
            hint="more memory for each worker, or fewer threads",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (_WorkersEndedError, ())


class _Work:
    """Tasks of one kind on a scheduler that may be lost and come back."""

    def __init__(
        self,
        client: Any,
        function: Callable[..., Any],
        shared: Any,
        label: str,
        patience_s: float,
    ) -> None:
        self.client = client
        self.function = function
        self.shared = shared
        self.label = label
        self.patience_s = patience_s

    def done(self, left: dict[K, tuple[Any, ...]]) -> Iterator[tuple[K, Any, BaseException | None]]:
        """Yield key, result and error of each task, in the order they end."""
        while left:
            futures: dict[Any, K] = {}
            gone: UnreachableError | None = None
            try:
                with scheduler_errors(self.client):
                    futures = self._submitted(left)
                for future in self._ended(futures):
                    result, error = _outcome(future)
                    if _is_loss(error):
                        gone = lost(self.client, str(error))
                        break
                    key = futures.pop(future)
                    del left[key]
                    yield key, result, error
                    del future, result, error  # the worker may forget it
            except UnreachableError as error:
                gone = error
            finally:
                _cancel(self.client, futures)
            if gone is not None and not _is_back(self.client, self.patience_s):
                yield from ((key, None, gone) for key in left)
                return

    def _submitted(self, tasks: Mapping[K, tuple[Any, ...]]) -> dict[Any, K]:
        submit, run = self.client.submit, f"{time.time_ns():x}-{os.getpid()}"
        # A task of its own, not scattered data: those are lost with the worker that has them.
        common = submit(_given, self.shared, key=f"{self.label}-shared-{run}", pure=False)
        return {
            submit(
                _call, __version__, self.function, common, arguments,
                key=f"{self.label}-{run}-{n}", pure=False,
            ): key
            for n, (key, arguments) in enumerate(tasks.items())
        }  # fmt: skip

    def _ended(self, futures: Mapping[Any, Any]) -> Iterator[Any]:
        """Yield futures as they end; raise where no worker is left to do them."""
        import distributed

        waiting = distributed.as_completed(list(futures), loop=self.client.loop)
        last_seen = looked = time.monotonic()
        while waiting.count():
            if waiting.has_ready():
                yield from waiting.next_batch(block=False)
                last_seen = looked = time.monotonic()
                continue
            time.sleep(_POLL_S)
            now = time.monotonic()
            if now - looked < _LOOK_S:
                continue
            with scheduler_errors(self.client):
                last_seen = now if self.client.nthreads() else last_seen
            looked = now
            if now - last_seen > self.patience_s:
                raise UnreachableError(
                    "this scheduler has no workers any more",
                    address=address_of(self.client),
                    why=f"none for {self.patience_s:g} s",
                    hint=f"dask worker {address_of(self.client)}",
                )


def _given(value: Any) -> Any:
    return value


def _call(
    version: str, function: Callable[..., Any], shared: Any, arguments: tuple[Any, ...]
) -> Any:
    if version != __version__:
        raise UsageError(
            f"a worker has openallen {__version__}, not {version}",
            why="it joined after the others were checked",
            hint=f"pip install openallen=={version}",
        )
    return function(shared, *arguments)


def _outcome(future: Any) -> tuple[Any, BaseException | None]:
    from distributed.scheduler import KilledWorker

    try:
        return future.result(), None
    except KilledWorker:
        return None, _WorkersEndedError()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "openallen":
            return None, error
        why = "it joined after the others were checked"
        hint = install_command("cluster")
        return None, UsageError("a worker has no openallen", why=why, hint=hint)
    except Exception as error:  # noqa: BLE001 (whatever a function raises)
        return None, error


def _is_loss(error: BaseException | None) -> bool:
    return isinstance(error, CancelledError) or type(error).__name__ == "ClosedClientError"


def _is_back(client: Any, patience_s: float) -> bool:
    """Return whether a scheduler that was lost answers again, with workers."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if client.status == "closed":
            return False
        if client.status == "running":
            try:
                check_workers(client, patience_s=max(0.1, deadline - time.monotonic()))
            except UnreachableError:
                continue
            return True
        time.sleep(0.1)
    return False


def _cancel(client: Any, futures: Mapping[Any, Any]) -> None:
    if futures and client.status == "running":
        with suppress(Exception):  # the way out: nothing here may hide why
            client.cancel(list(futures), force=True)
