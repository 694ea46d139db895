"""Single pictures, opened as arrays: stacks of one plane."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from openallen.formats.overview import is_coloured, reduced
from openallen.visuals import Channel, PlaneKey, StackVisual, Visual

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["visuals_of_picture"]

_LEAST_PX: Final = 2
_COLOURS: Final = frozenset({3, 4})


def visuals_of_picture(thing: Any, what: str) -> tuple[Visual, ...]:
    """Return the view of an array that is a picture; none of anything else.

    Parameters
    ----------
    thing
        An array of shape (y, x), or (y, x, 3 or 4) in colour.
    what
        What names it.
    """
    if type(thing).__module__ != "numpy" or not hasattr(thing, "ndim"):
        return ()
    colour = thing.ndim == 3 and thing.shape[2] in _COLOURS and thing.dtype.name == "uint8"
    flat = thing.ndim == 2 and thing.dtype.kind in "uifb"
    if not (colour or flat) or min(thing.shape[:2]) < _LEAST_PX:
        return ()
    pixels = thing[..., :3] if colour else thing
    if colour and not is_coloured(pixels):
        pixels, colour = pixels[..., 0], False
    return (_visual(pixels, what, colour=colour),)


def _visual(pixels: NDArray[Any], what: str, *, colour: bool) -> StackVisual:
    import numpy as np

    byte = pixels.dtype == np.uint8
    told = hashlib.sha256(np.ascontiguousarray(pixels).data, usedforsecurity=False).hexdigest()
    plane = PlaneKey(label="image", z_um=None, key=f"0-{told[:16]}")

    def region(_: int, __: int, level: int, box: tuple[int, int, int, int]) -> NDArray[Any]:
        top, left, bottom, right = (side << level for side in box)
        part = pixels[top:bottom, left:right]
        return reduced(part, 1 << level) if byte else part[:: 1 << level, :: 1 << level]

    return StackVisual(
        name="image",
        title="Image",
        address=what,
        width_px=pixels.shape[1],
        height_px=pixels.shape[0],
        pixel_um=None,
        planes=lambda: [plane],
        region=region,
        levels=32,
        colour=colour,
        channels=() if byte else (Channel(name="values", window=_range(pixels)),),
    )


def _range(pixels: NDArray[Any]) -> tuple[float, float]:
    import numpy as np

    known = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    return (low, high) if high > low else (low, low + 1)
