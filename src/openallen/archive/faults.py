"""Faults on request, of the kinds that the real service has shown.

``KIND[=VALUE][@PATH][/EVERY]``: what, how much, for URLs that contain a text, every how many
requests. ``delay=0.08``, ``cut@imageservice/5``, ``html@query``.

A fault without a path concerns the services that the archive stands for, and of these the ones
its kind is about: rows for ``cap``, pictures for ``truncate``. The archive's own pages, below
``/openallen/``, answer as always: without them no client would know what it is talking to.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from dataclasses import dataclass
from typing import Any, Final

from openallen.errors import UsageError
from openallen.serving.asgi import App, Message, Receive, Scope, Send

__all__ = ["KINDS", "Fault", "Misbehaving"]

KINDS: Final = {
    "delay": "answer after VALUE seconds",
    "hang": "never answer",
    "cut": "close the connection in the middle of the body",
    "html": "an HTML page with status 200",
    "error": "an HTML page with status 500",
    "slow-down": "status 503, retry after VALUE seconds",
    "message": "a text in place of the rows",
    "short": "VALUE rows fewer than announced",
    "over": "VALUE rows more announced than there are",
    "cap": "at most VALUE rows a page",
    "repeat": "the first page for any start row, as for startRow",
    "corrupt": "a JPEG with a block of zeros",
    "truncate": "a JPEG without its end, in a complete answer",
}
"""The kinds of fault, and what each does."""

_OWN_PAGES: Final = "/openallen/"
_OF_ROWS: Final = frozenset({"message", "short", "over", "cap", "repeat"})
_OF_PICTURES: Final = frozenset({"corrupt", "truncate"})
_ROWS: Final = re.compile(r"/api/v2/(?!data/(?:enumerate|\w+/describe)\.).+\.(?:json|xml|csv)")
_PICTURES: Final = "/cgi-bin/imageservice"

_PAGE: Final = (
    b"<!DOCTYPE html>\n<html><head><title>We're sorry</title></head><body>500</body></html>"
)


@dataclass(frozen=True)
class Fault:
    """A fault of one kind.

    Parameters
    ----------
    kind
        One of `KINDS`.
    value
        Seconds or rows, where the kind takes them.
    path
        Only URLs that contain this text; empty for all that the kind is about.
    every
        Only every n-th request of those.
    times
        How often; None for no limit.
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
        """Return the fault of a text ``KIND[=VALUE][@PATH][/EVERY]``.

        Raises
        ------
        UsageError
            For other text, or an unknown kind.
        """
        match = re.fullmatch(r"([a-z-]+)(?:=([\d.]+))?(?:@([^/]*))?(?:/(\d+))?", text)
        if match is None:
            raise UsageError(f"'{text}' is not a fault", hint="delay=0.08, cut@imageservice/5")
        return cls(match[1], float(match[2] or 1), match[3] or "", int(match[4] or 1))

    def concerns(self, path: str, query: str = "") -> bool:
        """Return whether a request is one of those that the fault is about."""
        if self.path:
            return self.path in f"{path}?{query}"
        if path.startswith(_OWN_PAGES):
            return False
        if self.kind in _OF_ROWS:
            return _ROWS.fullmatch(path) is not None
        return self.kind not in _OF_PICTURES or path == _PICTURES


class Misbehaving:
    """An ASGI app that passes requests on, with faults.

    Parameters
    ----------
    app
        The app without faults.
    faults
        The faults; the first that concerns a request happens, delays in addition.
    """

    def __init__(self, app: App, faults: tuple[Fault, ...]) -> None:
        self._app = app
        self._faults = faults
        self._seen = [0] * len(faults)
        self._done = [0] * len(faults)
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, with the faults that concern it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, query = scope["path"], scope.get("query_string", b"").decode("latin-1")
        chosen: Fault | None = None
        for index, fault in enumerate(self._faults):
            wanted = chosen is None or fault.kind == "delay"
            if wanted and fault.concerns(path, query) and self._due(index):
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
            # What the server sends itself, past the app, could not be damaged.
            start, body = await _collect(self._app, {**scope, "extensions": {}}, receive)
            await _damaged(fault, start, body, send)


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


async def _damaged(fault: Fault, start: Message, body: bytes, send: Send) -> None:
    if start["status"] != 200:
        await _answer(send, start["status"], list(start["headers"]), body)
        return
    if fault.kind == "cut":
        await send({**start, "headers": _sized(start["headers"], len(body))})
        await send(
            {"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True}
        )
        raise ConnectionAbortedError("cut on request")
    damage = {
        "message": _message,
        "short": _short,
        "over": _over,
        "cap": _cap,
        "corrupt": _corrupt,
        "truncate": _truncate,
    }.get(fault.kind)
    body = damage(body, int(fault.value)) if damage else body
    headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
    await _answer(send, start["status"], headers, body)


def _sized(headers: list[tuple[bytes, bytes]], size: int) -> list[tuple[bytes, bytes]]:
    kept = [(k, v) for k, v in headers if k.lower() != b"content-length"]
    return [*kept, (b"content-length", str(size).encode())]


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _envelope(body: bytes) -> dict[str, Any] | None:
    """Return the envelope of rows in JSON; None for anything else, which stays as it is."""
    try:
        envelope = json.loads(body)
    except ValueError:
        return None
    rows = isinstance(envelope, dict) and isinstance(envelope.get("msg"), list)
    return envelope if rows and "total_rows" in envelope else None


def _message(body: bytes, _: int) -> bytes:
    envelope = _envelope(body)
    if envelope is None:
        return body
    return json.dumps({**envelope, "msg": "Server is busy, try again later"}).encode()


def _short(body: bytes, rows: int) -> bytes:
    envelope = _envelope(body)
    if envelope is None:
        return body
    envelope["msg"] = envelope["msg"][: max(0, len(envelope["msg"]) - rows)]
    return json.dumps(envelope).encode()


def _over(body: bytes, rows: int) -> bytes:
    envelope = _envelope(body)
    if envelope is None:
        return body
    return json.dumps({**envelope, "total_rows": envelope["total_rows"] + rows}).encode()


def _cap(body: bytes, rows: int) -> bytes:
    envelope = _envelope(body)
    if envelope is None:
        return body
    envelope["msg"] = envelope["msg"][:rows]
    envelope["num_rows"] = len(envelope["msg"])
    return json.dumps(envelope).encode()


def _corrupt(body: bytes, _: int) -> bytes:
    middle, hole = len(body) // 2, max(64, len(body) // 8)
    return body[:middle] + bytes(hole) + body[middle + hole :]


def _truncate(body: bytes, _: int) -> bytes:
    return body[: len(body) * 2 // 3]
