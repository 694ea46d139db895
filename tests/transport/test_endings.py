"""Servers that never come to an end: each request ends by itself, and by one Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from loopback import Reply, Request

from openallen.errors import OpenAllenError, StalledError, UnreachableError
from openallen.transport import Http

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: /b\r\n"


def endless(begin: bytes, piece: bytes, pause_s: float = 0.05) -> Callable[[Request, Reply], None]:
    """Answer with a beginning, and then the same piece until the other side hangs up."""

    def handle(q: Request, r: Reply) -> None:
        r.raw(begin)
        while r.open:
            r.raw(piece)
            time.sleep(pause_s)

    return handle


# What a server says first, what it says again and again, and how the request ends by itself.
STATES: dict[str, tuple[bytes, bytes, type[OpenAllenError], str]] = {
    "silence": (b"", b"", StalledError, "no whole answer head"),
    "100 Continue without end": (
        b"", b"HTTP/1.1 100 Continue\r\n\r\n", StalledError, "no whole answer head",
    ),
    "a field without end": (OK + b"X: ", b"y", StalledError, "no whole answer head"),
    "fields without end": (OK, b"X: y\r\n", StalledError, "no whole answer head"),
    "a fast field without end": (
        OK + b"X: ", b"y" * 100_000, UnreachableError, "not an HTTP response",
    ),
    "fast fields without end": (
        OK, b"X: y\r\n" * 10_000, UnreachableError, "not an HTTP response",
    ),
    "a head, then silence": (OK + b"Content-Length: 9\r\n\r\n", b"", StalledError, "timed out|too slow"),
    "a body of a length that trickles": (
        OK + b"Content-Length: 1000000\r\n\r\n", b"x", StalledError, "too slow",
    ),
    "chunks that trickle": (CHUNKED, b"1\r\nx\r\n", StalledError, "too slow"),
    "the body of a redirect without end": (
        MOVED + b"Content-Length: 1000000\r\n\r\n", b"x", StalledError, "timed out|no whole|slow",
    ),
    "an error page that trickles": (
        b"HTTP/1.1 500 No\r\nContent-Length: 1000000\r\n\r\n", b"x", OpenAllenError, "error",
    ),
    "trailers without end": (CHUNKED + b"0\r\n", b"X: y\r\n", StalledError, "timed out|too slow"),
    "a compressed body that trickles": (  # the name of a file in its head goes on and on
        OK + b"Content-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n\x1f\x8b\x08\x08" + b"\0" * 6,
        b"x", StalledError, "too slow",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("begin", "piece", "kind", "what"), STATES.values(), ids=STATES)
def test_an_endless_answer_ends_within_the_limits_of_the_client(loopback, begin, piece, kind, what):
    server = loopback({"/a": endless(begin, piece)})
    # Without these limits each would go on for ever, and be ended by the timeout of the tests.
    limits = {"silence_timeout_s": 3, "head_timeout_s": 1.5, "least_window_s": 2}
    with (
        Http(least_bytes_per_s=1000, **limits) as http,
        pytest.raises(kind, match=what) as caught,
        http.get(server.url + "/a") as response,
    ):
        response.read()
    assert caught.value.address == server.url + "/a"


READER = """
import sys
from openallen.transport import Http
limits = {"silence_timeout_s": 600, "head_timeout_s": 600, "connect_timeout_s": 600}
try:
    with Http(least_bytes_per_s=0, **limits) as http:
        print("asking", flush=True)
        with http.get(sys.argv[1]) as response:
            if sys.argv[2] == "left":  # the body is given up: nothing may wait for its rest
                next(response.pieces())
                raise KeyboardInterrupt
            response.read()
except KeyboardInterrupt:
    sys.exit(130)
"""


def reading(url: str, manner: str = "read") -> subprocess.Popen[str]:
    """Read a URL in a process of its own, and return when it is about to ask."""
    command = [sys.executable, "-c", READER, url, manner]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "asking\n"
    return process


def assert_ends(process: subprocess.Popen[str]) -> None:
    """Check that a process ends as one that was interrupted, with nothing said."""
    try:
        out, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out, said) == (130, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process")
@pytest.mark.parametrize(("begin", "piece", "kind", "what"), STATES.values(), ids=STATES)
def test_one_ctrl_c_ends_an_endless_answer(loopback, begin, piece, kind, what):
    del kind, what
    # A step so slow that no limit of libcurl on heads ends it first.
    server = loopback({"/a": endless(begin, piece[:4000], pause_s=0.2)})
    process = reading(server.url + "/a")
    while not server.seen:
        time.sleep(0.01)
    time.sleep(0.5)  # into the state: it lasts until it is interrupted
    process.send_signal(signal.SIGINT)
    assert_ends(process)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process")
def test_one_ctrl_c_ends_a_fast_body_wherever_it_strikes(loopback):
    server = loopback({"/a": endless(CHUNKED, b"1\r\nx\r\n" * 2000, pause_s=0)})
    for wait_s in (0.1, 0.17, 0.23, 0.31):
        process = reading(server.url + "/a")
        time.sleep(wait_s)
        process.send_signal(signal.SIGINT)
        assert_ends(process)


def test_an_interrupt_while_libcurl_hands_over_bytes_is_not_lost(loopback, monkeypatch):
    from openallen.transport.heads import Head

    def interrupted(self: Head, raw: bytes) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Head, "line", interrupted)
    server = loopback({"/a": lambda q, r: r.send(b"x")})
    with Http() as http, pytest.raises(KeyboardInterrupt), http.get(server.url + "/a"):
        pass


def test_a_body_left_unread_holds_nothing_up(loopback):
    server = loopback({"/a": endless(OK + b"Content-Length: 1000000\r\n\r\n", b"x")})
    assert_ends(reading(server.url + "/a", "left"))


def test_waiting_for_the_first_byte_of_a_body_takes_no_cpu(loopback):
    server = loopback({"/a": endless(OK + b"Content-Length: 9\r\n\r\n", b"")})
    with Http(silence_timeout_s=1) as http, http.get(server.url + "/a") as response:
        before = time.thread_time()
        with pytest.raises(StalledError):
            response.read()
        assert time.thread_time() - before < 0.5  # of one second: a loop would take all of it


def test_a_trickle_above_the_least_speed_is_read_to_its_end(loopback):
    def handle(q: Request, r: Reply) -> None:
        r.raw(OK + b"Content-Length: 20\r\n\r\n")
        for _ in range(20):
            r.raw(b"x")
            time.sleep(0.1)

    server = loopback({"/a": handle})
    with Http(least_bytes_per_s=1, least_window_s=1) as http, http.get(server.url + "/a") as got:
        assert got.read() == b"x" * 20


RESOLVING = """
import os, signal, socket, sys, threading
from openallen.errors import StalledError
from openallen.transport import Http
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))  # a name server that hears, and says nothing
def interrupt():
    server.recv(1)
    os.kill(os.getpid(), signal.SIGINT)
if sys.argv[1] == "interrupted":
    threading.Thread(target=interrupt, daemon=True).start()
try:
    with Http(connect_timeout_s=1 if sys.argv[1] == "late" else 600) as http:
        with http.get("http://slow.test/a"):
            pass
except (KeyboardInterrupt, StalledError) as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("manner", "told"),
    [("late", "StalledError slow.test: no connection (Resolv"), ("interrupted", "KeyboardInter")],
)
def test_a_name_server_that_is_silent_holds_up_neither_timeout_nor_ctrl_c(tmp_path, manner, told):
    """Where this may be tried: in a network of its own, with a name server of its own."""
    names, script = tmp_path / "resolv.conf", tmp_path / "script.py"
    names.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:2\n")
    script.write_text(RESOLVING)
    inside = f"mount --bind {names} /etc/resolv.conf && ip link set lo up"
    apart = ["unshare", "--mount", "--net", "bash", "-c"]
    try:
        subprocess.run([*apart, inside], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a network of its own needs the right to make one")
    start = time.monotonic()
    command = f"{inside} && exec {sys.executable} {script} {manner}"
    done = subprocess.run([*apart, command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(told)
    assert done.stderr == ""
    assert time.monotonic() - start < 40  # the system itself gives up after a minute
