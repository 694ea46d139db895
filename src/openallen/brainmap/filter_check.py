"""Whether rows match the filters of a query.

The service ignores what it does not understand and answers with all rows. Only what is certain is
checked: filters on plain columns that the rows contain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from openallen.brainmap.language import Filter, ModelStage, Word
from openallen.errors import AnswerError

__all__ = ["check_rows", "matches"]

_NULLS = {"null", "nil"}
_BOOLEANS = {"true": True, "t": True, "false": False, "f": False}


def check_rows(rows: Sequence[Mapping[str, Any]], stage: ModelStage, url: str) -> None:
    """Check that every row matches the filters on the model itself.

    Raises
    ------
    AnswerError
        Naming the filter and the first row that does not match it.
    """
    for condition in stage.filters:
        for row in rows:
            if condition.field in row and not matches(row[condition.field], condition):
                found = f"{condition.field} is {row[condition.field]!r} in row {row.get('id', '?')}"
                error = AnswerError(
                    f"a row does not match the filter {condition}", address=url, why=found
                )
                error.retryable = False
                raise error


def matches(value: object, condition: Filter) -> bool:
    """Return whether a value matches a filter; True where that cannot be decided."""
    if not condition.op:
        return value is not None
    words = [v.text for v in condition.values if isinstance(v, Word)]
    if len(words) != len(condition.values):
        return True
    if condition.op in {"eq", "in", "is"}:
        return any(_equal(value, word) is not False for word in words)
    if condition.op == "ne":
        return not any(_equal(value, word) is True for word in words)
    if condition.op in {"li", "il"}:
        return value is None or any(_like(str(value), word) for word in words)
    return all(_compares(value, condition.op, word) for word in words)


def _equal(value: object, word: str) -> bool | None:
    """Compare as the service would; None where types leave it open."""
    if value is None or word in _NULLS:
        return value is None and word in _NULLS
    if isinstance(value, bool):
        return _BOOLEANS[word] == value if word in _BOOLEANS else None
    if isinstance(value, (int, float)):
        number = _number(word)
        return number == value if number is not None else None
    if isinstance(value, str):
        return value.casefold() == word.casefold()
    return None


def _like(value: str, word: str) -> bool:
    pattern = ".*".join(map(re.escape, word.split("*")))
    return re.fullmatch(pattern, value, re.IGNORECASE | re.DOTALL) is not None


def _compares(value: object, op: str, word: str) -> bool:
    number = _number(word)
    if number is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return True
    return {"lt": value < number, "le": value <= number, "gt": value > number}.get(
        op, value >= number
    )


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
