"""The order of values of any type, as people expect it in a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

__all__ = ["is_missing", "is_numeric", "ordered"]

T = TypeVar("T")


def is_missing(value: Any) -> bool:
    """Return whether a value says nothing: None, an empty text, NaN, NaT, NA."""
    if value is None or (isinstance(value, str) and not value):
        return True
    if getattr(value, "ndim", 0):  # an array is a value, whatever is in it
        return False
    try:
        return bool(value != value)  # noqa: PLR0124 - what is not itself is no value
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"  # that of pandas, which compares with nothing


def is_numeric(values: Iterable[Any]) -> bool:
    """Return whether every value that is there is a number, and there is one."""
    there = [value for value in values if not is_missing(value)]
    return bool(there) and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in there
    )


def ordered(items: Sequence[T], value: Callable[[T], Any], *, desc: bool) -> list[T]:
    """Return items in the order of a value: numbers, then times and text; missing ones last.

    Items of one value keep their order.

    Parameters
    ----------
    items
        The items.
    value
        Returns the value of an item.
    desc
        Whether from the end; missing ones stay last.
    """
    there = [(_key(value(item)), item) for item in items if not is_missing(value(item))]
    there.sort(key=lambda pair: pair[0], reverse=desc)
    return [item for _, item in there] + [item for item in items if is_missing(value(item))]


def _key(value: Any) -> tuple[int, float, str]:
    if isinstance(value, bool):
        return (1, float(value), "")
    if isinstance(value, int):
        # An id of twenty digits does not fit into a float: its text decides then.
        try:
            return (0, float(value), f"{value:040d}" if value >= 0 else "")
        except OverflowError:
            return (0, math.inf if value > 0 else -math.inf, str(value))
    if isinstance(value, float):
        return (0, value, "")
    return (2, 0.0, str(value).casefold())
