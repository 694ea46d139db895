"""Rows: what `list` and `search` return, as a sequence of dicts that knows its columns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import index
from typing import TYPE_CHECKING, Any, Final, Self, SupportsIndex, overload

from openallen.display import count_text, table_html
from openallen.errors import UsageError, requiring
from openallen.harmless import harmless

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from openallen.errors import NotFoundError
    from openallen.visuals import Visual

__all__ = ["Row", "Rows", "cell_text", "row_limit"]

Row = dict[str, Any]

_SHOWN: Final = 20
_WIDEST: Final = 40
_MOST_COLUMNS: Final = 9


def row_limit(limit: SupportsIndex | None) -> int | None:
    """Return a limit of rows as an integer; None where there is not one.

    Raises
    ------
    UsageError
        If it is not a whole number from 0.
    """
    try:
        count = None if limit is None else index(limit)
    except TypeError:
        raise UsageError(f"limit is a number of rows, not {type(limit).__name__}") from None
    if count is not None and count < 0:
        raise UsageError(f"limit is a number of rows, not {count}")
    return None if count is None else min(count, sys.maxsize)


class Rows(Sequence[Row]):
    """Rows of one kind, in order.

    Parameters
    ----------
    rows
        The rows; an iterator is read when they are wanted, once.
    columns
        Columns that people are shown first; those that say something where empty.
    id_column
        The column that names a row; the address column where there is one.
    noun
        What a row is, in the singular.
    total
        How many there are in all, where more exist than are given.
    notes
        Sentences people should read beside them, or what makes them once the rows are read.
    empty
        Makes the error that says why there are none; called only if there are none.
    address
        Returns the address of what a row is of; None for a row that is of no single thing. Rows
        with a column ``address`` need none.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        columns: Sequence[str] = (),
        *,
        id_column: str = "id",
        noun: str = "row",
        total: int | None = None,
        notes: Sequence[str] | Callable[[], Sequence[str]] = (),
        empty: Callable[[], NotFoundError] | None = None,
        address: Callable[[Row], str | None] | None = None,
    ) -> None:
        self._rest = iter(rows)
        self._read: list[Row] = []
        self._shown = tuple(columns)
        self.id_column = id_column
        self.noun = noun
        self.total = total
        self._notes = notes
        self.empty = empty
        self._address = address

    # --- a sequence -------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Row]:
        yield from self._read
        for row in self._rest:
            self._read.append(dict(row))
            yield self._read[-1]

    def stream(self) -> Iterator[Row]:
        """Return the rows one by one without keeping them; they can be read only once."""
        yield from self._read
        yield from map(dict, self._rest)

    def loaded(self) -> Self:
        """Read all of them, and return the rows themselves."""
        for _ in self:
            pass
        return self

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences people should read beside the rows."""
        if callable(self._notes):
            self.loaded()
            self._notes = tuple(self._notes())
        return tuple(self._notes)

    @notes.setter
    def notes(self, notes: Sequence[str]) -> None:
        self._notes = tuple(notes)

    def address_of(self, row: Row) -> str | None:
        """Return the address of what a row is of; None where it is of no single thing.

        Parameters
        ----------
        row
            One of the rows.
        """
        told = row.get("address")
        if isinstance(told, str) and told:
            return told
        return self._address(row) if self._address is not None else None

    def _all(self) -> list[Row]:
        self.loaded()
        return self._read

    def __len__(self) -> int:
        return len(self._all())

    def __bool__(self) -> bool:
        return next(iter(self), None) is not None

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return self._all()[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Rows):
            return self._all() == other.to_dicts()
        return self._all() == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    # --- columns ----------------------------------------------------------------------------------

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column, those shown first in front."""
        found = dict.fromkeys(self._shown)
        for row in self:
            found.update(dict.fromkeys(row))
        return tuple(found)

    @property
    def shown(self) -> tuple[str, ...]:
        """The columns people are shown."""
        return self._shown or telling(list(islice(self, 50)))

    # --- other forms ------------------------------------------------------------------------------

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a table of pandas, one column for each of `columns`.

        Raises
        ------
        MissingExtraError
            Without the extra ``tables``.
        """
        with requiring("a table of pandas", "tables"):
            import pandas as pd
        return pd.DataFrame(self._all(), columns=list(self.columns))

    def to_arrow(self) -> pa.Table:
        """Return the rows as a table of Arrow, one column for each of `columns`.

        Raises
        ------
        MissingExtraError
            Without the extra ``tables``.
        """
        with requiring("a table of Arrow", "tables"):
            import pyarrow as pa
        names = self.columns
        return pa.table({name: _arrow([row.get(name) for row in self]) for name in names})

    def to_dicts(self) -> list[Row]:
        """Return the rows as a plain list."""
        return list(self._all())

    # --- for people -------------------------------------------------------------------------------

    @property
    def counted(self) -> str:
        """How many there are, in words: ``50 rows of 2,686``."""
        more = f" of {self.total:,}" if self.total is not None and self.total > len(self) else ""
        return count_text(len(self), self.noun) + more

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.visuals import TableVisual

        return (
            TableVisual(
                name="rows",
                title=f"{self.noun}s".capitalize(),
                table=lambda: [{name: row.get(name) for name in self.columns} for row in self],
                address=lambda row: self.address_of(dict(row)),
            ),
        )

    def __repr__(self) -> str:
        if not self:
            return f"no {self.noun}s"
        names = self.shown[:_MOST_COLUMNS]
        listed = self._all()[:_SHOWN]
        cells = [[harmless(cell_text(row.get(name)))[:_WIDEST] for name in names] for row in listed]
        names = tuple(harmless(name)[:_WIDEST] for name in names)
        widths = [max(len(name), *(len(c[i]) for c in cells)) for i, name in enumerate(names)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in (names, *cells)
        ]
        left = len(self) - len(listed)
        more = ""
        if left:
            more = f"; {count_text(left, 'more row')} {'is' if left == 1 else 'are'} not shown"
        return "\n".join([*lines, f"{self.counted}{more}", *map(harmless, self.notes)])

    def _repr_html_(self) -> str:
        listed = self._all()[:_SHOWN]
        names = self.shown
        rows = [[cell_text(row.get(name)) for name in names] for row in listed]
        return table_html(names, rows, note=". ".join((self.counted, *self.notes)))


def _arrow(values: list[Any]) -> Any:
    """Return a column of Arrow; values that fit no one type become text."""
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.array([None if v is None else cell_text(v) for v in values])


def telling(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Choose columns for people: ids first, then those that are not empty all the way.

    Parameters
    ----------
    rows
        Some of the rows.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    full = [name for name in names if any(_says(row.get(name)) for row in rows)]
    nested = [n for n in full if any(isinstance(row.get(n), (list, dict)) for row in rows)]
    plain = [name for name in full if name not in nested]
    first = [name for name in plain if name == "id"]
    return tuple([*first, *(n for n in plain if n not in first)][:_MOST_COLUMNS] + nested)


def _says(value: object) -> bool:
    return value is not None and value != ""


def cell_text(value: object) -> str:
    """Write a value into a cell: lists by commas, related rows by their name.

    Parameters
    ----------
    value
        Any value.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(cell_text, value))
    if isinstance(value, Mapping):
        return str(value.get("name") or value.get("acronym") or value.get("id") or "…")
    return str(value)
