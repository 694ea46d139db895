"""Small remote objects, cached on disk: whole or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["CachedObjects"]

_CHECK_BYTES: Final = 4
LIMIT_BYTES: Final = 8 << 30


class CachedObjects:
    """A folder of objects by what they are called, each with a checksum.

    Processes may share it. Those not read for longest go first when there are too many. Where the
    disk does not let itself be written to, nothing is remembered.

    Parameters
    ----------
    folder
        The folder of the cache.
    limit_bytes
        Maximum size of the cache.
    """

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._unswept_bytes = limit_bytes  # the first thing kept looks what is there already
        self._lock = threading.Lock()

    def _path(self, name: str) -> Path:
        digest = hashlib.sha256(name.encode()).hexdigest()[:32]
        return self._folder / digest[:2] / digest

    def get(self, name: str) -> bytes | None:
        """Return what was cached under a name; None where there is nothing whole."""
        path = self._path(name)
        try:
            body = path.read_bytes()
        except OSError:
            return None
        told = body[-_CHECK_BYTES:]
        body = body[:-_CHECK_BYTES]
        if _check(name, body) != told:
            return None
        with suppress(OSError):
            os.utime(path)
        return body

    def put(self, name: str, body: bytes) -> None:
        """Cache an object."""
        path = self._path(name)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not forced to the disk: what a power cut leaves behind fails its checksum.
            draft.write_bytes(body + _check(name, body))
            draft.replace(path)
        except OSError:
            with suppress(OSError):
                draft.unlink()
            return
        with self._lock:
            self._unswept_bytes += len(body)
            due = self._unswept_bytes > self._limit_bytes // 8
            if due:
                self._unswept_bytes = 0
        if due:
            self._sweep()

    def _sweep(self) -> None:
        found: list[tuple[float, int, Path]] = []
        for path in self._folder.glob("*/*"):
            with suppress(OSError):
                told = path.stat()
                found.append((told.st_mtime, told.st_size, path))
        held = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if held <= self._limit_bytes:
                return
            with suppress(OSError):
                path.unlink()
                held -= size


def _check(name: str, body: bytes) -> bytes:
    """Return the checksum of an object; of its name too, as that of nothing would be zeros."""
    return zlib.crc32(body, zlib.crc32(name.encode())).to_bytes(_CHECK_BYTES, "big")
