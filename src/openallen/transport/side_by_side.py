"""Several ranges of one file at once, driven by the thread that wants them.

Sixteen threads with a handle each spend most of their time handing the interpreter to one another:
sixteen ranges of 64 kB from a server near by took 4.7 ms by threads, 1.3 ms so. Only the plain case
is here; a range that did not come, whyever, is for the caller to ask for the careful way.

Each range has a connection of its own where the server speaks HTTP/2, too. Ranges are large, and
most links limit what one connection gets: sixteen of 1 MB took five times as long over one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from openallen.errors import AnswerError, UnreachableError
from openallen.transport.handles import Client
from openallen.transport.multiplexer import Multiplexer

__all__ = ["SideBySide"]

_MOST: Final = 16
_LOOK_S: Final = 0.1
_PLAIN: Final = frozenset({"", "identity"})


class _Range:
    """A range, and the memory that it fills."""

    __slots__ = ("_at", "_view", "number", "start")

    def __init__(self, number: int, start: int, view: memoryview) -> None:
        self.number, self.start = number, start
        self._view, self._at = view, 0

    @property
    def header(self) -> str:
        return f"Range: bytes={self.start}-{self.start + len(self._view) - 1}"

    @property
    def is_whole(self) -> bool:
        return self._at == len(self._view)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        coding = headers.get("content-encoding", "").lower().strip()
        if status != 206 or coding not in _PLAIN:
            raise AnswerError("not a range", why=f"HTTP {status}")

    def write(self, data: bytes) -> None:
        end = self._at + len(data)
        if end > len(self._view):
            raise AnswerError("more bytes than asked for")
        self._view[self._at : end] = data
        self._at = end


class SideBySide:
    """Reads ranges at once; for one thread at a time.

    Parameters
    ----------
    client
        Whose options to ask with: trust, proxies, timeouts, offline.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._requests = Multiplexer(client, apart=True)

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
        OfflineError, UsageError
            If nothing may be asked for, or it is no http or https URL.
        """
        found: list[Mapping[str, str] | None] = [None] * len(wanted)
        waiting = deque(_Range(n, start, view) for n, (start, view) in enumerate(wanted))
        try:
            while waiting or self._requests.waiting:
                while waiting and self._requests.waiting < _MOST:
                    one = waiting.popleft()
                    self._requests.ask(one, url, sink=one, headers=[one.header])
                for body in self._requests.bodies(_LOOK_S):
                    assert isinstance(body.key, _Range)
                    if body.error is None and body.key.is_whole:
                        found[body.key.number] = body.headers
                if self._client.closed:
                    raise UnreachableError("client is closed", address=url)
        finally:
            self._requests.drop()
        return found

    def close(self) -> None:
        """Close every connection."""
        self._requests.close()
