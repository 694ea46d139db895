"""How small codecs make a recording, and how fast: the measurements of Buccino et al. 2023.

Each codec packs the recording chunk by chunk, all channels in one chunk (FLAC in pairs, as it knows
no more). The ratio is raw bytes by stored bytes; speeds are multiples of real time, in one thread;
every chunk is unpacked again and compared. Lossless codecs only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["CODECS", "PUBLISHED", "Measured", "lsb_corrected", "measure", "measure_all"]

PUBLISHED: Final[Mapping[str, tuple[float, float]]] = {
    "flac": (3.61, 2.27),
    "wavpack": (3.59, 2.25),
    "blosc-zstd": (2.54, 1.90),
    "lzma": (2.47, 1.91),
    "zstd": (2.45, 1.86),
    "zlib": (2.29, 1.84),
    "gzip": (2.29, 1.84),
    "blosc-lz4hc": (2.12, 1.78),
    "blosc-lz4": (1.84, 1.68),
    "lz4": (1.37, 1.55),
    "blosc-zlib": (1.13, 1.51),
}
"""Ratios on Neuropixels 1.0 and 2.0: medians of the authors' own table of October 2022 (chunks of
1 s, LSB corrected), which precedes the published set of recordings."""


@dataclass(frozen=True, slots=True)
class _Codec:
    make: Callable[[], Any]
    shuffle: bool = False
    columns: int = 0


def _numcodecs(name: str, *arguments: Any, **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        import numcodecs

        return getattr(numcodecs, name)(*arguments, **options)

    return make


def _outside(package: str, name: str, **options: Any) -> Callable[[], Any]:
    def make() -> Any:
        import importlib

        try:
            module = importlib.import_module(package)
        except ImportError:
            missing = MissingExtraError(package, "packing with this codec")
            missing.hint = f"pip install {package.replace('_', '-')}"
            raise missing from None
        return getattr(module, name)(**options)

    return make


CODECS: Final[Mapping[str, _Codec]] = {
    "flac": _Codec(_outside("flac_numcodecs", "Flac", level=5), columns=2),
    "wavpack": _Codec(_outside("wavpack_numcodecs", "WavPack", level=2)),
    "blosc-zstd": _Codec(_numcodecs("Blosc", "zstd", 9, 2)),
    "blosc-lz4hc": _Codec(_numcodecs("Blosc", "lz4hc", 9, 2)),
    "blosc-lz4": _Codec(_numcodecs("Blosc", "lz4", 9, 2)),
    "blosc-zlib": _Codec(_numcodecs("Blosc", "zlib", 9, 2)),
    "lzma": _Codec(_numcodecs("LZMA", preset=9), shuffle=True),
    "zstd": _Codec(_numcodecs("Zstd", 22), shuffle=True),
    "zlib": _Codec(_numcodecs("Zlib", 9), shuffle=True),
    "gzip": _Codec(_numcodecs("GZip", 9), shuffle=True),
    "lz4": _Codec(_numcodecs("LZ4", 1), shuffle=True),
}
"""Codecs with the settings that packed best: high level; bit shuffle for blosc, byte for others."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one codec did.

    Parameters
    ----------
    codec
        Its name.
    ratio
        Raw bytes by stored bytes.
    pack_x_realtime, unpack_x_realtime
        Seconds of recording packed and unpacked a second.
    stored_bytes
        Size of what is stored.
    published_np1, published_np2
        The ratio of `PUBLISHED`, None for codecs that are not in it.
    """

    codec: str
    ratio: float
    pack_x_realtime: float
    unpack_x_realtime: float
    stored_bytes: int
    published_np1: float | None
    published_np2: float | None

    def to_dict(self) -> dict[str, Any]:
        """Give the plain values."""
        return asdict(self)


def lsb_corrected(samples: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], int]:
    """Take out what a coarse step adds: each channel's median, and the step itself.

    Returns
    -------
    array, int
        Samples in steps (signed, as wide as before), and the step: the greatest that divides all
        differences. The samples themselves and 1, where they fill their type.

    Raises
    ------
    UsageError
        If there are no integers.
    """
    import numpy as np

    if samples.dtype.kind not in "iu":
        raise UsageError("only integers have a step", why=str(samples.dtype))
    centred = samples.astype(np.int64) - samples[0].astype(np.int64)
    step = int(np.gcd.reduce(np.unique(np.abs(centred[: 1 << 16])))) or 1
    while step > 1 and (centred % step).any():
        step = int(np.gcd(step, int(np.gcd.reduce(np.unique(np.abs(centred))))))
    steps = centred // step
    found = steps - np.rint(np.median(steps, axis=0)).astype(np.int64)
    # Differences have signs, and may not fit where samples fill their type.
    kind = np.dtype(f"i{samples.dtype.itemsize}")
    limits = np.iinfo(kind)
    if found.min() < limits.min or found.max() > limits.max:
        return samples, 1
    return found.astype(kind), step


def measure(
    codec: str, samples: np.ndarray[Any, Any], rate_hz: float, chunk_s: float = 1.0
) -> Measured:
    """Pack and unpack samples with one codec.

    Raises
    ------
    UsageError
        For a codec there is none of, or a chunk of nothing.
    MissingExtraError
        If its package is not installed.
    CorruptError
        If what is unpacked is not what was packed.
    """
    import numpy as np

    from openallen.errors import CorruptError

    known = CODECS.get(codec)
    if known is None:
        raise UsageError(f"there is no codec '{codec}'", why="there are " + ", ".join(CODECS))
    size = round(chunk_s * rate_hz)
    if size < 1 or not len(samples):
        raise UsageError("a chunk holds nothing", why=f"{chunk_s} s of {len(samples)} samples")
    engine = known.make()
    stored = 0
    packing = unpacking = 0.0
    for chunk in _chunks(samples, size, known.columns):
        data = _shuffled(chunk) if known.shuffle else chunk
        start = time.perf_counter()
        packed = engine.encode(data)
        packing += time.perf_counter() - start
        start = time.perf_counter()
        back = engine.decode(packed)
        unpacking += time.perf_counter() - start
        stored += (
            len(memoryview(packed).cast("B")) if not isinstance(packed, bytes) else len(packed)
        )
        if np.asarray(back).tobytes() != data.tobytes():
            raise CorruptError("what was unpacked is not what was packed", why=codec)
    seconds = len(samples) / rate_hz
    np1, np2 = PUBLISHED.get(codec, (None, None))
    return Measured(
        codec, samples.nbytes / stored, seconds / packing, seconds / unpacking, stored, np1, np2
    )


def _chunks(
    samples: np.ndarray[Any, Any], size: int, columns: int
) -> Iterable[np.ndarray[Any, Any]]:
    import numpy as np

    width = columns or samples.shape[1]
    for at in range(0, len(samples), size):
        for column in range(0, samples.shape[1], width):
            yield np.ascontiguousarray(samples[at : at + size, column : column + width])


def _shuffled(chunk: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Put first bytes of all samples before second bytes, as numcodecs' Shuffle does."""
    import numpy as np

    width = chunk.dtype.itemsize
    found: np.ndarray[Any, Any] = np.ascontiguousarray(chunk.view(np.uint8).reshape(-1, width).T)
    return found


def measure_all(
    samples: np.ndarray[Any, Any],
    rate_hz: float,
    codecs: Iterable[str] = (),
    *,
    chunk_s: float = 1.0,
    lsb: bool = True,
    tell: Callable[[str], object] = lambda _: None,
) -> list[Measured]:
    """Measure several codecs, best ratio first; those whose package is missing are told of.

    Parameters
    ----------
    samples
        Integers, samples x channels.
    rate_hz
        Samples a second.
    codecs
        Names of `CODECS`; all where there are none.
    chunk_s
        Length of a chunk.
    lsb
        Whether the step is taken out first.
    tell
        Is told of what was left out, and of the step.

    Returns
    -------
    list of Measured
        One for each codec that could be tried.

    Raises
    ------
    As `measure` does, but for packages that are missing.
    """
    if lsb:
        samples, step = lsb_corrected(samples)
        tell(f"steps of {step} taken out")
    found = []
    for codec in codecs or CODECS:
        try:
            found.append(measure(codec, samples, rate_hz, chunk_s))
        except MissingExtraError as error:
            tell(f"{codec} is left out: {error.hint}")
    return sorted(found, key=lambda one: -one.ratio)
