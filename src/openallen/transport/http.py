"""One HTTP client on libcurl: kept connections, redirects, timeouts, clear errors.

Threads may share a client; each request holds one handle while its answer is read.
"""

from __future__ import annotations

import logging
import math
import re
import shlex
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

import pycurl

from openallen.errors import (
    AnswerError,
    NotFoundError,
    OfflineError,
    OpenAllenError,
    StalledError,
    StatusError,
    UnreachableError,
    UsageError,
)
from openallen.transport.handles import (
    Head,
    aim,
    close_multi,
    error_of,
    is_loopback,
    new_handle,
    safe_url,
)
from openallen.transport.sniff import describe, sniff
from openallen.whole_numbers import whole_number

__all__ = ["ContentRange", "Http", "Response"]

_LOG = logging.getLogger("openallen.transport")
_LOOK_S: Final = 0.1
_TIMED_OUT: Final = 28
_CONNECTING: Final = frozenset({5, 6, 7})
_NAMED_CHARS: Final = 200
_HELD_BYTES: Final = 2 << 20
_PIECE_BYTES: Final = 1 << 18


class ContentRange(NamedTuple):
    """Which bytes an answer holds: first and last, both included, and the whole size if told."""

    first: int
    last: int
    total: int | None


class _Exchange:
    """One request on handles of its own, driven by whoever reads the answer."""

    def __init__(self, client: Http) -> None:
        self._client = client
        self._multi = pycurl.CurlMulti()
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
            self._multi.select(min(_LOOK_S, self._client.silence_timeout_s - quiet_s))

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
        told = _number(self.head.headers.get("content-length", ""))
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

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange
        self.status = exchange.head.status
        self.headers: Mapping[str, str] = exchange.head.headers
        self.url = exchange.url
        coding = self.headers.get("content-encoding", "identity").lower().strip()
        if coding not in {"identity", "", "gzip", "x-gzip", "deflate"}:
            raise AnswerError("unknown content encoding", address=self.url, why=coding)
        self.encoded = coding not in {"identity", ""}
        told = self.headers.get("content-length")
        if told is not None and _number(told) is None:
            # libcurl reads such a body to the end of the connection, and would call any part whole.
            raise AnswerError(
                "the length of the response cannot be read",
                address=self.url,
                why=f"Content-Length: {told[:40]}",
            )

    @property
    def length_bytes(self) -> int | None:
        """Size of the body as told, None where it is not."""
        text = self.headers.get("content-length", "")
        return _number(text) if not self.encoded else None

    @property
    def content_range(self) -> ContentRange | None:
        """The range this answer holds; None for a whole body, or a range that cannot be."""
        text = self.headers.get("content-range", "").strip()
        match = re.fullmatch(r"bytes\s+(\d{1,19})-(\d{1,19})/(\d{1,19}|\*)", text, re.ASCII)
        if match is None:
            return None
        first, last = int(match[1]), int(match[2])
        total = None if match[3] == "*" else int(match[3])
        if last < first or (total is not None and last >= total):
            return None
        return ContentRange(first, last, total)

    def pieces(self) -> Iterator[bytes]:
        """Return the body as it comes, undecoded, piece by piece.

        Raises
        ------
        UnreachableError, StalledError
            If the connection breaks or falls silent before the end.
        """
        while piece := self._exchange.next():
            yield piece

    def read_into(self, view: memoryview) -> int:
        """Read body bytes as they came, undecoded, into `view`; fills it unless the body ends.

        Bytes that came before a break are returned first; the next call raises what broke.
        """
        filled = 0
        while filled < len(view):
            try:
                piece = self._exchange.next()
            except OpenAllenError:
                if not filled:
                    raise
                break
            if not piece:
                break
            taken = min(len(piece), len(view) - filled)
            view[filled : filled + taken] = memoryview(piece)[:taken]
            filled += taken
            if taken < len(piece):
                self._exchange.put_back(piece[taken:])
        return filled

    def chunks(self, size_bytes: int = _PIECE_BYTES) -> Iterator[memoryview]:
        """Return the body piece by piece, decoded, none larger than `size_bytes`.

        Raises
        ------
        UnreachableError, StalledError
            If the connection breaks or falls silent before the end.
        AnswerError
            If a compressed body does not decompress, or ends before its end.
        """
        if self.encoded:
            yield from self._decoded(size_bytes)
            return
        for piece in self.pieces():
            view = memoryview(piece)
            for at in range(0, len(view), size_bytes):
                yield view[at : at + size_bytes]

    def _decoded(self, size_bytes: int) -> Iterator[memoryview]:
        inflate = zlib.decompressobj(wbits=47)
        left = b""
        try:
            for piece in self.pieces():
                left += piece
                while left:
                    if inflate.eof:  # another member follows
                        inflate = zlib.decompressobj(wbits=47)
                    plain = inflate.decompress(left, size_bytes)
                    left = inflate.unconsumed_tail or inflate.unused_data
                    if plain:
                        yield memoryview(plain)
                    elif not inflate.eof:
                        break
        except zlib.error as error:
            raise AnswerError("the response does not decompress", address=self.url) from error
        if not inflate.eof:
            raise AnswerError(
                "the response does not decompress", address=self.url, why="it is cut short"
            )

    def read(self, limit_bytes: int = 1 << 30) -> bytes:
        """Return the whole body.

        Raises
        ------
        AnswerError
            If it is larger than `limit_bytes`.
        """
        body: list[bytes | memoryview] = []
        size = 0
        for piece in self.chunks():
            body.append(piece)
            size += len(piece)
            if size > limit_bytes:
                raise AnswerError(
                    "response too large", address=self.url, why=f"over {limit_bytes:,} bytes"
                )
        return b"".join(body)


class Http:
    """A client for plain GET requests.

    Parameters
    ----------
    connect_timeout_s, silence_timeout_s
        Longest wait for a connection, and for the next byte, in seconds.
    head_timeout_s
        Longest wait for the whole head of an answer, in seconds.
    least_bytes_per_s, least_window_s
        An answer that comes slower than this over that many seconds is given up; 0 for no bound.
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
        head_timeout_s: float = 120.0,
        least_bytes_per_s: int = 100,
        least_window_s: int = 30,
        offline: bool = False,
        user_agent: str = "openallen",
    ) -> None:
        self.silence_timeout_s = silence_timeout_s
        self.head_timeout_s = head_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._least = (least_bytes_per_s, least_window_s)
        self._offline = offline
        self._user_agent = user_agent
        self._idle: list[_Exchange] = []
        self._lock = threading.Lock()
        self._share = pycurl.CurlShare()
        self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_DNS)
        self.closed = False

    def reaches(self, url: str) -> bool:
        """Return whether `url` may be requested: not when offline, unless on this machine."""
        if not self._offline:
            return True
        try:
            return is_loopback(urlsplit(url).hostname or "")
        except ValueError:  # where a redirect led may be no URL for Python
            return False

    def refusal(self, url: str) -> OfflineError | None:
        """Return the error for what may not be asked for offline; None where it may."""
        if self.reaches(url):
            return None
        return OfflineError("offline mode is on", address=url, hint="leave out --offline")

    def handle(self) -> pycurl.Curl:
        """Make a handle with the options of this client, for whoever drives it himself."""
        return new_handle(
            connect_timeout_s=self._connect_timeout_s,
            least=self._least,
            offline=self._offline,
            user_agent=self._user_agent,
            share=self._share,
        )

    @contextmanager
    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        byte_range: tuple[int, int | None] | None = None,
        compressed: bool = False,
    ) -> Iterator[Response]:
        """Ask for `url` and return the answer, its body unread, while the context lasts.

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

        Raises
        ------
        NotFoundError
            For status 404 and 410.
        StatusError
            For every other status that is not a success, a redirect to nowhere among them.
        UnreachableError, StalledError
            If no whole answer head arrives.
        AnswerError
            For redirects that do not end, or lead out of HTTP or from https to http.
        OfflineError
            If offline and the host is not this machine.
        """
        asked = dict(headers or {})
        if byte_range is not None:
            first, last = byte_range
            asked["Range"] = f"bytes={first}-{'' if last is None else last}"
        asked["Accept-Encoding"] = "gzip" if compressed else "identity"
        url = safe_url(url)
        refused = self.refusal(url)
        if refused is not None:
            raise refused
        _log_request(url, asked)
        exchange = self._take(url)
        try:
            exchange.begin(url, _lines(asked))
            response = Response(exchange)
            if not 200 <= response.status < 300:
                raise _refusal(response)
            yield response
        finally:
            self._give_back(exchange)

    def _take(self, url: str) -> _Exchange:
        with self._lock:
            if self.closed:
                raise UnreachableError("client is closed", address=url)
            if self._idle:
                return self._idle.pop()
        return _Exchange(self)

    def _give_back(self, exchange: _Exchange) -> None:
        exchange.end()
        with self._lock:
            if not self.closed:
                self._idle.append(exchange)
                return
        exchange.close()

    def close(self) -> None:
        """Close every connection; requests under way in other threads fail at once."""
        with self._lock:
            self.closed = True
            idle, self._idle = self._idle, []
        for exchange in idle:
            exchange.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _lines(headers: Mapping[str, str]) -> list[str]:
    """Write request headers.

    Raises
    ------
    UsageError
        If one holds a line break.
    """
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if any(char in line for line in lines for char in "\r\n\0"):
        raise UsageError("request holds a line break")
    return lines


def _number(text: str) -> int | None:
    """Read a number of a header; None where it is none, or larger than any file."""
    words = {word.strip() for word in text.split(",")}
    return whole_number(words.pop()) if len(words) == 1 else None


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
    seconds = _number(text)
    if seconds is not None:
        return float(seconds)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _log_request(url: str, headers: Mapping[str, str]) -> None:
    if _LOG.isEnabledFor(logging.DEBUG):
        options = "".join(f" -H {shlex.quote(f'{k}: {v}')}" for k, v in headers.items())
        _LOG.debug("GET %s  (curl -L%s %s)", url, options, shlex.quote(url))
