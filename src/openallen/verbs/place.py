"""Where things go: the folder named, or the one of the store."""

from __future__ import annotations

from pathlib import Path

from openallen.address import Address
from openallen.errors import RefusedError
from openallen.settings import Settings

__all__ = ["destination", "folder_for"]


def destination(address: Address, to: Path | str | None, settings: Settings) -> Path:
    """Give the folder things go to: the one named, else the one in the store."""
    from openallen.store import Store

    return folder_for(Store(settings.store).folder(address) if to is None else to)


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
