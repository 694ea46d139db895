"""Downsampling by 2: each pixel is the mean of two by two pixels of the level before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["halve"]

_BAND_ROWS: Final = 64


def halve(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the plane at half its size.

    Means are rounded to nearest, halves up. At an odd edge the last row or column is repeated, so
    a side of n pixels becomes (n + 1) // 2.

    Parameters
    ----------
    pixels
        uint8, shape (y, x).

    Returns
    -------
    numpy.ndarray
        uint8, shape ((y + 1) // 2, (x + 1) // 2).
    """
    import numpy as np

    height, width = pixels.shape
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2)), mode="edge")
    pixels = np.ascontiguousarray(pixels)
    half = np.empty(((height + 1) // 2, (width + 1) // 2), np.uint8)
    # Viewed as 16-bit numbers, two adjacent bytes are added with one mask and one shift, in either
    # byte order; bands of rows stay in the CPU cache.
    for top in range(0, pixels.shape[0], _BAND_ROWS):
        pairs = pixels[top : top + _BAND_ROWS].view(np.uint16)
        sums = pairs & 0xFF
        sums += pairs >> 8
        four = sums[0::2] + sums[1::2]
        four += 2
        four >>= 2
        half[top // 2 : top // 2 + len(four)] = four
    return half
