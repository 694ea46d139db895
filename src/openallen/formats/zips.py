"""Zip archives from elsewhere: members are read by name, into memory, never unpacked blindly."""

from __future__ import annotations

import bz2
import copy
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final, Self

from openallen.errors import CorruptError, NotFoundError, TruncatedError

__all__ = ["Zip"]

_MOST_BYTES: Final = 4 << 30
_MOST_RATIO: Final = 2000
_LZMA_BYTES: Final = 256 << 20
"""Memory that a decoder of LZMA may use: the highest level takes 65 MB."""
_LZMA_HEAD: Final = struct.Struct("<HHBI")
"""What an LZMA member begins with: version, size of what follows, properties, dictionary."""
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    IndexError,
    struct.error,
    OverflowError,
    RuntimeError,  # an encrypted member, or (NotImplementedError) a method zipfile does not know
)
"""What zipfile raises over bytes that are not a complete ZIP file."""


class Zip:
    """A zip whose members are found by the end of their name.

    Parameters
    ----------
    source
        A path, or the bytes.
    name
        What it is called in messages.

    Raises
    ------
    TruncatedError
        If it has no directory at its end, as one that was cut short.
    CorruptError
        If a member's name would leave a folder, or it claims to be larger than is sensible.
    """

    def __init__(self, source: Path | bytes, name: str = "") -> None:
        self.name = name or (str(source) if isinstance(source, Path) else "zip")
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source)
        except FileNotFoundError:
            raise NotFoundError("no such file", address=self.name) from None
        except _DAMAGE as error:
            raise TruncatedError(
                "not a complete ZIP file", address=self.name, why=str(error)
            ) from error
        for member in self._zip.infolist():
            self._check(member)

    def _check(self, member: zipfile.ZipInfo) -> None:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in member.filename:
            raise CorruptError(
                "a member of this zip would leave its folder",
                address=self.name,
                why=repr(member.filename),
            )
        bomb = member.file_size > _MOST_RATIO * max(member.compress_size, 1) + (1 << 20)
        if bomb or member.file_size > _MOST_BYTES:
            raise CorruptError(
                "implausible size of a ZIP member",
                address=self.name,
                why=f"{member.filename}: {member.file_size:,} bytes of {member.compress_size:,}",
            )

    def close(self) -> None:
        """Let go of the file; systems that lock open files want that before it is renamed."""
        self._zip.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the members, folders left out."""
        return tuple(m.filename for m in self._zip.infolist() if m.filename and not m.is_dir())

    def find(self, end: str) -> str:
        """Return the name of the one member that ends so, in whichever folder.

        Raises
        ------
        NotFoundError
            If there is none, or more than one.
        """
        found = [n for n in self.names if n == end or n.endswith(f"/{end}")]
        found = found or [n for n in self.names if n.endswith(end)]
        if len(found) != 1:
            raise NotFoundError(
                f"{'several members' if found else 'no member'} of this zip end in {end}",
                address=self.name,
                why="it holds " + ", ".join(self.names[:12]),
            )
        return found[0]

    def beside(self, name: str) -> Callable[[str], bytes]:
        """Return a reader of the files a member names: there, else the only one so called."""
        folder = name.rpartition("/")[0]

        def read(file: str) -> bytes:
            inside = f"{folder}/{file}" if folder else file
            return self.read(inside if inside in self.names else self.find(file))

        return read

    def read(self, name: str) -> bytes:
        """Return a member's bytes, its checksum compared.

        Raises
        ------
        CorruptError
            If they are damaged.
        """
        try:
            return self._read(self._zip.getinfo(name))
        except _DAMAGE as error:
            raise CorruptError(
                "a member of this zip is damaged", address=self.name, why=f"{name}: {error}"
            ) from error

    def _read(self, member: zipfile.ZipInfo) -> bytes:
        """Read a member without taking much more memory than it says that it comes to.

        zipfile bounds what stored and deflated members come to, and of the others only how much
        it takes in: a hundred bytes may well be a gigabyte.
        """
        if member.compress_type not in {zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}:
            with self._zip.open(member) as file:
                return file.read(member.file_size + 1)
        packed = memoryview(self._packed(member))
        decoder: bz2.BZ2Decompressor | lzma.LZMADecompressor
        if member.compress_type == zipfile.ZIP_BZIP2:
            decoder = bz2.BZ2Decompressor()
        else:
            decoder = _lzma(packed, member.file_size)
            packed = packed[_LZMA_HEAD.size :]
        body = decoder.decompress(packed, member.file_size + 1)
        if len(body) != member.file_size or zlib.crc32(body) != member.CRC:
            raise ValueError(f"not the {member.file_size:,} bytes that were packed")
        return body

    def _packed(self, member: zipfile.ZipInfo) -> bytes:
        """Return a member's bytes as they lie in the file."""
        stored = copy.copy(member)
        stored.compress_type = zipfile.ZIP_STORED
        stored.file_size = member.compress_size
        del stored.CRC  # it is that of what they come to
        with self._zip.open(stored) as file:
            return file.read(member.compress_size)


def _lzma(packed: memoryview, size_bytes: int) -> lzma.LZMADecompressor:
    """Return a decoder of a member that comes to so many bytes; its dictionary is no larger."""
    _, count, properties, dictionary_bytes = _LZMA_HEAD.unpack(packed[: _LZMA_HEAD.size])
    needed_bytes = max(min(dictionary_bytes, size_bytes), 1 << 12)
    if count != 5 or needed_bytes > _LZMA_BYTES:  # a decoder takes it all at once
        raise ValueError(f"an LZMA dictionary of {dictionary_bytes:,} bytes")
    rest, lc = divmod(properties, 9)
    pb, lp = divmod(rest, 5)
    told = {"id": lzma.FILTER_LZMA1, "dict_size": needed_bytes, "lc": lc, "lp": lp, "pb": pb}
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[told])
