"""Recordings that are made up in the likeness of Neuropixels, for trying codecs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["PROBES", "Probe", "generate"]

_RATE_HZ: Final = 30_000


@dataclass(frozen=True, slots=True)
class Probe:
    """What samples of a probe look like.

    Parameters
    ----------
    step
        The least difference of two samples, in stored units: the LSB.
    noise_uv
        Standard deviation of the noise.
    gain_uv
        µV of one stored unit.
    """

    step: int
    noise_uv: float
    gain_uv: float


PROBES: Final = {"NP1": Probe(12, 11.0, 0.195), "NP2": Probe(3, 10.0, 0.195)}
"""Neuropixels 1.0 and 2.0 as Open Ephys stores them: 12 and 3 stored units to a step."""


def generate(
    probe: str, duration_s: float, channels: int = 384, seed: int = 0
) -> np.ndarray[Any, Any]:
    """Make a recording up.

    Noise that neighbours share, slow drifts, and spikes of units along the probe; in steps of the
    probe's LSB, with an offset of its own for each channel.

    Parameters
    ----------
    probe
        ``NP1`` or ``NP2``.
    duration_s
        Length in seconds, at 30 kHz.
    channels
        How many.
    seed
        The same gives the same.

    Returns
    -------
    array
        int16, samples x channels.

    Raises
    ------
    UsageError
        For a probe there is none of.
    """
    import numpy as np

    if probe not in PROBES:
        raise UsageError(f"there is no probe '{probe}'", why=", ".join(PROBES))
    told = PROBES[probe]
    random = np.random.default_rng(seed)
    count = max(1, round(duration_s * _RATE_HZ))
    own = random.standard_normal((count, channels)).astype("float32")
    shared = random.standard_normal((count, channels // 8 + 2)).astype("float32")
    places = np.linspace(0, shared.shape[1] - 1.001, channels)
    left = places.astype(int)
    weight = (places - left).astype("float32")
    uv = 0.75 * own + 0.65 * (shared[:, left] * (1 - weight) + shared[:, left + 1] * weight)
    uv[1:] += 0.55 * uv[:-1]  # amplifiers do not forget at once
    uv *= told.noise_uv / float(uv[: min(count, 3000)].std())
    uv += (12 * np.sin(np.arange(count) / 5000)[:, None]).astype("float32")
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
        piece += (size * wave[: len(piece), None] * falls).astype("float32")
    steps = np.rint(uv / (told.gain_uv * told.step))
    offsets = random.integers(-3, 4, channels)
    found: np.ndarray[Any, Any] = (np.clip(steps, -511, 511) * told.step + offsets).astype("int16")
    return found
