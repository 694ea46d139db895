"""NIfTI: volumes as tools of human imaging write them, ``.nii`` or ``.nii.gz``.

The header is read by nibabel; the data here, so that no header can make us hold more than it says.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, MissingExtraError, TruncatedError, requiring
from openallen.formats.inflate import fits, inflate, inflated
from openallen.formats.orientation import Frame

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Header", "parse_header", "read_nifti"]

_GZIP: Final = b"\x1f\x8b"
_HEADS: Final = {348: "Nifti1Header", 540: "Nifti2Header"}
_HEAD_BYTES: Final = 540
_MOST_BYTES: Final = 16 << 30
_MOST_OFFSET_BYTES: Final = 64 << 20
_UNITS_UM: Final = {0: 1e3, 1: 1e6, 2: 1e3, 3: 1.0}
"""Of ``xyzt_units``: none (the format's own is the millimetre), metre, millimetre, micrometre."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a header says of a volume.

    Parameters
    ----------
    shape
        Sizes in the header's own order: the first axis varies fastest; single last ones left out.
    dtype
        Type of a voxel, with its byte order.
    scale
        Factor and summand of the values, None if they are as stored.
    frame
        Size of the voxels in µm, and where the axes point to if the header says that.
    offset_bytes
        Where the data begin.
    """

    shape: tuple[int, ...]
    dtype: str
    scale: tuple[float, float] | None
    frame: Frame
    offset_bytes: int

    @property
    def data_bytes(self) -> int:
        """Size of the data, decompressed."""
        return math.prod(self.shape) * int(self.dtype[2:])


def parse_header(head: bytes, name: str = "") -> Header:
    """Read a header.

    Parameters
    ----------
    head
        The first 540 bytes of the file, decompressed, or more.
    name
        What the volume is called in messages.

    Raises
    ------
    CorruptError
        If a field makes no sense, with the field.
    TruncatedError
        If it is cut off.
    MissingExtraError
        Without the extra ``atlas``.
    """
    with requiring("reading NIfTI", "atlas"):
        import nibabel
    if len(head) < 348:
        raise TruncatedError("truncated header", address=name, why=f"{len(head)} bytes")
    sizes = {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")} & _HEADS.keys()
    if not sizes:
        raise CorruptError("not a NIfTI file", address=name, why=repr(head[:20]))
    if len(head) < max(sizes):
        raise TruncatedError("truncated header", address=name, why=f"{len(head)} bytes")
    try:
        header = getattr(nibabel, _HEADS[sizes.pop()]).from_fileobj(io.BytesIO(head), check=False)
        return _header(header, name)
    except (CorruptError, MissingExtraError):
        raise
    except Exception as error:  # nibabel raises its own kinds, and NumPy's
        raise CorruptError("invalid NIfTI header", address=name, why=str(error)[:200]) from error


def _header(header: Any, name: str) -> Header:
    if bytes(header["magic"])[:3] not in {b"n+1", b"n+2"}:
        raise CorruptError("unsupported volume", address=name, why="the data are in another file")
    shape = tuple(int(size) for size in header["dim"][1 : 1 + int(header["dim"][0])])
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if not 1 <= len(shape) <= 7 or any(size <= 0 for size in shape):
        raise CorruptError("invalid sizes", address=name, why=str(shape))
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise CorruptError("unsupported volume", address=name, why=f"type {dtype}")
    made = Header(
        shape=shape,
        dtype=("<" if header.endianness == "<" else ">") + dtype.str[1:],
        scale=_scale(float(header["scl_slope"]), float(header["scl_inter"]), name),
        frame=_frame(header, name),
        offset_bytes=int(header["vox_offset"]),
    )
    if not 348 <= made.offset_bytes <= _MOST_OFFSET_BYTES:
        raise CorruptError("invalid data offset", address=name, why=f"offset {made.offset_bytes}")
    if made.data_bytes > _MOST_BYTES:
        raise CorruptError("the volume is too large", address=name, why=str(shape))
    return made


def _scale(slope: float, summand: float, name: str) -> tuple[float, float] | None:
    if not math.isfinite(slope) or slope == 0:
        return None
    if not math.isfinite(summand):
        raise CorruptError("invalid scale of the values", address=name, why=f"{slope}, {summand}")
    return None if (slope, summand) == (1.0, 0.0) else (slope, summand)


def _frame(header: Any, name: str) -> Frame:
    import numpy as np

    unit = int(header["xyzt_units"]) & 7
    if unit not in _UNITS_UM:
        raise CorruptError("not a unit of length", address=name, why=f"xyzt_units {unit}")
    um = _UNITS_UM[unit]
    if not (int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0):
        steps = tuple(_digits(abs(float(step)) * um) for step in header["pixdim"][1:4])
        if not all(step and math.isfinite(step) for step in steps):
            raise CorruptError("voxels of no size", address=name, why=str(steps))
        return Frame(spacing_um=steps)
    affine = np.asarray(header.get_best_affine(), float)
    if not np.isfinite(affine).all():
        raise CorruptError("invalid affine", address=name)
    columns = affine[:3, :3].T
    return Frame(
        spacing_um=tuple(_digits(float(np.linalg.norm(column)) * um) for column in columns),
        directions=tuple(tuple(float(part) for part in column) for column in columns),
        origin_um=tuple(float(part) * um for part in affine[:3, 3]),
    )


def _digits(step_um: float) -> float:
    """Return a step without the noise of the single precision it is stored in."""
    return float(f"{step_um:.6g}")


def read_nifti(data: bytes, name: str = "") -> tuple[Header, np.ndarray[Any, Any]]:
    """Read a volume.

    Parameters
    ----------
    data
        Bytes of the ``.nii`` or ``.nii.gz``.
    name
        What the volume is called in messages.

    Returns
    -------
    Header, array
        The array has the header's ``shape``, its first axis varying fastest (Fortran order), in the
        byte order of this machine; float64 where the header scales the values. It may be read-only.

    Raises
    ------
    CorruptError
        If the header makes no sense, or there are more data than it says.
    TruncatedError
        If there are fewer.
    """
    import numpy as np

    if data.startswith(_GZIP):
        head = b""
        for piece in inflated(data, name):
            head += piece
            if len(head) >= _HEAD_BYTES:
                break
        header = parse_header(head[:_HEAD_BYTES], name)
        raw = inflate(data, header.offset_bytes + header.data_bytes, name)
    else:
        header = parse_header(data[:_HEAD_BYTES], name)
        raw = memoryview(data)
        fits(len(raw), header.offset_bytes + header.data_bytes, name)
    found = np.frombuffer(raw[header.offset_bytes :], header.dtype)
    found = found.reshape(header.shape, order="F")
    found = found.astype(found.dtype.newbyteorder("="), copy=False)
    if header.scale is not None:
        found = found.astype(np.float64) * header.scale[0] + header.scale[1]
    return header, found
