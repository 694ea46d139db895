"""Slices as small pictures, for pages without script and for lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.formats.png import rgb_png

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["label_picture", "value_picture"]

_SIDE_PX: Final = 320
_MISSING: Final = (74, 84, 104)


def label_picture(places: NDArray[Any], colours: Sequence[tuple[int, int, int]]) -> bytes:
    """Return a slice of labels as a PNG, each structure in its colour.

    Parameters
    ----------
    places
        Shape (y, x): the place of each voxel's structure in `colours`.
    colours
        Red, green, blue of each structure, 0 to 255.
    """
    import numpy as np

    return _enlarged(np.array(colours, np.uint8)[places])


def value_picture(values: NDArray[Any]) -> bytes:
    """Return a slice of values as a PNG, gray from its least to its greatest; NaN is bluish.

    Parameters
    ----------
    values
        Shape (y, x).
    """
    import numpy as np

    numbers = values.astype(np.float64)
    known = np.isfinite(numbers)
    low, high = (numbers[known].min(), numbers[known].max()) if known.any() else (0.0, 1.0)
    scaled = np.where(known, (numbers - low) / max(high - low, 1e-30), 0) * 255
    gray = scaled.astype(np.uint8)
    picture = np.stack([gray, gray, gray], axis=-1)
    picture[~known] = _MISSING
    return _enlarged(picture)


def _enlarged(picture: NDArray[Any]) -> bytes:
    """Return a PNG whose voxels are as many whole pixels as makes it large enough to see."""
    times = max(1, _SIDE_PX // max(picture.shape[:2]))
    large = picture.repeat(times, axis=0).repeat(times, axis=1)
    return rgb_png([row.tobytes() for row in large])
