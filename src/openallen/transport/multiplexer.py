"""Many small bodies at once from one thread, on one multi handle of libcurl.

For files of a few kilobytes the cost of a thread handing the interpreter to the next is larger
than the file. Here one thread asks on many connections and takes whatever arrived. It takes the
plain case only; whatever else happens is handed back to the caller as an error, to be asked for
again the careful way.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

import pycurl

from openallen.errors import AnswerError, OpenAllenError, StatusError, UnreachableError
from openallen.transport.handles import Head, error_of, redirects_of, safe_url
from openallen.transport.http import Http

__all__ = ["Body", "Multiplexer"]

_PLAIN: Final = frozenset({"", "identity"})


@dataclass(frozen=True, slots=True)
class Body:
    """What came of one request.

    Parameters
    ----------
    key
        What the caller gave it.
    data
        The body; empty where there is an error.
    headers
        Headers of the answer, names in lower case.
    error
        Why there is no body.
    """

    key: Hashable
    data: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    error: OpenAllenError | None = None


class _Request:
    """A handle, and what it is receiving."""

    __slots__ = ("curl", "key", "lines", "pieces", "since", "url")

    def __init__(self, curl: pycurl.Curl, limit_bytes: int) -> None:
        self.curl = curl
        self.pieces: list[bytes] = []
        self.lines: list[bytes] = []
        self.key: Hashable = None
        self.url = ""
        self.since = 0.0
        curl.setopt(pycurl.MAXFILESIZE_LARGE, limit_bytes)
        curl.setopt(pycurl.HTTPHEADER, ["Accept-Encoding: identity"])

    def begin(self, key: Hashable, url: str) -> None:
        self.key, self.url, self.since = key, url, time.monotonic()
        self.pieces, self.lines = [], []
        # Methods of lists take what comes without a line of Python between.
        self.curl.setopt(pycurl.WRITEFUNCTION, self.pieces.append)
        self.curl.setopt(pycurl.HEADERFUNCTION, self.lines.append)
        self.curl.setopt(pycurl.URL, url)
        self.curl.setopt(pycurl.REDIR_PROTOCOLS, redirects_of(url))

    def body(self) -> Body:
        """Return what came, where it is what was asked for."""
        status = self.curl.getinfo(pycurl.RESPONSE_CODE)
        head = Head()
        for line in self.lines:
            head.line(line)
        data = b"".join(self.pieces)
        coding = head.headers.get("content-encoding", "").lower().strip()
        if status != 200 or coding not in _PLAIN:
            return Body(self.key, headers=head.headers, error=_refused(status, self.url))
        return Body(self.key, data, head.headers)


def _refused(status: int, url: str) -> OpenAllenError:
    if status >= 400:
        return StatusError(
            "the service returned an error", status=status, address=url, why=f"HTTP {status}"
        )
    return AnswerError("not a plain answer", address=url, why=f"HTTP {status}")


class Multiplexer:
    """Asks for many small bodies; `bodies` returns them as they come. For one thread.

    Parameters
    ----------
    http
        Whose options to ask with: trust, proxies, timeouts, offline.
    limit_bytes
        A larger body is refused.
    """

    def __init__(self, http: Http, *, limit_bytes: int) -> None:
        self._http = http
        self._limit_bytes = limit_bytes
        self._multi = pycurl.CurlMulti()
        self._free: list[_Request] = []
        self._busy: dict[pycurl.Curl, _Request] = {}
        self._quiet_since = time.monotonic()

    @property
    def waiting(self) -> int:
        """How many requests have no answer yet."""
        return len(self._busy)

    def ask(self, key: Hashable, url: str) -> None:
        """Send a request.

        Raises
        ------
        OfflineError, UsageError
            If it cannot be asked at all.
        """
        refused = self._http.refusal(url)
        if refused is not None:
            raise refused
        url = safe_url(url)
        if self._free:
            request = self._free.pop()
        else:
            request = _Request(self._http.handle(), self._limit_bytes)
        request.begin(key, url)
        self._multi.add_handle(request.curl)
        self._busy[request.curl] = request

    def bodies(self, wait_s: float = 0.2) -> Iterator[Body]:
        """Wait for something to arrive, and return what is whole.

        Parameters
        ----------
        wait_s
            Longest wait, in seconds.
        """
        self._multi.perform()
        found = list(self._ended())
        if not found and self._busy:
            self._multi.select(wait_s)
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
                yield request.body()
                self._free.append(request)
            for curl, code, text in failed:
                request = self._release(curl)
                error = self._http.refusal(request.url) or error_of(code, text, request.url)
                yield Body(request.key, error=error)
                self._free.append(request)

    def _release(self, curl: pycurl.Curl) -> _Request:
        self._multi.remove_handle(curl)
        return self._busy.pop(curl)

    def _stalled(self) -> Iterator[Body]:
        """End requests that have been silent too long; libcurl's own least speed ends the slow."""
        now = time.monotonic()
        if self._http.closed:
            limit_s, error = -1.0, UnreachableError("client is closed")
        elif now - self._quiet_since < 1.0:
            return
        else:
            limit_s, error = self._http.silence_timeout_s, None
        self._quiet_since = now
        for curl, request in list(self._busy.items()):
            if now - request.since > limit_s and (error is not None or not request.pieces):
                self._release(curl)
                yield Body(request.key, error=error or error_of(28, "silence", request.url))

    def close(self) -> None:
        """Drop what is under way, and close every connection."""
        for curl in list(self._busy):
            self._free.append(self._release(curl))
        for request in self._free:
            request.curl.close()
        self._free.clear()
        self._multi.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
