"""Listings of buckets that no bucket would give: errors of ours, or read right."""

from __future__ import annotations

import pytest

from openallen.errors import AnswerError
from openallen.transport import Http
from openallen.transport.retry import Retry
from openallen.transport.s3 import Bucket, Listed

PAGE = """<?xml version="1.0" encoding="{encoding}"?><ListBucketResult>
<KeyCount>{count}</KeyCount><IsTruncated>false</IsTruncated>
<Contents><Key>k</Key><Size>{size}</Size><LastModified>{when}</LastModified></Contents>
</ListBucketResult>"""
GOOD = {"encoding": "UTF-8", "count": "1", "size": "5", "when": ""}


def listed(loopback, page: str | bytes, **headers: str) -> list[Listed]:
    body = page if isinstance(page, bytes) else page.encode()
    server = loopback({"/b/": lambda q, r: r.send(body, headers=headers)})
    with Http() as http:
        bucket = Bucket(http=http, name="b", endpoint=server.url, retry=Retry(attempts=1))
        try:
            return list(bucket.list())
        except AnswerError as error:
            assert error.address.startswith(server.url + "/b/?list-type=2")
            raise


@pytest.mark.parametrize(
    "encoding", ["utd-8", "rot13", "hex", "utf-7", "shift_jis", "idna", "undefined", "utf-16"]
)
def test_a_listing_is_utf_8_whatever_it_says(loopback, encoding):
    assert [e.key for e in listed(loopback, PAGE.format(**GOOD | {"encoding": encoding}))] == ["k"]


@pytest.mark.parametrize(
    "given",
    [
        {"size": "-5"}, {"size": "+5"}, {"size": "1_0"}, {"size": "²"}, {"size": "٣"},
        {"size": "9" * 5001}, {"size": ""}, {"size": "5.0"},
        {"count": "-1"}, {"count": "1_0"}, {"count": "²"}, {"count": "9" * 5001},
        {"when": "yesterday"}, {"when": "99999999999999999999-01-01"}, {"when": "2020-13-40"},
    ],
    ids=lambda given: " ".join(f"{k}={v[:12]}" for k, v in given.items()),
)  # fmt: skip
def test_a_listing_with_a_number_nobody_can_read_is_refused(loopback, given):
    with pytest.raises(AnswerError):
        listed(loopback, PAGE.format(**GOOD | given))


@pytest.mark.parametrize(
    "page",
    [
        b"", b"\xff\xfe\0", b"<a>" * 100_000, b"[" * 3000,
        b"<ListBucketResult>" + b"<a>" * 100_000, b"<ListBucketResult>\xff</ListBucketResult>",
        b"<!DOCTYPE r [" + b"".join(
            b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 50 if n else b"x" * 50)
            for n in range(9)
        ) + b"]><ListBucketResult>&e8;</ListBucketResult>",
    ],
    ids=["nothing", "no text", "deep", "JSON", "deep in a listing", "Latin-1", "entities"],
)  # fmt: skip
def test_what_is_no_listing_is_refused(loopback, page):
    with pytest.raises(AnswerError):
        listed(loopback, page)
