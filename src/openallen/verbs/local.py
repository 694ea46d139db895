"""Opening what is on this machine, by what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.errors import MissingExtraError, NotFoundError, UsageError
from openallen.verbs.session import open_any

if TYPE_CHECKING:
    from openallen.formats.objects import Objects

__all__ = ["no_options", "open_place", "open_store"]


def open_place(place: Path, **options: Any) -> Any:
    """Open a file or folder.

    Raises
    ------
    NotFoundError
        If there is none.
    UsageError
        If it is of no kind that opens, or an option does not go with it.
    """
    from openallen.formats.kinds import kind_of
    from openallen.formats.objects import FolderObjects
    from openallen.sources.stacks import ImageStack
    from openallen.sources.stacks.manifest import MANIFEST_NAME

    if not place.exists():
        raise NotFoundError(
            "there is no such file or folder", address=str(place), hint="openallen --help"
        )
    kind = kind_of(FolderObjects(place)) if place.is_dir() else ""
    if kind == "session" or (place.is_file() and place.suffix in {".nwb", ".h5", ".hdf5"}):
        return _open_h5(place, **options)
    no_options(options)
    if kind:
        return open_store(FolderObjects(place), kind)
    found = _open_volumes(place)
    if found is not None:
        return found
    if place.is_file() and place.name != MANIFEST_NAME:
        raise UsageError(
            "this kind of file cannot be opened",
            address=str(place),
            hint="an .nwb, .nrrd, .zip or .swc file, or a folder",
        )
    return ImageStack(place.parent if place.name == MANIFEST_NAME else place)


def _open_volumes(place: Path) -> Any:
    """Open grids and atlases by what they are called; None for what is neither."""
    from openallen.sources.atlases.atlas import FACTS_NAME, lone_volume
    from openallen.sources.atlases.grids import open_grid

    if place.is_file() and place.suffix in {".zip", ".nrrd"}:
        found = lone_volume(place)
        return open_grid(place) if found is None else found
    if place.is_file() and place.suffix == ".swc":
        from openallen.formats.swc import read_swc

        return read_swc(place)
    if place.is_dir() and any(any(place.glob(f"grid_*.{ending}")) for ending in ("zip", "nrrd")):
        return open_grid(place)
    volumes = place.is_dir() and (any(place.glob("*.nrrd")) or (place / FACTS_NAME).exists())
    if not volumes:
        return None
    from openallen.sources.atlases import Atlas

    return Atlas(place)


def open_store(place: Objects, kind: str) -> Any:
    """Open a store of many objects, here or far away, by its kind.

    Parameters
    ----------
    place
        The store.
    kind
        What `openallen.formats.kinds.kind_of` says: ``recording``, ``image``, or ``zarr`` for
        groups of another kind.
    """
    if kind == "recording":
        from openallen.sources.recordings import open_recording

        return open_recording(place)
    if kind == "image":
        from openallen.formats.omezarr import OmeZarr

        return OmeZarr(place)
    try:
        from openallen.formats.zarrs import Hierarchy
    except ImportError:
        raise MissingExtraError("images", "reading Zarr") from None
    return Hierarchy(place)


def _open_h5(place: Path, **options: Any) -> Any:
    """Open a session in NWB, or a simulated recording."""
    if place.suffix in {".h5", ".hdf5"} and not options:
        from openallen.sources.recordings import open_recording
        from openallen.sources.recordings.mearec import is_mearec

        if is_mearec(place):
            return open_recording(place)
    return open_any(place, **options)


def no_options(options: dict[str, Any]) -> None:
    """See that no options were given.

    Raises
    ------
    UsageError
        If there are some.
    """
    if options:
        raise UsageError(f"'{next(iter(options))}' goes with sessions only")
