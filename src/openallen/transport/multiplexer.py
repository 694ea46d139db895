"""Multiplexer small bodies at once from one thread.

For files of a few kilobytes the cost of a thread handing the interpreter to the next is larger
than the file. Here one thread asks on many connections and takes whatever arrived. It takes the
plain case only (status 200, a told length, no coding); whatever else happens is handed back to
the caller as a refusal, to be asked for again the careful way.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final, Self

from openallen.errors import (
    AnswerError,
    NotFoundError,
    OpenAllenError,
    StalledError,
    StatusError,
    UnreachableError,
)
from openallen.transport.connection import Origin
from openallen.transport.head import HEAD_LIMIT_BYTES, Head, parse_head
from openallen.transport.http import Http

__all__ = ["Body", "Multiplexer"]

_FIRST_BYTES: Final = 64 * 1024
_CONNECTORS: Final = 32
_LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Body:
    """What came of one request.

    Parameters
    ----------
    key
        What the caller gave it.
    data
        The body; empty where there is an error.
    head
        Status and headers of the answer, where one came.
    error
        Why there is no body.
    """

    key: Hashable
    data: bytearray = field(default_factory=bytearray)
    head: Head | None = None
    error: OpenAllenError | None = None


@dataclass(slots=True, eq=False)
class _Connection:
    sock: socket.socket
    origin: Origin
    key: Hashable = None
    head: Head | None = None
    body: bytearray = field(default_factory=bytearray)
    got: int = 0
    since: float = 0.0


class Multiplexer:
    """Asks for many small bodies; `bodies` gives them as they come.

    Parameters
    ----------
    http
        Whose manners to ask with: trust, proxies, timeouts, offline.
    limit_bytes
        A larger body is refused.
    """

    def __init__(self, http: Http, *, limit_bytes: int) -> None:
        self._http = http
        self._limit_bytes = limit_bytes
        self._selector = selectors.DefaultSelector()
        self._asked: deque[tuple[Hashable, Origin, bytes]] = deque()
        self._busy: set[_Connection] = set()
        self._idle: dict[Origin, list[_Connection]] = defaultdict(list)
        self._dialled: SimpleQueue[tuple[Origin, socket.socket | OpenAllenError]] = SimpleQueue()
        self._dialling: dict[Origin, int] = defaultdict(int)
        self._dialers = ThreadPoolExecutor(_CONNECTORS, thread_name_prefix="connect")
        self._bell, self._rope = socket.socketpair()
        self._bell.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, None)
        self._first = bytearray(_FIRST_BYTES)
        self._looked = time.monotonic()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many requests have no answer yet."""
        return len(self._asked) + len(self._busy)

    def ask(self, key: Hashable, url: str) -> None:
        """Put a request in the queue.

        Raises
        ------
        OfflineError, UsageError
            If it cannot be asked at all.
        """
        origin, text = self._http.asking(url)
        self._asked.append((key, origin, text))

    def bodies(self, limit: int, wait_s: float = 0.2) -> Iterator[Body]:
        """Send what may be sent, wait for something to arrive, and give what is whole.

        Parameters
        ----------
        limit
            Most requests under way at once.
        wait_s
            Longest wait, in seconds.
        """
        yield from self._send(limit)
        for event, _ in self._selector.select(wait_s):
            connection = event.data
            if connection is None:
                self._ring()
            elif connection.key is None:
                self._hear(connection)
            else:
                body = self._receive(connection)
                if body is not None:
                    yield body
        yield from self._send(limit)
        yield from self._stalled()

    # --- sending ----------------------------------------------------------------------------------

    def _send(self, limit: int) -> Iterator[Body]:
        yield from self._arrived()
        while self._asked and len(self._busy) < limit:
            key, origin, text = self._asked[0]
            if not self._idle[origin]:
                self._open_connections(origin, min(limit - len(self._busy), len(self._asked)))
                return
            self._asked.popleft()
            connection = self._idle[origin].pop()
            try:
                whole = connection.sock.send(text) == len(text)
            except OSError:
                whole = False
            if not whole:
                self._drop(connection)
                self._asked.appendleft((key, origin, text))
                continue
            connection.key, connection.head, connection.got = key, None, 0
            connection.since = time.monotonic()
            self._busy.add(connection)

    def _open_connections(self, origin: Origin, wanted: int) -> None:
        while self._dialling[origin] < wanted:
            self._dialling[origin] += 1
            self._dialers.submit(self._connect, origin)

    def _connect(self, origin: Origin) -> None:
        try:
            made: socket.socket | OpenAllenError = self._http.connection(origin)
        except OpenAllenError as error:
            made = error
        except Exception as error:  # noqa: BLE001 - a pool swallows it: the caller must hear
            made = UnreachableError("no connection", address=origin.authority, why=str(error))
        if self._closed and not isinstance(made, OpenAllenError):
            made.close()
            return
        self._dialled.put((origin, made))
        self.wake()

    def wake(self) -> None:
        """End a wait in `bodies`; for other threads."""
        with suppress(OSError):
            self._rope.send(b"!")

    def _arrived(self) -> Iterator[Body]:
        """Add the connections that were made; an error fails one request."""
        while True:
            try:
                origin, made = self._dialled.get_nowait()
            except Empty:
                return
            self._dialling[origin] -= 1
            if not isinstance(made, OpenAllenError):
                made.setblocking(False)
                connection = _Connection(made, origin)
                self._selector.register(made, selectors.EVENT_READ, connection)
                self._idle[origin].append(connection)
            elif not self._idle[origin] and self._asked:
                key = self._asked.popleft()[0]
                yield Body(key, error=made)

    def _ring(self) -> None:
        with suppress(OSError):
            self._bell.recv(4096)

    def _hear(self, connection: _Connection) -> None:
        """Read an idle connection: TLS messages, or its end."""
        try:
            connection.sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            pass
        self._drop(connection)

    # --- receiving --------------------------------------------------------------------------------

    def _receive(self, connection: _Connection) -> Body | None:
        connection.since = time.monotonic()
        try:
            while True:
                got = self._more(connection)
                if connection.head is not None and connection.got == len(connection.body):
                    return self._whole(connection)
                if got == 0:
                    raise UnreachableError("connection lost", address=connection.origin.authority)
                if got < 0:
                    return None
        except OpenAllenError as error:
            return self._failed(connection, error)

    def _more(self, connection: _Connection) -> int:
        """Read what there is; -1 where there is nothing more at the moment."""
        try:
            if connection.head is not None:
                rest = memoryview(connection.body)[connection.got :]
                got = connection.sock.recv_into(rest)
                connection.got += got
                return got
            got = connection.sock.recv_into(self._first)
        except (BlockingIOError, ssl.SSLWantReadError):
            return -1
        except OSError as error:
            raise UnreachableError(
                "connection lost", address=connection.origin.authority, why=str(error)
            ) from error
        if got:
            piece = self._first[:got]
            self._begin(connection, connection.body + piece if connection.got else piece)
        return got

    def _begin(self, connection: _Connection, text: bytearray) -> None:
        """Find the end of the head; the rest begins the body."""
        stop = text.find(b"\r\n\r\n")
        if stop < 0:
            if len(text) > HEAD_LIMIT_BYTES:
                raise UnreachableError("HTTP head too long", address=connection.origin.authority)
            connection.body, connection.got = text, len(text)
            return
        peer = connection.origin.authority
        head = parse_head(text[:stop].decode("latin-1").split("\r\n"), peer)
        length = self._length(head, peer)
        behind = text[stop + 4 :]
        if len(behind) > length:
            raise UnreachableError("more bytes than announced", address=peer)
        connection.head, connection.got = head, len(behind)
        behind.extend(bytes(length - len(behind)))
        connection.body = behind

    def _length(self, head: Head, peer: str) -> int:
        length = head.length_bytes(peer)
        why = f"HTTP {head.status}"
        if head.status in {404, 410}:
            raise NotFoundError("not found", address=peer, why=why)
        if head.status != 200:
            raise StatusError(
                "the service returned an error", status=head.status, address=peer, why=why
            )
        coded = head.headers.get("content-encoding", "identity").lower() != "identity"
        if length is None or head.chunked or coded or length > self._limit_bytes:
            raise AnswerError("not a plain small body", address=peer)
        return length

    def _whole(self, connection: _Connection) -> Body:
        body = Body(connection.key, connection.body, connection.head)
        keep = connection.head is not None and connection.head.keep_alive
        connection.key, connection.head, connection.got = None, None, 0
        connection.body = bytearray()
        self._busy.discard(connection)
        if keep:
            self._idle[connection.origin].append(connection)
        else:
            self._drop(connection)
        return body

    def _failed(self, connection: _Connection, error: OpenAllenError) -> Body:
        body = Body(connection.key, head=connection.head, error=error)
        self._drop(connection)
        return body

    def _stalled(self) -> Iterator[Body]:
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        patience_s = self._http.silence_timeout_s
        for connection in [c for c in self._busy if now - c.since > patience_s]:
            peer = connection.origin.authority
            why = f"no data for {patience_s:g} s"
            yield self._failed(connection, StalledError("timed out", address=peer, why=why))

    # --- the end ----------------------------------------------------------------------------------

    def _drop(self, connection: _Connection) -> None:
        self._busy.discard(connection)
        if connection in self._idle[connection.origin]:
            self._idle[connection.origin].remove(connection)
        with suppress(KeyError, ValueError):
            self._selector.unregister(connection.sock)
        connection.sock.close()

    def close(self) -> None:
        """Close every connection."""
        if self._closed:
            return
        self._closed = True
        self._dialers.shutdown(wait=False, cancel_futures=True)
        for _ in self._arrived():
            pass  # takes in what was made meanwhile, to be closed below
        for connection in [*self._busy, *(c for kept in self._idle.values() for c in kept)]:
            self._drop(connection)
        self._selector.close()
        self._bell.close()
        self._rope.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
