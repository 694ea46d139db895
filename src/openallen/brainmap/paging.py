"""Walking through the pages of a query, checking each against what was asked and announced.

A short page, a repeated page, a total that changes, a start row that is echoed differently from
what was asked: each has happened to somebody, and each would silently return wrong data.
"""

from __future__ import annotations

import warnings
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Literal

from openallen.brainmap.answers import Answer, Row
from openallen.brainmap.filter_check import check_rows
from openallen.brainmap.language import Query
from openallen.errors import AnswerError, ShortAnswerError, ShortAnswerWarning, UsageError

__all__ = ["Paging", "Short", "final"]

Short = Literal["error", "warn"]
"""What happens where the service announces more rows than it has."""

_IN_64_BITS: Final = range(-(1 << 63), 1 << 63)


class Paging:
    """One walk through the pages of a query.

    Parameters
    ----------
    ask
        Sends a query and returns the answer.
    query
        The query, with an order that makes pages fit together.
    base_url
        The service, for messages.
    key
        The column that identifies a row; empty where there is none.
    page_rows
        Rows asked for at a time.
    connections
        Pages asked for at once.
    short
        ``"error"`` raises `ShortAnswerError` where rows that were announced do not exist;
        ``"warn"`` yields the rows there are, then warns with `ShortAnswerWarning`.

    Raises
    ------
    UsageError
        For another value of `short`.
    """

    def __init__(
        self,
        ask: Callable[[Query], Answer],
        query: Query,
        *,
        base_url: str,
        key: str,
        page_rows: int,
        connections: int,
        short: Short = "error",
    ) -> None:
        if short not in {"error", "warn"}:
            raise UsageError(f"'{short}' is not a value of 'short'", hint='short="warn"')
        self._answer = ask
        self._query = query
        self._base_url = base_url
        self._key = key
        self._page_rows = page_rows
        self._connections = connections
        self._warns = short == "warn"
        self._start = query.options.start_row or 0
        wanted = query.options.num_rows
        self._most = wanted if isinstance(wanted, int) else None
        self._total: int | None = None
        self._keys = _Keys()
        self._before: list[Row] | None = None
        self._yielded = 0
        self._ended = False

    def pages(self) -> Iterator[list[Row]]:
        """Yield the rows, a page at a time, in order.

        Raises
        ------
        AnswerError
            If pages, counts or rows contradict what was asked.
        """
        if self._most == 0:
            return
        first = self._ask(self._start, self._rows_at(self._start))
        if first.is_object:
            yield first.rows
            return
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
        self._warn_if_short()

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
            yield from self._checked(rows)
            at += len(rows)
            if self._most is not None and at >= self._start + self._most:
                return
            rows = self._ask(at, self._rows_at(at)).rows

    def _rest(self, at: int) -> Iterator[list[Row]]:
        starts = list(range(at, self._end(), self._page_rows))
        ahead = self._connections
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
                    if self._ended:
                        return
            finally:
                for _, future in pending:
                    future.cancel()

    def _submit(self, pool: ThreadPoolExecutor, start: int) -> Future[Answer]:
        return pool.submit(self._ask, start, min(self._page_rows, self._end() - start))

    def _whole(self, answer: Answer, start: int) -> Iterator[list[Row]]:
        """Yield a page, and what is missing of it where the service sent fewer than asked."""
        stop, refill = min(start + self._page_rows, self._end()), False
        while True:
            yield from self._take(answer, start, refill=refill)
            start, refill = start + len(answer.rows), True
            if start >= stop or self._ended:
                return
            answer = self._ask(start, stop - start)

    def _ask(self, start: int, rows: int) -> Answer:
        answer = self._answer(self._query.with_page(start, rows))
        echoed, sent = answer.start_row, answer.num_rows
        if echoed is not None and echoed != start:
            raise self._wrong(
                f"asked for rows from {start:,}, answered from {echoed:,}",
                "the service did not understand start_row (it ignores startRow)",
            )
        if len(answer.rows) > rows:
            raise self._wrong(f"asked for {rows:,} rows, received {len(answer.rows):,}")
        if sent is not None and answer.total_rows is not None and sent != len(answer.rows):
            raise self._wrong(f"{sent:,} rows announced, {len(answer.rows):,} received")
        return answer

    def _take(self, answer: Answer, start: int, *, refill: bool = False) -> Iterator[list[Row]]:
        if answer.total_rows != self._total:
            raise self._wrong(
                f"the total changed from {self._total} to {answer.total_rows} between pages"
            )
        if answer.rows:
            yield from self._checked(answer.rows, refill=refill)
        elif start < self._end():
            self._end_early(start)

    def _end_early(self, start: int) -> None:
        """Accept an empty page as the end of the rows, if that is allowed and true."""
        last = self._end() - 1
        what = f"an empty page at row {start:,} of {self._end():,}"
        # A page that is empty in the middle is another matter: rows would be left out.
        if self._warns and self._ask(last, 1).rows:
            raise self._wrong(what, "there are rows behind it")
        if not self._warns:
            raise self._short(what, "the service announces more rows than it has")
        self._ended = True

    def _warn_if_short(self) -> None:
        announced = self._end() - self._start
        if self._warns and self._yielded < announced:
            url = self._query.url(self._base_url)
            warnings.warn(
                f"{url}: {announced:,} rows announced, {self._yielded:,} received",
                ShortAnswerWarning,
                stacklevel=3,
            )

    def _checked(self, rows: list[Row], *, refill: bool = False) -> Iterator[list[Row]]:
        fresh, again = self._fresh(rows)
        # A service that counts a row once for each row it is joined with sends it once for each
        # page it is on: with short="warn" the first is enough. A page of nothing new is an error.
        acceptable = again is not None and bool(fresh or refill) and rows != self._before
        which = f"{self._key} {again}" if again else ""
        if acceptable and not self._warns:
            raise self._short("rows came twice", which)
        if rows == self._before or (again is not None and not acceptable):
            raise self._wrong("rows came twice", which)
        self._before = rows
        self._yielded += len(fresh)
        main = self._query.main
        if main is not None:
            check_rows(fresh, main, self._query.url(self._base_url))
        if fresh:
            yield fresh

    def _fresh(self, rows: list[Row]) -> tuple[list[Row], object]:
        """Return the rows that did not come before, and the key of the first that did."""
        fresh: list[Row] = []
        again: object = None
        for row in rows:
            key = row.get(self._key)
            if key is None or self._keys.add(key):
                fresh.append(row)
            elif again is None:
                again = key
        return fresh, again

    def _short(self, what: str, why: str) -> AnswerError:
        """Return an error that ``short="warn"`` would accept, and that says so."""
        error = self._wrong(what, why, ShortAnswerError)
        error.hint = 'rows(short="warn")'
        return error

    def _wrong(
        self, what: str, why: str = "", kind: type[AnswerError] = AnswerError
    ) -> AnswerError:
        return final(what, self._query, self._base_url, why, kind)


class _Keys:
    """Keys of the rows that came: eight bytes each as long as they ascend.

    Rows of pages are forgotten as soon as they are handed on; this is all that stays of them.
    """

    def __init__(self) -> None:
        self._ascending = array("q")
        self._others: set[Any] = set()

    def add(self, key: Any) -> bool:
        """Add a key; return whether it is new."""
        known = self._ascending
        if type(key) is int and key in _IN_64_BITS:
            if not known or key > known[-1]:
                known.append(key)
                return True
            if known[bisect_left(known, key)] == key:
                return False
        if key in self._others:
            return False
        self._others.add(key)
        return True


def final(
    what: str,
    query: Query,
    base_url: str,
    why: str = "",
    kind: type[AnswerError] = AnswerError,
) -> AnswerError:
    """Return an error that asking again would not help against."""
    error = kind(what, address=query.url(base_url), why=why)
    error.retryable = False
    return error
