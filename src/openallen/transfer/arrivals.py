"""Bodies on their way to a name: held in memory where they are small, in a part where not.

Both kinds keep the same promises: bytes are verified, and on disk, before they get their name.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from openallen.errors import AnswerError, OpenAllenError, UnreachableError
from openallen.plans import RemoteFile
from openallen.store import Part, Progress
from openallen.store.digests import digest_text, new_hasher
from openallen.store.disk import disk_error
from openallen.transfer.admission import Entry
from openallen.transfer.verify import algorithm_for, recognise, simulated, verify_bytes
from openallen.transport.multiplexer import Body, refused

__all__ = ["Arrival", "Held", "Streamed"]

_SAVE_EVERY_S: Final = 1.0
_PLAIN: Final = frozenset({"", "identity"})


class Arrival:
    """A file on its way, under its lease.

    Parameters
    ----------
    file, entry
        The file, and the right to write it.
    verify
        Whether a published digest is compared now.

    Attributes
    ----------
    digest : str
        ``algorithm:hex`` of its bytes, once finished; empty where that is deferred.
    size_bytes : int
        How much has come.
    facts : dict
        What the service said of it.
    """

    def __init__(self, file: RemoteFile, entry: Entry, *, verify: bool) -> None:
        self.file = file
        self.entry = entry
        self.digest = ""
        self.size_bytes = 0
        self.facts: dict[str, Any] = {}
        self._algorithm = algorithm_for(file, verify=verify)
        self._hasher = new_hasher(self._algorithm, size_bytes=file.size_bytes or 0)

    def finish(self, body: Body) -> bool:
        """Verify what came and give it its name; return whether the lease still allowed that.

        Raises
        ------
        OpenAllenError, OSError
            If the bytes are not what was published, or cannot be written.
        """
        raise NotImplementedError

    def drop(self) -> bool:
        """Give up; return whether a part was left that another attempt can go on with."""
        raise NotImplementedError


class Held(Arrival):
    """A small file: nothing is written before all of it has come."""

    def finish(self, body: Body) -> bool:
        """Verify the body, write it, give it its name."""
        data = memoryview(body.data)
        self.size_bytes = len(data)
        recognise(self.file, data)
        self._hasher.update(data)
        self.digest = digest_text(self._algorithm, self._hasher)
        verify_bytes(self.file, self.digest, self.size_bytes)
        self.facts = simulated(body.headers)
        if self.entry.lease.lost:
            return False
        part = Part(self.entry.lease, resumable=False)
        try:
            part.write_whole(body.data)
        except OSError:
            part.discard()
            raise
        return True

    def drop(self) -> bool:
        """Forget it: nothing was written."""
        return False


class Streamed(Arrival):
    """A larger file: each piece is written and hashed as it comes.

    One thread brings the bytes; others may save, finish and drop it.

    Parameters
    ----------
    file, entry, verify
        As for `Arrival`.
    received
        Called with the number of bytes as they come.
    """

    def __init__(
        self, file: RemoteFile, entry: Entry, *, verify: bool, received: Callable[[int], None]
    ) -> None:
        super().__init__(file, entry, verify=verify)
        self.part = Part(entry.lease, resumable=file.ranges)
        self._received = received
        self._handle = -1
        self._lock = threading.Lock()
        self._saved_bytes = 0
        self._saved_s = time.monotonic()
        self._sure = False

    # --- the sink -------------------------------------------------------------------------------

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Look at the head of the answer, and open the part."""
        if status != 200:
            raise refused(status, self.file.url, headers)
        coding = headers.get("content-encoding", "").lower().strip()
        if coding not in _PLAIN:
            raise AnswerError("not a plain answer", address=self.file.url, why=coding)
        self.facts = simulated(headers)
        validator = headers.get("etag", "") or headers.get("last-modified", "")
        self._sure = bool(self.file.digest or validator)
        size_bytes = self.file.size_bytes
        self._handle = self.part.start(Progress(self.file.url, validator, size_bytes))

    def write(self, data: bytes) -> None:
        """Write and hash the next bytes."""
        if not self.size_bytes:
            recognise(self.file, memoryview(data))
        if self.entry.lease.lost:
            raise UnreachableError("another process took over this file", address=self.file.address)
        written = os.write(self._handle, data)
        while written < len(data):
            written += os.write(self._handle, data[written:])
        self._hasher.update(data)
        self.size_bytes += len(data)
        self._received(len(data))
        if self.file.size_bytes is not None and self.size_bytes > self.file.size_bytes:
            verify_bytes(self.file, "", self.size_bytes)

    # --- its end --------------------------------------------------------------------------------

    def due(self, now_s: float) -> bool:
        """Return whether it is time to record how much is on disk; once for each such time."""
        if now_s - self._saved_s < _SAVE_EVERY_S or self.size_bytes == self._saved_bytes:
            return False
        self._saved_s = now_s
        return True

    def save(self) -> None:
        """Record how much is on disk, so that another run can go on from there."""
        with self._lock, suppress(OSError):
            if self._handle >= 0 and self._sure:
                size = self.size_bytes
                self.part.checkpoint(self._handle, size)
                self._saved_bytes = size

    def finish(self, body: Body) -> bool:
        """Verify what came and give the part its final name."""
        del body
        with self._lock:
            handle, self._handle = self._handle, -1
            try:
                self.digest = digest_text(self._algorithm, self._hasher)
                verify_bytes(self.file, self.digest, self.size_bytes)
                if self.entry.lease.lost:
                    return False
                self.part.finish(handle)
            except BaseException:
                self.part.discard()
                raise
            finally:
                os.close(handle)
        return True

    def drop(self) -> bool:
        """Give up; keep what came where another attempt can go on with it."""
        with self._lock:
            handle, self._handle = self._handle, -1
            if handle < 0:
                return False
            kept = self._sure and self.part.resumable and self._is_beginning
            try:
                if kept:
                    self.part.checkpoint(handle, self.size_bytes)
            except OSError:
                kept = self._saved_bytes > 0
            finally:
                os.close(handle)
            if not kept:
                self.part.discard()
            return kept

    @property
    def _is_beginning(self) -> bool:
        size = self.file.size_bytes
        return self.size_bytes > 0 and (size is None or self.size_bytes < size)


def failure(error: OpenAllenError | OSError, arrival: Arrival) -> OpenAllenError:
    """Return an error as one of ours."""
    if isinstance(error, OpenAllenError):
        return error
    return disk_error(error, arrival.entry.lease.target)
