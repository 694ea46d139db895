"""``--scheduler``, which means the same to all commands that have it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import click

from openallen.cli.options import Call
from openallen.cluster import check_scheduler

__all__ = ["checked_scheduler", "scheduler_option"]

F = TypeVar("F", bound=Callable[..., Any])


def scheduler_option(what: str) -> Callable[[F], F]:
    """Return the option.

    Parameters
    ----------
    what
        The sentence that says what the workers do.
    """
    return click.option(
        "--scheduler",
        metavar="ADDRESS|FILE|local:N",
        help=f"{what} The address of its scheduler, the scheduler's .json file, or local:N for N "
        "workers on this machine.",
    )


def checked_scheduler(call: Call, scheduler: str | None) -> str | None:
    """Return the value of the option, which could be a scheduler.

    Messages of dask itself are left out: what matters is told in our words.

    Parameters
    ----------
    call
        The call.
    scheduler
        The value.

    Raises
    ------
    UsageError
        If it is none.
    MissingExtraError
        Without the extra ``cluster``.
    """
    if scheduler is None:
        return None
    check_scheduler(scheduler)
    if not call.out.verbose:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
    return scheduler
