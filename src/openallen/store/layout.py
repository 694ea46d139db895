"""The layout of the store: one folder per scheme, a tree people can read."""

from __future__ import annotations

from pathlib import Path

from openallen.errors import UsageError
from openallen.plans import safe_path
from openallen.store.disk import write_whole
from openallen.store.index import Index

__all__ = ["Store"]


class Store:
    """The folder of everything fetched without a destination.

    Parameters
    ----------
    root
        Its path; created when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, system: str, name: str) -> Path:
        """Return the folder that keeps a thing of a system: ``stacks/313862022``.

        Parameters
        ----------
        system
            The folder of the source (`openallen.sources.base.Source.folder`).
        name
            The name of the thing.

        Raises
        ------
        UsageError
            If either is empty: it is not a single thing that can be kept.
        """
        if not system or not name:
            raise UsageError("not a single item that can be fetched", address=name)
        folder = self.root / system / safe_path(name)
        try:
            elsewhere = self._pointer(folder).read_text("utf-8").strip()
        except OSError:
            return folder
        return Path(elsewhere) if elsewhere else folder

    def point(self, system: str, name: str, folder: Path) -> None:
        """Use a folder outside the store for an item from now on."""
        write_whole(self._pointer(self.folder(system, name)), str(folder.absolute()).encode())

    def adopted(self, system: str, name: str) -> Path | None:
        """Return what makes the store use a folder outside it for an item: a note, or a link.

        Parameters
        ----------
        system, name
            As for `folder`.

        Returns
        -------
        pathlib.Path or None
            The file ``NAME.folder``, or a symbolic link; None where the item is the store's own.
        """
        usual = self.root / system / safe_path(name)
        note = self._pointer(usual)
        if note.is_file() and self.folder(system, name) != usual:
            return note
        return usual if usual.is_symlink() else None

    @staticmethod
    def _pointer(folder: Path) -> Path:
        return folder.with_name(folder.name + ".folder")

    def index(self) -> Index:
        """Open the index of the files in the store, and of those fetched elsewhere."""
        return Index(self.root)
