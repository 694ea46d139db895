"""Ranges asked for together: what came fills the memory given, whatever else is left to the caller."""

from __future__ import annotations

import _thread
import threading
import time

import pytest
from loopback import Reply, Request, file_handler

from openallen.errors import OfflineError, UnreachableError, UsageError
from openallen.transport import Http, Retry
from openallen.transport.ranges import BLOCK_BYTES, RangeFile

BODY = bytes(range(256)) * 4000
SIZE = 10_000
ONCE = Retry(attempts=1)


def wanted(count: int) -> list[tuple[int, memoryview]]:
    return [(n * SIZE, memoryview(bytearray(SIZE))) for n in range(count)]


def test_what_is_asked_for_together_comes_in_this_thread(loopback):
    server = loopback({"/a": file_handler(BODY)})
    before = set(threading.enumerate())
    with Http() as http:
        for _ in range(2):
            rooms = wanted(40)
            answers = http.ranges(server.url + "/a", rooms)
            assert b"".join(room for _, room in rooms) == BODY[: 40 * SIZE]
            assert [a and a["content-range"] for a in answers] == [
                f"bytes {n * SIZE}-{n * SIZE + SIZE - 1}/{len(BODY)}" for n in range(40)
            ]
        assert not any("range" in t.name for t in set(threading.enumerate()) - before)
    assert server.connections <= 16  # and kept from one call to the next
    assert len(server.seen) == 80


def part(first: int, sent: bytes, told: int = SIZE, more: str = "") -> bytes:
    return (
        f"HTTP/1.1 206 Partial Content\r\nContent-Length: {told}\r\n{more}"
        f"Content-Range: bytes {first}-{first + SIZE - 1}/{len(BODY)}\r\n\r\n"
    ).encode() + sent


TROUBLES = {
    "not there": lambda q, r: r.send(b"no", "404 Not Found"),
    "the whole": lambda q, r: r.send(BODY),
    "slow down": lambda q, r: r.send(b"", "503 Slow Down"),
    "cut": lambda q, r: (r.raw(part(SIZE, b"x" * 5)), r.cut()),
    "too long": lambda q, r: r.raw(part(SIZE, b"x" * 2 * SIZE, 2 * SIZE)),
    "too short": lambda q, r: r.raw(part(SIZE, b"x" * 5, 5)),
    "compressed": lambda q, r: r.raw(part(SIZE, b"x" * SIZE, more="Content-Encoding: gzip\r\n")),
    "silent": lambda q, r: r.stall(),
    "silent in the middle": lambda q, r: (r.raw(part(SIZE, b"x" * 5)), r.stall()),
    "no HTTP": lambda q, r: (r.raw(b"SSH-2.0-x\r\n\r\n"), r.cut()),
    "a head without end": lambda q, r: [
        (r.raw(b"HTTP/1.1 100 Continue\r\n\r\n"), time.sleep(0.1)) for _ in range(3000)
    ],
    "elsewhere by ftp": lambda q, r: r.send(b"", "302 Found", {"Location": "ftp://127.0.0.1/"}),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_one_that_does_not_come_is_none_and_the_others_are_there(loopback, trouble):
    whole = file_handler(BODY)

    def handle(q: Request, r: Reply) -> None:
        (trouble if q.headers["range"] == f"bytes={SIZE}-{2 * SIZE - 1}" else whole)(q, r)

    server = loopback({"/a": handle})
    with Http(silence_timeout_s=2) as http:
        rooms = wanted(5)
        answers = http.ranges(server.url + "/a", rooms)
        assert [a is None for a in answers] == [False, True, False, False, False]
        for n in (0, 2, 3, 4):
            assert rooms[n][1] == BODY[n * SIZE : (n + 1) * SIZE]
        server.routes["/a"] = whole  # and the handles are as good as new
        assert all(http.ranges(server.url + "/a", rooms))
        assert b"".join(room for _, room in rooms) == BODY[: 5 * SIZE]


def test_redirects_are_followed(loopback):
    server = loopback({"/b": file_handler(BODY)})
    server.routes["/a"] = lambda q, r: r.send(b"moved", "302 Found", {"Location": "/b"})
    with Http() as http:
        rooms = wanted(3)
        assert all(http.ranges(server.url + "/a", rooms))
        assert b"".join(room for _, room in rooms) == BODY[: 3 * SIZE]


def test_what_may_not_be_asked_is_not(loopback):
    server = loopback({"/a": lambda q, r: r.stall()})
    with Http(offline=True) as http, pytest.raises(OfflineError):
        http.ranges("http://brain-map.test/a", wanted(2))
    with Http() as http, pytest.raises(UsageError):
        http.ranges("ftp://x/", wanted(2))
    http = Http(silence_timeout_s=600)
    threading.Timer(0.2, http.close).start()
    with pytest.raises(UnreachableError, match="closed"):
        http.ranges(server.url + "/a", wanted(2))


def test_ctrl_c_ends_it_and_nothing_is_written_afterwards(loopback):
    whole = file_handler(BODY)
    server = loopback({"/a": lambda q, r: r.stall()})

    def interrupt() -> None:
        while len(server.seen) < 3:
            time.sleep(0.01)
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    with Http(silence_timeout_s=600) as http:
        rooms = wanted(3)
        with pytest.raises(KeyboardInterrupt):
            http.ranges(server.url + "/a", rooms)
        server.routes["/a"] = whole
        others = wanted(5)
        assert all(http.ranges(server.url + "/a", others))
        assert b"".join(room for _, room in others) == BODY[: 5 * SIZE]
        assert not any(bytes(room).strip(b"\0") for _, room in rooms)


def test_a_file_that_changes_between_its_ranges_is_noticed(loopback):
    old, new = b"a" * 40 * BLOCK_BYTES, b"b" * 40 * BLOCK_BYTES
    server = loopback({"/a": file_handler(old)})
    with Http() as http, RangeFile(http, server.url + "/a", retry=ONCE) as file:
        server.routes["/a"] = file_handler(new, etag='"v2"')
        with pytest.raises(OSError, match="changed while it was read"):
            file.read_at(4 * BLOCK_BYTES, 36 * BLOCK_BYTES)
