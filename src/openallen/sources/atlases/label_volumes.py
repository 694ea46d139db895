"""Volumes of labels: made coarser without mixing labels, and painted in colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import UsageError
from openallen.sources.atlases.frames import AXES, spacing_of

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["coarser", "colour_table", "painted", "slice_at"]

_WAYS: Final = ("nearest", "majority", "corners")
_GREY: Final = 0xAA
_PIECE_VALUES: Final = 4_000_000
"""Voxels whose labels are counted at a time."""
_NEAR_ZERO: Final = 1e-9


def coarser(
    values: np.ndarray[Any, Any],
    spacing_um: Sequence[float],
    target_um: Sequence[float],
    how: str = "nearest",
) -> tuple[np.ndarray[Any, Any], tuple[float, ...]]:
    """Return labels on coarser voxels, and their size.

    The corners of both volumes agree; the last voxels reach beyond the old ones where sizes do not
    divide. Parameters are those of `openallen.sources.atlases.reference_space.ReferenceSpace`.

    Raises
    ------
    UsageError
        As told there.
    """
    if how not in _WAYS:
        raise UsageError(f"no way of downsampling '{how}'", why="ways: " + ", ".join(_WAYS))
    if len(target_um) != values.ndim or not all(math.isfinite(t) and t > 0 for t in target_um):
        raise UsageError("one voxel size, or one for each axis", why=str(tuple(target_um))[:60])
    factors = [t / s for t, s in zip(target_um, spacing_um, strict=True)]
    if how != "corners" and any(factor < 1 - _NEAR_ZERO for factor in factors):
        raise UsageError(
            "the new voxels are smaller than the old ones",
            why=f"{tuple(target_um)} µm, and {tuple(spacing_um)} µm now",
        )
    if how == "majority":
        return _majority(values, factors), tuple(target_um)
    find = _corners if how == "corners" else _middles
    found = values
    for axis, factor in enumerate(factors):
        found = found.take(find(values.shape[axis], factor), axis=axis)
    return found, tuple(target_um)


def _middles(size: int, factor: float) -> np.ndarray[Any, Any]:
    """Return, for each new voxel along an axis, the old one its middle lies in."""
    import numpy as np

    count = max(1, math.ceil(size / factor - _NEAR_ZERO))
    at = np.floor((np.arange(count) + 0.5) * factor).astype(np.intp)
    found: np.ndarray[Any, Any] = np.minimum(at, size - 1)
    return found


def _corners(size: int, factor: float) -> np.ndarray[Any, Any]:
    """Return the same for first and last voxels that lie on each other, as AllenSDK has it."""
    import numpy as np

    count = round(size / factor)
    if count < 1:
        raise UsageError("no voxel is left", why=f"{size} voxels, {factor:g} times as large")
    step = (size - 1) / (count - 1) if count > 1 else 0.0
    found: np.ndarray[Any, Any] = np.floor(np.arange(count) * step + 0.5).astype(np.intp)
    return found


def _majority(values: np.ndarray[Any, Any], factors: Sequence[float]) -> np.ndarray[Any, Any]:
    import numpy as np

    whole = [round(factor) for factor in factors]
    if any(abs(factor - n) > 1e-6 for factor, n in zip(factors, whole, strict=True)):
        raise UsageError(
            "the majority needs whole multiples of the voxel size",
            why="factors " + ", ".join(f"{factor:g}" for factor in factors),
            hint="how='nearest'",
        )
    ids, codes = np.unique(values, return_inverse=True)
    codes = codes.reshape(values.shape).astype(np.int32)
    shape = tuple(-(-size // n) for size, n in zip(values.shape, whole, strict=True))
    made = np.empty(shape, np.int32)
    slab = max(1, _PIECE_VALUES // max(1, math.prod(values.shape[1:]) * whole[0]))
    for begin in range(0, shape[0], slab):
        part = codes[begin * whole[0] : (begin + slab) * whole[0]]
        made[begin : begin + slab] = _modes(part, whole)
    found: np.ndarray[Any, Any] = ids[made]
    return found


def _modes(codes: np.ndarray[Any, Any], whole: Sequence[int]) -> np.ndarray[Any, Any]:
    """Return the code that most voxels of each block have, of several the lowest."""
    import numpy as np

    short = [-size % n for size, n in zip(codes.shape, whole, strict=True)]
    full = np.pad(codes, [(0, more) for more in short], constant_values=-1)
    split = [part for size, n in zip(full.shape, whole, strict=True) for part in (size // n, n)]
    blocks = full.reshape(split).transpose(0, 2, 4, 1, 3, 5)
    shape = blocks.shape[:3]
    rows = np.sort(blocks.reshape(math.prod(shape), -1), axis=1)
    best, most = rows[:, 0].copy(), np.zeros(len(rows), np.int64)
    run = np.zeros(len(rows), np.int64)
    for at in range(rows.shape[1]):
        same = rows[:, at] == rows[:, at - 1] if at else np.zeros(len(rows), bool)
        run = np.where(same, run + 1, 1)
        better = (run > most) & (rows[:, at] >= 0)  # -1: beyond the volume
        best[better], most[better] = rows[better, at], run[better]
    return best.reshape(shape)


def slice_at(volume: xr.DataArray, axis: str | int, position_um: float) -> np.ndarray[Any, Any]:
    """Return the slice of a volume across an axis, at a place in µm from the corner of the whole.

    Raises
    ------
    UsageError
        If there is no such axis, or the place is outside.
    """
    name = AXES[axis] if isinstance(axis, int) and 0 <= axis < len(AXES) else str(axis).upper()
    if isinstance(axis, bool) or name not in AXES:
        raise UsageError(f"no axis {axis!r:.20}", why="axes: AP (0), DV (1), ML (2)", hint="'AP'")
    turned = volume.transpose(*AXES)
    at = AXES.index(name)
    step, size = spacing_of(turned)[at], turned.shape[at]
    first_um, is_turned = corner_of(turned, name, step)
    try:
        index = math.floor((float(position_um) - first_um) / step)
    except (TypeError, ValueError, OverflowError):  # no number, NaN, infinite
        index = -1
    if not 0 <= index < size:
        raise UsageError(
            "the slice is outside of the volume",
            why=f"{position_um} µm along {name}, which has {first_um:g} to "
            f"{first_um + size * step:g} µm",
        )
    index = size - 1 - index if is_turned else index
    found: np.ndarray[Any, Any] = turned.isel({name: index}).to_numpy()
    return found


def corner_of(volume: xr.DataArray, axis: str, step_um: float) -> tuple[float, bool]:
    """Return where a volume begins along an axis, in µm, and whether it is turned round.

    That is 0 of a whole volume; the coordinates say where a part of one lies.

    Parameters
    ----------
    volume
        The volume.
    axis
        ``AP``, ``DV`` or ``ML``.
    step_um
        Size of a voxel.
    """
    if axis not in volume.coords or not volume.sizes[axis]:
        return 0.0, False
    ends = float(volume[axis][0]), float(volume[axis][-1])
    return min(ends) - step_um / 2, ends[0] > ends[1]


def colour_table(colours: Mapping[int, Any]) -> dict[int, tuple[int, ...]]:
    """Return red, green and blue by id, from six hex digits or three numbers; 0 is black.

    Raises
    ------
    UsageError
        If a colour is neither.
    """
    found: dict[int, tuple[int, ...]] = {0: (0, 0, 0)}
    for number, told in colours.items():
        parts: Any = told
        if isinstance(told, str):
            parts = [told[at : at + 2] for at in (0, 2, 4)]
        try:
            rgb = tuple(int(p, 16) if isinstance(p, str) else int(p) for p in parts)
        except (TypeError, ValueError):
            rgb = ()
        if len(rgb) != 3 or not all(0 <= part <= 255 for part in rgb):
            raise UsageError(f"no colour of {number}", why=f"{told!r:.40}", hint="(8, 133, 140)")
        found[int(number)] = rgb
    return found


def painted(
    labels: np.ndarray[Any, Any], colours: Mapping[int, tuple[int, ...]]
) -> np.ndarray[Any, Any]:
    """Return an image of labels: uint8, red, green and blue along a new last axis.

    Parameters
    ----------
    labels
        Whole numbers.
    colours
        By label; what is not in it becomes grey.
    """
    import numpy as np

    ids, where = np.unique(labels, return_inverse=True)
    table = np.array([colours.get(int(i), (_GREY,) * 3) for i in ids], np.uint8)
    found: np.ndarray[Any, Any] = table[where.reshape(labels.shape)]
    return found
