"""One request, and the answer as it comes: driven by whoever reads it, on handles of its own."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Final

import pycurl

from openallen.errors import OpenAllenError, StalledError, UnreachableError, UsageError
from openallen.transport.handles import Client, aim, close_multi, error_of, new_multi, wait_for
from openallen.transport.heads import Head, plain_number

__all__ = ["Exchange"]

_LOOK_S: Final = 0.1
_TIMED_OUT: Final = 28
_CONNECTING: Final = frozenset({5, 6, 7})
_NAMED_CHARS: Final = 200
_HELD_BYTES: Final = 2 << 20


class Exchange:
    """One request on handles of its own, driven by whoever reads the answer."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._multi = new_multi()
        self._curl = client.handle()
        self._curl.setopt(pycurl.WRITEFUNCTION, self._write)
        self._curl.setopt(pycurl.HEADERFUNCTION, self._line)
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._paused = False
        self._attached = False
        self.url = ""
        self.head = Head()
        self.received = 0
        self.ended = True
        self.error: OpenAllenError | None = None

    def begin(self, url: str, headers: list[str]) -> None:
        """Send a request, and wait for the head of its answer."""
        self.url, self.head, self.error = url, Head(), None
        self._pieces.clear()
        self._held = self.received = 0
        self._paused = self.ended = False
        aim(self._curl, url)
        try:
            self._curl.setopt(pycurl.HTTPHEADER, headers)
        except (pycurl.error, UnicodeError) as error:
            raise UsageError("a header that cannot be sent", address=url, why=str(error)) from error
        self._multi.add_handle(self._curl)
        self._attached = True
        deadline = time.monotonic() + self._client.head_timeout_s
        while not (self.head.whole or self.ended):
            self._wait(deadline)
        if self.ended and not self.head.whole and self.error is None:
            self.error = UnreachableError("not an HTTP answer", address=url)
        if self.error is not None and not self._pieces and not self._is_body_error:
            raise self.error
        self.url = self._last_url()

    @property
    def _is_body_error(self) -> bool:
        return self.head.whole and self.head.status < 400

    def next(self) -> bytes:
        """Return the next bytes of the body; none at its end.

        Raises
        ------
        UnreachableError, StalledError
            If it breaks or falls silent; what came before is returned first.
        """
        while not self._pieces:
            if self.ended:
                if self.error is not None:
                    raise self.error
                return b""
            self._wait()
        piece = self._pieces.popleft()
        self._held -= len(piece)
        return piece

    def put_back(self, piece: bytes) -> None:
        """Have the next call of `next` return these bytes."""
        self._pieces.appendleft(piece)
        self._held += len(piece)

    def _wait(self, deadline: float = math.inf) -> None:
        """Let libcurl work until something came, or it ended.

        Raises
        ------
        StalledError
            If nothing comes for too long, or it is later than `deadline`.
        """
        before, lines = self.received, self.head.lines
        start = time.monotonic()
        while True:
            if self._client.closed:
                raise UnreachableError("client is closed", address=self.url)
            if self._paused and self._held < _HELD_BYTES:
                self._paused = False
                self._curl.pause(pycurl.PAUSE_CONT)
            self._multi.perform()
            self._settle()
            if self.ended or self._pieces:
                return
            now = time.monotonic()
            if now >= deadline:
                raise self._late()
            if self.received != before or self.head.lines != lines:
                return
            quiet_s = now - start
            if quiet_s >= self._client.silence_timeout_s:
                raise self._silence()
            wait_for(self._multi, min(_LOOK_S, self._client.silence_timeout_s - quiet_s))

    def _silence(self) -> OpenAllenError:
        limit_s = self._client.silence_timeout_s
        return StalledError("timed out", address=self.url, why=f"no data for {limit_s:g} s")

    def _last_url(self) -> str:
        """Return where redirects led; a server may write any bytes there."""
        raw: bytes = self._curl.getinfo_raw(pycurl.EFFECTIVE_URL)
        return raw.decode("utf-8", "replace") or self.url

    def _late(self) -> OpenAllenError:
        limit_s = self._client.head_timeout_s
        return StalledError(
            "no whole answer head", address=self.url, why=f"none within {limit_s:g} s"
        )

    def _settle(self) -> None:
        _, done, failed = self._multi.info_read()
        for _, code, text in failed:
            self.ended = True
            self.error = self._failure(code, text)
        self.ended = self.ended or bool(done)

    def _failure(self, code: int, text: str) -> OpenAllenError:
        told = plain_number(self.head.headers.get("content-length", ""))
        left = told - self.received if told is not None else None
        last = self._last_url()[:_NAMED_CHARS]
        if code == _TIMED_OUT and not self.head.lines and self._curl.getinfo(pycurl.CONNECT_TIME):
            text = f"connected, but the TLS handshake did not end: {text}"
        refused = self._client.refusal(last) if code in _CONNECTING else None
        return refused or error_of(code, text, self.url, last_url=last, left_bytes=left)

    def _write(self, data: bytes) -> int | None:
        if not self.head.whole:
            return None  # the body of a redirect
        if self._held >= _HELD_BYTES:
            self._paused = True
            return int(pycurl.WRITEFUNC_PAUSE)
        self._pieces.append(data)
        self._held += len(data)
        self.received += len(data)
        return None

    def _line(self, raw: bytes) -> None:
        self.head.line(raw)

    def end(self) -> None:
        """End the request; a connection whose answer was read whole is kept."""
        if self._attached:
            self._attached = False
            self._multi.remove_handle(self._curl)
        self._pieces.clear()

    def close(self) -> None:
        """Close the connection."""
        self.end()
        connected = bool(self._curl.getinfo(pycurl.PRIMARY_IP))
        self._curl.close()
        close_multi(self._multi, connected=connected)
