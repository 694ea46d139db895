"""NRRD: volumes as connectivity grids and the Common Coordinate Framework come.

The header is read by pynrrd; the data here, so that no header can make us hold more than it says,
or read a file it should not name.
"""

from __future__ import annotations

import bz2
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, requiring
from openallen.formats.inflate import fits, inflate, inflated
from openallen.formats.orientation import Frame, unit_um

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Header", "NrrdCheck", "beside", "frame_of", "parse_header", "read_nrrd"]

_MAGIC: Final = b"NRRD000"
_HEAD_LIMIT_BYTES: Final = 256 * 1024
_MOST_BYTES: Final = 16 << 30
_GZIP: Final = frozenset({"gzip", "gz"})
_BZIP2: Final = frozenset({"bzip2", "bz2"})
_SPACES: Final[Mapping[str, tuple[int, int, int]]] = {
    name: signs
    for signs, names in (
        ((1, 1, 1), "right-anterior-superior,ras"),
        ((-1, 1, 1), "left-anterior-superior,las"),
        ((-1, -1, 1), "left-posterior-superior,lps"),
    )
    for name in names.split(",")
}
"""Spaces by name: the signs that lead from each to right, anterior, superior."""
_TYPES: Final[Mapping[str, str]] = {
    name: kind
    for kind, names in {
        "i1": "signed char,int8,int8_t",
        "u1": "uchar,unsigned char,uint8,uint8_t",
        "i2": "short,short int,signed short,signed short int,int16,int16_t",
        "u2": "ushort,unsigned short,unsigned short int,uint16,uint16_t",
        "i4": "int,signed int,int32,int32_t",
        "u4": "uint,unsigned int,uint32,uint32_t",
        "i8": "longlong,long long,long long int,signed long long,signed long long int,int64,"
        "int64_t",
        "u8": "ulonglong,unsigned long long,unsigned long long int,uint64,uint64_t",
        "f4": "float",
        "f8": "double",
    }.items()
    for name in names.split(",")
}


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a header says of a volume.

    Parameters
    ----------
    shape
        Sizes in the header's own order: the first axis varies fastest.
    spacing
        Distance of voxels along each axis of `shape`, in the unit of the file (see `frame_of`); 1
        if it does not say.
    dtype
        Type of a voxel, with its byte order.
    encoding
        ``raw``, ``gzip`` or ``bzip2``.
    data_file
        Name of the file that holds the data, empty where they follow the header.
    keys
        Every field, as pynrrd reads it.
    size_bytes
        Size of the header itself.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    dtype: str
    encoding: str
    data_file: str
    keys: Mapping[str, Any]
    size_bytes: int

    @property
    def data_bytes(self) -> int:
        """Size of the data, decompressed."""
        count = int(self.dtype[2:])
        for size in self.shape:
            count *= size
        return count


def _lines(data: bytes, name: str) -> tuple[list[str], int]:
    """Return the lines of the header, and where the data begin."""
    if not data.startswith(_MAGIC):
        raise CorruptError("not an NRRD file", address=name, why=repr(data[:20]))
    lines: list[str] = []
    at = 0
    while at < min(len(data), _HEAD_LIMIT_BYTES):
        stop = data.find(b"\n", at)
        stop = len(data) if stop < 0 else stop
        line = data[at:stop].decode("latin-1").rstrip()
        at = min(stop + 1, len(data))
        lines.append(line)
        if not line:
            break
    return lines, at


def parse_header(data: bytes, name: str = "") -> Header:
    """Read a header.

    Raises
    ------
    CorruptError
        If a field is missing or makes no sense, with the field.
    MissingExtraError
        Without the extra ``atlas``.
    """
    with requiring("reading NRRD", "atlas"):
        import nrrd
    lines, size_bytes = _lines(data, name)
    try:
        keys = nrrd.read_header(lines)
        keys = {"".join(key.lower().split()): value for key, value in keys.items()}
        return _header(keys, size_bytes, name)
    except CorruptError:
        raise
    except Exception as error:  # pynrrd raises its own kinds, and Python's
        raise CorruptError("invalid NRRD header", address=name, why=str(error)[:200]) from error


def _header(keys: dict[str, Any], size_bytes: int, name: str) -> Header:
    for key in ("dimension", "sizes", "type", "encoding"):
        if key not in keys:
            raise CorruptError(f"the header has no {key}", address=name)
    shape = tuple(int(size) for size in keys["sizes"])
    if len(shape) != keys["dimension"] or not shape or any(size <= 0 for size in shape):
        raise CorruptError(
            "invalid sizes",
            address=name,
            why=f"{len(shape)} sizes for {keys['dimension']} axes: {shape}",
        )
    kind = _TYPES.get(str(keys["type"]).lower())
    encoding = str(keys["encoding"]).lower()
    encoding = "gzip" if encoding in _GZIP else "bzip2" if encoding in _BZIP2 else encoding
    if kind is None or encoding not in {"raw", "gzip", "bzip2"}:
        raise CorruptError(
            "unsupported volume",
            address=name,
            why=f"type {keys['type']}, encoding {encoding}",
        )
    if kind[1:] != "1" and "endian" not in keys:
        raise CorruptError("the header has no endian", address=name)
    if any(int(keys.get(skip, 0)) for skip in ("lineskip", "byteskip")):
        raise CorruptError("unsupported volume", address=name, why="data skipped")
    big = str(keys.get("endian", "little")).lower() == "big"
    made = Header(
        shape=shape,
        spacing=_spacing(keys, len(shape), name),
        dtype=(">" if big else "<") + kind,
        encoding=encoding,
        data_file=str(keys.get("datafile", "")),
        keys=keys,
        size_bytes=size_bytes,
    )
    if made.data_bytes > _MOST_BYTES:
        raise CorruptError("the volume is too large", address=name, why=str(shape))
    return made


def _spacing(keys: Mapping[str, Any], dims: int, name: str) -> tuple[float, ...]:
    """Return the size of a voxel along each axis; 1 along those that have none (NaN, ``none``)."""
    if "spacedirections" in keys:
        rows = [[math.nan] if row is None else row for row in keys["spacedirections"]]
        told = [math.hypot(*map(float, row)) for row in rows]
    else:
        told = [abs(float(step)) for step in keys.get("spacings", ())]
    if told and (len(told) != dims or 0 in told or math.inf in told):
        why = f"{', '.join(f'{step:g}' for step in told[:8])} for {dims} axes"
        raise CorruptError("voxels of no size", address=name, why=why)
    return tuple(1.0 if math.isnan(step) else step for step in told or [1.0] * dims)


def frame_of(header: Header, name: str = "") -> Frame:
    """Return where a header says its voxels are.

    Lengths are µm unless the header names another unit. Directions along the axes of the file say
    nothing in the space that ITK always writes (left-posterior-superior), or in none: so are all of
    the Allen Institute's, whose axes are AP, DV, ML. Others are taken at their word.

    Raises
    ------
    CorruptError
        If the unit is not one of length, or axes are turned in a space that has no name.
    """
    keys = header.keys
    units = _words(keys.get("spaceunits")) or _words(keys.get("units"))
    factors = [unit_um(word, name) if word.strip(' "') else 1.0 for word in units]
    factors += [factors[-1] if factors else 1.0] * (len(header.shape) - len(factors))
    spacing = tuple(s * f for s, f in zip(header.spacing, factors, strict=False))
    rows = [row for row in _rows(keys.get("spacedirections"), name) if row is not None]
    origin = _numbers(keys.get("spaceorigin"), name)
    origin_um = tuple(o * factors[0] for o in origin) if len(origin) == 3 and factors else None
    signs = _SPACES.get(str(keys.get("space", "")).lower())
    if len(rows) != 3 or any(len(row) != 3 for row in rows):
        return Frame(spacing_um=spacing, origin_um=origin_um)
    parts = [(part, at == n) for at, row in enumerate(rows) for n, part in enumerate(row)]
    straight = all(part > 0 if own else part == 0 for part, own in parts)
    if straight and signs in {None, _SPACES["lps"]}:
        return Frame(spacing_um=spacing, origin_um=origin_um)
    if signs is None:
        raise CorruptError(
            "axes are turned, and the space is not named",
            address=name,
            why=f"space {str(keys.get('space', 'missing'))[:40]}",
        )
    turned = tuple(tuple(p * s for p, s in zip(row, signs, strict=True)) for row in rows)
    if origin_um is not None:
        origin_um = tuple(o * s for o, s in zip(origin_um, signs, strict=True))
    return Frame(spacing_um=spacing, directions=turned, origin_um=origin_um)


def _words(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(word) for word in value or ()]


def _numbers(value: Any, name: str) -> list[float]:
    try:
        return [] if value is None else [float(part) for part in value]
    except (TypeError, ValueError):
        raise CorruptError("not a vector of numbers", address=name, why=str(value)[:60]) from None


def _rows(value: Any, name: str) -> list[list[float] | None]:
    """Return rows of directions; None for an axis that has none, however pynrrd says that."""
    found: list[list[float] | None] = []
    for row in () if value is None else value:
        numbers = _numbers(row, name)
        found.append(None if not numbers or any(map(math.isnan, numbers)) else numbers)
    return found


def beside(folder: Path) -> Callable[[str], bytes]:
    """Return a reader of data files that lie in one folder, and in no other.

    Raises
    ------
    CorruptError
        From the reader: if a header names a file elsewhere, or one that is not there.
    """

    def read(file: str) -> bytes:
        if not file or file != Path(file).name or "\\" in file or "%" in file or " " in file:
            raise CorruptError("data files in other folders are not supported", why=repr(file))
        try:
            return (folder / file).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a NUL, or half a character
            raise CorruptError("the data file is missing", why=f"{file}: {error}") from error

    return read


def read_nrrd(
    data: bytes, data_file: Callable[[str], bytes] | None = None, name: str = ""
) -> tuple[Header, np.ndarray[Any, Any]]:
    """Read a volume.

    Parameters
    ----------
    data
        Bytes of the ``.nrrd`` or ``.nhdr``.
    data_file
        Gives the bytes of a data file by its name (see `beside`).
    name
        What the volume is called in messages.

    Returns
    -------
    Header, array
        The array has the header's ``shape``, its first axis varying fastest (Fortran order), in the
        byte order of this machine; it may be read-only.

    Raises
    ------
    CorruptError
        If the header makes no sense, or there is more data than it says.
    TruncatedError
        If there is less.
    """
    import numpy as np

    header = parse_header(data, name)
    raw: bytes | memoryview = memoryview(data)[header.size_bytes :]
    if header.data_file:
        if data_file is None:
            raise CorruptError("the data file is missing", address=name, why=header.data_file)
        raw = data_file(header.data_file)
    if header.encoding == "gzip":
        raw = inflate(raw, header.data_bytes, name)
    elif header.encoding == "bzip2":
        raw = _from_bzip2(bytes(raw), header.data_bytes, name)
    fits(len(raw), header.data_bytes, name)
    found = np.frombuffer(raw, header.dtype).reshape(header.shape, order="F")
    return header, found.astype(found.dtype.newbyteorder("="), copy=False)


def _from_bzip2(raw: bytes, size_bytes: int, name: str) -> bytes:
    try:
        return bz2.BZ2Decompressor().decompress(raw, size_bytes + 1)
    except OSError as error:
        raise CorruptError("the data do not decompress", address=name, why=str(error)) from error


@dataclass(frozen=True)
class NrrdCheck:
    """The check of a downloaded NRRD before it gets its name; a `openallen.plans.Check`.

    It needs nothing but the standard library: the data are decompressed, their check sum is
    compared, and their size with the product of the header's sizes.
    """

    def __call__(self, path: Path) -> Mapping[str, Any]:
        """Check the file.

        Raises
        ------
        IntegrityError
            If it is not a whole NRRD with its data in it.
        """
        data = path.read_bytes()
        lines, at = _lines(data, "")
        told = dict(_fields(lines))
        shape = [
            int(word)
            for word in told.get("sizes", "").split()
            if word.isdecimal() and word.isascii() and len(word) < 20
        ]
        kind = _TYPES.get(told.get("type", "").lower())
        if not shape or kind is None:
            raise CorruptError("invalid NRRD header", why=f"sizes {shape}, type {kind}")
        expected = int(kind[1:])
        for size in shape:
            expected *= size
        rest = memoryview(data)[at:]
        encoding = told.get("encoding", "").lower()
        if encoding in _GZIP:
            found = sum(map(len, inflated(rest)))
        elif encoding in _BZIP2:
            found = len(_from_bzip2(bytes(rest), expected, ""))
        else:
            found = len(rest)
        fits(found, expected)
        return {"shape": shape, "type": kind}


def _fields(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines[1:]:
        field, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            yield field.strip().lower(), value.removeprefix("=").strip()
