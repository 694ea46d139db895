"""Parsing RMA: whole URLs or bare text, with the variants found in real queries.

Beside the canonical form these are read: filters right behind the model, a missing or an extra
comma, options before includes, criteria in two pieces, blanks and line breaks, ``+`` for a blank
in URLs, percent-encoding in part, the model named in the path, options as URL parameters (twice,
too), quotes where none are needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Final

from openallen.brainmap.language import (
    NAME,
    OPERATORS,
    Association,
    Column,
    Filter,
    ModelStage,
    Options,
    Order,
    PipeStage,
    Query,
    Reference,
    ServiceStage,
    Stage,
    Value,
    Variable,
    Word,
)
from openallen.brainmap.urls import Request, read_request
from openallen.errors import QueryError, UsageError

__all__ = ["parse"]

_DEEPEST: Final = 40
_LONGEST: Final = 1_000_000
_REFERENCE: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", re.ASCII)
_HEAD: Final = re.compile(r"(model|rma|pipe|service)\s*::\s*([A-Za-z_]\w*)", re.ASCII)
_QUOTES: Final = "in a shell, put RMA in single quotes: an unquoted $eq is a variable"


def parse(text_or_url: str) -> Query:
    """Read an RMA query from its text or from a whole request URL.

    Parameters
    ----------
    text_or_url
        ``model::X,rma::criteria,…``, or a URL of brain-map.org (any host, ``criteria=`` or
        ``q=``, ``/data/X/query.json``, ``/data/X/5.json``).

    Raises
    ------
    QueryError
        With the position in `text_or_url` where reading stopped, and a caret below it.
    UsageError
        For a URL that asks for something else than rows (an image, a file, a schema).
    """
    if len(text_or_url) > _LONGEST:
        raise UsageError("the query is too long", why=f"{len(text_or_url):,} characters")
    request = read_request(text_or_url)
    reader = _Reader(request)
    query = reader.query()
    if request.row_id:
        by_id = Filter("id", "eq", (Word(request.row_id),))
        main = query.stages[0]
        if isinstance(main, ModelStage):
            query = replace(query, stages=(replace(main, filters=(by_id, *main.filters)),))
    return query


@dataclass
class _Draft:
    """A model stage being read."""

    model: str
    filters: list[Filter] = field(default_factory=list)
    associations: list[Association] = field(default_factory=list)
    includes: list[Association] = field(default_factory=list)
    options: Options = field(default_factory=Options)

    def done(self) -> ModelStage:
        return ModelStage(
            self.model,
            tuple(self.filters),
            tuple(self.associations),
            tuple(self.includes),
            self.options,
        )


class _Reader:
    def __init__(self, request: Request) -> None:
        self._request = request
        self._text = request.criteria.text
        self._at = 0
        self._place = request.criteria.place
        self._stages: list[Stage] = []
        self._draft = _Draft(request.model) if request.model else None

    # --- the query as a whole -------------------------------------------------------------------

    def query(self) -> Query:
        self._blanks(plus=True)
        if self._draft is not None:
            self._criteria(self._draft)
        while not self._ended():
            self._stage()
        self._close()
        if not self._stages:
            raise self._wrong("expected a query", hint="model::ProjectionImage")
        self._url_options()
        return Query(tuple(self._stages), tuple(self._request.others))

    def _stage(self) -> None:
        head = _HEAD.match(self._text, self._at)
        if head is None:
            raise self._wrong(
                "expected model::, rma::, pipe:: or service::", hint="model::ProjectionImage"
            )
        kind, name, start = head[1], head[2], self._at
        self._at = head.end()
        if kind == "rma":
            self._clause(name, start)
        elif kind == "model":
            self._model(name)
        else:
            self._close()
            filters = tuple(self._filters())
            self._stages.append(
                PipeStage(name, filters) if kind == "pipe" else ServiceStage(name, filters)
            )
        self._separator()

    def _model(self, name: str) -> None:
        if not self._stages and name == self._request.model and self._draft == _Draft(name):
            return  # named in the path and in the text: once is enough
        self._close()
        self._draft = _Draft(name)
        self._criteria(self._draft)

    def _clause(self, name: str, start: int) -> None:
        if self._draft is None:
            raise self._wrong(f"rma::{name} without a model before it", at=start)
        if name == "criteria":
            self._separator()
            self._criteria(self._draft)
        elif name == "include":
            self._separator()
            self._includes(self._draft)
        elif name == "options":
            self._separator()
            self._options(self._draft)
        else:
            near = get_close_matches(name, ("criteria", "include", "options"), 1)
            raise self._wrong(
                f"unknown rma::{name}", at=start, hint=f"rma::{near[0] if near else 'criteria'}"
            )

    def _close(self) -> None:
        if self._draft is not None:
            self._stages.append(self._draft.done())
            self._draft = None

    # --- criteria and includes ------------------------------------------------------------------

    def _criteria(self, draft: _Draft) -> None:
        filters, associations = self._list(0)
        draft.filters += filters
        draft.associations += associations

    def _includes(self, draft: _Draft) -> None:
        start = self._at
        filters, associations = self._list(0)
        if filters:
            raise self._wrong("expected an association to include, not a filter", at=start)
        draft.includes += associations

    def _list(self, depth: int) -> tuple[list[Filter], list[Association]]:
        """Read filters and associations up to a stage head, a closing bracket or the end."""
        if depth > _DEEPEST:
            raise self._wrong(f"nested deeper than {_DEEPEST}")
        filters: list[Filter] = []
        associations: list[Association] = []
        while True:
            self._separator()
            if self._ended() or self._peek() == ")" or _HEAD.match(self._text, self._at):
                return filters, associations
            if self._peek() == "[":
                filters += self._filters()
            elif NAME.match(self._text, self._at):
                associations.append(self._association(depth))
                self._between()
            else:
                raise self._wrong("expected a filter, an association or a stage")

    def _association(self, depth: int) -> Association:
        name = self._name("the name of an association")
        filters = self._filters()
        children: list[Association] = []
        self._blanks()
        if self._peek() == "(":
            opened = self._at
            self._at += 1
            inner, children = self._list(depth + 1)
            if self._peek() != ")":
                raise self._wrong("'(' is never closed", at=opened, hint="add ')'")
            self._at += 1
            filters = [*filters, *inner, *self._filters()]
        return Association(name, tuple(filters), tuple(children))

    def _between(self) -> None:
        """After an association a comma, a closing bracket or the end has to come."""
        self._blanks()
        if not self._ended() and self._peek() not in ",)":
            raise self._wrong("expected a comma")

    # --- filters --------------------------------------------------------------------------------

    def _filters(self) -> list[Filter]:
        found: list[Filter] = []
        self._blanks()
        while self._peek() == "[":
            found.append(self._filter())
            self._blanks()
        return found

    def _filter(self) -> Filter:
        opened = self._at
        self._at += 1
        self._blanks()
        name = self._name("the name of a column")
        while self._peek() == ".":
            self._at += 1
            name += "." + self._name("the name of a column")
        self._blanks()
        if self._peek() == "]":
            self._at += 1
            return Filter(name)
        op = self._operator(opened)
        values = self._values(opened)
        return Filter(name, op, tuple(values))

    def _operator(self, opened: int) -> str:
        if self._ended():
            raise self._wrong("'[' is never closed", at=opened, hint="add ']'")
        if self._peek() != "$":
            raise self._wrong("expected an operator ($eq, $in, …) or ']'", hint=_QUOTES)
        op = self._text[self._at + 1 : self._at + 3]
        if op not in OPERATORS:
            raise self._wrong(
                f"unknown operator '${op}'", hint="one of " + " ".join(f"${o}" for o in OPERATORS)
            )
        self._at += 3
        return op

    def _values(self, opened: int) -> list[Value]:
        values: list[Value] = []
        while True:
            values.append(self._value(opened))
            self._blanks()
            mark = self._peek()
            if mark == "]":
                self._at += 1
                return values
            if mark != ",":
                raise self._wrong("expected ',' or ']'")
            self._at += 1

    def _value(self, opened: int) -> Value:
        self._blanks()
        if self._peek() in {"'", '"'}:
            return self._quoted()
        start = self._at
        while not self._ended() and self._text[self._at] not in ",]['\"":
            self._at += 1
        if self._ended():
            raise self._wrong("'[' is never closed", at=opened, hint="add ']'")
        text = self._text[start : self._at].strip()
        if not text:
            raise self._wrong("expected a value", at=start, hint="quote an empty one: ''")
        if text.startswith("$") and NAME.fullmatch(text, 1):
            return Variable(text[1:])
        return Reference(text) if _REFERENCE.fullmatch(text) else Word(text)

    def _quoted(self) -> Word:
        start = self._at
        stop = self._text.find(self._text[start], start + 1)
        if stop < 0:
            raise self._wrong("quote is never closed", at=start, hint="add a quote")
        self._at = stop + 1
        text = self._text[start + 1 : stop]
        if "'" in text:
            raise self._wrong("RMA cannot contain a single quote", at=start + 1 + text.index("'"))
        return Word(text)

    # --- options --------------------------------------------------------------------------------

    def _options(self, draft: _Draft) -> None:
        while True:
            self._separator()
            if self._peek() != "[":
                return
            start = self._at
            option = self._filter()
            if option.op not in {"eq", "is"}:
                raise self._wrong("options are set with $eq", at=start, hint=_QUOTES)
            texts = [v.text if isinstance(v, Word) else str(v) for v in option.values]
            draft.options = self._set(draft.options, option.field, texts, start)

    def _url_options(self) -> None:
        """Set the options of the URL; those in the text go before them."""
        last = self._stages[-1]
        if not (self._request.options or self._request.include.text):
            return
        if isinstance(last, ServiceStage):
            more = (Filter(n, "eq", (Word(t),)) for n, t in self._request.options)
            self._stages[-1] = replace(last, parameters=(*last.parameters, *more))
            return
        if not isinstance(last, ModelStage):
            raise self._wrong("a pipe has no options")
        set_in_text = {name for name, _ in last.options.items()}
        options, at = last.options, len(self._text)
        for name, text in self._request.options:
            if name not in set_in_text:
                options = self._set(options, name, [text], at)
        draft = _Draft(last.model, includes=list(last.includes), options=options)
        self._text, self._place = self._request.include.text, self._request.include.place
        self._at = 0
        self._includes(draft)
        if not self._ended():
            raise self._wrong("expected an association to include")
        self._stages[-1] = replace(last, includes=tuple(draft.includes), options=options)

    def _set(self, options: Options, name: str, texts: list[str], at: int) -> Options:
        change = _OPTIONS.get(name)
        try:
            if change is None:
                return replace(options, others=(*options.others, (name, ",".join(texts))))
            return change(options, [part.strip() for text in texts for part in text.split(",")])
        except ValueError as error:
            raise self._wrong(f"option '{name}': {error}", at=at) from None

    # --- characters -----------------------------------------------------------------------------

    def _ended(self) -> bool:
        return self._at >= len(self._text)

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _blanks(self, *, plus: bool = False) -> None:
        blank = " \t\r\n+" if plus else " \t\r\n"
        while not self._ended() and self._text[self._at] in blank:
            self._at += 1

    def _separator(self) -> None:
        self._blanks(plus=True)
        while self._peek() == ",":
            self._at += 1
            self._blanks(plus=True)

    def _name(self, what: str) -> str:
        match = NAME.match(self._text, self._at)
        if match is None:
            raise self._wrong(f"expected {what}")
        self._at = match.end()
        return match[0]

    def _wrong(self, what: str, *, at: int | None = None, hint: str = "") -> QueryError:
        position = self._place(self._at if at is None else at)
        return QueryError(what, text=self._request.original, position=position, hint=hint)


def _names(parts: Iterable[str]) -> tuple[str, ...]:
    names = tuple(part for part in parts if part)
    for name in names:
        if not re.fullmatch(r"[\w.*]+", name):
            raise ValueError(f"'{name}' is not a column")
    return names


def _tabular(options: Options, parts: list[str]) -> Options:
    columns: list[Column] = []
    distinct = False
    for part in parts:
        words = re.split(r"[\s+]+", part.strip("+ "))
        if words[0].lower() == "distinct":
            distinct, words = True, words[1:]
        if len(words) not in {1, 3} or (len(words) == 3 and words[1].lower() != "as"):
            raise ValueError(f"'{part}' is not a column")
        _names((words[0], *words[2:]))
        columns.append(Column(words[0], words[2] if len(words) == 3 else ""))
    return replace(options, tabular=tuple(columns), distinct=distinct)


def _order(options: Options, parts: list[str]) -> Options:
    orders: list[Order] = []
    for part in parts:
        match = re.fullmatch(r"([\w.]+?)(?:(?:\$|[\s+]+)(asc|desc))?", part, re.IGNORECASE)
        if match is None:
            raise ValueError(f"'{part}' is not a sort key")
        orders.append(Order(match[1], (match[2] or "").lower() == "desc"))
    return replace(options, order=tuple(orders))


def _rows(options: Options, parts: list[str]) -> Options:
    if parts == ["all"]:
        return replace(options, num_rows="all")
    return replace(options, num_rows=_whole(parts))


def _whole(parts: list[str]) -> int:
    text = "".join(parts)
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"'{text}' is not a number of rows")
    return int(text)


def _yes(parts: list[str]) -> bool:
    words = {"true": True, "t": True, "false": False, "f": False}
    if parts[0].lower() not in words:
        raise ValueError(f"'{parts[0]}' is neither true nor false")
    return words[parts[0].lower()]


_OPTIONS: dict[str, Callable[[Options, list[str]], Options]] = {
    "only": lambda o, parts: replace(o, only=_names(parts)),
    "except": lambda o, parts: replace(o, exclude=_names(parts)),
    "tabular": _tabular,
    "order": _order,
    "num_rows": _rows,
    "start_row": lambda o, parts: replace(o, start_row=_whole(parts)),
    "count": lambda o, parts: replace(o, count=_yes(parts)),
}
