"""Rows that are known here: which of them match conditions, and what to say where none does."""

from __future__ import annotations

import fnmatch
import operator
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Final

from openallen.address import Condition
from openallen.errors import UsageError

__all__ = ["any_case", "check_columns", "matching", "typed", "values_text"]

_COMPARE: Final = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge}
_NOTHING: Final = frozenset({"", "null", "none"})
_FEW: Final = 12


def typed(condition: Condition) -> str:
    """Return a condition as it is typed on a command line."""
    if condition.op == "exists":
        return condition.field
    value = condition.value if isinstance(condition.value, str) else ",".join(condition.value)
    name = condition.field if condition.op == "eq" else f"{condition.field}__{condition.op}"
    return shlex.quote(f"{name}={value}")


def any_case(conditions: Iterable[Condition], fields: Collection[str]) -> str:
    """Return conditions as they are typed, those on some fields in any case; empty if none is."""
    told = list(conditions)
    loose = [replace(c, op="ilike") if c.op == "eq" and c.field in fields else c for c in told]
    return " ".join(map(typed, loose)) if loose != told else ""


def check_columns(
    conditions: Iterable[Condition], columns: Sequence[str], address: str, flag: str = ""
) -> None:
    """See that every condition is on a column there is; `flag` ends the command of the hint.

    Raises
    ------
    UsageError
        With the nearest one.
    """
    for condition in conditions:
        if condition.field not in columns:
            near = get_close_matches(condition.field, columns, 1)
            meant = f" {typed(replace(condition, field=near[0]))}" if near else ""
            raise UsageError(
                f"there is no column '{condition.field}'",
                address=address,
                why="columns are " + ", ".join(columns),
                hint=f"openallen list {address}{meant}{flag}",
            )


def matching(
    rows: Iterable[Mapping[str, Any]], conditions: Sequence[Condition]
) -> list[Mapping[str, Any]]:
    """Return the rows that match all conditions."""
    return [row for row in rows if all(_matches(row.get(c.field), c) for c in conditions)]


def values_text(rows: Sequence[Mapping[str, Any]], conditions: Sequence[Condition]) -> str:
    """Say the values, or the near ones, of the first column without the one asked for."""
    for condition in conditions:
        if any(_matches(row.get(condition.field), condition) for row in rows):
            continue
        known = list(dict.fromkeys(str(row.get(condition.field)) for row in rows))
        if len(known) > _FEW:
            first = condition.value[0] if isinstance(condition.value, tuple) else condition.value
            folded = {word.casefold(): word for word in known}
            near = get_close_matches(first.strip("*").casefold(), folded, 3)
            known = [folded[word] for word in near]
        if known:
            return f"values of {condition.field}: {', '.join(known)}"
    return ""


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
