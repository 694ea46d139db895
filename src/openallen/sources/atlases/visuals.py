"""What grids, atlases, volumes and ontologies look like: slices, and trees of structures."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError, OpenAllenError
from openallen.formats.metaimage import parse_header
from openallen.formats.zips import Zip
from openallen.sources.atlases.atlas_files import ANNOTATIONS, TEMPLATES, kind_of, main_of
from openallen.sources.atlases.frames import oriented
from openallen.sources.atlases.volume_files import volume_frame
from openallen.visuals import (
    SlicesVisual,
    Structure,
    TableVisual,
    TreeVisual,
    Visual,
    Volume,
    slices_of_volume,
)

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from openallen.sources.atlases.atlas import Atlas
    from openallen.sources.atlases.grids import ConnectivityGrid, ExpressionGrid
    from openallen.sources.atlases.structures import Structures

__all__ = [
    "look_of_part",
    "look_of_volume",
    "structures_near",
    "visuals_of_atlas",
    "visuals_of_connectivity",
    "visuals_of_expression",
    "visuals_of_structures",
]

_FIRST: Final = ("energy", "projection_density")
_Frame = tuple[tuple[int, int, int], tuple[float, ...]]


# --- structures -----------------------------------------------------------------------------------


def shown(structures: Structures) -> list[Structure]:
    """Return an ontology as views show it."""
    return [
        Structure(
            id=one.id,
            acronym=one.acronym,
            name=one.name,
            rgb=tuple(bytes.fromhex(one.color)),  # type: ignore[arg-type]
            parent=one.parent_id,
        )
        for one in structures
    ]


def structures_near(folder: Path) -> list[Structure]:
    """Return the ontology in a folder; nothing where there is none, or which is not clear.

    Parameters
    ----------
    folder
        The folder.
    """
    from openallen.sources.atlases.atlas import Atlas
    from openallen.sources.atlases.structures import Structures

    try:
        return shown(Atlas(folder).structures)
    except OpenAllenError:
        pass
    found = sorted(folder.glob("structure_graph_*.json"))
    try:
        return shown(Structures.from_graph(found[0].read_bytes())) if len(found) == 1 else []
    except (OpenAllenError, OSError):
        return []


def visuals_of_structures(structures: Structures) -> tuple[Visual, ...]:
    """Return the views of an ontology: its tree, and its table.

    Parameters
    ----------
    structures
        The ontology.
    """
    graph = structures.graph_id

    def address(number: int) -> str | None:
        return f"structures:{graph}/{number}" if graph else None

    tree = TreeVisual(
        name="tree", title="Structures", structures=lambda: shown(structures), address=address
    )
    return tree, TableVisual(name="rows", title="Table", table=structures.table)


# --- atlases --------------------------------------------------------------------------------------


def visuals_of_atlas(atlas: Atlas) -> tuple[Visual, ...]:
    """Return the views of an atlas: the volumes of each voxel grid, the finest last.

    Parameters
    ----------
    atlas
        The atlas.
    """
    grids: dict[_Frame, list[str]] = {}
    for part in atlas.parts:
        if kind_of(part) != "mesh":
            grids.setdefault(_frame(atlas, part), []).append(part)
    ordered = sorted(grids.items(), key=lambda item: -item[0][1][0])
    return tuple(_of_grid(atlas, frame, parts) for frame, parts in ordered)


def _frame(atlas: Atlas, part: str) -> _Frame:
    path = atlas.file(part)
    if path.suffix == ".zip":
        with Zip(path) as packed:
            name = main_of(packed, part)
            head = parse_header(packed.read(name), f"{path}/{name}")
        one, two, three = head.shape[::-1]
        return (one, two, three), head.spacing[::-1]
    if path.is_dir():  # a volume in memory
        volume = atlas.volume(part)
        one, two, three = volume.shape
        return (one, two, three), tuple(map(float, volume.attrs["spacing_um"]))
    shape, _ = volume_frame(path)
    return shape, (float(part.rpartition("/")[2]),) * 3


def _of_grid(atlas: Atlas, frame: _Frame, parts: Sequence[str]) -> SlicesVisual:
    shape, spacing = frame
    volumes = tuple(_of_part(atlas, part) for part in parts)
    names = {part: volume.name for part, volume in zip(parts, volumes, strict=True)}
    usual = [p for kinds in (TEMPLATES, ANNOTATIONS) for p in parts if kind_of(p) in kinds]
    sizes = " x ".join(f"{um:g}" for um in dict.fromkeys(spacing))
    return SlicesVisual(
        name=f"grid-{'-'.join(f'{um:g}'.replace('.', '_') for um in spacing)}-{shape[0]}",
        title=f"{atlas.name}, {sizes} µm",
        shape=shape,
        voxel_um=(spacing[0], spacing[1], spacing[2]),
        volumes=volumes,
        structures=functools.partial(_structures_of, atlas),
        first=tuple(names[part] for part in usual[:1]),
        cache=atlas.cache,
        simulated=atlas.simulated,
    )


def _structures_of(atlas: Atlas) -> list[Structure]:
    try:
        return shown(atlas.structures)
    except NotFoundError:
        return []


def _of_part(atlas: Atlas, part: str) -> Volume:
    kind = kind_of(part)
    labels = kind in ANNOTATIONS

    def read() -> NDArray[Any]:
        found: NDArray[Any] = oriented(atlas.read(part)).to_numpy()
        return found

    return Volume(
        name=part.replace("/", "-"),
        title=part,
        labels=labels,
        unit="" if kind == "mask" else "structure id" if labels else "grey level",
        read=read,
        stamp=_stamp(atlas.file(part)),
    )


def _stamp(path: Path) -> str:
    """Return what changes when a file does; empty for what is no file."""
    try:
        told = path.stat()
    except OSError:
        return ""
    if path.is_dir():
        return ""
    text = f"{path.absolute()}\0{told.st_size}\0{told.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def look_of_part(
    volume: xr.DataArray, folder: Path, part: str, cache: Path | None
) -> tuple[Visual, ...]:
    """Return the views of one volume of an atlas: the grid it is on, with this volume shown.

    Parameters
    ----------
    volume
        The volume.
    folder
        Of the atlas; it is opened anew, so that nothing holds `volume`.
    part
        What the volume is called there.
    cache
        As for `openallen.visuals.SlicesVisual`.
    """
    from dataclasses import replace

    from openallen.sources.atlases.atlas import Atlas

    atlas = Atlas(folder)
    if part not in atlas.parts:  # made from others, as a mask is
        return (slices_of_volume(volume, lambda: structures_near(folder)),)
    atlas.cache = cache
    frame = _frame(atlas, part)
    beside = [p for p in atlas.parts if kind_of(p) in (*ANNOTATIONS, *TEMPLATES)]
    parts = [p for p in dict.fromkeys((part, *beside)) if _frame(atlas, p) == frame]
    visual = _of_grid(atlas, frame, parts)
    return (replace(visual, title=f"{atlas.name} {part}", first=(part.replace("/", "-"),)),)


def look_of_volume(volume: xr.DataArray, folder: Path) -> tuple[Visual, ...]:
    """Return the slices of a volume that is a file, with the ontology that lies beside it.

    Parameters
    ----------
    volume
        The volume.
    folder
        Where its file lies.
    """
    return (slices_of_volume(oriented(volume), lambda: structures_near(folder)),)


# --- grids ----------------------------------------------------------------------------------------


def visuals_of_expression(grid: ExpressionGrid) -> tuple[Visual, ...]:
    """Return the views of an expression grid: its volumes, with outlines where there is an atlas.

    Parameters
    ----------
    grid
        The grid.
    """
    frames: dict[_Frame, list[str]] = {}
    for kind in grid.kinds:
        (one, two, three), spacing = grid.frame(kind)
        frames.setdefault(((one, two, three), spacing), []).append(kind)

    def volumes(kinds: Sequence[str]) -> Iterator[Volume]:
        for kind in kinds:
            yield _of_kind(grid, kind, functools.partial(grid.volume, kind), grid.path_of(kind))

    made = (_of_data_set(grid, f, kinds, volumes(kinds)) for f, kinds in frames.items())
    return tuple(made)


def visuals_of_connectivity(grid: ConnectivityGrid) -> tuple[Visual, ...]:
    """Return the views of a connectivity grid: the volumes of each voxel size, coarsest first.

    Parameters
    ----------
    grid
        The grid.
    """
    frames: dict[_Frame, list[tuple[str, int, Path]]] = {}
    for (kind, um), path in grid.places.items():
        shape, told = volume_frame(path)
        spacing = (float(um),) * 3 if um else told
        frames.setdefault((shape, spacing), []).append((kind, um, path))

    def volumes(parts: Sequence[tuple[str, int, Path]]) -> Iterator[Volume]:
        for kind, um, path in parts:
            yield _of_kind(grid, kind, functools.partial(grid.volume, kind, um or None), path)

    ordered = sorted(frames.items(), key=lambda item: -item[0][1][0])
    return tuple(
        _of_data_set(grid, frame, [kind for kind, _, _ in parts], volumes(parts))
        for frame, parts in ordered
    )


def _of_kind(
    grid: ExpressionGrid | ConnectivityGrid,
    kind: str,
    volume: Callable[[], xr.DataArray],
    path: Path,
) -> Volume:
    known = grid.known(kind)
    named = grid.data_set.gene if grid.data_set else ""

    def read() -> NDArray[Any]:
        found: NDArray[Any] = oriented(volume()).to_numpy()
        return found

    title = kind.replace("_", " ")
    return Volume(
        name=kind,
        title=f"{named} {title}" if named else title,
        labels=False,
        unit=known.units if known and known.units != "1" else "",
        read=read,
        stamp=_stamp(path),
    )


def _of_data_set(
    grid: ExpressionGrid | ConnectivityGrid,
    frame: _Frame,
    kinds: Sequence[str],
    volumes: Iterator[Volume],
) -> SlicesVisual:
    shape, spacing = frame
    sizes = " x ".join(f"{um:g}" for um in dict.fromkeys(spacing))
    usual = [kind for kind in _FIRST if kind in kinds]
    outlines, structures = _outlines(grid.outlines, frame)
    return SlicesVisual(
        name=f"grid-{'-'.join(f'{um:g}'.replace('.', '_') for um in dict.fromkeys(spacing))}",
        title=f"Grid of {sizes} µm",
        shape=shape,
        voxel_um=(spacing[0], spacing[1], spacing[2]),
        volumes=(*volumes, *outlines),
        structures=structures,
        first=tuple(usual[:1]),
        cache=grid.cache,
        simulated=grid.simulated,
    )


def _outlines(
    folder: Path | None, frame: _Frame
) -> tuple[tuple[Volume, ...], Callable[[], Sequence[Structure]]]:
    """Return the annotation of an atlas on the very grid of a data set, where it is here."""
    from openallen.sources.atlases.atlas import Atlas

    if folder is None:
        return (), tuple
    try:
        atlas = Atlas(folder)
        parts = [p for p in atlas.parts if kind_of(p) in ANNOTATIONS]
        found = next((p for p in parts if _frame(atlas, p) == frame), None)
    except OpenAllenError:
        return (), tuple
    if found is None:
        return (), tuple
    return (_of_part(atlas, found),), functools.partial(_structures_of, atlas)
