"""Views of images: planes one behind the other, and reconstructions in their frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.visuals.base import Visual

if TYPE_CHECKING:
    from numpy.typing import NDArray


__all__ = ["CellVisual", "Channel", "PlaneKey", "StackVisual"]


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
