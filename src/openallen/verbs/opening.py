"""Opening what is here, or what can be read where it lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from openallen.address import Address, AddressLike
from openallen.errors import NotFoundError, UsageError
from openallen.settings import Settings
from openallen.verbs.place import destination
from openallen.verbs.release import open_release

__all__ = ["open"]


def _open_place(place: Path) -> Any:
    from openallen.formats.omezarr import OmeZarr
    from openallen.stacks import ImageStack
    from openallen.stacks.manifest import MANIFEST_NAME

    if not place.exists():
        raise NotFoundError(
            "there is no such folder", address=str(place), hint="openallen list stack:"
        )
    if (place / "zarr.json").exists():
        return OmeZarr(place)
    return ImageStack(place.parent if place.name == MANIFEST_NAME else place)


def open(what: AddressLike | Path) -> Any:  # noqa: A001 - the verb of the house
    """Open a release, or what was fetched: a stack by its address or folder, an OME-Zarr store.

    Returns
    -------
    ImageStack, OmeZarr or Release
        By what the address names, or the folder holds.

    Raises
    ------
    NotFoundError
        If it is not here, with the command that fetches it.
    """
    from openallen.stacks import ImageStack

    if isinstance(what, str) and what.startswith("release:"):
        return open_release(what)
    place = Path(str(what)).expanduser() if not isinstance(what, Address) else None
    if place is not None and (place.exists() or isinstance(what, Path) or ":" not in str(what)):
        return _open_place(place)
    where = Address.parse(str(what))
    if where.scheme != "stack":
        raise UsageError("only stacks and releases can be opened so far", address=str(where))
    folder = destination(where, None, Settings.load())
    try:
        return ImageStack(folder)
    except NotFoundError as error:
        raise NotFoundError(
            "this stack is not in the store",
            address=str(where),
            why=f"there is no {folder}",
            hint=f"openallen fetch {where}",
        ) from error
