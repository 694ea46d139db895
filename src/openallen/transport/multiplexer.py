"""Many bodies at once from one thread, on one multi handle of libcurl.

A thread that hands the interpreter to the next costs more than a file of a few kilobytes, and
dozens of threads hold each other up over large ones. Here one thread asks on many connections and
takes whatever arrived: small bodies are held in memory, large ones go to a `Sink` as they come. It
takes the plain case only; whatever else happens is handed back to the caller as an error.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol, Self

import pycurl

from openallen.errors import (
    AnswerError,
    OpenAllenError,
    StalledError,
    UnreachableError,
)
from openallen.transport.handles import (
    Client,
    aim,
    close_multi,
    error_of,
    new_multi,
    safe_url,
    wait_for,
)
from openallen.transport.heads import Head, log_request, status_error

__all__ = ["Body", "Multiplexer", "Sink", "refused"]

_PLAIN: Final = frozenset({"", "identity"})
_TELLING: Final = (b"content-encoding", b"openallen-", b"retry-after")
_LOOK_S: Final = 1.0
_NAMED_CHARS: Final = 200
_STOP: Final = 0
"""What a callback returns to have libcurl give the request up."""


class Sink(Protocol):
    """Takes a body as it comes; what either method raises ends the request."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Look at the head of the answer, before the first byte."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""


@dataclass(frozen=True, slots=True)
class Body:
    """What came of one request.

    Parameters
    ----------
    key
        What the caller gave it.
    data
        The body; empty where there is an error, or a sink took it.
    headers
        Headers of the answer, names in lower case; those of bodies held in memory only where one
        of them matters here.
    error
        Why there is no body, or no whole one; an `OSError` where a sink could not write.
    """

    key: Hashable
    data: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    error: OpenAllenError | OSError | None = None


_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class _Request:
    """A handle, and what it is receiving."""

    __slots__ = (
        "_limit_bytes", "_sink", "broke", "came", "curl", "key", "lines", "moved_s",
        "pieces", "seen", "url",
    )  # fmt: skip

    def __init__(self, curl: pycurl.Curl, limit_bytes: int) -> None:
        self.curl = curl
        self._limit_bytes = limit_bytes

    def begin(self, key: Hashable, url: str, sink: Sink | None, headers: Sequence[str]) -> None:
        self.key, self.url, self._sink = key, url, sink
        self.moved_s = time.monotonic()
        self.came = self.seen = 0
        self.broke: Exception | None = None
        self.pieces: list[bytes] = []
        self.lines: list[bytes] = []
        setopt = self.curl.setopt
        # Methods of lists take what comes without a line of Python between.
        setopt(pycurl.WRITEFUNCTION, self.pieces.append if sink is None else self._write)
        setopt(pycurl.HEADERFUNCTION, self.lines.append)
        setopt(pycurl.HTTPHEADER, ["Accept-Encoding: identity", *headers])
        setopt(pycurl.MAXFILESIZE_LARGE, self._limit_bytes if sink is None else 0)
        aim(self.curl, url)

    def _write(self, data: bytes) -> int | None:
        """Hand bytes to the sink, its head first; nothing may be raised into libcurl."""
        assert self._sink is not None
        try:
            if not self.came:
                head = self.head()
                self._sink.begin(head.status, head.headers)
            self._sink.write(data)
        except Exception as error:  # noqa: BLE001 - raised where libcurl has returned
            self.broke = error
            return _STOP
        self.came += len(data)
        return None

    def forget(self) -> None:
        """Hold neither the body nor what takes it any longer."""
        self.pieces, self.lines = [], []
        self.key = self._sink = None

    def last_url(self) -> str:
        """Return where redirects led; a server may write any bytes there."""
        raw: bytes = self.curl.getinfo_raw(pycurl.EFFECTIVE_URL)
        return raw.decode("utf-8", "replace")[:_NAMED_CHARS] or self.url

    def head(self) -> Head:
        head = Head()
        for line in self.lines:
            head.line(line)
        return head

    def silent_s(self, now: float) -> float:
        """Return for how long nothing of the body has come, as far as looks like this one can tell.

        Lines of a head are no sign of life: there may be no end of them.
        """
        seen = self.came + len(self.pieces)
        if seen != self.seen:
            self.seen, self.moved_s = seen, now
        return now - self.moved_s

    def body(self) -> Body:
        """Return what came, where it is what was asked for."""
        if self._sink is not None:
            return self._sunk(self._sink)
        status = self.curl.getinfo(pycurl.RESPONSE_CODE)
        told = b"".join(self.lines).lower()
        headers = self.head().headers if any(word in told for word in _TELLING) else _NONE
        coding = headers.get("content-encoding", "").lower().strip()
        if status != 200 or coding not in _PLAIN:
            return Body(self.key, headers=headers, error=refused(status, self.url, headers))
        return Body(self.key, b"".join(self.pieces), headers)

    def _sunk(self, sink: Sink) -> Body:
        head = self.head()
        error: OpenAllenError | OSError | None = None
        if not self.came:  # an answer without a body: the sink says what that means
            try:
                sink.begin(head.status, head.headers)
            except (OpenAllenError, OSError) as broke:
                error = broke
        return Body(self.key, headers=head.headers, error=error)


def refused(status: int, url: str, headers: Mapping[str, str]) -> OpenAllenError:
    """Return the error that an answer with another status than the one hoped for stands for."""
    why = f"HTTP {status}"
    if status >= 400:
        return status_error(status, url, headers, why)
    return AnswerError("not a plain answer", address=url, why=why)


class Multiplexer:
    """Asks for many bodies; `bodies` returns them as they end. For one thread.

    Parameters
    ----------
    http
        Whose options to ask with: trust, proxies, timeouts, offline.
    limit_bytes
        A larger body is refused, where it is held in memory.
    apart
        Whether each request has a connection of its own over HTTP/2, too.
    """

    def __init__(self, http: Client, *, limit_bytes: int = 0, apart: bool = False) -> None:
        self._http = http
        self._limit_bytes = limit_bytes
        self._multi = new_multi()
        if apart:
            self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_NOTHING)
        self._free: list[_Request] = []
        self._busy: dict[pycurl.Curl, _Request] = {}
        self._looked_s = time.monotonic()
        self._connected = True

    @property
    def waiting(self) -> int:
        """How many requests have not ended yet."""
        return len(self._busy)

    def ask(
        self, key: Hashable, url: str, *, sink: Sink | None = None, headers: Sequence[str] = ()
    ) -> None:
        """Send a request.

        Parameters
        ----------
        key
            Comes back with its `Body`.
        url
            What to ask for.
        sink
            Takes the body as it comes; held in memory where None.
        headers
            More lines of the request's head.

        Raises
        ------
        OfflineError, UsageError
            If it cannot be asked at all.
        """
        refusal = self._http.refusal(url)
        if refusal is not None:
            raise refusal
        url = safe_url(url)
        log_request(url, headers)
        request = (
            self._free.pop() if self._free else _Request(self._http.handle(), self._limit_bytes)
        )
        request.begin(key, url, sink, headers)
        self._multi.add_handle(request.curl)
        self._busy[request.curl] = request

    def bodies(self, wait_s: float = 0.2) -> Iterator[Body]:
        """Wait for something to end, and return what has.

        Parameters
        ----------
        wait_s
            Longest wait, in seconds.
        """
        self._multi.perform()
        found = list(self._ended())
        if not found and self._busy:
            wait_for(self._multi, wait_s)
            self._multi.perform()
            found = list(self._ended())
        yield from found
        yield from self._stalled()

    def _ended(self) -> Iterator[Body]:
        left = 1
        while left:
            left, done, failed = self._multi.info_read()
            for curl in done:
                request = self._release(curl)
                body = request.body()
                self._let_go(request)
                yield body
            for curl, code, text in failed:
                request = self._release(curl)
                body = Body(request.key, error=self._error(request, code, text))
                self._let_go(request)
                yield body

    def _error(self, request: _Request, code: int, text: str) -> OpenAllenError | OSError:
        broke = request.broke
        if broke is None:
            last = request.last_url()
            return self._http.refusal(last) or error_of(code, text, request.url, last_url=last)
        if isinstance(broke, (OpenAllenError, OSError)):
            return broke
        raise broke

    def _let_go(self, request: _Request) -> None:
        """Keep a handle for the next request, and nothing of this one."""
        request.forget()
        self._free.append(request)

    def _release(self, curl: pycurl.Curl) -> _Request:
        self._multi.remove_handle(curl)
        return self._busy.pop(curl)

    def _stalled(self) -> Iterator[Body]:
        """End requests that have been silent too long; libcurl's own least speed ends the slow."""
        now = time.monotonic()
        closed, limit_s = self._http.closed, self._http.silence_timeout_s
        if not closed and now - self._looked_s < min(_LOOK_S, limit_s / 2):
            return
        self._looked_s = now
        for curl, request in list(self._busy.items()):
            if closed:
                error: OpenAllenError = UnreachableError("client is closed")
            elif request.silent_s(now) > limit_s:
                why = f"no data for {limit_s:g} s"
                error = StalledError("timed out", address=request.url, why=why)
            else:
                continue
            key = request.key
            self._let_go(self._release(curl))
            yield Body(key, error=error)

    def drop(self) -> None:
        """Drop what is under way."""
        for curl in list(self._busy):
            self._let_go(self._release(curl))

    def close(self) -> None:
        """Drop what is under way, and close every connection."""
        self.drop()
        for request in self._free:
            self._connected = self._connected and bool(request.curl.getinfo(pycurl.PRIMARY_IP))
            request.curl.close()
        self._free.clear()
        close_multi(self._multi, connected=self._connected)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
