"""Tables: pages of rows, filtered and sorted on the server.

Filters are those of lists, `openallen.sources.filters`; a column whose name no filter can have (a
blank in it, or a word of the query) is called by its place: ``column_3``.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from openallen.address import OPERATORS, Condition
from openallen.errors import UsageError
from openallen.sources.filters import check_columns, matches
from openallen.sources.tables import cell_text
from openallen.viewer.answers import Answer, Query, json_answer, no_such
from openallen.viewer.links import item_path
from openallen.viewer.ordering import is_missing, is_numeric, ordered
from openallen.visuals import TableVisual

__all__ = ["TableKind"]

_FIRST: Final = 50
_MOST: Final = 1000
_KEPT: Final = 6
_OWN: Final = frozenset({"offset", "limit", "sort", "desc", "q"})
_FIELD: Final = re.compile(r"[A-Za-z_][\w.-]*")
_UNIT: Final = re.compile(
    r"_(um|nm|mm|s|ms|px|hz|bytes|deg|cm)$|[(\[](.{1,12})[)\]]\s*$", re.IGNORECASE
)
_UNITS: Final[Mapping[str, str]] = {"um": "µm", "hz": "Hz", "deg": "°"}


@dataclass(frozen=True)
class _Column:
    """A column: its name, what filters call it, its unit, whether it holds numbers."""

    name: str
    field: str
    unit: str
    numeric: bool

    def to_dict(self) -> dict[str, Any]:
        told = {"name": self.name, "field": self.field, "numeric": self.numeric}
        return told | ({"unit": self.unit} if self.unit else {})


@dataclass(frozen=True)
class _Table:
    """A table as plain values, by row and field; texts for the search are made once."""

    columns: tuple[_Column, ...]
    rows: Sequence[Mapping[str, Any]]
    links: Sequence[str | None]


class TableKind:
    """Answers of tables."""

    heavy = False

    def __init__(self) -> None:
        self._read: OrderedDict[int, tuple[TableVisual, _Table]] = OrderedDict()
        self._lock = threading.Lock()

    def answer(
        self, visual: TableVisual, path: str, query: Query, gone: Callable[[], bool]
    ) -> Answer:
        """Return ``rows.json``; see `openallen.viewer.kinds.Kind.answer`."""
        del gone
        if path != "rows.json":
            raise no_such(path)
        offset = query.whole("offset", 0, 0, 1 << 40)
        limit = query.whole("limit", _FIRST, 1, _MOST)
        table = self._table(visual)
        found = _chosen(table, query)
        page = found[offset : offset + limit]
        return json_answer(
            {
                "columns": [column.to_dict() for column in table.columns],
                "rows": [_cells(table, n) for n in page],
                "links": [table.links[n] for n in page] if any(table.links) else [],
                "total": len(found),
                "all": len(table.rows),
                "offset": offset,
            }
        )

    def fallback(self, visual: TableVisual, base: str) -> dict[str, Any]:
        """Return the first rows."""
        del base
        table = self._table(visual)
        here = range(min(_FIRST, len(table.rows)))
        total = len(table.rows)
        more = f"{_FIRST:,} of {total:,} rows" if total > _FIRST else f"{total:,} rows"
        return {
            "columns": [column.name for column in table.columns],
            "numeric": [column.numeric for column in table.columns],
            "rows": [_cells(table, n) for n in here],
            "links": [table.links[n] for n in here],
            "text": more,
        }

    def thumbnail(self, visual: TableVisual) -> Answer | None:
        """Return None: tables have no picture."""
        del visual
        return None

    def _table(self, visual: TableVisual) -> _Table:
        """Return a table as plain values, of those that were looked at last."""
        with self._lock:
            found = self._read.get(id(visual))
            if found is not None:
                self._read.move_to_end(id(visual))
                return found[1]
        table = _plain(visual)
        with self._lock:
            self._read[id(visual)] = (visual, table)  # kept, so that no other gets its id
            while len(self._read) > _KEPT:
                self._read.popitem(last=False)
        return table


def _plain(visual: TableVisual) -> _Table:
    names, values = _values(visual.table())
    fields = [_field(name, place, names) for place, name in enumerate(names)]
    columns = tuple(
        _Column(name, field, _unit(name), is_numeric(row[place] for row in values[:_MOST]))
        for place, (name, field) in enumerate(zip(names, fields, strict=True))
    )
    rows = [dict(zip(fields, row, strict=True)) for row in values]
    if visual.address is None:
        return _Table(columns, rows, [None] * len(rows))
    asked = [dict(zip(names, row, strict=True)) for row in values]
    addresses = [visual.address(row) for row in asked]
    links = [item_path(a) if a else None for a in addresses]
    if any(links) and "address" in fields:  # what the link says already
        columns = tuple(column for column in columns if column.field != "address")
        rows = [{k: v for k, v in row.items() if k != "address"} for row in rows]
    return _Table(columns, rows, links)


def _field(name: str, place: int, names: Sequence[str]) -> str:
    word = name.rpartition("__")[2] if "__" in name else ""
    plain = _FIELD.fullmatch(name) and name not in _OWN and word not in OPERATORS
    return name if plain and names.count(name) == 1 else f"column_{place + 1}"


def _unit(name: str) -> str:
    found = _UNIT.search(name)
    if found is None:
        return ""
    unit = found[1] or found[2]
    return _UNITS.get(unit.lower(), unit)


def _values(table: Any) -> tuple[list[str], list[list[Any]]]:
    """Return names of columns, and all rows as plain values."""
    if hasattr(table, "iloc"):
        if table.index.name is not None or table.index.nlevels > 1:
            table = table.reset_index()
        names = [str(name) for name in table.columns]
        return names, [_without_missing(r) for r in table.astype(object).to_numpy().tolist()]
    rows = list(table)
    names = list(dict.fromkeys(str(name) for row in rows[:_MOST] for name in row))
    return names, [[row.get(name) for name in names] for row in rows]


def _without_missing(row: list[Any]) -> list[Any]:
    return [
        None if not isinstance(value, str) and is_missing(value) else _item(value) for value in row
    ]


def _item(value: Any) -> Any:
    """Return a scalar of numpy as Python's own; the rest as it is."""
    if type(value).__module__ != "numpy":
        return value
    return value.tolist() if hasattr(value, "tolist") else value


def _chosen(table: _Table, query: Query) -> list[int]:
    """Return the places of the rows that match, in order."""
    conditions = [
        Condition.of(name, value.split(",") if name.endswith("__in") else value)
        for name, value in query.values.items()
        if name not in _OWN and value != ""
    ]
    fields = [column.field for column in table.columns]
    numbers = {column.field for column in table.columns if column.numeric}
    check_columns(fields, conditions, "", numbers=numbers)
    words = query.text("q").casefold().split()
    found = [
        n
        for n, row in enumerate(table.rows)
        if matches(row, conditions) and (not words or _has(row, words))
    ]
    sort = query.text("sort")
    if not sort:
        return found
    if sort not in fields:
        raise UsageError(f"no column '{sort[:60]}' to sort by", why="columns: " + ", ".join(fields))
    desc = query.text("desc") not in {"", "0", "no"}
    return ordered(found, lambda n: table.rows[n][sort], desc=desc)


def _has(row: Mapping[str, Any], words: Sequence[str]) -> bool:
    text = "\n".join(cell_text(value) for value in row.values()).casefold()
    return all(word in text for word in words)


def _cells(table: _Table, n: int) -> list[str]:
    return [cell_text(value) for value in table.rows[n].values()]
