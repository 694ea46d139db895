"""Connections to a scheduler of dask: by address, a cluster of this machine, or a client."""

from __future__ import annotations

import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import OpenAllenError, ServiceError, UnreachableError, UsageError, requiring

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["CONNECT_S", "check_scheduler", "connect", "connected", "local_cluster"]

CONNECT_S: Final = 10.0
"""How long a scheduler may take to answer, in seconds."""

_LOCAL: Final = re.compile(r"local:(\d{1,4})")
_MOST_LOCAL: Final = 256
_END_S: Final = 10.0
_GRACE_S: Final = 2.0
_CHILD: Final = (
    "import sys; sys.path = sys.argv[2:]; "
    "from openallen.transfer.local_cluster import main; main(int(sys.argv[1]))"
)
_HINT: Final = "start one with `dask scheduler`, or use --scheduler local:2"


def check_scheduler(scheduler: object) -> None:
    """Refuse what can be no scheduler, before anything else is done.

    Parameters
    ----------
    scheduler
        The address of a scheduler, ``local:N``, or a ``distributed.Client``.

    Raises
    ------
    UsageError
        If it is none of these, or a client for coroutines.
    MissingExtraError
        Without the extra ``cluster``.
    """
    with requiring("a cluster", "cluster"):
        import distributed
    if isinstance(scheduler, distributed.Client):
        if scheduler.asynchronous:
            raise UsageError(
                "a client for coroutines cannot be used here",
                hint="Client(..., asynchronous=False)",
            )
        return
    if not isinstance(scheduler, str):
        raise UsageError(
            f"a scheduler is an address or a distributed.Client, not {type(scheduler).__name__}",
            hint="tcp://HOST:8786 or local:N",
        )
    local = _LOCAL.fullmatch(scheduler)
    if scheduler.partition(":")[0] == "local" and not (local and 1 <= int(local[1]) <= _MOST_LOCAL):
        raise UsageError(
            f"'{scheduler}' is not a cluster of this machine",
            why=f"local:N has 1 to {_MOST_LOCAL} workers",
            hint="--scheduler local:2",
        )
    if not local and not re.fullmatch(r"(?:[a-z]+://)?[^\s/@]+:\d{1,5}", scheduler):
        raise UsageError(
            f"'{scheduler}' is not the address of a scheduler", hint="tcp://HOST:8786 or local:N"
        )


@contextmanager
def connected(scheduler: str | Client) -> Iterator[Client]:
    """Return a client of a scheduler, while the context lasts.

    A client that is handed in is left open; a cluster of this machine ends with the context.

    Parameters
    ----------
    scheduler
        As for `check_scheduler`.

    Raises
    ------
    UsageError
        If it is no scheduler.
    UnreachableError
        If it does not answer.
    """
    check_scheduler(scheduler)
    if not isinstance(scheduler, str):
        if scheduler.status != "running":
            raise UnreachableError(
                "the client is not connected", why=f"it is {scheduler.status}", hint=_HINT
            )
        yield scheduler
        return
    local = _LOCAL.fullmatch(scheduler)
    if local is None:
        client = connect(scheduler)
        try:
            yield client
        finally:
            _close(client)
        return
    with local_cluster(int(local[1])) as address:
        client = connect(address)
        try:
            yield client
        finally:
            _close(client)


def connect(address: str, *, timeout_s: float = CONNECT_S) -> Client:
    """Return a new client of a scheduler.

    Parameters
    ----------
    address
        Its address.
    timeout_s
        How long it may take to answer, in seconds.

    Raises
    ------
    UnreachableError
        If it does not answer.
    """
    from distributed import Client

    made: queue.SimpleQueue[Client | Exception] = queue.SimpleQueue()

    def make() -> None:
        try:
            made.put(Client(address, timeout=timeout_s, set_as_default=False, name="openallen"))
        except Exception as error:  # noqa: BLE001 - handed over to the caller
            made.put(error)

    # In a thread: what listens there and never says a word holds dask up beyond its own timeout.
    threading.Thread(target=make, name="connect", daemon=True).start()
    try:
        found = made.get(timeout=timeout_s + _GRACE_S)
    except queue.Empty:
        found = TimeoutError("nothing that dask understands is said there")
    if not isinstance(found, Exception):
        return found
    why = str(found).splitlines()[0] if str(found) else type(found).__name__
    raise UnreachableError(
        "the scheduler does not answer", address=address, why=why, hint=_HINT
    ) from found


def _close(client: Any) -> None:
    with suppress(OSError, RuntimeError):
        client.close(timeout=_END_S)


@contextmanager
def local_cluster(workers: int) -> Iterator[str]:
    """Start a cluster on this machine, and return its address; it ends with the context.

    Scheduler and workers are started by a process of its own, not by this one: dask starts workers
    with `multiprocessing`, which would run the user's script again. It ends when this process does.

    Parameters
    ----------
    workers
        Number of worker processes.

    Raises
    ------
    ServiceError
        If it does not start.
    """
    flags = ["-I"] if sys.flags.isolated else ["-P"]
    command = [sys.executable, *flags, "-c", _CHILD, str(workers), *sys.path]
    # Not in this process's group: on Ctrl-C its tasks are cancelled first.
    apart: dict[str, Any] = {"process_group": 0}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, **apart)  # noqa: S603
    except OSError as error:
        raise _no_cluster(error.strerror or str(error)) from error
    try:
        yield _address(process)
    finally:
        _end(process)


def _address(process: subprocess.Popen[bytes]) -> str:
    from openallen.transfer.local_cluster import SAYS

    assert process.stdout is not None
    for line in process.stdout:  # what else is printed at the start is not ours
        if line.startswith(SAYS):
            return line.removeprefix(SAYS).decode().strip()
    raise _no_cluster(f"it ended with status {process.wait(_END_S)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with suppress(OSError):
            process.stdin.close()
        process.wait(_END_S)
    except BaseException as error:
        process.kill()
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
    finally:
        process.stdout.close()


def _no_cluster(why: str) -> OpenAllenError:
    return ServiceError(
        "no cluster could be started on this machine", why=why, hint="use --processes N instead"
    )
