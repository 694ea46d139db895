"""Answers as they come, for whoever listens: the whole ones, with what was asked."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from openallen.transport.exchange import Exchange

__all__ = ["Heard", "Listener", "Tee", "hearing", "listener"]

_MOST_BYTES: Final = 256 << 20
"""Answers to questions are far smaller; what is larger is a file, and fetched as one."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One whole answer.

    Parameters
    ----------
    url
        What was asked for.
    status
        HTTP status code.
    headers
        Header names in lower case.
    body
        The body, decompressed.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


Listener = Callable[[Heard], None]

_listener: ContextVar[Listener | None] = ContextVar("openallen_listener", default=None)


def listener() -> Listener | None:
    """Return who listens to clients that are made now; None where nobody does."""
    return _listener.get()


@contextmanager
def hearing(told: Listener) -> Iterator[None]:
    """Tell a listener of every whole answer that clients receive which are made meanwhile.

    Parameters
    ----------
    told
        Called with each, from the thread that read it.
    """
    before = _listener.set(told)
    try:
        yield
    finally:
        _listener.reset(before)


class Tee(Exchange):
    """An exchange whose body is kept as it is read.

    Parameters
    ----------
    inner
        The exchange.
    """

    def __init__(self, inner: Exchange) -> None:
        # None of the handles of an exchange are made here: those of the inner one do the work.
        self._inner = inner
        self.head, self.url = inner.head, inner.url
        self._again: deque[bytes] = deque()
        self._body: list[bytes] = []
        self._size = 0
        self._whole = False

    def next(self) -> bytes:
        """Return the next bytes of the body; none at its end."""
        if self._again:
            return self._again.popleft()
        piece = self._inner.next()
        self._size += len(piece)
        if not piece:
            self._whole = True
        elif self._size <= _MOST_BYTES:
            self._body.append(piece)
        else:
            self._body.clear()
        return piece

    def put_back(self, piece: bytes) -> None:
        """Have the next call of `next` return these bytes."""
        self._again.appendleft(piece)

    def heard(self, url: str) -> Heard | None:
        """Return the answer; None where it was not read whole, or is too large to be one."""
        headers = self.head.headers
        told = headers.get("content-length", "")
        whole = self._whole or (told.isascii() and told.isdigit() and int(told) == self._size)
        if not whole or self._size > _MOST_BYTES or self.head.status != 200:
            return None
        body = b"".join(self._body)
        if headers.get("content-encoding", "identity").lower() not in {"identity", ""}:
            try:
                body = zlib.decompress(body, wbits=47)
            except zlib.error:
                return None
        return Heard(url, self.head.status, headers, body)
