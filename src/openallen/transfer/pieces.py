"""One large file over many connections: pieces side by side, the digest close behind.

A connection to S3 carries some 25 MB/s however fast the line is, so a large object is asked for in
ranges, several at once. The caller's own thread computes the digest of what is whole from the
start on, and that prefix is what the record of a part counts: a killed run loses the pieces beyond
it, never more.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from openallen.errors import AnswerError, OpenAllenError, TruncatedError, UnreachableError
from openallen.store.digests import Hasher
from openallen.transport import Http, Retry

__all__ = ["PIECE_BYTES", "WORTH_BYTES", "Pieces"]

PIECE_BYTES: Final = 16 << 20
WORTH_BYTES: Final = 48 << 20
"""Files from this size on are fetched in pieces."""

_HASH_BYTES: Final = 1 << 18
_LOOK_S: Final = 0.25


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
    error: OpenAllenError | None = None
    disk: OSError | None = None
    _done: dict[int, int] = field(default_factory=dict)
    _change: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        stops = range(self.start, self.size_bytes, PIECE_BYTES)
        self._left = deque((at, min(at + PIECE_BYTES, self.size_bytes)) for at in stops)
        self._workers: list[threading.Thread] = []
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
        OpenAllenError
            The failure of a piece, after its attempts; the prefix is checkpointed first.
        """
        at = self.start
        try:
            while at < self.size_bytes:
                self._staff()
                stop = self._wait_behind(at)
                at = stop if hasher is None else self._hash(hasher, at, stop)
                checkpoint(at)
                if self.stopped():
                    break
                # After an error the pieces under way still end: what they complete is kept.
                ended = not any(worker.is_alive() for worker in self._workers)
                if stop == at and self.error is not None and ended and at not in self._done:
                    break
        finally:
            with self._change:
                self._finished = True
                self._left.clear()
                self._change.notify_all()
            for worker in self._workers:
                worker.join()
        if at < self.size_bytes:
            if self.disk is not None:
                raise self.disk
            raise self.error or UnreachableError("connection lost", address=self.url)
        return at

    def _staff(self) -> None:
        """Start more workers where more connections may be used."""
        with self._change:
            wanted = min(self.streams(), len(self._left) + 1)
        while len(self._workers) < wanted and self.error is None:
            worker = threading.Thread(target=self._work, name="piece", daemon=True)
            self._workers.append(worker)
            worker.start()

    def _wait_behind(self, at: int) -> int:
        """Wait until bytes after `at` are whole, or for a moment; return their end."""
        with self._change:
            if at not in self._done:
                self._change.wait(_LOOK_S)
            stop = at
            while stop in self._done:
                stop = self._done.pop(stop)
            return stop

    def _hash(self, hasher: Hasher, at: int, stop: int) -> int:
        block = memoryview(bytearray(_HASH_BYTES))
        while at < stop:
            got = os.preadv(self.handle, [block[: min(_HASH_BYTES, stop - at)]], at)
            if not got:
                raise TruncatedError("written bytes are missing", address=self.url)
            hasher.update(block[:got])
            at += got
        return at

    # --- workers --------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._change:
                if self._finished or self.error is not None or not self._left:
                    return
                first, stop = self._left.popleft()
            try:
                self._piece(first, stop)
            except OpenAllenError as error:
                with self._change:
                    self.error = self.error or error
                    self._change.notify_all()
                return
            except OSError as error:
                with self._change:
                    self.disk = error
                    self.error = self.error or UnreachableError("the part cannot be written")
                    self._change.notify_all()
                return
            with self._change:
                self._done[first] = stop
                self._change.notify_all()

    def _piece(self, first: int, stop: int) -> None:
        at = first
        attempt = 0
        while at < stop:
            if self._over:
                raise UnreachableError("connection lost", address=self.url)
            try:
                at = self._ask(at, stop)
            except AnswerError:
                raise  # no ranges here, or another object: asking again would not change it
            except OpenAllenError as error:
                attempt += 1
                if attempt >= self.retry.attempts or not error.retryable:
                    raise
                with self._change:
                    self._change.wait_for(lambda: self._over, self.retry.wait_s(attempt, error))

    @property
    def _over(self) -> bool:
        return self._finished or self.stopped()

    def _ask(self, at: int, stop: int) -> int:
        """Request a range; return how far its bytes were written, also when it broke off."""
        start = at
        strong = self.validator if not self.validator.startswith("W/") else ""
        headers = {"If-Range": strong} if strong else {}
        with self.http.get(self.url, byte_range=(at, stop - 1), headers=headers) as response:
            found = response.content_range
            mark = response.headers.get("etag", "") or response.headers.get("last-modified", "")
            told = (found.first, found.total) if found else None
            if response.status != 206 or told != (at, self.size_bytes):
                raise AnswerError(
                    "the service does not support range requests, or the file changed",
                    address=self.url,
                    why=f"HTTP {response.status}, {response.headers.get('content-range', 'whole')}",
                )
            with self._change:
                self.validator = self.validator or mark
            if mark != self.validator:
                raise AnswerError("the file changed while it was fetched", address=self.url)
            try:
                for piece in response.pieces():
                    _write_at(self.handle, memoryview(piece)[: stop - at], at)
                    at = min(at + len(piece), stop)
                    self.received(len(piece))
                    if self._over or at == stop:
                        break
            except OpenAllenError:
                if at == start:
                    raise
                return at  # what came is kept; the next request continues after it
        if at == start:
            raise UnreachableError("no data received", address=self.url)
        return at


def _write_at(handle: int, piece: memoryview, at: int) -> None:
    while piece:
        written = os.pwrite(handle, piece, at)
        piece = piece[written:]
        at += written
