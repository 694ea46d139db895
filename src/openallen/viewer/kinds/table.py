"""Tables: pages of rows, filtered and sorted on the server.

Filters are those of lists, `openallen.sources.filters`; a column whose name no filter can have (a
blank in it, or a word of the query) is called by its place: ``column_3``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from openallen.address import OPERATORS, Condition
from openallen.display import count_text
from openallen.errors import UsageError
from openallen.serving import GoneError
from openallen.sources.filters import check_columns, matches
from openallen.sources.tables import cell_text
from openallen.viewer.answers import Answer, Query, json_answer, no_such
from openallen.viewer.kept import Kept
from openallen.viewer.links import item_path
from openallen.viewer.ordering import is_missing, is_numeric, ordered
from openallen.visuals import TableVisual

__all__ = ["TableKind"]

_FIRST: Final = 50
_MOST: Final = 1000
_LONGEST: Final = 160
_FEW: Final = 6
_SHOWN: Final = 3
_LARGE: Final = 20_000
_LOOK_S: Final = 0.2
_LOOK_ROWS: Final = 4096
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
    total: int

    @property
    def bytes(self) -> int:
        """Memory that it takes, about."""
        return len(self.rows) * (400 + 80 * len(self.columns))


class TableKind:
    """Answers of tables."""

    heavy = False

    def __init__(self, kept: Kept | None = None) -> None:
        self._kept = kept or Kept()
        self._large = threading.Lock()

    def answer(
        self, visual: TableVisual, path: str, query: Query, gone: Callable[[], bool]
    ) -> Answer:
        """Return ``rows.json``; see `openallen.viewer.kinds.Kind.answer`."""
        if path != "rows.json":
            raise no_such(path)
        offset = query.whole("offset", 0, 0, 1 << 40)
        limit = query.whole("limit", _FIRST, 1, _MOST)
        table = self._table(visual)
        with self._turn(table, gone):
            found = _chosen(table, query, gone)
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
        # Only what is shown is made plain: a session may have tables of a hundred thousand rows.
        table = self._kept.peek(visual, "table") or _plain(visual, _MOST)
        here = range(min(_FIRST, len(table.rows)))
        total = table.total
        more = f"{_FIRST:,} of {total:,} rows" if total > _FIRST else count_text(total, "row")
        return {
            "columns": [column.name for column in table.columns],
            "numeric": [column.numeric for column in table.columns],
            "rows": [_cells(table, n) for n in here],
            "links": [table.links[n] for n in here],
            "text": more,
            "count": count_text(total, "row"),
        }

    def thumbnail(self, visual: TableVisual) -> Answer | None:
        """Return None: tables have no picture."""
        del visual
        return None

    @contextmanager
    def _turn(self, table: _Table, gone: Callable[[], bool]) -> Iterator[None]:
        """Search and sort one large table at a time: each takes as much memory as the rows."""
        if len(table.rows) <= _LARGE:
            yield
            return
        while not self._large.acquire(timeout=_LOOK_S):
            if gone():
                raise GoneError
        try:
            yield
        finally:
            self._large.release()

    def _table(self, visual: TableVisual) -> _Table:
        """Return a table as plain values, of those that were looked at last."""
        return self._kept.get(visual, "table", lambda: _plain(visual), lambda t: t.bytes)


def _plain(visual: TableVisual, most: int | None = None) -> _Table:
    """Return a table as plain values; of its first rows only where `most` says so."""
    names, values, total = _values(visual.table(), most)
    fields = [_field(name, place, names) for place, name in enumerate(names)]
    columns = tuple(
        _Column(name, field, _unit(name), is_numeric(row[place] for row in values[:_MOST]))
        for place, (name, field) in enumerate(zip(names, fields, strict=True))
    )
    rows = [dict(zip(fields, row, strict=True)) for row in values]
    if visual.address is None:
        return _Table(columns, rows, [None] * len(rows), total)
    asked = [dict(zip(names, row, strict=True)) for row in values]
    addresses = [visual.address(row) for row in asked]
    links = [item_path(a) if a else None for a in addresses]
    if any(links) and "address" in fields:  # what the link says already
        columns = tuple(column for column in columns if column.field != "address")
        rows = [{k: v for k, v in row.items() if k != "address"} for row in rows]
    return _Table(columns, rows, links, total)


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


def _values(table: Any, most: int | None) -> tuple[list[str], list[list[Any]], int]:
    """Return names of columns, rows as plain values (the first ones), and how many there are."""
    if hasattr(table, "iloc"):
        total, table = len(table), table.iloc[:most]
        if table.index.name is not None or table.index.nlevels > 1:
            table = table.reset_index()
        names = [str(name) for name in table.columns]
        # No array of all: numpy would take arrays in cells apart.
        columns = [table.iloc[:, n].astype(object).tolist() for n in range(len(names))]
        return names, [_without_missing(row) for row in zip(*columns, strict=True)], total
    rows = list(table)
    names = list(dict.fromkeys(str(name) for row in rows[:_MOST] for name in row))
    return names, [[_item(row.get(name)) for name in names] for row in rows[:most]], len(rows)


def _without_missing(row: Sequence[Any]) -> list[Any]:
    plain = map(_item, row)
    return [None if not isinstance(v, str) and is_missing(v) else v for v in plain]


def _item(value: Any) -> Any:
    """Return a scalar of numpy as Python's own, many values in words; the rest as it is."""
    if isinstance(value, (list, tuple)):
        return value if len(value) <= _FEW else _in_words(value, (len(value),))
    if type(value).__module__ != "numpy" or not hasattr(value, "tolist"):
        return value
    if not value.ndim:
        return value.tolist()
    if value.ndim == 1 and len(value) <= _FEW:
        return ", ".join(map(cell_text, value.tolist()))
    return _in_words(value, value.shape)


def _in_words(values: Any, shape: tuple[int, ...]) -> str:
    """Return what many values are, as nobody reads them in a cell: a mask, a trace."""
    if len(shape) > 1:
        size = " x ".join(f"{n:,}" for n in shape)
        return (
            f"{size}, {int(values.sum()):,} set" if values.dtype.kind == "b" else f"{size} values"
        )
    first = ", ".join(cell_text(_item(value)) for value in values[:_SHOWN])
    return f"{first}, … ({shape[0]:,} values)"


def _chosen(table: _Table, query: Query, gone: Callable[[], bool]) -> list[int]:
    """Return the places of the rows that match, in order.

    Raises
    ------
    GoneError
        If nobody waits for it any more.
    """
    conditions = [
        Condition.of(name, value.split(",") if name.endswith("__in") else value)
        for name, value in query.values.items()
        if name not in _OWN and value != ""
    ]
    fields = [column.field for column in table.columns]
    numbers = {column.field for column in table.columns if column.numeric}
    check_columns(fields, conditions, "", numbers=numbers)
    words = query.text("q").casefold().split()
    found = []
    for n, row in enumerate(table.rows):
        if not n % _LOOK_ROWS and gone():
            raise GoneError
        if matches(row, conditions) and (not words or _has(row, words)):
            found.append(n)
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
    texts = [cell_text(value) for value in table.rows[n].values()]
    return [t if len(t) <= _LONGEST else f"{t[: _LONGEST - 1]}…" for t in texts]
