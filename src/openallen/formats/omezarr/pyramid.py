"""Downsampling by 2: each pixel is the mean of two by two pixels of the level before."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, Final

from openallen.formats.parallel import Helpers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Halver", "halve"]

# Pairs of pixels handled at a time. Each of the seven steps of a band lets go of the interpreter
# lock once: small bands make many threads wait for it, large ones leave the CPU cache.
_BAND_PAIRS: Final = 1 << 19


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
    half = np.empty(((height + 1) // 2, (width + 1) // 2), np.uint8)
    Halver().halve(pixels, half)
    return half


class Halver:
    """Halves planes as `halve` does, into memory that is there, with memory it keeps.

    Parameters
    ----------
    helpers
        Threads that take bands of a plane.
    """

    def __init__(self, helpers: Helpers | None = None) -> None:
        self._helpers = helpers or Helpers(0)
        self._own = threading.local()

    def halve(self, pixels: NDArray[np.uint8], half: NDArray[np.uint8]) -> None:
        """Write the plane at half its size to `half`; both of shape (y, x)."""
        rows = max(1, _BAND_PAIRS // half.shape[1])

        def band(top: int) -> None:
            self._band(pixels[2 * top : 2 * (top + rows)], half[top : top + rows])

        for _ in self._helpers.map(band, range(0, len(half), rows)):
            pass

    def _band(self, pixels: NDArray[np.uint8], half: NDArray[np.uint8]) -> None:
        import numpy as np

        # Viewed as 16-bit numbers, two adjacent bytes are added with one mask and one shift, in
        # either byte order.
        pairs = self._even(pixels, half.shape).view(np.uint16)
        sums, other = self._scratch("sums", (2, *pairs.shape), np.uint16)
        np.bitwise_and(pairs, 0xFF, out=sums)
        np.right_shift(pairs, 8, out=other)
        np.add(sums, other, out=sums)
        four = other[: len(half)]
        np.add(sums[0::2], sums[1::2], out=four)
        np.add(four, 2, out=four)
        np.right_shift(four, 2, out=half, casting="unsafe")

    def _even(self, pixels: NDArray[np.uint8], half: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return an even number of rows and of adjacent columns, the last ones repeated."""
        import numpy as np

        size = (2 * half[0], 2 * half[1])
        if pixels.shape == size and pixels.strides[1] == 1:
            return pixels
        height, width = pixels.shape
        even: NDArray[np.uint8] = self._scratch("even", size, np.uint8)
        even[:height, :width] = pixels
        even[:height, width:] = pixels[:, -1:]
        even[height:] = even[height - 1]
        return even

    def _scratch(self, name: str, shape: tuple[int, ...], kind: type) -> NDArray[Any]:
        """Return memory of this thread, allocated anew only if it must grow."""
        import numpy as np

        size = math.prod(shape)
        held: NDArray[Any] | None = getattr(self._own, name, None)
        if held is None or held.size < size:
            held = np.empty(size, kind)
            setattr(self._own, name, held)
        return held[:size].reshape(shape)
