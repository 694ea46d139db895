"""What rows of cells are called for people, and which filters the service can evaluate itself.

A row is one of the model ApiCellTypesSpecimenDetail, with 54 columns. People see short names;
filters take either name. ``has_images``, ``has_reconstruction``, ``has_models`` are made of others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

from openallen.address import Condition
from openallen.brainmap.answers import Row
from openallen.brainmap.builder import Search
from openallen.brainmap.language import Query
from openallen.brainmap.schema import schema
from openallen.errors import UsageError
from openallen.near import condition_text, unknown_column

__all__ = ["COLUMNS", "LIST", "MADE", "MODEL", "Asked", "asked", "short_row"]

MODEL: Final = "ApiCellTypesSpecimenDetail"
LIST: Final = "openallen list cell:"

COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "specimen_id": "specimen__id",
        "name": "specimen__name",
        "species": "donor__species",
        "line": "line_name",
        "structure": "structure__acronym",
        "area": "structure_parent__acronym",
        "layer": "structure__layer",
        "hemisphere": "specimen__hemisphere",
        "normalized_depth": "csl__normalized_depth",
        "dendrite_type": "tag__dendrite_type",
        "apical": "tag__apical",
        "reporter_status": "cell_reporter_status",
        "reconstruction_type": "nr__reconstruction_type",
        "donor": "donor__name",
        "donor_id": "donor__id",
        "age": "donor__age",
        "sex": "donor__sex",
        "disease_state": "donor__disease_state",
        "vrest_mv": "ef__vrest",
        "ri_mohm": "ef__ri",
        "tau_ms": "ef__tau",
        "rheobase_pa": "ef__threshold_i_long_square",
        "f_i_slope_hz_per_pa": "ef__f_i_curve_slope",
        "avg_firing_rate_hz": "ef__avg_firing_rate",
        "glif_models": "m__glif",
        "biophysical_models": "m__biophys",
    }
)
"""Columns of ``list cell:`` and the service's names for them; filters take either name."""

_MODELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "glif": "m__glif",
        "biophysical": "m__biophys",
        "perisomatic": "m__biophys_perisomatic",
        "all-active": "m__biophys_all_active",
    }
)
"""Kinds of models, and the column that counts them."""


def _has_models(row: Mapping[str, Any]) -> bool:
    return bool(row.get("m__glif")) or bool(row.get("m__biophys"))


MADE: Final[Mapping[str, Callable[[Mapping[str, Any]], bool]]] = MappingProxyType(
    {
        "has_reconstruction": lambda row: row.get("nr__reconstruction_type") is not None,
        "has_images": lambda row: row.get("si__path") is not None,
        "has_models": _has_models,
    }
)
"""Columns that are made of others, and how."""

_PUSHED: Final = {"has_reconstruction": "nr__reconstruction_type", "has_images": "si__path"}
_YES: Final = frozenset({"true", "yes", "1", "on"})
_NO: Final = frozenset({"false", "no", "0", "off"})


@dataclass(frozen=True)
class Asked:
    """A list that was asked for.

    Parameters
    ----------
    query
        What the service evaluates.
    kept
        What is evaluated here: a row is in the list where all of these say so.
    places
        Where the columns of the conditions are, for `openallen.brainmap.near.values_hint`.
    """

    query: Query
    kept: tuple[Callable[[Mapping[str, Any]], bool], ...]
    places: Mapping[str, tuple[str, str]]

    def keeps(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row passes what is evaluated here."""
        return all(test(row) for test in self.kept)


def asked(conditions: Iterable[Condition]) -> Asked:
    """Return what conditions ask for: a query, and what no query can say.

    Parameters
    ----------
    conditions
        Filters by names of `COLUMNS` and `MADE`, or by the service's own.

    Raises
    ------
    UsageError
        For a column that does not exist, with the nearest one, or a value of ``has_…`` that is
        none.
    """
    known = schema().get(MODEL)
    own = known.fields if known else {}
    pushed: list[Condition] = []
    kept: list[Callable[[Mapping[str, Any]], bool]] = []
    for condition in conditions:
        if condition.field in MADE:
            one = _made(condition)
            if isinstance(one, Condition):
                pushed.append(one)
            else:
                kept.append(one)
            continue
        name = COLUMNS.get(condition.field, condition.field)
        if name not in own:
            raise unknown_column(condition, (*COLUMNS, *MADE), address="cell:", command=LIST)
        pushed.append(_donor(replace(condition, field=name)))
    places = {name: ("", column) for name, column in COLUMNS.items()}
    return Asked(Search.of(MODEL).where(*pushed).query, tuple(kept), places)


def _donor(condition: Condition) -> Condition:
    """Return a condition on a donor by its id, where ids are given: names are never digits."""
    given = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    ids = all(text.isascii() and text.isdigit() for text in given)
    if condition.field == "donor__name" and ids:
        return replace(condition, field="donor__id")
    return condition


def _made(condition: Condition) -> Condition | Callable[[Mapping[str, Any]], bool]:
    """Return a condition the service can evaluate, or a test of rows where none can say it."""
    name, (word, wanted) = condition.field, _word(condition)
    if word in _MODELS:
        # Counts are never below zero; a cell without a count has none of that kind.
        column = _MODELS[word]
        if wanted:
            return Condition(column, "gt", "0")
        return lambda row: not row.get(column)
    if name in _PUSHED:
        column = _PUSHED[name]
        return Condition(column, "exists") if wanted else Condition(column, "eq", "null")
    test = MADE[name]
    return lambda row: test(row) is wanted


def _word(condition: Condition) -> tuple[str, bool]:
    """Return a kind of models, or nothing, and whether it is to be there."""
    if condition.op == "exists":
        return "", True
    text = condition.value.strip().lower() if isinstance(condition.value, str) else ""
    kinds = _MODELS if condition.field == "has_models" else {}
    if condition.op not in {"eq", "ne"} or text not in {*_YES, *_NO, *kinds}:
        raise _no_word(condition, text, tuple(kinds))
    is_equal = condition.op == "eq"
    return (text, is_equal) if text in kinds else ("", (text in _YES) is is_equal)


def _no_word(condition: Condition, text: str, kinds: tuple[str, ...]) -> UsageError:
    values = ("yes", "no", *kinds)
    near = get_close_matches(text, values, 1, 0.5)
    meant = replace(condition, op="eq", value=near[0] if near else "yes")
    return UsageError(
        f"'{condition_text(condition)}' is no filter",
        address="cell:",
        why=f"values of {condition.field}: {', '.join(values)}",
        hint=f"{LIST} {condition_text(meant)}",
    )


def short_row(row: Mapping[str, Any]) -> Row:
    """Return a cell's row with short names."""
    told = {name: row.get(column) for name, column in COLUMNS.items()}
    return told | {name: make(row) for name, make in MADE.items()}
