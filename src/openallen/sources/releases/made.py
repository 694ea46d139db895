"""Rows of tables that are made: of others by joins, or of rows of a service."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from openallen.address import Condition

__all__ = ["MadeRows"]


@dataclass(frozen=True)
class MadeRows:
    """The rows of a table that is made.

    Parameters
    ----------
    rows
        Returns the rows, each time from the first.
    conditions
        Conditions to filter them by: those asked for, without those that are options of the table.
    index
        The column that names a row.
    notes
        Sentences for whoever sees a list of them.
    address
        Returns the address of the file that a row is of; None where it is of none.
    """

    rows: Callable[[], Iterable[dict[str, Any]]]
    conditions: tuple[Condition, ...]
    index: str = "id"
    notes: tuple[str, ...] = ()
    address: Callable[[dict[str, Any]], str | None] | None = None
