"""Simulated recordings with the statistics of Neuropixels, for measuring codecs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["PROBES", "Probe", "generate"]

_RATE_HZ: Final = 30_000
_FIELD_UV: Final = 45.0


@dataclass(frozen=True, slots=True)
class Probe:
    """Statistics of the samples of a probe.

    Parameters
    ----------
    step
        LSB: smallest difference of two samples, in stored units.
    noise_uv
        Standard deviation of the noise in µV.
    gain_uv
        µV per stored unit.
    """

    step: int
    noise_uv: float
    gain_uv: float


PROBES: Final = {"NP1": Probe(12, 11.0, 0.195), "NP2": Probe(3, 13.0, 0.195)}
"""Neuropixels 1.0 and 2.0 as stored by Open Ephys: an LSB of 12 and 3 stored units."""


def generate(
    probe: str, duration_s: float, channels: int = 384, seed: int = 0
) -> np.ndarray[Any, Any]:
    """Simulate a recording.

    Band-limited noise that is partly correlated between adjacent channels, slow field potentials,
    and spikes of units along the probe; multiples of the probe's LSB, with an offset for each
    channel. Codecs rank as on real recordings; without the field potentials, dictionary coders
    would rank too high.

    Parameters
    ----------
    probe
        ``NP1`` or ``NP2``.
    duration_s
        Length in seconds, at 30 kHz.
    channels
        Number of channels.
    seed
        Seed of the random numbers.

    Returns
    -------
    array
        int16, shape (samples, channels).

    Raises
    ------
    UsageError
        If the probe does not exist.
    """
    import numpy as np

    if probe not in PROBES:
        raise UsageError(f"no probe '{probe}'", why=f"one of {', '.join(PROBES)}")
    model = PROBES[probe]
    random = np.random.default_rng(seed)
    count = max(1, round(duration_s * _RATE_HZ))
    own = random.standard_normal((count, channels))
    uv = _filtered(0.92 * own + 0.4 * _shared(random, count, channels, 8), _amplified)
    uv *= model.noise_uv / float(uv.std())
    slow = _filtered(_shared(random, count, channels, 16), _field)
    uv += slow * (_FIELD_UV / max(float(slow.std()), 1e-9))
    wave = np.concatenate(
        [np.linspace(0, -1, 8), np.linspace(-1, 0.35, 14), np.linspace(0.35, 0, 24)]
    )
    for _ in range(int(count / _RATE_HZ * channels * 2)):
        at = int(random.integers(0, max(1, count - len(wave))))
        middle = int(random.integers(0, channels))
        size = float(random.uniform(30, 160))
        low, high = max(0, middle - 4), min(channels, middle + 5)
        falls = np.exp(-np.abs(np.arange(low, high) - middle) / 2)
        piece = uv[at : at + len(wave), low:high]
        piece += size * wave[: len(piece), None] * falls
    steps = np.rint(uv / (model.gain_uv * model.step))
    offsets = random.integers(-3, 4, channels)
    found: np.ndarray[Any, Any] = (np.clip(steps, -511, 511) * model.step + offsets).astype("int16")
    return found


def _shared(
    random: np.random.Generator, count: int, channels: int, apart: int
) -> np.ndarray[Any, Any]:
    """Return noise that is correlated between channels less than `apart` from each other."""
    import numpy as np

    few = random.standard_normal((count, channels // apart + 2))
    places = np.linspace(0, few.shape[1] - 1.001, channels)
    left = places.astype(int)
    weight = places - left
    found: np.ndarray[Any, Any] = few[:, left] * (1 - weight) + few[:, left + 1] * weight
    return found


def _filtered(
    values: np.ndarray[Any, Any], share: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]
) -> np.ndarray[Any, Any]:
    import numpy as np

    hz = np.fft.rfftfreq(len(values), 1 / _RATE_HZ)
    return np.fft.irfft(np.fft.rfft(values, axis=0) * share(hz)[:, None], len(values), axis=0)


def _amplified(hz: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the response of the amplifier: 300 to 6000 Hz, with a gentle roll-off."""
    import numpy as np

    low = np.sqrt(1 + (300 / np.maximum(hz, 1e-9)) ** 4)
    found: np.ndarray[Any, Any] = 1 / low / np.sqrt(1 + (hz / 6000) ** 2)
    return found


def _field(hz: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the spectrum of field potentials: 1/f, zero above 300 Hz."""
    import numpy as np

    inside = (hz > 0) & (hz < 300)
    found: np.ndarray[Any, Any] = np.where(inside, 1 / np.maximum(hz, 2), 0.0)
    return found
