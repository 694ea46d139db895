"""Heads and bodies that break hand-written clients: each is one of our errors, or read right."""

from __future__ import annotations

import gzip
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import Loopback, Reply, Request

from openallen.errors import (
    AnswerError,
    OpenAllenError,
    StalledError,
    StatusError,
    UnreachableError,
)
from openallen.transport import Http

PLAIN = b"abcdefgh" * 600


def read(server: Loopback, **options) -> bytes:
    with Http(silence_timeout_s=5) as http, http.get(server.url + "/a", **options) as response:
        return response.read()


def answering(loopback, raw: bytes) -> Loopback:
    def handle(q: Request, r: Reply) -> None:
        r.raw(raw)
        r.cut()

    return loopback({"/a": handle})


HEADS = {
    "a length of 5,000 digits": b"Content-Length: " + b"9" * 5000,
    "two lengths": b"Content-Length: 5\r\nContent-Length: 9",
    "a length with a sign": b"Content-Length: +5",
    "a length that is no number": "Content-Length: ²".encode("latin-1"),
    "a broken location": b"Location: http://[::1/x",
    "a location of dots": b"Location: http://a..b/",
    "a location with a label of 70 letters": b"Location: http://" + b"x" * 70 + b".test/",
    "a location without end": b"Location: http://" + b"x" * 90_000,
    "a range of 5,000 digits": b"Content-Range: bytes " + b"1" * 5000 + b"-2/3",
    "an unknown coding": b"Content-Encoding: zebra",
    "a coding that is no text": b"Content-Encoding: \xff\xfe",
    "a transfer coding of two kinds": b"Transfer-Encoding: gzip, chunked, chunked",
}


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "206 Partial Content", "²²² x"])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_broken_head_is_never_a_foreign_exception(loopback, status, head):
    raw = f"HTTP/1.1 {status}\r\n".encode("latin-1") + head + b"\r\n\r\nhello"
    try:
        read(answering(loopback, raw))
    except OpenAllenError:
        return


@pytest.mark.parametrize(
    "wait", ["²", "9" * 5000, "Wed, 21 Oct 99999999999999999999 07:28:00 GMT", "-1", "soon", ""]
)
def test_a_wait_nobody_can_read_is_no_wait(loopback, wait):
    raw = b"HTTP/1.1 503 Busy\r\nRetry-After: " + wait.encode() + b"\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(StatusError) as caught:
        read(answering(loopback, raw))
    assert caught.value.retry_after_s is None or caught.value.retry_after_s >= 0


@pytest.mark.parametrize("size", ["0x5", "+5", "1_0", "-5", "", "zz", "fffffffffffffffff"])
def test_chunk_sizes_that_are_not_hexadecimal_are_refused(loopback, size):
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw += size.encode() + b"\r\nhello\r\n0\r\n\r\n"
    with pytest.raises(UnreachableError):
        read(answering(loopback, raw))


def test_wrong_bytes_behind_a_chunk_are_refused(loopback):
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"
    with pytest.raises(UnreachableError):
        read(answering(loopback, raw))


@pytest.mark.parametrize("left", [1, 8, 20, 40])
def test_a_compressed_body_that_ends_early_is_an_error(loopback, left):
    body = gzip.compress(PLAIN)[:-left]

    def handle(q: Request, r: Reply) -> None:
        r.send(body, headers={"Content-Encoding": "gzip"})

    with pytest.raises(AnswerError, match="decompress"):
        read(loopback({"/a": handle}), compressed=True)


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


def test_a_bomb_is_never_in_memory_whole(loopback):
    import tracemalloc

    body = gzip.compress(b"\0" * (300 << 20), 9)
    server = loopback({"/a": lambda q, r: r.send(body, headers={"Content-Encoding": "gzip"})})
    tracemalloc.start()
    with (
        Http() as http,
        http.get(server.url + "/a", compressed=True) as response,
        pytest.raises(AnswerError, match="too large"),
    ):
        response.read(1 << 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 << 20


def endless(piece: bytes, begin: bytes = b""):
    def handle(q: Request, r: Reply) -> None:
        r.raw(begin)
        while r.open:
            r.raw(piece)
            time.sleep(0.05)

    return handle


@pytest.mark.parametrize(
    ("piece", "begin"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n", b""),
        (b"x", b"HTTP/1.1 200 OK\r\nX-Long: "),
        (b"X-More: y\r\n", b"HTTP/1.1 200 OK\r\n"),
    ],
)
def test_a_head_that_never_ends_ends(loopback, piece, begin):
    server = loopback({"/a": endless(piece, begin)})
    with (
        Http(silence_timeout_s=5, head_timeout_s=0.7) as http,
        pytest.raises((StalledError, UnreachableError)),
        http.get(server.url + "/a"),
    ):
        pass


def test_a_body_that_trickles_does_not_hold_up_the_end(loopback):
    begin = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    server = loopback({"/a": endless(b"x", begin)})
    http = Http(silence_timeout_s=30)
    with http.get(server.url + "/a") as response:
        assert next(response.pieces())
    # Given back with its body unread, a connection is dropped: nothing waits for the rest.
    http.close()
    assert threading.active_count() < 50
