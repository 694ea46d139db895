"""Filters before compression: reversible differences (delta), and frequency bands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["BANDS", "DELTAS", "bandpassed", "delta", "preprocessed", "undone"]

DELTAS: Final = ("none", "1d", "2d-time", "2d-space", "2d-time-space")
"""Differences of adjacent samples: in memory order; in time; across channels; both."""
BANDS: Final[Mapping[str, tuple[float, float | None]]] = {
    "none": (0.0, None),
    "highpass-300": (300.0, None),
    "bandpass-300-6000": (300.0, 6000.0),
    "bandpass-500-14999": (500.0, 14999.0),
    "bandpass-0.5-14999": (0.5, 14999.0),
}
"""Frequency bands in Hz of the paper."""
_ORDER: Final = 5
_MARGIN: Final = 3000
_BLOCK: Final = 1 << 17


def delta(samples: np.ndarray[Any, Any], kind: str) -> np.ndarray[Any, Any]:
    """Return differences in the type of the samples; overflow wraps, so they are reversible.

    Raises
    ------
    UsageError
        If the kind does not exist.
    """
    import numpy as np

    return np.ascontiguousarray(_along(samples, kind, _differences))


def undone(differences: np.ndarray[Any, Any], kind: str) -> np.ndarray[Any, Any]:
    """Return the samples of differences made by `delta`."""
    import numpy as np

    return np.ascontiguousarray(_along(differences, kind, _sums))


def _along(
    values: np.ndarray[Any, Any], kind: str, step: Callable[[Any, int], Any]
) -> np.ndarray[Any, Any]:
    axes = {"none": (), "2d-time": (0,), "2d-space": (1,), "2d-time-space": (0, 1)}
    if kind == "1d":
        flat: np.ndarray[Any, Any] = step(values.reshape(-1), 0).reshape(values.shape)
        return flat
    if kind not in axes:
        raise UsageError(f"no delta '{kind}'", why=f"one of {', '.join(DELTAS)}")
    for axis in axes[kind]:
        values = step(values, axis)
    return values


def _differences(values: Any, axis: int) -> Any:
    import numpy as np

    found = values.copy()
    later = (slice(1, None),) if axis == 0 else (slice(None), slice(1, None))
    found[later] -= np.delete(values, -1, axis)
    return found


def _sums(values: Any, axis: int) -> Any:
    return values.cumsum(axis, dtype=values.dtype)


def bandpassed(
    samples: np.ndarray[Any, Any], rate_hz: float, low_hz: float, high_hz: float | None
) -> np.ndarray[Any, Any]:
    """Band-pass filter: Butterworth of order five, forwards and backwards (zero phase).

    As `scipy.signal.sosfiltfilt`, but by the magnitude response in the frequency domain, block by
    block with a margin; only the first and last 0.1 s may differ.

    Returns
    -------
    array
        float32, shape (samples, channels).
    """
    import numpy as np

    found = np.empty(samples.shape, np.float32)
    for start in range(0, len(samples), _BLOCK):
        stop = min(start + _BLOCK, len(samples))
        first, last = max(0, start - _MARGIN), min(len(samples), stop + _MARGIN)
        part = samples[first:last].astype(np.float64)
        # Odd reflection at both ends continues the signal smoothly for the filter.
        lead = min(_MARGIN, len(part) - 1)
        part = np.pad(part, ((lead, lead), (0, 0)), mode="reflect", reflect_type="odd")
        waves = np.fft.rfft(part, axis=0)
        waves *= _response(len(part), rate_hz, low_hz, high_hz)[:, None]
        back = np.fft.irfft(waves, len(part), axis=0)
        found[start:stop] = back[lead + start - first : lead + stop - first]
    return found


def _response(
    count: int, rate_hz: float, low_hz: float, high_hz: float | None
) -> np.ndarray[Any, Any]:
    """Return the squared magnitude of the digital filter at each frequency of a transform."""
    import numpy as np

    def warped(hz: Any) -> Any:
        return np.tan(np.pi * np.minimum(hz, rate_hz / 2 * 0.9999999) / rate_hz)

    at = warped(np.arange(count // 2 + 1) * rate_hz / count)
    with np.errstate(divide="ignore"):
        if high_hz is None:
            x = warped(low_hz) / at
        else:
            left, right = warped(low_hz), warped(high_hz)
            x = (at**2 - left * right) / (at * (right - left))
        found: np.ndarray[Any, Any] = 1 / (1 + x ** (2 * _ORDER))
    return found


def preprocessed(samples: np.ndarray[Any, Any], rate_hz: float, band: str) -> np.ndarray[Any, Any]:
    """Filter integers, and round the result to integers.

    Raises
    ------
    UsageError
        If the band does not exist, or is above the Nyquist frequency.
    """
    import numpy as np

    if band not in BANDS:
        raise UsageError(f"no band '{band}'", why=f"one of {', '.join(BANDS)}")
    low, high = BANDS[band]
    if band == "none":
        return samples
    if max(low, high or 0) >= rate_hz / 2:
        raise UsageError(
            f"band {band} is above the Nyquist frequency", why=f"sampled at {rate_hz:g} Hz"
        )
    limits = np.iinfo(samples.dtype)
    found = np.rint(bandpassed(samples, rate_hz, low, high))
    rounded: np.ndarray[Any, Any] = np.clip(found, limits.min, limits.max).astype(samples.dtype)
    return rounded
