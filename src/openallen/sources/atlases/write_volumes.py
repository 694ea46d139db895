"""Labelled volumes written as NRRD or NIfTI, so that other tools put them in the same place."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.errors import UsageError
from openallen.formats.volume_bytes import to_nifti, to_nrrd
from openallen.sources.atlases.frames import AXES, spacing_of
from openallen.store.disk import write_whole

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["write_nifti", "write_nrrd"]


def write_nrrd(volume: xr.DataArray, path: Path | str) -> Path:
    """Write a labelled volume as NRRD.

    The axes keep their order, AP x DV x ML; the header says that they point to posterior,
    inferior and right (or left, for volumes that run from right to left), in µm, and where the
    first voxel lies (``attrs["origin_um"]``, else 0). Of a part of a volume, or one turned round,
    the coordinates say where it lies. Booleans become 0 and 1.

    Parameters
    ----------
    volume
        The volume.
    path
        Where to; must end in ``.nrrd``. A file that is there is replaced once the new one is whole.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UsageError
        If it is not a labelled volume of numbers, its voxels are not equally far apart, or the name
        ends in something else.
    StoreError, SpaceError
        If it cannot be written.
    MissingExtraError
        Without the extra ``atlas``.
    """
    place = _place(path, (".nrrd",))
    values, told = _told(volume)
    write_whole(place, to_nrrd(values, **told))
    return place


def write_nifti(volume: xr.DataArray, path: Path | str) -> Path:
    """Write a labelled volume as NIfTI, in mm; as `write_nrrd` does otherwise.

    Parameters
    ----------
    volume
        The volume.
    path
        Where to; ``.nii``, or ``.nii.gz`` for a compressed file.
    """
    place = _place(path, (".nii", ".nii.gz"))
    values, told = _told(volume)
    data = to_nifti(values, **told)
    # No time in the header: the same volume makes the same file.
    packed = gzip.compress(data, 6, mtime=0) if place.name.lower().endswith(".gz") else data
    write_whole(place, packed)
    return place


def _place(path: Path | str, endings: tuple[str, ...]) -> Path:
    place = Path(path)
    if not place.name.lower().endswith(endings):
        raise UsageError(
            f"the name of this file must end in {' or '.join(endings)}", address=str(place)
        )
    return place


def _told(volume: xr.DataArray) -> tuple[Any, dict[str, Any]]:
    """Return the values AP x DV x ML, and what the header says of them."""
    spacing_of(volume)  # refuses what is not labelled
    if volume.ndim != len(AXES):
        raise UsageError("one volume at a time is written", why=f"axes {volume.dims}")
    turned = volume.transpose(*AXES)
    origin = [float(place) for place in volume.attrs.get("origin_um", (0.0, 0.0, 0.0))]
    spacing = list(spacing_of(turned))
    for at, axis in enumerate(AXES):
        if axis not in turned.coords or not spacing[at] > 0:  # refused where it is written
            continue
        first, step = _along(turned, axis, spacing[at])
        if step < 0:  # the file has no such order: voxels stay where they are
            turned = turned.isel({axis: slice(None, None, -1)})
            first += step * (turned.sizes[axis] - 1)
        origin[at] += first - spacing[at] / 2
        spacing[at] = abs(step)
    return turned.to_numpy(), {
        "spacing_um": tuple(spacing),
        "orientation": str(volume.attrs.get("orientation", "PIR")),
        "origin_um": tuple(origin),
    }


def _along(volume: xr.DataArray, axis: str, spacing_um: float) -> tuple[float, float]:
    """Return the middle of the first voxel along an axis, and how far it is to the next, in µm."""
    import numpy as np

    places = volume[axis].to_numpy()
    if places.dtype.kind not in "iuf":
        raise UsageError(f"coordinates along {axis} are numbers, in µm", why=str(places.dtype))
    if len(places) < 2:
        return (float(places[0]) if len(places) else spacing_um / 2), spacing_um
    first, step = float(places[0]), float(places[-1] - places[0]) / (len(places) - 1)
    even = first + step * np.arange(len(places))
    if not step or not np.allclose(places, even, rtol=0, atol=abs(step) / 1000):
        raise UsageError(
            f"voxels are not equally far apart along {axis}",
            why="files of volumes have one distance for each axis",
        )
    near = abs(abs(step) - spacing_um) <= spacing_um / 1e6
    return first, float(np.copysign(spacing_um, step)) if near else step
