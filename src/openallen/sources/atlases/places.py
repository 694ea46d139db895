"""Files and folders of grids, atlases and ontologies: how they are told, how lone files open."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openallen.errors import CorruptError, StoreError, UsageError
from openallen.sources.base import LIKELY, MAYBE, SURE, Place

if TYPE_CHECKING:
    import xarray as xr

    from openallen.sources.atlases.structures import Structures

__all__ = [
    "VOLUMES",
    "atlas_sureness",
    "grid_sureness",
    "open_lone",
    "open_ontology",
    "ontology_sureness",
]

VOLUMES: Final = (".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".nii.gz")
"""How files of one volume end, in any case."""

_GRID: Final = re.compile(r"grid_\d+_[a-z_]+(?:_\d+)?\.(?:zip|nrrd)")
_ATLAS_FILE: Final = re.compile(
    r"(?:annotation|average_template|ara_nissl)_\d+\.nrrd"
    r"|(?:.*gridAnnotation|.*atlasVolume|(?:.*_)?annotation|template)\.zip"
)
_ATLAS_FACTS: Final = "atlas.json"
_GRAPH: Final = re.compile(r"structure_graph_(\d+)\.json")
_ROWS: Final = "structures.json"
_HALF: Final = (LIKELY + MAYBE) // 2


def grid_sureness(place: Place) -> int:
    """Return how sure it is that a place holds grids of one section data set.

    A zip of MetaImage volumes is a grid whatever it is called; a lone NRRD only by its name.
    """
    if place.path is None:
        return 0
    if place.is_folder:
        found = [p for p in place.glob("grid_*.zip", "grid_*.nrrd") if _GRID.fullmatch(p.name)]
        if not found:
            return 0
        return SURE if place.glob("data_set_*.json") else LIKELY
    if _GRID.fullmatch(place.file):
        return LIKELY
    if not place.ends(".zip") or _ATLAS_FILE.fullmatch(place.file):
        return 0
    return _zip_sureness(place.path)


def _zip_sureness(path: Path) -> int:
    """Return whether a ZIP file holds a grid by its names; a damaged one may."""
    import zipfile

    # Whatever is wrong with a file of somebody else, asking what it is raises nothing.
    with suppress(Exception), zipfile.ZipFile(path) as packed:
        return _HALF if any(n.lower().endswith(".mhd") for n in packed.namelist()) else 0
    return MAYBE


def atlas_sureness(place: Place) -> int:
    """Return how sure it is that a place is a folder of an atlas, or a file of one volume."""
    if place.path is None:
        return 0
    if not place.is_folder:
        if _ATLAS_FILE.fullmatch(place.file):
            return LIKELY
        return MAYBE if place.ends(*VOLUMES) else 0
    if place.has(_ATLAS_FACTS) and _is_atlas(place.path / _ATLAS_FACTS):
        return SURE
    named = any(_ATLAS_FILE.fullmatch(p.name) for p in place.glob("*.nrrd", "*.zip"))
    return LIKELY if named or place.glob("structure_masks_*/structure_*.nrrd") else 0


def _is_atlas(facts: Path) -> bool:
    from openallen.store.disk import read_object

    return {"name", "graph_id"} <= read_object(facts).keys()


def open_lone(path: Path) -> xr.DataArray:
    """Open the one volume that a file holds, labelled: AP x DV x ML, in µm.

    Every reader of a lone volume is called from here, and from nowhere else.

    Raises
    ------
    UsageError
        If volumes of its kind are not read.
    StoreError
        If it cannot be read.
    IntegrityError
        If it is damaged, or has not three axes.
    MissingExtraError
        Without the extra ``atlas``.
    """
    from openallen.sources.atlases.volumes import open_volume

    return open_volume(path)


def ontology_sureness(place: Place) -> int:
    """Return how sure it is that a place is an ontology, or a folder that holds but one."""
    if place.path is None:
        return 0
    if not place.is_folder:
        return LIKELY if _GRAPH.fullmatch(place.file) else 0
    graphs = [p for p in place.glob("structure_graph_*.json") if _GRAPH.fullmatch(p.name)]
    return _HALF if graphs or place.has(_ROWS) else 0


def open_ontology(path: Path) -> Structures:
    """Open an ontology: a file of ``structure_graph_download``, or the folder it lies in.

    Raises
    ------
    UsageError
        If there are several.
    CorruptError
        If it is damaged.
    """
    from openallen.errors import AnswerError
    from openallen.sources.atlases.structures import Structures
    from openallen.store.disk import read_object

    graphs = [path] if path.is_file() else sorted(path.glob("structure_graph_*.json"))
    graphs = [p for p in graphs if _GRAPH.fullmatch(p.name)]
    if len(graphs) > 1:
        raise UsageError(
            "several ontologies in this folder",
            address=str(path),
            why="available: " + ", ".join(p.name for p in graphs),
            hint=f"openallen show {graphs[0]}",
        )
    try:
        if graphs:
            match = _GRAPH.fullmatch(graphs[0].name)
            return Structures.from_graph(graphs[0].read_bytes(), int(match[1]) if match else 0)
        rows = read_object(path / _ROWS).get("rows") or []
        return Structures.from_rows(rows, int(rows[0].get("graph_id") or 0) if rows else 0)
    except (AnswerError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptError(
            "this is not an ontology", address=str(path), why=getattr(error, "what", str(error))
        ) from error
    except OSError as error:
        raise StoreError("cannot be read", address=str(path), why=error.strerror or "") from error
