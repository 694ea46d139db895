"""Where the axes of a volume point to, and how long its voxels are, whatever the file says it in.

Volumes are handed out as AP x DV x ML: axes that point to posterior, inferior, right (PIR). A file
that says where its own axes point to is turned so; one that does not is taken to be in that order
already, as the Allen Institute's are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Frame", "arranged", "unit_um"]

_UNITS_UM: Final = {
    word: factor
    for factor, words in (
        (1e-3, "nm nanometer nanometers nanometre nanometres"),
        (1.0, "um µm μm micron microns micrometer micrometers micrometre micrometres"),
        (1e3, "mm millimeter millimeters millimetre millimetres"),
        (1e4, "cm centimeter centimeters centimetre centimetres"),
        (1e6, "m meter meters metre metres"),
    )
    for word in words.split()
}
_TARGET: Final = ((1, -1), (2, -1), (0, 1))
"""Posterior, inferior, right: the axis of right, anterior, superior it lies along, and its sign."""
_OBLIQUE: Final = 0.02
"""Share of an axis that may lie along another one: about a degree, and rounding."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What a file says of the place of its voxels.

    Parameters
    ----------
    spacing_um
        Size of a voxel along each axis of the file, in µm.
    directions
        Where each axis points to, as components along right, anterior, superior; None if the file
        does not say: its axes are AP, DV, ML then.
    origin_um
        Middle of the first voxel, along right, anterior, superior (AP, DV, ML without directions).
    """

    spacing_um: tuple[float, ...]
    directions: tuple[tuple[float, ...], ...] | None = None
    origin_um: tuple[float, ...] | None = None


def unit_um(word: str, name: str = "") -> float:
    """Return how many µm a unit of length is.

    Raises
    ------
    CorruptError
        If it is not a unit of length.
    """
    found = _UNITS_UM.get(word.strip().strip('"').casefold())
    if found is None:
        raise CorruptError("not a unit of length", address=name, why=repr(word)[:40])
    return found


def arranged(
    values: np.ndarray[Any, Any], frame: Frame, name: str = ""
) -> tuple[np.ndarray[Any, Any], tuple[float, ...], dict[str, Any]]:
    """Return a volume as AP x DV x ML, the size of its voxels in µm, and what else is known.

    Parameters
    ----------
    values
        In the order of the file's axes.
    frame
        What the file says of them.
    name
        What the volume is called in messages.

    Returns
    -------
    array, tuple of float, dict
        A view, not a copy. The dict has ``orientation`` (``PIR``) if the file said where its axes
        point to, and ``origin_um`` (the middle of the first voxel along AP, DV, ML, as the file
        has it) if that is not zero.

    Raises
    ------
    CorruptError
        If the volume has not three axes, or they do not lie along those of the brain.
    """
    if values.ndim != 3 or len(frame.spacing_um) != 3:
        raise CorruptError("a volume has three axes", address=name, why=f"{values.ndim} here")
    about: dict[str, Any] = {}
    origin = list(frame.origin_um or ())
    if frame.directions is None:
        order, spacing = (0, 1, 2), tuple(frame.spacing_um)
    else:
        along = _along(frame.directions, name)
        order = (along[0][0], along[1][0], along[2][0])
        shape = values.shape
        if origin:
            origin = _first(origin, frame, along, shape)
        backwards = tuple(slice(None, None, -1 if back else None) for _, back in along)
        values = values.transpose(order)[backwards]
        spacing = tuple(frame.spacing_um[axis] for axis in order)
        about["orientation"] = "PIR"
    if len(origin) == 3 and all(map(math.isfinite, origin)) and any(origin):
        about["origin_um"] = [round(float(place), 4) for place in origin]
    return values, spacing, about


def _along(directions: Sequence[Sequence[float]], name: str) -> list[tuple[int, bool]]:
    """Return, for AP, DV and ML, the axis of the file that runs along it, and if backwards."""
    found: dict[int, tuple[int, bool]] = {}
    for axis, direction in enumerate(directions):
        length = math.hypot(*direction)
        if len(direction) != 3 or not math.isfinite(length) or length == 0:
            raise CorruptError("an axis without a direction", address=name, why=str(direction))
        shares = [abs(part) / length for part in direction]
        world = shares.index(max(shares))
        if sorted(shares)[1] > _OBLIQUE:
            raise CorruptError(
                "oblique volumes are not supported",
                address=name,
                why=f"axis {axis} points to ({', '.join(f'{part:g}' for part in direction)})"
                " along right, anterior, superior",
            )
        sign = next(sign for target, sign in _TARGET if target == world)
        found[world] = axis, direction[world] * sign < 0
    if len(found) != 3:
        raise CorruptError("two axes point the same way", address=name)
    return [found[world] for world, _ in _TARGET]


def _first(
    origin: Sequence[float],
    frame: Frame,
    along: Sequence[tuple[int, bool]],
    shape: Sequence[int],
) -> list[float]:
    """Return the middle of the first voxel along AP, DV, ML, once axes are turned."""
    places = []
    for (world, sign), (axis, backwards) in zip(_TARGET, along, strict=True):
        place = origin[world] * sign
        # What ran backwards begins with what was its last voxel.
        steps = (shape[axis] - 1) * frame.spacing_um[axis]
        places.append(place - steps if backwards else place)
    return places
