"""One file, from its URL to its final name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from openallen.errors import (
    AnswerError,
    OpenAllenError,
    TruncatedError,
    UnreachableError,
)
from openallen.plans import RemoteFile
from openallen.store import Lease, Part, Progress
from openallen.store.digests import Hasher, digest_text, new_hasher
from openallen.store.disk import disk_error
from openallen.transfer.bulk import SMALL_BYTES
from openallen.transfer.pieces import WORTH_BYTES, Pieces
from openallen.transfer.verify import algorithm_for, recognise, simulated, verify_bytes
from openallen.transport import Http, Response, Retry

__all__ = ["Download", "is_large"]

_BLOCK_BYTES: Final = 1 << 18
_CHECKPOINT_BYTES: Final = 16 << 20
_CHECKPOINT_S: Final = 1.0
_PIECES_CHECKPOINT_BYTES: Final = 256 << 20
_PIECES_CHECKPOINT_S: Final = 2.0


class Download:
    """One file being fetched under a lease.

    Parameters
    ----------
    file
        What to fetch.
    part
        Where to write it.
    lease
        The lease it is written under; losing it ends the download.
    http
        The HTTP client.
    received
        Called with the number of bytes as they come.
    streams
        Returns how many connections this file may use at the moment.
    retry
        When a piece of a large file is requested again.
    stopped
        Whether the run has ended.
    verify
        Whether a published digest is compared now.
    """

    def __init__(
        self,
        file: RemoteFile,
        part: Part,
        lease: Lease,
        http: Http,
        received: Callable[[int], None],
        *,
        streams: Callable[[], int] = lambda: 1,
        retry: Retry | None = None,
        stopped: Callable[[], bool] = lambda: False,
        verify: bool = True,
    ) -> None:
        self._file = file
        self._part = part
        self._lease = lease
        self._http = http
        self._received = received
        self._algorithm = algorithm_for(file, verify=verify)
        self._streams = streams
        self._retry = retry or Retry()
        self._stopped = stopped
        self._whole = False  # the service does not support range requests

    def attempt(self) -> tuple[str, int, dict[str, Any]]:
        """Try once; return digest, size in bytes, and facts. The file then has its final name.

        Raises
        ------
        ServiceError, IntegrityError
            Where another attempt may succeed; bytes that can be resumed are kept.
        SpaceError, StoreError
            Where no further attempt can succeed.
        """
        try:
            return self._attempt()
        except OSError as error:
            if isinstance(error, OpenAllenError):
                raise
            self._keep_or_discard()
            raise disk_error(error, self._part.target) from error

    def _attempt(self) -> tuple[str, int, dict[str, Any]]:
        if self._worth_pieces():
            return self._in_pieces()
        if self._is_small():
            return self._at_once()
        offset, headers = self._offset()
        wanted = (offset, None) if offset else None
        with self._http.get(self._file.url, byte_range=wanted, headers=headers) as response:
            start = self._beginning(response, offset)
            hasher, size = self._receive(response, start)
            facts = simulated(response.headers)
        return self._settle(hasher, size, facts)

    def _settle(
        self, hasher: Hasher, size: int, facts: dict[str, Any]
    ) -> tuple[str, int, dict[str, Any]]:
        """Verify the bytes, and rename the part."""
        digest = digest_text(self._algorithm, hasher)
        try:
            facts |= self._verify(digest, size)
        except OpenAllenError:
            self._part.discard()
            raise
        if self._lease.lost:
            raise UnreachableError(
                "another process took over this file", address=self._file.address
            )
        self._part.finish()
        return digest, size, facts

    def _is_small(self) -> bool:
        """Return whether the file is held in memory whole before anything is written."""
        file = self._file
        return bool(
            0 < (file.size_bytes or 0) <= SMALL_BYTES
            and file.check is None
            and self._part.progress is None
        )

    def _at_once(self) -> tuple[str, int, dict[str, Any]]:
        body = bytearray()
        limit = self._file.size_bytes or 0
        with self._http.get(self._file.url) as response:
            for piece in response.chunks(_BLOCK_BYTES):
                if not body:
                    recognise(self._file, piece)
                body += piece
                self._received(len(piece))
                if len(body) > limit:
                    break  # too many bytes: reported below
            made_up = simulated(response.headers)
        hasher = new_hasher(self._algorithm)
        hasher.update(memoryview(body))
        digest = digest_text(self._algorithm, hasher)
        facts = self._verify(digest, len(body)) | made_up
        if self._lease.lost:
            raise UnreachableError("another process took over this file")
        try:
            self._part.write_whole(body)
        except OSError:
            self._part.discard()
            raise
        return digest, len(body), facts

    def _worth_pieces(self) -> bool:
        return is_large(self._file) and not self._whole and self._streams() > 1

    def _in_pieces(self) -> tuple[str, int, dict[str, Any]]:
        size = self._file.size_bytes or 0
        kept = self._part.progress
        usable = kept is not None and (kept.url, kept.size_bytes) == (self._file.url, size)
        start = kept if kept is not None and usable else Progress(self._file.url, "", size)
        handle = self._part.start(start)
        work = Pieces(
            http=self._http,
            url=self._file.url,
            handle=handle,
            start=start.done_bytes,
            size_bytes=size,
            validator=start.validator,
            streams=self._streams,
            received=self._received,
            retry=self._retry,
            stopped=lambda: self._stopped() or self._lease.lost,
        )
        digest = self._file.digest
        log = _Log(self._part, handle, start, lambda: work.validator, self._lease, digest=digest)
        try:
            hasher = self._rehash(handle, start.done_bytes)
            got = work.run(hasher if self._algorithm else None, log.reached)
        except (OpenAllenError, OSError) as error:  # also of a full disk: what came is kept
            if isinstance(error, AnswerError):
                self._whole = True  # one answer after the other
            if work.changed:
                self._part.discard()
                raise
            with suppress(OSError):
                log.save()
            raise
        finally:
            os.close(handle)
        return self._settle(hasher, got, {})

    def _offset(self) -> tuple[int, dict[str, str]]:
        """Return the first byte to request, and the condition."""
        kept = self._part.progress
        if kept is None or kept.url != self._file.url:
            return 0, {}
        # A part that was whole already is asked for its last byte again: a range behind the end
        # is an error.
        last = kept.done_bytes if kept.size_bytes is None else kept.size_bytes - 1
        strong = kept.validator if not kept.validator.startswith("W/") else ""
        return min(kept.done_bytes, last), {"If-Range": strong} if strong else {}

    def _beginning(self, response: Response, offset: int) -> Progress:
        """Return where writing starts: after the bytes kept if the answer continues, else at 0."""
        validator = response.headers.get("etag", "") or response.headers.get("last-modified", "")
        size = response.length_bytes
        if response.status != 206:
            wanted = self._file.size_bytes
            if offset and None not in {wanted, size} and size != wanted:
                # A page of a proxy, say: for that, what is here is not thrown away.
                why = f"{size:,} bytes instead of {wanted:,}"
                raise AnswerError("unexpected response", address=self._file.address, why=why)
            return Progress(self._file.url, validator, size)
        found = response.content_range
        kept = self._part.progress
        same = kept is not None and kept.validator == validator
        if found is None or found.first != offset or not same:
            self._part.discard()
            raise AnswerError("the file changed while it was fetched", address=self._file.url)
        return Progress(self._file.url, validator, found.total, offset)

    def _receive(self, response: Response, start: Progress) -> tuple[Hasher, int]:
        handle = self._part.start(start)
        size = saved = start.done_bytes
        saved_at = time.monotonic()
        try:
            hasher = self._rehash(handle, start.done_bytes)
            for piece in response.chunks(_BLOCK_BYTES):
                if size == 0:
                    recognise(self._file, piece)
                if self._lease.lost:
                    raise UnreachableError("another process took over this file")
                _write(handle, piece)
                hasher.update(piece)
                size += len(piece)
                self._received(len(piece))
                late = time.monotonic() - saved_at > _CHECKPOINT_S
                if late or size - saved >= _CHECKPOINT_BYTES:
                    self._part.checkpoint(handle, size)
                    saved, saved_at = size, time.monotonic()
        except OpenAllenError:
            self._keep(handle, size, saved)
            raise
        finally:
            os.close(handle)
        return hasher, size

    def _keep(self, handle: int, size: int, saved: int) -> None:
        progress = self._part.progress
        sure = bool(self._file.digest or (progress and progress.validator))
        if not (self._part.resumable and sure and size):
            self._part.discard()
        elif size > saved:
            with suppress(OSError):
                self._part.checkpoint(handle, size)

    def _keep_or_discard(self) -> None:
        if not self._part.resumable:
            self._part.discard()

    def _rehash(self, handle: int, count: int) -> Hasher:
        # A digest cannot be carried between processes: read again what is kept.
        hasher = new_hasher(self._algorithm, size_bytes=self._file.size_bytes or 0)
        if not self._algorithm:
            return hasher
        os.lseek(handle, 0, os.SEEK_SET)
        while count > 0:
            block = os.read(handle, min(count, 1 << 20))
            if not block:
                raise TruncatedError("the partial file was truncated", address=str(self._part.path))
            hasher.update(block)
            count -= len(block)
        return hasher

    def _verify(self, digest: str, size: int) -> dict[str, Any]:
        verify_bytes(self._file, digest, size)
        try:
            return dict(self._file.check(self._part.path)) if self._file.check else {}
        except OpenAllenError as error:
            error.address = self._file.address
            raise


def is_large(file: RemoteFile) -> bool:
    """Return whether a file may be fetched in pieces."""
    return (
        (file.size_bytes or 0) >= WORTH_BYTES
        and file.ranges
        and not file.expects
        and hasattr(os, "pread")  # not on Windows: one connection there
    )


class _Log:
    """Records, now and then, how much of a file in pieces is whole."""

    def __init__(
        self,
        part: Part,
        handle: int,
        start: Progress,
        validator: Callable[[], str],
        lease: Lease,
        *,
        digest: str,
    ) -> None:
        self._digest = digest
        self._part, self._handle, self._start = part, handle, start
        self._validator, self._lease = validator, lease
        self._at = self._saved = start.done_bytes
        self._saved_at = time.monotonic()

    def reached(self, at: int) -> None:
        """Note that the first `at` bytes are whole."""
        self._at = at
        if self._lease.lost:
            raise UnreachableError("another process took over this file")
        late = time.monotonic() - self._saved_at > _PIECES_CHECKPOINT_S
        if late or at - self._saved >= _PIECES_CHECKPOINT_BYTES:
            self.save()

    def save(self) -> None:
        """Save the record, where another run can tell that it goes on with the same object."""
        if self._at > self._saved and (self._digest or self._validator()):
            self._part.progress = replace(self._start, validator=self._validator())
            self._part.checkpoint(self._handle, self._at)
        self._saved, self._saved_at = self._at, time.monotonic()


def _write(handle: int, piece: memoryview) -> None:
    while piece:
        piece = piece[os.write(handle, piece) :]
