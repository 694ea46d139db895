"""Where things lie in the store: one folder per system, a tree people can read."""

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
    """The folder that keeps what was fetched when no destination is named.

    Parameters
    ----------
    root
        Its path; made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, address: Address) -> Path:
        """Give the folder of what `address` names: ``stacks/313862022``.

        Raises
        ------
        UsageError
            If it names no single thing that is kept in a folder.
        """
        system = FOLDERS.get(address.scheme)
        if system is None or not address.name:
            raise UsageError(
                "this names no single thing that can be kept",
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
        """Keep a thing in a folder outside the store from now on."""
        write_whole(self._pointer(self.folder(address)), str(folder.absolute()).encode())

    @staticmethod
    def _pointer(folder: Path) -> Path:
        return folder.with_name(folder.name + ".folder")

    def index(self) -> Index:
        """Open what is remembered of the files here and elsewhere."""
        return Index(self.root)
