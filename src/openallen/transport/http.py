"""One HTTP client: keep-alive connections, redirects, timeouts, clear errors.

Threads may share a client; each request holds one connection while its answer is read.
"""

from __future__ import annotations

import logging
import re
import shlex
import socket
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple, Self
from urllib.parse import quote, urljoin

from openallen.errors import (
    AnswerError,
    NotFoundError,
    OfflineError,
    OpenAllenError,
    StatusError,
    UnreachableError,
)
from openallen.transport.connection import Origin, connect, split
from openallen.transport.head import Head
from openallen.transport.sniff import describe, sniff
from openallen.transport.wire import Wire, WireClosedError, request_text

__all__ = ["ContentRange", "Http", "Response"]

_LOG = logging.getLogger("openallen.transport")
_IDLE_LIMIT_S: Final = 20.0
_DRAIN_LIMIT_BYTES: Final = 64 * 1024
_PLAIN_URL: Final = re.compile(r"(https?://[\w.:-]+)(/[\w./%?=&~+-]*)", re.ASCII)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class ContentRange(NamedTuple):
    """Which bytes an answer holds: first and last, both included, and the whole size if told."""

    first: int
    last: int
    total: int | None


class Response:
    """An answer whose body is still to be read.

    Attributes
    ----------
    status : int
        HTTP status code.
    headers : Mapping[str, str]
        Header names in lower case.
    url : str
        Where it came from in the end.
    """

    def __init__(self, wire: Wire, head: Head, url: str) -> None:
        self._wire = wire
        self.status = head.status
        self.headers = head.headers
        self.url = url
        coding = head.headers.get("content-encoding", "identity").lower().strip()
        if coding not in {"identity", "", "gzip", "x-gzip", "deflate"}:
            raise AnswerError("unknown content encoding", address=url, why=coding)
        self.encoded = coding not in {"identity", ""}

    @property
    def length_bytes(self) -> int | None:
        """Size of the body as told, None where it is not."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isdigit() and not self.encoded else None

    @property
    def content_range(self) -> ContentRange | None:
        """The range this answer holds, None for a whole body."""
        text = self.headers.get("content-range", "")
        match = re.fullmatch(r"bytes\s+(\d+)-(\d+)/(\d+|\*)", text.strip())
        if match is None:
            return None
        total = None if match[3] == "*" else int(match[3])
        return ContentRange(int(match[1]), int(match[2]), total)

    def read_into(self, view: memoryview) -> int:
        """Read body bytes as they came, undecoded, into `view`; 0 at the end."""
        return self._wire.read_into(view)

    def chunks(self, size_bytes: int = 1 << 18) -> Iterator[memoryview]:
        """Yield the decoded body in pieces; each is valid until the next is requested.

        Raises
        ------
        UnreachableError, StalledError
            If the connection breaks or falls silent before the end.
        """
        view = memoryview(bytearray(size_bytes))
        inflate = zlib.decompressobj(wbits=47) if self.encoded else None
        while got := self._wire.read_into(view):
            if inflate is None:
                yield view[:got]
                continue
            try:
                piece = inflate.decompress(view[:got])
            except zlib.error as error:
                raise AnswerError("the response does not decompress", address=self.url) from error
            if piece:
                yield memoryview(piece)

    def read(self, limit_bytes: int = 1 << 30) -> bytes:
        """Return the whole body.

        Raises
        ------
        AnswerError
            If it is larger than `limit_bytes`.
        """
        body = bytearray()
        for piece in self.chunks():
            body += piece
            if len(body) > limit_bytes:
                raise AnswerError(
                    "response too large", address=self.url, why=f"over {limit_bytes:,} bytes"
                )
        return bytes(body)


class Http:
    """A client for plain GET requests.

    Parameters
    ----------
    connect_timeout_s, silence_timeout_s
        Longest wait for a connection, and for the next byte, in seconds.
    offline
        Refuse everything but this machine.
    user_agent
        What the client calls itself.
    """

    def __init__(
        self,
        *,
        connect_timeout_s: float = 10.0,
        silence_timeout_s: float = 30.0,
        offline: bool = False,
        user_agent: str = "openallen",
    ) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._silence_timeout_s = silence_timeout_s
        self._offline = offline
        self._user_agent = user_agent
        self._idle: dict[Origin, list[tuple[float, Wire]]] = defaultdict(list)
        self._busy: set[Wire] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._rests: dict[str, tuple[Origin, bytes]] = {}  # what follows the target

    def reaches(self, url: str) -> bool:
        """Return whether `url` may be requested: not when offline, unless on this machine."""
        return not self._offline or split(url)[0].is_loopback

    @contextmanager
    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        byte_range: tuple[int, int | None] | None = None,
        compressed: bool = False,
        redirects: int = 5,
    ) -> Iterator[Response]:
        """Ask for `url` and give the answer, its body unread, while the context lasts.

        Parameters
        ----------
        url
            Absolute ``http`` or ``https`` URL.
        headers
            More request headers.
        byte_range
            First and last byte wanted, both included; None as last for "to the end".
        compressed
            Let the service compress the body (for text, not for images).
        redirects
            Most redirects followed. One that would leave HTTPS is asked over HTTPS instead.

        Raises
        ------
        NotFoundError
            For status 404 and 410.
        StatusError
            For every other status of 400 and above.
        UnreachableError, StalledError
            If no whole answer head arrives.
        OfflineError
            If offline and the host is not this machine.
        """
        asked = dict(headers or {})
        if byte_range is not None:
            first, last = byte_range
            asked["Range"] = f"bytes={first}-{'' if last is None else last}"
        asked["Accept-Encoding"] = "gzip" if compressed else "identity"
        wire, origin, response = self._follow(url, asked, redirects)
        try:
            if response.status >= 400:
                raise _refusal(response)
            yield response
        finally:
            self._give_back(origin, wire)

    def _follow(
        self, url: str, headers: Mapping[str, str], redirects: int
    ) -> tuple[Wire, Origin, Response]:
        start = url
        for _ in range(redirects + 1):
            origin, target = split(url)
            wire, head = self._exchange(origin, target, headers, url)
            location = head.headers.get("location")
            if head.status not in _REDIRECTS or not location:
                try:
                    return wire, origin, Response(wire, head, url)
                except OpenAllenError:
                    self._give_back(origin, wire)
                    raise
            self._give_back(origin, wire)
            url = _redirected(url, location)
        raise AnswerError("too many redirects", address=start, why=f"more than {redirects}")

    def _exchange(
        self, origin: Origin, target: str, headers: Mapping[str, str], url: str
    ) -> tuple[Wire, Head]:
        if self._offline and not origin.is_loopback:
            raise OfflineError("offline mode is on", address=url, hint="leave out --offline")
        sent = self._sent(origin, headers)
        _log_request(url, headers)
        while True:
            wire, fresh = self._take(origin)
            try:
                wire.send("GET", target, sent)
                return wire, wire.head("GET")
            except WireClosedError as error:
                # A connection kept from before may have been closed meanwhile: that says nothing
                # about the service, so ask again on another one.
                self._give_back(origin, wire)
                if fresh or self._closing.is_set():
                    error.address = url
                    raise
            except OpenAllenError as error:
                self._give_back(origin, wire)
                error.address = url
                raise

    def _sent(self, origin: Origin, headers: Mapping[str, str]) -> dict[str, str]:
        return {
            "Host": origin.authority,
            "User-Agent": self._user_agent,
            "Accept": "*/*",
            **headers,
        }

    def asking(self, url: str) -> tuple[Origin, bytes]:
        """Return the origin and the bytes of a request for `url`, for callers that send it.

        Raises
        ------
        OfflineError
            If offline and the host is not this machine.
        """
        headers = {"Accept-Encoding": "identity"}
        _log_request(url, headers)
        plain = _PLAIN_URL.fullmatch(url)
        if plain is not None and plain[1] in self._rests:
            origin, rest = self._rests[plain[1]]
            return origin, b"GET %b%b" % (plain[2].encode("ascii"), rest)
        origin, target = split(url)
        if self._offline and not origin.is_loopback:
            raise OfflineError("offline mode is on", address=url, hint="leave out --offline")
        text = request_text("GET", target, self._sent(origin, headers))
        if plain is not None and target == plain[2]:
            self._rests[plain[1]] = (origin, text[4 + len(target) :])
        return origin, text

    def connection(self, origin: Origin) -> socket.socket:
        """Open a connection of the caller's own.

        Raises
        ------
        StalledError, UnreachableError
            If there is none to be had.
        """
        return connect(origin, self._connect_timeout_s)

    @property
    def silence_timeout_s(self) -> float:
        """Longest wait for the next byte."""
        return self._silence_timeout_s

    def _take(self, origin: Origin) -> tuple[Wire, bool]:
        while True:
            with self._lock:
                if self._closing.is_set():
                    raise UnreachableError("client is closed", address=origin.authority)
                kept = self._idle[origin].pop() if self._idle[origin] else None
                if kept is not None:
                    self._busy.add(kept[1])
            if kept is None:
                break
            since, wire = kept
            if time.monotonic() - since < _IDLE_LIMIT_S and not wire.gone:
                return wire, False
            self._drop(wire)
        sock = self.connection(origin)
        wire = Wire(sock, origin.authority, self._silence_timeout_s)
        with self._lock:
            self._busy.add(wire)
            closed = self._closing.is_set()
        if closed:
            self._drop(wire)
            raise UnreachableError("client is closed", address=origin.authority)
        return wire, True

    def _give_back(self, origin: Origin, wire: Wire) -> None:
        if wire.idle or wire.drain(_DRAIN_LIMIT_BYTES):
            with self._lock:
                self._busy.discard(wire)
                if not self._closing.is_set():
                    self._idle[origin].append((time.monotonic(), wire))
                    return
        self._drop(wire)

    def _drop(self, wire: Wire) -> None:
        with self._lock:
            self._busy.discard(wire)
        wire.close()

    def close(self) -> None:
        """Close every connection; requests under way in other threads fail at once."""
        with self._lock:
            self._closing.set()
            wires = [*self._busy, *(w for kept in self._idle.values() for _, w in kept)]
            self._idle.clear()
        for wire in wires:
            wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _redirected(url: str, location: str) -> str:
    joined = urljoin(url, quote(location, safe="%/:=&?~#+!$,;'@()*[]|"))
    if url.lower().startswith("https:") and joined.lower().startswith("http:"):
        return "https" + joined.removeprefix("http")
    return joined


def _refusal(response: Response) -> OpenAllenError:
    body = b""
    with suppress(OpenAllenError):  # the status says enough; the excerpt is a courtesy
        body = response.read(1 << 16)
    kind = sniff(body)
    excerpt = " ".join(body[:200].decode("utf-8", "replace").split())
    why = f"HTTP {response.status}" + (
        ""
        if kind == "empty"
        else f", {excerpt}"
        if kind in {"text", "json"}
        else f", {describe(kind)}"
    )
    if response.status in {404, 410}:
        return NotFoundError("not found", address=response.url, why=why)
    return StatusError(
        "the service returned an error",
        status=response.status,
        retry_after_s=_retry_after_s(response.headers.get("retry-after", "")),
        address=response.url,
        why=why,
    )


def _retry_after_s(text: str) -> float | None:
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _log_request(url: str, headers: Mapping[str, str]) -> None:
    if _LOG.isEnabledFor(logging.DEBUG):
        options = "".join(f" -H {shlex.quote(f'{k}: {v}')}" for k, v in headers.items())
        _LOG.debug("GET %s  (curl -L%s %s)", url, options, shlex.quote(url))
