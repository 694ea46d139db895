"""Listings of buckets that no bucket would give: errors of ours, or read right."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from openallen.errors import AnswerError
from openallen.transport import Http
from openallen.transport.retry import Retry
from openallen.transport.s3 import Bucket, Listed

PAGE = """<?xml version="1.0" encoding="{encoding}"?><ListBucketResult>
<KeyCount>{count}</KeyCount><IsTruncated>false</IsTruncated>
<Contents><Key>k</Key><Size>{size}</Size><LastModified>{when}</LastModified></Contents>
</ListBucketResult>"""
ENTITY = b'<!DOCTYPE r [<!ENTITY e "k">]>'
ENTRY = b"<Contents><Key>k</Key><Size>1</Size></Contents>"
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
        ENTITY + PAGE.format(**GOOD).replace("<Key>k<", "<Key>&e;<").encode(),
        ENTITY + PAGE.format(**GOOD).encode(),
        b"<ListBucketResult>" + b"<a>" * 20 + b"</a>" * 20 + b"</ListBucketResult>",
        b"<ListBucketResult>" + ENTRY * 70_000 + b"</ListBucketResult>",
    ],
    ids=[
        "nothing", "no text", "deep", "JSON", "deep in a listing", "Latin-1", "entities",
        "an entity", "an entity that is not used", "deep and closed", "many entries",
    ],
)  # fmt: skip
def test_what_is_no_listing_is_refused(loopback, page):
    with pytest.raises(AnswerError):
        listed(loopback, page)


LIST = """
import resource, sys
from openallen.errors import AnswerError
from openallen.transport import Http
from openallen.transport.retry import Retry
from openallen.transport.s3 import Bucket
http = Http()
bucket = Bucket(http=http, name="b", endpoint=sys.argv[1], retry=Retry(attempts=1))
list(bucket.list("good"))
limit = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + (120 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for name in sys.argv[2:]:
    try:
        print(name, len(list(bucket.list(name))))
    except AnswerError as error:
        print(name, error.what, error.why)
"""
START, END = b"<ListBucketResult>", b"</ListBucketResult>"
HUGE = {
    "good": START + ENTRY * 1000 + END,
    "blanks": START + b" " * (300 << 20),
    "key": START + b"<Contents><Key>" + b"k" * (300 << 20),
    "deep": START + b"<a>" * 5_000_000,
    "facts": START + b"".join(b"<a%d/>" % n for n in range(500_000)) + END,
    "fields": START + b"<Contents>" + b"".join(b"<a%d/>" % n for n in range(500_000)),
    "lines": START + b"\n" * 15_000_000 + END,
    "entries": START + ENTRY * 300_000 + END,
}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_no_page_takes_the_memory_of_a_listing(loopback):
    """Pages of up to 300 MB, compressed to a thousandth, in a process that has 120 MB for them."""
    packed = {name: gzip.compress(body, 1) for name, body in HUGE.items()}

    def handle(q, r):
        r.send(packed[q.target.rpartition("prefix=")[2]], headers={"Content-Encoding": "gzip"})

    server = loopback({"/b/": handle})
    done = subprocess.run(
        [sys.executable, "-c", LIST, server.url, *HUGE],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-800:]
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert told["good"] == "1000"
    assert told["lines"] == "0"
    assert told["blanks"].startswith("response too large")
    assert told["key"].startswith("response too large")
    for name in ("deep", "facts", "fields", "entries"):
        assert told[name].startswith("not an S3 listing"), told
