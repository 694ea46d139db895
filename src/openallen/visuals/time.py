"""Views over time: series, stretches and events, spikes of many units."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from openallen.visuals.base import Visual

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


__all__ = [
    "EventTrack",
    "IntervalTrack",
    "RasterVisual",
    "Rois",
    "TracesVisual",
    "Track",
    "channel_tracks",
]

_STRETCHES: Final = 4


@dataclass(frozen=True, kw_only=True)
class Track:
    """One series over time.

    Parameters
    ----------
    name, title
        Its name in addresses, and for people.
    unit
        Unit of the values; empty for none.
    group
        Tracks of one group share an axis: ``dff``, ``running``.
    read
        Returns times in s, ascending, and values; both of one length.
    part
        Returns the same from one time to another, in s, where reading all would be too much; then
        `read` is never called.
    shown
        Whether it is drawn before anybody asks.
    """

    name: str
    title: str
    unit: str = ""
    group: str = ""
    read: Callable[[], tuple[NDArray[np.float64], NDArray[Any]]]
    part: Callable[[float, float], tuple[NDArray[np.float64], NDArray[Any]]] | None = None
    shown: bool = True


@dataclass(frozen=True, kw_only=True)
class IntervalTrack:
    """Stretches of time with labels: presentations of stimuli, epochs, trials.

    Parameters
    ----------
    name, title
        Its name in addresses, and for people.
    read
        Returns starts and stops in s, and labels.
    table
        Name of the view of the same thing that has a row for each; empty for none.
    """

    name: str
    title: str
    read: Callable[[], tuple[NDArray[np.float64], NDArray[np.float64], Sequence[str]]]
    table: str = ""


@dataclass(frozen=True, kw_only=True)
class EventTrack:
    """Points in time: licks, rewards.

    Parameters
    ----------
    name, title
        Its name in addresses, and for people.
    read
        Returns times in s.
    """

    name: str
    title: str
    read: Callable[[], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Rois:
    """Regions of interest on an image, each with a track.

    Parameters
    ----------
    ids
        Their ids.
    tracks
        Names of their tracks, in the same order.
    image
        Returns the image, shape (y, x).
    labels
        Returns for each pixel 0, or the place in `ids` from 1; shape (y, x).
    """

    ids: tuple[int, ...]
    tracks: tuple[str, ...]
    image: Callable[[], NDArray[Any]]
    labels: Callable[[], NDArray[np.uint16]]


@dataclass(frozen=True, kw_only=True)
class TracesVisual(Visual):
    """Series, stretches and events on one axis of time.

    Parameters
    ----------
    from_s, to_s
        The time they cover, in s.
    tracks, intervals, events
        What is drawn.
    rois
        Regions of interest whose tracks are among them; None where there are none.
    axis
        What the axis is, with its unit.
    longest_s
        The longest stretch that is drawn at once; None for all of it.
    """

    kind: ClassVar[str] = "traces"
    from_s: float
    to_s: float
    tracks: tuple[Track, ...] = ()
    intervals: tuple[IntervalTrack, ...] = ()
    events: tuple[EventTrack, ...] = ()
    rois: Rois | None = None
    axis: str = "time (s)"
    longest_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class RasterVisual(Visual):
    """Spikes of many units.

    Parameters
    ----------
    from_s, to_s
        The time they cover, in s.
    units
        Returns a row for each unit, in the order of the rows; ``id`` is among the columns.
    spikes
        Returns the spike times of each unit in s, ascending, in the same order.
    source
        What the spikes are of, which changes when they do: counts are cached on disk under it;
        empty for memory only.
    events, intervals
        What the spikes can be aligned to.
    """

    kind: ClassVar[str] = "raster"
    from_s: float
    to_s: float
    units: Callable[[], Sequence[Mapping[str, Any]]]
    spikes: Callable[[], Sequence[NDArray[np.float64]]]
    source: str = ""
    events: tuple[EventTrack, ...] = ()
    intervals: tuple[IntervalTrack, ...] = ()


class _Stretches:
    """Reads stretches of samples of many channels: once, where several channels are drawn."""

    def __init__(
        self, read: Callable[[float, float], tuple[NDArray[np.float64], NDArray[Any]]]
    ) -> None:
        self._read = read
        self._kept: dict[tuple[float, float], tuple[NDArray[np.float64], NDArray[Any]]] = {}
        self._lock = threading.Lock()

    def channel(
        self, column: int, from_s: float, to_s: float
    ) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Return times and samples of a channel."""
        with self._lock:
            if (from_s, to_s) not in self._kept:
                while len(self._kept) >= _STRETCHES:
                    del self._kept[next(iter(self._kept))]
                self._kept[from_s, to_s] = self._read(from_s, to_s)
            times, values = self._kept[from_s, to_s]
        return times, values[:, column]


def channel_tracks(
    titles: Sequence[str],
    read: Callable[[float, float], tuple[NDArray[np.float64], NDArray[Any]]],
    *,
    unit: str = "",
    group: str = "channels",
    shown: int = 16,
    name: str = "channel",
) -> tuple[Track, ...]:
    """Return a track for each channel of samples that are read in stretches.

    Parameters
    ----------
    titles
        A title for each channel.
    read
        Returns times and samples (times x channels) from one time to another, in s.
    unit, group
        As for `Track`.
    shown
        How many are drawn before anybody asks, evenly over all.
    name
        How their names begin.
    """
    stretches = _Stretches(read)
    every = max(1, -(-len(titles) // shown))

    def one(column: int, title: str) -> Track:
        def whole() -> tuple[NDArray[np.float64], NDArray[Any]]:
            return stretches.channel(column, -math.inf, math.inf)

        return Track(
            name=f"{name}-{column}",
            title=title,
            unit=unit,
            group=group,
            read=whole,
            part=lambda from_s, to_s: stretches.channel(column, from_s, to_s),
            shown=column % every == 0,
        )

    return tuple(one(n, title) for n, title in enumerate(titles))
