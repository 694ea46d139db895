"""One file, from its URL to its final name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from openallen.errors import (
    AnswerError,
    CorruptError,
    OpenAllenError,
    TruncatedError,
    UnreachableError,
)
from openallen.plans import RemoteFile
from openallen.store import Claim, Part, Progress
from openallen.store.digests import Hasher, algorithm_of, digest_text, new_hasher
from openallen.store.disk import disk_error
from openallen.transport import Http, Response
from openallen.transport.sniff import SNIFF_BYTES, describe, sniff

__all__ = ["Download"]

_BLOCK_BYTES: Final = 1 << 18
_CHECKPOINT_BYTES: Final = 16 << 20
_CHECKPOINT_S: Final = 1.0


class Download:
    """One file being fetched under a claim.

    Parameters
    ----------
    file
        What to fetch.
    part
        Where to write it.
    claim
        The claim it is written under; losing it ends the download.
    http
        Who asks for it.
    received
        Told of bytes as they come.
    """

    def __init__(
        self,
        file: RemoteFile,
        part: Part,
        claim: Claim,
        http: Http,
        received: Callable[[int], None],
    ) -> None:
        self._file = file
        self._part = part
        self._claim = claim
        self._http = http
        self._received = received
        self._algorithm = algorithm_of(file.digest)

    def attempt(self) -> tuple[str, int, dict[str, Any]]:
        """Try once; give digest, size in bytes, and facts. The file then has its final name.

        Raises
        ------
        ServiceError, IntegrityError
            What a further try may mend; bytes worth going on with are kept.
        SpaceError, StoreError
            What no further try will mend.
        """
        try:
            return self._attempt()
        except OSError as error:
            if isinstance(error, OpenAllenError):
                raise
            self._keep_or_discard()
            raise disk_error(error, self._part.target) from error

    def _attempt(self) -> tuple[str, int, dict[str, Any]]:
        offset, headers = self._offset()
        wanted = (offset, None) if offset else None
        with self._http.get(self._file.url, byte_range=wanted, headers=headers) as response:
            start = self._beginning(response, offset)
            hasher, size = self._receive(response, start)
            facts: dict[str, Any] = {}
            if response.headers.get("openallen-simulated", "") == "true":
                facts["simulated"] = True
        digest = digest_text(self._algorithm, hasher)
        try:
            facts |= self._verify(digest, size)
        except OpenAllenError:
            self._part.discard()
            raise
        if self._claim.lost:
            raise UnreachableError(
                "another process took this file over", address=self._file.address
            )
        self._part.finish()
        return digest, size, facts

    def _offset(self) -> tuple[int, dict[str, str]]:
        """Say from which byte to ask, and under which condition."""
        kept = self._part.progress
        if kept is None or kept.url != self._file.url:
            return 0, {}
        # A part that was whole already is asked for its last byte again: a range behind the end
        # is an error.
        last = kept.done_bytes if kept.size_bytes is None else kept.size_bytes - 1
        strong = kept.validator if not kept.validator.startswith("W/") else ""
        return min(kept.done_bytes, last), {"If-Range": strong} if strong else {}

    def _beginning(self, response: Response, offset: int) -> Progress:
        """Say where writing starts: behind what is kept if the answer goes on there, else at 0."""
        validator = response.headers.get("etag", "") or response.headers.get("last-modified", "")
        size = response.length_bytes
        found = response.content_range
        if response.status != 206 or found is None:
            return Progress(self._file.url, validator, size)
        kept = self._part.progress
        same = kept is not None and kept.validator == validator
        if found.first != offset or not same:
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
                    self._recognise(piece)
                if self._claim.lost:
                    raise UnreachableError("another process took this file over")
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
        hasher = new_hasher(self._algorithm)
        os.lseek(handle, 0, os.SEEK_SET)
        while count > 0:
            block = os.read(handle, min(count, 1 << 20))
            if not block:
                raise TruncatedError("kept bytes are gone", address=str(self._part.path))
            hasher.update(block)
            count -= len(block)
        return hasher

    def _recognise(self, piece: memoryview) -> None:
        kind = sniff(piece[:SNIFF_BYTES])
        if self._file.expects and kind not in self._file.expects:
            wanted = " or ".join(describe(k) for k in sorted(self._file.expects))  # type: ignore[arg-type]
            raise AnswerError(
                "the service sent something else",
                address=self._file.address,
                why=f"{describe(kind)} instead of {wanted}",
            )

    def _verify(self, digest: str, size: int) -> dict[str, Any]:
        published = self._file.size_bytes
        if size == 0 or (published is not None and size < published):
            raise TruncatedError(
                "too few bytes",
                address=self._file.address,
                why=f"{size:,} of {published:,}" if published else "none came",
            )
        if published is not None and size > published:
            raise CorruptError(
                "too many bytes", address=self._file.address, why=f"{size:,}, not {published:,}"
            )
        if self._file.digest and digest != self._file.digest:
            raise CorruptError(
                "wrong digest",
                address=self._file.address,
                why=f"{digest[:24]}…, not {self._file.digest[:24]}…",
            )
        try:
            return dict(self._file.check(self._part.path)) if self._file.check else {}
        except OpenAllenError as error:
            error.address = self._file.address
            raise


def _write(handle: int, piece: memoryview) -> None:
    while piece:
        piece = piece[os.write(handle, piece) :]
