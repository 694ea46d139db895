"""Series over time as extremes of each pixel: exact, and as fast for a day as for a second.

A pyramid holds the least and the greatest of every 16 samples, of every 256, and so on. Extremes
of any run of samples are then those of a few of its entries and of a few samples at both ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Pyramid", "Seen", "bins_of", "pyramid"]

_FACTOR: Final = 16
_EXACT: Final = 2.0
"""So many samples for each pixel are drawn as they are."""


@dataclass(frozen=True)
class Seen:
    """What is drawn of a series.

    Parameters
    ----------
    times_s
        Time of each sample, or the middle of each pixel.
    low, high
        Extremes; the same array where they are the samples themselves.
    """

    times_s: NDArray[np.float64]
    low: NDArray[Any]
    high: NDArray[Any]

    @property
    def exact(self) -> bool:
        """Whether these are the samples themselves."""
        return self.low is self.high


@dataclass(frozen=True)
class Pyramid:
    """A series with its extremes at several scales.

    Parameters
    ----------
    times_s
        Times, ascending.
    lows, highs
        Extremes, from the samples themselves (the same array in both) to the coarsest.
    """

    times_s: NDArray[np.float64]
    lows: tuple[NDArray[Any], ...]
    highs: tuple[NDArray[Any], ...]

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        above = sum(part.nbytes for part in (*self.lows[1:], *self.highs[1:]))
        return int(self.times_s.nbytes + self.lows[0].nbytes + above)

    def seen(self, from_s: float, to_s: float, px: int) -> Seen:
        """Return what is drawn from one time to another.

        Parameters
        ----------
        from_s, to_s
            The window, in s.
        px
            Its width in pixels.

        Returns
        -------
        Seen
            The samples in the window and one at each side, where there are few; else the extremes
            within each pixel, pixels without samples left out. The last pixel has its right edge,
            the others do not. NaN where all samples are.
        """
        import numpy as np

        edges = bins_of(self.times_s, from_s, to_s, px)
        first, last = int(edges[0]), int(edges[-1])
        if last - first <= _EXACT * px:
            part = slice(max(0, first - 1), last + 1)
            values = self.lows[0][part]
            return Seen(self.times_s[part], values, values)
        starts, stops = edges[:-1], edges[1:]
        some = stops > starts
        middles = np.flatnonzero(some).astype(np.float64)
        middles = from_s + (middles + 0.5) * np.float64((to_s - from_s) / px)
        return Seen(middles, *self.extremes(starts[some], stops[some]))

    def extremes(
        self, starts: NDArray[np.int64], stops: NDArray[np.int64], level: int = 0
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the extremes of runs of entries of a level, NaN for runs without any.

        Parameters
        ----------
        starts, stops
            The first entry of each, and the one after its last.
        level
            Which level; 0 for samples.
        """
        import numpy as np

        longest = int((stops - starts).max(initial=0))
        if level + 1 == len(self.lows) or longest <= 2 * _FACTOR:
            low = _gathered(self.lows[level], starts, stops, longest, np.fmin)
            return low, _gathered(self.highs[level], starts, stops, longest, np.fmax)
        inner, outer = -(-starts // _FACTOR), stops // _FACTOR
        outer = np.maximum(inner, outer)
        heads = np.minimum(inner * _FACTOR, stops)
        tails = np.maximum(outer * _FACTOR, heads)
        found = [self.extremes(inner, outer, level + 1)]
        for begin, end in ((starts, heads), (tails, np.maximum(stops, tails))):
            most = int((end - begin).max(initial=0))
            low = _gathered(self.lows[level], begin, end, most, np.fmin)
            found.append((low, _gathered(self.highs[level], begin, end, most, np.fmax)))
        low, high = found[0]
        for lower, higher in found[1:]:
            low, high = np.fmin(low, lower), np.fmax(high, higher)
        return low, high


def bins_of(times_s: NDArray[Any], from_s: float, to_s: float, px: int) -> NDArray[np.int64]:
    """Return the first entry of each pixel, and the one after the last; `px` + 1 in all.

    Parameters
    ----------
    times_s
        Times, ascending.
    from_s, to_s, px
        As for `Pyramid.seen`.
    """
    import numpy as np

    edges = np.linspace(from_s, to_s, px + 1)
    found: NDArray[np.int64] = np.searchsorted(times_s, edges, "left").astype(np.int64)
    found[-1] = np.searchsorted(times_s, to_s, "right")
    return found


def _gathered(
    values: NDArray[Any], starts: NDArray[Any], stops: NDArray[Any], longest: int, how: Any
) -> NDArray[Any]:
    """Reduce short runs: as rows of one table, padded with NaN."""
    import numpy as np

    if longest <= 0 or not len(values):
        return np.full(len(starts), np.nan, dtype=values.dtype)
    at = starts[:, None] + np.arange(longest)
    inside = at < stops[:, None]
    rows = np.where(inside, values[np.minimum(at, len(values) - 1)], np.nan)
    made: NDArray[Any] = how.reduce(rows, axis=1).astype(values.dtype)
    return made


def pyramid(times_s: NDArray[Any], values: NDArray[Any]) -> Pyramid:
    """Return the pyramid of a series.

    Parameters
    ----------
    times_s
        Times; samples are put in their order where they do not ascend, those without a time are
        left out.
    values
        Values, one for each; whole numbers and truth values become floats. Infinite ones count as
        missing: nothing can be drawn there.

    Raises
    ------
    CorruptError
        If there are not as many values as times, or they are no numbers.
    """
    import numpy as np

    times, data = np.asarray(times_s), np.asarray(values)
    if times.ndim != 1 or data.shape != times.shape or data.dtype.kind not in "iufb":
        raise CorruptError(
            "values and times do not go together", why=f"{data.shape} {data.dtype}, {times.shape}"
        )
    times = times.astype(np.float64, copy=False)
    if data.dtype.kind != "f" or data.dtype.itemsize < 4 or data.dtype.itemsize > 8:
        data = data.astype(np.float32 if data.dtype.itemsize <= 2 else np.float64)
    known = np.isfinite(times)
    if not known.all():
        times, data = times[known], data[known]
    if len(times) and (np.diff(times) < 0).any():
        order = np.argsort(times, kind="stable")
        times, data = times[order], data[order]
    if np.isinf(data).any():
        data = np.where(np.isinf(data), np.nan, data).astype(data.dtype)
    return Pyramid(times, *_levels(data))


def _levels(data: NDArray[Any]) -> tuple[tuple[NDArray[Any], ...], tuple[NDArray[Any], ...]]:
    import numpy as np

    lows, highs = [data], [data]
    while len(lows[-1]) > 2 * _FACTOR:
        at = np.arange(0, len(lows[-1]), _FACTOR)
        lows.append(np.fmin.reduceat(lows[-1], at))
        highs.append(np.fmax.reduceat(highs[-1], at))
    return tuple(lows), tuple(highs)
