from __future__ import annotations

import gzip
import json
import re
import threading
from urllib.parse import unquote

import pytest
from loopback import Reply, Request

from openallen.brainmap import Client, parse
from openallen.brainmap.client import connect
from openallen.errors import AnswerError, StatusError
from openallen.transport import Http, Retry

QUICK = Retry(attempts=3, first_wait_s=0.01)
EVERYTHING = parse("model::SubImage")


class Rows:
    """A service that pages through rows as brain-map.org does, or spoils a page."""

    def __init__(self, total: int, *, cap: int = 10**9) -> None:
        self.rows = [{"id": i, "section_number": i % 7, "path": f"/p/{i}"} for i in range(total)]
        self.cap = cap
        self.spoil = lambda envelope, start, count: envelope
        self.asked: list[tuple[int, int, str]] = []
        self.lock = threading.Lock()

    def __call__(self, q: Request, r: Reply) -> None:
        text = unquote(q.target)
        start = int((re.search(r"start_row\$eq(\d+)", text) or [0, 0])[1])
        count = int((re.search(r"num_rows\$eq(\d+)", text) or [0, 50])[1])
        with self.lock:
            self.asked.append((start, count, text))
        page = self.rows[start : start + min(count, self.cap)]
        envelope = {
            "success": True, "id": 0, "start_row": start, "num_rows": len(page),
            "total_rows": len(self.rows), "msg": page,
        }  # fmt: skip
        body = self.spoil(envelope, start, count)
        r.send(body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.fixture
def ask(loopback):
    """Return (service, client) for a service of so many rows."""
    https: list[Http] = []

    def make(total: int, **options) -> tuple[Rows, Client]:
        service = Rows(total, **options)
        server = loopback({"/api/v2/data/query.json": service})
        https.append(Http(silence_timeout_s=5))
        return service, Client(http=https[-1], base_url=server.url, source="test", retry=QUICK)

    yield make
    for http in https:
        http.close()


def test_all_rows_in_order_by_explicit_pages(ask):
    service, client = ask(4321)
    assert list(client.rows(EVERYTHING)) == service.rows
    # The first page alone, those behind it at the same time: in which order they arrive is chance.
    assert service.asked[0][:2] == (0, 2000)
    assert sorted(a[:2] for a in service.asked) == [(0, 2000), (2000, 2000), (4000, 321)]
    assert all("[order$eq'sub_images.id$asc']" in a[2] for a in service.asked)


def test_a_service_that_sends_fewer_than_asked_is_followed(ask):
    service, client = ask(1234, cap=50)
    assert list(client.rows(EVERYTHING)) == service.rows
    assert len(service.asked) == 25


def test_pages_after_the_first_are_asked_for_at_the_same_time(ask):
    service, client = ask(500, cap=50)
    meet = threading.Barrier(5, timeout=60)
    spoil = service.spoil

    def wait(envelope, start, count):
        if 0 < start <= 250:
            meet.wait()
        return spoil(envelope, start, count)

    service.spoil = wait
    assert len(list(client.rows(EVERYTHING))) == 500


@pytest.mark.parametrize(("asked", "expected"), [(7, 7), (0, 0), (5000, 4321)])
def test_the_querys_own_number_of_rows_is_kept(ask, asked, expected):
    service, client = ask(4321)
    query = parse(f"model::SubImage,rma::options[num_rows$eq{asked}]")
    assert list(client.rows(query)) == service.rows[:expected]


def test_limits_and_starts(ask):
    service, client = ask(300)
    assert list(client.rows(EVERYTHING, 5)) == service.rows[:5]
    assert service.asked[-1][:2] == (0, 5)
    query = parse("model::SubImage,rma::options[start_row$eq100][num_rows$eqall]")
    assert list(client.rows(query)) == service.rows[100:]


def test_nothing_is_an_answer(ask):
    service, client = ask(0)
    assert list(client.rows(EVERYTHING)) == []
    assert client.count(EVERYTHING) == 0
    assert len(service.asked) == 2


def test_counting_asks_for_one_row(ask):
    service, client = ask(2686)
    assert client.count(parse("model::SubImage,rma::options[count$eqfalse]")) == 2686
    assert service.asked[0][:2] == (0, 1)
    assert "count$eqfalse" not in service.asked[0][2]


def test_without_a_total_the_end_is_an_empty_page(ask):
    service, client = ask(130, cap=50)
    query = parse("model::SubImage,rma::options[count$eqfalse]")
    assert list(client.rows(query)) == service.rows
    assert [a[0] for a in service.asked] == [0, 50, 100, 130]


def test_stopping_early_stops_asking(ask):
    service, client = ask(100_000, cap=50)
    pages = client.pages(EVERYTHING)
    assert len(next(pages)) == 50
    pages.close()
    assert len(service.asked) < 30


def later(change):
    """Spoil every page but the first."""
    return lambda envelope, start, count: change(dict(envelope), start) if start else envelope


SPOILT = {
    "echoes another start": (later(lambda e, s: e | {"start_row": 0}), "did not understand start_row"),
    "repeats the first page": (
        later(lambda e, s: e | {"msg": [dict(r, id=r["id"] - s) for r in e["msg"]]}), "rows came twice",
    ),
    "total changes": (later(lambda e, s: e | {"total_rows": 999}), "changed from 200 to 999"),
    "announces more than it sends": (later(lambda e, s: e | {"msg": e["msg"][:-1]}), "announced"),
    "empty too early": (later(lambda e, s: e | {"msg": [], "num_rows": 0}), "empty page at row 50"),
    "sends more than asked": (
        later(lambda e, s: e | {"msg": e["msg"] * 60, "num_rows": 3000}), "asked for",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "says"), SPOILT.values(), ids=SPOILT)
def test_pages_that_contradict_each_other_are_an_error(ask, spoil, says):
    service, client = ask(200, cap=50)
    service.spoil = spoil
    with pytest.raises(AnswerError, match=says) as caught:
        list(client.rows(EVERYTHING))
    assert not caught.value.retryable
    assert caught.value.address.startswith("http://127.0.0.1")


def test_a_short_page_in_the_middle_is_filled(ask):
    service, client = ask(200, cap=50)

    def short(envelope, start, count):
        if start == 50:
            envelope = envelope | {"msg": envelope["msg"][:20], "num_rows": 20}
        return envelope

    service.spoil = short
    assert list(client.rows(EVERYTHING)) == service.rows
    assert (70, 30) in [a[:2] for a in service.asked]


PASSING = {
    "html": b"<html>busy</html>",
    "message": json.dumps({"success": True, "msg": "Server is busy"}).encode(),
    "xml": b"<Response success='true'/>",
    "cut": b'{"success": true, "msg": [',
}


@pytest.mark.parametrize("body", PASSING.values(), ids=PASSING)
def test_trouble_that_passes_is_asked_again(ask, body):
    service, client = ask(200, cap=50)
    seen: dict[int, int] = {}

    def now_and_then(envelope, start, count):
        seen[start] = seen.get(start, 0) + 1
        return body if seen[start] == 1 else envelope

    service.spoil = now_and_then
    assert list(client.rows(EVERYTHING)) == service.rows


def test_trouble_that_stays_is_told(ask):
    service, client = ask(10)
    service.spoil = lambda *_: b"<html>sorry</html>"
    with pytest.raises(AnswerError, match="an HTML page instead of JSON"):
        list(client.rows(EVERYTHING))
    assert len(service.asked) == 3


def test_a_refusal_by_status_is_told(loopback, ask):
    server = loopback({"/api/v2/data/query.json": lambda q, r: r.send(b"no", "403 Forbidden")})
    with Http() as http, pytest.raises(StatusError):
        list(Client(http=http, base_url=server.url, retry=QUICK).rows(EVERYTHING))


def test_rows_that_do_not_match_the_filter_are_an_error(ask):
    service, client = ask(20)
    service.rows = [dict(r, specimen_id=517330781) for r in service.rows]
    query = parse("model::ProjectionImage,rma::criteria,[specimen_id$eq313862022]")
    with pytest.raises(AnswerError, match=r"\[specimen_id\$eq313862022\]") as caught:
        list(client.rows(query))
    assert "specimen_id is 517330781 in row 0" in caught.value.why


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("[a$eq5]", {"a": 6}), ("[a$eqx]", {"a": "y"}), ("[a$eq5]", {"a": None}), ("[a]", {"a": None}),
        ("[a$in1,2]", {"a": 3}), ("[a$ne5]", {"a": 5}), ("[a$lt5]", {"a": 5}), ("[a$ge5]", {"a": 4.9}),
        ("[a$li'*vis*']", {"a": "auditory"}), ("[a$eqnull]", {"a": 1}), ("[a$eqfalse]", {"a": True}),
    ],
)  # fmt: skip
def test_rows_of_another_filter_are_seen(ask, text, row):
    service, client = ask(1)
    service.rows = [{"id": 1, **row}]
    with pytest.raises(AnswerError, match="does not match the filter"):
        list(client.rows(parse(f"model::SubImage{text}")))


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("[a$eq5]", {"a": 5}), ("[a$eq'5']", {"a": 5.0}), ("[a$eqX]", {"a": "x"}), ("[a$ne5]", {"a": None}),
        ("[a$eqt]", {"a": True}), ("[a$li'Vis*']", {"a": "visual"}), ("[a$eq5]", {"b": 1}),
        ("[a$lt2015-01-01]", {"a": "2016"}), ("[a$eqx.y]", {"a": 3}), ("[a$eqword]", {"a": 3}),
        ("[a$in1,null]", {"a": None}), ("[t.a$eq5]", {"a": 6}),
    ],
)  # fmt: skip
def test_what_obeys_or_cannot_be_told_passes(ask, text, row):
    service, client = ask(1)
    service.rows = [{"id": 1, **row}]
    assert len(list(client.rows(parse(f"model::SubImage{text}")))) == 1


def test_services_page_by_their_own_parameters(ask):
    service, client = ask(30)
    list(client.rows(parse("service::mouse_correlation[row$eq1]")))
    assert "[start_row$eq0][num_rows$eq2000]" in service.asked[0][2]
    assert "order" not in service.asked[0][2]


def test_an_archive_says_what_it_is_and_another_service_nothing(loopback):
    server = loopback(
        {
            "/openallen/about.json": lambda q, r: r.send(
                b'{"notes": ["half of it"], "simulated_pixels": true}'
            )
        }
    )
    silent = loopback({})
    with Http() as http:
        told = connect(http, server.url, server.url)
        assert (told.notes, told.simulated) == (("half of it",), True)
        assert connect(http, silent.url, silent.url).notes == ()
        assert connect(http, "https://api.brain-map.org", "live").notes == ()


def test_an_answer_without_end_is_given_up_and_says_how_to_ask(loopback):
    """A few hundred kilobytes that decompress to 200 MB."""
    packed = gzip.compress(b'{"msg": [' + b"1," * (100 << 20), 1)
    server = loopback(
        {
            "/api/v2/data/query.json": lambda q, r: r.send(
                packed, headers={"Content-Encoding": "gzip"}
            )
        }
    )
    with Http(silence_timeout_s=5) as http:
        client = Client(http=http, base_url=server.url, source="x", retry=Retry(attempts=1))
        with pytest.raises(AnswerError, match="response too large") as caught:
            client.answer(EVERYTHING)
    assert "num_rows" in caught.value.hint
