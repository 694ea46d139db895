"""Rows of a release's tables as plain Python, and filters on them.

No table library is needed: listing and choosing files work in the bare install.
"""

from __future__ import annotations

import csv
import fnmatch
import json
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from openallen.address import Condition
from openallen.errors import CorruptError, NotFoundError
from openallen.near import nothing_matches, suggest_from_rows, unknown_column

__all__ = ["TEXT_COLUMNS", "check_fields", "literal_list", "matches", "no_rows", "read_rows"]

TEXT_COLUMNS: Final = frozenset({"mouse_id"})
"""Columns whose values look like numbers and are names."""

_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_MISSING: Final = frozenset({"", "nan", "NaN", "None", "NA", "<NA>"})
_COMPARE: Final = {
    "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
}  # fmt: skip


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Return the rows of a CSV file, values typed: numbers, booleans, lists, text, None.

    Raises
    ------
    CorruptError
        If a line has more or fewer cells than the header.
    """
    csv.field_size_limit(1 << 24)
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, None)
        if not header:
            raise CorruptError("the table has no header", address=str(path))
        for cells in reader:
            if len(cells) != len(header):
                raise CorruptError(
                    "the table has a malformed line",
                    address=str(path),
                    why=f"line {reader.line_num}: {len(cells)} cells, not {len(header)}",
                )
            yield {n: _value(n, cell) for n, cell in zip(header, cells, strict=True)}


def _value(name: str, text: str) -> Any:
    if text in _MISSING:
        return None
    if name in TEXT_COLUMNS:
        return text
    if text in {"True", "False"}:
        return text == "True"
    if _NUMBER.fullmatch(text):
        number = float(text)
        return int(number) if number.is_integer() and "e" not in text.lower() else number
    return literal_list(text) if text[0] == "[" else text


def literal_list(text: str) -> Any:
    """Read ``[1, 2]`` or ``['a', 'b']``; return the text itself where it is not a list."""
    try:
        found = json.loads(text.replace("'", '"')) if '"' not in text else json.loads(text)
    except json.JSONDecodeError:
        return text
    return found if isinstance(found, list) else text


def check_fields(
    columns: Sequence[str], conditions: Sequence[Condition], address: str, command: str = ""
) -> None:
    """Check that every condition is on a column that exists.

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

    Raises
    ------
    UsageError
        With the nearest column, and all of them.
    """
    for condition in conditions:
        if condition.field not in columns:
            raise unknown_column(condition, columns, address=address, command=command)


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
        As for `check_fields`.
    """
    found = suggest_from_rows(rows, conditions, matches)
    return nothing_matches(address, conditions, found, command=command)


def matches(row: Mapping[str, Any], conditions: Sequence[Condition]) -> bool:
    """Return whether a row matches all conditions; of a list, one item is enough."""
    return all(_matches(row.get(c.field), c) for c in conditions)


def _matches(value: Any, condition: Condition) -> bool:
    if condition.op == "exists":
        return value is not None
    if isinstance(value, list):
        if condition.op == "ne":
            return all(_one(item, condition) for item in value)
        return any(_one(item, condition) for item in value)
    return _one(value, condition)


def _one(value: Any, condition: Condition) -> bool:
    op, wanted = condition.op, condition.value
    if op == "in":
        return any(_equal(value, text) for text in wanted)
    text = str(wanted)
    if op in {"eq", "ne"}:
        return _equal(value, text) is (op == "eq")
    if value is None:
        return False
    if op in {"like", "ilike"}:
        mine, pattern = str(value), text.replace("[", "[[]")
        if op == "ilike":
            mine, pattern = mine.lower(), pattern.lower()
        return fnmatch.fnmatchcase(mine, pattern)
    if isinstance(value, (int, float)) and _NUMBER.fullmatch(text):
        return bool(_COMPARE[op](value, float(text)))
    return bool(_COMPARE[op](str(value), text))


def _equal(value: Any, text: str) -> bool:
    if value is None:
        return text.lower() in {"", "null", "none", "nan"}
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    if isinstance(value, (int, float)) and _NUMBER.fullmatch(text):
        return (
            float(text) == value
            if "." in text or isinstance(value, float)
            else (int(float(text)) == value)
        )
    return str(value) == text
