"""Every source in the web view: its list, its examples, what was fetched of it; as page and as JSON."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote

import pytest

import openallen as oa
from openallen.address import Address
from openallen.errors import OpenAllenError
from openallen.serving import serving
from openallen.settings import Settings
from openallen.sources.registry import source_classes
from openallen.viewer import viewer_app
from openallen.viewer.links import item_path, list_path

SOURCES = tuple(source_classes())
EXAMPLES = [e.address for s in SOURCES for e in s.examples]


@pytest.fixture
def site(world) -> Iterator[str]:
    """The web view over every service on loopback, and an empty store."""
    with serving(viewer_app(Settings.load()), lifespan=True) as url:
        yield url


def get(url: str) -> tuple[int, str, bytes]:
    """Return status, media type and body."""
    try:
        with urllib.request.urlopen(url, timeout=120) as answer:
            return answer.status, answer.headers.get_content_type(), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get_content_type(), error.read()


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.scheme)
def test_the_list_of_every_source_is_the_list_of_the_library(site, source):
    path = f"{site}{list_path(f'{source.scheme}:')}"
    status, media, page = get(f"{path}?limit=3")
    assert media == "text/html"
    assert b"</html>" in page
    try:
        rows = oa.list(f"{source.scheme}:", limit=3)
    except OpenAllenError:
        assert 400 <= status < 500
        return
    assert status == 200
    _, media, body = get(f"{path}.json?limit=3")
    assert media == "application/json"
    told = json.loads(body)["rows"]
    for mine, theirs in zip(told, rows, strict=True):
        for name, value in theirs.items():
            assert mine[name] == json.loads(json.dumps(value, default=str)), name


@pytest.mark.parametrize("address", EXAMPLES)
def test_the_page_of_every_example_says_what_the_library_says(site, address):
    status, media, page = get(f"{site}{item_path(address)}")
    assert media == "text/html"
    try:
        facts = oa.show(address).to_dict()
    except OpenAllenError as error:
        assert 400 <= status < 500 or status == 502, (status, error)
        return
    assert status == 200, page[:2000]
    _, media, body = get(f"{site}/item/{quote(address, safe=':/@')}.json")
    assert media == "application/json"
    told = json.loads(body)
    assert told["title"] == facts["title"]
    assert {"visuals", *facts} >= set(told) >= {"address", "title"}
    for view in told["visuals"]:
        # What a view says of itself can be had, whatever its kind.
        meta = "rows.json" if view["kind"] == "table" else "meta.json"
        meta = "graph.json" if view["kind"] == "graph" else meta
        status, media, body = get(f"{site}{view['base']}{meta}")
        assert status == 200, (view, body[:300])
        assert json.loads(body)


def test_names_that_no_source_has_are_pages_that_say_so(site):
    for source in SOURCES:
        name = "999999999999" if source.numeric else "no-such-thing"
        status, media, page = get(f"{site}{item_path(str(Address(source.scheme, name)))}")
        assert 400 <= status < 500, source.scheme
        assert media == "text/html"
        assert b"Traceback" not in page
