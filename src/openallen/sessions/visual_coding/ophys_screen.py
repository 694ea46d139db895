"""Which part of a stimulus of the Brain Observatory is on the screen, which it is curved for.

Images are drawn as on a sphere around the eye: a point of the flat image at some distance from the
middle of the screen is shown under the angle whose arc on the sphere is that distance. So the
corners of an image lie beyond the edges of the screen.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

__all__ = ["OFF_SCREEN", "SPARSE", "on_screen"]

SPARSE: Final = {
    "locally_sparse_noise": (16, 28),
    "locally_sparse_noise_4deg": (16, 28),
    "locally_sparse_noise_8deg": (8, 14),
}
"""Rows and columns of the images of locally sparse noise."""
OFF_SCREEN: Final = 64
"""The grey level that stands for a pixel that was not on the screen."""
_DISTANCE_CM: Final = 15.0
_SCREEN_CM: Final = (32.5, 51.0)
_SCREEN_PX: Final = (1200, 1920)
_DRAWN_PX: Final = (720, 1260)


@functools.lru_cache(maxsize=4)
def _points_on_screen() -> np.ndarray[Any, Any]:
    """Return for each point of the flat image whether it is on the screen, rows x columns."""
    import numpy as np

    along = [
        (np.arange(drawn) - drawn / 2) * cm / px
        for drawn, cm, px in zip(_DRAWN_PX, _SCREEN_CM, _SCREEN_PX, strict=True)
    ]
    y, x = np.meshgrid(*along, indexing="ij")
    arc = np.hypot(x, y)
    # Beyond a right angle nothing is in front of the eye.
    seen = np.minimum(arc / _DISTANCE_CM, np.pi / 2 - 1e-9)
    stretch = _DISTANCE_CM * np.tan(seen) / np.where(arc > 0, arc, 1.0)
    high, wide = (cm / 2 for cm in _SCREEN_CM)
    made = np.zeros(_DRAWN_PX, dtype=bool)
    made[(np.abs(y * stretch) <= high) & (np.abs(x * stretch) <= wide)] = True
    return made


def on_screen(rows: int, columns: int) -> np.ndarray[Any, Any]:
    """Return which pixels of an image are wholly on the screen, rows x columns.

    Parameters
    ----------
    rows, columns
        Size of the image, which divide 720 and 1260.
    """
    high, wide = _DRAWN_PX[0] // rows, _DRAWN_PX[1] // columns
    blocks = _points_on_screen().reshape(rows, high, columns, wide)
    found: np.ndarray[Any, Any] = blocks.min(axis=(1, 3))
    return found
