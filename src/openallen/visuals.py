"""What an opened thing looks like: a few kinds of views, and what each needs to be drawn.

An opened thing that can be looked at has a method ``_visuals``, which returns these. The web view
and the notebook draw them; neither knows what kind of thing it was. Nothing is read before it is
drawn: what costs something is a function.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "CellVisual",
    "Channel",
    "EventTrack",
    "GraphVisual",
    "IntervalTrack",
    "Link",
    "Node",
    "PlaneKey",
    "RasterVisual",
    "Rois",
    "SlicesVisual",
    "StackVisual",
    "Structure",
    "TableVisual",
    "TracesVisual",
    "Track",
    "TreeVisual",
    "Visual",
    "Volume",
    "channel_tracks",
    "is_labels",
    "look",
    "slices_of_volume",
    "visuals_of",
]

_STRETCHES: Final = 4


@dataclass(frozen=True, kw_only=True)
class Visual:
    """One view of a thing.

    Parameters
    ----------
    name
        What tells it from the others of the thing; of letters, digits, ``-`` and ``_``.
    title
        What people read above it.
    """

    kind: ClassVar[str]
    name: str
    title: str


# --- images ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PlaneKey:
    """One plane of a stack.

    Parameters
    ----------
    label
        What people call it: ``section 12``.
    z_um
        Its depth, in µm; None where it is not known.
    key
        What changes when its pixels do: of letters, digits, ``-`` and ``_``; None while the plane
        is not here.
    """

    label: str
    z_um: float | None
    key: str | None


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One channel of an image.

    Parameters
    ----------
    name
        Its name.
    window
        Values that are shown black and white.
    """

    name: str
    window: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class StackVisual(Visual):
    """Planes of one size, one behind the other: x to the right, y down, z away from the viewer.

    At least one of `jpeg` and `region` is given.

    Parameters
    ----------
    width_px, height_px
        Size of a plane.
    pixel_um
        Size of a pixel along x and y, in µm; None where it is not known.
    planes
        Returns the planes; asked again while they are still being fetched.
    jpeg
        Returns the JPEG of a plane by its index, at full size.
    region
        Returns pixels: of a plane, of a channel, at a level (each half the size of the one
        before, rounded up), within ``(top, left, bottom, right)`` of that level. Shape (y, x), or
        (y, x, 3) in colour; any type of numbers.
    stored
        Returns a tile of 512 pixels a side as JPEG where it is stored as such, else None: of a
        plane, at a level, of a column and a row of tiles. Tiles at the edges may be padded.
    levels
        Number of levels that are stored; others are computed.
    colour
        Whether pictures are in colour.
    channels
        Channels; empty where there is one only, with values of 8 bits.
    overviews
        Folder where small pictures of the planes are cached; None for memory only.
    cell
        Name of the view of the same thing that has the reconstruction in the frame of the planes.
    simulated
        Whether the pixels are made up.
    address
        What names the thing, for people.
    z_label
        What people call a plane.
    coming
        Returns whether planes are still being fetched.
    far
        Whether planes are read over a network: only those that are looked at are.
    """

    kind: ClassVar[str] = "stack"
    width_px: int
    height_px: int
    pixel_um: tuple[float, float] | None
    planes: Callable[[], Sequence[PlaneKey]]
    jpeg: Callable[[int], bytes] | None = None
    region: Callable[[int, int, int, tuple[int, int, int, int]], NDArray[Any]] | None = None
    stored: Callable[[int, int, int, int], bytes | None] | None = None
    levels: int = 1
    colour: bool = False
    channels: tuple[Channel, ...] = ()
    overviews: Path | None = None
    cell: str | None = None
    simulated: bool = False
    address: str = ""
    z_label: str = "plane"
    coming: Callable[[], bool] = bool
    far: bool = False


@dataclass(frozen=True, kw_only=True)
class CellVisual(Visual):
    """A reconstruction.

    Parameters
    ----------
    swc
        Returns it in the SWC format, lengths in µm.
    """

    kind: ClassVar[str] = "cell"
    swc: Callable[[], str]


# --- volumes --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Structure:
    """One structure of an ontology, as labels show it.

    Parameters
    ----------
    id, acronym, name
        As in the ontology.
    rgb
        Its colour, 0 to 255 each.
    parent
        Id of what it is part of; None for a root.
    """

    id: int
    acronym: str
    name: str
    rgb: tuple[int, int, int]
    parent: int | None = None


@dataclass(frozen=True, kw_only=True)
class Volume:
    """One volume on the grid of its `SlicesVisual`.

    Parameters
    ----------
    name, title
        Its name in addresses, and for people.
    labels
        Whether its values are ids of structures.
    unit
        Unit of the values; empty for none.
    read
        Returns the values, shape (AP, DV, ML): ids, or floats with NaN where there is none. Asked
        anew each time, so that nothing large is held for a page that was closed.
    stamp
        What changes when the values do; empty where that is not known, and nothing is cached on
        disk.
    """

    name: str
    title: str
    labels: bool
    unit: str = ""
    read: Callable[[], NDArray[Any]]
    stamp: str = ""


@dataclass(frozen=True, kw_only=True)
class SlicesVisual(Visual):
    """Volumes on one grid, cut along three axes.

    Parameters
    ----------
    shape
        Voxels along AP, DV, ML.
    voxel_um
        Size of a voxel along each, in µm.
    volumes
        The volumes.
    structures
        Returns the structures that labels mean; labels that it leaves out are shown by their id.
    first
        Names of the volumes that are shown before anybody chooses; the first one where empty.
    cache
        Folder where numbered labels are cached; None for memory only.
    simulated
        Whether the values are made up.
    """

    kind: ClassVar[str] = "slices"
    shape: tuple[int, int, int]
    voxel_um: tuple[float, float, float]
    volumes: tuple[Volume, ...]
    structures: Callable[[], Sequence[Structure]] = tuple
    first: tuple[str, ...] = ()
    cache: Path | None = None
    simulated: bool = False


@dataclass(frozen=True, kw_only=True)
class TreeVisual(Visual):
    """An ontology: structures, and what is part of what.

    Parameters
    ----------
    structures
        Returns the structures.
    address
        Returns the address of a structure by its id, where it has one.
    """

    kind: ClassVar[str] = "tree"
    structures: Callable[[], Sequence[Structure]]
    address: Callable[[int], str | None] | None = None


# --- time -----------------------------------------------------------------------------------------


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


# --- rows and links -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TableVisual(Visual):
    """A table.

    Parameters
    ----------
    table
        Returns it: a DataFrame, or a sequence of mappings.
    address
        Returns the address of a row, where rows are things of their own.
    """

    kind: ClassVar[str] = "table"
    table: Callable[[], Any]
    address: Callable[[Mapping[str, Any]], str | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Node:
    """One thing of a graph.

    Parameters
    ----------
    id
        What tells it from the others.
    label
        What people read.
    kind
        What it is, in a word; nodes of a kind look alike.
    address
        Its address; None where it has none.
    """

    id: str
    label: str
    kind: str = ""
    address: str | None = None


@dataclass(frozen=True, kw_only=True)
class Link:
    """One link of a graph: `start` led to `end`.

    Parameters
    ----------
    start, end
        Ids of nodes.
    label
        What it says; empty for nothing.
    """

    start: str
    end: str
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class GraphVisual(Visual):
    """Things and what became of them: provenance.

    Parameters
    ----------
    nodes, links
        The graph.
    """

    kind: ClassVar[str] = "graph"
    nodes: tuple[Node, ...] = ()
    links: tuple[Link, ...] = field(default=())


@runtime_checkable
class Seen(Protocol):
    """An opened thing that can be looked at."""

    def _visuals(self) -> tuple[Visual, ...]: ...


_LOOKS: dict[int, tuple[weakref.ref[Any], Callable[[Any], tuple[Visual, ...]]]] = {}


def look(opened: Any, how: Callable[[Any], tuple[Visual, ...]]) -> None:
    """Say what an object of another library looks like, which can have no ``_visuals``.

    Parameters
    ----------
    opened
        The object. It is not kept alive, so `how` must not hold it either.
    how
        Returns its views; called with the object.
    """
    number = id(opened)
    _LOOKS[number] = weakref.ref(opened, lambda _: _LOOKS.pop(number, None)), how


def visuals_of(opened: Any) -> tuple[Visual, ...]:
    """Return what an opened thing looks like.

    A table of pandas is a table, a labelled volume of xarray its slices; what else has not said
    what it looks like is nothing.

    Parameters
    ----------
    opened
        The opened thing.
    """
    if isinstance(opened, Seen) and not isinstance(opened, type):
        return opened._visuals()  # noqa: SLF001 - the protocol of this module
    known, how = _LOOKS.get(id(opened), (None, None))
    if known is not None and how is not None and known() is opened:
        return how(opened)
    library = type(opened).__module__.partition(".")[0]
    if library == "pandas" and hasattr(opened, "columns"):
        return (TableVisual(name="rows", title="Rows", table=lambda: opened),)
    if library == "xarray" and "spacing_um" in getattr(opened, "attrs", ()):
        return (slices_of_volume(opened),)
    return ()


_AXES = ("AP", "DV", "ML")


def slices_of_volume(volume: Any, structures: Callable[[], Sequence[Structure]] = tuple) -> Visual:
    """Return the slices of one labelled volume.

    Parameters
    ----------
    volume
        A DataArray with the axes AP, DV, ML, and ``spacing_um`` among its attributes.
    structures
        Returns the structures that its labels mean.
    """
    whole = volume.transpose(*_AXES)
    steps = [float(step) for step in volume.attrs["spacing_um"]]
    told = volume.attrs.get("units")
    name = str(volume.name or "volume")
    one = Volume(
        name="volume",
        title=str(volume.attrs.get("long_name") or name),
        labels=is_labels(whole.dtype, name, told),
        unit="" if told is None else str(told),
        read=whole.to_numpy,
    )
    return SlicesVisual(
        name="slices",
        title=name,
        shape=(whole.shape[0], whole.shape[1], whole.shape[2]),
        voxel_um=(steps[0], steps[1], steps[2]),
        volumes=(one,),
        structures=structures,
        simulated=bool(volume.attrs.get("simulated")),
    )


def is_labels(dtype: Any, name: str, units: str | None) -> bool:
    """Return whether values are ids of structures: said so, or whole numbers called so.

    Whole numbers of 32 bits are ids too: no camera has as many grey levels.

    Parameters
    ----------
    dtype
        Type of the values.
    name
        What the volume is called.
    units
        Their unit; None where it is not said.
    """
    if dtype.kind not in "iu":
        return False
    if units is not None:
        return str(units) == "structure id"
    return "annotation" in name.casefold() or int(dtype.itemsize) >= 4
