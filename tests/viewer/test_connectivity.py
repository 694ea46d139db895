"""The pages of mouse connectivity: tables of experiments, and of what one projects to."""

from __future__ import annotations

import gzip
import json
import urllib.request
from typing import Any

import openallen as oa
from openallen.viewer.items import to_key


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        body: bytes = answer.read()
        packed = answer.headers.get("content-encoding") == "gzip"
        return gzip.decompress(body) if packed else body


def rows_of(url: str, address: str, name: str) -> Any:
    return json.loads(get(f"{url}/v/{to_key(address)}/{name}/rows.json"))


def test_tables_are_on_the_pages(view, tmp_path, sample_url):
    url = view(tmp_path / "store", source=sample_url)
    page = get(f"{url}/item/connectivity:181777177").decode()
    assert "Primary visual area" in page
    told = rows_of(url, "connectivity:181777177", "unionizes")
    want = oa.open("connectivity:181777177", source=sample_url).unionizes()
    assert told["total"] == len(want)
    assert len(told["rows"]) > 0
