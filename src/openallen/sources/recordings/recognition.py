"""Whether an HDF5 file is a simulated recording of MEArec, here or remote."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import OpenAllenError

if TYPE_CHECKING:
    from openallen.formats.objects import Objects
    from openallen.sources.base import Place

__all__ = ["holds_mearec"]

_BLOCK_BYTES: Final = 64 << 10
_log = logging.getLogger(__name__)


def holds_mearec(place: Place) -> bool:
    """Return whether an HDF5 file holds what those of MEArec do; False where it cannot be read.

    Of a remote file the root group is read, in a few ranges.
    """
    from openallen.formats.nwb import open_h5

    try:
        source: Any = place.path or io.BufferedReader(
            _Ranges(place.objects, place.file), _BLOCK_BYTES
        )
        tree = open_h5(source, place.name)
        try:
            return tree.has("recordings") and tree.has("info")
        finally:
            tree.close()
    except (OpenAllenError, OSError, ValueError, KeyError, RuntimeError) as error:
        # Whoever opens it says what is wrong with it.
        _log.debug("%s is not examined: %s", place.name, error)
        return False


class _Ranges(io.RawIOBase):
    """A file among objects, read by ranges."""

    def __init__(self, objects: Objects, key: str) -> None:
        super().__init__()
        told = objects.stat(key)
        self._size = 0 if told is None else told[0]
        self._objects = objects
        self._key = key
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        stop = min(self._size, self._at + len(view))
        if stop <= self._at:
            return 0
        body = self._objects.get(self._key, self._at, stop) or b""
        view[: len(body)] = body
        self._at += len(body)
        return len(body)
