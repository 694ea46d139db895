"""Volumes and meshes by the path of their file, whatever they are called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from openallen.errors import NotFoundError
from openallen.formats.obj import Mesh, read_obj
from openallen.sources.atlases.atlas import lone_volume
from openallen.sources.atlases.frames import label
from openallen.sources.atlases.volume_files import read_volume_file, volume_stem

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["open_mesh", "open_volume"]


def open_volume(path: Path | str) -> xr.DataArray:
    """Open one volume by the suffix of its file, in any case.

    ``.nrrd`` and ``.nhdr`` (NRRD), ``.mha`` and ``.mhd`` (MetaImage), ``.nii`` and ``.nii.gz``
    (NIfTI), and the zips and masks that are called as the Allen Institute calls them.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    DataArray
        ``AP`` x ``DV`` x ``ML``, coordinates in µm of the middle of each voxel from the corner of
        the volume; the type is the file's own. A file that says where its axes point to is turned
        so (``attrs["orientation"]`` is ``PIR``); one that does not, as the Allen Institute's,
        is in that order. ``attrs["origin_um"]`` is where the file puts its first voxel.

    Raises
    ------
    UsageError
        If the suffix is none of a volume.
    NotFoundError, StoreError
        If there is no such file, or it cannot be read.
    IntegrityError
        If it is damaged, has not three axes, or they lie obliquely.
    MissingExtraError
        Without the extra ``atlas``.
    """
    place = Path(path)
    if not place.exists():
        raise NotFoundError("no such file", address=str(place))
    known = lone_volume(place)
    if known is not None:
        return known
    values, spacing, about = read_volume_file(place)
    return label(values, spacing, name=volume_stem(place), attrs=about, where=str(place))


def open_mesh(path: Path | str) -> Mesh:
    """Open a mesh (``.obj``); see `openallen.formats.obj.read_obj`.

    Raises
    ------
    NotFoundError, StoreError
        If there is no such file, or it cannot be read.
    IntegrityError
        If it is not a whole OBJ file.
    """
    return read_obj(Path(path))
