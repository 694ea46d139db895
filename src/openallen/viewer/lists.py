"""Pages of rows: of a scheme, or of what is in a thing; filtered by the source, sorted here.

A service hands out rows from the first on. What was read is kept for some minutes, so that turning
pages and sorting do not ask again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from openallen import verbs
from openallen.address import OPERATORS, Address, Condition
from openallen.errors import NotFoundError
from openallen.settings import Settings
from openallen.sources.options import describe
from openallen.sources.registry import SCHEMES
from openallen.sources.tables import Row, cell_text
from openallen.viewer.answers import Query
from openallen.viewer.forms import fields_of_options, given_options
from openallen.viewer.links import item_path, list_path
from openallen.viewer.ordering import is_numeric, ordered
from openallen.viewer.pages import Document

__all__ = ["Asked", "Listings", "list_page"]

_PAGE: Final = 100
_MOST: Final = 10_000
_KEPT: Final = 8
_KEPT_S: Final = 300.0
_OWN: Final = frozenset({"limit", "offset", "sort", "desc"})
_BUILT: Final = ("where.field", "where.op", "where.value")
_WORDS: Final[Mapping[str, str]] = {
    "eq": "is", "ne": "is not", "lt": "<", "le": "≤", "gt": ">", "ge": "≥",
    "in": "is one of (a,b,c)", "like": "is like (* for any)", "ilike": "is like, any case",
    "exists": "is set",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a page of rows is asked for.

    Parameters
    ----------
    address
        What is listed, with its filters.
    options
        Options of listing, as text.
    offset, limit
        Which rows.
    sort, desc
        The column to sort by, empty for the order of the source; whether from the end.
    """

    address: Address
    options: Mapping[str, str]
    offset: int
    limit: int
    sort: str
    desc: bool

    @classmethod
    def of(cls, what: str, given: Mapping[str, str]) -> Asked:
        """Read the path and the query of a request.

        Parameters
        ----------
        what
            A scheme, or an address: ``grid``, ``release:visual-behavior-ophys``.
        given
            The query.

        Raises
        ------
        UsageError
            If something in it means nothing.
        """
        address = Address.parse(what if ":" in what else f"{what}:")
        options = given_options(SCHEMES[address.scheme].list_options, given)
        query = Query(given)
        filters = {
            name: value
            for name, value in given.items()
            if name not in _OWN and name not in options and name not in _BUILT and value != ""
        }
        conditions = [Condition.of(name, _of_text(name, value)) for name, value in filters.items()]
        return cls(
            address=replace(address, conditions=(*address.conditions, *conditions)),
            options=options,
            offset=query.whole("offset", 0, 0, _MOST),
            limit=query.whole("limit", _PAGE, 1, _MOST),
            sort=query.text("sort"),
            desc=query.text("desc") not in {"", "0", "no"},
        )

    @property
    def needed(self) -> int:
        """How many rows have to be read."""
        return _MOST if self.sort else min(_MOST, self.offset + self.limit)

    def path(self, **changed: Any) -> str:
        """Return the path of the same page with something changed; None takes it away.

        Parameters
        ----------
        **changed
            Values of the query by name, or ``conditions``.
        """
        conditions = changed.pop("conditions", self.address.conditions)
        query: dict[str, Any] = {key(c): value(c) for c in conditions}
        query |= dict(self.options)
        query["sort"] = self.sort or None
        query["desc"] = "1" if self.desc else None
        query["limit"] = self.limit if self.limit != _PAGE else None
        query |= changed
        text = urlencode({k: v for k, v in query.items() if v is not None})
        whole = list_path(str(replace(self.address, conditions=())))
        return f"{whole}?{text}" if text else whole


def _of_text(name: str, value: str) -> Any:
    return value.split(",") if name.endswith("__in") else value


def key(condition: Condition) -> str:
    """Return the name of a condition in a query: ``width_px__gt``."""
    return f"{condition.field}__{condition.op}" if condition.op != "eq" else condition.field


def value(condition: Condition) -> str:
    """Return the value of a condition in a query."""
    if condition.op == "exists":
        return "1"
    return ",".join(condition.value) if isinstance(condition.value, tuple) else condition.value


def built(given: Mapping[str, str]) -> dict[str, str] | None:
    """Return the query with the filter of the form as one of its own; None where it has none."""
    if not any(name in given for name in _BUILT):
        return None
    plain = {k: v for k, v in given.items() if k not in _BUILT and k != "offset" and v != ""}
    field = given.get("where.field", "").strip()
    op = given.get("where.op", "eq")
    text = given.get("where.value", "").strip()
    if field and (text or op == "exists"):
        name = field if op == "eq" else f"{field}__{op}"
        plain[name] = "1" if op == "exists" else text
    return plain


@dataclass(frozen=True)
class Listing:
    """Rows that were read.

    Parameters
    ----------
    rows, addresses
        The rows, and what each is of.
    shown, columns
        Columns people are shown, and all of them.
    total
        How many there are in all; None where it is not known.
    notes
        Sentences to read beside them.
    noun
        What a row is.
    empty
        Why there are none.
    limit
        How many were asked for.
    at
        When, by `time.monotonic`.
    """

    rows: Sequence[Row]
    addresses: Sequence[str | None]
    shown: tuple[str, ...]
    columns: tuple[str, ...]
    total: int | None
    notes: tuple[str, ...]
    noun: str
    empty: NotFoundError | None
    limit: int
    at: float


class Listings:
    """What was listed last.

    Parameters
    ----------
    settings
        Settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: OrderedDict[tuple[str, str], Listing] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, asked: Asked) -> Listing:
        """Return rows: those that are kept, else asked for.

        Parameters
        ----------
        asked
            What is asked for.

        Raises
        ------
        OpenAllenError
            If it cannot be listed.
        """
        name = (str(asked.address), repr(sorted(asked.options.items())))
        with self._lock:
            found = self._kept.get(name)
        fresh = found is not None and time.monotonic() - found.at < _KEPT_S
        if (
            found is not None
            and fresh
            and (found.limit >= asked.needed or len(found.rows) < found.limit)
        ):
            return found
        found = self._read(asked)
        # The state of the store changes what local lists say.
        if not asked.options:
            with self._lock:
                self._kept[name] = found
                self._kept.move_to_end(name)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return found

    def forget(self) -> None:
        """Forget all: what is here has changed."""
        with self._lock:
            self._kept.clear()

    def _read(self, asked: Asked) -> Listing:
        limit = asked.needed
        options: dict[str, Any] = dict(asked.options)
        rows = verbs.list(asked.address, limit=limit, settings=self._settings, **options)
        read = rows.to_dicts()
        return Listing(
            rows=read,
            addresses=[rows.address_of(row) for row in read],
            shown=tuple(rows.shown),
            columns=tuple(rows.columns),
            total=rows.total,
            notes=rows.notes,
            noun=rows.noun,
            empty=rows.empty() if not read and rows.empty is not None else None,
            limit=limit,
            at=time.monotonic(),
        )


def list_page(asked: Asked, found: Listing) -> Document:
    """Return a page of rows.

    Parameters
    ----------
    asked
        What was asked for.
    found
        The rows.
    """
    pairs = list(zip(found.rows, found.addresses, strict=True))
    if asked.sort:
        pairs = ordered(pairs, lambda pair: pair[0].get(asked.sort), desc=asked.desc)
    page = pairs[asked.offset : asked.offset + asked.limit]
    total = found.total if found.total is not None else _count(found)
    plain = str(replace(asked.address, conditions=()))
    data = {
        "address": plain,
        "filters": [str(c) for c in asked.address.conditions],
        "total": total,
        "offset": asked.offset,
        "columns": list(found.columns),
        "rows": [row if address is None else {**row, "address": address} for row, address in page],
        "notes": list(found.notes),
    }
    shown = {
        "address": plain,
        "title_of": SCHEMES[asked.address.scheme].title,
        "columns": [_column(asked, name, page) for name in _shown(found)],
        "lines": [_line(row, address, found) for row, address in page],
        "counted": _counted(asked, len(page), total, found.noun),
        "chips": _chips(asked),
        "fields": fields_of_options(SCHEMES[asked.address.scheme].list_options, asked.options),
        "known": found.columns or _shown(found),
        "operators": [(op, _WORDS[op]) for op in OPERATORS],
        "hidden": _hidden(asked),
        "here": list_path(plain),
        "previous": _turned(asked, -1, total),
        "next": _turned(asked, 1, total) if len(page) == asked.limit else "",
        "empty": found.empty,
        "short": asked.sort and (total is None or total > len(found.rows)),
        "read": len(found.rows),
        "parents": parents_of(asked.address),
    }
    return Document(template="list.html", title=plain, data=data, shown=shown)


def parents_of(address: Address) -> list[tuple[str, str]]:
    """Return what an address lies in, the scheme first: names and paths of pages.

    Parameters
    ----------
    address
        The address.
    """
    found = [(f"{address.scheme}:", list_path(f"{address.scheme}:"))] if address.name else []
    if address.path:
        whole = str(Address(address.scheme, address.name, address.version))
        found.append((whole.partition(":")[2], item_path(whole)))
    return found


def _shown(found: Listing) -> tuple[str, ...]:
    return found.shown or found.columns


def _count(found: Listing) -> int | None:
    return len(found.rows) if len(found.rows) < found.limit else None


def _counted(asked: Asked, here: int, total: int | None, noun: str) -> str:
    if not here:
        return f"no {noun}s"
    many = f"of {total:,}" if total is not None else "of more"
    if total == here:
        return f"{here:,} {noun}{'s' if here != 1 else ''}"
    return f"{noun}s {asked.offset + 1:,} to {asked.offset + here:,} {many}"


def _column(asked: Asked, name: str, page: Sequence[tuple[Row, str | None]]) -> dict[str, Any]:
    now = asked.sort == name
    order = ("descending" if asked.desc else "ascending") if now else ""
    if now and asked.desc:
        path = asked.path(sort=None, desc=None)
    else:
        path = asked.path(sort=name, desc="1" if now else None)
    numeric = is_numeric([row.get(name) for row, _ in page])
    return {"name": name, "path": path, "order": order, "numeric": numeric}


def _line(row: Row, address: str | None, found: Listing) -> dict[str, Any]:
    path = item_path(address) if address else ""
    return {"path": path, "cells": [cell_text(row.get(name)) for name in _shown(found)]}


def _chips(asked: Asked) -> list[dict[str, str]]:
    every = asked.address.conditions
    return [
        {
            "text": _condition(c),
            "path": asked.path(conditions=tuple(o for o in every if o is not c)),
        }
        for c in every
    ]


def _condition(one: Condition) -> str:
    words = _WORDS[one.op].partition(" (")[0]
    return f"{one.field} {words}" + (f" {value(one)}" if one.op != "exists" else "")


def _hidden(asked: Asked) -> list[tuple[str, str]]:
    """Return what the form of a new filter keeps."""
    kept = [(key(c), value(c)) for c in asked.address.conditions]
    own = {"sort": asked.sort, "desc": "1" if asked.desc else ""}
    names = {d.name for d in describe(SCHEMES[asked.address.scheme].list_options)}
    return [pair for pair in (*kept, *own.items()) if pair[1] and pair[0] not in names]


def _turned(asked: Asked, by: int, total: int | None) -> str:
    offset = asked.offset + by * asked.limit
    if by < 0:
        return asked.path(offset=max(0, offset) or None) if asked.offset else ""
    if offset >= _MOST or (total is not None and offset >= total):
        return ""
    return asked.path(offset=offset)
