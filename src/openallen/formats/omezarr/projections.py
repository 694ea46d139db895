"""Projections of a stack, gathered plane by plane: min, max and mean along each axis."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["AXES", "FUNCTIONS", "Projections"]

AXES: Final = {"xy": "yx", "xz": "zx", "yz": "yz"}
"""Each projection's name, and its two axes as stored."""

FUNCTIONS: Final = ("min", "max", "mean")

_BAND_ROWS: Final = 256
_FLUSH_PLANES: Final = 257  # as many planes of at most 255 as 16 bits can add up


class Projections:
    """Gathers planes in any order, from many threads.

    The picture is shared in bands, each with a lock, and threads begin at different bands: memory
    does not grow with the number of threads.

    Parameters
    ----------
    planes, height_px, width_px
        Size of the stack.
    mean
        Whether means are gathered too.
    """

    def __init__(self, planes: int, height_px: int, width_px: int, *, mean: bool = True) -> None:
        import numpy as np

        self._seen = np.zeros(planes, np.bool_)
        sizes = {"xy": (height_px, width_px), "xz": (planes, width_px), "yz": (height_px, planes)}
        self._least = {axes: np.full(size, 255, np.uint8) for axes, size in sizes.items()}
        self._most = {axes: np.zeros(size, np.uint8) for axes, size in sizes.items()}
        self._sums = (
            {axes: np.zeros(size, np.uint32) for axes, size in sizes.items()} if mean else {}
        )
        # Adding to 16 bits moves half the memory: planes go there first, and now and then on.
        self._recent = np.zeros(sizes["xy"] if mean else (0, 0), np.uint16)
        self._height, self._width = height_px, width_px
        tops = range(0, height_px, _BAND_ROWS)
        self._bands = [slice(top, min(top + _BAND_ROWS, height_px)) for top in tops]
        self._locks = [threading.Lock() for _ in self._bands]
        self._added = [0] * len(self._bands)

    def add(self, z: int, plane: NDArray[np.uint8]) -> None:
        """Gather one plane: uint8, shape (y, x)."""
        import numpy as np

        count = len(self._bands)
        for step in range(count):
            index = (z + step) % count
            rows = self._bands[index]
            band = plane[rows]
            least, most = self._least, self._most
            with self._locks[index]:
                np.minimum(least["xy"][rows], band, out=least["xy"][rows])
                np.maximum(most["xy"][rows], band, out=most["xy"][rows])
                if self._sums:
                    self._recent[rows] += band
                    self._added[index] += 1
                    if self._added[index] % _FLUSH_PLANES == 0:
                        self._flush(rows)
            # The line z of xz, and the column z of yz, are this plane's alone.
            np.minimum(least["xz"][z], band.min(axis=0), out=least["xz"][z])
            np.maximum(most["xz"][z], band.max(axis=0), out=most["xz"][z])
            least["yz"][rows, z] = band.min(axis=1)
            most["yz"][rows, z] = band.max(axis=1)
            if self._sums:
                # 256 rows of at most 255 fit 16 bits.
                self._sums["xz"][z] += np.add.reduce(band, axis=0, dtype=np.uint16)
                self._sums["yz"][rows, z] = np.add.reduce(band, axis=1, dtype=np.uint32)
        self._seen[z] = True

    def _flush(self, rows: slice) -> None:
        self._sums["xy"][rows] += self._recent[rows]
        self._recent[rows] = 0

    def results(self) -> dict[str, NDArray[np.uint8]]:
        """Return each projection by name (``min_xy``, …): uint8, axes as `AXES` says.

        Means are rounded to the nearest. Planes that were never added count for nothing; their
        lines in xz and yz are 0.
        """
        import numpy as np

        found: dict[str, NDArray[np.uint8]] = {}
        for axes in AXES:
            found[f"min_{axes}"] = self._least[axes]
            found[f"max_{axes}"] = self._most[axes]
        planes = max(1, int(self._seen.sum()))
        count = {"xy": planes, "xz": self._height, "yz": self._width}
        for rows in self._bands if self._sums else ():
            self._flush(rows)
        for axes, sums in self._sums.items():
            found[f"mean_{axes}"] = _rounded(sums, count[axes])
        missing = np.flatnonzero(~self._seen)
        for name, image in found.items():
            if name.endswith("xz"):
                image[missing] = 0
            elif name.endswith("yz"):
                image[:, missing] = 0
        return found


def _rounded(sums: NDArray[np.uint32], count: int) -> NDArray[np.uint8]:
    """Divide and round to the nearest, in bands: the picture is never held as floats."""
    import numpy as np

    mean = np.empty(sums.shape, np.uint8)
    for top in range(0, len(sums), _BAND_ROWS):
        rows = slice(top, top + _BAND_ROWS)
        np.rint(sums[rows] / np.float32(count), out=mean[rows], casting="unsafe")
    return mean
