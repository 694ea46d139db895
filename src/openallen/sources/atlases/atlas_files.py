"""How the files of an atlas are called in a folder, and what the parts they hold are called."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError
from openallen.formats.metaimage import read_metaimage
from openallen.formats.zips import Zip

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "ANNOTATIONS",
    "FACTS_NAME",
    "LONE_MASK",
    "TEMPLATES",
    "found_parts",
    "graph_name",
    "is_mask",
    "is_named_volume",
    "kind_of",
    "main_of",
    "order_of",
    "read_packed",
]

FACTS_NAME: Final = "atlas.json"
ANNOTATIONS: Final = ("annotation", "gridAnnotation")
TEMPLATES: Final = ("template", "atlasVolume")
_NRRD: Final = (
    (re.compile(r"annotation_(\d+)\.nrrd"), "annotation"),
    (re.compile(r"average_template_(\d+)\.nrrd"), "template"),
    (re.compile(r"ara_nissl_(\d+)\.nrrd"), "nissl"),
)
_MASK: Final = re.compile(r"structure_masks_(\d+)/structure_(\d+)\.nrrd")
LONE_MASK: Final = re.compile(r"structure_(\d+)\.nrrd", re.IGNORECASE)
"""The mask of one structure, as the service calls it, in whichever folder."""
_MESH: Final = re.compile(r"structure_meshes/(\d+)\.obj")


def graph_name(graph_id: int) -> str:
    """Return the name of the file that holds an ontology beside volumes."""
    return f"structure_graph_{graph_id}.json"


def kind_of(part: str) -> str:
    """Return the kind of a part: ``annotation`` of ``annotation/25``."""
    stem = part.partition("/")[0]
    for kind in ("gridAnnotation", "atlasVolume"):
        if stem.endswith(kind):
            return kind
    return "annotation" if stem.endswith("_annotation") else stem


def order_of(part: str) -> tuple[str, float]:
    """Return what parts are sorted by: kind, then voxel size."""
    kind, _, size = part.rpartition("/")
    return (kind, float(size)) if size.isdigit() else (part, 0.0)


def found_parts(folder: Path) -> list[tuple[str, Path]]:
    """Return the parts of an atlas in a folder, each with its file."""
    found: list[tuple[str, Path]] = []
    for path in sorted(folder.glob("*.nrrd")):
        named = ((pattern.fullmatch(path.name), part) for pattern, part in _NRRD)
        found += [(f"{part}/{match[1]}", path) for match, part in named if match]
    for path in sorted(folder.glob("structure_masks_*/structure_*.nrrd")):
        if match := _MASK.fullmatch(path.relative_to(folder).as_posix()):
            found.append((f"mask/{match[2]}/{match[1]}", path))
    for path in sorted(folder.glob("structure_meshes/*.obj")):
        if match := _MESH.fullmatch(path.relative_to(folder).as_posix()):
            found.append((f"mesh/{match[1]}", path))
    found += [(path.stem, path) for path in sorted(folder.glob("*.zip"))]
    return sorted(found, key=lambda item: order_of(item[0]))


def is_named_volume(path: Path) -> bool:
    """Return whether a file is called as a volume of an atlas is."""
    if path.suffix == ".zip":
        return kind_of(path.stem) in {*ANNOTATIONS, *TEMPLATES}
    return any(pattern.fullmatch(path.name) for pattern, _ in _NRRD)


def is_mask(path: Path) -> bool:
    """Return whether a file is a mask in the folder it was fetched to."""
    return _MASK.fullmatch(f"{path.parent.name}/{path.name}") is not None


def read_packed(path: Path, part: str) -> tuple[np.ndarray[Any, Any], tuple[float, ...]]:
    """Read the volume of a zip: AP x DV x ML, and the size of a voxel along each in µm.

    Raises
    ------
    CorruptError
        If there is none, or it is not clear which.
    IntegrityError
        If it is damaged.
    """
    with Zip(path) as packed:
        name = main_of(packed, part)
        head, stored = read_metaimage(packed.read(name), packed.beside(name), f"{path}/{name}")
    return stored.T, head.spacing[::-1]


def main_of(packed: Zip, part: str) -> str:
    """Find the volume of a zip: the only one, else the one that is called as the zip is.

    Raises
    ------
    CorruptError
        If there is none, or it is not clear which.
    """
    heads = [name for name in packed.names if name.endswith(".mhd")]
    named = [name for name in heads if name.rpartition("/")[2] == f"{kind_of(part)}.mhd"]
    found = heads if len(heads) == 1 else named
    if len(found) != 1:
        raise CorruptError(
            "which volume of this zip?" if heads else "no volume in this zip",
            address=packed.name,
            why=", ".join(heads or packed.names[:8]),
        )
    return found[0]
