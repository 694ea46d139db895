"""Compressed chunks whose sizes are compared with the array's before anything is decoded.

Decoders believe the sizes written in a chunk: one that is damaged comes out as memory that was
never written, ends the interpreter, or takes all memory there is. What an array says of its chunks
is known beforehand, so nothing that says otherwise reaches a decoder.
"""

from __future__ import annotations

import bz2
import lzma
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numcodecs.abc import Codec
from numcodecs.registry import get_codec

from openallen.errors import CorruptError, IntegrityError
from openallen.formats.chunks import decoding
from openallen.formats.flac import flac_bytes
from openallen.formats.inflate import inflate, inflated
from openallen.formats.wavpack import wavpack_bytes

__all__ = [
    "DAMAGED",
    "SIZED",
    "SizedCodec",
    "compare",
    "decoded",
    "decoded_bytes",
    "filtered_most_bytes",
    "most_bytes_of",
    "sized_filters",
]

DAMAGED: Final = "a damaged chunk"
_NO_OPTIONS: Final[Mapping[str, Any]] = {}
_MOST_BYTES: Final = 1 << 30
"""What a chunk may come to where nothing says how much it should be."""
_SLACK_BYTES: Final = 1 << 20
_TEXTS_BYTES: Final = 64 << 20
_TEXTS_RATIO: Final = 100
_LZMA_BYTES: Final = 256 << 20
"""Memory that a decoder of LZMA may use: the highest level takes 65 MB."""
_BLOSC_HEAD: Final = struct.Struct("<4B3I")
_BLOSC_COPIED: Final = 2  # the flag of data that are stored as they are
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPED: Final = 0x184D2A5
_ZSTD_REPEATED: Final = 1
_ZSTD_PACKED: Final = 2
_ZSTD_BLOCK_BYTES: Final = 128 << 10


def compare(
    name: str, body: Any, size_bytes: int | None, where: str, most_bytes: int = _MOST_BYTES
) -> None:
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
    most_bytes
        The most it may come to where `size_bytes` is None.

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
    _agree(told, size_bytes, where, most_bytes)


def _agree(
    told: int | None, size_bytes: int | None, where: str, most_bytes: int = _MOST_BYTES
) -> None:
    if told is None:
        return
    if size_bytes is None:
        if told > most_bytes:
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


def _zstd_most(view: memoryview, where: str) -> int:
    """Return the most bytes that zstd frames can come to, by their blocks."""
    at = most = 0
    while at < len(view):
        _short(view, at + 8, where)
        mark = int.from_bytes(view[at : at + 4], "little")
        if mark >> 4 == _ZSTD_SKIPPED:
            at += 8 + int.from_bytes(view[at + 4 : at + 8], "little")
            continue
        if bytes(view[at : at + 4]) != _ZSTD_MAGIC:
            raise CorruptError(DAMAGED, address=where, why="not zstd data")
        flags = view[at + 4]
        single = flags >> 5 & 1
        at += 5 + (not single) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
        last = 0
        while not last:
            _short(view, at + 3, where)
            head = int.from_bytes(view[at : at + 3], "little")
            last, kind, size = head & 1, head >> 1 & 3, head >> 3
            at += 3 + (1 if kind == _ZSTD_REPEATED else size)
            most += _ZSTD_BLOCK_BYTES if kind == _ZSTD_PACKED else size
        at += 4 * (flags >> 2 & 1)
    return most


def _lz4(view: memoryview, where: str) -> int:
    _short(view, 4, where)
    return int.from_bytes(view[:4], "little")


_LOOKS: Final[Mapping[str, Callable[[memoryview, str], int | None]]] = {
    "blosc": _blosc,
    "zstd": _zstd,
    "lz4": _lz4,
    "flac": lambda view, where: flac_bytes(view, DAMAGED, where),
    "wavpack": wavpack_bytes,
}
SIZED: Final = frozenset({*_LOOKS, "gzip", "zlib", "bz2", "lzma"})
"""Compressors whose chunks are bounded before, or while, they are decoded."""


def decoded(
    name: str,
    body: Any,
    size_bytes: int | None,
    where: str,
    *,
    options: Mapping[str, Any] = _NO_OPTIONS,
    most_bytes: int = _MOST_BYTES,
) -> Any:
    """Decompress a chunk of a format that bounds no decoder by itself; None for other codecs.

    All members of it are read, and no more than it may come to is ever held.

    Parameters
    ----------
    name, body, size_bytes, where, most_bytes
        As for `compare`.
    options
        Options of the codec, as the array names them.

    Raises
    ------
    CorruptError
        If it does not decompress, ends early, or comes to too little or too much.
    """
    most = most_bytes if size_bytes is None else size_bytes
    view = memoryview(body).cast("B")
    if name in {"gzip", "zlib"}:
        try:
            if size_bytes is not None:
                return np.frombuffer(inflate(view, size_bytes), np.uint8)
            return _gathered(inflated(view), most, where)
        except IntegrityError as error:
            why = error.why or error.what
            raise CorruptError(DAMAGED, address=where, why=why) from error
    if name in {"bz2", "lzma"}:
        with decoding(DAMAGED, where):
            make = bz2.BZ2Decompressor if name == "bz2" else _lzma_of(options)
            found = _unpacked(make, view, most, where)
        _agree(len(found), size_bytes, where)
        return np.frombuffer(found, np.uint8)
    if name == "zstd":
        return _unzstd(view, size_bytes, where, most)
    return None


def _unzstd(view: memoryview, size_bytes: int | None, where: str, most: int) -> Any:
    """Decompress zstd frames, of which only the first may say what it comes to, or none."""
    import numcodecs

    compare("zstd", view, size_bytes, where, most)
    out = None
    if size_bytes is not None:
        out = np.empty(size_bytes, np.uint8)  # so that it cannot come to more
    elif (told := _zstd_most(view, where)) > most + _ZSTD_BLOCK_BYTES:
        why = f"it may come to {told:,} bytes"
        raise CorruptError(DAMAGED, address=where, why=why)
    with decoding(DAMAGED, where):
        return np.frombuffer(numcodecs.Zstd().decode(view, out), np.uint8)


def _lzma_of(options: Mapping[str, Any]) -> Callable[[], lzma.LZMADecompressor]:
    """Return what makes decoders of LZMA with bounded memory."""
    kind = options.get("format")
    kind = lzma.FORMAT_XZ if kind is None else int(kind)
    if kind != lzma.FORMAT_RAW:
        return lambda: lzma.LZMADecompressor(kind, _LZMA_BYTES)
    filters = [dict(one) for one in options.get("filters") or ()]
    if any(int(one.get("dict_size") or 0) > _LZMA_BYTES for one in filters):
        raise ValueError("a dictionary that is too large")
    return lambda: lzma.LZMADecompressor(kind, filters=filters)


def _gathered(pieces: Iterator[bytes], most: int, where: str) -> Any:
    found = bytearray()
    for piece in pieces:
        found += piece
        if len(found) > most:
            raise _more(most, where)
    return np.frombuffer(found, np.uint8)


def _unpacked(make: Callable[[], Any], view: memoryview, most: int, where: str) -> bytes:
    """Decompress streams that may follow each other."""
    found, rest = bytearray(), bytes(view)
    while rest:
        engine = make()
        found += engine.decompress(rest, most + 1 - len(found))
        if len(found) > most:
            raise _more(most, where)
        if not engine.eof:
            raise CorruptError(DAMAGED, address=where, why="it ends early")
        rest = engine.unused_data
    return bytes(found)


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
    most_bytes
        The most that each may come to where `size_bytes` is None.
    """

    codec_id = "sized"

    def __init__(
        self, codec: Any, size_bytes: int | None, where: str, most_bytes: int = _MOST_BYTES
    ) -> None:
        self._codec = codec
        self._size_bytes = size_bytes
        self._where = where
        self._most_bytes = most_bytes
        self.codec_id = codec.codec_id

    def encode(self, buf: Any) -> Any:
        """Compress."""
        return self._codec.encode(buf)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decompress, after its sizes were compared."""
        body = np.ascontiguousarray(np.frombuffer(buf, np.uint8))
        options = self._codec.get_config() if self.codec_id == "lzma" else _NO_OPTIONS
        name, size_bytes, most = self.codec_id, self._size_bytes, self._most_bytes
        found = decoded(name, body, size_bytes, self._where, options=options, most_bytes=most)
        if found is None:
            compare(name, body, size_bytes, self._where, most)
            with decoding(DAMAGED, self._where):
                return self._codec.decode(body, out)
        if out is None:
            return found
        np.copyto(out.reshape(-1, order="A").view(np.uint8), found)
        return out

    def get_config(self) -> Any:
        """Return the configuration of the compressor."""
        return self._codec.get_config()


def sized_filters(
    filters: Iterable[Any] | None, where: str, most_bytes: int = _MOST_BYTES
) -> list[Any] | None:
    """Return the filters of a version 2 array; compressors among them compare sizes.

    Parameters
    ----------
    filters
        Codecs, made or as metadata describe them.
    where
        Place of the array, for messages.
    most_bytes
        The most that each compressor may return for a chunk.
    """
    return None if filters is None else [_sized(one, where, most_bytes) for one in filters]


def _sized(given: Any, where: str, most_bytes: int) -> Any:
    name = given.get("id") if isinstance(given, dict) else getattr(given, "codec_id", "")
    if name not in SIZED:
        return given
    made = get_codec(dict(given)) if isinstance(given, dict) else given
    return SizedCodec(made, None, where, most_bytes)


def most_bytes_of(item_bytes: int, count: int, packed_bytes: int = 0) -> int:
    """Return the most that a compressed chunk may come to where its size is not known.

    Parameters
    ----------
    item_bytes
        Size of a value; 0 for texts and other objects, which tell nothing of their size.
    count
        Values in a chunk.
    packed_bytes
        The chunk's own size, where values tell nothing.
    """
    if item_bytes:  # filters may widen values, and compressors in a row add little
        return min(_MOST_BYTES, _SLACK_BYTES + 8 * item_bytes * count)
    return min(_MOST_BYTES, max(_TEXTS_BYTES, _TEXTS_RATIO * packed_bytes))


def filtered_most_bytes(told: Mapping[str, Any]) -> int:
    """Return the most that a compressor among filters of a version 2 array may return."""
    try:
        count = math.prod(int(n) for n in told["chunks"])
        return most_bytes_of(_item_bytes(told.get("dtype")), count)
    except (TypeError, ValueError, KeyError):
        return _TEXTS_BYTES


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
    try:
        made = np.dtype(fields)
    except SyntaxError as error:  # numpy reads some as expressions of Python
        raise ValueError(str(error)) from error
    return 0 if made.hasobject else made.itemsize


def _filtered(codec: Mapping[str, Any], item: int) -> int:
    """Return the size of an item behind a filter; 0 if unknown."""
    name = codec.get("id")
    if name in {"delta", "fixedscaleoffset", "quantize", "astype"}:
        kept = codec.get("encode_dtype") if name == "astype" else codec.get("astype")
        return _item_bytes(kept or codec.get("dtype")) if item else 0
    return item if name in {"shuffle", "bitround"} else 0
