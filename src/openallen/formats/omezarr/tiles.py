"""Cutting planes into square tiles, a row of tiles at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Fill", "cut_row"]

Fill = Literal["zero", "edge"]


def cut_row(
    channels: Sequence[NDArray[np.uint8]],
    top: int,
    tiles: NDArray[np.uint8],
    fill: Fill = "zero",
) -> None:
    """Copy the row of tiles that begins at pixel row `top`; what lies beyond the plane is filled.

    A row at a time takes few steps of numpy: each of them lets go of the interpreter lock, and
    many threads would wait for it.

    Parameters
    ----------
    channels
        Planes of the same shape (y, x).
    top
        First row of pixels.
    tiles
        Where to: uint8, shape (tile, y, x, channel), as many tiles as cover the width.
    fill
        0, or the last pixels repeated: for JPEG, where a hard edge would cause ringing.
    """
    side = tiles.shape[1]
    height, width = channels[0].shape
    rows, (whole, rest) = min(side, height - top), divmod(width, side)
    for index, channel in enumerate(channels):
        band = channel[top : top + rows]
        into = tiles[..., index]
        into[:whole, :rows] = band[:, : whole * side].reshape(rows, whole, side).swapaxes(0, 1)
        if rest:
            into[whole, :rows, :rest] = band[:, whole * side :]
            into[whole, :rows, rest:] = band[:, -1:] if fill == "edge" else 0
    if rows < side:
        tiles[:, rows:] = tiles[:, rows - 1 : rows] if fill == "edge" else 0
