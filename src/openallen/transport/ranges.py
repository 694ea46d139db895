"""A remote file as a file object: only the blocks that are read are requested, and cached.

Reads are widened to whole blocks. Blocks are kept in memory, and where a memory on disk is given,
there too. Large reads go out as several ranges at once, driven by the thread that reads; a read
that goes on where the last ended is widened more and more.

A library that calls `RangeFile.readinto` may hold a lock of its own meanwhile, and want it again
when the interpreter collects one of its objects, in whichever thread that is. So reads made for
a library stay in its thread, and no lock of ours is held while a range is waited for.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

from openallen.errors import AnswerError, OfflineError, OpenAllenError, UnreachableError
from openallen.transport.heads import ContentRange, content_range
from openallen.transport.http import Http, Response
from openallen.transport.retry import Retry

__all__ = ["BLOCK_BYTES", "Memory", "RangeFile"]

BLOCK_BYTES: Final = 128 * 1024
_FIRST_BLOCKS: Final = 2
_LAST_BYTES: Final = 512 * 1024
_GROUP_BLOCKS: Final = 2
_MOST_AHEAD: Final = 32
_KEPT_BLOCKS: Final = 512
_PIECE_BLOCKS: Final = 16
_STREAMS: Final = 16
_WHOLE_BYTES: Final = 16 << 20


class Memory(Protocol):
    """What keeps blocks between processes."""

    def file_version(self) -> tuple[str, int] | None:
        """Return version mark and size of the file of the blocks; None where there are none."""
        ...

    def begin(self, validator: str, size_bytes: int, block_bytes: int) -> None:
        """Set the version of the file that further blocks are of."""
        ...

    def get(self, number: int) -> bytes | None:
        """Return a block."""
        ...

    def put(self, number: int, data: bytes | memoryview) -> None:
        """Store a block."""
        ...

    def close(self) -> None:
        """End."""
        ...


class RangeFile(io.RawIOBase):
    """A file behind a URL, read by ranges.

    Parameters
    ----------
    http
        Who asks.
    url
        Where the file is.
    memory
        Keeps blocks between processes.
    immutable
        Whether this URL names one version for good, so that what is remembered needs no asking.
    retry
        When a range is asked for again.

    Attributes
    ----------
    requests, bytes_received : int
        What it took so far.
    error : OpenAllenError or None
        Why the last read failed; libraries between us and the reader may not say.

    Raises
    ------
    NotFoundError
        If there is no such file.
    AnswerError
        If the service does not support range requests.
    """

    def __init__(
        self,
        http: Http,
        url: str,
        *,
        memory: Memory | None = None,
        immutable: bool = False,
        retry: Retry | None = None,
    ) -> None:
        super().__init__()
        self.url = url
        self.requests = self.bytes_received = 0
        self.error: OpenAllenError | None = None
        self._http = http
        self._memory = memory
        self._retry = retry or Retry()
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._at = 0
        self._ahead = 1
        self._next = -1
        self.validator, self.size_bytes = "", -1
        known = memory.file_version() if memory is not None else None
        if known is not None:
            self.validator, self.size_bytes = known
            if not immutable:
                self._still_the_same()
        if self.size_bytes < 0:
            self._begin()

    # --- what a file object does ------------------------------------------------------------------

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size_bytes}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        """Return the position of the next read, in bytes."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; the file's end is the only reason to fill less of it."""
        view = memoryview(buffer).cast("B")
        stop = min(self._at + len(view), self.size_bytes)
        if stop <= self._at:
            return 0
        try:
            self.error = None
            self._copy(self._at, stop, view)
        except OpenAllenError as error:
            self.error = error
            raise
        got = stop - self._at
        self._at = stop
        return got

    def close(self) -> None:
        """Let go of everything held."""
        if not self.closed:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
            if self._memory is not None:
                self._memory.close()
            self._blocks.clear()
        super().close()

    # --- many bytes at once -----------------------------------------------------------------------

    def read_at(self, start: int, stop: int) -> bytearray:
        """Return the bytes of one range, asked for in parallel pieces.

        Raises
        ------
        UnreachableError
            If the file ends before `stop`.
        """
        if stop > self.size_bytes:
            raise UnreachableError(
                "the file ends too early", address=self.url, why=f"{stop:,} > {self.size_bytes:,}"
            )
        first, behind = start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)
        whole = bytearray(min(behind * BLOCK_BYTES, self.size_bytes) - first * BLOCK_BYTES)
        view = memoryview(whole)
        missing = []
        for number in range(first, behind):
            found = self._have(number)
            if found is None:
                missing.append(number)
            else:
                at = (number - first) * BLOCK_BYTES
                view[at : at + len(found)] = found
        self._load(_pieces(missing), into=(first, view))
        del view
        lead = start - first * BLOCK_BYTES
        return whole[lead : lead + stop - start] if lead or len(whole) != stop - start else whole

    def prefetch(self, ranges: list[tuple[int, int]]) -> None:
        """Have the bytes of ranges at hand, asked for in parallel, as far as memory goes."""
        wanted = sorted(
            {n for a, b in ranges for n in range(a // BLOCK_BYTES, -(-b // BLOCK_BYTES))}
        )
        missing = [n for n in wanted[:_KEPT_BLOCKS] if self._have(n) is None]
        self._load(_pieces(missing))

    def _begin(self) -> None:
        """Ask for both ends at once: what HDF5 and its writers put there is always wanted."""
        with ThreadPoolExecutor(1, thread_name_prefix="range") as beside:
            end = beside.submit(self._end)
            self._load([(0, _FIRST_BLOCKS)])
            found = end.result()
        if found is None:
            return
        first, body, mark = found
        if (first + len(body), mark) != (self.size_bytes, self.validator):
            return  # it changed between the two answers: what is read next will say so
        for number in range(-(-first // BLOCK_BYTES), self._count):
            at = number * BLOCK_BYTES - first
            block = body[at : at + BLOCK_BYTES]
            self._keep(number, block)
            if self._memory is not None:
                self._memory.put(number, block)

    def _end(self) -> tuple[int, memoryview, str] | None:
        """Return the last bytes, their offset, and the file's mark; None where unavailable."""
        wanted = {"Range": f"bytes=-{_LAST_BYTES}"}
        try:
            with self._http.get(self.url, headers=wanted) as response:
                self.requests += 1
                told = response.content_range
                if response.status != 206 or told is None or told.last - told.first >= _LAST_BYTES:
                    return None
                body = memoryview(bytearray(told.last - told.first + 1))
                self._fill(response, body)
                return told.first, body, _mark(response.headers)
        except OpenAllenError:
            return None  # a courtesy only: what is missing is asked for when it is read

    # --- blocks -----------------------------------------------------------------------------------

    def _copy(self, start: int, stop: int, view: memoryview) -> None:
        first, behind = start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)
        found = {n: self._have(n) for n in range(first, behind)}
        missing = [n for n, block in found.items() if block is None]
        if missing:
            # Reading on where the last miss ended: take more at once, as it may go on.
            goes_on = missing[0] == self._next
            self._ahead = min(self._ahead * 2, _MOST_AHEAD) if goes_on else _GROUP_BLOCKS
            missing = self._widened(missing)
            self._next = missing[-1] + 1
            for piece in _pieces(missing):
                self._load([piece])
        for number in range(first, behind):
            block = found.get(number) or self._have(number)
            if block is None:
                raise UnreachableError("a block is gone", address=self.url)
            base = number * BLOCK_BYTES
            a, b = max(start, base), min(stop, base + len(block))
            view[a - start : b - start] = memoryview(block)[a - base : b - base]

    def _widened(self, missing: list[int]) -> list[int]:
        """Add neighbours: what is read one after the other seldom lies far apart."""
        first = missing[0] // _GROUP_BLOCKS * _GROUP_BLOCKS
        stop = min(max(missing[-1] + 1, first + self._ahead), self._count)
        wanted = set(missing)
        return [n for n in range(first, stop) if n in wanted or self._have(n) is None]

    @property
    def _count(self) -> int:
        return -(-self.size_bytes // BLOCK_BYTES)

    def _have(self, number: int) -> bytes | None:
        with self._lock:
            block = self._blocks.get(number)
            if block is not None:
                self._blocks.move_to_end(number)
                return block
        kept = self._memory.get(number) if self._memory is not None else None
        if kept is not None:
            self._keep(number, kept)
        return kept

    def _keep(self, number: int, block: bytes | memoryview) -> None:
        kept = bytes(block)  # a view would keep the whole piece it is of
        with self._lock:
            self._blocks[number] = kept
            while len(self._blocks) > _KEPT_BLOCKS:
                self._blocks.popitem(last=False)

    def _load(
        self, pieces: Sequence[tuple[int, int]], into: tuple[int, memoryview] | None = None
    ) -> None:
        """Ask for runs of blocks (first, behind the last), all at once."""
        plain: list[tuple[int, memoryview]] = []
        if len(pieces) > 1:
            plain, pieces = self._abreast(pieces, into)
        if len(pieces) > 1:
            with self._lock:
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(_STREAMS, thread_name_prefix="range")
            # Everything is waited for, so that no thread writes into a buffer given away.
            jobs = [self._pool.submit(self._piece, *piece, into) for piece in pieces]
            errors = [job.exception() for job in jobs]
            for error in errors:
                if error is not None:
                    raise error
            results = [job.result() for job in jobs]
        else:
            results = [self._piece(*piece, into) for piece in pieces]
        for first, body in plain + results:
            for at in range(0, len(body), BLOCK_BYTES):
                block = body[at : at + BLOCK_BYTES]
                number = first + at // BLOCK_BYTES
                if into is None:
                    self._keep(number, block)
                if self._memory is not None:
                    self._memory.put(number, block)

    def _abreast(
        self, pieces: Sequence[tuple[int, int]], into: tuple[int, memoryview] | None
    ) -> tuple[list[tuple[int, memoryview]], list[tuple[int, int]]]:
        """Ask for runs of blocks in this thread; return those that came, and what did not."""
        wanted: list[tuple[int, memoryview]] = []
        for first, stop in pieces:
            start = first * BLOCK_BYTES
            size = min(stop * BLOCK_BYTES, self.size_bytes) - start
            base = start - into[0] * BLOCK_BYTES if into is not None else 0
            room = into[1][base : base + size] if into is not None else memoryview(bytearray(size))
            wanted.append((start, room))
        came: list[tuple[int, memoryview]] = []
        left: list[tuple[int, int]] = []
        answers = self._http.ranges(self.url, wanted)
        for piece, (start, room), headers in zip(pieces, wanted, answers, strict=True):
            told = ContentRange(start, start + len(room) - 1, self.size_bytes)
            same = headers is not None and _mark(headers) == self.validator
            if headers is not None and same and content_range(headers) == told:
                came.append((piece[0], room))
                self.bytes_received += len(room)
            else:
                left.append(piece)  # whatever is wrong with it is found out with care
            self.requests += 1
        return came, left

    def _piece(
        self, first: int, stop: int, into: tuple[int, memoryview] | None
    ) -> tuple[int, memoryview]:
        def ask() -> tuple[int, memoryview]:
            start = first * BLOCK_BYTES
            last = stop * BLOCK_BYTES - 1
            if self.size_bytes >= 0:
                last = min(last, self.size_bytes - 1)
            with self._http.get(self.url, byte_range=(start, last)) as response:
                self.requests += 1
                return self._received(response, start, last, into)

        return self._retry.run(ask)

    def _received(
        self, response: Response, start: int, last: int, into: tuple[int, memoryview] | None
    ) -> tuple[int, memoryview]:
        told = response.content_range
        if response.status != 206 or told is None or told.first != start or told.total is None:
            return self._whole(response)
        self._check(response, told.total)
        size = min(last, told.total - 1) - start + 1
        if into is None:
            view = memoryview(bytearray(size))
        else:
            base = start - into[0] * BLOCK_BYTES
            view = into[1][base : base + size]
        self._fill(response, view)
        return start // BLOCK_BYTES, view

    def _whole(self, response: Response) -> tuple[int, memoryview]:
        """Read a small file whole from a service without range requests."""
        size = response.length_bytes
        if response.status != 200 or size is None or size > _WHOLE_BYTES or self.size_bytes >= 0:
            raise AnswerError(
                "the service does not support range requests",
                address=self.url,
                why=f"HTTP {response.status}, {size or 'unknown'} bytes",
                hint="fetch the file and open it from there",
            )
        view = memoryview(bytearray(size))
        self._fill(response, view)
        self._check(response, size)  # last: only a whole body says what the file is
        return 0, view

    def _fill(self, response: Response, view: memoryview) -> None:
        """Read a body of a known size.

        Raises
        ------
        UnreachableError
            If it ends early.
        """
        got = response.read_into(view)
        self.bytes_received += got
        if got != len(view):
            raise UnreachableError(
                "truncated response", address=self.url, why=f"{got:,} of {len(view):,} bytes"
            )

    def _check(self, response: Response, size: int) -> None:
        """Check that this is still the file that was opened."""
        mark = _mark(response.headers)
        if self.size_bytes < 0:
            self.validator, self.size_bytes = mark, size
            if self._memory is not None:
                self._memory.begin(mark, size, BLOCK_BYTES)
        elif (mark, size) != (self.validator, self.size_bytes):
            raise AnswerError(
                "the file changed while it was read",
                address=self.url,
                why=f"it was {self.validator or self.size_bytes}, now it is {mark or size}",
                hint="open it again",
            )

    def _still_the_same(self) -> None:
        """Ask for one byte; forget what is remembered of another version.

        Offline what is remembered will do: nobody can be asked.
        """
        try:
            with self._http.get(self.url, byte_range=(0, 0)) as response:
                self.requests += 1
                told = response.content_range
                mark = _mark(response.headers)
                size = told.total if told is not None else response.length_bytes
        except OfflineError:
            return
        # Without a mark nothing tells one version from another of the same size.
        if not mark or (mark, size) != (self.validator, self.size_bytes):
            self.validator, self.size_bytes = "", -1


def _mark(headers: Mapping[str, str]) -> str:
    """Return the mark by which the service names a file's version."""
    return headers.get("etag", "") or headers.get("last-modified", "")


def _pieces(numbers: list[int]) -> list[tuple[int, int]]:
    """Put numbers in a row together, up to the size of a piece: (first, behind the last)."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number and number - found[-1][0] < _PIECE_BLOCKS:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found
