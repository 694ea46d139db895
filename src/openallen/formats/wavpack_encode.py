"""Packing with WavPack, lossless or down to so many bits a sample; the system's own library.

As `openallen.formats.wavpack` reads: there are no wheels for Linux. Levels 1 to 4 are WavPack's
fast, normal, high and very high; channels that are no loudspeakers are packed in pairs.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import MissingExtraError, OpenAllenError, UsageError
from openallen.formats import wavpack_library

if TYPE_CHECKING:
    import numpy as np

__all__ = ["encode"]

_LEVELS: Final = {1: 0x200, 2: 0, 3: 0x800, 4: 0x800 | 0x1000}
_HYBRID: Final = 0x8
_SHAPE_OVERRIDE: Final = 0x8000
_PAIRS: Final = 0x20000000
_LEAST_BPS: Final = 2.25
_SPEAKERS: Final = 18
_BLOCK: Final = (16, 131_072)

_id, _i32, _int = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int
_OUT = ctypes.CFUNCTYPE(_int, _id, _id, _i32)


class _Config(ctypes.Structure):
    """``WavpackConfig``."""

    _fields_ = (
        ("bitrate", ctypes.c_float),
        ("shaping_weight", ctypes.c_float),
        ("bits_per_sample", _int),
        ("bytes_per_sample", _int),
        ("qmode", _int),
        ("flags", _int),
        ("xmode", _int),
        ("num_channels", _int),
        ("float_norm_exp", _int),
        ("block_samples", _i32),
        ("extra_flags", _i32),
        ("sample_rate", _i32),
        ("channel_mask", _i32),
        ("md5_checksum", ctypes.c_ubyte * 16),
        ("md5_read", ctypes.c_ubyte),
        ("num_tag_strings", _int),
        ("tag_strings", _id),
    )


def encode(samples: np.ndarray[Any, Any], *, level: int = 2, bps: float = 0.0) -> bytes:
    """Pack samples into one WavPack stream.

    Parameters
    ----------
    samples
        int8, int16 or int32: samples x channels.
    level
        1 to 4.
    bps
        Bits a sample, at least 2.25, for lossy packing; 0 loses nothing.

    Raises
    ------
    UsageError
        For samples, levels or bits that WavPack does not know.
    MissingExtraError
        If the system has no WavPack library, with how to get it.
    """
    import numpy as np

    if samples.ndim != 2 or samples.dtype.kind != "i" or samples.dtype.itemsize > 4:
        raise UsageError("WavPack compresses int8, int16 and int32, samples x channels")
    if level not in _LEVELS or (bps and not _LEAST_BPS <= bps <= 24):
        raise UsageError(
            "WavPack has levels 1 to 4, and 2.25 to 24 bits a sample", why=f"{level}, {bps:g}"
        )
    library = _library()
    count = len(samples)
    pieces: list[bytes] = []

    def take(_: Any, data: int, size: int) -> int:
        pieces.append(ctypes.string_at(data, size))
        return 1

    # Kept by name until the stream is closed: the library calls it.
    out = _OUT(take)
    stream = library.WavpackOpenFileOutput(out, None, None)
    try:
        config = _configured(samples, level, bps)
        values = np.ascontiguousarray(samples, np.int32)
        done = (
            library.WavpackSetConfiguration64(stream, ctypes.byref(config), count, None)
            and library.WavpackPackInit(stream)
            and library.WavpackPackSamples(stream, values.ctypes.data, count)
            and library.WavpackFlushSamples(stream)
        )
        if not done:
            told = library.WavpackGetErrorMessage(stream) or b""
            raise OpenAllenError("WavPack failed", why=told.decode("ascii", "replace"))
    finally:
        library.WavpackCloseFile(stream)
    return b"".join(pieces)


def _library() -> Any:
    library = wavpack_library.library()
    if library is None:
        missing = MissingExtraError("wavpack", "compression with WavPack")
        missing.why, missing.hint = "the system has no libwavpack", wavpack_library.HINT
        raise missing
    library.WavpackOpenFileOutput.restype = _id
    library.WavpackOpenFileOutput.argtypes = [_OUT, _id, _id]
    library.WavpackSetConfiguration64.argtypes = [_id, _id, ctypes.c_int64, _id]
    library.WavpackPackInit.argtypes = [_id]
    library.WavpackPackSamples.argtypes = [_id, _id, ctypes.c_uint32]
    library.WavpackFlushSamples.argtypes = [_id]
    library.WavpackGetErrorMessage.restype = ctypes.c_char_p
    library.WavpackGetErrorMessage.argtypes = [_id]
    return library


def _configured(samples: np.ndarray[Any, Any], level: int, bps: float) -> _Config:
    count, channels = samples.shape
    return _Config(
        bits_per_sample=8 * samples.dtype.itemsize,
        bytes_per_sample=samples.dtype.itemsize,
        flags=_LEVELS[level] | _PAIRS | (_HYBRID | _SHAPE_OVERRIDE if bps else 0),
        bitrate=bps,
        num_channels=channels,
        # One block a chunk: headers are few, and the filters need not learn anew.
        block_samples=count if _BLOCK[0] <= count <= _BLOCK[1] else 0,
        channel_mask=(1 << min(channels, _SPEAKERS)) - 1,
        sample_rate=30_000,
    )
