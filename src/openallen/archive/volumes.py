"""Volumes of an archive: grids, atlases, the Common Coordinate Framework; stored, or simulated.

::

    grids/ID.zip, grids/ID_IMAGE_RESOLUTION.nrrd     grids as the service sends them
    informatics-archive/…                            volumes under their published paths

Others are simulated where ``archive.json`` has ``"simulated_volumes": true``.
"""

from __future__ import annotations

import functools
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.archive import anatomy
from openallen.archive.descriptions import data_set_xml
from openallen.archive.holdings import Holdings
from openallen.archive.relations import Refusal
from openallen.plans import safe_path

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Volume", "Volumes"]

_CCF_SHAPES: Final[Mapping[int, tuple[int, int, int]]] = {
    25: (528, 320, 456),
    50: (264, 160, 228),
    100: (132, 80, 114),
}
_GRIDS: Final[Mapping[str, tuple[tuple[int, int, int], float]]] = {
    # by age: voxels along AP, DV, ML, and their size in µm
    "E11.5": ((70, 75, 40), 80.0),
    "E13.5": ((89, 109, 69), 100.0),
    "E15.5": ((94, 132, 65), 100.0),
    "E18.5": ((67, 43, 40), 140.0),
    "P4": ((77, 43, 50), 160.0),
    "P14": ((68, 40, 50), 200.0),
    "P28": ((73, 41, 53), 200.0),
    "P56": ((67, 41, 58), 200.0),
}
_TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "float32": ("MET_FLOAT", "float"),
    "uint32": ("MET_UINT", "unsigned int"),
    "uint16": ("MET_USHORT", "unsigned short"),
    "uint8": ("MET_UCHAR", "unsigned char"),
}
_COARSE_UM: Final = 100
"""Voxel size of simulated volumes; finer ones repeat the voxels."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume as it is sent: a file, or what was simulated."""

    data: bytes | Path
    simulated: bool


class Volumes:
    """The volumes of an archive.

    Parameters
    ----------
    holdings
        The archive.
    """

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._simulates = bool(holdings.about.get("simulated_volumes"))
        self._anatomy = functools.lru_cache(8)(self._annotate)
        self._packed = functools.lru_cache(4)(self._pack)

    # --- what is asked --------------------------------------------------------------------------

    def grid(self, data_set_id: int, include: str) -> Volume:
        """Return the zip of an expression grid.

        Raises
        ------
        Refusal
            If it does not exist.
        """
        held = self._held(f"grids/{data_set_id}.zip")
        if held is not None:
            return held
        kinds = tuple(word for word in (include or "energy").split(",") if word)
        if not kinds or any(kind not in {"energy", "density", "intensity"} for kind in kinds):
            raise Refusal(f"grids have no {include}")
        age = self._age(data_set_id)
        return self._packed("grid", (data_set_id, age, *kinds))

    def connectivity(self, data_set_id: int, image: str, resolution_um: int) -> Volume:
        """Return one NRRD of a connectivity grid.

        Raises
        ------
        Refusal
            If it does not exist.
        """
        held = self._held(f"grids/{data_set_id}_{image}_{resolution_um}.nrrd")
        if held is not None:
            return held
        self._age(data_set_id)
        if resolution_um not in _CCF_SHAPES:
            raise Refusal(f"no grid of {resolution_um} µm in this archive")
        return self._packed("connectivity", (data_set_id, image, resolution_um))

    def file(self, file_id: int) -> Volume | None:
        """Return a volume that is a well-known file of a reference space; None if it is not one."""
        row = self._holdings.row("well_known_files", "id", file_id)
        if not self._simulates or row is None or row.get("attachable_type") != "ReferenceSpace":
            return None
        space = self._holdings.row("reference_spaces", "id", row["attachable_id"]) or {}
        age = self._holdings.row("ages", "id", space.get("age_id")) or {}
        name = str(row["path"]).rpartition("/")[2].removesuffix(".zip")
        return self._packed("space", (name, str(age.get("name", "P56"))))

    def published(self, path: str) -> Volume:
        """Return a file of the informatics archive by its published path.

        Raises
        ------
        Refusal
            If it does not exist.
        """
        held = self._held(f"informatics-archive/{path}")
        if held is not None:
            return held
        root = "current-release/mouse_ccf"
        patterns = {
            rf"{root}/annotation/(?P<of>\w+)/annotation_(?P<um>\d+)\.nrrd": "annotation",
            rf"{root}/average_template/average_template_(?P<um>\d+)\.nrrd": "template",
            rf"{root}/ara_nissl/ara_nissl_(?P<um>\d+)\.nrrd": "nissl",
            rf"{root}/annotation/(?P<of>\w+)/structure_masks/structure_masks_(?P<um>\d+)"
            r"/structure_(?P<id>\d+)\.nrrd": "mask",
        }
        for pattern, kind in patterns.items():
            match = re.fullmatch(pattern, path)
            if match and self._simulates and int(match["um"]) in _CCF_SHAPES:
                number = int(match["id"]) if kind == "mask" else 0
                return self._packed("ccf", (kind, int(match["um"]), number))
        raise Refusal(f"no volume at {path}")

    # --- how it is made -------------------------------------------------------------------------

    def _held(self, path: str) -> Volume | None:
        found = self._holdings.inside(safe_path(path))
        if found is None:
            return None
        return Volume(found, simulated=self._holdings.is_simulated(found))

    def _age(self, data_set_id: int) -> str:
        """Return the age of a data set; refuses those that are not here."""
        row = self._holdings.row("data_sets", "id", data_set_id)
        if row is None or not self._simulates or row.get("reference_space_id") is None:
            raise Refusal(f"no grid of data set {data_set_id}")
        space = self._holdings.row("reference_spaces", "id", row["reference_space_id"]) or {}
        age = self._holdings.row("ages", "id", space.get("age_id")) or {}
        return str(age.get("name", "P56"))

    def _annotate(self, shape: tuple[int, int, int], graph_id: int) -> np.ndarray[Any, Any]:
        rows = self._holdings.rows("structures", "graph_id", graph_id)
        rows = rows or self._holdings.rows("structures", "graph_id", 1)
        return anatomy.annotate(shape, rows)

    def _pack(self, what: str, asked: tuple[Any, ...]) -> Volume:
        return Volume(self._make(what, asked), simulated=True)

    def _make(self, what: str, asked: tuple[Any, ...]) -> bytes:
        if what == "grid":
            number, age, *kinds = asked
            shape, spacing = _GRIDS.get(age, _GRIDS["P56"])
            values = anatomy.express(self._anatomy(shape, 1), number)
            about = {"data_set.xml": data_set_xml(self._holdings, number)}
            return _zip({kind: values[kind] for kind in kinds}, spacing, 1, about)
        if what == "connectivity":
            number, image, um = asked
            values = anatomy.project(self._anatomy(_CCF_SHAPES[_COARSE_UM], 1), number)
            if image not in values:
                raise Refusal(f"grids have no {image}")
            return _nrrd(values[image], um)
        if what == "space":
            return self._space(*asked)
        return self._framework(*asked)

    def _space(self, name: str, age: str) -> bytes:
        shape, spacing = _GRIDS.get(age, _GRIDS["P56"])
        if name.endswith("gridAnnotation"):
            found = self._anatomy(shape, 1 if age == "P56" else 17)
            return _zip({name: found}, spacing, 1, {}, folder=name)
        # The finer volumes: eight voxels of 25 µm for one of 200, of the shape that is published.
        if age == "P56":
            coarse, times, step = _CCF_SHAPES[_COARSE_UM], 4, 25.0
        else:
            coarse, times, step = shape, 2, spacing / 2
        found = self._anatomy(coarse, 1 if age == "P56" else 17)
        if name.endswith("atlasVolume"):
            import numpy as np

            found = (anatomy.shade(found) * 255).astype(np.uint8)
        return _zip({name: found}, step, times, {}, folder=name)

    def _framework(self, kind: str, um: int, structure_id: int) -> bytes:
        import numpy as np

        found = self._anatomy(_CCF_SHAPES[_COARSE_UM], 1)
        if kind == "annotation":
            return _nrrd(found, um)
        if kind == "mask":
            rows = self._holdings.rows("structures", "graph_id", 1)
            chosen = [r["id"] for r in rows if f"/{structure_id}/" in str(r["structure_id_path"])]
            return _nrrd(np.isin(found, chosen).astype(np.uint8), um)
        shaded = anatomy.shade(found)
        return _nrrd((shaded * 500).astype(np.uint16) if kind == "template" else shaded, um)


def _repeated(values: np.ndarray[Any, Any], times: int) -> Iterator[bytes]:
    """Return a volume with each voxel repeated, first axis fastest, a slab at a time."""
    import numpy as np

    for ml in range(values.shape[2]):
        slab = values[:, :, ml].T  # DV x AP
        slab = np.repeat(np.repeat(slab, times, 0), times, 1).astype(values.dtype.newbyteorder("<"))
        data = slab.tobytes()
        for _ in range(times):
            yield data


def _zip(
    volumes: Mapping[str, np.ndarray[Any, Any]],
    spacing_um: float,
    times: int,
    about: Mapping[str, str],
    *,
    folder: str = "",
) -> bytes:
    out = io.BytesIO()
    inside = f"{folder}/" if folder else ""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name, text in about.items():
            packed.writestr(zipfile.ZipInfo(name), text)
        for name, values in volumes.items():
            head = _metaimage(values, spacing_um, times, f"{name}.raw")
            packed.writestr(zipfile.ZipInfo(f"{inside}{name}.mhd"), head)
            raw = zipfile.ZipInfo(f"{inside}{name}.raw")
            raw.compress_type = zipfile.ZIP_DEFLATED
            with packed.open(raw, "w", force_zip64=False) as member:
                for piece in _repeated(values, times):
                    member.write(piece)
    return out.getvalue()


def _metaimage(values: np.ndarray[Any, Any], spacing_um: float, times: int, data_file: str) -> str:
    step = f"{spacing_um:g}"
    keys = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "0 0 0",
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": "RAI",
        "ElementSpacing": f"{step} {step} {step}",
        "DimSize": " ".join(str(size * times) for size in values.shape),
        "ElementType": _TYPES[values.dtype.name][0],
        "ElementDataFile": data_file,
    }
    return "".join(f"{key} = {value}\n" for key, value in keys.items())


def _nrrd(values: np.ndarray[Any, Any], um: int) -> bytes:
    times = _COARSE_UM // um
    directions = " ".join(f"({','.join(str(um * (a == b)) for b in range(3))})" for a in range(3))
    head = (
        "NRRD0004\n# simulated\n"
        f"type: {_TYPES[values.dtype.name][1]}\ndimension: 3\nspace dimension: 3\n"
        f"sizes: {' '.join(str(size * times) for size in values.shape)}\n"
        f"space directions: {directions}\nkinds: domain domain domain\n"
        "endian: little\nencoding: gzip\nspace origin: (0,0,0)\n\n"
    )
    engine = zlib.compressobj(1, wbits=31)
    pieces = [engine.compress(piece) for piece in _repeated(values, times)]
    return head.encode() + b"".join(pieces) + engine.flush()
