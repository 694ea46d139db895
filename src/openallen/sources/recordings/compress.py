"""How small codecs make a recording, how fast, and what lossy ones lose: Buccino et al. 2023.

Each codec packs the recording chunk by chunk, all channels in one chunk (FLAC in pairs, as it knows
no more). The ratio is raw bytes by stored bytes; speeds are multiples of real time, in one thread;
what lossless ones unpack is compared, and what lossy ones do to spikes is the error between 300 and
6000 Hz.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Final

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
    "out_of_order",
    "settings_of",
]

LOSSY: Final = {"truncate": (0, 1, 2, 3, 4, 5, 6, 7), "wavpack": (6, 5, 4, 3.5, 3, 2.5, 2.25)}
"""Bits taken away of each sample; bits left of it. WavPack takes 2 for its least, 2.25."""
_SPIKES_HZ: Final = (300.0, 6000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How samples are packed.

    Parameters
    ----------
    codec, level, shuffle
        One of `openallen.sources.recordings.codecs.CODECS`, ``low`` to ``high``, ``none``,
        ``byte`` or ``bit``.
    delta
        One of `openallen.sources.recordings.filters.DELTAS`.
    band
        One of `openallen.sources.recordings.filters.BANDS`; what is filtered out is not counted as
        lost.
    lossy, factor
        ``truncate`` and how many bits, ``wavpack`` and how many are left; empty for lossless.
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
        """What to call it: ``blosc-zstd``, ``wavpack, 3.5 bits``, with all that is unusual."""
        if self.lossy == "truncate":
            return f"{self.codec}, {self.factor:g} bit{'s' * (self.factor != 1)} off"
        if self.lossy:
            return f"{self.codec}, {self.factor:g} bits"
        usual = find_codec(self.codec).best
        more = [self.level, self.shuffle] if (self.level, self.shuffle) != usual else []
        more += [f"delta {self.delta}"] if self.delta != "none" else []
        more += [self.band] if self.band != "none" else []
        return ", ".join([self.codec, *more])


@dataclass(frozen=True, slots=True)
class Measured:
    """What one way of packing did.

    Parameters
    ----------
    codec
        What it is called.
    settings
        All of it.
    ratio
        Raw bytes by stored bytes.
    pack_x_realtime, unpack_x_realtime
        Seconds of recording packed and unpacked a second.
    stored_bytes
        Size of what is stored.
    rmse_uv
        Error between 300 and 6000 Hz in µV; None for lossless ones, and where no gain is known.
    published
        What the authors measured, by probe: ratio, and packing and unpacking speed, or the error.
    """

    codec: str
    settings: Settings
    ratio: float
    pack_x_realtime: float
    unpack_x_realtime: float
    stored_bytes: int
    rmse_uv: float | None
    published: dict[str, tuple[float, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Return the plain values."""
        told = asdict(self)
        more = told.pop("settings")
        more.pop("codec")
        known = told.pop("published")
        lossy = bool(self.settings.lossy)
        ratios = {f"published_{p.lower()}": known[p][0] if p in known else None for p in _PROBES}
        errors = {
            f"published_rmse_{p.lower()}_uv": known[p][1] if lossy and p in known else None
            for p in _PROBES
        }
        return {**told, **ratios, **errors, **more}


_PROBES: Final = ("NP1", "NP2")


def lsb_corrected(
    samples: np.ndarray[Any, Any], step: int | None = None
) -> tuple[np.ndarray[Any, Any], int]:
    """Take out what a coarse step adds: each channel's median, and the step itself.

    Parameters
    ----------
    samples
        Integers, samples x channels.
    step
        The step; found where None.

    Returns
    -------
    array, int
        Samples in steps (signed, as wide as before), and the step: the greatest that divides all
        differences. The samples themselves and 1, where they fill their type.

    Raises
    ------
    UsageError
        If there are no integers, or they are not in steps of that size.
    """
    import numpy as np

    if samples.dtype.kind not in "iu":
        raise UsageError("only integers have a step", why=str(samples.dtype))
    centred = samples.astype(np.int64) - samples[0].astype(np.int64)
    found = _step(centred)
    if step is not None and (step < 1 or found % step):
        raise UsageError(
            f"these samples are not in steps of {step}", why=f"their step is {found}", hint="--lsb"
        )
    step = step or found
    steps = centred // step
    steps -= np.rint(np.median(steps, axis=0)).astype(np.int64)
    # Differences have signs, and may not fit where samples fill their type.
    kind = np.dtype(f"i{samples.dtype.itemsize}")
    limits = np.iinfo(kind)
    if steps.min() < limits.min or steps.max() > limits.max:
        return samples, 1
    return steps.astype(kind), step


def _step(centred: np.ndarray[Any, Any]) -> int:
    """Return the greatest number that divides all of them; 1 where all are nothing."""
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
    """Return every combination that makes sense.

    Parameters
    ----------
    codecs
        All where there are none.
    levels, shuffles
        Those that packed best in the published table where there are none; shuffles a codec does
        not have are left out.
    deltas, bands
        Filters before it.
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
    """Return the lossy ways that were tried: fewer bits, and WavPack that keeps so many."""
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
    """Pack and unpack samples in one way.

    Parameters
    ----------
    settings
        The way; the name of a codec for its usual one.
    samples
        Integers, samples x channels; in steps, where the step was taken out.
    rate_hz
        Samples a second.
    chunk_s
        Length of a chunk.
    uv_per_step
        µV of one of these steps, for the error of lossy ways.
    lsb
        Whether the step was taken out: which published row is beside it.

    Raises
    ------
    UsageError
        For a way there is none of, or a chunk of nothing.
    MissingExtraError
        If its package is not installed.
    CorruptError
        If what is unpacked is not what was packed.
    """
    if isinstance(settings, str):
        settings = settings_of([settings])[0]
    if settings.delta not in DELTAS:
        raise UsageError(f"there is no delta '{settings.delta}'", hint=", ".join(DELTAS))
    size = round(chunk_s * rate_hz)
    if size < 1 or not len(samples):
        raise UsageError("a chunk holds nothing", why=f"{chunk_s} s of {len(samples)} samples")
    samples = preprocessed(samples, rate_hz, settings.band)
    told = _tallied(samples, settings, size)
    seconds = len(samples) / rate_hz
    return Measured(
        codec=settings.name,
        settings=settings,
        ratio=samples.nbytes / told.stored_bytes,
        pack_x_realtime=seconds / told.packing_s,
        unpack_x_realtime=seconds / told.unpacking_s,
        stored_bytes=told.stored_bytes,
        rmse_uv=_error_uv(told.lost, rate_hz, uv_per_step),
        published=_published(settings, lsb=lsb),
    )


@dataclass
class _Tally:
    """What packing and unpacking all chunks came to; `lost` is what lossy ways changed."""

    lost: np.ndarray[Any, Any] | None
    stored_bytes: int = 0
    packing_s: float = 0.0
    unpacking_s: float = 0.0


def _tallied(samples: np.ndarray[Any, Any], settings: Settings, size: int) -> _Tally:
    """Pack and unpack every chunk of `size` samples, and compare."""
    import numpy as np

    engine = _engine(settings)
    told = _Tally(np.zeros(samples.shape, samples.dtype) if settings.lossy else None)
    for where in _chunks(samples.shape, size, find_codec(settings.codec).columns):
        chunk = np.ascontiguousarray(samples[where])
        start = time.perf_counter()
        packed = engine.encode(_before(chunk, settings))
        middle = time.perf_counter()
        back = _after(engine.decode(packed), chunk, settings)
        told.packing_s += middle - start
        told.unpacking_s += time.perf_counter() - middle
        told.stored_bytes += memoryview(packed).nbytes
        if told.lost is not None:
            told.lost[where] = back - chunk
        elif not np.array_equal(back, chunk):
            raise CorruptError("what was unpacked is not what was packed", why=settings.name)
    return told


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
    # The filter is linear: what is lost of the filtered traces is what it leaves of the loss.
    kept = bandpassed(lost, rate_hz, *_SPIKES_HZ)
    return float(np.sqrt(np.mean(np.square(kept, dtype=np.float64)))) * uv_per_step


def _published(settings: Settings, *, lsb: bool) -> dict[str, tuple[float, ...]]:
    if settings.delta != "none" or settings.band != "none":
        return {}
    if settings.lossy:
        # What the authors asked for as 2 bits was WavPack's least, 2.25.
        factor = 2.0 if settings.factor == 2.25 else settings.factor
        return dict(published.lossy(settings.lossy, factor)) if lsb else {}
    columns = find_codec(settings.codec).columns
    told = published.lossless(
        settings.codec, settings.level, settings.shuffle, lsb=lsb, columns=columns
    )
    return dict(told)


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
    """Measure several ways, best ratio first; those whose package is missing are told of.

    Parameters
    ----------
    samples
        Integers, samples x channels.
    rate_hz
        Samples a second.
    ways
        `settings_of`, `lossy_ways`, or names of codecs; all codecs where there are none.
    chunk_s
        Length of a chunk.
    lsb
        Whether the step is taken out first; a number for one that is known.
    gain_uv
        µV of one stored unit.
    tell
        Is told what is measured, what was left out, and of the step.

    Returns
    -------
    list of Measured
        One for each way that could be tried.

    Raises
    ------
    As `measure` does, but for packages that are missing.
    """
    step = 1
    if lsb is not False:
        samples, step = lsb_corrected(samples, None if lsb is True else lsb)
        tell(f"steps of {step} taken out")
    uv = None if gain_uv is None else gain_uv * step
    found = []
    for way in list(ways) or settings_of():
        tell(f"measuring {way if isinstance(way, str) else way.name}")
        try:
            found.append(
                measure(way, samples, rate_hz, chunk_s, uv_per_step=uv, lsb=lsb is not False)
            )
        except MissingExtraError as error:
            tell(f"{way if isinstance(way, str) else way.name} is left out: {error.hint}")
    return sorted(found, key=lambda one: -one.ratio)


def out_of_order(found: Iterable[Measured], probe: str) -> list[str]:
    """Say which lossless codecs come in another order than the published one, with both ratios.

    Parameters
    ----------
    found
        What was measured, best first.
    probe
        ``NP1`` or ``NP2``.
    """
    told = [
        (m, m.published[probe][0]) for m in found if probe in m.published and not m.settings.lossy
    ]
    return [
        f"{one.codec} ({one.ratio:.2f}) before {other.codec} ({other.ratio:.2f}); published "
        f"{was:.2f} and {better:.2f}"
        for n, (one, was) in enumerate(told)
        for other, better in told[n + 1 :]
        if was < better
    ]
