"""A cluster of this machine, ``local:N``, in processes of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from openallen.cluster.local_process import SAYS
from openallen.errors import OpenAllenError, ServiceError

__all__ = ["local_cluster"]

_END_S: Final = 10.0
_CHILD: Final = (
    "import sys; sys.path = sys.argv[2:]; "
    "from openallen.cluster.local_process import main; main(int(sys.argv[1]))"
)


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
        "no cluster could be started on this machine", why=why, hint="leave out --scheduler"
    )
