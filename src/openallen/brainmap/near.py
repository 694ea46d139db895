"""What was meant, where no row of brain-map.org matches: the values its columns really have.

Asked only after a query has matched nothing: one short request for each condition in doubt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from openallen.address import Condition
from openallen.brainmap.client import Client
from openallen.brainmap.language import (
    Association,
    Column,
    Filter,
    ModelStage,
    Options,
    Query,
    Word,
)
from openallen.brainmap.schema import schema
from openallen.errors import OpenAllenError
from openallen.near import FEW, Suggestion, suggest

__all__ = ["Place", "values_hint"]

Place = tuple[str, str]
"""Where a column is: the dotted path of associations, empty for the model itself, and its name."""

_DOUBTED: Final = frozenset({"eq", "in", "like", "ilike"})
_NO_COLUMNS: Final[Mapping[str, Place]] = MappingProxyType({})
_MOST: Final = 500
_NUMBERS: Final = frozenset({"integer", "float", "boolean"})


def values_hint(
    client: Client,
    query: Query,
    conditions: Sequence[Condition],
    columns: Mapping[str, Place] = _NO_COLUMNS,
    at_most: int = FEW,
) -> Suggestion | None:
    """Return what could have been meant by conditions of a query that matched nothing.

    The values of a column are asked for among the rows that match the rest of the query; where
    there are none, among those that match no condition but what the query adds of its own.

    Parameters
    ----------
    client
        Whom to ask; one or two short requests for each condition.
    query
        The query that matched nothing.
    conditions
        The conditions the user gave; each is a filter of the query.
    columns
        Where the columns of `conditions` are, by the names used there; others are taken as
        ``path.column``.
    at_most
        How many values of a column are few enough to list.

    Returns
    -------
    Suggestion or None
        None where all values are right by themselves, or the service cannot tell.
    """
    stage = query.main
    doubted = [c for c in conditions if c.op in _DOUBTED]
    if stage is None or len(query.stages) != 1:
        return None
    places = {c: _place(c, columns) for c in doubted}
    try:
        for condition in doubted:
            for dropped in dict.fromkeys([(places[condition],), tuple(places.values())]):
                rest = _without(stage, dropped)
                found = _suggested(client, rest, condition, places[condition], at_most)
                if found is not None:
                    return found
    except OpenAllenError:
        return None  # there is an error already: this would only have explained it
    return None


def _place(condition: Condition, columns: Mapping[str, Place]) -> Place:
    path, _, field = condition.field.rpartition(".")
    return columns.get(condition.field, (path, field))


def _suggested(
    client: Client, rest: ModelStage, condition: Condition, place: Place, at_most: int
) -> Suggestion | None:
    values = _values(client, rest, place, at_most + 1)
    if len(values) <= at_most:
        return suggest(condition, values, at_most)
    given = condition.value[0] if isinstance(condition.value, tuple) else condition.value
    start = given.strip("*")[: max(3, len(given) // 2)]
    if not start or _kind(rest, place) in _NUMBERS:
        return None
    alike = Filter(place[1], "il", (Word(f"{start}*"),))
    values = _values(client, _narrowed(rest, place[0], alike), place, _MOST)
    return suggest(condition, values, 0)


def _values(client: Client, stage: ModelStage, place: Place, most: int) -> set[str]:
    """Return up to `most` different values of a column, as text."""
    path, field = place
    table = schema().table_of(_model(stage.model, path))
    column = Column(f"{table}.{field}", "value")
    options = Options(tabular=(column,), distinct=True, num_rows=most)
    rows = client.answer(Query((replace(stage, includes=(), options=options),))).rows
    return {str(row["value"]) for row in rows if row.get("value") not in {None, ""}}


def _model(model: str, path: str) -> str:
    """Return the model at the end of a path of associations."""
    from openallen.brainmap.naming import model_of

    for name in filter(None, path.split(".")):
        known = schema().get(model)
        association = known.associations.get(name) if known else None
        model = association.model if association else model_of(name)
    return model


def _kind(stage: ModelStage, place: Place) -> str:
    known = schema().get(_model(stage.model, place[0]))
    return known.field_type(place[1]) if known else ""


def _without(stage: ModelStage, dropped: Sequence[Place]) -> ModelStage:
    """Return a stage without filters on some columns; their associations stay joined."""

    def kept(filters: tuple[Filter, ...], path: str) -> tuple[Filter, ...]:
        return tuple(f for f in filters if (path, f.field) not in dropped)

    def walk(associations: tuple[Association, ...], path: str) -> Iterator[Association]:
        for one in associations:
            here = f"{path}.{one.name}".strip(".")
            children = tuple(walk(one.children, here))
            yield replace(one, filters=kept(one.filters, here), children=children)

    associations = tuple(walk(stage.associations, ""))
    return replace(stage, filters=kept(stage.filters, ""), associations=associations)


def _narrowed(stage: ModelStage, path: str, condition: Filter) -> ModelStage:
    """Return a stage with one more filter on an association that is joined already."""
    if not path:
        return replace(stage, filters=(*stage.filters, condition))

    def walk(associations: tuple[Association, ...], names: list[str]) -> Iterator[Association]:
        for one in associations:
            if one.name != names[0]:
                yield one
            elif names[1:]:
                yield replace(one, children=tuple(walk(one.children, names[1:])))
            else:
                yield replace(one, filters=(*one.filters, condition))

    return replace(stage, associations=tuple(walk(stage.associations, path.split("."))))
