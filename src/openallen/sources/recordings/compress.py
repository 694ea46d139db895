"""Compression of recordings as in Buccino et al. 2023: ratio, speed, and error of lossy methods.

Each codec compresses the recording chunk by chunk, all channels in one chunk (FLAC, which is for
stereo audio, two channels). The compression ratio is raw size by compressed size; speeds are
multiples of real time in one thread. Results of lossless codecs are compared sample by sample; of
lossy methods the RMSE between 300 and 6000 Hz is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from openallen.again import opened_once
from openallen.errors import CorruptError, MissingExtraError, UsageError
from openallen.sources.recordings import published
from openallen.sources.recordings.codecs import CODECS, Engine, engine_of, find_codec, wavpack
from openallen.sources.recordings.filters import DELTAS, bandpassed, delta, preprocessed, undone

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "LOSSY",
    "Measured",
    "Settings",
    "lossy_ways",
    "lsb_corrected",
    "measure",
    "measure_all",
    "measure_on",
    "out_of_order",
    "settings_of",
]

LOSSY: Final = {"truncate": (0, 1, 2, 3, 4, 5, 6, 7), "wavpack": (6, 5, 4, 3.5, 3, 2.5, 2.25)}
"""Bits truncated per sample; bits per sample of WavPack hybrid (2.25 is its minimum)."""
_SPIKES_HZ: Final = (300.0, 6000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How samples are compressed.

    Parameters
    ----------
    codec, level, shuffle
        One of `openallen.sources.recordings.codecs.CODECS`, ``low`` to ``high``, ``none``,
        ``byte`` or ``bit``.
    delta
        One of `openallen.sources.recordings.filters.DELTAS`.
    band
        One of `openallen.sources.recordings.filters.BANDS`, applied before compression; not counted
        in the error.
    lossy, factor
        ``truncate`` with the bits truncated, or ``wavpack`` (hybrid mode) with the bits per sample;
        empty for lossless.
    """

    codec: str
    level: str
    shuffle: str
    delta: str = "none"
    band: str = "none"
    lossy: str = ""
    factor: float = 0.0

    @property
    def name(self) -> str:
        """Short name with all settings that are not the default: ``blosc-zstd, low, bit``."""
        if self.lossy == "truncate":
            return f"{self.codec}, {self.factor:g} bit{'s' * (self.factor != 1)} truncated"
        if self.lossy:
            return f"{self.codec}, {self.factor:g} bits per sample"
        usual = find_codec(self.codec).best
        more = [self.level, self.shuffle] if (self.level, self.shuffle) != usual else []
        more += [f"delta {self.delta}"] if self.delta != "none" else []
        more += [self.band] if self.band != "none" else []
        return ", ".join([self.codec, *more])


@dataclass(frozen=True, slots=True, repr=False)
class Measured:
    """Measured result of one codec with its settings.

    Parameters
    ----------
    codec
        Short name.
    settings
        Codec and settings.
    compression_ratio
        Raw size by compressed size.
    compression_speed_x_real_time, decompression_speed_x_real_time
        Seconds of recording compressed and decompressed per second, in one thread.
    compressed_bytes
        Compressed size.
    rmse_uv
        RMSE between 300 and 6000 Hz in µV; None for lossless codecs, and where the gain is unknown.
    published
        Published values by probe: compression ratio, then compression and decompression speed, or
        for lossy methods the RMSE in µV.
    """

    codec: str
    settings: Settings
    compression_ratio: float
    compression_speed_x_real_time: float
    decompression_speed_x_real_time: float
    compressed_bytes: int
    rmse_uv: float | None
    published: dict[str, tuple[float, ...]]

    @property
    def published_source(self) -> str:
        """Which recordings the published values are from; empty where there are none."""
        if not self.published:
            return ""
        return published.LOSSY_SOURCE if self.settings.lossy else published.LOSSLESS_SOURCE

    def __repr__(self) -> str:
        error = "" if self.rmse_uv is None else f", RMSE {self.rmse_uv:.3g} µV"
        return (
            f"{self.codec}: compression ratio {self.compression_ratio:.3g}, compression "
            f"{self.compression_speed_x_real_time:.3g} and decompression "
            f"{self.decompression_speed_x_real_time:.3g} x real time{error}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the values as plain types, by the names of the JSON output."""
        values = asdict(self)
        more = values.pop("settings")
        more.pop("codec")
        known = values.pop("published")
        lossy = bool(self.settings.lossy)
        ratios = {
            f"published_ratio_{p.lower()}": known[p][0] if p in known else None for p in _PROBES
        }
        errors = {
            f"published_rmse_{p.lower()}_uv": known[p][1] if lossy and p in known else None
            for p in _PROBES
        }
        source = {"published_source": self.published_source or None}
        return {**values, **ratios, **errors, **source, **more}


_PROBES: Final = ("NP1", "NP2")


def lsb_corrected(
    samples: np.ndarray[Any, Any], step: int | None = None
) -> tuple[np.ndarray[Any, Any], int]:
    """Apply the LSB correction: subtract each channel's median, and divide by the LSB.

    Parameters
    ----------
    samples
        Integers, shape (samples, channels).
    step
        The LSB in stored units; estimated if None.

    Returns
    -------
    array, int
        Samples in units of the LSB (signed, of the same width), and the LSB: the greatest common
        divisor of all differences. The samples unchanged and 1 if the result would overflow.

    Raises
    ------
    UsageError
        If the samples are not integers, or not multiples of that LSB.
    """
    import numpy as np

    if samples.dtype.kind not in "iu":
        raise UsageError("the LSB correction needs integers", why=str(samples.dtype))
    centred = samples.astype(np.int64) - samples[0].astype(np.int64)
    found = _step(centred)
    if step is not None and (step < 1 or found % step):
        raise UsageError(
            f"{step} is not the LSB of these samples", why=f"it is {found}", hint=f"--lsb {found}"
        )
    step = step or found
    steps = centred // step
    steps -= np.rint(np.median(steps, axis=0)).astype(np.int64)
    # Differences are signed, and may overflow where samples use the whole range of their type.
    kind = np.dtype(f"i{samples.dtype.itemsize}")
    limits = np.iinfo(kind)
    if steps.min() < limits.min or steps.max() > limits.max:
        return samples, 1
    return steps.astype(kind), step


def _step(centred: np.ndarray[Any, Any]) -> int:
    """Return the greatest common divisor; 1 where all are zero."""
    import numpy as np

    step = int(np.gcd.reduce(np.unique(np.abs(centred[: 1 << 16])))) or 1
    while step > 1 and (centred % step).any():
        step = int(np.gcd(step, int(np.gcd.reduce(np.unique(np.abs(centred))))))
    return step


def settings_of(
    codecs: Iterable[str] = (),
    levels: Iterable[str] = (),
    shuffles: Iterable[str] = (),
    deltas: Iterable[str] = ("none",),
    bands: Iterable[str] = ("none",),
) -> list[Settings]:
    """Return every valid combination of codecs and settings.

    Parameters
    ----------
    codecs
        Names of codecs; all if empty.
    levels, shuffles
        The published best of each codec if empty; shuffles a codec does not have are skipped.
    deltas, bands
        Filters before compression.
    """
    found = []
    for name in codecs or CODECS:
        codec = find_codec(name)
        best_level, best_shuffle = codec.best
        chosen = [s for s in shuffles if s in codec.shuffles] or [best_shuffle]
        ways = product(list(levels) or [best_level], chosen, list(deltas), list(bands))
        for level, shuffle, kind, band in ways:
            found.append(Settings(codec=name, level=level, shuffle=shuffle, delta=kind, band=band))
    return found


def lossy_ways() -> list[Settings]:
    """Return the lossy methods of the paper: bit truncation, and WavPack hybrid."""
    zstd = {"codec": "blosc-zstd", "level": "high", "shuffle": "bit"}
    audio = {"codec": "wavpack", "level": "high", "shuffle": "none"}
    return [
        *(Settings(**zstd, lossy="truncate", factor=n) for n in LOSSY["truncate"]),
        *(Settings(**audio, lossy="wavpack", factor=n) for n in LOSSY["wavpack"]),
    ]


def measure(
    settings: Settings | str,
    samples: np.ndarray[Any, Any],
    rate_hz: float,
    chunk_s: float = 1.0,
    *,
    uv_per_step: float | None = None,
    lsb: bool = True,
) -> Measured:
    """Compress and decompress samples with one codec.

    Parameters
    ----------
    settings
        Codec and settings, or the name of a codec for its published best.
    samples
        Integers, shape (samples, channels); in units of the LSB if it was corrected.
    rate_hz
        Sampling frequency in Hz.
    chunk_s
        Length of a chunk in s.
    uv_per_step
        µV per unit of these samples, for the RMSE of lossy methods.
    lsb
        Whether the LSB was corrected, to choose the published values.

    Raises
    ------
    UsageError
        If the settings do not exist, or a chunk would be empty.
    MissingExtraError
        If the package of the codec is not installed.
    CorruptError
        If the decompressed samples differ.
    """
    if isinstance(settings, str):
        settings = settings_of([settings])[0]
    if settings.delta not in DELTAS:
        raise UsageError(f"no delta '{settings.delta}'", hint=f"--deltas {','.join(DELTAS)}")
    size = round(chunk_s * rate_hz)
    if size < 1 or not len(samples):
        raise UsageError("an empty chunk", why=f"{chunk_s} s of {len(samples)} samples")
    samples = preprocessed(samples, rate_hz, settings.band)
    tally = _tallied(samples, settings, size)
    seconds = len(samples) / rate_hz
    return Measured(
        codec=settings.name,
        settings=settings,
        compression_ratio=samples.nbytes / tally.compressed_bytes,
        compression_speed_x_real_time=seconds / tally.compression_s,
        decompression_speed_x_real_time=seconds / tally.decompression_s,
        compressed_bytes=tally.compressed_bytes,
        rmse_uv=_error_uv(tally.lost, rate_hz, uv_per_step),
        published=_published(settings, lsb=lsb),
    )


@dataclass
class _Tally:
    """Totals over all chunks; `lost` is the difference made by a lossy method."""

    lost: np.ndarray[Any, Any] | None
    compressed_bytes: int = 0
    compression_s: float = 0.0
    decompression_s: float = 0.0


def _tallied(samples: np.ndarray[Any, Any], settings: Settings, size: int) -> _Tally:
    """Compress and decompress every chunk of `size` samples, and compare."""
    import numpy as np

    engine = _engine(settings)
    tally = _Tally(np.zeros(samples.shape, samples.dtype) if settings.lossy else None)
    for where in _chunks(samples.shape, size, find_codec(settings.codec).columns):
        chunk = np.ascontiguousarray(samples[where])
        start = time.perf_counter()
        packed = engine.encode(_before(chunk, settings))
        middle = time.perf_counter()
        back = _after(engine.decode(packed), chunk, settings)
        tally.compression_s += middle - start
        tally.decompression_s += time.perf_counter() - middle
        tally.compressed_bytes += memoryview(packed).nbytes
        if tally.lost is not None:
            tally.lost[where] = back - chunk
        elif not np.array_equal(back, chunk):
            raise CorruptError("decompressed samples differ from the original", why=settings.name)
    return tally


def _engine(settings: Settings) -> Engine:
    if settings.lossy == "wavpack":
        return wavpack(3, settings.factor)
    return engine_of(settings.codec, settings.level, settings.shuffle)


def _before(chunk: np.ndarray[Any, Any], settings: Settings) -> np.ndarray[Any, Any]:
    if settings.lossy == "truncate" and settings.factor:
        chunk = chunk >> int(settings.factor)
    return delta(chunk, settings.delta) if settings.delta != "none" else chunk


def _after(found: Any, chunk: np.ndarray[Any, Any], settings: Settings) -> np.ndarray[Any, Any]:
    import numpy as np

    back = np.frombuffer(memoryview(found).cast("B"), chunk.dtype).reshape(chunk.shape)
    back = undone(back, settings.delta) if settings.delta != "none" else back
    if settings.lossy == "truncate" and settings.factor:
        return back << int(settings.factor)
    return back


def _chunks(shape: tuple[int, ...], size: int, columns: int) -> Iterator[tuple[slice, slice]]:
    width = columns or shape[1]
    for at in range(0, shape[0], size):
        for column in range(0, shape[1], width):
            yield slice(at, at + size), slice(column, column + width)


def _error_uv(
    lost: np.ndarray[Any, Any] | None, rate_hz: float, uv_per_step: float | None
) -> float | None:
    import numpy as np

    if lost is None or uv_per_step is None or max(_SPIKES_HZ) >= rate_hz / 2:
        return None
    # The filter is linear: the error of the filtered traces is the filtered error.
    kept = bandpassed(lost, rate_hz, *_SPIKES_HZ)
    return float(np.sqrt(np.mean(np.square(kept, dtype=np.float64)))) * uv_per_step


def _published(settings: Settings, *, lsb: bool) -> dict[str, tuple[float, ...]]:
    if settings.delta != "none" or settings.band != "none":
        return {}
    if settings.lossy:
        # The authors asked for 2 bits per sample; WavPack's minimum is 2.25.
        factor = 2.0 if settings.factor == 2.25 else settings.factor
        return dict(published.lossy(settings.lossy, factor)) if lsb else {}
    columns = find_codec(settings.codec).columns
    known = published.lossless(
        settings.codec, settings.level, settings.shuffle, lsb=lsb, columns=columns
    )
    return dict(known)


def measure_all(
    samples: np.ndarray[Any, Any],
    rate_hz: float,
    ways: Iterable[Settings | str] = (),
    *,
    chunk_s: float = 1.0,
    lsb: bool | int = True,
    gain_uv: float | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> list[Measured]:
    """Measure several codecs, highest compression ratio first; skip those not installed.

    Parameters
    ----------
    samples
        Integers, samples x channels.
    rate_hz
        Sampling frequency in Hz.
    ways
        Results of `settings_of` and `lossy_ways`, or names of codecs; all codecs if empty.
    chunk_s
        Length of a chunk in s.
    lsb
        Whether the LSB is corrected first; a number if the LSB is known.
    gain_uv
        µV per stored unit.
    tell
        Called with messages: codecs measured and skipped, and the LSB.

    Returns
    -------
    list of Measured
        One for each codec that is installed.

    Raises
    ------
    As `measure` does, except for packages that are missing.
    """
    step = 1
    if lsb is not False:
        samples, step = lsb_corrected(samples, None if lsb is True else lsb)
        tell(f"LSB correction: divided by {step}")
    uv = None if gain_uv is None else gain_uv * step
    found = []
    for way in list(ways) or settings_of():
        tell(f"measuring {way if isinstance(way, str) else way.name}")
        try:
            found.append(
                measure(way, samples, rate_hz, chunk_s, uv_per_step=uv, lsb=lsb is not False)
            )
        except MissingExtraError as error:
            tell(
                f"{way if isinstance(way, str) else way.name} skipped: to install it, {error.hint}"
            )
    return sorted(found, key=lambda one: -one.compression_ratio)


Read = Callable[[], tuple["np.ndarray[Any, Any]", float, "float | None"]]
"""Reads samples: (samples, channels), sampling frequency in Hz, µV per unit; small when pickled."""


def measure_on(
    client: Any,
    read: Read,
    ways: Iterable[Settings],
    *,
    chunk_s: float = 1.0,
    lsb: bool | int = True,
    tell: Callable[[str], object] = lambda _: None,
) -> tuple[list[Measured], tuple[int, int], float]:
    """Measure several codecs on the workers of a cluster, each of which reads the samples itself.

    Ratios and errors are those that `measure_all` finds; speeds are those of the workers.

    Parameters
    ----------
    client
        A client, as `openallen.cluster.connect` yields it.
    read
        Reads the samples, on a worker.
    ways, chunk_s, lsb, tell
        As for `measure_all`.

    Returns
    -------
    measured, shape, rate_hz
        As `measure_all` returns them; samples and channels; the sampling frequency in Hz.

    Raises
    ------
    MissingExtraError
        If no worker has any of the codecs.
    UnreachableError
        If the cluster is lost.
    """
    from openallen.cluster import each

    found, shape, rate_hz, step = [], (0, 0), 0.0, 1
    lacking: BaseException | None = None
    tasks = {way: (way,) for way in ways}
    shared = (read, chunk_s, lsb)
    with closing(each(client, measure_there, tasks, shared=shared, label="codec")) as results:
        for way, result, error in results:
            if isinstance(error, MissingExtraError):
                lacking = error
                tell(f"{way.name} skipped: to install it on the workers, {error.hint}")
            elif error is not None:
                raise error
            else:
                one, shape, rate_hz, step = result
                found.append(one)
                tell(f"measured {way.name}")
    if lacking is not None and not found:
        raise lacking
    if lsb is not False:
        tell(f"LSB correction: divided by {step}")
    return sorted(found, key=lambda one: -one.compression_ratio), shape, rate_hz


def measure_there(
    shared: tuple[Read, float, bool | int], way: Settings
) -> tuple[Measured, tuple[int, int], float, int]:
    """Measure one codec on a worker; samples that were read a moment ago are used again."""
    read, chunk_s, lsb = shared
    samples, rate_hz, gain_uv, step = opened_once(_prepared, (read, lsb))
    uv = None if gain_uv is None else gain_uv * step
    found = measure(way, samples, rate_hz, chunk_s, uv_per_step=uv, lsb=lsb is not False)
    return found, samples.shape, rate_hz, step


def _prepared(read: Read, lsb: bool | int) -> tuple[np.ndarray[Any, Any], float, float | None, int]:
    samples, rate_hz, gain_uv = read()
    step = 1
    if lsb is not False:
        samples, step = lsb_corrected(samples, None if lsb is True else lsb)
    return samples, rate_hz, gain_uv, step


def out_of_order(found: Iterable[Measured], probe: str) -> list[str]:
    """Return a line for each pair of lossless codecs whose order differs from the published one.

    Parameters
    ----------
    found
        Results, highest compression ratio first.
    probe
        ``NP1`` or ``NP2``.
    """
    ranked = [
        (m, m.published[probe][0]) for m in found if probe in m.published and not m.settings.lossy
    ]
    return [
        f"{one.codec} ({one.compression_ratio:.2f}) before {other.codec} "
        f"({other.compression_ratio:.2f}); published {was:.2f} and {better:.2f}"
        for n, (one, was) in enumerate(ranked)
        for other, better in ranked[n + 1 :]
        if was < better
    ]
