"""Services that announce more than they have, answer with one object, or are left half way."""

from __future__ import annotations

import json
import re
import tracemalloc
import warnings
from contextlib import contextmanager
from urllib.parse import unquote

import pytest
from loopback import Reply, Request

from openallen.brainmap import Client, Search, parse
from openallen.brainmap.answers import read_answer
from openallen.errors import AnswerError, ShortAnswerError, ShortAnswerWarning, UsageError
from openallen.transport import Http, Retry

QUERY = "/api/v2/data/query.json"
EVERYTHING = parse("model::SubImage")


class Service:
    """Pages through ids the way brain-map.org does; `announced` may be more than there are."""

    def __init__(self, ids: list[int], announced: int, cap: int = 10**9) -> None:
        self.ids = ids
        self.announced = announced
        self.cap = cap
        self.asked: list[tuple[int, int]] = []

    def page(self, start: int, count: int) -> list[dict]:
        return [{"id": i} for i in self.ids[start : start + min(count, self.cap)]]

    def __call__(self, q: Request, r: Reply) -> None:
        text = unquote(q.target)
        start = int((re.search(r"start_row\$eq(\d+)", text) or [0, 0])[1])
        count = int((re.search(r"num_rows\$eq(\d+)", text) or [0, 50])[1])
        self.asked.append((start, count))
        page = self.page(start, count)
        envelope = {"success": True, "id": 0, "start_row": start, "num_rows": len(page),
                    "total_rows": self.announced, "msg": page}  # fmt: skip
        r.send(json.dumps(envelope).encode())


class Joined(Service):
    """Counts and pages over joined rows, and sends each row once a page."""

    def page(self, start: int, count: int) -> list[dict]:
        return [{"id": i} for i in dict.fromkeys(self.ids[start : start + count])]


class Holed(Service):
    """Has nothing on one page in the middle."""

    def page(self, start: int, count: int) -> list[dict]:
        return [] if start == 2000 else super().page(start, count)


@pytest.fixture
def ask(loopback):
    """Return a client of a service that answers queries for rows."""
    https: list[Http] = []

    def make(handler) -> Client:
        server = loopback({QUERY: handler})
        https.append(Http(silence_timeout_s=5))
        return Client(http=https[-1], base_url=server.url, source="test", retry=Retry(attempts=1))

    yield make
    for http in https:
        http.close()


@pytest.mark.parametrize("cap", [10**9, 300], ids=["whole pages", "small pages"])
def test_rows_that_do_not_exist_are_an_error_unless_accepted(ask, cap):
    client = ask(Service(list(range(5000)), announced=5020, cap=cap))
    with pytest.raises(ShortAnswerError, match=r"an empty page at row 5,000 of 5,020") as caught:
        list(client.rows(EVERYTHING))
    assert "announces more rows than it has" in caught.value.why
    assert 'short="warn"' in caught.value.hint
    with pytest.warns(ShortAnswerWarning, match="5,020 rows announced, 5,000 received"):
        rows = list(client.rows(EVERYTHING, short="warn"))
    assert [row["id"] for row in rows] == list(range(5000))


def test_joined_rows_counted_several_times_are_an_error_unless_accepted(ask):
    ids = sorted([*range(5000), *range(0, 5000, 25)])  # every 25th row is joined twice
    client = ask(Joined(ids, announced=len(ids)))
    with pytest.raises(ShortAnswerError, match="rows came twice"):
        list(client.rows(EVERYTHING))
    with pytest.warns(ShortAnswerWarning, match="5,200 rows announced, 5,000 received"):
        rows = list(client.rows(EVERYTHING, short="warn"))
    assert [row["id"] for row in rows] == list(range(5000))


def test_nothing_at_all_where_rows_were_announced(ask):
    client = ask(Service([], announced=7))
    with pytest.raises(ShortAnswerError):
        list(client.rows(EVERYTHING))
    with pytest.warns(ShortAnswerWarning, match="7 rows announced, 0 received"):
        assert list(client.rows(EVERYTHING, short="warn")) == []


def test_an_empty_page_in_the_middle_is_an_error_even_so(ask):
    client = ask(Holed(list(range(5000)), announced=5000))
    with pytest.raises(AnswerError, match="empty page at row 2,000") as caught:
        list(client.rows(EVERYTHING, short="warn"))
    assert "rows behind it" in caught.value.why


def test_a_service_that_repeats_a_page_is_an_error_even_so(ask):
    service = Service(list(range(5000)), announced=5000)
    service.page = lambda start, count: [{"id": i} for i in range(min(count, 2000))]
    client = ask(service)
    for short in ("error", "warn"):
        with pytest.raises(AnswerError, match="rows came twice") as caught:
            list(client.rows(EVERYTHING, short=short))
        assert not isinstance(caught.value, ShortAnswerError)  # accepting would not help


def test_rows_that_are_all_there_warn_of_nothing(ask):
    client = ask(Service(list(range(3000)), announced=3000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(client.rows(EVERYTHING, short="warn"))) == 3000
        assert len(list(client.rows(EVERYTHING, 10, short="warn"))) == 10


def test_another_word_for_short_is_refused_before_anything_is_asked(ask):
    service = Service([], announced=0)
    with pytest.raises(UsageError, match="'short'"):
        ask(service).rows(EVERYTHING, short="quiet")
    assert service.asked == []


def test_rows_in_another_order_are_checked_for_repeats_too(ask):
    down = parse("model::SubImage,rma::options[order$eq'id$desc']")
    ids = list(range(5000, 0, -1))
    assert len(list(ask(Service(ids, announced=5000)).rows(down))) == 5000
    ids[4500] = ids[3]
    with pytest.raises(AnswerError, match="rows came twice"):
        list(ask(Service(ids, announced=5000)).rows(down))


# --- a search -------------------------------------------------------------------------------------


def bound(client: Client) -> Search:
    @contextmanager
    def connect():
        yield client

    return Search.of("SubImage", connect=connect)


def test_a_search_takes_short_too(ask):
    search = bound(ask(Service(list(range(100)), announced=120)))
    for take in (
        lambda: list(search.rows(short="warn")),
        lambda: [row for page in search.pages(short="warn") for row in page],
        lambda: search.to_pandas(short="warn"),
        lambda: search.to_arrow(short="warn"),
    ):
        with pytest.warns(ShortAnswerWarning):
            assert len(take()) == 100
    for take in (lambda: list(search.rows()), search.to_pandas, lambda: list(search)):
        with pytest.raises(ShortAnswerError):
            take()


def test_rows_stream_page_by_page(ask):
    service = Service(list(range(100_000)), announced=100_000)
    search = bound(ask(service))
    rows = search.rows()
    assert service.asked == []  # nothing before the first row is wanted
    assert [next(rows)["id"] for _ in range(2000)] == list(range(2000))
    assert service.asked == [(0, 2000)]
    next(rows)
    rows.close()
    assert len(service.asked) <= 10
    assert len(list(bound(ask(service)).rows())) == 100_000


def test_streaming_keeps_no_rows(ask):
    def peak_bytes(count: int) -> int:
        service = Service(list(range(count)), announced=count, cap=500)
        client = ask(service)
        tracemalloc.start()
        for _ in bound(client).rows():
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    small, large = peak_bytes(10_000), peak_bytes(60_000)
    # Rows themselves would be some 15 MB more; ids are 8 bytes each.
    assert large < small + 5_000_000


# --- one object instead of rows -------------------------------------------------------------------

OBJECT = {"probes": [{"id": 1023146}], "samples": [{"donor": {"id": 15496}}]}


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {"start_row": 0, "num_rows": 0, "total_rows": 0},
        {"start_row": 0, "num_rows": 1, "total_rows": 1},
        {"start_row": 0, "num_rows": 2, "total_rows": 2},
        {"start_row": 0, "num_rows": 2000, "total_rows": 3702},
        {"num_rows": "all"},
    ],
    ids=str,
)
def test_an_object_is_one_object_whatever_the_counts_say(ask, counts):
    body = json.dumps({"success": True, "id": 0, "msg": OBJECT} | counts).encode()
    asked: list[str] = []

    def handler(q: Request, r: Reply) -> None:
        asked.append(q.target)
        r.send(body)

    client = ask(handler)
    query = parse("service::human_microarray_expression[probes$in1023146][donors$eq15496]")
    assert list(client.rows(query)) == [OBJECT]
    assert len(asked) == 1
    assert list(client.rows(query, 5)) == [OBJECT]
    assert client.count(query) == 1
    assert read_answer(body, "json").is_object
