"""Write shards a few chunks at a time, with the index at the end.

No shard is ever complete in memory. (zarr-python encodes a shard as a whole, which is slow here.)
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from openallen.errors import requiring

__all__ = ["Shard", "checksum"]

_ABSENT: Final = 2**64 - 1
_AT_ONCE: Final = 512  # buffers in one call; systems take 1,024


def checksum(data: bytes) -> int:
    """Return the CRC-32C of `data`.

    Raises
    ------
    MissingExtraError
        Without the extra ``images``.
    """
    with requiring("writing OME-Zarr", "images"):
        import google_crc32c
    value: int = google_crc32c.value(data)
    return value


class Shard:
    """One shard being written; chunks that are never added are missing and read as 0.

    Parameters
    ----------
    path
        Path of the file; its folder must exist.
    chunks
        Number of chunks in the shard, in C order.
    """

    def __init__(self, path: Path, chunks: int) -> None:
        self._file = path.open("wb", buffering=0)
        self._index = [_ABSENT] * (2 * chunks)
        self._at = 0

    def add(self, place: int, chunks: Sequence[bytes]) -> None:
        """Write chunks that follow each other; `place` is the index of the first in C order."""
        _write(self._file, chunks)
        for index, chunk in enumerate(chunks, place):
            self._index[2 * index : 2 * index + 2] = [self._at, len(chunk)]
            self._at += len(chunk)

    def close(self) -> None:
        """Write the index and close."""
        index = struct.pack(f"<{len(self._index)}Q", *self._index)
        _write(self._file, [index, struct.pack("<I", checksum(index))])
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()


def _write(file: BinaryIO, parts: Sequence[bytes]) -> None:
    """Write all parts, in one call where the system can, and without joining them first."""
    left = [memoryview(part) for part in parts if part]
    while left:
        if hasattr(os, "writev"):
            count = os.writev(file.fileno(), left[:_AT_ONCE])
        else:  # Windows
            count = file.write(left[0])
        while left and count >= len(left[0]):
            count -= len(left.pop(0))
        if count:
            left[0] = left[0][count:]
