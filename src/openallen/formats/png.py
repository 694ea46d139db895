"""PNG: whether the bytes are whole, and small pictures, gray or in colour; nothing is decoded."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from openallen.errors import CorruptError, TruncatedError

__all__ = ["PngCheck", "gray_png", "inspect_png", "rgb_png"]

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


def inspect_png(data: bytes) -> tuple[int, int]:
    """Walk through the chunks of a PNG, each with its checksum; give width and height in pixels.

    Raises
    ------
    TruncatedError
        If it ends before its end chunk.
    CorruptError
        If it is no PNG, or a checksum is wrong.
    """
    if not data.startswith(_SIGNATURE):
        raise CorruptError("not a PNG", why=f"it begins with {data[:8]!r}")
    at, size = 8, (0, 0)
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        end = at + 12 + length
        if end > len(data):
            break
        (told,) = struct.unpack(">I", data[end - 4 : end])
        if zlib.crc32(data[at + 4 : end - 4]) != told:
            raise CorruptError("damaged PNG", why=f"wrong checksum in a {kind!r} at byte {at:,}")
        if kind == b"IHDR":
            size = struct.unpack(">II", data[at + 8 : at + 16])
        if kind == b"IEND":
            return size
        at = end
    raise TruncatedError("truncated picture", why=f"no end chunk within {len(data):,} bytes")


@dataclass(frozen=True)
class PngCheck:
    """Looks at a downloaded PNG before it gets its name; a `openallen.plans.Check`."""

    def __call__(self, path: Path) -> Mapping[str, Any]:
        """Check every chunk.

        Raises
        ------
        TruncatedError, CorruptError
            If the picture is not whole.
        """
        width, height = inspect_png(path.read_bytes())
        return {"width_px": width, "height_px": height}


def gray_png(rows: Sequence[bytes]) -> bytes:
    """Write a gray picture.

    Parameters
    ----------
    rows
        Its rows from the top, a byte for each pixel, all of one length.
    """
    return _png(rows, width_px=len(rows[0]), colour=0)


def rgb_png(rows: Sequence[bytes]) -> bytes:
    """Write a picture in colour.

    Parameters
    ----------
    rows
        Its rows from the top, three bytes (red, green, blue) for each pixel, all of one length.
    """
    return _png(rows, width_px=len(rows[0]) // 3, colour=2)


def _png(rows: Sequence[bytes], *, width_px: int, colour: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width_px, len(rows), 8, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return _SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
