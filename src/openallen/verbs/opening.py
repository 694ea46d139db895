"""Opening what is here, or what can be read where it lies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from openallen.address import Address, AddressLike
from openallen.errors import NotFoundError, UsageError
from openallen.settings import Settings
from openallen.verbs.local import no_options, open_place
from openallen.verbs.parts import open_asset, open_part
from openallen.verbs.place import destination
from openallen.verbs.rows import open_structures
from openallen.verbs.session import KINDS, open_release, open_session, open_url

__all__ = ["open"]


def open(what: AddressLike | Path, **options: Any) -> Any:  # noqa: A001 - the verb of the house
    """Open a release, a session, a stack: by address, or by the file or folder that holds it.

    Parameters
    ----------
    what
        ``release:visual-behavior-ophys``,
        ``release:visual-behavior-ophys/ophys_experiment/951980471``, ``stack:313862022``, an NWB
        file or its web address, a folder that was fetched, an OME-Zarr store; an asset of AIND or
        part of it (``asset:NAME/SPIM.ome.zarr/tile_000000_ch_561.zarr``), a recording.
    **options
        For sessions: ``remote`` (False fetches first, True reads from afar) and those of
        `openallen.sessions.BehaviorSession`. For parts of assets: ``remote``, and for tables
        ``columns`` and ``nrows``.

    Returns
    -------
    Release, BehaviorSession, BehaviorOphysExperiment, BehaviorEcephysSession, ImageStack, OmeZarr,
    ExpressionGrid, ConnectivityGrid, Atlas, Structures, Asset, Morphology, NwbTables, Recording,
    DataArray, DataFrame, dict
        By what the address names, or the file or folder holds. A part of an atlas
        (``atlas:ccf-2017/annotation/25``) is a labelled volume.

    Raises
    ------
    NotFoundError
        If it is not here, with the command that fetches it.
    """
    text = str(what)
    place = Path(text).expanduser() if not isinstance(what, Address) else None
    if place is not None and (place.exists() or isinstance(what, Path) or ":" not in text):
        return open_place(place, **options)
    if re.match(r"https?://", text):
        known = _named(text)
        if known is None:
            return open_url(text, **options)  # not of a release: any place that answers ranges
        where = known
    else:
        where = Address.parse(text)
    return _open_address(where, **options)


def _open_address(where: Address, **options: Any) -> Any:
    if where.scheme == "release":
        if len(where.path) == 2 and where.path[0] in KINDS:
            return open_session(where, **options)
        no_options(options)
        return open_release(where)
    if where.scheme in {"asset", "recording"} and where.name:
        if where.scheme == "asset" and not where.path:
            no_options(options)
            return open_asset(where.name)
        return open_part(where, **options)
    no_options(options)
    if where.scheme != "structures":
        return _open_stored(where)
    found = open_structures(where)
    return found.find(where.path[0]) if where.path else found


def _named(url: str) -> Address | None:
    try:
        return Address.parse(url)
    except UsageError:
        return None


def _known_atlas(where: Address) -> None:
    """See that there is such an atlas, and such a part, before saying that it is not here."""
    from openallen.sources.atlases.catalogue import find_atlas, nrrd_part

    atlas = find_atlas(where.name)
    if atlas.annotation and len(where.path) > 1 and where.path[0] not in {"mask", "mesh"}:
        nrrd_part(atlas, where.path)


def _open_stored(where: Address) -> Any:
    """Open what was fetched into the store."""
    from openallen.sources.atlases import Atlas
    from openallen.sources.atlases.grids import open_grid
    from openallen.sources.stacks import ImageStack

    if where.scheme not in {"stack", "grid", "atlas"}:
        raise UsageError(
            "this cannot be opened",
            address=str(where),
            hint="stacks, grids, atlases, structures, releases, sessions and whole assets can",
        )
    if where.scheme == "atlas":
        _known_atlas(where)
    folder = destination(where, None, Settings.load())
    try:
        if where.scheme == "stack":
            return ImageStack(folder)
        if where.scheme == "grid":
            words = (where.option("include") or "").split(",")
            size = where.option("resolution")
            kinds = tuple(word for word in words if word)
            return open_grid(folder, kinds, int(size) if size and size.isdigit() else None)
        atlas = Atlas(folder)
        return atlas.find(*where.path) if where.path else atlas
    except NotFoundError as error:
        raise NotFoundError(
            f"this {where.scheme} is not in the store",
            address=str(where),
            why=error.what if not error.why else f"{error.what}; {error.why}",
            hint=f"openallen fetch {where}",
        ) from error
