"""What names a scheduler: an address, its file, ``local:N``, a client, or a cluster."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Final

from openallen.errors import UsageError, requiring

__all__ = ["address_in_file", "address_of", "check_scheduler", "is_cluster", "local_workers"]

_LOCAL: Final = re.compile(r"local(?::(?P<count>.*))?", re.DOTALL)
# inproc://10.0.0.1/812/1 has no port. A page of the dashboard is no scheduler.
_ADDRESS: Final = re.compile(r"(?:(?!https?:)[a-z]+://)?[^\s/@]+[:/]\d+(?:/\S*)?")
_MOST_LOCAL: Final = 256
_FORMS: Final = "tcp://HOST:8786, local:4, or the .json file that the scheduler wrote"


def check_scheduler(where: object) -> None:
    """Refuse what can be no scheduler, before anything else is done.

    Parameters
    ----------
    where
        The address of a scheduler (``tcp://10.0.0.1:8786``), its file (``scheduler.json``),
        ``local:N`` for N workers on this machine (``local``: one for each processor), or a client
        or cluster of ``dask.distributed``.

    Raises
    ------
    UsageError
        If it is none of these, or a client for coroutines.
    MissingExtraError
        Without the extra ``cluster``.
    """
    with requiring("work on a cluster", "cluster"):
        import distributed
    if isinstance(where, distributed.Client):
        if where.asynchronous:
            raise UsageError(
                "a client for coroutines cannot be used here",
                address=address_of(where),
                hint="Client(..., asynchronous=False)",
            )
        return
    if is_cluster(where):
        return
    if not isinstance(where, str | os.PathLike):
        raise UsageError(
            f"no scheduler: an object of type {type(where).__name__}",
            hint=f"{_FORMS}, or a distributed.Client",
        )
    text = os.fspath(where)
    if local_workers(text) is not None:
        return
    if text.endswith(".json"):
        address_in_file(text)
    elif _ADDRESS.fullmatch(text) is None:
        raise UsageError(f"'{text}' is not the address of a scheduler", hint=_FORMS)


def is_cluster(where: object) -> bool:
    """Return whether this is a cluster as dask and dask-jobqueue have them.

    Parameters
    ----------
    where
        Anything.
    """
    return hasattr(where, "scheduler_address")


def local_workers(where: object) -> int | None:
    """Return how many workers ``local:N`` means; None for what names another scheduler.

    Parameters
    ----------
    where
        What names a scheduler.

    Raises
    ------
    UsageError
        If N is no number of workers.
    """
    local = _LOCAL.fullmatch(where) if isinstance(where, str) else None
    if local is None:
        return None
    count = local["count"]
    if count is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    # isdecimal is true for digits of other scripts, too, which int reads.
    if not (count.isdecimal() and len(count) < 5 and 1 <= int(count) <= _MOST_LOCAL):
        raise UsageError(
            f"'{where}' is not a cluster of this machine",
            why=f"local:N has 1 to {_MOST_LOCAL} workers",
            hint="local:4",
        )
    return int(count)


def address_in_file(path: str) -> str:
    """Return the address in the file that a scheduler wrote.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    UsageError
        If there is no such file, or no address in it.
    """
    try:
        told = json.loads(Path(path).read_bytes())
        address = told.get("address") if isinstance(told, dict) else None
        why = "it has no address" if not isinstance(address, str) else ""
    except OSError as error:
        address, why = None, error.strerror or str(error)
    except (ValueError, RecursionError) as error:
        address, why = None, str(error) or type(error).__name__
    if isinstance(address, str):
        return address
    raise UsageError(
        "not the file of a scheduler",
        address=path,
        why=why,
        hint=f"dask scheduler --scheduler-file {path}",
    )


def address_of(where: Any) -> str:
    """Return what a scheduler is called in messages: its address, as far as it is known.

    Parameters
    ----------
    where
        What names the scheduler.
    """
    if isinstance(where, str | os.PathLike):
        return os.fspath(where)
    known = (
        getattr(where, "scheduler_address", "")
        or getattr(getattr(where, "scheduler", None), "address", "")
        or getattr(where, "_start_arg", "")
    )
    return known if isinstance(known, str) and known else "the scheduler"
