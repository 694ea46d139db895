"""Volumes as browsers get them: labels as 16-bit numbers of structures, values as they are.

Labels are read once, numbered, packed and kept; what is too large for a browser is cut here.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import UsageError
from openallen.visuals import SlicesVisual, Structure, Volume

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["AXES", "Packed", "labels_ids", "numbered", "packed", "structures_with", "values_of"]

AXES: Final = ("AP", "DV", "ML")
_MOST_IDS: Final = 1 << 16
_LEVEL: Final = 6
# Grey levels of a whole brain hardly shrink; more effort would cost seconds.
_FAST_LEVEL: Final = 1
_LARGE: Final = 16 << 20
# What unknown labels are coloured by: steps of the golden angle, so that neighbours differ.
_GOLDEN: Final = 0.618033988749895


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A volume ready to be sent.

    Parameters
    ----------
    body
        Its voxels in C order, little-endian, gzipped; empty where it is `cut` instead.
    dtype
        Type of its voxels: ``uint16`` of labels; ``uint8``, ``uint16`` or ``float32`` of values.
    range
        Least and greatest finite value; None for labels, and where there is none.
    middles
        The slice in the middle of each axis, uint16 or float32.
    cut
        The voxels, of a volume too large to be sent as a whole.
    """

    body: bytes
    dtype: str
    range: tuple[float, float] | None
    middles: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
    cut: NDArray[Any] | None = None

    def planes(self, shape: tuple[int, int, int]) -> Iterator[NDArray[Any]]:
        """Return the planes across AP one after the other, never the whole volume.

        Parameters
        ----------
        shape
            Of the volume.
        """
        import numpy as np

        if self.cut is not None:
            yield from self.cut
            return
        dtype = np.dtype(self.dtype)
        size = shape[1] * shape[2] * dtype.itemsize
        opener, rest = zlib.decompressobj(wbits=31), self.body
        for _ in range(shape[0]):
            plane = b""
            while len(plane) < size:
                plane += opener.decompress(rest, size - len(plane))
                rest = opener.unconsumed_tail
            yield np.frombuffer(plane, dtype).reshape(shape[1:])


def labels_ids(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return the ids that occur among labels, ascending.

    Only the first voxel of each run is looked at: there are some twenty times fewer.

    Parameters
    ----------
    values
        Whole numbers, shape (AP, DV, ML).
    """
    import numpy as np

    found: set[int] = set()
    for plane in values:
        found.update(np.unique(_runs(plane)[1]).tolist())
    return np.array(sorted(found), np.int64)


def _runs(plane: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Return where runs of one value begin, and their values."""
    import numpy as np

    flat = np.ascontiguousarray(plane).ravel()
    starts = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], starts]) if flat.size else starts
    return starts, flat[starts]


def numbered(values: NDArray[Any], ids: NDArray[np.int64]) -> Iterator[NDArray[np.uint16]]:
    """Return planes across AP with the place of each voxel's id in `ids`.

    Parameters
    ----------
    values
        Labels, shape (AP, DV, ML).
    ids
        All ids that occur, ascending.
    """
    import numpy as np

    for plane in values:
        starts, found = _runs(plane)
        places = np.searchsorted(ids, found.astype(np.int64)).astype(np.uint16)
        lengths = np.diff(starts, append=plane.size)
        yield np.repeat(places, lengths).reshape(plane.shape)


def structures_with(known: Sequence[Structure], ids: Sequence[int]) -> list[Structure]:
    """Return structures in the order of `ids`; what the ontology lacks has a colour of its own.

    Parameters
    ----------
    known
        The ontology; empty where there is none.
    ids
        Ids, ascending.

    Raises
    ------
    UsageError
        If there are more than 16 bits number.
    """
    if len(ids) > _MOST_IDS:
        raise UsageError("too many different labels to be shown", why=f"{len(ids):,} of them")
    by_id = {one.id: one for one in known}
    return [by_id.get(number) or _unknown(number, n) for n, number in enumerate(ids)]


def _unknown(number: int, place: int) -> Structure:
    import colorsys

    if number == 0:
        return Structure(id=0, acronym="", name="outside", rgb=(0, 0, 0))
    red, green, blue = colorsys.hls_to_rgb((place * _GOLDEN) % 1, 0.62, 0.42)
    rgb = (round(red * 255), round(green * 255), round(blue * 255))
    return Structure(id=number, acronym="", name=f"label {number}", rgb=rgb)


def values_of(values: NDArray[Any]) -> NDArray[Any]:
    """Return values in a type that browsers get: small whole numbers as they are, else float32.

    Parameters
    ----------
    values
        Values of any type.
    """
    import numpy as np

    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    kept = values.dtype.kind == "u" and values.dtype.itemsize <= 2
    return values.astype(values.dtype.newbyteorder("<") if kept else "<f4", copy=False)


def packed(
    visual: SlicesVisual, volume: Volume, ids: NDArray[np.int64], values: Any, most_voxels: int
) -> Packed:
    """Return a volume ready to be sent.

    Parameters
    ----------
    visual, volume
        What it is.
    ids
        Ids that labels are numbered by.
    values
        Its values, where they have been read already; read here where None.
    most_voxels
        A volume with more is cut into slices instead.
    """
    import numpy as np

    read: NDArray[Any] = volume.read() if values is None else values
    if read.shape != visual.shape:
        raise UsageError("the volume has another shape", why=f"{read.shape}, not {visual.shape}")
    planes = numbered(read, ids) if volume.labels else (values_of(plane) for plane in read)
    dtype = np.dtype("<u2") if volume.labels else values_of(read[:0]).dtype
    if read.size > most_voxels:
        return _cut(visual, volume, planes, dtype)
    level = _FAST_LEVEL if read.size > _LARGE and not volume.labels else _LEVEL
    press = zlib.compressobj(level, wbits=31)
    parts, seen = [], _Seen(visual.shape, labels=volume.labels)
    for n, plane in enumerate(planes):
        parts.append(press.compress(plane.tobytes()))
        seen.add(n, plane)
    body = b"".join([*parts, press.flush()])
    return Packed(body=body, dtype=dtype.name, range=seen.range, middles=seen.middles())


def _cut(visual: SlicesVisual, volume: Volume, planes: Any, dtype: np.dtype[Any]) -> Packed:
    """Return a large volume as an array: in a file where there is a cache, else in memory."""
    whole = _scratch(visual, volume, dtype)
    seen = _Seen(visual.shape, labels=volume.labels)
    for n, plane in enumerate(planes):
        whole[n] = plane
        seen.add(n, plane)
    return Packed(body=b"", dtype=dtype.name, range=seen.range, middles=seen.middles(), cut=whole)


def _scratch(visual: SlicesVisual, volume: Volume, dtype: np.dtype[Any]) -> NDArray[Any]:
    import numpy as np

    path = cache_path(visual, volume, "slices")
    if path is not None:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            made: NDArray[Any] = np.memmap(path, dtype, "w+", shape=visual.shape)
            path.unlink()  # it lives as long as it is mapped, and no other process meets it
            return made
    return np.empty(visual.shape, dtype)


class _Seen:
    """What is noted of planes as they go by."""

    def __init__(self, shape: tuple[int, int, int], *, labels: bool) -> None:
        self._shape = shape
        self._labels = labels
        self._coronal: Any = None
        self._rows: list[Any] = []
        self._columns: list[Any] = []
        self.range: tuple[float, float] | None = None

    def add(self, n: int, plane: NDArray[Any]) -> None:
        """Note a plane across AP."""
        _, dv, ml = self._shape
        if n == self._shape[0] // 2:
            self._coronal = plane.copy()
        self._rows.append(plane[dv // 2].copy())
        self._columns.append(plane[:, ml // 2].copy())
        if not self._labels:
            self._stretch(plane)

    def _stretch(self, plane: NDArray[Any]) -> None:
        import numpy as np

        finite = plane[np.isfinite(plane)]
        if finite.size:
            low, high = float(finite.min()), float(finite.max())
            old = self.range or (low, high)
            self.range = min(low, old[0]), max(high, old[1])

    def middles(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return the slices in the middle: coronal (DV, ML), horizontal (AP, ML), sagittal."""
        import numpy as np

        return self._coronal, np.stack(self._rows), np.stack(self._columns, axis=1)


def cache_path(visual: SlicesVisual, volume: Volume, ending: str) -> Path | None:
    """Return where something of a volume is cached; None where nothing may be.

    Parameters
    ----------
    visual, volume
        What it is of.
    ending
        What it is.
    """
    if visual.cache is None or not volume.stamp:
        return None
    told = "\0".join((volume.stamp, volume.name, *map(str, visual.shape)))
    own = f".{os.getpid()}" if ending == "slices" else ""
    return visual.cache / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}{own}.{ending}"
