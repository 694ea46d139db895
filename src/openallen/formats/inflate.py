"""Decompressing to a size that is known, into memory that is taken once."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from openallen.errors import CorruptError, TruncatedError

__all__ = ["fits", "inflate", "inflated"]

_IN_BYTES: Final = 1 << 20
_OUT_BYTES: Final = 256 << 10  # stays near the processor until it is copied
_MOST_RATIO: Final = 1032  # of deflate: two bits for 258 bytes that repeat
_AUTOMATIC: Final = 47  # zlib's word for: gzip or zlib, whichever the first bytes say


def fits(found_bytes: int, size_bytes: int, name: str = "") -> None:
    """Check that there are as many bytes as a volume's header says.

    Raises
    ------
    TruncatedError
        If there are fewer.
    CorruptError
        If there are more.
    """
    if found_bytes == size_bytes:
        return
    short = found_bytes < size_bytes
    error = TruncatedError if short else CorruptError
    raise error(
        f"too {'few' if short else 'many'} bytes for the volume",
        address=name,
        why=f"{found_bytes:,}, not {size_bytes:,}",
    )


def inflated(packed: bytes | bytearray | memoryview, name: str = "") -> Iterator[bytes]:
    """Return what gzip or zlib data hold, a piece at a time, check sums compared.

    Raises
    ------
    CorruptError
        If they do not decompress.
    TruncatedError
        If they end early.
    """
    rest = memoryview(packed)
    while rest:  # gzip members may follow each other
        engine = zlib.decompressobj(wbits=_AUTOMATIC)
        while not engine.eof:
            if not rest:
                raise TruncatedError("truncated data", address=name)
            fed = rest[:_IN_BYTES]
            try:
                piece = engine.decompress(fed, _OUT_BYTES)
            except zlib.error as error:
                raise CorruptError(
                    "the data do not decompress", address=name, why=str(error)
                ) from error
            kept = engine.unused_data if engine.eof else engine.unconsumed_tail
            rest = rest[len(fed) - len(kept) :]
            if piece:
                yield piece


def inflate(packed: bytes | bytearray | memoryview, size_bytes: int, name: str = "") -> memoryview:
    """Decompress gzip or zlib data that must come to exactly `size_bytes`.

    Never more than a piece beyond that size is held, whatever the data claim.

    Raises
    ------
    TruncatedError
        If they come to less, or end early.
    CorruptError
        If they do not decompress, or come to more; if there is not as much memory.
    """
    import numpy as np

    if size_bytes > _MOST_RATIO * len(packed):
        why = f"{len(packed):,} packed bytes cannot come to {size_bytes:,}"
        raise TruncatedError("too few bytes for the volume", address=name, why=why)
    try:  # not filled with zeros first, as a bytearray would be
        found: memoryview = np.empty(size_bytes, np.uint8).data
    except MemoryError as error:
        raise CorruptError("more than the memory holds", address=name, why=str(error)) from error
    at = 0
    for piece in inflated(packed, name):
        if at + len(piece) > size_bytes:
            fits(at + len(piece), size_bytes, name)
        found[at : at + len(piece)] = piece
        at += len(piece)
    fits(at, size_bytes, name)
    return found
