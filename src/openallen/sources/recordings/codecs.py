"""Codecs of the compression benchmark, with their levels and shuffles."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from openallen.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["CODECS", "LEVELS", "SHUFFLES", "Codec", "Engine", "engine_of", "find_codec"]

LEVELS: Final = ("low", "medium", "high")
SHUFFLES: Final = ("none", "byte", "bit")


class Engine(Protocol):
    """Compresses and decompresses."""

    def encode(self, data: np.ndarray[Any, Any]) -> Any:
        """Compress samples, shape (samples, channels)."""
        ...

    def decode(self, packed: Any) -> Any:
        """Return the decompressed bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec.

    Parameters
    ----------
    levels
        Its own levels for low, medium and high.
    shuffles
        Byte or bit shuffles it supports.
    best
        Level and shuffle with the highest published compression ratio.
    make
        Makes the codec, by level and shuffle.
    columns
        Channels in a chunk; 0 for all.
    """

    levels: tuple[int, int, int]
    shuffles: tuple[str, ...]
    best: tuple[str, str]
    make: Callable[[int, str], Engine]
    columns: int = 0


class _WavPack:
    """WavPack, by the library of the system."""

    def __init__(self, level: int, bps: float = 0.0) -> None:
        self._level = level
        self._bps = bps

    def encode(self, data: np.ndarray[Any, Any]) -> bytes:
        from openallen.formats.wavpack_encode import encode

        return encode(data, level=self._level, bps=self._bps)

    def decode(self, packed: Any) -> Any:
        from openallen.formats.wavpack import decode

        return decode(bytes(packed))


def wavpack(level: int, bps: float = 0.0) -> Engine:
    """Return WavPack: lossless, or hybrid with `bps` bits per sample."""
    return _WavPack(level, bps)


class _Flac:
    """FLAC, by the package flac-numcodecs."""

    def __init__(self, level: int) -> None:
        try:
            module = importlib.import_module("flac_numcodecs")
        except ImportError:
            raise MissingExtraError(
                "flac-numcodecs", "compression with FLAC", hint="pip install flac-numcodecs"
            ) from None
        self._codec = module.Flac(level=level)

    def encode(self, data: np.ndarray[Any, Any]) -> Any:
        return self._codec.encode(data)

    def decode(self, packed: Any) -> Any:
        return self._codec.decode(packed)


class _Numcodecs:
    """A codec of numcodecs, with a byte shuffle before it if asked for."""

    def __init__(self, codec: Any, shuffle: str) -> None:
        import numcodecs

        self._codec = codec
        self._shuffle = numcodecs.Shuffle(2) if shuffle == "byte" else None

    def encode(self, data: np.ndarray[Any, Any]) -> Any:
        return self._codec.encode(data if self._shuffle is None else self._shuffle.encode(data))

    def decode(self, packed: Any) -> Any:
        found = self._codec.decode(packed)
        return found if self._shuffle is None else self._shuffle.decode(found)


def _blosc(name: str) -> Callable[[int, str], Engine]:
    def make(level: int, shuffle: str) -> Engine:
        import numcodecs

        # Blosc has a shuffle of its own.
        return _Numcodecs(numcodecs.Blosc(name, level, SHUFFLES.index(shuffle)), "none")

    return make


def _plain(name: str, option: str = "level") -> Callable[[int, str], Engine]:
    def make(level: int, shuffle: str) -> Engine:
        import numcodecs

        return _Numcodecs(getattr(numcodecs, name)(**{option: level}), shuffle)

    return make


_BLOSC: Final = ((1, 5, 9), SHUFFLES, ("high", "bit"))
_BYTES: Final = (("none", "byte"), ("high", "byte"))
_AUDIO: Final = (("none",), ("medium", "none"))

CODECS: Final[Mapping[str, Codec]] = {
    "flac": Codec((1, 5, 8), *_AUDIO, lambda level, _: _Flac(level), columns=2),
    "wavpack": Codec((1, 2, 3), *_AUDIO, lambda level, _: wavpack(level)),
    "blosc-zstd": Codec(*_BLOSC, _blosc("zstd")),
    "blosc-lz4hc": Codec(*_BLOSC, _blosc("lz4hc")),
    "blosc-lz4": Codec(*_BLOSC, _blosc("lz4")),
    "blosc-zlib": Codec(*_BLOSC, _blosc("zlib")),
    "lzma": Codec((1, 5, 9), *_BYTES, _plain("LZMA", "preset")),
    "zstd": Codec((1, 11, 22), *_BYTES, _plain("Zstd")),
    "zlib": Codec((1, 5, 9), *_BYTES, _plain("Zlib")),
    "gzip": Codec((1, 5, 9), *_BYTES, _plain("GZip")),
    "lz4": Codec((9, 5, 1), *_BYTES, _plain("LZ4", "acceleration")),
}
"""The eleven codecs of Buccino et al. 2023."""


def find_codec(name: str) -> Codec:
    """Return a codec by name.

    Raises
    ------
    UsageError
        If it does not exist.
    """
    if name not in CODECS:
        raise UsageError(f"no codec '{name}'", why=f"one of {', '.join(CODECS)}")
    return CODECS[name]


def engine_of(name: str, level: str, shuffle: str) -> Engine:
    """Return a codec ready for use.

    Raises
    ------
    UsageError
        If it does not have that level or shuffle.
    MissingExtraError
        If its package or library is not installed.
    """
    codec = find_codec(name)
    if level not in LEVELS:
        raise UsageError(f"no level '{level}'", why=f"one of {', '.join(LEVELS)}")
    if shuffle not in codec.shuffles:
        raise UsageError(
            f"{name} has no shuffle '{shuffle}'", why=f"it has {', '.join(codec.shuffles)}"
        )
    return codec.make(codec.levels[LEVELS.index(level)], shuffle)
