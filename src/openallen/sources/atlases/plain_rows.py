"""Rows that are known here: which of them match conditions, and what to say where none does."""

from __future__ import annotations

import fnmatch
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from openallen.address import Condition
from openallen.errors import NotFoundError
from openallen.near import nothing_matches, suggest_from_rows, unknown_column

__all__ = ["check_columns", "matching", "no_rows"]

_COMPARE: Final = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge}
_NOTHING: Final = frozenset({"", "null", "none"})


def check_columns(
    conditions: Iterable[Condition], columns: Sequence[str], address: str, flag: str = ""
) -> None:
    """See that every condition is on a column there is; `flag` is of the command of the hint.

    Raises
    ------
    UsageError
        With the nearest one.
    """
    for condition in conditions:
        if condition.field not in columns:
            command = f"openallen list {address}{flag}"
            raise unknown_column(condition, columns, address=address, command=command)


def matching(
    rows: Iterable[Mapping[str, Any]], conditions: Sequence[Condition]
) -> list[Mapping[str, Any]]:
    """Return the rows that match all conditions."""
    return [row for row in rows if _all_match(row, conditions)]


def no_rows(
    rows: Sequence[Mapping[str, Any]],
    conditions: Sequence[Condition],
    address: str,
    flag: str = "",
) -> NotFoundError:
    """Return the error for conditions that none of the rows matches, with what was likely meant."""
    found = suggest_from_rows(rows, conditions, _all_match)
    return nothing_matches(address, conditions, found, command=f"openallen list {address}{flag}")


def _all_match(row: Mapping[str, Any], conditions: Sequence[Condition]) -> bool:
    return all(_matches(row.get(c.field), c) for c in conditions)


def _matches(value: Any, condition: Condition) -> bool:
    op, wanted = condition.op, condition.value
    if op == "exists":
        return value is not None
    if isinstance(wanted, tuple):
        return any(_equal(value, text) for text in wanted)
    if op in {"eq", "ne"}:
        return _equal(value, wanted) is (op == "eq")
    return value is not None and _compares(value, op, wanted)


def _compares(value: Any, op: str, wanted: str) -> bool:
    if op in {"like", "ilike"}:
        mine, pattern = str(value), wanted.replace("[", "[[]")
        if op == "ilike":
            mine, pattern = mine.casefold(), pattern.casefold()
        return fnmatch.fnmatchcase(mine, pattern)
    number = _number(wanted)
    if isinstance(value, (int, float)) and number is not None:
        return bool(_COMPARE[op](value, number))
    return bool(_COMPARE[op](str(value), wanted))


def _equal(value: Any, text: str) -> bool:
    if value is None:
        return text.lower() in _NOTHING
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    number = _number(text)
    if isinstance(value, (int, float)) and number is not None:
        return bool(value == number)
    return str(value) == text


def _number(text: str) -> float | None:
    try:
        return float(text) if not text.isdecimal() else int(text)
    except ValueError:
        return None
