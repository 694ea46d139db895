"""Clients of a scheduler, and what is said where it does not answer or is gone."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from openallen.cluster.local import local_cluster
from openallen.cluster.naming import (
    address_in_file,
    address_of,
    check_scheduler,
    is_cluster,
    local_workers,
)
from openallen.errors import OpenAllenError, UnreachableError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["CONNECT_S", "client_of", "close", "lost", "reach", "scheduler_errors"]

CONNECT_S: Final = 10.0
"""How long a scheduler may take to answer, in seconds."""

_END_S: Final = 10.0
_GRACE_S: Final = 2.0
_START: Final = "start one with `dask scheduler`, or name local:2 for workers on this machine"
_AGAIN: Final = "start it again, and give the same command: what is finished is kept"


@contextmanager
def reach(where: Any, *, timeout_s: float = CONNECT_S) -> Iterator[Client]:
    """Return a client of a scheduler, while the context lasts; its workers are not looked at.

    A client that is handed in is left open; a cluster of this machine ends with the context.

    Parameters
    ----------
    where
        As for `check_scheduler`.
    timeout_s
        How long the scheduler may take to answer, in seconds.

    Raises
    ------
    MissingExtraError
        Without the extra ``cluster``.
    UsageError
        If it is no scheduler.
    UnreachableError
        If it does not answer.
    ServiceError
        If a cluster of this machine does not start.
    """
    check_scheduler(where)
    import distributed

    if isinstance(where, distributed.Client):
        if where.status != "running":
            raise UnreachableError(
                "the client is not connected",
                address=address_of(where),
                why=f"it is {where.status}",
                hint=_START,
            )
        yield where
        return
    with ExitStack() as stack:
        count = local_workers(where)
        place = where if count is None else stack.enter_context(local_cluster(count))
        client = client_of(place, timeout_s=timeout_s)
        try:
            yield client
        finally:
            close(client)


def client_of(where: Any, *, timeout_s: float = CONNECT_S) -> Client:
    """Return a new client of a scheduler.

    Parameters
    ----------
    where
        The address of a scheduler, its file, or a cluster of dask.
    timeout_s
        How long it may take to answer, in seconds.

    Raises
    ------
    UsageError
        If there is no address in the file.
    UnreachableError
        If it does not answer.
    """
    from distributed import Client

    address, more = _address_and_options(where)
    made: queue.SimpleQueue[Client | Exception] = queue.SimpleQueue()

    def make() -> None:
        try:
            options = {"timeout": timeout_s, "set_as_default": False, "name": "openallen"}
            made.put(Client(address, **options, **more))
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
    raise UnreachableError(
        "the scheduler does not answer",
        address=address_of(where),
        why=_first_line(found),
        hint=_START,
    ) from found


def _address_and_options(where: Any) -> tuple[str, dict[str, Any]]:
    if is_cluster(where):
        security = getattr(where, "security", None)
        return str(where.scheduler_address), {} if security is None else {"security": security}
    text = os.fspath(where)
    return address_in_file(text) if text.endswith(".json") else text, {}


def close(client: Any) -> None:
    """Close a client, whether or not its scheduler is still there.

    Parameters
    ----------
    client
        The client.
    """
    with suppress(OSError, RuntimeError, CancelledError):
        client.close(timeout=_END_S)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


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


def lost(where: Any, why: str = "") -> UnreachableError:
    """Return the error for a scheduler that is gone.

    Parameters
    ----------
    where
        What names the scheduler.
    why
        What is known.
    """
    return UnreachableError(
        "the scheduler is gone",
        address=address_of(where),
        why=why.partition("\n")[0] or "the connection broke",
        hint=_AGAIN,
    )
