"""The clock of a recording: when each sample was taken, as SpikeInterface stores it.

A segment begins at zero, at a stored start (``t_starts``), or each of its samples has a time of its
own (``times_seg0`` in Zarr, ``times_cached_seg0.raw`` in a folder). Spikes and stimuli of the same
experiment are on that clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, OpenAllenError
from openallen.formats.chunks import decoding

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Clock", "clocks"]

_BLOCK: Final = 1 << 22
"""Samples whose times are read at once."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The clock of one segment.

    Parameters
    ----------
    place
        The recording, for messages.
    rate_hz
        Sampling frequency in Hz.
    count
        Number of samples.
    start_s
        Time of the first sample in seconds, where there is no vector.
    vector
        Time of each sample in seconds, shape (samples,), read when it is sliced; None where samples
        are evenly spaced.
    """

    place: str
    rate_hz: float
    count: int
    start_s: float = 0.0
    vector: Any = None

    @property
    def first_s(self) -> float:
        """Time of the first sample in seconds."""
        if self.vector is None or not self.count:
            return self.start_s
        return float(self.times_s(0, 1)[0])

    @property
    def end_s(self) -> float:
        """Time one sample after the last, in seconds."""
        if self.vector is None or not self.count:
            return self.start_s + self.count / self.rate_hz
        return float(self.times_s(self.count - 1, self.count)[0]) + 1 / self.rate_hz

    def times_s(self, first: int, last: int) -> np.ndarray[Any, Any]:
        """Return the times of samples in seconds, float64.

        Raises
        ------
        CorruptError
            If times are missing, or do not ascend.
        """
        import numpy as np

        if self.vector is None:
            return self.start_s + np.arange(first, last) / self.rate_hz
        with decoding("times of this recording are damaged", self.place):
            found = np.asarray(self.vector[first:last], float)
        if not np.isfinite(found).all() or (np.diff(found) < 0).any():
            raise CorruptError(
                "times of this recording do not ascend",
                address=self.place,
                why=f"samples {first:,} to {last:,}",
                hint='clock="segment"',
            )
        return found

    def at(self, samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the times of some samples, ascending, in seconds.

        Raises
        ------
        CorruptError
            If there are no such samples, or times are missing or do not ascend.
        """
        import numpy as np

        if self.vector is None:
            return self.start_s + samples / self.rate_hz
        if len(samples) and not 0 <= samples[0] <= samples[-1] < self.count:
            why = f"{int(samples[0]):,} to {int(samples[-1]):,} of {self.count:,}"
            raise CorruptError("samples beyond the recording", address=self.place, why=why)
        found = np.empty(len(samples))
        for first in range(0, self.count, _BLOCK):  # hours of times would fill the memory
            low, high = np.searchsorted(samples, (first, first + _BLOCK))
            if low < high:
                begin, end = int(samples[low]), int(samples[high - 1]) + 1
                found[low:high] = self.times_s(begin, end)[samples[low:high] - begin]
        return found

    def sample(self, time_s: float) -> int:
        """Return the first sample at or after a time; without a vector the nearest one."""
        if self.vector is None:
            return max(0, min(self.count, _whole((time_s - self.start_s) * self.rate_hz)))
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if float(self.times_s(middle, middle + 1)[0]) < time_s:
                low = middle + 1
            else:
                high = middle
        return low

    def told(self) -> str | None:
        """Return the clock as text; None where it begins at zero and has no vector."""
        if self.vector is None and not self.start_s:
            return None
        each = "" if self.vector is None else ", a time for each sample"
        try:
            return f"{self.first_s:.6g} to {self.end_s:.6g} s{each}"
        except OpenAllenError as error:  # what is shown shows what it can
            return f"cannot be read ({error.what})"


def _whole(number: float) -> int:
    return round(number) if math.isfinite(number) else (1 << 62 if number > 0 else 0)


def clocks(
    place: str,
    rate_hz: float,
    counts: Sequence[int],
    starts_s: Any,
    vector: Callable[[int], Any],
) -> tuple[Clock, ...]:
    """Return the clock of each segment.

    Parameters
    ----------
    place
        The recording, for messages.
    rate_hz
        Sampling frequency in Hz.
    counts
        Number of samples of each segment.
    starts_s
        Stored starts, one for each segment (None or NaN for none); or None.
    vector
        Returns the stored times of a segment, or None.

    Raises
    ------
    CorruptError
        If starts are no numbers, or there is another number of them, or of times.
    """
    try:
        starts = [None] * len(counts) if starts_s is None else list(starts_s)
    except TypeError as error:
        raise CorruptError("starts are no list", address=place, why=str(error)) from error
    if len(starts) != len(counts):
        why = f"{len(starts)} starts for {len(counts)} segments"
        raise CorruptError("starts do not match the segments", address=place, why=why)
    found = []
    for n, (start, count) in enumerate(zip(starts, counts, strict=True)):
        times = vector(n)
        if times is not None and tuple(times.shape) != (count,):
            why = f"{'x'.join(map(str, times.shape))} times for {count:,} samples of segment {n}"
            raise CorruptError("times do not match the samples", address=place, why=why)
        try:
            first = 0.0 if start is None or math.isnan(float(start)) else float(start)
        except (TypeError, ValueError, OverflowError) as error:
            raise CorruptError("a start is no number", address=place, why=str(error)) from error
        found.append(Clock(place=place, rate_hz=rate_hz, count=count, start_s=first, vector=times))
    return tuple(found)
