"""Volumes as files that other tools read: NRRD and NIfTI, with the directions of their axes."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import UsageError, requiring

if TYPE_CHECKING:
    import numpy as np

__all__ = ["to_nifti", "to_nrrd"]

_LETTERS: Final = {
    letter: tuple(sign if at == axis else 0 for at in range(3))
    for axis, pair in enumerate(("RL", "AP", "SI"))
    for letter, sign in zip(pair, (1, -1), strict=True)
}
"""Directions by letter, along right, anterior, superior."""
_MOST_NIFTI: Final = 32767
"""Voxels along an axis of NIfTI: its sizes are numbers of 16 bits."""
_UM_PER_MM: Final = 1000.0


def _directions(orientation: str) -> list[tuple[int, ...]]:
    """Return where axes point to, along right, anterior, superior.

    Raises
    ------
    UsageError
        If three letters do not name three axes.
    """
    found = [_LETTERS[letter] for letter in orientation if letter in _LETTERS]
    along = {[abs(part) for part in row].index(1) for row in found}
    if len(orientation) != 3 or len(along) != 3:
        raise UsageError("no orientation", why=f"{orientation!r:.20}", hint="PIR, or PIL")
    return found


def _plain(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return values of a type that both formats have; little-endian.

    Raises
    ------
    UsageError
        If they are no numbers, or there are not three axes.
    """
    import numpy as np

    if values.ndim != 3 or 0 in values.shape:
        raise UsageError("a volume has three axes", why=f"shape {values.shape}")
    kind = values.dtype
    if kind.kind == "b":
        return values.astype(np.uint8)
    if kind == np.float16:
        return values.astype("<f4")
    if kind.kind not in "iuf" or kind.itemsize > 8:
        raise UsageError("volumes hold numbers", why=f"these are {kind}")
    return values.astype(kind.newbyteorder("<"), copy=False)


def _checked(spacing_um: Sequence[float], origin_um: Sequence[float]) -> None:
    if len(spacing_um) != 3 or not all(math.isfinite(s) and s > 0 for s in spacing_um):
        raise UsageError("invalid spacing", why=str(list(spacing_um))[:60])
    if len(origin_um) != 3 or not all(math.isfinite(place) for place in origin_um):
        raise UsageError("invalid origin", why=str(list(origin_um))[:60])


def to_nrrd(
    values: np.ndarray[Any, Any],
    spacing_um: Sequence[float],
    *,
    orientation: str = "PIR",
    origin_um: Sequence[float] = (0.0, 0.0, 0.0),
) -> bytes:
    """Return a volume as an NRRD file, compressed.

    Parameters
    ----------
    values
        The voxels; whole numbers, booleans or floats.
    spacing_um
        Size of a voxel along each axis, in µm.
    orientation
        Where the axes point to: ``PIR`` is posterior, inferior, right.
    origin_um
        Middle of the first voxel along the axes themselves.

    Raises
    ------
    UsageError
        If a number makes no sense, or the values are of no type that NRRD has.
    MissingExtraError
        Without the extra ``atlas``.
    """
    with requiring("writing NRRD", "atlas"):
        import nrrd
    _checked(spacing_um, origin_um)
    plain = _plain(values)
    # The space that ITK and Slicer work in: left, posterior, superior.
    rows = [[-r, -a, s] for r, a, s in _directions(orientation)]
    directions = [[part * step for part in row] for row, step in zip(rows, spacing_um, strict=True)]
    origin = [
        sum(row[at] * place for row, place in zip(rows, origin_um, strict=True)) for at in range(3)
    ]
    header = {
        "space": "left-posterior-superior",
        "space directions": [[float(part) + 0.0 for part in row] for row in directions],
        "space origin": [float(part) + 0.0 for part in origin],
        "space units": ["um"] * 3,
        "kinds": ["domain"] * 3,
        "encoding": "gzip",
        "endian": "little",
    }
    out = io.BytesIO()
    nrrd.write(out, plain, header, index_order="F", compression_level=6)
    return out.getvalue()


def to_nifti(
    values: np.ndarray[Any, Any],
    spacing_um: Sequence[float],
    *,
    orientation: str = "PIR",
    origin_um: Sequence[float] = (0.0, 0.0, 0.0),
) -> bytes:
    """Return a volume as a NIfTI-1 file (not compressed), in mm: what readers of NIfTI expect.

    Parameters and errors are those of `to_nrrd`; also refused is an axis of more than 32,767
    voxels.
    """
    with requiring("writing NIfTI", "atlas"):
        import nibabel
    import numpy as np

    _checked(spacing_um, origin_um)
    plain = _plain(values)
    if max(plain.shape) > _MOST_NIFTI:
        raise UsageError("too many voxels for NIfTI", why=f"shape {plain.shape}", hint="write_nrrd")
    axes = np.array(_directions(orientation), float)
    affine = np.eye(4)
    affine[:3, :3] = (axes * np.asarray(spacing_um, float)[:, None]).T / _UM_PER_MM
    affine[:3, 3] = axes.T @ np.asarray(origin_um, float) / _UM_PER_MM
    made: Any = nibabel  # has types for some of this only
    image = made.Nifti1Image(plain, affine, dtype=plain.dtype)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm")
    found: bytes = image.to_bytes()
    return found
