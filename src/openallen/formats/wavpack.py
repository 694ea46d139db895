"""WavPack, as recordings are packed with it: decoding in memory with the system's own library.

There are no wheels of it for Linux, so the shared library is used where the system has one
(``libwavpack1`` on Debian, ``wavpack`` with Homebrew): a chunk of a Zarr store in,
samples out.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, MissingExtraError, TruncatedError
from openallen.formats import wavpack_library

if TYPE_CHECKING:
    import numpy as np

__all__ = ["available", "decode", "register", "wavpack_bytes"]

_MODE_FLOAT: Final = 0x8
_ERROR_BYTES: Final = 80
_BLOCK: Final = struct.Struct("<4sIHBBIIIII")
_MONO: Final = 1 << 2


class _Memory:
    """Bytes, read as a stream by the library."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.reader = wavpack_library.Reader(
            wavpack_library.READ(self._read),
            wavpack_library.READ(lambda *_: 0),
            wavpack_library.GET(lambda _: self._at),
            wavpack_library.SET(lambda _, at: self._seek(at)),
            wavpack_library.MOVE(self._move),
            wavpack_library.PUSH(self._push),
            wavpack_library.GET(lambda _: len(self._data)),
            wavpack_library.ASK(lambda _: 1),
            wavpack_library.ASK(lambda _: 0),
            wavpack_library.ASK(lambda _: 0),
        )

    def _read(self, _: Any, target: int, count: int) -> int:
        piece = self._data[self._at : self._at + count]
        ctypes.memmove(target, piece, len(piece))
        self._at += len(piece)
        return len(piece)

    def _seek(self, at: int) -> int:
        if not 0 <= at <= len(self._data):
            return -1
        self._at = at
        return 0

    def _move(self, _: Any, by: int, mode: int) -> int:
        return self._seek(by + (0, self._at, len(self._data))[mode])

    def _push(self, _: Any, byte: int) -> int:
        self._at -= 1
        return byte


def available() -> bool:
    """Return whether the system has the library."""
    return wavpack_library.library() is not None


def wavpack_bytes(data: bytes | memoryview, where: str = "") -> int:
    """Return the size in bytes that the blocks of a WavPack stream decode to.

    Counted from the headers of all blocks: the total in the first one bounds nothing.

    Raises
    ------
    CorruptError
        If it is not WavPack data.
    """
    view = memoryview(data)
    at = total = 0
    while at < len(view):
        if len(view) - at < _BLOCK.size or bytes(view[at : at + 4]) != b"wvpk":
            raise CorruptError("not WavPack data", address=where, why=f"at byte {at:,}")
        _, size, *_, samples, flags, _ = _BLOCK.unpack_from(view, at)
        width = (flags & 3) + 1
        total += samples * (1 if flags & _MONO else 2) * (width if width < 3 else 4)
        at += 8 + max(size, _BLOCK.size - 8)
    return total


def decode(data: bytes) -> np.ndarray[Any, Any]:
    """Unpack one WavPack stream.

    Returns
    -------
    array
        Samples x channels, of the type they were packed from (int8, int16, int32 or float32).

    Raises
    ------
    MissingExtraError
        If the system has no WavPack library, with how to get it.
    CorruptError
        If not WavPack data, or a block is damaged.
    TruncatedError
        If it ends early.
    """
    import numpy as np

    known = wavpack_library.library()
    if known is None:
        missing = MissingExtraError("wavpack", "this recording is compressed with WavPack and")
        missing.why, missing.hint = "the system has no libwavpack", wavpack_library.HINT
        raise missing
    told_bytes = wavpack_bytes(data)
    memory = _Memory(data)
    told = ctypes.create_string_buffer(_ERROR_BYTES)
    stream = known.WavpackOpenFileInputEx64(ctypes.byref(memory.reader), 1, None, told, 0, 0)
    if not stream:
        raise CorruptError("not WavPack data", why=told.value.decode("ascii", "replace"))
    try:
        channels = known.WavpackGetNumChannels(stream)
        samples = known.WavpackGetNumSamples64(stream)
        width = known.WavpackGetBytesPerSample(stream)
        count = samples * channels * (width if width < 3 else 4)
        if channels <= 0 or samples < 0 or count != told_bytes:
            why = f"{samples:,} samples of {channels}, {told_bytes:,} bytes in its blocks"
            raise CorruptError("invalid WavPack stream", why=why)
        values = np.empty((samples, channels), np.int32)
        got = known.WavpackUnpackSamples(stream, values.ctypes.data, samples)
        errors = known.WavpackGetNumErrors(stream)
        if got != samples:
            raise TruncatedError("truncated WavPack stream", why=f"{got} of {samples} samples")
        if errors:
            raise CorruptError("a block of WavPack is damaged", why=f"{errors} errors")
        if known.WavpackGetMode(stream) & _MODE_FLOAT:
            return values.view(np.float32)
        return values.astype({1: np.int8, 2: np.int16}.get(width, np.int32))
    finally:
        known.WavpackCloseFile(stream)


def register() -> bool:
    """Let Zarr stores that are packed with WavPack be read; tells whether they can be.

    A codec of that name that is registered already is left alone.
    """
    from numcodecs.abc import Codec
    from numcodecs.registry import codec_registry, register_codec

    if "wavpack" in codec_registry:
        return True
    if not available():
        return False

    class WavPack(Codec):  # type: ignore[misc]
        """Packs and unpacks chunks; what one was packed with is in itself."""

        codec_id = "wavpack"

        def __init__(self, **config: Any) -> None:
            self.config = config

        def get_config(self) -> dict[str, Any]:
            return {"id": self.codec_id, **self.config}

        def encode(self, buf: Any) -> Any:
            import numpy as np

            from openallen.formats.wavpack_encode import encode

            level, bps = self.config.get("level") or 1, self.config.get("bps") or 0.0
            return encode(np.asarray(buf), level=int(level), bps=float(bps))

        def decode(self, buf: Any, out: Any = None) -> Any:
            import numpy as np
            from numcodecs.compat import ensure_bytes, ndarray_copy

            found = decode(ensure_bytes(buf))
            return found if out is None else ndarray_copy(np.ascontiguousarray(found), out)

    register_codec(WavPack)
    return True
