"""A proxy on loopback that passes answers on, or spoils them, as a seeded schedule says.

What happens to a request follows from the seed, its target, and how often that target was asked
for before: a run can be repeated whatever the order in which the requests come. Every body byte
that is sent is counted.
"""

from __future__ import annotations

import http.client
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from loopback import Handler, Loopback, Reply, Request

PAGE = b"<!DOCTYPE html>\n<html><head><title>We're sorry</title></head><body>down</body></html>"
HOP = frozenset({"connection", "transfer-encoding", "keep-alive", "date", "server", "content-length"})  # fmt: skip
MOVED = "/moved"  # before the target that a redirect leads to: it is not asked for as a file
BLOCK_BYTES = 1 << 16
ENDLESS_BYTES = 64 << 20


@dataclass
class Answer:
    """What the service says, or what is made of it.

    Attributes
    ----------
    length : int | None
        The size that is told; that of the body where None, no size at all below zero.
    stop : int | None
        Only so many bytes of the body are sent, and then `end` follows.
    end : str
        ``""`` for another request, ``cut``, ``reset``, ``stall`` or ``endless``.
    """

    status: str
    headers: list[tuple[str, str]]
    body: bytes
    length: int | None = None
    stop: int | None = None
    end: str = ""


@dataclass
class Sent:
    """One request, and how much of a body was sent for it."""

    target: str
    wanted: str
    fault: str
    number: int
    round: int
    size_bytes: int = 0
    sent_bytes: int = 0

    @property
    def good(self) -> bool:
        return not self.fault


Spoil = Callable[[Answer, random.Random, "FaultProxy", str], None]


def _status(line: str, *, after: str = "") -> Spoil:
    def spoil(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
        a.status, a.body = line, PAGE
        a.headers = [("Content-Type", "text/html")] + ([("Retry-After", after)] if after else [])

    return spoil


def _broken(end: str) -> Spoil:
    def spoil(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
        a.stop, a.end = int(rng.random() * len(a.body)), end

    return spoil


def _html(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
    a.status, a.body, a.headers = "200 OK", PAGE, [("Content-Type", "text/html")]


def _flip(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
    at = rng.randrange(len(a.body)) if a.body else 0
    a.body = a.body[:at] + bytes([b ^ (1 << rng.randrange(8)) for b in a.body[at : at + 1]]) + a.body[at + 1 :]  # fmt: skip


def _first_flip(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
    """Damage that can be seen without a digest."""
    a.body = bytes(255 - b for b in a.body[:3]) + a.body[3:]


def _short(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
    a.body = a.body[: int(rng.random() * len(a.body))]


def _long(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
    a.body += rng.randbytes(1 + rng.randrange(5000))


def _endless(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
    a.length, a.end = -1, "endless"


def _unsized(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
    a.length, a.stop, a.end = -1, int(rng.random() * len(a.body)), "cut"


def _other_range(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
    """Say that the bytes are of another place; without a range asked for, send one all the same."""
    size = len(a.body)
    first = 1 + rng.randrange(1000)
    a.headers = [h for h in a.headers if h[0].lower() != "content-range"]
    a.headers.append(("Content-Range", f"bytes {first}-{first + size - 1}/{first + size + 7}"))
    a.status = "206 Partial Content"


def _whole(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
    """Answer 200 whatever range was asked for."""
    a.status = "200 OK"
    a.headers = [h for h in a.headers if h[0].lower() != "content-range"]


def _redirect(where: str) -> Spoil:
    def spoil(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
        to = {
            "itself": wanted,
            "nobody": "http://127.0.0.1:1/x",
            "page": f"{proxy.url}/a-page-of-somebody-else",
            "other": MOVED + rng.choice(proxy.others or ["/"]),
        }[where]
        a.status, a.body, a.headers = "302 Found", b"", [("Location", to)]

    return spoil


def _twice(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
    a.headers = a.headers * 2


def _two_lengths(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
    a.headers.append(("Content-Length", str(len(a.body) + 1)))


def _two_tags(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
    a.headers.append(("ETag", f'"{rng.randbytes(16).hex()}"'))


def _coded(a: Answer, rng: random.Random, proxy: FaultProxy, wanted: str) -> None:
    a.headers.append(("Content-Encoding", "gzip"))


FAULTS: dict[str, Spoil] = {
    "500": _status("500 Internal Server Error"),
    "502": _status("502 Bad Gateway"),
    "503": _status("503 Service Unavailable"),
    "503 with a wait": _status("503 Slow Down", after="1"),
    "429": _status("429 Too Many Requests"),
    "429 with a wait": _status("429 Too Many Requests", after="1"),
    "cut": _broken("cut"),
    "reset": _broken("reset"),
    "stall": _broken("stall"),
    "html": _html,
    "flip": _flip,
    "first bytes": _first_flip,
    "short": _short,
    "long": _long,
    "endless": _endless,
    "cut without a size": _unsized,
    "another range": _other_range,
    "200 for a range": _whole,
    "redirect to itself": _redirect("itself"),
    "redirect to nobody": _redirect("nobody"),
    "redirect to a page": _redirect("page"),
    "redirect to another file": _redirect("other"),
    "every header twice": _twice,
    "two lengths": _two_lengths,
    "two entity tags": _two_tags,
    "not gzip": _coded,
}
"""The kinds of fault."""


@dataclass
class Schedule:
    """Which requests are spoiled, and how.

    Parameters
    ----------
    seed
        Decides.
    rate
        The part of requests that are spoiled.
    most
        How often one target is spoiled.
    data, rest
        Kinds for files, and for everything else (listings, rows, manifests), which has no digest.
    """

    seed: int
    rate: float
    most: int
    data: tuple[str, ...]
    rest: tuple[str, ...]

    def fault(self, target: str, number: int, *, data: bool) -> str:
        rng = self.random(target, number)
        kinds = self.data if data else self.rest
        spoiled = number <= self.most and rng.random() < self.rate
        return rng.choice(kinds) if kinds and spoiled else ""

    def random(self, target: str, number: int) -> random.Random:
        return random.Random(f"{self.seed}|{re.sub('versionId=[^&]*', '', target)}|{number}")


class _Every(dict[str, Handler]):
    """One handler for whatever is asked for."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def get(self, key: str, default: Any = None) -> Any:
        return self._handler


@dataclass
class FaultProxy:
    """Pass requests on to `upstream`, with faults.

    Parameters
    ----------
    upstream
        Base URL of the service.
    schedule
        What goes wrong; nothing where None.
    data
        Targets of files, as they are asked for; what else there is has no digest.
    gate
        Called before each block of a body, with its request: it may wait.
    """

    upstream: str
    schedule: Schedule | None = None
    data: frozenset[str] = frozenset()
    gate: Callable[[Sent], None] | None = None
    round: int = 0
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.others = sorted(self.data)
        self._lock = threading.Lock()
        self._asked: Counter[str] = Counter()
        self._kept: dict[str, Answer] = {}
        self._server = Loopback(_Every(self._handle))
        self.url = self._server.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def calm(self) -> None:
        """No more faults from now on."""
        self.schedule = None

    def of_files(self) -> list[Sent]:
        """Return the requests for files, in order."""
        return [one for one in list(self.sent) if one.target in self.data]

    def _handle(self, request: Request, reply: Reply) -> None:
        target = request.target
        if target.startswith("/a-page-of-somebody-else"):
            reply.send(PAGE, headers={"Content-Type": "text/html"})
            return
        with self._lock:
            self._asked[target] += 1
            number = self._asked[target]
        answer = self._ask(request)
        fault, schedule = "", self.schedule
        if schedule is not None:
            fault = schedule.fault(target, number, data=target in self.data)
            if fault:
                FAULTS[fault](answer, schedule.random(target + "!", number), self, target)
        wanted = request.headers.get("range", "")
        one = Sent(target, wanted, fault, number, self.round, len(answer.body))
        with self._lock:
            self.sent.append(one)
        self._send(reply, answer, one, head=request.method == "HEAD")

    def _ask(self, request: Request) -> Answer:
        keep = request.method == "GET" and "range" not in request.headers
        found = self._kept.get(request.target) if keep else None
        if found is None:
            # The host is left as it is: services write it into redirects, which come back here.
            place = urlsplit(self.upstream)
            service = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
            left = {k: v for k, v in request.headers.items() if k != "connection"}
            target = request.target.removeprefix(MOVED)
            service.request(request.method, target, headers=left)
            told = service.getresponse()
            headers = [h for h in told.getheaders() if h[0].lower() not in HOP]
            found = Answer(f"{told.status} {told.reason}", headers, told.read())
            if request.method == "HEAD":
                found.length = int(told.getheader("Content-Length") or 0)
            service.close()
            if keep and told.status == 200 and len(found.body) < 8 << 20:
                self._kept[request.target] = found
        return Answer(found.status, list(found.headers), found.body, found.length)

    def _send(self, reply: Reply, answer: Answer, one: Sent, *, head: bool) -> None:
        sock = reply._sock
        # What was sent and never read is counted as sent: let that be little.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BLOCK_BYTES)
        lines = [f"HTTP/1.1 {answer.status}", *(f"{k}: {v}" for k, v in answer.headers)]
        length = len(answer.body) if answer.length is None else answer.length
        if length >= 0:
            lines.append(f"Content-Length: {length}")
        else:
            lines.append("Connection: close")
        reply.raw(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        body = b"" if head else answer.body[: answer.stop]
        for at in range(0, len(body), BLOCK_BYTES):
            if self.gate is not None:
                self.gate(one)
            block = body[at : at + BLOCK_BYTES]
            reply.raw(block)
            one.sent_bytes += len(block)
        self._end(reply, answer, one)

    def _end(self, reply: Reply, answer: Answer, one: Sent) -> None:
        if not answer.end:
            return
        reply.open = False
        sock = reply._sock
        if answer.end == "endless":
            while one.sent_bytes < ENDLESS_BYTES:
                reply.raw(b"\0" * BLOCK_BYTES)
                one.sent_bytes += BLOCK_BYTES
        elif answer.end == "stall":
            sock.settimeout(30)
            sock.recv(1)  # until the other side has had enough
        elif answer.end == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
