"""Conditions as what Arrow filters rows by while it reads; they mean what they do in lists."""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Condition
from openallen.sources.filters import check_columns

if TYPE_CHECKING:
    import pyarrow.compute as pc

__all__ = ["expression_of"]

_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_ENDLESS: Final = frozenset({"inf", "-inf"})
_NOTHING: Final = frozenset({"", "null", "none", "nan"})
_COMPARE: Final = {
    "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
}  # fmt: skip
_RANGES: Final = {"int64": (-(1 << 63), (1 << 63) - 1), "uint64": (0, (1 << 64) - 1)}


def expression_of(
    conditions: Sequence[Condition],
    kinds: Mapping[str, str],
    stored: Mapping[str, str],
    address: str,
    command: str = "",
) -> pc.Expression | None:
    """Return what rows have to be to match all conditions; None where there are none.

    Parameters
    ----------
    conditions
        The conditions.
    kinds
        How pandas has each column, as `openallen.formats.csv_parquet.Columns` says.
    stored
        Arrow's type of each column, as it says, too: numbers are compared in it, exactly.
    address, command
        As for `openallen.sources.filters.check_columns`.

    Raises
    ------
    UsageError
        If a condition is on no column, or compares a number with something else.
    """
    numbers = [name for name, kind in kinds.items() if kind not in {"object", "bool"}]
    ordered = [c for c in conditions if c.op in _COMPARE]
    check_columns(list(kinds), conditions, address, command)
    check_columns(list(kinds), ordered, address, command, numbers=numbers)
    made = [_one(c, stored[c.field]) for c in conditions]
    return functools.reduce(operator.and_, made) if made else None


def _one(condition: Condition, kind: str) -> pc.Expression:
    import pyarrow.compute as pc

    column, op = pc.field(condition.field), condition.op
    if op == "exists":
        # An empty cell is no value.
        return column.is_valid()
    if isinstance(condition.value, tuple):
        return _among(column, condition.value, kind)
    text = str(condition.value)
    if op in {"eq", "ne"}:
        same = _among(column, (text,), kind)
        others = ~same if text.lower() in _NOTHING else ~same | column.is_null()
        return same if op == "eq" else others
    if op in {"like", "ilike"}:
        return pc.match_substring_regex(
            _text(column, kind), _pattern(text), ignore_case=op == "ilike"
        )
    if kind in {"string", "bool"}:
        return _COMPARE[op](_text(column, kind), text)
    return _compared(column, op, _value(text), kind)


def _text(column: pc.Expression, kind: str) -> pc.Expression:
    """Return a column as text; true and false as Python writes them."""
    import pyarrow.compute as pc

    return pc.if_else(column, "True", "False") if kind == "bool" else column.cast("string")


def _among(column: pc.Expression, texts: Sequence[str], kind: str) -> pc.Expression:
    """Return whether a value is one of these; as text, as number, or missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = any(text.lower() in _NOTHING for text in texts)
    if kind == "bool":
        given: list[Any] = [t.lower() == "true" for t in texts if t.lower() in {"true", "false"}]
        found = column.isin(pa.array(given, pa.bool_()))
    elif kind == "string":
        found = column.cast("string").isin(pa.array(list(texts), pa.string()))
    else:
        numbers = [_value(t) for t in texts if _NUMBER.fullmatch(t) or t in _ENDLESS]
        alike = [_compared(column, "eq", number, kind) for number in numbers]
        found = functools.reduce(operator.or_, alike) if alike else pc.scalar(False)
    return found | column.is_null() if missing else found


def _compared(column: pc.Expression, op: str, number: float, kind: str) -> pc.Expression:
    """Compare a column with a number in the column's own type.

    Left to itself, Arrow compares whole numbers with fractions in four bytes, and refuses what does
    not fit.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    compare = _COMPARE.get(op, operator.eq)
    if kind not in _RANGES:
        try:
            wide = float(number)
        except OverflowError:
            wide = math.copysign(math.inf, number)
        return compare(column, pa.scalar(wide, pa.float64()))
    least, most = _RANGES[kind]
    if not least <= number <= most:
        return column.is_valid() if compare(0, math.copysign(1, number)) else pc.scalar(False)
    if number != int(number):
        if op == "eq":
            return pc.scalar(False)
        below = op in {"lt", "le"}
        op, number = ("le", math.floor(number)) if below else ("ge", math.ceil(number))
    whole = pa.scalar(int(number), pa.type_for_alias(kind))
    return _COMPARE.get(op, operator.eq)(column, whole)


def _value(text: str) -> Any:
    return int(text) if text.lstrip("+-").isdecimal() else float(text)


def _pattern(text: str) -> str:
    """Return a pattern of shells as a regular expression; ``[`` stands for itself."""
    words = {"*": "(?s:.*)", "?": "(?s:.)"}
    return "^" + "".join(words.get(sign, re.escape(sign)) for sign in text) + "$"
