"""What a FLAC stream says it comes to: read before it is decoded."""

from __future__ import annotations

from typing import Final

from openallen.errors import CorruptError

__all__ = ["flac_bytes"]

_MAGIC: Final = b"fLaC"
_INFO_BYTES: Final = 34
_LAST: Final = 0x80


def flac_bytes(view: memoryview, what: str, where: str) -> int:
    """Return the size in bytes that a FLAC stream decodes to: 16 bits a sample, 32 above that.

    Decoders stop at the number of samples that the stream tells, so it bounds what they return. A
    stream that tells none could come to anything, and one that tells twice contradicts itself;
    neither is what the codec of Zarr stores writes.

    Parameters
    ----------
    view
        The stream.
    what, where
        What is wrong if it is, and the place of the array, for errors.

    Raises
    ------
    CorruptError
        If it is no FLAC stream, or does not tell.
    """

    def wrong(why: str) -> CorruptError:
        return CorruptError(what, address=where, why=why)

    if bytes(view[:4]) != _MAGIC:
        raise wrong("not FLAC data")
    at, kind, told = 4, 0, 0
    while not kind & _LAST:
        if len(view) < at + 4:
            raise wrong("it ends early")
        kind, size = view[at], int.from_bytes(view[at + 1 : at + 4], "big")
        if (at == 4) != (kind & ~_LAST == 0):
            raise wrong("a FLAC stream has one description, at its beginning")
        if at == 4:
            told = _told(bytes(view[at + 4 : at + 4 + size]))
        at += 4 + size
    if not told:
        raise wrong("it does not say how many samples it holds")
    return told


def _told(info: bytes) -> int:
    if len(info) != _INFO_BYTES:
        return 0
    packed = int.from_bytes(info[10:18], "big")  # rate 20 bits, channels 3, bits 5, samples 36
    channels, bits = (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1
    return (packed & (1 << 36) - 1) * channels * (2 if bits <= 16 else 4)
