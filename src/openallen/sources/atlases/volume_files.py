"""Files of volumes by their suffix: NRRD, MetaImage, NIfTI; as arrays AP x DV x ML, in µm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import StoreError, UsageError
from openallen.formats import metaimage, nrrd
from openallen.formats.files import read_file
from openallen.formats.nrrd import beside
from openallen.formats.orientation import arranged

if TYPE_CHECKING:
    import numpy as np

__all__ = ["VOLUME_SUFFIXES", "read_volume_file", "volume_frame", "volume_stem", "volume_suffix"]

_HEAD_BYTES: Final = 1 << 16
VOLUME_SUFFIXES: Final = (".nrrd", ".nhdr", ".mha", ".mhd", ".nii.gz", ".nii")
"""How files that hold one volume are called, in any case."""


def volume_suffix(path: Path) -> str:
    """Return which of `VOLUME_SUFFIXES` a file's name ends in, in lower case; empty for others."""
    name = path.name.lower()
    return next((suffix for suffix in VOLUME_SUFFIXES if name.endswith(suffix)), "")


def volume_stem(path: Path) -> str:
    """Return the name of a file without the suffix of a volume."""
    return path.name[: len(path.name) - len(volume_suffix(path))] or path.name


def read_volume_file(
    path: Path,
) -> tuple[np.ndarray[Any, Any], tuple[float, ...], dict[str, Any]]:
    """Read a volume by the suffix of its file.

    Returns
    -------
    array, tuple of float, dict
        AP x DV x ML, the size of a voxel along each in µm, and what else the file says of its place
        (see `openallen.formats.orientation.arranged`).

    Raises
    ------
    UsageError
        If the suffix is none of `VOLUME_SUFFIXES`.
    NotFoundError, StoreError
        If there is no such file, or it cannot be read.
    IntegrityError
        If it is damaged, has not three axes, or they lie obliquely.
    MissingExtraError
        Without the extra ``atlas``.
    """
    suffix = volume_suffix(path)
    where = str(path)
    if not suffix:
        raise UsageError(
            "not the suffix of a volume",
            address=where,
            why="volumes: " + ", ".join(VOLUME_SUFFIXES),
        )
    data = read_file(path)
    if suffix in {".nrrd", ".nhdr"}:
        head, values = nrrd.read_nrrd(data, beside(path.parent), where)
        return arranged(values, nrrd.frame_of(head, where), where)
    if suffix in {".mha", ".mhd"}:
        header, stored = metaimage.read_metaimage(data, beside(path.parent), where)
        return arranged(stored.T, metaimage.frame_of(header, where), where)
    from openallen.formats.nifti import read_nifti

    told, found = read_nifti(data, where)
    return arranged(found, told.frame, where)


def volume_frame(path: Path) -> tuple[tuple[int, int, int], tuple[float, ...]]:
    """Return the shape of an NRRD volume and the size of its voxels in µm, from its header alone.

    Returns
    -------
    tuple of int, tuple of float
        Along AP, DV, ML.

    Raises
    ------
    StoreError
        If it cannot be read.
    IntegrityError
        If the header makes no sense.
    """
    import numpy as np

    where = str(path)
    try:
        with path.open("rb") as file:
            head = nrrd.parse_header(file.read(_HEAD_BYTES), where)
    except OSError as error:
        raise StoreError("cannot be read", address=where, why=error.strerror or "") from error
    nothing = np.broadcast_to(np.uint8(0), head.shape)  # takes no memory, and can be turned round
    turned, spacing, _ = arranged(nothing, nrrd.frame_of(head, where), where)
    return (turned.shape[0], turned.shape[1], turned.shape[2]), spacing
