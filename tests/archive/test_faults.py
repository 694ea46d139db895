"""Faults of every kind, and what they leave alone."""

from __future__ import annotations

import json
import warnings

import pytest

import openallen as oa
from openallen.archive.faults import KINDS, Fault
from openallen.brainmap import Client, parse
from openallen.brainmap.client import connect
from openallen.errors import ShortAnswerError, ShortAnswerWarning
from openallen.transport import Http, Retry

PLANE = 321549654
PICTURE = f"/api/v2/image_download/{PLANE}?downsample=6"
ENUMERATE = "/api/v2/data/enumerate.json"
ROWS = frozenset({"message", "short", "over", "cap", "repeat"})
PICTURES = frozenset({"corrupt", "truncate"})


@pytest.fixture
def http():
    with Http(silence_timeout_s=5) as client:
        yield client


def body(http: Http, url: str) -> bytes:
    with http.get(url) as response:
        return response.read()


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_without_a_path_leaves_the_archives_own_pages_alone(http, archive, kind):
    whole = body(http, archive() + "/openallen/about.json")
    url = archive(f"{kind}=0" if kind in {"delay", "slow-down"} else f"{kind}=1")
    assert body(http, url + "/openallen/about.json") == whole
    client = connect(http, url, url, retry=Retry(attempts=1))
    assert client.simulated
    assert client.notes


@pytest.mark.parametrize("kind", sorted(ROWS | PICTURES))
def test_a_fault_without_a_path_concerns_what_its_kind_is_about(http, archive, kind):
    whole, url = archive(), archive(f"{kind}=3")
    rows = (
        "/api/v2/data/ProjectionImage/query.json?criteria=[axes$eqxy],rma::options[start_row$eq2]"
    )
    assert (body(http, url + rows) == body(http, whole + rows)) == (kind in PICTURES)
    assert (body(http, url + PICTURE) == body(http, whole + PICTURE)) == (kind in ROWS)
    assert body(http, url + ENUMERATE) == body(http, whole + ENUMERATE)


@pytest.mark.parametrize("kind", sorted(ROWS))
def test_a_fault_of_rows_with_a_path_leaves_other_bodies_as_they_are(http, archive, kind):
    whole, url = archive(), archive(Fault(kind, 1, "/"))
    for path in (PICTURE, "/api/v2/data/Specimen/query.xml", ENUMERATE):
        assert body(http, url + path) == body(http, whole + path)


def test_a_path_may_be_that_of_the_own_pages(http, archive):
    assert body(http, archive("html@openallen") + "/openallen/about.json").startswith(b"<!DOCTYPE")


def test_every_nth_counts_only_what_the_fault_concerns():
    fault = Fault("cap", 1)
    assert fault.concerns("/api/v2/data/query.json", "criteria=model::X")
    assert fault.concerns("/api/v2/tree_search/Structure/5.json")
    assert not fault.concerns(ENUMERATE)
    assert not fault.concerns("/api/v2/data/Specimen/describe.json")
    assert not fault.concerns("/cgi-bin/imageservice", "path=/a")
    assert Fault("corrupt").concerns("/cgi-bin/imageservice", "path=/a")
    assert Fault("delay").concerns("/cgi-bin/imageservice")
    assert not Fault("delay").concerns("/openallen/about.json")


def test_a_capped_archive_is_used_like_any_other(archive):
    url = archive("cap=9")
    assert len(list(oa.query("ProjectionImage", source=url).rows())) == 54


def test_more_announced_than_there_is(http, archive):
    client = Client(http=http, base_url=archive("over=3"), retry=Retry(attempts=1))
    query = parse("model::ProjectionImage")
    with pytest.raises(ShortAnswerError):
        list(client.rows(query))
    with pytest.warns(ShortAnswerWarning, match="57 rows announced, 54 received"):
        assert len(list(client.rows(query, short="warn"))) == 54
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(client.rows(query, 50))) == 50
    answer = json.loads(body(http, client.base_url + "/api/v2/data/Specimen/query.json"))
    assert answer["total_rows"] == answer["num_rows"] + 3
