"""Compressed chunks whose sizes are compared with the array's before anything is decoded.

Decoders believe the sizes written in a chunk: one that is damaged comes out as memory that was
never written, ends the interpreter, or takes all memory there is. What an array says of its chunks
is known beforehand, so nothing that says otherwise reaches a decoder.
"""

from __future__ import annotations

import bz2
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numcodecs.abc import Codec

from openallen.errors import CorruptError, IntegrityError
from openallen.formats.chunks import decoding
from openallen.formats.inflate import inflate, inflated

__all__ = ["DAMAGED", "SizedCodec", "compare", "decoded", "decoded_bytes"]

DAMAGED: Final = "a damaged chunk"
_MOST_BYTES: Final = 1 << 30
"""What a chunk may come to where nothing says how much it should be."""
_BLOSC_HEAD: Final = struct.Struct("<4B3I")
_BLOSC_COPIED: Final = 2  # the flag of data that are stored as they are
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


def compare(name: str, body: Any, size_bytes: int | None, where: str) -> None:
    """Compare the sizes written in a compressed chunk with its own and with the array's.

    Parameters
    ----------
    name
        The codec, as numcodecs or Zarr name it; those that write no sizes are taken as they are.
    body
        The chunk, compressed.
    size_bytes
        What it must come to; None where only the chunk can tell.
    where
        Place of the array, for messages.

    Raises
    ------
    CorruptError
        If a size in it contradicts its own, or the array.
    """
    look = _LOOKS.get(name)
    if look is None:
        return
    view = memoryview(body).cast("B")
    told = look(view, where)
    _agree(told, size_bytes, where)


def _agree(told: int | None, size_bytes: int | None, where: str) -> None:
    if told is None:
        return
    if size_bytes is None:
        if told > _MOST_BYTES:
            raise CorruptError(DAMAGED, address=where, why=f"it claims {told:,} bytes")
    elif told != size_bytes:
        raise CorruptError(
            DAMAGED, address=where, why=f"it claims {told:,} bytes, not {size_bytes:,}"
        )


def _short(view: memoryview, least: int, where: str) -> None:
    if len(view) < least:
        why = f"{len(view):,} of at least {least:,} bytes"
        raise CorruptError(DAMAGED, address=where, why=why)


def _blosc(view: memoryview, where: str) -> int:
    _short(view, _BLOSC_HEAD.size, where)
    _, _, flags, typesize, size, block, packed = _BLOSC_HEAD.unpack_from(view)
    if packed != len(view):
        why = f"{len(view):,} bytes, which claim to be {packed:,}"
        raise CorruptError(DAMAGED, address=where, why=why)
    wrong = size and (not 0 < block <= size or not typesize)
    if wrong or (flags & _BLOSC_COPIED and packed != size + _BLOSC_HEAD.size):
        raise CorruptError(DAMAGED, address=where, why="its sizes contradict each other")
    return int(size)


def _zstd(view: memoryview, where: str) -> int | None:
    """Return the size that the first frame tells; None if it tells none."""
    _short(view, 6, where)
    if bytes(view[:4]) != _ZSTD_MAGIC:
        return None  # for the decoder to say
    flags = view[4]
    single = flags >> 5 & 1
    size_code = flags >> 6
    if not size_code and not single:
        return None
    wide = (1, 2, 4, 8)[size_code]
    at = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    _short(view, at + wide, where)
    return int.from_bytes(view[at : at + wide], "little") + (256 if size_code == 1 else 0)


def _lz4(view: memoryview, where: str) -> int:
    _short(view, 4, where)
    return int.from_bytes(view[:4], "little")


_LOOKS: Final[Mapping[str, Callable[[memoryview, str], int | None]]] = {
    "blosc": _blosc,
    "zstd": _zstd,
    "lz4": _lz4,
}


def decoded(name: str, body: Any, size_bytes: int | None, where: str) -> Any:
    """Decompress a chunk of a format that writes no size before its data; None for other codecs.

    All members of it are read, and no more than it may come to is ever held.

    Raises
    ------
    CorruptError
        If it does not decompress, ends early, or comes to too little or too much.
    """
    most = _MOST_BYTES if size_bytes is None else size_bytes
    view = memoryview(body).cast("B")
    if name in {"gzip", "zlib"}:
        try:
            if size_bytes is not None:
                return np.frombuffer(inflate(view, size_bytes), np.uint8)
            return _gathered(inflated(view), most, where)
        except IntegrityError as error:
            why = error.why or error.what
            raise CorruptError(DAMAGED, address=where, why=why) from error
    if name == "bz2":
        found = _bunzipped(view, most, where)
        _agree(len(found), size_bytes, where)
        return np.frombuffer(found, np.uint8)
    return None


def _gathered(pieces: Iterator[bytes], most: int, where: str) -> Any:
    found = bytearray()
    for piece in pieces:
        found += piece
        if len(found) > most:
            raise _more(most, where)
    return np.frombuffer(found, np.uint8)


def _bunzipped(view: memoryview, most: int, where: str) -> bytes:
    found, rest = b"", bytes(view)
    while rest:
        engine = bz2.BZ2Decompressor()
        try:
            found += engine.decompress(rest, most + 1 - len(found))
        except OSError as error:
            why = str(error)
            raise CorruptError(DAMAGED, address=where, why=why) from error
        if len(found) > most:
            raise _more(most, where)
        if not engine.eof:
            raise CorruptError(DAMAGED, address=where, why="it ends early")
        rest = engine.unused_data
    return found


def _more(most: int, where: str) -> CorruptError:
    why = f"it comes to more than {most:,} bytes"
    return CorruptError(DAMAGED, address=where, why=why)


class SizedCodec(Codec):  # type: ignore[misc]
    """A compressor of numcodecs that decodes only what has the right sizes.

    Parameters
    ----------
    codec
        The compressor.
    size_bytes
        What each chunk must come to; None where it cannot be known.
    where
        Place of the array, for messages.
    """

    codec_id = "sized"

    def __init__(self, codec: Any, size_bytes: int | None, where: str) -> None:
        self._codec = codec
        self._size_bytes = size_bytes
        self._where = where
        self.codec_id = codec.codec_id

    def encode(self, buf: Any) -> Any:
        """Compress."""
        return self._codec.encode(buf)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decompress, after its sizes were compared."""
        body = np.ascontiguousarray(np.frombuffer(buf, np.uint8))
        found = decoded(self.codec_id, body, self._size_bytes, self._where)
        if found is None:
            compare(self.codec_id, body, self._size_bytes, self._where)
            if out is None and self.codec_id == "zstd" and self._size_bytes:
                out = np.empty(self._size_bytes, np.uint8)  # so that it cannot come to more
            with decoding(DAMAGED, self._where):
                return self._codec.decode(body, out)
        if out is None:
            return found
        np.copyto(out.reshape(-1, order="A").view(np.uint8), found)
        return out

    def get_config(self) -> Any:
        """Return the configuration of the compressor."""
        return self._codec.get_config()


def decoded_bytes(told: Mapping[str, Any]) -> int | None:
    """Return what a compressed chunk of a version 2 array comes to in bytes; None if unknown.

    Parameters
    ----------
    told
        Metadata of the array.
    """
    try:
        item = _item_bytes(told.get("dtype"))
        count = math.prod(int(n) for n in told["chunks"])
        for codec in told.get("filters") or ():
            item = _filtered(codec, item)
    except (TypeError, ValueError, KeyError, AttributeError):
        return None
    return item * count if item else None


def _item_bytes(dtype: Any) -> int:
    fields = [tuple(field) for field in dtype] if isinstance(dtype, list) else dtype
    made = np.dtype(fields)
    return 0 if made.hasobject else made.itemsize


def _filtered(codec: Mapping[str, Any], item: int) -> int:
    """Return the size of an item behind a filter; 0 if unknown."""
    name = codec.get("id")
    if name in {"delta", "fixedscaleoffset", "quantize", "astype"}:
        kept = codec.get("encode_dtype") if name == "astype" else codec.get("astype")
        return _item_bytes(kept or codec.get("dtype")) if item else 0
    return item if name in {"shuffle", "bitround"} else 0
