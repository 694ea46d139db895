"""Where things go: the folder named, or the one of the store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from openallen.address import Address
from openallen.errors import NotFoundError, RefusedError
from openallen.settings import Settings

__all__ = ["destination", "folder_for"]


def destination(address: Address, to: Path | str | None, settings: Settings) -> Path:
    """Give the folder things go to: the one named, else the one in the store."""
    from openallen.store import Store

    if to is None and address.scheme == "atlas":
        address = _spelled(address)
    return folder_for(Store(settings.store).folder(address) if to is None else to)


def _spelled(address: Address) -> Address:
    """Write the name of an atlas as it is usually written: one folder for ``p56`` and ``P56``."""
    from openallen.sources.atlases.catalogue import find_atlas

    try:
        return replace(address, name=find_atlas(address.name).name)
    except NotFoundError:
        return address


def folder_for(to: Path | str) -> Path:
    """Give a folder that things may go to, there or not yet.

    Raises
    ------
    RefusedError
        If it, or what it would lie in, is a file.
    """
    folder = Path(to).expanduser().absolute()
    for place in (folder, *folder.parents):
        if place.is_dir():
            break
        if place.exists():
            raise RefusedError(
                "this is a file, not a folder",
                address=str(place),
                hint="choose a folder with --to DIR",
            )
    return folder
