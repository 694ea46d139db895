"""Opening what is here, or what can be read where it lies."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from openallen.address import Address, AddressLike
from openallen.errors import NotFoundError, UsageError
from openallen.settings import Settings
from openallen.verbs.place import destination
from openallen.verbs.rows import open_structures
from openallen.verbs.session import KINDS, open_local, open_release, open_session, open_url

__all__ = ["open"]


def _open_place(place: Path, **options: Any) -> Any:
    from openallen.formats.omezarr import OmeZarr
    from openallen.stacks import ImageStack
    from openallen.stacks.manifest import MANIFEST_NAME

    if not place.exists():
        raise NotFoundError(
            "there is no such file or folder", address=str(place), hint="openallen --help"
        )
    if place.suffix in {".nwb", ".h5", ".hdf5"} or _is_zarr_nwb(place):
        return open_local(place, **options)
    _no_options(options)
    if (place / "zarr.json").exists():
        return OmeZarr(place)
    if place.is_file() and place.suffix != ".zip" and place.name != MANIFEST_NAME:
        raise UsageError(
            "this kind of file cannot be opened",
            address=str(place),
            hint="an .nwb file, or a folder",
        )
    if place.suffix == ".zip" or (place.is_dir() and any(place.glob("grid_*.zip"))):
        from openallen.atlases import ExpressionGrid

        return ExpressionGrid(place)
    return ImageStack(place.parent if place.name == MANIFEST_NAME else place)


def _is_zarr_nwb(place: Path) -> bool:
    """Tell whether a folder is NWB in Zarr: its root says so."""
    for name in (".zattrs", "zarr.json"):
        try:
            told = json.loads((place / name).read_text("utf-8"))
        except (OSError, ValueError):
            continue
        attributes = told.get("attributes", told) if isinstance(told, dict) else {}
        if "nwb_version" in attributes or attributes.get("neurodata_type") == "NWBFile":
            return True
    return False


def _no_options(options: dict[str, Any]) -> None:
    if options:
        raise UsageError(f"'{next(iter(options))}' goes with sessions only")


def open(what: AddressLike | Path, **options: Any) -> Any:  # noqa: A001 - the verb of the house
    """Open a release, a session, a stack: by address, or by the file or folder that holds it.

    Parameters
    ----------
    what
        ``release:visual-behavior-ophys``,
        ``release:visual-behavior-ophys/ophys_experiment/951980471``, ``stack:313862022``, an NWB
        file or its web address, a folder that was fetched, an OME-Zarr store.
    **options
        For sessions: ``remote`` (False fetches first, True reads from afar) and those of
        `openallen.sessions.BehaviorSession`.

    Returns
    -------
    Release, BehaviorSession, BehaviorOphysExperiment, BehaviorEcephysSession, ImageStack, OmeZarr
        By what the address names, or the file or folder holds.

    Raises
    ------
    NotFoundError
        If it is not here, with the command that fetches it.
    """
    text = str(what)
    place = Path(text).expanduser() if not isinstance(what, Address) else None
    if place is not None and (place.exists() or isinstance(what, Path) or ":" not in text):
        return _open_place(place, **options)
    if re.match(r"https?://", text):
        known = _named(text)
        if known is None:
            return open_url(text, **options)  # not of a release: any place that answers ranges
        where = known
    else:
        where = Address.parse(text)
    if where.scheme == "release":
        if len(where.path) == 2 and where.path[0] in KINDS:
            return open_session(where, **options)
        _no_options(options)
        return open_release(where)
    _no_options(options)
    if where.scheme == "structures":
        return open_structures(where)
    return _open_stored(where)


def _named(url: str) -> Address | None:
    try:
        return Address.parse(url)
    except UsageError:
        return None


def _open_stored(where: Address) -> Any:
    """Open what was fetched into the store."""
    from openallen.stacks import ImageStack

    if where.scheme not in {"stack", "grid"}:
        raise UsageError(
            "only stacks, grids, releases and sessions can be opened so far", address=str(where)
        )
    folder = destination(where, None, Settings.load())
    try:
        if where.scheme == "stack":
            return ImageStack(folder)
        from openallen.atlases import ExpressionGrid

        return ExpressionGrid(folder)
    except NotFoundError as error:
        raise NotFoundError(
            f"this {where.scheme} is not in the store",
            address=str(where),
            why=error.what,
            hint=f"openallen fetch {where}",
        ) from error
