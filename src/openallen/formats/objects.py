"""What a store of many small objects offers, wherever it lies; and one on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

from openallen.errors import UsageError

__all__ = ["DOCUMENTS", "FolderObjects", "Objects"]

DOCUMENTS: Final = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"})
"""Names of objects that describe a Zarr store."""


class Objects(Protocol):
    """Objects under keys, read whole or in part.

    Attributes
    ----------
    name : str
        Where they lie, for messages.
    """

    name: str

    def get(
        self, key: str, start: int | None = None, stop: int | None = None, mark: str = ""
    ) -> bytes | None:
        """Return an object, or a part of it (from the end where `start` is negative).

        None if there is none. `mark` names the version of the whole it belongs to, for those that
        keep what they read.
        """
        ...

    def stat(self, key: str) -> tuple[int, str] | None:
        """Return size in bytes of an object and the mark of its version; None if there is none."""
        ...

    def ready(self, keys: Iterable[str], mark: str = "") -> None:
        """Have objects that are about to be read at hand; may do nothing."""
        ...

    def folders(self, path: str = "") -> tuple[str, ...]:
        """Name the folders directly below a folder, in order."""
        ...

    def holds(self, path: str = "") -> bool:
        """Return whether anything lies below a folder but documents of Zarr."""
        ...

    def within(self, path: str) -> Objects:
        """Return what lies below a folder."""
        ...


class FolderObjects:
    """Files below a folder of this machine.

    Parameters
    ----------
    folder
        The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = str(folder)

    def get(
        self, key: str, start: int | None = None, stop: int | None = None, mark: str = ""
    ) -> bytes | None:
        """Return a file, or a part of it; None if there is none."""
        del mark
        try:
            with (self.folder / _safe(key)).open("rb") as file:
                if start is None:
                    return file.read()
                size = file.seek(0, 2)
                first = max(0, size + start) if start < 0 else start
                file.seek(first)
                # A damaged index of a shard may name any part, also one that is not there.
                return file.read() if stop is None else file.read(max(0, min(stop, size) - first))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def stat(self, key: str) -> tuple[int, str] | None:
        """Return size in bytes of a file and when it was written; None if there is none."""
        try:
            told = (self.folder / _safe(key)).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return told.st_size, str(told.st_mtime_ns)

    def ready(self, keys: Iterable[str], mark: str = "") -> None:
        """Do nothing: they are here."""

    def folders(self, path: str = "") -> tuple[str, ...]:
        """Name the folders directly below a folder, in order."""
        place = self.folder / _safe(path)
        if not place.is_dir():
            return ()
        return tuple(sorted(inner.name for inner in place.iterdir() if inner.is_dir()))

    def holds(self, path: str = "") -> bool:
        """Return whether anything lies below a folder but documents of Zarr."""
        walked = (self.folder / _safe(path)).rglob("*")
        return any(found.name not in DOCUMENTS and found.is_file() for found in walked)

    def within(self, path: str) -> FolderObjects:
        """Return what lies below a folder."""
        return FolderObjects(self.folder / _safe(path))


def _safe(key: str) -> str:
    if key.startswith("/") or ".." in key.split("/"):
        raise UsageError("a key that leaves its folder", address=key)
    return key
