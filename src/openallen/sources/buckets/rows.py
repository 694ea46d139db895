"""Plain rows filtered: files of a folder of a bucket, kinds of recordings."""

from __future__ import annotations

import fnmatch
import operator
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Final

from openallen.address import Condition
from openallen.errors import UsageError

__all__ = ["check_columns", "obeys"]

_COMPARE: Final = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


def check_columns(conditions: Sequence[Condition], columns: Sequence[str], address: str) -> None:
    """See that every condition is on one of the columns.

    Raises
    ------
    UsageError
        With the nearest column.
    """
    for condition in conditions:
        if condition.field not in columns:
            near = get_close_matches(condition.field, columns, 1, 0.5)
            raise UsageError(
                f"there is no column '{condition.field}'",
                address=address,
                why="columns are " + ", ".join(columns),
                hint=near[0] if near else "",
            )


def obeys(row: dict[str, Any], conditions: Sequence[Condition]) -> bool:
    """Return whether a row of texts and whole numbers obeys all conditions.

    Raises
    ------
    UsageError
        If a number is compared with something else.
    """
    return all(_obeys(row[c.field], c) for c in conditions)


def _obeys(value: str | int, condition: Condition) -> bool:
    op, wanted = condition.op, condition.value
    if op == "exists":
        return value != ""
    if isinstance(wanted, tuple):
        return any(_read(text, value, condition) == value for text in wanted)
    if op in {"like", "ilike"}:
        mine, pattern = str(value), wanted.replace("[", "[[]")
        if op == "ilike":
            mine, pattern = mine.lower(), pattern.lower()
        return fnmatch.fnmatchcase(mine, pattern)
    other = _read(wanted, value, condition)
    if op in {"eq", "ne"}:
        return (value == other) is (op == "eq")
    return bool(_COMPARE[op](value, other))


def _read(text: str, value: str | int, condition: Condition) -> str | float:
    """Return what a value is compared with, of the same type."""
    if isinstance(value, str):
        return text
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"'{text}' is not a number", why=str(condition)) from None
