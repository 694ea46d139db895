"""What a stimulus does: where it begins and ends, the test pulse that leads, its steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Step", "after_test_pulse", "crossings", "longest_step", "stimulus_bounds"]

_LONGEST_PULSE_S: Final = 0.05
_LEAST_REST_S: Final = 0.05
_SPIKE_V: Final = -0.02


class Step(NamedTuple):
    """A stretch of a stimulus that differs from its rest, by samples: from first to before last.

    Parameters
    ----------
    first, last
        Its first sample, and the one behind its last.
    height
        How far it is from the rest; NaN where it is not constant.
    """

    first: int
    last: int
    height: float


def _stretches(values: np.ndarray[Any, Any]) -> list[Step]:
    """Return the stretches where a stimulus differs from its first sample."""
    import numpy as np

    if not len(values):
        return []
    found = np.nan_to_num(np.asarray(values, dtype=float), nan=0.0, posinf=0.0, neginf=0.0)
    found = found - found[0]
    away = np.abs(found) > 1e-6 * np.abs(found).max()
    edges = np.flatnonzero(np.diff(away.astype(np.int8), prepend=0, append=0))
    made = []
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        part = found[first:last]
        flat = np.ptp(part) <= 1e-6 * abs(part[0])
        made.append(Step(first, last, float(part[0]) if flat else float("nan")))
    return made


def after_test_pulse(values: np.ndarray[Any, Any], rate_hz: float) -> int:
    """Return the sample behind a leading test pulse; 0 where none leads.

    A test pulse is the first stretch of a stimulus, if it is flat, shorter than 50 ms, followed
    by 50 ms of rest or more, and if no later stretch is its equal, as the pulses of a train are.

    Parameters
    ----------
    values
        The stimulus of a whole sweep.
    rate_hz
        Its samples per s.
    """
    found = _stretches(values)
    if len(found) < 2:
        return 0
    pulse, rest = found[0], found[1:]
    short = pulse.last - pulse.first < _LONGEST_PULSE_S * rate_hz
    apart = rest[0].first - pulse.last >= _LEAST_REST_S * rate_hz
    equal = any(_equal(pulse, one) for one in rest)
    return pulse.last if short and apart and not math.isnan(pulse.height) and not equal else 0


def _equal(a: Step, b: Step) -> bool:
    alike = abs(a.height - b.height) <= 1e-3 * abs(a.height)
    return alike and abs((a.last - a.first) - (b.last - b.first)) <= 1


def stimulus_bounds(values: np.ndarray[Any, Any]) -> tuple[int, int] | None:
    """Return where a stimulus leaves its rest, and the sample behind its last that does.

    Returns
    -------
    (int, int) or None
        None where it stays at rest.
    """
    found = _stretches(values)
    return (found[0].first, found[-1].last) if found else None


def longest_step(values: np.ndarray[Any, Any]) -> Step | None:
    """Return the longest flat step of a stimulus; None where it has none."""
    flat = [one for one in _stretches(values) if not math.isnan(one.height)]
    return max(flat, key=lambda one: one.last - one.first, default=None)


def crossings(volts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the samples at which a response in V rises above -20 mV."""
    import numpy as np

    above = np.asarray(volts) > _SPIKE_V
    return np.flatnonzero(above[1:] & ~above[:-1]) + 1
