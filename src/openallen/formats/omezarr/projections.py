"""Projections of a stack, computed plane by plane: min, max and mean along each axis."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.formats.parallel import Helpers, cores, ordered_map

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["AXES", "Projections"]

AXES: Final = {"xy": "yx", "xz": "zx", "yz": "yz"}
"""Names of the projections, with their two axes as stored."""

# Bands are few: each step of numpy lets go of the interpreter lock, which many threads wait for.
_BAND_ROWS: Final = 1024
_ROUNDED_ROWS: Final = 256
_ROUNDING: Final = 8  # threads, as a band takes 16 bytes a pixel
_SUMMED: Final = 257  # the sum of 257 values of at most 255 fits 16 bits

Line = tuple["NDArray[np.uint8]", "NDArray[np.uint8]", "NDArray[np.uint32] | None"]


class Projections:
    """Accumulates planes in any order, from many threads.

    The image is divided into bands with a lock each, and threads start at different bands, so
    memory does not grow with the number of threads.

    Parameters
    ----------
    planes, height_px, width_px
        Size of the stack.
    mean
        Whether to compute means too.
    helpers
        Threads that take bands of a plane.
    """

    def __init__(
        self,
        planes: int,
        height_px: int,
        width_px: int,
        *,
        mean: bool = True,
        helpers: Helpers | None = None,
    ) -> None:
        import numpy as np

        self._helpers = helpers or Helpers(0)
        self._seen = np.zeros(planes, np.bool_)
        sizes = {"xy": (height_px, width_px), "xz": (planes, width_px), "yz": (height_px, planes)}
        self._least = {axes: np.full(size, 255, np.uint8) for axes, size in sizes.items()}
        self._most = {axes: np.zeros(size, np.uint8) for axes, size in sizes.items()}
        self._sums = (
            {axes: np.zeros(size, np.uint32) for axes, size in sizes.items()} if mean else {}
        )
        # 16-bit sums move half the memory: planes are added there, and flushed to 32 bits at times.
        self._recent = np.zeros(sizes["xy"] if mean else (0, 0), np.uint16)
        self._height, self._width = height_px, width_px
        tops = range(0, height_px, _BAND_ROWS)
        self._bands = [slice(top, min(top + _BAND_ROWS, height_px)) for top in tops]
        self._locks = [threading.Lock() for _ in self._bands]
        self._added = [0] * len(self._bands)

    def add(self, z: int, plane: NDArray[np.uint8]) -> None:
        """Add one plane: uint8, shape (y, x)."""
        import numpy as np

        count = len(self._bands)
        order = [(z + step) % count for step in range(count)]
        for _ in self._helpers.map(lambda index: self._add_xy(index, plane), order):
            pass
        # Row z of xz and column z of yz belong to this plane only: no lock, and no bands either
        # where nobody helps.
        parts = self._bands if self._helpers.threads else [slice(0, self._height)]
        lines = self._helpers.map(lambda rows: self._add_yz(z, rows, plane), parts)
        for least, most, total in lines:
            np.minimum(self._least["xz"][z], least, out=self._least["xz"][z])
            np.maximum(self._most["xz"][z], most, out=self._most["xz"][z])
            if total is not None:
                self._sums["xz"][z] += total
        self._seen[z] = True

    def _add_xy(self, index: int, plane: NDArray[np.uint8]) -> None:
        import numpy as np

        rows = self._bands[index]
        band, least, most = plane[rows], self._least["xy"][rows], self._most["xy"][rows]
        with self._locks[index]:
            np.minimum(least, band, out=least)
            np.maximum(most, band, out=most)
            if self._sums:
                self._recent[rows] += band
                self._added[index] += 1
                if self._added[index] % _SUMMED == 0:
                    self._flush(rows)

    def _add_yz(self, z: int, rows: slice, plane: NDArray[np.uint8]) -> Line:
        """Add rows to yz, and return what they add to the plane's row of xz."""
        import numpy as np

        band = plane[rows]
        self._least["yz"][rows, z] = band.min(axis=1)
        self._most["yz"][rows, z] = band.max(axis=1)
        total = None
        if self._sums:
            self._sums["yz"][rows, z] = np.add.reduce(band, axis=1, dtype=np.uint32)
            total = _summed(band)
        return band.min(axis=0), band.max(axis=0), total

    def _flush(self, rows: slice) -> None:
        self._sums["xy"][rows] += self._recent[rows]
        self._recent[rows] = 0

    def parts(self, planes: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Return what was gathered of some planes, for `merge`, by names of arrays.

        Parameters
        ----------
        planes
            The z of each plane that was added.
        """
        for rows in self._bands if self._sums else ():
            self._flush(rows)
        found: dict[str, NDArray[Any]] = {}
        for name, kept in (("least", self._least), ("most", self._most), ("sums", self._sums)):
            for axes, values in kept.items():
                part = {"xy": values, "xz": values[planes], "yz": values[:, planes]}
                found[f"{name}_{axes}"] = part[axes]
        return found

    def merge(self, planes: Sequence[int], parts: Mapping[str, NDArray[Any]]) -> None:
        """Add what was gathered elsewhere; the same result as adding its planes here.

        Parameters
        ----------
        planes
            The z of each plane.
        parts
            As `parts` returned them.
        """
        import numpy as np

        for name, kept, add in (
            ("least", self._least, np.minimum),
            ("most", self._most, np.maximum),
            ("sums", self._sums, np.add),
        ):
            for axes, values in kept.items():
                part = parts[f"{name}_{axes}"]
                if axes == "xy":
                    add(values, part, out=values)
                elif axes == "xz":
                    values[planes] = part
                else:
                    values[:, planes] = part
        self._seen[planes] = True

    def results(self) -> dict[str, NDArray[np.uint8]]:
        """Return the projections by name (``min_xy``, …): uint8, with the axes in `AXES`.

        Means are rounded to nearest. Planes that were never added are ignored; their rows in xz
        and columns in yz are 0.
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


def _summed(band: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return the sum of the rows, in 16 bits as far as these go: half the time."""
    import numpy as np

    height, width = band.shape
    whole = height - height % _SUMMED
    blocks = band[:whole].reshape(-1, _SUMMED, width)
    sums = np.add.reduce(blocks, axis=1, dtype=np.uint16)
    total: NDArray[np.uint32] = np.add.reduce(sums, axis=0, dtype=np.uint32)
    total += np.add.reduce(band[whole:], axis=0, dtype=np.uint16)
    return total


def _rounded(sums: NDArray[np.uint32], count: int) -> NDArray[np.uint8]:
    """Divide and round to nearest, in bands: the whole image is never held as floats."""
    import numpy as np

    mean = np.empty(sums.shape, np.uint8)

    def band(top: int) -> None:
        rows = slice(top, top + _ROUNDED_ROWS)
        np.rint(sums[rows] / np.float32(count), out=mean[rows], casting="unsafe")

    tops = range(0, len(sums), _ROUNDED_ROWS)
    for _ in ordered_map(band, tops, workers=min(cores(), _ROUNDING)):
        pass
    return mean
