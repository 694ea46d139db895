"""Misbehaving on request, the way the real service has been seen to.

``KIND[=VALUE][@PATH][/EVERY]``: what, how much, for URLs that hold a text, every how many
requests. ``delay=0.08``, ``cut@imageservice/5``, ``html@query``.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from openallen.errors import UsageError

__all__ = ["KINDS", "Fault", "Misbehaving"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

KINDS: Final = {
    "delay": "answer after VALUE seconds",
    "hang": "never answer",
    "cut": "break off in the middle of the body",
    "html": "an HTML page with status 200",
    "error": "an HTML page with status 500",
    "slow-down": "status 503, come back in VALUE seconds",
    "message": "a text where the rows should be",
    "short": "VALUE rows fewer than announced",
    "cap": "never more than VALUE rows a page",
    "repeat": "the first page whatever was asked, as for startRow",
    "corrupt": "a JPEG with a hole of zeros",
    "truncate": "a JPEG without its end, in a well-formed answer",
}
"""What an archive can do wrong."""

_PAGE: Final = (
    b"<!DOCTYPE html>\n<html><head><title>We're sorry</title></head><body>500</body></html>"
)


@dataclass(frozen=True)
class Fault:
    """One way to misbehave.

    Parameters
    ----------
    kind
        One of `KINDS`.
    value
        Seconds or rows, where the kind takes them.
    path
        Only for URLs that hold this text; empty for all.
    every
        Only every so-manieth request of those.
    times
        Only so many times; None without end.
    """

    kind: str
    value: float = 1.0
    path: str = ""
    every: int = 1
    times: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.every < 1 or self.value < 0:
            raise UsageError(f"unknown fault '{self.kind}'", hint="one of " + ", ".join(KINDS))

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read ``KIND[=VALUE][@PATH][/EVERY]``.

        Raises
        ------
        UsageError
            If it is none.
        """
        match = re.fullmatch(r"([a-z-]+)(?:=([\d.]+))?(?:@([^/]*))?(?:/(\d+))?", text)
        if match is None:
            raise UsageError("no fault", why=text, hint="delay=0.08, cut@imageservice/5")
        return cls(match[1], float(match[2] or 1), match[3] or "", int(match[4] or 1))


class Misbehaving:
    """An ASGI app that passes requests on, and now and then does not.

    Parameters
    ----------
    app
        The app that behaves.
    faults
        What to do wrong; the first that matches a request is done, delays in addition.
    """

    def __init__(self, app: App, faults: tuple[Fault, ...]) -> None:
        self._app = app
        self._faults = faults
        self._seen = [0] * len(faults)
        self._done = [0] * len(faults)
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, one way or the other."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        url = f"{scope['path']}?{scope.get('query_string', b'').decode('latin-1')}"
        chosen: Fault | None = None
        for index, fault in enumerate(self._faults):
            if fault.path in url and (chosen is None or fault.kind == "delay") and self._due(index):
                if fault.kind == "delay":
                    await asyncio.sleep(fault.value)
                else:
                    chosen = fault
        if chosen is None:
            await self._app(scope, receive, send)
        else:
            await self._misbehave(chosen, scope, receive, send)

    def _due(self, index: int) -> bool:
        fault = self._faults[index]
        with self._lock:
            self._seen[index] += 1
            due = self._seen[index] % fault.every == 0
            due = due and (fault.times is None or self._done[index] < fault.times)
            self._done[index] += due
            return due

    async def _misbehave(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.kind == "hang":
            while (await receive())["type"] != "http.disconnect":
                pass
        elif fault.kind in {"html", "error"}:
            status = 200 if fault.kind == "html" else 500
            await _answer(send, status, [(b"content-type", b"text/html")], _PAGE)
        elif fault.kind == "slow-down":
            wait = str(int(fault.value)).encode()
            await _answer(send, 503, [(b"retry-after", wait)], b"SlowDown")
        else:
            scope = _repeated(scope) if fault.kind == "repeat" else scope
            start, body = await _collect(self._app, scope, receive)
            await _spoilt(fault, start, body, send)


def _repeated(scope: Scope) -> Scope:
    """Ask for the first page, as a service does that does not know the parameter's name."""
    query = scope.get("query_string", b"").decode("latin-1")
    forgotten = re.sub(r"(%5B|\[)start_row\$eq\d+(%5D|\])", "", query, flags=re.IGNORECASE)
    return {**scope, "query_string": forgotten.encode("latin-1")}


async def _collect(app: App, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
    start: Message = {}
    body = bytearray()

    async def keep(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, keep)
    return start, bytes(body)


async def _spoilt(fault: Fault, start: Message, body: bytes, send: Send) -> None:
    if start["status"] != 200:
        await _answer(send, start["status"], list(start["headers"]), body)
        return
    if fault.kind == "cut":
        await send({**start, "headers": _sized(start["headers"], len(body))})
        await send(
            {"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True}
        )
        raise ConnectionAbortedError("cut on request")
    spoil = {
        "message": _message,
        "short": _short,
        "cap": _cap,
        "corrupt": _corrupt,
        "truncate": _truncate,
    }.get(fault.kind)
    body = spoil(body, int(fault.value)) if spoil else body
    headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
    await _answer(send, start["status"], headers, body)


def _sized(headers: list[tuple[bytes, bytes]], size: int) -> list[tuple[bytes, bytes]]:
    kept = [(k, v) for k, v in headers if k.lower() != b"content-length"]
    return [*kept, (b"content-length", str(size).encode())]


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _message(body: bytes, _: int) -> bytes:
    return json.dumps({**json.loads(body), "msg": "Server is busy, try again later"}).encode()


def _short(body: bytes, rows: int) -> bytes:
    envelope = json.loads(body)
    envelope["msg"] = envelope["msg"][: max(0, len(envelope["msg"]) - rows)]
    return json.dumps(envelope).encode()


def _cap(body: bytes, rows: int) -> bytes:
    envelope = json.loads(body)
    envelope["msg"] = envelope["msg"][:rows]
    envelope["num_rows"] = len(envelope["msg"])
    return json.dumps(envelope).encode()


def _corrupt(body: bytes, _: int) -> bytes:
    middle, hole = len(body) // 2, max(64, len(body) // 8)
    return body[:middle] + bytes(hole) + body[middle + hole :]


def _truncate(body: bytes, _: int) -> bytes:
    return body[: len(body) * 2 // 3]
