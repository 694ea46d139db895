"""Where a mirror is kept: a folder, or what stands for one while files go elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from openallen.errors import OpenAllenError
from openallen.mirroring.ledger import Entry, Ledger
from openallen.plans import RemoteFile
from openallen.store.link import share

__all__ = ["FolderHome", "Home"]


class Home(Protocol):
    """Where a mirror is kept.

    Attributes
    ----------
    root
        The folder in which it is written.
    name
        What it is called.
    """

    root: Path
    name: str

    def holds(self, entry: Entry) -> bool:
        """Return whether a file is there, with its size."""
        ...

    def obtain(self, entry: Entry, path: Path) -> None:
        """Have the bytes of a file that is there at another path too."""
        ...

    def batches(self, files: Sequence[RemoteFile]) -> Iterator[Sequence[RemoteFile]]:
        """Return files in the groups in which they are fetched."""
        ...

    def deliver(self, entries: Iterable[Entry]) -> Mapping[str, OpenAllenError]:
        """Bring files to where they are kept; return what failed, by file."""
        ...

    def publish(self, ledger: Ledger) -> None:
        """Bring what is made of the ledger, and the ledger last, to where they are kept."""
        ...


class FolderHome:
    """A mirror in a folder: everything is written where it stays.

    Parameters
    ----------
    root
        The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = str(root)

    def holds(self, entry: Entry) -> bool:
        """Return whether a file is there, with its size."""
        try:
            return (self.root / entry.file).stat().st_size == entry.size_bytes
        except OSError:
            return False

    def obtain(self, entry: Entry, path: Path) -> None:
        """Link or copy a file."""
        share(self.root / entry.file, path)

    def batches(self, files: Sequence[RemoteFile]) -> Iterator[Sequence[RemoteFile]]:
        """Return all files at once."""
        if files:
            yield files

    def deliver(self, entries: Iterable[Entry]) -> Mapping[str, OpenAllenError]:
        """Do nothing: they are where they stay."""
        del entries
        return {}

    def publish(self, ledger: Ledger) -> None:
        """Do nothing: it is where it stays."""
        del ledger
