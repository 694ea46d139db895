"""Blocks of remote files, cached on disk.

Three files for each: the data, as long as the original and sparse; a log with a line for each
block that is there (number, length, checksum); and what the original was (address, version mark,
size). Processes may share them: a block is written before its line, a line is one small append,
and a block whose checksum is wrong counts as missing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
import threading
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from openallen.json_text import load_json

__all__ = ["Blocks", "Original"]

_LOG = logging.getLogger("openallen.store")
_LINE: Final = struct.Struct("<III")
_BINARY: Final[int] = getattr(os, "O_BINARY", 0)  # where text would be changed on its way


@dataclass(frozen=True, slots=True)
class Original:
    """The remote file as it was when its first block was read.

    Parameters
    ----------
    url
        Where it is.
    validator
        The service's mark of its version.
    size_bytes
        Its size.
    block_bytes
        Size of a block; the last may be shorter.
    """

    url: str
    validator: str
    size_bytes: int
    block_bytes: int


class Blocks:
    """Cached blocks of one remote file.

    On a disk that cannot be written to, blocks are read and none is added.

    Parameters
    ----------
    folder
        The folder of the cache.
    url
        The file they are of.
    block_bytes
        Size of a block.
    """

    def __init__(self, folder: Path, url: str, block_bytes: int) -> None:
        name = hashlib.sha256(url.encode()).hexdigest()[:24]
        self._url = url
        self._block_bytes = block_bytes
        self._data_path = folder / f"{name}.data"
        self._log_path = folder / f"{name}.log"
        self._original_path = folder / f"{name}.json"
        self._lock = threading.RLock()
        self._there: dict[int, tuple[int, int]] = {}
        self._data = self._log = -1
        self.original = self._read()

    def _read(self) -> Original | None:
        try:
            found = Original(**load_json(self._original_path.read_text("utf-8")))
            lines = self._log_path.read_bytes()
            self._open()
        except (OSError, ValueError, TypeError):
            self.close()
            return None
        whole = len(lines) - len(lines) % _LINE.size
        self._there = {n: (size, check) for n, size, check in _LINE.iter_unpack(lines[:whole])}
        same = (found.url, found.block_bytes) == (self._url, self._block_bytes)
        return found if same else None

    def _open(self) -> None:
        try:
            self._data = os.open(self._data_path, os.O_RDWR | _BINARY)
            self._log = os.open(self._log_path, os.O_WRONLY | os.O_APPEND | _BINARY)
        except OSError:  # a store that cannot be written to: its blocks are read, none is added
            self.close()
            self._data = os.open(self._data_path, os.O_RDONLY | _BINARY)

    def file_version(self) -> tuple[str, int] | None:
        """Return validator and size of the file; None where nothing is cached."""
        return (
            None if self.original is None else (self.original.validator, self.original.size_bytes)
        )

    def begin(self, validator: str, size_bytes: int, block_bytes: int) -> None:
        """Start a version of the file; cached blocks of another version are removed."""
        original = Original(self._url, validator, size_bytes, block_bytes)
        if self.original == original:
            return
        self.close()
        self._there = {}
        self.original = original
        try:
            self._data_path.parent.mkdir(parents=True, exist_ok=True)
            for path in (self._original_path, self._log_path, self._data_path):
                path.unlink(missing_ok=True)
            self._data = os.open(self._data_path, os.O_RDWR | os.O_CREAT | _BINARY, 0o666)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _BINARY
            self._log = os.open(self._log_path, flags, 0o666)
            draft = self._original_path.with_suffix(f".{os.getpid()}.part")
            draft.write_text(json.dumps(asdict(original)), "utf-8")
            draft.replace(self._original_path)
        except OSError as error:
            self._give_up(error)

    def get(self, number: int) -> bytes | None:
        """Return a block; None where it is not there or damaged."""
        told = self._there.get(number)
        if told is None or self.original is None or self._data < 0:
            return None
        size, check = told
        with self._lock:
            found = self._bytes_at(number * self.original.block_bytes, size)
            if len(found) == size and zlib.crc32(found) == check:
                return found
            self._there.pop(number, None)
        return None

    def _bytes_at(self, start: int, size: int) -> bytes:
        if self._data < 0:
            return b""
        try:
            os.lseek(self._data, start, os.SEEK_SET)
            return os.read(self._data, size)
        except OSError:
            return b""

    def put(self, number: int, data: bytes | memoryview) -> None:
        """Cache a block."""
        check = zlib.crc32(data)
        # Under the lock from the look to the last write: a handle that another thread closed may
        # be another file's by now.
        with self._lock:
            if self._data < 0 or self._log < 0 or self.original is None:
                return
            try:
                os.lseek(self._data, number * self.original.block_bytes, os.SEEK_SET)
                whole = os.write(self._data, data) == len(data)
                if whole:
                    os.write(self._log, _LINE.pack(number, len(data), check))
                    self._there[number] = (len(data), check)
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        _LOG.warning("blocks are not cached in %s: %s", self._data_path.parent, error)
        self.close()

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for handle in (self._data, self._log):
                if handle >= 0:
                    with suppress(OSError):
                        os.close(handle)
            self._data = self._log = -1
