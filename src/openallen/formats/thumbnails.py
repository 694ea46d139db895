"""Small pictures for the cards that objects show in a notebook."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

from openallen.formats.png import gray_png

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["gray_thumbnail"]

_SIDE_PX: Final = 160


def gray_thumbnail(image: NDArray[Any], side_px: int = _SIDE_PX) -> str:
    """Return a small gray picture of an image as a ``data:`` URI, its brightest percent cut off.

    Parameters
    ----------
    image
        The image, shape (y, x); NaN is black.
    side_px
        The longest side of the picture.

    Returns
    -------
    str
        Empty for an image without pixels.
    """
    import numpy as np

    if not image.size:
        return ""
    step = max(1, -(-max(image.shape) // side_px))
    small = image[::step, ::step].astype("float64")
    if not np.isfinite(small).any():
        return ""
    low, high = np.nanpercentile(small, [1, 99])
    scaled = np.clip((small - low) / max(high - low, 1e-12), 0, 1) * 255
    rows = [row.tobytes() for row in np.nan_to_num(scaled).astype(np.uint8)]
    return "data:image/png;base64," + base64.b64encode(gray_png(rows)).decode("ascii")
