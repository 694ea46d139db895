"""Building queries from Python: ``query("ProjectionImage").where(specimen_id=313862022)``.

A `Search` is immutable: each step returns a new one. Nothing is sent before rows are wanted, and
the same search can be run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from openallen.address import OPERATORS, Condition
from openallen.brainmap.answers import Row
from openallen.brainmap.client import LIVE_URL, PAGE_ROWS, Client
from openallen.brainmap.language import (
    Association,
    Column,
    Filter,
    ModelStage,
    Order,
    PipeStage,
    Query,
    ServiceStage,
    Value,
    Variable,
    Word,
)
from openallen.brainmap.paging import Short
from openallen.brainmap.parser import parse
from openallen.display import card, facts_text
from openallen.errors import UsageError, requiring

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["Connect", "Search", "filter_of", "literal"]

T = TypeVar("T")

Connect = Callable[[], AbstractContextManager[Client]]
"""Opens a client that lasts as long as the context."""

_WORDS = {
    "eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge",
    "in": "in", "like": "li", "ilike": "il", "exists": "",
}  # fmt: skip


def literal(value: object) -> Value:
    """Return a Python value as RMA writes it: numbers, text, booleans, dates, None as ``null``.

    Raises
    ------
    UsageError
        For a value that cannot be written in RMA.
    """
    if isinstance(value, (Word, Variable)):
        return value
    if value is None:
        return Word("null")
    if isinstance(value, bool):
        return Word("true" if value else "false")
    if isinstance(value, (int, float, str)):
        return Word(str(value))
    if isinstance(value, (date, datetime)):
        return Word(value.isoformat())
    raise UsageError(
        "this value cannot be written in RMA", why=f"{value!r} is of type {type(value).__name__}"
    )


def filter_of(name: str, value: object) -> Filter:
    """Return the filter of a keyword: ``id__gt=5``, ``name__ilike="*x*"``, ``id__in=[1, 2]``.

    Raises
    ------
    UsageError
        For a value that does not go with the operator.
    """
    stem, _, word = name.rpartition("__")
    field, op = (stem, word) if stem and word in OPERATORS else (name, "eq")
    if op == "exists":
        return Filter(field) if value else Filter(field, "eq", (Word("null"),))
    many = isinstance(value, Iterable) and not isinstance(value, str)
    if many and op == "eq":
        op = "in"
    if many != (op == "in"):
        raise UsageError(f"'{name}' takes {'several values' if op == 'in' else 'one value'}")
    values = (
        tuple(map(literal, value)) if isinstance(value, Iterable) and many else (literal(value),)
    )
    if not values:
        raise UsageError(f"'{name}' needs at least one value")
    return Filter(field, _WORDS[op], values)


def filter_from(condition: Condition) -> Filter:
    """Return the filter of a condition typed on the command line or in an address."""
    if condition.op == "exists":
        return Filter(condition.field)
    texts = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    return Filter(condition.field, _WORDS[condition.op], tuple(map(Word, texts)))


def _check_text(what: str, *values: object) -> None:
    for value in values:
        if not isinstance(value, str):
            raise UsageError(f"{what} is named as text, not as {type(value).__name__}")


@dataclass(frozen=True)
class Search:
    """A query and the service it goes to.

    Parameters
    ----------
    query
        The query.
    connect
        Opens the client.
    source
        The service: ``live``, ``sample``, or a URL.

    Examples
    --------
    >>> from openallen.brainmap import Search
    >>> search = Search.of("ProjectionImage").where(specimen_id=313862022).order("id")
    >>> str(search.query)
    "model::ProjectionImage,rma::criteria,[specimen_id$eq313862022],rma::options[order$eq'id$asc']"
    """

    query: Query
    connect: Connect | None = None
    source: str = "live"

    @classmethod
    def of(cls, model_or_rma: str, *, connect: Connect | None = None, source: str = "live") -> Self:
        """Return a search for the rows of a model, or of RMA text or a request URL."""
        _check_text("a query", model_or_rma)
        name = model_or_rma.strip()
        query = Query((ModelStage(name),)) if name.isidentifier() else parse(name)
        return cls(query, connect, source)

    # --- the query --------------------------------------------------------------------------

    def _model(self) -> ModelStage:
        last = self.query.stages[-1]
        if not isinstance(last, ModelStage):
            raise UsageError("a service takes parameters only", why=str(last))
        return last

    def _with(self, **changes: Any) -> Self:
        stage = replace(self._model(), **changes)
        return replace(self, query=replace(self.query, stages=(*self.query.stages[:-1], stage)))

    def _options(self, **changes: Any) -> Self:
        return self._with(options=replace(self._model().options, **changes))

    def where(self, *through: str | Condition, **filters: object) -> Self:
        """Return the search with more filters.

        Parameters
        ----------
        *through
            The association the filters are on, dotted when it is several steps away
            (``"specimen.donor"``); `Condition` objects are filters too.
        **filters
            ``field=value``, or with an operator: ``id__gt=5``, ``name__ilike="*vis*"``,
            ``id__in=[1, 2]``, ``path__exists=True``. Rows match all of them.

        Raises
        ------
        UsageError
            For a value that cannot be written in RMA, or more than one association.
        """
        paths = [text for text in through if isinstance(text, str)]
        conditions = [filter_from(c) for c in through if isinstance(c, Condition)]
        _check_text("an association", *(t for t in through if not isinstance(t, Condition)))
        found = (*conditions, *(filter_of(name, value) for name, value in filters.items()))
        if len(paths) > 1:
            raise UsageError("where() takes one association", hint=".where('a.b', field=value)")
        stage = self._model()
        if not paths:
            return self._with(filters=(*stage.filters, *found))
        names = paths[0].split(".")
        return self._with(associations=_merged(stage.associations, names, found))

    def include(self, *associations: str) -> Self:
        """Return the search with related rows nested.

        Parameters
        ----------
        *associations
            ``"specimen"``, ``"specimen.donor"``, or RMA: ``"a(b,c[id$gt5])"``.
        """
        _check_text("an association", *associations)
        stage = self._model()
        includes = stage.includes
        for text in associations:
            if all(part.isidentifier() for part in text.split(".")):
                includes = _merged(includes, text.split("."), ())
            else:
                read = parse(f"model::{stage.model},rma::include,{text}").stages[0]
                includes += read.includes if isinstance(read, ModelStage) else ()
        return self._with(includes=includes)

    def order(self, *fields: str) -> Self:
        """Return the search sorted by columns; ``"-id"`` sorts downwards."""
        _check_text("a column", *fields)
        return self._options(order=tuple(Order(f.lstrip("-"), f.startswith("-")) for f in fields))

    def only(self, *fields: str) -> Self:
        """Return the search for these columns alone."""
        _check_text("a column", *fields)
        return self._options(only=fields)

    def exclude(self, *fields: str) -> Self:
        """Return the search for all columns but these."""
        _check_text("a column", *fields)
        return self._options(exclude=fields)

    def tabular(self, *columns: str, distinct: bool = False, **aliases: str) -> Self:
        """Return the search for a flat table of ``table.column``; a keyword renames its column."""
        _check_text("a column", *columns, *aliases.values())
        plain = tuple(Column(source) for source in columns)
        named = tuple(Column(source, alias) for alias, source in aliases.items())
        return self._options(tabular=(*plain, *named), distinct=distinct)

    def limit(self, num_rows: int, start_row: int = 0) -> Self:
        """Return the search for at most `num_rows` rows, after the first `start_row`."""
        return self._options(num_rows=num_rows, start_row=start_row or None)

    def pipe(self, **lists: str) -> Self:
        """Return the search with columns stored for the next stage.

        Parameters
        ----------
        **lists
            Columns by the name they are stored under: ``xids="id"``, then ``Variable("xids")``.
        """
        _check_text("a column", *lists.values())
        filters = tuple(Filter(name, "eq", (Word(column),)) for name, column in lists.items())
        stages = (*self.query.stages, PipeStage("list", filters))
        return replace(self, query=replace(self.query, stages=stages))

    def model(self, name: str) -> Self:
        """Return the search continued with another model, behind a pipe."""
        return replace(
            self, query=replace(self.query, stages=(*self.query.stages, ModelStage(name)))
        )

    def service(self, name: str, **parameters: object) -> Self:
        """Return the search continued with a computed service, behind a pipe."""
        stage = service_stage(name, parameters)
        return replace(self, query=replace(self.query, stages=(*self.query.stages, stage)))

    def url(self, format: Literal["json", "xml", "csv"] = "json") -> str:  # noqa: A002
        """Return the URL of this query at the public service."""
        return self.query.url(LIVE_URL, format)

    # --- the answer -----------------------------------------------------------------------

    def _client(self) -> AbstractContextManager[Client]:
        if self.connect is None:
            raise UsageError("this search is not connected to a service", hint="oa.query(...)")
        return self.connect()

    def __iter__(self) -> Iterator[Row]:
        return self.rows()

    def pages(self, page_rows: int = PAGE_ROWS, *, short: Short = "error") -> Iterator[list[Row]]:
        """Return an iterator over the rows, a page at a time, as they come.

        Parameters
        ----------
        page_rows
            Rows requested at a time.
        short
            As for `rows`.

        Raises
        ------
        AnswerError, ShortAnswerError
            As `rows` does.
        """
        return self._streamed(self._client(), lambda c: c.pages(self.query, page_rows, short=short))

    def rows(self, limit: int | None = None, *, short: Short = "error") -> Iterator[Row]:
        """Return an iterator over all rows, or the first `limit`, as they come.

        The first page is requested alone; once rows behind it are wanted, as many pages as there
        are connections are requested at once, and no more are in memory.
        ``list(search.rows())`` holds all of them.

        Parameters
        ----------
        limit
            Rows at most.
        short
            Where the service announces more rows than it has, as it does for some queries
            through several associations: ``"error"`` raises, ``"warn"`` yields the rows there
            are and warns with `openallen.errors.ShortAnswerWarning`.

        Raises
        ------
        AnswerError
            If pages, counts or rows contradict what was asked.
        ShortAnswerError
            If rows that were announced do not exist, unless `short` is ``"warn"``.
        """
        return self._streamed(self._client(), lambda c: c.rows(self.query, limit, short=short))

    @staticmethod
    def _streamed(
        connected: AbstractContextManager[Client], ask: Callable[[Client], Iterator[T]]
    ) -> Iterator[T]:
        with connected as client:
            yield from ask(client)

    def count(self) -> int:
        """Return how many rows there are, as the service counts them, without fetching them."""
        with self._client() as client:
            return client.count(self.query)

    def to_arrow(self, *, short: Short = "error") -> pa.Table:
        """Return all rows as an Arrow table; nested rows as structs and lists.

        Parameters
        ----------
        short
            As for `rows`.

        Raises
        ------
        AnswerError, ShortAnswerError
            As `rows` does.
        MissingExtraError
            Without the extra ``tables``.
        """
        with requiring("an Arrow table", "tables"):
            import pyarrow as pa
        return pa.Table.from_pylist(list(self.rows(short=short)))

    def to_pandas(self, *, short: Short = "error") -> pd.DataFrame:
        """Return all rows as a DataFrame in the order of the service; nested rows as objects.

        Parameters
        ----------
        short
            As for `rows`.

        Raises
        ------
        AnswerError, ShortAnswerError
            As `rows` does.
        MissingExtraError
            Without the extra ``tables``.
        """
        with requiring("a DataFrame", "tables"):
            import pandas as pd
        return pd.DataFrame(list(self.rows(short=short)))

    # --- how it shows itself --------------------------------------------------------------------

    def _facts(self) -> dict[str, object]:
        return {"rma": str(self.query), "source": self.source, "url": self.url()}

    def __str__(self) -> str:
        return facts_text("Search", self._facts())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return card("Search", self._facts(), note="not sent yet: .rows(), .count(), .to_pandas()")


def service_stage(name: str, parameters: Mapping[str, object]) -> ServiceStage:
    """Return the stage that calls a service; a list becomes several values."""
    found: list[Filter] = []
    for key, value in parameters.items():
        many = isinstance(value, (list, tuple))
        values = (
            tuple(map(literal, value)) if isinstance(value, (list, tuple)) else (literal(value),)
        )
        found.append(Filter(key, "in" if many and len(values) > 1 else "eq", values))
    return ServiceStage(name, tuple(found))


def _merged(
    known: tuple[Association, ...], names: list[str], filters: tuple[Filter, ...]
) -> tuple[Association, ...]:
    """Add filters at the end of a path of associations, along those that are there already."""
    head, *rest = names
    place = next((i for i, a in enumerate(known) if a.name == head), None)
    base = Association(head) if place is None else known[place]
    if rest:
        base = replace(base, children=_merged(base.children, rest, filters))
    else:
        base = replace(base, filters=(*base.filters, *filters))
    return (*known, base) if place is None else (*known[:place], base, *known[place + 1 :])
