"""The client of brain-map.org: sends queries, tries again where that may help, streams rows."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from openallen.brainmap.answers import FEWER, Answer, Row, read_answer
from openallen.brainmap.language import Format, ModelStage, Order, Query, ServiceStage
from openallen.brainmap.paging import Paging, Short, final
from openallen.brainmap.schema import schema
from openallen.errors import (
    AnswerError,
    NotFoundError,
    OfflineError,
    StalledError,
    UnreachableError,
)
from openallen.transport import Http, Retry

__all__ = ["LIVE_URL", "PAGE_ROWS", "Client", "connect"]

LIVE_URL: Final = "https://api.brain-map.org"
PAGE_ROWS: Final = 2000
"""Rows asked for at a time: the lowest limit reported of the service."""
_ANSWER_BYTES: Final = 128 << 20
"""Rows take some twenty times the memory of their text at worst."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """A client of one service.

    Parameters
    ----------
    http
        Sends the requests.
    base_url
        The service, without a slash at the end.
    source
        Its name: ``live``, ``sample``, its URL, or the path of its folder.
    typed
        How a person called it, for commands in hints; as `source` where empty.
    retry
        When to try again.
    connections
        Pages requested at once.
    notes
        What an archive says about itself; empty for the live service.
    simulated
        Whether its pixels are simulated.
    """

    http: Http
    base_url: str = LIVE_URL
    source: str = "live"
    typed: str = ""
    retry: Retry = field(default_factory=Retry)
    connections: int = 8
    notes: tuple[str, ...] = ()
    simulated: bool = False

    @property
    def source_option(self) -> str:
        """The option that names the source on the command line, with a blank before it."""
        return (
            "" if self.source == "live" else f" --source {shlex.quote(self.typed or self.source)}"
        )

    def answer(self, query: Query, format: Format = "json") -> Answer:  # noqa: A002
        """Return the answer to the query as it stands; try again where that may help.

        Raises
        ------
        AnswerError
            If the answer is of the wrong kind, failed, or contradicts itself.
        ServiceError
            If the service cannot be reached.
        """
        url = query.url(self.base_url, format)
        last = query.stages[-1]
        model = last.model if isinstance(last, ModelStage) else ""
        try:
            return self.retry.run(
                lambda: read_answer(self._body(url), format, url=url, model=model)
            )
        except AnswerError as error:
            error.hint = error.hint or _meant(query)
            raise

    def raw(self, query: Query, format: Format) -> bytes:  # noqa: A002
        """Return an answer as it came, once it reads as an answer of that format.

        Raises
        ------
        AnswerError, ServiceError
            As `answer` does.
        """
        url = query.url(self.base_url, format)

        def ask() -> bytes:
            body = self._body(url)
            read_answer(body, format, url=url)
            return body

        return self.retry.run(ask)

    def _body(self, url: str) -> bytes:
        with self.http.get(url, compressed=True) as response:
            try:
                return response.read(_ANSWER_BYTES)
            except AnswerError as error:
                error.hint = error.hint or (FEWER if "too large" in error.what else "")
                raise

    def rows(
        self, query: Query, limit: int | None = None, *, short: Short = "error"
    ) -> Iterator[Row]:
        """Return an iterator over every row the query asks for, or the first `limit`, in order.

        Pages are requested as their rows are wanted: the first alone, the others in parallel once
        it has told the total. A query without ``num_rows`` means all rows (the service itself
        would return 50). An answer that is one object instead of rows is yielded as one row.

        Parameters
        ----------
        query
            What to ask.
        limit
            Rows at most.
        short
            Where the service announces more rows than it has: ``"error"`` raises, ``"warn"``
            yields the rows there are and warns with `ShortAnswerWarning`.

        Raises
        ------
        AnswerError
            If pages, counts or rows contradict what was asked.
        ShortAnswerError
            If rows that were announced do not exist, unless `short` is ``"warn"``.
        """
        if limit is not None:
            own = query.options.num_rows
            bound = limit if not isinstance(own, int) else min(limit, own)
            if isinstance(query.stages[-1], ModelStage):
                query = query.with_options(replace(query.options, num_rows=bound))
        rows = (row for page in self.pages(query, short=short) for row in page)
        return rows if limit is None else islice(rows, limit)

    def count(self, query: Query) -> int:
        """Return how many rows there are, as the service counts them, without fetching them.

        Raises
        ------
        AnswerError
            If the service does not say.
        """
        asked = query.with_page(query.options.start_row or 0, 1)
        if isinstance(asked.stages[-1], ModelStage):
            asked = asked.with_options(replace(asked.options, count=None))
        answer = self.answer(asked)
        if answer.is_object:
            return 1
        if answer.total_rows is None:
            raise final("the answer has no total", query, self.base_url)
        return answer.total_rows

    def pages(
        self, query: Query, page_rows: int = PAGE_ROWS, *, short: Short = "error"
    ) -> Iterator[list[Row]]:
        """Return an iterator over the rows the query asks for, a page at a time, in order.

        Parameters
        ----------
        query
            Its own ``start_row`` and ``num_rows`` bound what is returned.
        page_rows
            Rows requested at a time; a service that sends fewer is followed.
        short
            As for `rows`.

        Raises
        ------
        AnswerError, ShortAnswerError
            As `rows` does.
        """
        models = sum(isinstance(stage, ModelStage) for stage in query.stages)
        if models > 1:
            # Several models answer in one list; the service cannot page through it.
            return (self.answer(each).rows for each in (query,))
        query, key = _ordered(query)
        return Paging(
            self.answer,
            query,
            base_url=self.base_url,
            key=key,
            page_rows=page_rows,
            connections=self.connections,
            short=short,
        ).pages()


def connect(
    http: Http,
    base_url: str,
    source: str,
    *,
    typed: str = "",
    retry: Retry | None = None,
    connections: int = 8,
) -> Client:
    """Return a client that knows what an archive says about itself; the live service is not asked.

    Raises
    ------
    ServiceError
        If an archive does not answer.
    """
    client = Client(
        http=http,
        base_url=base_url.rstrip("/"),
        source=source,
        typed=typed,
        retry=retry or Retry(),
        connections=connections,
    )
    if source == "live":
        return client
    try:
        about = client.retry.run(lambda: _about(client))
    except NotFoundError:
        return client  # a service of another kind, without a description
    except (UnreachableError, StalledError, OfflineError):
        return client  # what is here already needs no service; whatever else is asked will say so
    notes = tuple(str(note) for note in about.get("notes", ()))
    return replace(client, notes=notes, simulated=about.get("simulated_pixels") is True)


def _about(client: Client) -> dict[str, Any]:
    import msgspec

    with client.http.get(f"{client.base_url}/openallen/about.json") as response:
        body = response.read(1 << 20)
    try:
        about = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _ordered(query: Query) -> tuple[Query, str]:
    """Return the query with an order that makes pages fit together, and the column it is by."""
    last = query.stages[-1]
    if isinstance(last, ServiceStage) or not isinstance(last, ModelStage) or last.options.tabular:
        return query, ""
    known = schema().get(last.model)
    names = list(known.fields) if known else ["id"]
    key = next((n for n in ("id", "specimen__id", "cell_specimen_id") if n in names), "")
    if last.options.order or not key:
        return query, key
    order = Order(f"{known.table}.{key}" if known else key)
    return query.with_options(replace(last.options, order=(order,))), key


def _meant(query: Query) -> str:
    """Return the names that were likely meant, where the query has some that are not known."""
    main, known = query.main, schema()
    if main is None:
        return ""
    if known.get(main.model) is None:
        return known.meant(main.model)
    names = [f.field for f in main.filters] + [o.field for o in main.options.order]
    stems = (name.rpartition(".")[2].partition("__")[0] for name in names)
    return ", ".join(dict.fromkeys(filter(None, (known.field_meant(main.model, n) for n in stems))))
