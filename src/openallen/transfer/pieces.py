"""One large file over many connections: pieces side by side, the digest close behind.

A connection to S3 carries some 25 MB/s however fast the line is, so a large object is asked for in
ranges, several at once, by two threads with a multi handle each. The caller's own thread computes
the digest of what is whole from the start on, and that prefix is what the record of a part counts:
a killed run loses the pieces beyond it, never more.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from openallen.errors import AnswerError, OpenAllenError, TruncatedError, UnreachableError
from openallen.store.digests import Hasher
from openallen.transport import Http, Retry
from openallen.transport.heads import content_range
from openallen.transport.multiplexer import Body, Multiplexer, refused

__all__ = ["PIECE_BYTES", "WORTH_BYTES", "Pieces"]

PIECE_BYTES: Final = 16 << 20
WORTH_BYTES: Final = 48 << 20
"""Files from this size on are fetched in pieces."""

_THREADS: Final = 2
_HASH_BYTES: Final = 1 << 20
_WORTH_HASHING_BYTES: Final = 1 << 20
_LOOK_S: Final = 0.25
_TURN_S: Final = 0.1


@dataclass(kw_only=True)
class Pieces:
    """A file being fetched in pieces.

    Parameters
    ----------
    http
        The HTTP client.
    url
        The URL.
    handle
        Descriptor of the part.
    start, size_bytes
        First byte to fetch, and the size of the whole.
    validator
        The mark of the object's version, as an earlier answer gave it; learned from the first
        answer where empty.
    streams
        Returns how many connections may be used now.
    received
        Called with the number of bytes as they come.
    retry
        When a piece is requested again.
    stopped
        Whether the run has ended.

    Attributes
    ----------
    ranged : bool
        Whether the service has answered a range with that range.
    changed : bool
        Whether an answer was of another version of the object.
    """

    http: Http
    url: str
    handle: int
    start: int
    size_bytes: int
    validator: str
    streams: Callable[[], int]
    received: Callable[[int], None]
    retry: Retry
    stopped: Callable[[], bool]
    error: Exception | None = None
    ranged: bool = False
    changed: bool = False
    wanted: int = 0
    _under_way: int = 0
    _change: threading.Condition = field(default_factory=threading.Condition)  # re-entrant

    def __post_init__(self) -> None:
        stops = range(self.start, self.size_bytes, PIECE_BYTES)
        self._pieces = [_Piece(self, at, min(at + PIECE_BYTES, self.size_bytes)) for at in stops]
        self._left = deque(self._pieces)
        # Pieces whose answer was no range, before any other was one: the others under way tell.
        self._doubtful: list[tuple[_Piece, AnswerError]] = []
        self._first = 0  # the first piece that is not whole and hashed
        self._threads: list[threading.Thread] = []
        self._finished = False

    def run(self, hasher: Hasher | None, checkpoint: Callable[[int], None]) -> int:
        """Fetch all pieces; return the number of bytes from the start that are whole and hashed.

        Parameters
        ----------
        hasher
            Has seen the bytes before `start`; None where no digest is wanted now.
        checkpoint
            Called now and then with the number of bytes from the start that are whole.

        Raises
        ------
        OpenAllenError, OSError
            The failure of a piece, after its attempts; the prefix is checkpointed first.
        """
        at = self.start
        self._begin(min(_THREADS, len(self._pieces)))
        try:
            while at < self.size_bytes and not self.stopped():
                ended = not any(thread.is_alive() for thread in self._threads)
                stop = self._wait_behind(at)
                at = stop if hasher is None else self._hash(hasher, at, stop)
                checkpoint(at)
                # After an error the pieces under way still end: what they complete is kept.
                if stop == at and ended and self._whole() == at:
                    break
        finally:
            with self._change:
                self._finished = True
                self._left.clear()
                self._change.notify_all()
            for thread in self._threads:
                thread.join()
        if at < self.size_bytes:
            raise self.error or UnreachableError("connection lost", address=self.url)
        return at

    def _begin(self, count: int) -> None:
        for _ in range(count):
            thread = threading.Thread(target=self._work, args=(count,), name="piece", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _whole(self) -> int:
        """Return how many bytes from the start on are written, also of a piece under way."""
        while self._first < len(self._pieces):
            piece = self._pieces[self._first]
            if piece.at < piece.stop:
                return piece.at
            self._first += 1
        return self.size_bytes

    def _wait_behind(self, at: int) -> int:
        """Wait until enough bytes after `at` are whole, or for a moment; return their end."""
        with self._change:
            self.wanted = min(at + _WORTH_HASHING_BYTES, self.size_bytes)
            if self._whole() < self.wanted:
                self._change.wait(_LOOK_S)
            return self._whole()

    def wrote(self, piece: _Piece) -> None:
        """Wake the thread that computes the digest, where it waits for this piece."""
        if piece.at >= min(self.wanted, piece.stop) and piece.first < self.wanted:
            with self._change:
                self._change.notify_all()

    def _hash(self, hasher: Hasher, at: int, stop: int) -> int:
        while at < stop:
            block = os.pread(self.handle, min(_HASH_BYTES, stop - at), at)
            if not block:
                raise TruncatedError("written bytes are missing", address=self.url)
            hasher.update(block)
            at += len(block)
        return at

    # --- threads of requests ----------------------------------------------------------------------

    def _work(self, threads: int) -> None:
        try:
            with Multiplexer(self.http) as requests:
                while not self.over and self._ask(requests, -(-self.streams() // threads)):
                    for body in requests.bodies(_TURN_S):
                        self._settle(body)
        except Exception as error:  # noqa: BLE001 - raised by the thread that waits for it
            self._fail(error)

    def _ask(self, requests: Multiplexer, limit: int) -> bool:
        """Ask for pieces that are left; return whether there is anything to wait for."""
        while requests.waiting < limit:
            piece = self._next()
            if piece is None:
                break
            requests.ask(piece, self.url, sink=piece, headers=piece.headers())
        if requests.waiting:
            return True
        with self._change:  # pieces that are asked for again in a while
            if (self._left or self._doubtful) and self.error is None:
                self._change.wait(_TURN_S)
            return bool(self._left or self._doubtful) and self.error is None

    def _next(self) -> _Piece | None:
        now_s = time.monotonic()
        with self._change:
            self._clear_doubts()
            due = next((p for p in self._left if p.due_s <= now_s), None)
            if due is None or self._doubtful or self.error is not None:
                return None
            self._left.remove(due)
            self._under_way += 1
            return due

    def _clear_doubts(self) -> None:
        """Ask again for what was answered oddly, once another answer was a range; or give up."""
        if not (self.ranged or self.changed or self._under_way == 0):
            return
        for piece, error in self._doubtful:
            if piece.may_go_on(error):
                self._left.appendleft(piece)
            else:
                self._fail(error)
        self._doubtful.clear()

    def _settle(self, body: Body) -> None:
        piece = body.key
        assert isinstance(piece, _Piece)
        error = body.error if piece.at < piece.stop else None
        if error is None and piece.at < piece.stop:
            error = UnreachableError("connection lost", address=self.url)
        if error is None:
            self.wrote(piece)
        with self._change:
            self._under_way -= 1
            if isinstance(error, AnswerError):
                self._doubtful.append((piece, error))
            elif isinstance(error, OpenAllenError) and piece.may_go_on(error):
                self._left.appendleft(piece)
            elif error is not None:
                self._fail(error)
            self._clear_doubts()

    def _fail(self, error: Exception) -> None:
        with self._change:
            self.error = self.error or error
            self._change.notify_all()

    @property
    def over(self) -> bool:
        """Whether nothing more is wanted."""
        return self._finished or self.stopped()


class _Piece:
    """A range of the file, written to its place as it comes.

    Attributes
    ----------
    first, stop : int
        Its first byte, and the byte after its last.
    at : int
        How far it is written.
    due_s : float
        When it may be asked for, as of `time.monotonic`.
    """

    __slots__ = ("_asked_at", "_attempts", "_work", "at", "due_s", "first", "stop")

    def __init__(self, work: Pieces, first: int, stop: int) -> None:
        self._work = work
        self.first = self.at = self._asked_at = first
        self.stop = stop
        self.due_s = 0.0
        self._attempts = 0

    def headers(self) -> list[str]:
        """Return the lines of a request for what is left of it."""
        self._asked_at = self.at
        lines = [f"Range: bytes={self.at}-{self.stop - 1}"]
        mark = self._work.validator
        return [*lines, f"If-Range: {mark}"] if mark and not mark.startswith("W/") else lines

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Check that the answer is the range that was asked for, of the same object."""
        work = self._work
        if status >= 400 and status != 416:
            raise refused(status, work.url, headers)
        found = content_range(headers)
        mark = headers.get("etag", "") or headers.get("last-modified", "")
        if status == 206 and found is not None:
            same = mark == (work.validator or mark) and found.total == work.size_bytes
            work.changed = work.changed or not same
        if (
            status != 206
            or found is None
            or (found.first, found.total)
            != (
                self.at,
                work.size_bytes,
            )
        ):
            raise AnswerError(
                "the service does not support range requests, or the file changed",
                address=work.url,
                why=f"HTTP {status}, {headers.get('content-range', 'whole')}",
            )
        work.validator = work.validator or mark
        if mark != work.validator:
            raise AnswerError("the file changed while it was fetched", address=work.url)
        work.ranged = True

    def write(self, data: bytes) -> None:
        """Write the next bytes, never beyond the range."""
        if self._work.over:
            raise UnreachableError("connection lost", address=self._work.url)
        too_many = len(data) > self.stop - self.at
        left = memoryview(data)[: self.stop - self.at]
        self._work.received(len(left))
        while left:
            written = os.pwrite(self._work.handle, left, self.at)
            left = left[written:]
            self.at += written
        self._work.wrote(self)
        if too_many:  # the range itself is whole
            raise AnswerError("more bytes than asked for", address=self._work.url)

    def may_go_on(self, error: OpenAllenError) -> bool:
        """Return whether it is asked for again, and set when."""
        if self.at > self._asked_at and not isinstance(error, AnswerError):
            self.due_s = 0.0  # what came is kept; the next request goes on after it
            return True
        self._attempts += 1
        work, retry = self._work, self._work.retry
        # One odd answer among others says nothing about the service or the object.
        odd = isinstance(error, AnswerError) and (work.changed or not work.ranged)
        if self._attempts >= retry.attempts or not error.retryable or odd:
            return False
        self.due_s = time.monotonic() + retry.wait_s(self._attempts, error)
        return True
