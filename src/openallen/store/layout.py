"""The layout of the store: one folder per scheme, a tree people can read."""

from __future__ import annotations

from pathlib import Path

from openallen.address import Address
from openallen.errors import UsageError
from openallen.plans import safe_path
from openallen.store.disk import write_whole
from openallen.store.index import Index

__all__ = ["FOLDERS", "Store"]

FOLDERS = {
    "stack": "stacks",
    "image": "images",
    "file": "files",
    "grid": "grids",
    "atlas": "atlases",
    "structures": "structures",
    "release": "releases",
    "asset": "assets",
    "recording": "recordings",
}
"""Folder of each scheme."""


class Store:
    """The folder of everything fetched without a destination.

    Parameters
    ----------
    root
        Its path; created when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, address: Address) -> Path:
        """Return the folder of what `address` names: ``stacks/313862022``.

        Raises
        ------
        UsageError
            If it does not name a single thing with a folder.
        """
        system = FOLDERS.get(address.scheme)
        if system is None or not address.name:
            raise UsageError(
                "does not name a single thing",
                address=str(address),
                hint=f"openallen list {address}" if not address.name else "",
            )
        folder = self.root / system / safe_path(address.name)
        try:
            elsewhere = self._pointer(folder).read_text("utf-8").strip()
        except OSError:
            return folder
        return Path(elsewhere) if elsewhere else folder

    def point(self, address: Address, folder: Path) -> None:
        """Record that a thing is in a folder outside the store from now on."""
        write_whole(self._pointer(self.folder(address)), str(folder.absolute()).encode())

    @staticmethod
    def _pointer(folder: Path) -> Path:
        return folder.with_name(folder.name + ".folder")

    def index(self) -> Index:
        """Open the index of the files in the store, and of those fetched elsewhere."""
        return Index(self.root)
