"""What a server on loopback owes the machine it runs on: bounds, and no answers to strangers.

Any web page can make a browser ask 127.0.0.1. So requests are answered only where they name this
machine and do not come from another site; numbers are bounded; what takes processor time is done
for a few at once, and not for clients that are gone; no answer is executed by a browser.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import unquote_plus

from openallen.archive.faults import App

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

__all__ = ["BusyError", "Gate", "GoneError", "guarded"]

T = TypeVar("T")
_OWN: Final = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_TOO_LONG: Final = re.compile(r"\d{19}")
_PIECE_BYTES: Final = 1 << 18
_SEND_S: Final = 60.0
_LOOK_S: Final = 0.2
_QUEUE: Final = 256
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
)


class BusyError(Exception):
    """Too many wait already."""


class GoneError(Exception):
    """The client is gone."""


def guarded(app: App) -> App:
    """Return an app that answers only requests of this machine, with bounded numbers.

    Parameters
    ----------
    app
        The app.
    """

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        refused = _refused(scope)
        if refused:
            await _say(send, *refused)
            return
        await app(scope, receive, _bounded(send))

    return guard


def _refused(scope: Scope) -> tuple[int, str] | None:
    """Return status and reason where a request is not answered."""
    given: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        given.setdefault(name.lower(), []).append(value)
    host = [value.decode("latin-1") for value in given.get(b"host", [])]
    if len(host) != 1 or not _OWN.fullmatch(host[0]):
        return 421, "this server answers to 127.0.0.1 and localhost only"
    for origin in given.get(b"origin", []):
        protocol, _, rest = origin.decode("latin-1").partition("://")
        if protocol not in {"http", "https"} or not _OWN.fullmatch(rest):
            return 403, "requests of other sites are not answered"
    if b"cross-site" in given.get(b"sec-fetch-site", []):
        return 403, "requests of other sites are not answered"
    query = scope.get("query_string", b"").decode("latin-1")
    if _TOO_LONG.search(f"{scope['path']} {unquote_plus(query)}"):
        return 400, "a number of too many digits"
    return None


async def _say(send: Send, status: int, text: str) -> None:
    body = text.encode()
    length = str(len(body)).encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *_HEADERS]})
    await send({"type": "http.response.body", "body": body})


def _bounded(send: Send) -> Send:
    """Return what sends pieces, each within a time, so that a client that does not read ends."""

    async def bounded(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
        body = message.get("body", b"")
        if message["type"] != "http.response.body" or len(body) <= _PIECE_BYTES:
            await asyncio.wait_for(send(message), _SEND_S)
            return
        more = message.get("more_body", False)
        for at in range(0, len(body), _PIECE_BYTES):
            last = at + _PIECE_BYTES >= len(body)
            piece = {**message, "body": body[at : at + _PIECE_BYTES], "more_body": more or not last}
            await asyncio.wait_for(send(piece), _SEND_S)

    return bounded


class Gate:
    """Lets a few through at once; some wait, others are told to come again.

    Parameters
    ----------
    most
        How many work at once; by default one for each processor, at least two.
    queue
        How many may wait.
    """

    def __init__(self, most: int | None = None, queue: int = _QUEUE) -> None:
        self._most = most or max(2, os.cpu_count() or 2)
        self._queue = queue
        self._working = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def run(self, request: Request, work: Callable[[Callable[[], bool]], T]) -> T:
        """Do work in a thread.

        Parameters
        ----------
        request
            What it is for; it ends when its client is gone.
        work
            Is given a function that returns whether the client is gone.

        Raises
        ------
        BusyError
            If too many wait already.
        GoneError
            If the client is gone before it begins, or before it ends.
        """
        await self._enter(request)
        gone = threading.Event()
        thread = asyncio.ensure_future(asyncio.to_thread(work, gone.is_set))
        thread.add_done_callback(self._leave)
        while not thread.done():
            await asyncio.wait([thread], timeout=_LOOK_S)
            if not thread.done() and await request.is_disconnected():
                gone.set()
                thread.add_done_callback(_forgotten)
                raise GoneError
        return thread.result()

    async def _enter(self, request: Request) -> None:
        if self._working < self._most:
            self._working += 1
            return
        if len(self._waiting) >= self._queue:
            raise BusyError
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        while not turn.done():
            await asyncio.wait([turn], timeout=_LOOK_S)
            if await request.is_disconnected():
                self._give_up(turn)
                raise GoneError

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if turn.done():
            self._leave()
        else:
            self._waiting.remove(turn)

    def _leave(self, _: Any = None) -> None:
        """Hand the place on. Where the client is gone, that is when the thread has ended."""
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._working -= 1


def _forgotten(done: asyncio.Future[Any]) -> None:
    """Look at how it ended, so that asyncio does not say that nobody did."""
    if not done.cancelled():
        done.exception()
