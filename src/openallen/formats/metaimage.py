"""MetaImage: volumes as the Allen Institute's grids come, ``.mhd`` with ``.raw``, or ``.mha``.

Read from bytes, so that a volume inside a zip needs no folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, requiring
from openallen.formats.inflate import fits, inflate
from openallen.formats.orientation import Frame, unit_um

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Header", "frame_of", "parse_header", "read_metaimage"]

_TYPES: Final[Mapping[str, str]] = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_CHANNELS: Final = "ElementNumberOfChannels"
_MATRICES: Final = ("TransformMatrix", "Rotation", "Orientation")
_ORIGINS: Final = ("Offset", "Origin", "Position")
_LPS: Final = (-1, -1, 1)
"""Signs that lead from the space of the format to right, anterior, superior."""
_HEAD_LIMIT_BYTES: Final = 64 * 1024
_MOST_BYTES: Final = 16 << 30


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a header says of a volume.

    Parameters
    ----------
    shape
        Sizes as an array in C order has them: the header's own sizes, backwards.
    spacing
        Distance of voxels along each axis of `shape`, in the unit the file was made in.
    dtype
        Type of a voxel, with its byte order.
    channels
        Values for each voxel.
    compressed
        Whether the data are zlib's.
    data_file
        Name of the file that holds them, ``LOCAL`` where they follow the header.
    keys
        Every line of the header.
    size_bytes
        Size of the header itself.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    dtype: str
    channels: int
    compressed: bool
    data_file: str
    keys: Mapping[str, str]
    size_bytes: int

    @property
    def data_bytes(self) -> int:
        """Size of the data, decompressed."""
        count = self.channels * int(self.dtype[2:])
        for size in self.shape:
            count *= size
        return count


def parse_header(data: bytes, name: str = "") -> Header:
    """Read a header.

    Raises
    ------
    CorruptError
        If a key is missing or makes no sense, with the key.
    """
    keys: dict[str, str] = {}
    at = 0
    while at < min(len(data), _HEAD_LIMIT_BYTES):
        stop = data.find(b"\n", at)
        stop = len(data) if stop < 0 else stop
        line = data[at:stop].decode("latin-1").strip()
        at = stop + 1
        key, equals, value = line.partition("=")
        if not equals:
            if line:
                raise CorruptError("not a MetaImage header", address=name, why=repr(line[:40]))
            continue
        keys[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    return _header(keys, at, name)


def _need(keys: Mapping[str, str], key: str, name: str) -> str:
    if not keys.get(key):
        raise CorruptError(f"the header has no {key}", address=name)
    return keys[key]


def _numbers(
    keys: Mapping[str, str], key: str, kind: Callable[[str], Any], count: int, name: str
) -> list[Any]:
    words = _need(keys, key, name).split()
    try:
        found = [kind(word) for word in words]
    except ValueError:
        raise CorruptError(f"{key} is not a list of numbers", address=name, why=keys[key]) from None
    if len(found) != count:
        raise CorruptError(f"{key} has {len(found)} numbers, not {count}", address=name)
    return found


def _header(keys: dict[str, str], size_bytes: int, name: str) -> Header:
    def numbers(key: str, kind: Callable[[str], Any], count: int) -> list[Any]:
        return _numbers(keys, key, kind, count, name)

    dims = numbers("NDims", int, 1)[0]
    if not 1 <= dims <= 4:
        raise CorruptError("volumes have one to four axes", address=name, why=f"NDims = {dims}")
    sizes = numbers("DimSize", int, dims)
    if any(size <= 0 for size in sizes):
        raise CorruptError("an axis has no length", address=name, why=keys["DimSize"])
    spacing = next((k for k in ("ElementSpacing", "ElementSize") if k in keys), "")
    steps = numbers(spacing, float, dims) if spacing else [1.0] * dims
    if not all(step and math.isfinite(step) for step in steps):
        raise CorruptError("voxels of no size", address=name, why=keys[spacing][:80])
    word = _need(keys, "ElementType", name)
    if word not in _TYPES:
        raise CorruptError("unknown ElementType", address=name, why=word)
    order_key = next(
        (k for k in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB") if k in keys), ""
    )
    big = keys.get(order_key, "False").lower() in {"true", "1"}
    channels = numbers(_CHANNELS, int, 1)[0] if _CHANNELS in keys else 1
    _ordinary(keys, channels, name)
    made = Header(
        shape=tuple(reversed(sizes)),
        spacing=tuple(reversed(steps)),
        dtype=(">" if big else "<") + _TYPES[word],
        channels=channels,
        compressed=keys.get("CompressedData", "False").lower() in {"true", "1"},
        data_file=_need(keys, "ElementDataFile", name),
        keys=keys,
        size_bytes=size_bytes,
    )
    if made.data_bytes > _MOST_BYTES:
        raise CorruptError("the volume is too large", address=name, why=keys["DimSize"])
    return made


def _ordinary(keys: Mapping[str, str], channels: int, name: str) -> None:
    """Refuse what the format has and nobody here needs."""
    if keys.get("BinaryData", "True").lower() not in {"true", "1"}:
        raise CorruptError("unsupported volume", address=name, why="values written as text")
    if channels < 1 or keys.get("HeaderSize", "0") != "0":
        told = f"{_CHANNELS} {channels}, HeaderSize {keys.get('HeaderSize', '0')}"
        raise CorruptError("unsupported volume", address=name, why=told)


def frame_of(header: Header, name: str = "") -> Frame:
    """Return where a header says its voxels are; axes in the order of the header's own sizes.

    Lengths are µm unless ``DistanceUnits`` says otherwise. A matrix that turns nothing says
    nothing: so are all of the Allen Institute's, whose axes are AP, DV, ML. Others are taken at
    their word: directions in the space of left, posterior, superior.

    Raises
    ------
    CorruptError
        If the unit is not one of length, or the matrix or the origin is not one of numbers.
    """
    said = header.keys.get("DistanceUnits", "").strip()
    um = 1.0 if said in {"", "?"} else unit_um(said, name)
    spacing = tuple(abs(step) * um for step in reversed(header.spacing))
    dims = len(spacing)
    matrix = _floats(header.keys, _MATRICES, dims * dims, name)
    origin = _floats(header.keys, _ORIGINS, dims, name)
    origin_um = tuple(part * um for part in origin) if origin else None
    rows = [tuple(matrix[n : n + dims]) for n in range(0, len(matrix), dims)]
    plain = all(part == float(n == at) for at, row in enumerate(rows) for n, part in enumerate(row))
    if plain or dims != 3:
        return Frame(spacing_um=spacing, origin_um=origin_um)
    turned = tuple(tuple(p * s for p, s in zip(row, _LPS, strict=True)) for row in rows)
    if origin_um is not None:
        origin_um = tuple(o * s for o, s in zip(origin_um, _LPS, strict=True))
    return Frame(spacing_um=spacing, directions=turned, origin_um=origin_um)


def _floats(
    keys: Mapping[str, str], names: tuple[str, ...], count: int, name: str
) -> tuple[float, ...]:
    """Return the numbers of the first of some keys that is there; none if none is."""
    key = next((key for key in names if key in keys), None)
    if key is None:
        return ()
    try:
        found = tuple(float(word) for word in keys[key].split())
    except ValueError:
        found = ()
    if len(found) != count:
        raise CorruptError(f"{key} is not {count} numbers", address=name, why=keys[key][:80])
    return found


@requiring("reading MetaImage", "atlas")
def read_metaimage(
    data: bytes, beside: Callable[[str], bytes] | None = None, name: str = ""
) -> tuple[Header, np.ndarray[Any, Any]]:
    """Read a volume.

    Parameters
    ----------
    data
        Bytes of the ``.mhd`` or ``.mha``.
    beside
        Gives the bytes of the data file by its name.
    name
        What the volume is called in messages.

    Returns
    -------
    Header, array
        The array has the header's ``shape`` (its first axis varies slowest), channels last where
        there are several, in the byte order of this machine.

    Raises
    ------
    CorruptError
        If the header makes no sense, or there is more data than it says.
    TruncatedError
        If there is less.
    """
    import numpy as np

    header = parse_header(data, name)
    if header.data_file == "LOCAL":
        raw: bytes | memoryview = data[header.size_bytes :]
    elif beside is None:
        raise CorruptError("the data file is missing", address=name, why=header.data_file)
    else:
        raw = beside(header.data_file)
    if header.compressed:
        raw = inflate(raw, header.data_bytes, name)
    fits(len(raw), header.data_bytes, name)
    shape = (*header.shape, header.channels) if header.channels > 1 else header.shape
    found = np.frombuffer(raw, header.dtype).reshape(shape)
    return header, found.astype(found.dtype.newbyteorder("="), copy=False)
