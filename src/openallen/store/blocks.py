"""Blocks of remote files, cached on disk.

Three files for each: the data, as long as the original and sparse; a log with a line for each
block that is there; and what the original was (address, version mark, size). Processes may share
them: a block is written before its line, and a line is one small append.

Nothing in them is believed unchecked, as a power cut can leave zeros, halves and lines of an
earlier version. A line begins with a mark and ends with its own checksum; it names number, length
and checksum of a block. All checksums start from what the original was, that of a block from its
number too, so that neither fits another version or another place. The length must be that of
the block. Whatever does not hold counts as missing.
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
from typing import Any, Final

from openallen.json_text import load_json

__all__ = ["Blocks", "Original"]

_LOG = logging.getLogger("openallen.store")
_MARK: Final = b"blk2"
_LINE: Final = struct.Struct("<4sQIII")  # mark, number, length, checksum of the block, of the line
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

    @property
    def seed(self) -> int:
        """What checksums of this version start from."""
        return zlib.crc32(json.dumps(asdict(self), sort_keys=True).encode())

    def length_bytes(self, number: int) -> int:
        """Return the length of a block; 0 where there is none of that number."""
        return max(0, min(self.block_bytes, self.size_bytes - number * self.block_bytes))


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
            found = _original(load_json(self._original_path.read_bytes()))
            log = self._log_path.read_bytes()
            self._open()
        except (OSError, ValueError):
            self.close()
            return None
        if (found.url, found.block_bytes) != (self._url, self._block_bytes):
            self.close()
            return None
        self._there = _lines(log, found)
        return found

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
        """Start a version of the file; cached blocks of another version are removed.

        Without a mark nothing tells versions apart, so that all blocks are removed.
        """
        original = Original(self._url, validator, size_bytes, block_bytes)
        if validator and self.original == original:
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
            draft.write_text(json.dumps({**asdict(original), "check": original.seed}), "utf-8")
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
            if len(found) == size and self._check(number, found) == check:
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

    def _check(self, number: int, data: bytes | memoryview) -> int:
        seed = 0 if self.original is None else self.original.seed
        return zlib.crc32(data, zlib.crc32(number.to_bytes(8, "little"), seed))

    def put(self, number: int, data: bytes | memoryview) -> None:
        """Cache a block; one that is not as long as it must be is not cached."""
        if self.original is None or len(data) != self.original.length_bytes(number):
            return
        check = self._check(number, data)
        # Under the lock from the look to the last write: a handle that another thread closed may
        # be another file's by now.
        with self._lock:
            if self._data < 0 or self._log < 0 or self.original is None:
                return
            try:
                os.lseek(self._data, number * self.original.block_bytes, os.SEEK_SET)
                whole = os.write(self._data, data) == len(data)
                if whole:
                    os.write(self._log, _line(number, len(data), check, self.original.seed))
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


def _original(told: Any) -> Original:
    """Return what the original was, as it was written down.

    Raises
    ------
    ValueError
        If this is not what was written.
    """
    names = ("url", "validator", "size_bytes", "block_bytes", "check")
    if not isinstance(told, dict) or set(told) != set(names):
        raise ValueError("not the description of a cached file")
    if [type(told[n]) for n in names] != [str, str, int, int, int]:
        raise ValueError("not the description of a cached file")
    check = told.pop("check")
    found = Original(**told)
    if found.seed != check or found.size_bytes < 0 or found.block_bytes <= 0:
        raise ValueError("the description of a cached file is damaged")
    return found


def _line(number: int, size: int, check: int, seed: int) -> bytes:
    body = _LINE.pack(_MARK, number, size, check, 0)[:-4]
    return body + zlib.crc32(body, seed).to_bytes(4, "little")


def _lines(log: bytes, original: Original) -> dict[int, tuple[int, int]]:
    """Return length and checksum of each block a log names; the last line of a block counts.

    A line is looked for at its mark, so that one that was torn does not spoil those behind it.
    """
    found: dict[int, tuple[int, int]] = {}
    seed, at = original.seed, log.find(_MARK)
    while at >= 0:
        line = log[at : at + _LINE.size]
        if len(line) < _LINE.size:
            break
        _, number, size, check, own = _LINE.unpack(line)
        whole = zlib.crc32(line[:-4], seed) == own
        if whole and 0 < size == original.length_bytes(number):
            found[number] = (size, check)
        at = log.find(_MARK, at + (_LINE.size if whole else 1))
    return found
