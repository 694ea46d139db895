"""Conditions on plain rows: which rows match them, and the errors where one cannot or none does.

No table library is needed: listing and choosing files work in the bare install.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from openallen.address import Condition
from openallen.errors import NotFoundError, UsageError
from openallen.near import nothing_matches, suggest_from_rows, unknown_column

__all__ = ["check_columns", "matches", "no_rows"]

_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_NOTHING: Final = frozenset({"", "null", "none", "nan"})
_COMPARE: Final = {
    "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
}  # fmt: skip
_WITHOUT_NUMBER: Final = frozenset({"exists", "like", "ilike"})


def check_columns(
    columns: Sequence[str],
    conditions: Sequence[Condition],
    address: str,
    command: str = "",
    *,
    numbers: Collection[str] = (),
) -> None:
    """Check that every condition is on a column that exists, before any row is asked for.

    Parameters
    ----------
    columns
        The columns of the table.
    conditions
        The conditions.
    address
        The table.
    command
        The command of the hint, which a corrected condition is put behind; empty for the condition
        alone.
    numbers
        Columns that are known to hold only numbers, and are compared only with those.

    Raises
    ------
    UsageError
        With the nearest column, and all of them; or if a number is compared with something else.
    """
    for condition in conditions:
        if condition.field not in columns:
            raise unknown_column(condition, columns, address=address, command=command)
        if condition.field not in numbers or condition.op in _WITHOUT_NUMBER:
            continue
        given = condition.value if isinstance(condition.value, tuple) else (condition.value,)
        for text in given:
            if not _NUMBER.fullmatch(str(text)):
                raise UsageError(f"'{text}' is not a number", address=address, why=str(condition))


def no_rows(
    rows: Sequence[Mapping[str, Any]],
    conditions: Sequence[Condition],
    address: str,
    command: str = "",
) -> NotFoundError:
    """Return the error for conditions that none of these rows matches.

    It says the values of the column in question where they are few, else the nearest ones:
    ``targeted_structure=VISP`` suggests ``targeted_structure=VISp``.

    Parameters
    ----------
    rows
        All rows of the table.
    conditions
        What none of them matches.
    address, command
        As for `check_columns`.
    """
    found = suggest_from_rows(rows, conditions, matches)
    return nothing_matches(address, conditions, found, command=command)


def matches(row: Mapping[str, Any], conditions: Sequence[Condition]) -> bool:
    """Return whether a row matches all conditions; of a list, one item is enough."""
    return all(_matches(row.get(c.field), c) for c in conditions)


def _matches(value: Any, condition: Condition) -> bool:
    if condition.op == "exists":
        return value is not None and value != ""
    if isinstance(value, list):
        if condition.op == "ne":
            return all(_one(item, condition) for item in value)
        return any(_one(item, condition) for item in value)
    return _one(value, condition)


def _one(value: Any, condition: Condition) -> bool:
    op, wanted = condition.op, condition.value
    if isinstance(wanted, tuple):
        return any(_equal(value, text) for text in wanted)
    text = str(wanted)
    if op in {"eq", "ne"}:
        return _equal(value, text) is (op == "eq")
    if value is None:
        return False
    if op in {"like", "ilike"}:
        mine, pattern = str(value), text.replace("[", "[[]")
        if op == "ilike":
            mine, pattern = mine.casefold(), pattern.casefold()
        return fnmatch.fnmatchcase(mine, pattern)
    number = _number(text)
    if isinstance(value, (int, float)) and number is not None:
        return bool(_COMPARE[op](value, number))
    return bool(_COMPARE[op](str(value), text))


def _equal(value: Any, text: str) -> bool:
    if value is None:
        return text.lower() in _NOTHING
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    number = _number(text)
    if isinstance(value, (int, float)) and number is not None:
        return bool(value == number)
    return str(value) == text


def _number(text: str) -> int | float | None:
    """Read a number, a whole one exactly: ids do not fit into a float."""
    if not _NUMBER.fullmatch(text):
        return None
    return int(text) if text.lstrip("+-").isdecimal() else float(text)
