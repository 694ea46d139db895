"""What grids, atlases, volumes and ontologies look like: slices, and trees of structures."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

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
)

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from openallen.sources.atlases.models import DataSet, Kind

__all__ = [
    "AnyAtlas",
    "frame_of",
    "shown",
    "slices_of_grid",
    "visuals_of_atlas",
    "visuals_of_connectivity",
    "visuals_of_expression",
    "visuals_of_structures",
]

_FIRST: Final = ("energy", "projection_density")
Frame = tuple[tuple[int, int, int], tuple[float, ...]]


# Those who have views import this module, so it knows them by what they can do.
class _Ontology(Protocol):
    graph_id: int

    def __iter__(self) -> Iterator[Any]: ...
    def table(self) -> Any: ...


class AnyAtlas(Protocol):
    """What is asked of an atlas."""

    cache: Path | None

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def parts(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def simulated(self) -> bool: ...  # noqa: D102
    @property
    def structures(self) -> Any: ...  # noqa: D102
    def file(self, part: str) -> Path: ...  # noqa: D102
    def volume(self, part: str) -> xr.DataArray: ...  # noqa: D102
    def read(self, part: str) -> xr.DataArray: ...  # noqa: D102


class _Grid(Protocol):
    cache: Path | None
    outlines: Callable[[], AnyAtlas] | None

    @property
    def data_set(self) -> DataSet | None: ...
    @property
    def simulated(self) -> bool: ...
    def known(self, kind: str) -> Kind | None: ...


class _Expression(_Grid, Protocol):
    @property
    def kinds(self) -> tuple[str, ...]: ...
    def frame(self, kind: str) -> tuple[tuple[int, ...], tuple[float, ...]]: ...
    def path_of(self, kind: str) -> Path: ...
    def volume(self, kind: str) -> xr.DataArray: ...


class _Connectivity(_Grid, Protocol):
    @property
    def places(self) -> Mapping[tuple[str, int], Path]: ...
    def volume(self, kind: str, resolution_um: int | None = None) -> xr.DataArray: ...


# --- structures -----------------------------------------------------------------------------------


def shown(structures: _Ontology) -> list[Structure]:
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


def visuals_of_structures(structures: _Ontology) -> tuple[Visual, ...]:
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


def visuals_of_atlas(atlas: AnyAtlas) -> tuple[Visual, ...]:
    """Return the views of an atlas: the volumes of each voxel grid, the finest last.

    Parameters
    ----------
    atlas
        The atlas.
    """
    grids: dict[Frame, list[str]] = {}
    for part in atlas.parts:
        if kind_of(part) != "mesh":
            grids.setdefault(frame_of(atlas, part), []).append(part)
    ordered = sorted(grids.items(), key=lambda item: -item[0][1][0])
    return tuple(slices_of_grid(atlas, frame, parts) for frame, parts in ordered)


def frame_of(atlas: AnyAtlas, part: str) -> Frame:
    """Return the shape of a part and the size of its voxels in µm; only its header is read."""
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


def slices_of_grid(atlas: AnyAtlas, frame: Frame, parts: Sequence[str]) -> SlicesVisual:
    """Return the slices of volumes of an atlas that lie on one grid.

    Parameters
    ----------
    atlas
        The atlas.
    frame
        Shape of the grid, and size of its voxels in µm.
    parts
        The volumes.
    """
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


def _structures_of(atlas: AnyAtlas) -> list[Structure]:
    try:
        return shown(atlas.structures)
    except NotFoundError:
        return []


def _of_part(atlas: AnyAtlas, part: str) -> Volume:
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


# --- grids ----------------------------------------------------------------------------------------


def visuals_of_expression(grid: _Expression) -> tuple[Visual, ...]:
    """Return the views of an expression grid: its volumes, with outlines where there is an atlas.

    Parameters
    ----------
    grid
        The grid.
    """
    frames: dict[Frame, list[str]] = {}
    for kind in grid.kinds:
        (one, two, three), spacing = grid.frame(kind)
        frames.setdefault(((one, two, three), spacing), []).append(kind)

    def volumes(kinds: Sequence[str]) -> Iterator[Volume]:
        for kind in kinds:
            yield _of_kind(grid, kind, functools.partial(grid.volume, kind), grid.path_of(kind))

    made = (_of_data_set(grid, f, kinds, volumes(kinds)) for f, kinds in frames.items())
    return tuple(made)


def visuals_of_connectivity(grid: _Connectivity) -> tuple[Visual, ...]:
    """Return the views of a connectivity grid: the volumes of each voxel size, coarsest first.

    Parameters
    ----------
    grid
        The grid.
    """
    frames: dict[Frame, list[tuple[str, int, Path]]] = {}
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
    grid: _Grid,
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
    grid: _Grid,
    frame: Frame,
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
    atlas_of: Callable[[], AnyAtlas] | None, frame: Frame
) -> tuple[tuple[Volume, ...], Callable[[], Sequence[Structure]]]:
    """Return the annotation of an atlas on the very grid of a data set, where it is here."""
    if atlas_of is None:
        return (), tuple
    try:
        atlas = atlas_of()
        parts = [p for p in atlas.parts if kind_of(p) in ANNOTATIONS]
        found = next((p for p in parts if frame_of(atlas, p) == frame), None)
    except OpenAllenError:
        return (), tuple
    if found is None:
        return (), tuple
    return (_of_part(atlas, found),), functools.partial(_structures_of, atlas)
