"""Which containers, experiments and cells are wanted: filters by name, with AllenSDK's names."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from openallen.errors import UsageError
from openallen.sources.releases.observatory.unit_filters import is_true, no_option

__all__ = ["OPTIONS", "cells_that_pass", "check_known", "read_options"]

_NUMBERS: Final = frozenset(
    {"ids", "imaging_depths", "experiment_container_ids", "cell_specimen_ids"}
)
_FLAGS: Final = frozenset({"include_failed", "require_eye_tracking"})
_SHARED: Final = (
    "ids", "targeted_structures", "imaging_depths", "cre_lines", "reporter_lines",
    "transgenic_lines", "include_failed",
)  # fmt: skip
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "experiment_containers": _SHARED,
    "ophys_experiments": (
        *_SHARED, "experiment_container_ids", "stimuli", "session_types", "cell_specimen_ids",
        "require_eye_tracking",
    ),
    "cell_specimens": ("ids", "experiment_container_ids", "include_failed"),
    "stimulus_mappings": (),
    "column_definitions": (),
}  # fmt: skip
"""Filters of each table by name."""


def read_options(table: str, given: Mapping[str, Any], address: str) -> dict[str, Any]:
    """Return filters with their values in lists, as numbers or text.

    Parameters
    ----------
    table
        The table.
    given
        Values by the name of the filter; one value counts as a list of one, None as no filter.
    address
        The table's address, for errors.

    Raises
    ------
    UsageError
        If there is no such filter, with the nearest; or a value is of the wrong type.
    """
    known = OPTIONS[table]
    told: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise no_option(name, list(known), address)
        if value is None:
            continue
        if name in _FLAGS:
            told[name] = is_true(name, value, address)
        else:
            told[name] = [_item(name, item, address) for item in _several(value)]
    return told


def _several(value: Any) -> list[Any]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return [value]
    return list(value)


def _item(name: str, value: Any, address: str) -> Any:
    if name not in _NUMBERS:
        if isinstance(value, str):
            return value
        raise UsageError(
            f"'{name}' takes text, not {value!r}", address=address, hint=f'{name}=["…"]'
        )
    try:
        if isinstance(value, bool):
            raise ValueError
        number = int(value)
        if number != float(value):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"'{name}' takes whole numbers, not {value!r}", address=address, hint=f"{name}=[…]"
        ) from None
    return number


def check_known(name: str, wanted: Iterable[str], known: Iterable[str], address: str) -> None:
    """Check that values of a filter exist.

    Parameters
    ----------
    name
        The filter.
    wanted
        What was asked for.
    known
        What there is.
    address
        The table's address, for errors.

    Raises
    ------
    UsageError
        If one does not exist, with the nearest.
    """
    there = sorted(set(known))
    for value in wanted:
        if value in there:
            continue
        near = get_close_matches(value, there, 1, 0.5) or [
            x for x in there if x.casefold() == value.casefold()
        ]
        shown = ", ".join(there[:20]) + (f" and {len(there) - 20} more" if len(there) > 20 else "")
        raise UsageError(
            f"'{value}' is none of the {name.replace('_', ' ')}",
            address=address,
            why=f"there are {shown}" if there else "there are none",
            hint=f"{name}={near[0]}" if near else "",
        )


# --- filters of cells -----------------------------------------------------------------------------

_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "is": lambda a, b: a is b or a == b,
    "in": lambda a, b: a in b,
    "between": lambda a, b: b[0] <= a <= b[1],
}


def cells_that_pass(
    rows: Iterable[dict[str, Any]], filters: Sequence[Mapping[str, Any]], address: str
) -> list[dict[str, Any]]:
    """Return the cells whose values pass all filters; a missing value passes none but ``is``.

    Parameters
    ----------
    rows
        The cells.
    filters
        Mappings with ``field``, ``op`` (``=``, ``<``, ``>``, ``<=``, ``>=``, ``between``, ``in``,
        ``is``) and ``value``.
    address
        The table's address, for errors.

    Raises
    ------
    UsageError
        If a filter is not such a mapping, or its column or operator does not exist.
    """
    kept = list(rows)
    for told in [filters] if isinstance(filters, Mapping) else filters:
        field, op, value = _filter(told, kept, address)
        compare = _COMPARE[op]
        try:
            kept = [
                row
                for row in kept
                if (op == "is" or row.get(field) is not None) and compare(row.get(field), value)
            ]
        except TypeError:
            raise UsageError(
                f"'{field}' cannot be compared with {value!r}",
                address=address,
                why=f"its values are like {next((r[field] for r in kept if r.get(field)), None)!r}",
            ) from None
    return kept


def _filter(told: object, rows: Sequence[Mapping[str, Any]], address: str) -> tuple[str, str, Any]:
    form = '{"field": "area", "op": "in", "value": ["VISp"]}'
    if not isinstance(told, Mapping) or not {"field", "op", "value"} <= set(told):
        raise UsageError("a filter has a field, an op and a value", address=address, hint=form)
    field, op, value = told["field"], told["op"], told["value"]
    if op not in _COMPARE:
        raise UsageError(
            f"no such operator '{op}'", address=address, why=f"there are {', '.join(_COMPARE)}"
        )
    columns = list(rows[0]) if rows else [field]
    if field not in columns:
        near = get_close_matches(str(field), columns, 1)
        raise UsageError(
            f"no such column '{field}' of cells", address=address, hint=near[0] if near else ""
        )
    if op == "between" and (not isinstance(value, (list, tuple)) or len(value) != 2):
        raise UsageError("'between' takes two values", address=address, hint="[0.5, 1.0]")
    if op == "in" and (isinstance(value, str) or not isinstance(value, Iterable)):
        raise UsageError("'in' takes a list of values", address=address, hint=form)
    return str(field), str(op), list(value) if op == "in" else value
