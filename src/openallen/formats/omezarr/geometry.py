"""The size of a stack in pixels and micrometres, and of each level of its pyramid."""

from __future__ import annotations

from dataclasses import dataclass

from openallen.errors import UsageError

__all__ = ["Geometry"]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """A stack: number and size of its pixels, and its chunks.

    x points to the right, y down, z through the planes; the origin is the centre of the first pixel
    of the first plane. Levels are downsampled in x and y only.

    Parameters
    ----------
    width_px, height_px
        Size of a plane.
    planes
        Number of planes, missing ones included.
    channels
        1 for gray, 3 for RGB.
    x_um, y_um, z_um
        Size of a pixel, and the distance between planes, in µm.
    chunk_px
        Side of a chunk in pixels; each plane of a level is one shard.
    first_z_um
        Depth of the first plane, in µm.
    first_x_um, first_y_um
        Centre of the first pixel of a plane, in µm, where the origin lies elsewhere.

    Raises
    ------
    UsageError
        If a size is not positive, or the number of channels not 1 or 3.
    """

    width_px: int
    height_px: int
    planes: int
    channels: int
    x_um: float
    y_um: float
    z_um: float
    chunk_px: int = 512
    first_z_um: float = 0.0
    first_x_um: float = 0.0
    first_y_um: float = 0.0

    def __post_init__(self) -> None:
        if min(self.width_px, self.height_px, self.planes) < 1 or self.channels not in {1, 3}:
            raise UsageError("invalid size of a stack", why=repr(self))
        if min(self.x_um, self.y_um, self.z_um) <= 0 or self.chunk_px < 16:
            raise UsageError("invalid scale of a stack", why=repr(self))

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes, as stored: ``zyx``, or ``czyx`` for colour."""
        return ("z", "y", "x") if self.channels == 1 else ("c", "z", "y", "x")

    @property
    def levels(self) -> list[tuple[int, int]]:
        """Height and width of a plane in pixels at each level, largest first.

        Each level is half as large as the one before, rounded up; the last fits into one chunk.
        """
        sizes = [(self.height_px, self.width_px)]
        while max(sizes[-1]) > self.chunk_px:
            height, width = sizes[-1]
            sizes.append(((height + 1) // 2, (width + 1) // 2))
        return sizes

    def shape(self, level: int) -> tuple[int, ...]:
        """Shape of the array at a level, in the order of `axes`."""
        height, width = self.levels[level]
        colour = (3,) if self.channels == 3 else ()
        return (*colour, self.planes, height, width)

    def grid(self, level: int) -> tuple[int, int]:
        """Return the number of rows and columns of chunks in a plane of a level."""
        height, width = self.levels[level]
        return -(-height // self.chunk_px), -(-width // self.chunk_px)

    def scale_um(self, level: int) -> tuple[float, ...]:
        """Size of a pixel at a level in the order of `axes`, in µm; 1 for the channel axis."""
        colour = (1.0,) if self.channels == 3 else ()
        return (*colour, self.z_um, self.y_um * 2**level, self.x_um * 2**level)

    def translation_um(self, level: int) -> tuple[float, ...]:
        """Centre of the first pixel of a level in the order of `axes`, in µm.

        A pixel covers two by two pixels of the level before; its centre is between theirs.
        """
        colour = (0.0,) if self.channels == 3 else ()
        shift = (2**level - 1) / 2
        y_um = self.first_y_um + self.y_um * shift
        return (*colour, self.first_z_um, y_um, self.first_x_um + self.x_um * shift)
