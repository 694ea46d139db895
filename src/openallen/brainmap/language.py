"""RMA, the query language of brain-map.org, as plain data.

A query is a list of stages. A model stage asks for rows of a model: filters and associations
restrict the rows, includes nest other rows in them, options shape the answer. Pipe stages carry
a column from one stage to the next; service stages call a computed service.

Two queries are equal when they mean the same: quotes around a simple word, the place of a filter
among associations, and the spelling of options make no difference. ``str(query)`` is canonical,
and parses to an equal query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Self
from urllib.parse import quote

from openallen.errors import UsageError

__all__ = [
    "OPERATORS",
    "Association",
    "Column",
    "Filter",
    "ModelStage",
    "Options",
    "Order",
    "PipeStage",
    "Query",
    "Reference",
    "ServiceStage",
    "Stage",
    "Value",
    "Variable",
    "Word",
]

Format = Literal["json", "xml", "csv"]

OPERATORS: Final = ("eq", "ne", "lt", "gt", "le", "ge", "li", "il", "in", "is")
"""Operators as RMA writes them after a ``$``; ``li`` is case-sensitive, ``il`` is not."""

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DOTTED: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
_BARE: Final = re.compile(r"[A-Za-z0-9_*.-]+")


@dataclass(frozen=True, slots=True)
class Word:
    """Text or a number, without single quotes: RMA has no way to write them.

    Raises
    ------
    UsageError
        If the text contains a single quote.
    """

    text: str

    def __post_init__(self) -> None:
        if "'" in self.text:
            raise UsageError(
                "RMA cannot contain a single quote",
                why=repr(self.text),
                hint="like or ilike, with * in place of the quote",
            )

    def __str__(self) -> str:
        bare = _BARE.fullmatch(self.text) and not _DOTTED.fullmatch(self.text)
        return self.text if bare else f"'{self.text}'"


@dataclass(frozen=True, slots=True)
class Reference:
    """A column of another table: ``structures.id``."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Variable:
    """What an earlier pipe stage stored: ``$xstructures``."""

    name: str

    def __str__(self) -> str:
        return f"${self.name}"


Value = Word | Reference | Variable


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition: ``[specimen_id$eq313862022]``; without an operator: is not null.

    Parameters
    ----------
    field
        A column, or ``table.column``.
    op
        One of `OPERATORS`; empty for "is not null".
    values
        What to compare with; several mean any of them.
    """

    field: str
    op: str = ""
    values: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        if not all(NAME.fullmatch(part) for part in self.field.split(".")):
            raise UsageError(f"'{self.field}' is not the name of a column")
        if (self.op and self.op not in OPERATORS) or bool(self.op) != bool(self.values):
            raise UsageError(
                "a filter needs a known operator and values",
                why=f"{self.field} {self.op} {self.values}",
            )

    def __str__(self) -> str:
        tail = f"${self.op}{','.join(map(str, self.values))}" if self.op else ""
        return f"[{self.field}{tail}]"


@dataclass(frozen=True, slots=True)
class Association:
    """An association from one model to another, with filters and associations there.

    In criteria it restricts the main rows; in includes it nests rows, and its filters restrict
    only those.
    """

    name: str
    filters: tuple[Filter, ...] = ()
    children: tuple[Association, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name)

    def __str__(self) -> str:
        inner = f"({','.join(map(str, self.children))})" if self.children else ""
        return f"{self.name}{''.join(map(str, self.filters))}{inner}"

    def walk(self) -> Iterator[Association]:
        """Return this association and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Order:
    """One sort key: a column, or ``table.column``."""

    field: str
    descending: bool = False

    def __str__(self) -> str:
        return f"{self.field}${'desc' if self.descending else 'asc'}"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a tabular answer, with the name it shall have there."""

    source: str
    alias: str = ""

    @property
    def name(self) -> str:
        """The name it has in the answer: the alias, else the column without its table."""
        return self.alias or self.source.rpartition(".")[2]

    def __str__(self) -> str:
        return f"{self.source} as {self.alias}" if self.alias else self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The form of the answer. None and empty leave an option to the service.

    Parameters
    ----------
    only, exclude
        Columns wanted, or not wanted (RMA's ``except``).
    tabular, distinct
        A flat answer of these columns, and whether equal rows appear once.
    order
        Sort keys, first ones first.
    num_rows
        Rows wanted; ``"all"`` for every one. The default of the service is 50.
    start_row
        Rows skipped.
    count
        Whether the service counts all rows; it does by default.
    others
        Options of other names, as they came.
    """

    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    tabular: tuple[Column, ...] = ()
    distinct: bool = False
    order: tuple[Order, ...] = ()
    num_rows: int | Literal["all"] | None = None
    start_row: int | None = None
    count: bool | None = None
    others: tuple[tuple[str, str], ...] = ()

    def items(self) -> Iterator[tuple[str, str]]:
        """Return name and text of each option that is set, in canonical order."""
        if self.only:
            yield "only", ",".join(self.only)
        if self.exclude:
            yield "except", ",".join(self.exclude)
        if self.tabular:
            yield (
                "tabular",
                ("distinct " if self.distinct else "") + ",".join(map(str, self.tabular)),
            )
        if self.order:
            yield "order", ",".join(map(str, self.order))
        if self.num_rows is not None:
            yield "num_rows", str(self.num_rows)
        if self.start_row is not None:
            yield "start_row", str(self.start_row)
        if self.count is not None:
            yield "count", "true" if self.count else "false"
        yield from self.others

    def __str__(self) -> str:
        return "".join(f"[{name}$eq{Word(text)}]" for name, text in self.items())


@dataclass(frozen=True, slots=True)
class ModelStage:
    """Rows of one model.

    Parameters
    ----------
    model
        Its name, as the service spells it: ``ProjectionImage``.
    filters, associations
        What the rows must be.
    includes
        What is nested in them.
    options
        How the answer looks.
    """

    model: str
    filters: tuple[Filter, ...] = ()
    associations: tuple[Association, ...] = ()
    includes: tuple[Association, ...] = ()
    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        _check_name(self.model)

    def __str__(self) -> str:
        parts = [f"model::{self.model}"]
        criteria = ["".join(map(str, self.filters))] if self.filters else []
        criteria += map(str, self.associations)
        if criteria:
            parts += ["rma::criteria", *criteria]
        if self.includes:
            parts += ["rma::include", *map(str, self.includes)]
        if options := str(self.options):
            parts.append(f"rma::options{options}")
        return ",".join(parts)


@dataclass(frozen=True, slots=True)
class PipeStage:
    """Stores something of the stage before: ``pipe::list[xname$eq'id']``."""

    name: str
    filters: tuple[Filter, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name)

    def __str__(self) -> str:
        return f"pipe::{self.name}{''.join(map(str, self.filters))}"


@dataclass(frozen=True, slots=True)
class ServiceStage:
    """Calls a computed service with parameters; a parameter may be repeated."""

    name: str
    parameters: tuple[Filter, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name)

    def __str__(self) -> str:
        return f"service::{self.name}{''.join(map(str, self.parameters))}"

    def with_page(self, start_row: int, num_rows: int) -> Self:
        """Return the stage asking for one page; services page by parameters of their own."""
        kept = [p for p in self.parameters if p.field not in {"start_row", "num_rows"}]
        page = {"start_row": start_row, "num_rows": num_rows}
        new = [Filter(name, "eq", (Word(str(value)),)) for name, value in page.items()]
        return replace(self, parameters=(*kept, *new))


Stage = ModelStage | PipeStage | ServiceStage


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query.

    Parameters
    ----------
    stages
        At least one; each answers with rows, a pipe stage excepted.
    parameters
        Parameters of the URL alone: ``query`` (free text), ``wrap``, ``filename``.

    Examples
    --------
    >>> from openallen.brainmap import parse
    >>> str(parse("model::ProjectionImage[specimen_id$eq'313862022']"))
    'model::ProjectionImage,rma::criteria,[specimen_id$eq313862022]'
    """

    stages: tuple[Stage, ...]
    parameters: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.stages:
            raise UsageError("a query needs a stage")

    @property
    def main(self) -> ModelStage | None:
        """The model stage whose rows are answered, where there is just one."""
        models = [stage for stage in self.stages if isinstance(stage, ModelStage)]
        last = self.stages[-1]
        return last if len(models) == 1 and isinstance(last, ModelStage) else None

    @property
    def options(self) -> Options:
        """The options of the last stage; none for a service."""
        last = self.stages[-1]
        return last.options if isinstance(last, ModelStage) else Options()

    def with_options(self, options: Options) -> Self:
        """Return the query with other options on its last stage.

        Raises
        ------
        UsageError
            If the last stage is not a model.
        """
        last = self.stages[-1]
        if not isinstance(last, ModelStage):
            raise UsageError("only a model has options", why=str(last))
        return replace(self, stages=(*self.stages[:-1], replace(last, options=options)))

    def with_page(self, start_row: int, num_rows: int) -> Self:
        """Return the query asking for one page."""
        last = self.stages[-1]
        if isinstance(last, ServiceStage):
            page = last.with_page(start_row, num_rows)
            return replace(self, stages=(*self.stages[:-1], page))
        return self.with_options(replace(self.options, start_row=start_row, num_rows=num_rows))

    def filters_without_operator(self) -> list[Filter]:
        """Return the filters that only ask whether a column is set.

        They are rarely meant: a shell that swallows ``$eq5`` out of a filter leaves one behind,
        and the service then answers with everything.
        """
        found: list[Filter] = []
        for stage in self.stages:
            if isinstance(stage, ModelStage):
                found += stage.filters
                for top in (*stage.associations, *stage.includes):
                    found += (f for association in top.walk() for f in association.filters)
        return [f for f in found if not f.op]

    def __str__(self) -> str:
        # A percent sign would read as the start of an escape: escape it, so that it does not.
        text = self.text().replace("%", "%25")
        return text + "".join(f"&{k}={_escaped(v)}" for k, v in self.parameters)

    def text(self) -> str:
        """Return the RMA text as the service reads it, nothing escaped."""
        return ",".join(map(str, self.stages))

    def url(self, base: str, format: Format = "json") -> str:  # noqa: A002 - RMA's own word
        """Return the URL that asks the service with base URL `base`, percent-encoded.

        Parameters
        ----------
        base
            For example ``https://api.brain-map.org``.
        format
            ``json``, ``xml`` or ``csv``.
        """
        pairs = (("criteria", self.text()), *self.parameters)
        encoded = "&".join(f"{name}={quote(text, safe=':,$*')}" for name, text in pairs)
        return f"{base}/api/v2/data/query.{format}?{encoded}"


def _escaped(text: str) -> str:
    for char in "%&'\"":
        text = text.replace(char, quote(char))
    return text


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a name")
