"""Building queries from Python: ``query("ProjectionImage").where(specimen_id=313862022)``.

A `Search` is immutable: each step gives a new one. It asks nothing until rows are wanted, shows
what it will ask, and can be asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from openallen.address import OPERATORS, Condition
from openallen.brainmap.answers import Row
from openallen.brainmap.client import LIVE_URL, Client
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
from openallen.brainmap.parser import parse
from openallen.display import card, facts_text
from openallen.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["Connect", "Search", "filter_of", "literal"]

Connect = Callable[[], AbstractContextManager[Client]]
"""Opens a client for as long as the context lasts."""

_WORDS = {
    "eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge",
    "in": "in", "like": "li", "ilike": "il", "exists": "",
}  # fmt: skip


def literal(value: object) -> Value:
    """Give a Python value as RMA says it: numbers, text, booleans, dates, None as ``null``.

    Raises
    ------
    UsageError
        For what RMA has no way to say.
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
    raise UsageError("RMA cannot say this value", why=f"{value!r} is a {type(value).__name__}")


def filter_of(name: str, value: object) -> Filter:
    """Give the filter of a keyword: ``id__gt=5``, ``name__ilike="*x*"``, ``id__in=[1, 2]``.

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
        raise UsageError(f"'{name}' is given no value, so no row could match")
    return Filter(field, _WORDS[op], values)


def filter_from(condition: Condition) -> Filter:
    """Give the filter of a condition typed on the command line or in an address."""
    if condition.op == "exists":
        return Filter(condition.field)
    texts = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    return Filter(condition.field, _WORDS[condition.op], tuple(map(Word, texts)))


@dataclass(frozen=True)
class Search:
    """Rows to be asked for.

    Parameters
    ----------
    query
        What will be asked.
    connect
        Opens the client to ask with.
    source
        Where it will be asked: ``live``, ``sample``, or a URL.

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
        """Begin with a model's name, or with RMA text or a request URL."""
        name = model_or_rma.strip()
        query = Query((ModelStage(name),)) if name.isidentifier() else parse(name)
        return cls(query, connect, source)

    # --- what is asked --------------------------------------------------------------------------

    def _model(self) -> ModelStage:
        last = self.query.stages[-1]
        if not isinstance(last, ModelStage):
            raise UsageError("a service takes parameters, not this", why=str(last))
        return last

    def _with(self, **changes: Any) -> Self:
        stage = replace(self._model(), **changes)
        return replace(self, query=replace(self.query, stages=(*self.query.stages[:-1], stage)))

    def _options(self, **changes: Any) -> Self:
        return self._with(options=replace(self._model().options, **changes))

    def where(self, *through: str | Condition, **filters: object) -> Self:
        """Keep only rows that are so.

        Parameters
        ----------
        *through
            The association the filters are on, dotted when it is several steps away
            (``"specimen.donor"``); `Condition` objects are filters too.
        **filters
            ``field=value``, or with an operator: ``id__gt=5``, ``name__ilike="*vis*"``,
            ``id__in=[1, 2]``, ``path__exists=True``. Several all hold.

        Raises
        ------
        UsageError
            For a value RMA cannot say, or more than one association.
        """
        paths = [text for text in through if isinstance(text, str)]
        conditions = [filter_from(c) for c in through if isinstance(c, Condition)]
        found = (*conditions, *(filter_of(name, value) for name, value in filters.items()))
        if len(paths) > 1:
            raise UsageError("one association at a time", hint=".where('a.b', field=value)")
        stage = self._model()
        if not paths:
            return self._with(filters=(*stage.filters, *found))
        names = paths[0].split(".")
        return self._with(associations=_merged(stage.associations, names, found))

    def include(self, *associations: str) -> Self:
        """Nest related rows: ``"specimen"``, ``"specimen.donor"``, ``"a(b,c[id$gt5])"``."""
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
        """Sort by columns, first ones first; ``"-id"`` is downwards."""
        return self._options(order=tuple(Order(f.lstrip("-"), f.startswith("-")) for f in fields))

    def only(self, *fields: str) -> Self:
        """Ask for these columns alone."""
        return self._options(only=fields)

    def exclude(self, *fields: str) -> Self:
        """Ask for all columns but these."""
        return self._options(exclude=fields)

    def tabular(self, *columns: str, distinct: bool = False, **aliases: str) -> Self:
        """Ask for a flat table of ``table.column``; a keyword names its column anew."""
        plain = tuple(Column(source) for source in columns)
        named = tuple(Column(source, alias) for alias, source in aliases.items())
        return self._options(tabular=(*plain, *named), distinct=distinct)

    def limit(self, num_rows: int, start_row: int = 0) -> Self:
        """Ask for so many rows at most, passing over the first `start_row`."""
        return self._options(num_rows=num_rows, start_row=start_row or None)

    def pipe(self, **lists: str) -> Self:
        """Store columns for the next stage: ``pipe(xids="id")``, then ``Variable("xids")``."""
        filters = tuple(Filter(name, "eq", (Word(column),)) for name, column in lists.items())
        stages = (*self.query.stages, PipeStage("list", filters))
        return replace(self, query=replace(self.query, stages=stages))

    def model(self, name: str) -> Self:
        """Go on with another model, behind a pipe."""
        return replace(
            self, query=replace(self.query, stages=(*self.query.stages, ModelStage(name)))
        )

    def service(self, name: str, **parameters: object) -> Self:
        """Go on with a computed service, behind a pipe."""
        stage = service_stage(name, parameters)
        return replace(self, query=replace(self.query, stages=(*self.query.stages, stage)))

    def url(self, format: Literal["json", "xml", "csv"] = "json") -> str:  # noqa: A002
        """Give the URL that asks the public service just this."""
        return self.query.url(LIVE_URL, format)

    # --- what is answered -----------------------------------------------------------------------

    def _client(self) -> AbstractContextManager[Client]:
        if self.connect is None:
            raise UsageError("this search is bound to no service", hint="openallen.query(...)")
        return self.connect()

    def __iter__(self) -> Iterator[Row]:
        with self._client() as client:
            yield from client.rows(self.query)

    def pages(self, page_rows: int = 2000) -> Iterator[list[Row]]:
        """Give the rows a page at a time, as they come."""
        with self._client() as client:
            yield from client.pages(self.query, page_rows)

    def rows(self, limit: int | None = None) -> list[Row]:
        """Give all rows, or the first `limit`.

        Raises
        ------
        AnswerError
            If pages, counts or rows contradict what was asked.
        """
        with self._client() as client:
            return list(client.rows(self.query, limit))

    def count(self) -> int:
        """Ask how many rows there are, without fetching them."""
        with self._client() as client:
            return client.count(self.query)

    def to_arrow(self) -> pa.Table:
        """Give all rows as an Arrow table; nested rows as structs and lists.

        Raises
        ------
        MissingExtraError
            Without the extra ``tables``.
        """
        try:
            import pyarrow as pa
        except ImportError:
            raise MissingExtraError("tables", "an Arrow table") from None
        return pa.Table.from_pylist(self.rows())

    def to_pandas(self) -> pd.DataFrame:
        """Give all rows as a DataFrame in the order of the service; nested rows as objects.

        Raises
        ------
        MissingExtraError
            Without the extra ``tables``.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingExtraError("tables", "a DataFrame") from None
        return pd.DataFrame(self.rows())

    # --- how it shows itself --------------------------------------------------------------------

    def _facts(self) -> dict[str, object]:
        return {"rma": str(self.query), "source": self.source, "url": self.url()}

    def __str__(self) -> str:
        return facts_text("Search", self._facts())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return card("Search", self._facts(), note="not asked yet: .rows(), .count(), .to_pandas()")


def service_stage(name: str, parameters: Mapping[str, object]) -> ServiceStage:
    """Give the stage that calls a service; a list becomes several values."""
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
