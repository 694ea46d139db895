"""Heads and bodies that break hand-written clients: each is one of our errors, or read right."""

from __future__ import annotations

import gzip
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import Loopback, Reply, Request

from openallen.errors import (
    AnswerError,
    OfflineError,
    OpenAllenError,
    StatusError,
    UnreachableError,
    UsageError,
)
from openallen.transport import Http
from openallen.transport.ranges import RangeFile
from openallen.transport.retry import Retry

PLAIN = b"abcdefgh" * 600


def read(server: Loopback, **options) -> bytes:
    with Http(silence_timeout_s=5) as http, http.get(server.url + "/a", **options) as response:
        return response.read()


def answering(loopback, raw: bytes) -> Loopback:
    def handle(q: Request, r: Reply) -> None:
        r.raw(raw)
        r.cut()

    return loopback({"/a": handle})


# The fields of a head, and what must come of it: one of our errors, or the body.
HEADS: dict[str, tuple[bytes, type[OpenAllenError] | bytes]] = {
    "a length of 5,000 digits": (b"Content-Length: " + b"9" * 5000, AnswerError),
    "a length of 20 digits": (b"Content-Length: " + b"9" * 20, AnswerError),
    "two lengths": (b"Content-Length: 5\r\nContent-Length: 9", UnreachableError),
    "two lengths in one line": (b"Content-Length: 5, 9", UnreachableError),
    "one length twice": (b"Content-Length: 5\r\nContent-Length: 5", b"hello"),
    "a length with a sign": (b"Content-Length: +5", UnreachableError),
    "a length below zero": (b"Content-Length: -5", UnreachableError),
    "a length with an underscore": (b"Content-Length: 1_0", UnreachableError),
    "a length that is no number": ("Content-Length: ²".encode("latin-1"), UnreachableError),
    "an empty length": (b"Content-Length:", UnreachableError),
    "a range of 5,000 digits": (b"Content-Range: bytes " + b"1" * 5000 + b"-2/3", b"hello"),
    "an unknown coding": (b"Content-Encoding: zebra", AnswerError),
    "a coding that is no text": (b"Content-Encoding: \xff\xfe", AnswerError),
    "two codings": (b"Content-Encoding: gzip, gzip", AnswerError),
    "a transfer coding of two kinds": (
        b"Transfer-Encoding: gzip, chunked, chunked", UnreachableError,
    ),
    "no colon": (b"no colon here", UnreachableError),
    "a zero": (b"X: a\0b", UnreachableError),
    "a bare line end": (b"X: a\rContent-Length: 9", UnreachableError),
    "a field of 400 kB": (b"X: " + b"y" * 400_000, UnreachableError),
}  # fmt: skip


@pytest.mark.parametrize("status", ["200 OK", "206 Partial Content"])
@pytest.mark.parametrize(("head", "outcome"), HEADS.values(), ids=HEADS)
def test_a_broken_head_is_an_error_of_ours_or_read_right(loopback, status, head, outcome):
    server = answering(loopback, f"HTTP/1.1 {status}\r\n".encode() + head + b"\r\n\r\nhello")
    assert_outcome(server, outcome)


def assert_outcome(server: Loopback, outcome: type[OpenAllenError] | bytes) -> None:
    if isinstance(outcome, bytes):
        assert read(server) == outcome
        return
    with pytest.raises(outcome) as caught:
        read(server)
    assert caught.value.address == server.url + "/a"


@pytest.mark.parametrize("first", [b"1" * 5000, "²".encode("latin-1"), b"+1", b"1_0", b"-1"])
def test_a_range_that_cannot_be_read_is_no_range(loopback, first):
    field = b"Content-Range: bytes " + first + b"-4/5\r\nContent-Length: 5\r\n"
    server = answering(loopback, b"HTTP/1.1 206 Partial Content\r\n" + field + b"\r\nhello")
    with Http() as http, http.get(server.url + "/a", byte_range=(0, 4)) as response:
        assert response.content_range is None
    with pytest.raises(AnswerError, match="does not support range requests") as caught:
        RangeFile(Http(), server.url + "/a", retry=Retry(attempts=1))
    assert caught.value.address == server.url + "/a"


STATUSES = {
    "²²² x": UnreachableError, "99 x": UnreachableError, "1000 x": UnreachableError,
    "000 x": UnreachableError, "2000 OK": UnreachableError, "20 OK": UnreachableError,
    "+20 OK": UnreachableError, "": UnreachableError, "101 Switching": UnreachableError,
    "600 x": StatusError, "999 x": StatusError, "200 OK": b"hello", "200": b"hello",
}  # fmt: skip


@pytest.mark.parametrize(("status", "outcome"), STATUSES.items(), ids=STATUSES)
def test_a_status_is_three_digits(loopback, status, outcome):
    head = f"HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n".encode("latin-1")
    assert_outcome(answering(loopback, head + b"hello"), outcome)


# Where a redirect leads; the error names the answer that said so, or the host it led to.
LOCATIONS: dict[str, tuple[bytes, type[OpenAllenError], str]] = {
    "an open bracket": (b"http://[::1/x", AnswerError, ""),
    "a port out of range": (b"http://127.0.0.1:99999/", AnswerError, ""),
    "a host with a space": (b"http://127.0.0.1 .x/", AnswerError, ""),
    "no host": (b"//", AnswerError, ""),
    "nowhere": (b"", StatusError, ""),
    "a file": (b"file:///etc/passwd", AnswerError, ""),
    "ftp": (b"ftp://127.0.0.1/x", AnswerError, ""),
    "gopher": (b"gopher://127.0.0.1:1/x", AnswerError, ""),
    "a script": (b"javascript:alert(1)", AnswerError, ""),
    "a user name": (b"http://me:secret@127.0.0.1:1/", AnswerError, ""),
    "itself": (b"/a", AnswerError, ""),
    "an address without end": (b"http://" + b"x" * 90_000, UnreachableError, ""),
    "more than a head holds": (b"/" + b"x" * 400_000, UnreachableError, ""),
    "dots": (b"http://a..b/", UnreachableError, "a..b"),
    "a label of 70 letters": (
        b"http://" + b"x" * 70 + b".test/", UnreachableError, "x" * 70 + ".test",
    ),
    "bytes that are no text": (b"http://\xff\xfe.test/", UnreachableError, "\ufffd\ufffd.test"),
    "a sign Python refuses": ("http://℀.test/".encode(), UnreachableError, "℀.test"),
    "nobody": (b"http://127.0.0.1:1/", UnreachableError, "127.0.0.1:1"),
}  # fmt: skip


@pytest.mark.parametrize(("location", "kind", "named"), LOCATIONS.values(), ids=LOCATIONS)
@pytest.mark.parametrize("offline", [False, True])
def test_a_redirect_that_leads_nowhere(loopback, location, kind, named, offline):
    head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
    server = loopback({"/a": lambda q, r: r.raw(head)})
    if offline and named:
        kind = OfflineError
    with (
        Http(offline=offline, connect_timeout_s=5) as http,
        pytest.raises(kind) as caught,
        http.get(server.url + "/a"),
    ):
        pass
    assert (named or server.url + "/a") in caught.value.address
    assert not isinstance(caught.value, UsageError)
    if named and not offline:
        assert server.url.removeprefix("http://") in caught.value.why


def test_a_redirect_to_a_place_that_is_no_text_is_followed(loopback):
    moved = b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nLocation: /\xff\r\n\r\n"
    server = answering(loopback, moved)
    server.routes["/%FF"] = lambda q, r: r.send(b"there")
    assert read(server) == b"there"


@pytest.mark.parametrize(
    "wait", ["²", "9" * 5000, "Wed, 21 Oct 99999999999999999999 07:28:00 GMT", "-1", "soon", ""]
)
def test_a_wait_nobody_can_read_is_no_wait(loopback, wait):
    raw = b"HTTP/1.1 503 Busy\r\nRetry-After: " + wait.encode() + b"\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(StatusError) as caught:
        read(answering(loopback, raw))
    assert caught.value.retry_after_s is None or caught.value.retry_after_s >= 0


@pytest.mark.parametrize("size", ["0x5", "+5", "1_0", "-5", "", " 5", "zz", "f" * 17, "5" * 5000])
def test_chunk_sizes_that_are_not_hexadecimal_are_refused(loopback, size):
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw += size.encode() + b"\r\nhello\r\n0\r\n\r\n"
    assert_outcome(answering(loopback, raw), UnreachableError)


def test_wrong_bytes_behind_a_chunk_are_refused(loopback):
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"
    assert_outcome(answering(loopback, raw), UnreachableError)


def test_bytes_behind_the_last_chunk_are_no_answer_to_the_next_question(loopback):
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    first = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    server = loopback({
        "/a": lambda q, r: r.raw(first + evil),
        "/b": lambda q, r: r.send(b"right"),
        "/c": lambda q, r: r.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" + evil),
    })  # fmt: skip
    with Http() as http:
        for path, body in (("/a", b"hello"), ("/b", b"right"), ("/c", b"hello"), ("/b", b"right")):
            with http.get(server.url + path) as response:
                assert response.read() == body


@pytest.mark.parametrize("left", [1, 8, 20, 40])
def test_a_compressed_body_that_ends_early_is_an_error(loopback, left):
    body = gzip.compress(PLAIN)[:-left]

    def handle(q: Request, r: Reply) -> None:
        r.send(body, headers={"Content-Encoding": "gzip"})

    server = loopback({"/a": handle})
    with pytest.raises(AnswerError, match="decompress") as caught:
        read(server, compressed=True)
    assert caught.value.address == server.url + "/a"


@given(
    parts=st.lists(st.binary(max_size=3000), min_size=1, max_size=4),
    cut=st.integers(0, 100),
)
def test_every_member_of_a_compressed_body_is_read(parts, cut):
    body = b"".join(map(gzip.compress, parts))
    end = len(body) - (cut % len(body) if cut else 0)
    server = Loopback({"/a": lambda q, r: r.send(body[:end], headers={"Content-Encoding": "gzip"})})
    try:
        got = read(server, compressed=True)
    except OpenAllenError:
        got = None
    finally:
        server.close()
    whole = [b"".join(parts[:n]) for n in range(len(parts) + 1)]
    ends = [len(b"".join(map(gzip.compress, parts[:n]))) for n in range(len(parts) + 1)]
    assert got == (whole[ends.index(end)] if end in ends[1:] else None)


BOMB = """
import resource, sys
from openallen.errors import AnswerError
from openallen.transport import Http
with Http() as http:
    with http.get(sys.argv[1] + "/small") as response:
        response.read()
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with http.get(sys.argv[1] + sys.argv[2], compressed=True) as response:
            response.read(1 << 20)
    except Exception as error:
        print(type(error).__name__, error.what, sep="\\n")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="measures memory as Unix does")
@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/bomb", ["AnswerError", "response too large"]),
        ("/page", ["StatusError", "the service returned an error"]),
    ],
)
def test_a_bomb_is_never_in_memory_whole(loopback, path, told):
    body = gzip.compress(b"\0" * (300 << 20), 9)
    coded = {"Content-Encoding": "gzip"}
    server = loopback({
        "/small": lambda q, r: r.send(b"x"),
        "/bomb": lambda q, r: r.send(body, headers=coded),
        "/page": lambda q, r: r.send(body, "500 Internal Server Error", coded),
    })  # fmt: skip
    command = [sys.executable, "-c", BOMB, server.url, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *said, grown = done.stdout.splitlines()
    assert said == told
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    assert int(grown) * unit_bytes < 40 << 20
