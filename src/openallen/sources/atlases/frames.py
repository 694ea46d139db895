"""Where voxels are: axis names, µm, and the way from one to the other.

Volumes of the Allen Institute run from the front to the back (``AP``), from above to below
(``DV``), and from left to right (``ML``; data sets cut sagittally run from right to left, and say
so). Voxel `i` of an axis covers ``i * spacing`` to ``(i + 1) * spacing`` µm from the volume's
corner; coordinates are of its middle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, UsageError, requiring

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["AXES", "agree", "index_of", "label", "oriented", "points_um", "spacing_of", "um_of"]

AXES: Final = ("AP", "DV", "ML")
"""Axis names, in the order of every volume handed out."""

_LONG: Final = {
    "AP": "anterior to posterior",
    "DV": "dorsal to ventral (superior to inferior)",
    "ML": "along the left-right axis",
}


def label(
    values: np.ndarray[Any, Any],
    spacing_um: Sequence[float],
    *,
    name: str,
    attrs: Mapping[str, Any],
    where: str = "",
) -> xr.DataArray:
    """Return values as a volume with labelled axes, in µm.

    Parameters
    ----------
    values
        ``AP`` x ``DV`` x ``ML``.
    spacing_um
        Size of a voxel along each, in µm.
    name
        What the values are.
    attrs
        What else is known; what is None is left out.
    where
        What the volume is called in messages.

    Raises
    ------
    CorruptError
        If it has not three axes, or a spacing makes no sense.
    MissingExtraError
        Without the extra ``atlas``.
    """
    import numpy as np

    with requiring("a labelled volume", "atlas"):
        import xarray as xr
    if values.ndim != 3 or len(spacing_um) != 3:
        raise CorruptError("a volume has three axes", address=where, why=f"{values.ndim} here")
    if not all(np.isfinite(step) and step > 0 for step in spacing_um):
        raise CorruptError("invalid spacing", address=where, why=str(spacing_um))
    coordinates = {
        axis: (axis, (np.arange(size) + 0.5) * step, {"units": "µm", "long_name": _LONG[axis]})
        for axis, size, step in zip(AXES, values.shape, spacing_um, strict=True)
    }
    known = {key: value for key, value in attrs.items() if value is not None}
    return xr.DataArray(
        values,
        dims=AXES,
        coords=coordinates,
        name=name,
        attrs={"spacing_um": [float(step) for step in spacing_um], **known},
    )


def spacing_of(volume: xr.DataArray) -> tuple[float, ...]:
    """Return the size of a voxel along each of the volume's own axes, in µm.

    Raises
    ------
    UsageError
        If it is not a labelled volume.
    """
    steps = volume.attrs.get("spacing_um")
    if steps is None or not set(AXES) <= set(volume.dims):
        raise UsageError("not a labelled volume", why=f"axes {', '.join(map(str, volume.dims))}")
    return tuple(float(steps[AXES.index(str(dim))]) for dim in volume.dims if dim in AXES)


def oriented(volume: xr.DataArray, orientation: str = "PIR") -> xr.DataArray:
    """Turn a volume round so that its axes point where they should.

    Only the left-right axis ever differs: ``PIL`` (from right to left) becomes ``PIR``. What does
    not say where it points to is given back as it is.
    """
    told = str(volume.attrs.get("orientation", orientation))
    if told == orientation or told[:2] != orientation[:2]:
        return volume
    turned = volume.isel(ML=slice(None, None, -1)).assign_coords(ML=volume["ML"])
    turned.attrs["orientation"] = orientation
    return turned


def agree(volume: xr.DataArray, other: xr.DataArray) -> bool:
    """Return whether two volumes cover the same space, to within two of their voxels."""
    one, two = spacing_of(volume.transpose(..., *AXES)), spacing_of(other.transpose(..., *AXES))
    return all(
        abs(volume.sizes[axis] * a - other.sizes[axis] * b) <= 2 * max(a, b)
        for axis, a, b in zip(AXES, one, two, strict=True)
    )


def points_um(points: Any) -> np.ndarray[Any, Any]:
    """Read points: AP, DV, ML in µm along the last axis.

    Raises
    ------
    UsageError
        If they are no numbers, or not three to a point.
    """
    import numpy as np

    try:
        found: np.ndarray[Any, Any] = np.asarray(points, float)
    except (TypeError, ValueError):
        raise UsageError("points are numbers", why=repr(points)[:60]) from None
    if found.shape[-1:] != (3,):
        raise UsageError("points have three coordinates", why=f"shape {found.shape}")
    return found


def index_of(points_um: Any, spacing_um: Sequence[float]) -> np.ndarray[Any, Any]:
    """Return the voxel each point lies in.

    Parameters
    ----------
    points_um
        AP, DV, ML from the corner of the volume, in µm, along the last axis.
    spacing_um
        Size of a voxel.

    Returns
    -------
    array
        Integers of the same shape; may lie outside any volume.
    """
    import numpy as np

    found: np.ndarray[Any, Any] = np.floor(
        np.asarray(points_um, float) / np.asarray(spacing_um, float)
    ).astype(np.int64)
    return found


def um_of(index: Any, spacing_um: Sequence[float]) -> np.ndarray[Any, Any]:
    """Return the middle of voxels in µm from the corner of the volume; AP, DV, ML last."""
    import numpy as np

    found: np.ndarray[Any, Any] = (np.asarray(index) + 0.5) * np.asarray(spacing_um, float)
    return found
