"""How sharp a picture is: the variance of its Laplacian."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["focus_measure"]

_BAND_ROWS = 512


def focus_measure(pixels: NDArray[np.uint8]) -> float:
    """Return the variance of the Laplacian of a gray picture.

    The Laplacian is the sum of the four neighbours less four times the pixel, over all pixels that
    have four neighbours; computed in bands, so that memory stays small.

    Parameters
    ----------
    pixels
        uint8, shape (y, x).

    Returns
    -------
    float
        Larger is sharper; 0.0 for a picture less than three pixels wide or high.
    """
    import numpy as np

    height, width = pixels.shape
    if height < 3 or width < 3:
        return 0.0
    total = squares = 0
    count = (height - 2) * (width - 2)
    for top in range(1, height - 1, _BAND_ROWS):
        bottom = min(top + _BAND_ROWS, height - 1)
        band = pixels[top - 1 : bottom + 1].astype(np.int16)
        edge = band[:-2, 1:-1] + band[2:, 1:-1] + band[1:-1, :-2] + band[1:-1, 2:]
        edge -= 4 * band[1:-1, 1:-1]
        total += int(edge.sum(dtype=np.int64))
        squares += int(np.square(edge, dtype=np.int32).sum(dtype=np.int64))
    mean: float = total / count
    variance: float = squares / count - mean * mean
    return variance
