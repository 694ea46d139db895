"""One HTTP client on libcurl: kept connections, redirects, timeouts, clear errors.

Threads may share a client; each request holds one handle while its answer is read.
"""

from __future__ import annotations

import html
import re
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Self
from urllib.parse import urlsplit

import pycurl

from openallen.errors import (
    AnswerError,
    OfflineError,
    OpenAllenError,
    UnreachableError,
    UsageError,
)
from openallen.transport.exchange import Exchange
from openallen.transport.handles import is_loopback, new_handle, safe_url
from openallen.transport.heads import (
    ContentRange,
    content_range,
    log_request,
    plain_number,
    status_error,
)
from openallen.transport.heard import Listener, Tee
from openallen.transport.side_by_side import SideBySide
from openallen.transport.sniff import describe, sniff

__all__ = ["Http", "Response"]

_PIECE_BYTES: Final = 1 << 18


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

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.status = exchange.head.status
        self.headers: Mapping[str, str] = exchange.head.headers
        self.url = exchange.url
        coding = self.headers.get("content-encoding", "identity").lower().strip()
        if coding not in {"identity", "", "gzip", "x-gzip", "deflate"}:
            raise AnswerError("unknown content encoding", address=self.url, why=coding)
        self.encoded = coding not in {"identity", ""}
        told = self.headers.get("content-length")
        if told is not None and plain_number(told) is None:
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
        return plain_number(text) if not self.encoded else None

    @property
    def content_range(self) -> ContentRange | None:
        """The range this answer holds; None for a whole body, or a range that cannot be."""
        return content_range(self.headers)

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
    told
        Is told of every whole answer to `get`.
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
        told: Listener | None = None,
    ) -> None:
        self._told = told
        self.silence_timeout_s = silence_timeout_s
        self.head_timeout_s = head_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._least = (least_bytes_per_s, least_window_s)
        self._offline = offline
        self._user_agent = user_agent
        self._idle: list[Exchange] = []
        self._abreast: list[SideBySide] = []
        self._lock = threading.Lock()
        self._share = pycurl.CurlShare()
        self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_DNS)
        self.closed = False

    @property
    def options(self) -> dict[str, Any]:
        """The arguments that make another client like this one, in another process too."""
        return {
            "connect_timeout_s": self._connect_timeout_s,
            "silence_timeout_s": self.silence_timeout_s,
            "head_timeout_s": self.head_timeout_s,
            "least_bytes_per_s": self._least[0],
            "least_window_s": self._least[1],
            "offline": self._offline,
            "user_agent": self._user_agent,
        }

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
            If offline, and the host is not this machine or has no server.
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
        log_request(url, _lines(asked))
        exchange = self._take(url)
        try:
            self._begin(exchange, url, _lines(asked))
            tee = None if self._told is None or "Range" in asked else Tee(exchange)
            response = Response(tee or exchange)
            if not 200 <= response.status < 300:
                raise _refusal(response)
            yield response
            heard = tee.heard(url) if tee is not None else None
            if self._told is not None and heard is not None:
                self._told(heard)
        finally:
            self._give_back(exchange)

    def _begin(self, exchange: Exchange, url: str, lines: list[str]) -> None:
        try:
            exchange.begin(url, lines)
        except UnreachableError as error:
            # Offline only this machine is asked: a server of it that is not there is no network.
            if not self._offline or error.what != "no connection":
                raise
            raise OfflineError(
                "offline mode is on, and this server does not answer",
                address=error.address,
                why=error.why,
            ) from error

    def ranges(
        self, url: str, wanted: Sequence[tuple[int, memoryview]]
    ) -> list[Mapping[str, str] | None]:
        """Fill memory with ranges of a file, all at once; each by its first byte.

        Returns
        -------
        list of (Mapping or None)
            Headers of the answers; None for a range that did not come, to be asked for with `get`.

        Raises
        ------
        OfflineError, UnreachableError, UsageError
            If nothing may be asked for, the client is closed, or this is not a URL.
        """
        with self._lock:
            reader = self._abreast.pop() if self._abreast else SideBySide(self)
        try:
            return reader.read(url, wanted)
        finally:
            with self._lock:
                kept = not self.closed
                if kept:
                    self._abreast.append(reader)
            if not kept:
                reader.close()

    def _take(self, url: str) -> Exchange:
        with self._lock:
            if self.closed:
                raise UnreachableError("client is closed", address=url)
            if self._idle:
                return self._idle.pop()
        return Exchange(self)

    def _give_back(self, exchange: Exchange) -> None:
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
            idle: list[Exchange | SideBySide] = [*self._idle, *self._abreast]
            self._idle, self._abreast = [], []
        for each in idle:
            each.close()

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


_S3_ERROR: Final = re.compile(rb"<Code>(\w{1,60})</Code>\s*<Message>([^<]{1,300})</Message>")


def _said(body: bytes) -> str:
    """Return what an error of S3 says, in brackets; nothing for other bodies."""
    found = _S3_ERROR.search(body[:2000])
    if found is None:
        return ""
    code, message = (html.unescape(part.decode("utf-8", "replace")) for part in found.groups())
    return f" ({code}: {' '.join(message.split())})"


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
        else f", {describe(kind)}{_said(body)}"
    )
    return status_error(response.status, response.url, response.headers, why)
