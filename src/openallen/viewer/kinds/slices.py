"""Volumes on a grid: labels and values for the page to cut, structures, where a structure is."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from openallen.errors import NotFoundError
from openallen.formats.labels import running_numbers
from openallen.viewer.answers import Answer, Query, json_answer, no_such, whole
from openallen.viewer.kept import Kept
from openallen.viewer.kinds.pictures import label_picture, value_picture
from openallen.viewer.kinds.volumes import (
    AXES,
    Packed,
    cache_path,
    labels_ids,
    packed,
    structures_with,
)
from openallen.visuals import SlicesVisual, Structure, Volume

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SlicesKind"]

_MOST_VOXELS: Final = 128_000_000
"""More are not sent as a whole: a browser would need half a gigabyte for them."""
_ROWS: Final = 50
# A small picture of a larger volume would cost a second or more.
_QUICK_VOXELS: Final = 4_000_000
_THINNED: Final = 2_000
_PLANES: Final = ("coronal", "horizontal", "sagittal")
_BIN: Final = "application/octet-stream"


@dataclass
class _Kept:
    """What is kept of one view."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    ids: Any = None
    structures: list[Structure] = field(default_factory=list)
    cut: dict[str, Packed] = field(default_factory=dict)


class SlicesKind:
    """Answers of volumes.

    Parameters
    ----------
    most_voxels
        A volume with more is sent slice by slice.
    kept
        Where volumes that are ready to be sent are kept.
    """

    heavy = True

    def __init__(self, most_voxels: int = _MOST_VOXELS, kept: Kept | None = None) -> None:
        self._shared = kept or Kept()
        self._most_voxels = most_voxels
        self._kept: WeakKeyDictionary[SlicesVisual, _Kept] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def answer(
        self, visual: SlicesVisual, path: str, query: Query, gone: Callable[[], bool]
    ) -> Answer:
        """Return what is at a path; see `openallen.viewer.kinds.Kind.answer`.

        ``meta.json``, ``volume/NAME.bin``, ``slice/NAME/AXIS/INDEX.bin``, ``centre.json?id=``,
        ``picture/NAME/PLANE.png``.
        """
        del gone
        first, *rest = path.split("/")
        if path == "meta.json":
            return json_answer(self._meta(visual))
        if path == "centre.json":
            return json_answer(self._centre(visual, query.whole("id", 0, 0, 1 << 62)))
        if first == "volume" and len(rest) == 1 and rest[0].endswith(".bin"):
            return self._volume(visual, rest[0].removesuffix(".bin"), query.text("key"))
        if first == "slice" and len(rest) == 3 and rest[1] in AXES and rest[2].endswith(".bin"):
            return self._slice(visual, rest[0], AXES.index(rest[1]), rest[2].removesuffix(".bin"))
        if first == "picture" and len(rest) == 2 and rest[1].removesuffix(".png") in _PLANES:
            return self._picture(visual, rest[0], _PLANES.index(rest[1].removesuffix(".png")))
        raise no_such(path)

    def fallback(self, visual: SlicesVisual, base: str) -> dict[str, Any]:
        """Return the three slices in the middle, and a table of the structures."""
        del base
        if not visual.volumes:
            return {"text": "no volume"}
        chosen = _chosen(visual)
        known = visual.structures() if any(v.labels for v in visual.volumes) else ()
        size = " x ".join(f"{um:g}" for um in visual.voxel_um)
        shape = " x ".join(map(str, visual.shape))
        named = ", ".join(volume.title for volume in visual.volumes)
        more = f"; {_ROWS:,} of {len(known):,} structures" if len(known) > _ROWS else ""
        return {
            "pictures": [(f"picture/{chosen.name}/{p}.png", f"{p}, middle") for p in _PLANES],
            "columns": ["id", "acronym", "name"] if known else [],
            "rows": [[str(s.id), s.acronym, s.name] for s in known[:_ROWS]],
            "text": f"{named}: {shape} voxels (AP x DV x ML) of {size} µm{more}",
        }

    def thumbnail(self, visual: SlicesVisual) -> Answer | None:
        """Return the coronal slice in the middle; None of what is too large to read for it."""
        voxels = visual.shape[0] * visual.shape[1] * visual.shape[2]
        if not visual.volumes or (voxels > _QUICK_VOXELS and visual not in self._kept):
            return None
        return self._picture(visual, _chosen(visual).name, 0)

    # --- answers ----------------------------------------------------------------------------------

    def _meta(self, visual: SlicesVisual) -> dict[str, Any]:
        voxels = visual.shape[0] * visual.shape[1] * visual.shape[2]
        sliced = voxels > self._most_voxels
        kept = self._structured(visual)
        volumes = []
        for volume in visual.volumes:
            # Only what is read already, and what cannot be looked through by the page, has a range.
            known = (
                self._packed(visual, volume)
                if sliced
                else self._shared.peek(visual, ("volume", volume.name))
            )
            volumes.append(
                {
                    "name": volume.name,
                    "title": volume.title,
                    "type": "labels" if volume.labels else "values",
                    "unit": volume.unit,
                    "range": known.range if known else None,
                    "bytes": len(known.body) if known and known.body else None,
                    "key": volume.stamp,
                }
            )
        places = {int(number): n for n, number in enumerate(kept.ids)}
        return {
            "kind": visual.kind,
            "title": visual.title,
            "simulated": visual.simulated,
            "shape": visual.shape,
            "voxel_um": visual.voxel_um,
            "axes": AXES,
            "sliced": sliced,
            "first": list(visual.first) or [v.name for v in visual.volumes[:1]],
            "volumes": volumes,
            "structures": [
                {
                    "index": places[s.id],
                    "id": s.id,
                    "acronym": s.acronym,
                    "name": s.name,
                    "rgb": s.rgb,
                    "parent": s.parent,
                }
                for s in kept.structures
            ],
        }

    def _volume(self, visual: SlicesVisual, name: str, key: str) -> Answer:
        volume = _named(visual, name)
        found = self._packed(visual, volume)
        if found.cut is not None:
            raise NotFoundError("this volume is sent slice by slice", address=name)
        kept = bool(key) and key == volume.stamp
        return Answer(body=found.body, media=_BIN, immutable=kept, encoding="gzip")

    def _slice(self, visual: SlicesVisual, name: str, axis: int, index: str) -> Answer:
        volume = _named(visual, name)
        at = whole("the slice", index, 0, visual.shape[axis] - 1)
        found = self._packed(visual, volume)
        if found.cut is None:
            raise NotFoundError("this volume is sent as a whole", address=name)
        plane = found.cut.take(at, axis=axis)
        return Answer(body=_gzip(plane.tobytes()), media=_BIN, encoding="gzip")

    def _picture(self, visual: SlicesVisual, name: str, plane: int) -> Answer:
        volume = _named(visual, name)
        found = self._packed(visual, volume)
        cut = found.middles[plane]
        if volume.labels:
            kept = self._structured(visual)
            by_id = {s.id: s.rgb for s in kept.structures}
            body = label_picture(cut, [by_id[int(number)] for number in kept.ids])
        else:
            body = value_picture(cut)
        return Answer(body=body, media="image/png")

    def _centre(self, visual: SlicesVisual, number: int) -> dict[str, Any]:
        """Return a voxel in the middle of a structure and its parts, on one side of the brain."""
        import numpy as np

        kept = self._structured(visual)
        wanted = _with_parts(kept.structures, number)
        volume = next((v for v in visual.volumes if v.labels), None)
        if volume is None or not wanted or number == 0:
            raise NotFoundError("no such structure here", address=str(number))
        member = np.isin(kept.ids, list(wanted))
        count, found = 0, []
        for n, plane in enumerate(self._packed(visual, volume).planes(visual.shape)):
            at = np.argwhere(member[plane])
            count += len(at)
            thin = at[:: max(1, len(at) // _THINNED)]
            found.append(np.column_stack([np.full(len(thin), n), thin]))
        size_um = visual.voxel_um
        mm3 = count * size_um[0] * size_um[1] * size_um[2] * 1e-9
        voxel = _middle(np.concatenate(found), visual.shape[2]) if count else None
        return {"id": number, "voxel": voxel, "voxels": count, "mm3": mm3}

    # --- what is kept -----------------------------------------------------------------------------

    def _of(self, visual: SlicesVisual) -> _Kept:
        with self._lock:
            return self._kept.setdefault(visual, _Kept())

    def _structured(self, visual: SlicesVisual) -> _Kept:
        """Return what is kept of a view once it is known which ids its labels have."""
        kept = self._of(visual)
        with kept.lock:
            if kept.ids is None:
                self._number(visual, kept)
        return kept

    def _number(self, visual: SlicesVisual, kept: _Kept) -> None:
        """Find the ids of all labels of a view, and pack the labels while they are in hand."""
        labels = [volume for volume in visual.volumes if volume.labels]
        known = list(visual.structures()) if labels else []
        ids = _ids_with(known, ())
        old = _recalled(visual, labels[0], known) if len(labels) == 1 else None
        if old is not None:
            made, ids = old
            self._hold(visual, kept, labels[0], made)
        read = {volume.name: volume.read() for volume in labels} if old is None else {}
        if read:
            there = [labels_ids(values) for values in read.values()]
            if any(running_numbers(of_one, {one.id for one in known}) for of_one in there):
                known = []  # the names of the ontology would be wrong ones
            ids = _ids_with(known, there)
        structures = structures_with(known, ids.tolist())
        order = {s.id: n for n, s in enumerate(known)}
        structures.sort(key=lambda s: order.get(s.id, len(order)))
        for volume in labels if old is None else ():
            values = read.pop(volume.name)
            made = packed(visual, volume, ids, values, self._most_voxels)
            self._hold(visual, kept, volume, made)
            if len(labels) == 1:
                _remember(visual, volume, ids, made)
        kept.ids, kept.structures = ids, structures

    def _packed(self, visual: SlicesVisual, volume: Volume) -> Packed:
        kept = self._structured(visual)
        with kept.lock:
            found: Packed | None = kept.cut.get(volume.name)
            found = found or self._shared.peek(visual, ("volume", volume.name))
            if found is None:
                found = packed(visual, volume, kept.ids, None, self._most_voxels)
                self._hold(visual, kept, volume, found)
        return found

    def _hold(self, visual: SlicesVisual, kept: _Kept, volume: Volume, made: Packed) -> None:
        """Keep a packed volume; one that is cut here for as long as its view is open."""
        if made.cut is not None:
            kept.cut[volume.name] = made
        else:
            self._shared.put(visual, ("volume", volume.name), made, len(made.body))


def _chosen(visual: SlicesVisual) -> Volume:
    return _named(visual, visual.first[0]) if visual.first else visual.volumes[0]


def _named(visual: SlicesVisual, name: str) -> Volume:
    for volume in visual.volumes:
        if volume.name == name:
            return volume
    raise NotFoundError("no such volume", address=name[:80])


def _with_parts(structures: list[Structure], number: int) -> set[int]:
    """Return the ids of a structure and all its parts; nothing for one that is not there."""
    children: dict[int | None, list[int]] = {}
    for one in structures:
        children.setdefault(one.parent, []).append(one.id)
    found: set[int] = set()
    waiting = [number] if any(one.id == number for one in structures) else []
    while waiting:
        last = waiting.pop()
        if last not in found:
            found.add(last)
            waiting += children.get(last, [])
    return found


def _middle(places: NDArray[np.intp], width: int) -> list[int]:
    """Return the voxel nearest to the centroid of the right half, or of the left if most is there.

    The centroid of both halves of a structure lies between them, outside of it.
    """
    import numpy as np

    right = places[:, 2] >= width / 2
    half = places[right] if right.sum() * 3 >= len(places) else places[~right]
    off = ((half - half.mean(axis=0)) ** 2).sum(axis=1)
    voxel: list[int] = half[int(np.argmin(off))].tolist()
    return voxel


# --- on disk --------------------------------------------------------------------------------------

_MARK: Final = b"openallen labels 1\n"


def _remember(visual: SlicesVisual, volume: Volume, ids: Any, made: Packed) -> None:
    """Keep numbered labels on disk: their ids, then their voxels; a full disk does not matter."""
    import os
    import tempfile

    path = cache_path(visual, volume, "labels")
    if path is None or made.cut is not None:
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        body = b"".join((struct.pack("<Q", len(ids)), ids.astype("<i8").tobytes(), made.body))
        file, name = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(file, "wb") as out:
                out.write(_MARK + struct.pack("<I", zlib.crc32(body)) + body)
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)


def _ids_with(known: Sequence[Structure], there: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the ids of an ontology and those that occur in volumes, ascending, and 0."""
    import numpy as np

    of_ontology = np.array([0, *(one.id for one in known)], np.int64)
    found: NDArray[np.int64] = np.unique(np.concatenate([of_ontology, *there]))
    return found


def _recalled(
    visual: SlicesVisual, volume: Volume, known: list[Structure]
) -> tuple[Packed, NDArray[np.int64]] | None:
    """Return labels numbered before; None where they are not there, damaged, or of other ids."""
    import numpy as np

    path = cache_path(visual, volume, "labels")
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError:
        return None
    begin = len(_MARK) + 4
    if not data.startswith(_MARK) or len(data) < begin + 8:
        return None
    if struct.unpack("<I", data[begin - 4 : begin])[0] != zlib.crc32(data[begin:]):
        return None
    (count,) = struct.unpack("<Q", data[begin : begin + 8])
    ids = np.frombuffer(data, "<i8", count, begin + 8)
    if not {s.id for s in known} <= set(ids.tolist()):
        return None
    found = Packed(
        body=data[begin + 8 + 8 * count :], dtype="uint16", range=None, middles=(ids, ids, ids)
    )
    return _with_middles(found, visual.shape), ids


def _with_middles(found: Packed, shape: tuple[int, int, int]) -> Packed:
    import numpy as np

    planes: Iterator[Any] = found.planes(shape)
    coronal, rows, columns = None, [], []
    for n, plane in enumerate(planes):
        coronal = plane if n == shape[0] // 2 else coronal
        rows.append(plane[shape[1] // 2])
        columns.append(plane[:, shape[2] // 2])
    assert coronal is not None
    return replace(found, middles=(coronal, np.stack(rows), np.stack(columns, axis=1)))


def _gzip(data: bytes) -> bytes:
    press = zlib.compressobj(1, wbits=31)
    return press.compress(data) + press.flush()
