"""Write shards chunk by chunk, with the index at the end.

No shard is ever complete in memory. (zarr-python encodes a shard as a whole, which is slow here.)
"""

from __future__ import annotations

import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from openallen.errors import MissingExtraError

__all__ = ["Shard", "checksum"]

_ABSENT: Final = 2**64 - 1


def checksum(data: bytes) -> int:
    """Return the CRC-32C of `data`.

    Raises
    ------
    MissingExtraError
        Without the extra ``images``.
    """
    try:
        import google_crc32c
    except ImportError:
        raise MissingExtraError("images", "writing OME-Zarr") from None
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
        self._file = path.open("wb")
        self._index = [_ABSENT] * (2 * chunks)
        self._at = 0

    def add(self, place: int, data: bytes) -> None:
        """Write a chunk; `place` is its index in C order."""
        self._file.write(data)
        self._index[2 * place : 2 * place + 2] = [self._at, len(data)]
        self._at += len(data)

    def close(self) -> None:
        """Write the index and close."""
        index = struct.pack(f"<{len(self._index)}Q", *self._index)
        self._file.write(index + struct.pack("<I", checksum(index)))
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
