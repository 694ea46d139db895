"""Several ranges of one file at once, driven by the thread that wants them.

Sixteen threads with a handle each spend most of their time handing the interpreter to one another:
sixteen ranges of 64 kB from a server near by took 4.7 ms by threads, 1.3 ms so. Only the plain case
is here; a range that did not come, whyever, is for the caller to ask for the careful way.

Each range has a connection of its own where the server speaks HTTP/2, too. Ranges are large, and
most links limit what one connection gets: sixteen of 1 MB took five times as long over one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import pycurl

from openallen.errors import UnreachableError
from openallen.transport.handles import Head, aim, new_multi, wait_for

if TYPE_CHECKING:
    from openallen.transport.http import Http

__all__ = ["SideBySide"]

_MOST: Final = 16
_LOOK_S: Final = 0.1


class _Range:
    """A handle, and the memory that it fills."""

    __slots__ = ("at", "curl", "head", "number", "since", "view")

    def __init__(self, curl: pycurl.Curl) -> None:
        self.curl = curl
        curl.setopt(pycurl.HEADERFUNCTION, self._line)
        curl.setopt(pycurl.WRITEFUNCTION, self._write)
        curl.setopt(pycurl.HTTPHEADER, ["Accept-Encoding: identity"])
        self.head = Head()
        self.view = memoryview(b"")
        self.at = self.number = 0
        self.since = 0.0

    def begin(self, number: int, url: str, start: int, view: memoryview) -> None:
        self.number, self.head, self.view, self.at = number, Head(), view, 0
        self.since = time.monotonic()
        aim(self.curl, url)
        self.curl.setopt(pycurl.RANGE, f"{start}-{start + len(view) - 1}")

    def _line(self, raw: bytes) -> None:
        self.head.line(raw)  # and no sign of life: a head may go on for ever

    def _write(self, data: bytes) -> int | None:
        if not self.head.whole:
            return None  # the body of a redirect
        end = self.at + len(data)
        if self.head.status != 206 or end > len(self.view):
            return -1
        self.view[self.at : end] = data
        self.at = end
        self.since = time.monotonic()
        return None

    @property
    def is_whole(self) -> bool:
        coding = self.head.headers.get("content-encoding", "identity").lower().strip()
        return self.head.whole and self.at == len(self.view) and coding == "identity"

    def let_go(self) -> None:
        self.view = memoryview(b"")


class SideBySide:
    """Reads ranges at once; for one thread at a time.

    Parameters
    ----------
    http
        Whose options to ask with: trust, proxies, timeouts, offline.
    """

    def __init__(self, http: Http) -> None:
        self._http = http
        self._multi = new_multi()
        self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_NOTHING)
        self._free: list[_Range] = []
        self._busy: dict[pycurl.Curl, _Range] = {}

    def read(
        self, url: str, wanted: Sequence[tuple[int, memoryview]]
    ) -> list[Mapping[str, str] | None]:
        """Ask for ranges, each by its first byte and the memory that it fills.

        Returns
        -------
        list of (Mapping or None)
            The headers of each answer, names in lower case; None where the memory was not filled.

        Raises
        ------
        UnreachableError
            If the client is closed meanwhile.
        UsageError
            If it is no http or https URL.
        """
        found: list[Mapping[str, str] | None] = [None] * len(wanted)
        waiting = deque(enumerate(wanted))
        try:
            while waiting or self._busy:
                while waiting and len(self._busy) < _MOST:
                    number, (start, view) = waiting.popleft()
                    self._begin(number, url, start, view)
                if self._http.closed:
                    raise UnreachableError("client is closed", address=url)
                self._multi.perform()
                if not self._settle(found) and self._busy:
                    wait_for(self._multi, _LOOK_S)
        finally:
            for curl in list(self._busy):
                self._release(curl)
        return found

    def _begin(self, number: int, url: str, start: int, view: memoryview) -> None:
        one = self._free.pop() if self._free else _Range(self._http.handle())
        one.begin(number, url, start, view)
        self._multi.add_handle(one.curl)
        self._busy[one.curl] = one

    def _settle(self, found: list[Mapping[str, str] | None]) -> bool:
        """Take what ended, well or not, and give up what is silent; say whether there was any."""
        before = len(self._busy)
        left = 1
        while left:
            left, done, failed = self._multi.info_read()
            for curl in done:
                one = self._busy[curl]
                if one.is_whole:
                    found[one.number] = one.head.headers
                self._release(curl)
            for curl, _, _ in failed:
                self._release(curl)
        late = time.monotonic() - self._http.silence_timeout_s
        for curl, one in list(self._busy.items()):
            if one.since < late:
                self._release(curl)
        return len(self._busy) < before

    def _release(self, curl: pycurl.Curl) -> None:
        self._multi.remove_handle(curl)
        one = self._busy.pop(curl)
        one.let_go()
        self._free.append(one)

    def close(self) -> None:
        """Close every connection."""
        for one in self._free:
            one.curl.close()
        self._free.clear()
        self._multi.close()
