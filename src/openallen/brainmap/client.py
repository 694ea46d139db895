"""Asking brain-map.org for rows, page by page, trusting nothing.

A short page, a repeated page, a total that changes, a start row that is echoed differently from
what was asked: each has happened to somebody, and each would silently give wrong data.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from openallen.brainmap.answers import Answer, Row, read_answer
from openallen.brainmap.filter_check import check_rows
from openallen.brainmap.language import Format, ModelStage, Order, Query, ServiceStage
from openallen.brainmap.schema import schema
from openallen.errors import AnswerError, NotFoundError
from openallen.transport import Http, Retry

__all__ = ["LIVE_URL", "PAGE_ROWS", "Client", "connect"]

LIVE_URL: Final = "https://api.brain-map.org"
PAGE_ROWS: Final = 2000
"""Rows asked for at a time: the least cap any source tells of."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """Asks one service.

    Parameters
    ----------
    http
        Who carries the requests.
    base_url
        The service, without a slash at the end.
    source
        What people call it: ``live``, ``sample``, or its URL.
    retry
        When to ask again.
    connections
        Pages asked for at once.
    notes
        What the service says of itself, where it is an archive.
    simulated
        Whether it says that it draws pixels itself.
    """

    http: Http
    base_url: str = LIVE_URL
    source: str = "live"
    retry: Retry = field(default_factory=Retry)
    connections: int = 8
    notes: tuple[str, ...] = ()
    simulated: bool = False

    def answer(self, query: Query, format: Format = "json") -> Answer:  # noqa: A002
        """Ask once, as the query stands; tries again where that may help.

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
        """Give an answer as it came, after reading it to see that it is one."""
        url = query.url(self.base_url, format)

        def ask() -> bytes:
            body = self._body(url)
            read_answer(body, format, url=url)
            return body

        return self.retry.run(ask)

    def _body(self, url: str) -> bytes:
        with self.http.get(url, compressed=True) as response:
            return response.read()

    def rows(self, query: Query, limit: int | None = None) -> Iterator[Row]:
        """Give every row the query asks for, or the first `limit`, in order.

        A query that says no number of rows means all of them (asking the service itself, it
        means 50). Pages are asked for in parallel once the first has told the total.

        Raises
        ------
        AnswerError
            If pages, counts or rows contradict what was asked.
        """
        if limit is not None:
            told = query.options.num_rows
            bound = limit if not isinstance(told, int) else min(limit, told)
            if isinstance(query.stages[-1], ModelStage):
                query = query.with_options(replace(query.options, num_rows=bound))
        rows = (row for page in self.pages(query) for row in page)
        return rows if limit is None else islice(rows, limit)

    def count(self, query: Query) -> int:
        """Ask how many rows there are, without fetching them.

        Raises
        ------
        AnswerError
            If the service does not tell.
        """
        asked = query.with_page(query.options.start_row or 0, 1)
        if isinstance(asked.stages[-1], ModelStage):
            asked = asked.with_options(replace(asked.options, count=None))
        total = self.answer(asked).total_rows
        if total is None:
            raise _final("the service tells no total", query, self.base_url)
        return total

    def pages(self, query: Query, page_rows: int = PAGE_ROWS) -> Iterator[list[Row]]:
        """Give the rows the query asks for a page at a time, in order.

        Parameters
        ----------
        query
            Its own ``start_row`` and ``num_rows`` bound what is given.
        page_rows
            Rows asked for at a time; a service that sends fewer is followed.

        Raises
        ------
        AnswerError
            As `rows` does.
        """
        models = sum(isinstance(stage, ModelStage) for stage in query.stages)
        if models > 1:
            # Several models answer in one list; the service cannot page through it.
            yield self.answer(query).rows
            return
        query, key = _ordered(query)
        yield from _Paging(self, query, key, page_rows).pages()


def connect(
    http: Http, base_url: str, source: str, *, retry: Retry | None = None, connections: int = 8
) -> Client:
    """Make a client, and ask an archive what it says of itself; the live service is not asked.

    Raises
    ------
    ServiceError
        If an archive does not answer.
    """
    client = Client(
        http=http,
        base_url=base_url.rstrip("/"),
        source=source,
        retry=retry or Retry(),
        connections=connections,
    )
    if source == "live":
        return client
    try:
        about = client.retry.run(lambda: _about(client))
    except NotFoundError:
        return client  # a service of another kind; it says nothing of itself
    notes = tuple(str(note) for note in about.get("notes", ()))
    return replace(client, notes=notes, simulated=about.get("simulated_pixels") is True)


def _about(client: Client) -> dict[str, Any]:
    import msgspec

    with client.http.get(f"{client.base_url}/openallen/about.json") as response:
        body = response.read(1 << 20)
    try:
        about = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return about if isinstance(about, dict) else {}


class _Paging:
    """One walk through the pages of a query."""

    def __init__(self, client: Client, query: Query, key: str, page_rows: int) -> None:
        self._client = client
        self._query = query
        self._key = key
        self._page_rows = page_rows
        self._start = query.options.start_row or 0
        wanted = query.options.num_rows
        self._most = wanted if isinstance(wanted, int) else None
        self._total: int | None = None
        self._seen: set[object] = set()
        self._before: list[Row] | None = None

    def pages(self) -> Iterator[list[Row]]:
        if self._most == 0:
            return
        first = self._ask(self._start, self._rows_at(self._start))
        self._total = None if self._query.options.count is False else first.total_rows
        if self._total is None:
            yield from self._until_empty(first.rows)
            return
        yield from self._take(first, self._start)
        at = self._start + len(first.rows)
        if first.rows and at < self._end():
            # Fewer than asked: the service has a cap of its own, and pages are of that size.
            self._page_rows = min(self._page_rows, len(first.rows))
            yield from self._rest(at)

    def _end(self) -> int:
        total = self._total or 0
        return total if self._most is None else min(total, self._start + self._most)

    def _rows_at(self, at: int) -> int:
        if self._most is None:
            return self._page_rows
        return min(self._page_rows, self._start + self._most - at)

    def _until_empty(self, rows: list[Row]) -> Iterator[list[Row]]:
        """Without a total the only end is a page with nothing on it."""
        at = self._start
        while rows:
            yield self._checked(rows)
            at += len(rows)
            if self._most is not None and at >= self._start + self._most:
                return
            rows = self._ask(at, self._rows_at(at)).rows

    def _rest(self, at: int) -> Iterator[list[Row]]:
        starts = list(range(at, self._end(), self._page_rows))
        ahead = self._client.connections
        with ThreadPoolExecutor(ahead, thread_name_prefix="pages") as pool:
            pending: list[tuple[int, Future[Answer]]] = []
            try:
                pending.extend((start, self._submit(pool, start)) for start in starts[:ahead])
                for index in range(len(starts)):
                    start, future = pending.pop(0)
                    answer = future.result()
                    if index + ahead < len(starts):
                        following = starts[index + ahead]
                        pending.append((following, self._submit(pool, following)))
                    yield from self._whole(answer, start)
            finally:
                for _, future in pending:
                    future.cancel()

    def _submit(self, pool: ThreadPoolExecutor, start: int) -> Future[Answer]:
        return pool.submit(self._ask, start, min(self._page_rows, self._end() - start))

    def _whole(self, answer: Answer, start: int) -> Iterator[list[Row]]:
        """Give a page, and what is missing of it where the service sent fewer than asked."""
        stop = min(start + self._page_rows, self._end())
        while True:
            yield from self._take(answer, start)
            start += len(answer.rows)
            if start >= stop:
                return
            answer = self._ask(start, stop - start)

    def _ask(self, start: int, rows: int) -> Answer:
        answer = self._client.answer(self._query.with_page(start, rows))
        echoed, sent = answer.start_row, answer.num_rows
        if echoed is not None and echoed != start:
            raise self._wrong(
                f"asked for rows from {start:,}, answered from {echoed:,}",
                "the service did not understand start_row (it ignores startRow)",
            )
        if len(answer.rows) > rows:
            raise self._wrong(f"asked for {rows:,} rows, got {len(answer.rows):,}")
        if sent is not None and answer.total_rows is not None and sent != len(answer.rows):
            raise self._wrong(f"{sent:,} rows announced, {len(answer.rows):,} came")
        return answer

    def _take(self, answer: Answer, start: int) -> Iterator[list[Row]]:
        if answer.total_rows != self._total:
            raise self._wrong(f"{self._total} rows in all became {answer.total_rows} on the way")
        if not answer.rows and start < self._end():
            raise self._wrong(f"an empty page at row {start:,} of {self._end():,}")
        if answer.rows:
            yield self._checked(answer.rows)

    def _checked(self, rows: list[Row]) -> list[Row]:
        keys = [row[self._key] for row in rows if self._key in row]
        repeated = next((key for key in keys if key in self._seen), None)
        self._seen.update(keys)
        if repeated is not None or len(set(keys)) != len(keys) or rows == self._before:
            raise self._wrong("rows came twice", f"{self._key} {repeated}" if repeated else "")
        self._before = rows
        main = self._query.main
        if main is not None:
            check_rows(rows, main, self._query.url(self._client.base_url))
        return rows

    def _wrong(self, what: str, why: str = "") -> AnswerError:
        return _final(what, self._query, self._client.base_url, why)


def _ordered(query: Query) -> tuple[Query, str]:
    """Give the query with an order that makes pages fit together, and the column it is by."""
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
    """Give the names that were likely meant, where the query has some that are not known."""
    main, known = query.main, schema()
    if main is None:
        return ""
    if known.get(main.model) is None:
        return known.meant(main.model)
    names = [f.field for f in main.filters] + [o.field for o in main.options.order]
    stems = (name.rpartition(".")[2].partition("__")[0] for name in names)
    return ", ".join(dict.fromkeys(filter(None, (known.field_meant(main.model, n) for n in stems))))


def _final(what: str, query: Query, base_url: str, why: str = "") -> AnswerError:
    error = AnswerError(what, address=query.url(base_url), why=why)
    error.retryable = False  # asked again it would say the same
    return error
