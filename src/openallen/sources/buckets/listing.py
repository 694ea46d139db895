"""What lies below a prefix: of a bucket, or of a folder that was fetched from one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from openallen.errors import NotFoundError
from openallen.formats.objects import FolderObjects, Objects
from openallen.sources.buckets.patterns import matches, static_prefix
from openallen.transport.s3 import Listed

__all__ = ["FolderBucket", "Levelled", "Listing", "LocalObjects", "listed"]

_UNFINISHED: Final = (".part", ".lease")


class Listing(Protocol):
    """Keys and their bodies: a bucket, or what stands for one."""

    def list(self, prefix: str = "", page_keys: int = 1000) -> Iterator[Listed]:
        """Return every object whose key begins so, in the order of keys."""
        ...

    def level(
        self, prefix: str = "", page_keys: int = 1000
    ) -> tuple[tuple[Listed, ...], tuple[str, ...]]:
        """Return objects directly below a prefix, and folders with their slash."""
        ...

    def read(self, key: str, version_id: str = "", limit_bytes: int = ...) -> bytes:
        """Return a small object whole."""
        ...


class Levelled(Objects, Protocol):
    """Objects whose folders can be listed with sizes."""

    def level(self, path: str = "") -> tuple[tuple[Listed, ...], tuple[str, ...]]:
        """Return objects directly below a folder, and folders by their names."""
        ...

    def within(self, path: str) -> Levelled:
        """Return what lies below a folder."""
        ...


def listed(bucket: Listing, prefix: str, pattern: str = "") -> Iterator[Listed]:
    """Return the files below a prefix that a pattern means, in the order of keys.

    Raises
    ------
    UsageError
        If it is not a pattern.
    AnswerError
        If the listing contradicts itself.
    """
    for entry in bucket.list(prefix + static_prefix(pattern)):
        below = entry.key.removeprefix(prefix)
        if below and not below.endswith("/") and matches(below, pattern):
            yield entry


class FolderBucket:
    """A folder of this machine, listed like the prefix of a bucket; a `Listing`.

    Entity tags are not those of the bucket: they say when a file was written.

    Parameters
    ----------
    folder
        The folder.
    prefix
        What its keys begin with, with a slash at the end.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder = folder
        self.prefix = prefix

    def list(self, prefix: str = "", page_keys: int = 1000) -> Iterator[Listed]:
        """Return every file whose key begins so, in the order of keys."""
        del page_keys
        found = [
            Path(at) / name
            for at, _, names in os.walk(self.folder)
            for name in names
            if not name.endswith(_UNFINISHED)
        ]
        keys = sorted((self.prefix + p.relative_to(self.folder).as_posix(), p) for p in found)
        yield from (_entry(key, path) for key, path in keys if key.startswith(prefix))

    def level(
        self, prefix: str = "", page_keys: int = 1000
    ) -> tuple[tuple[Listed, ...], tuple[str, ...]]:
        """Return files directly below a prefix that ends with a slash, and folders."""
        del page_keys
        entries, folders = LocalObjects(self.folder).level(prefix.removeprefix(self.prefix))
        return (
            tuple(_entry(prefix + e.key, self._path(prefix + e.key)) for e in entries),
            tuple(f"{prefix}{name}/" for name in folders),
        )

    def read(self, key: str, version_id: str = "", limit_bytes: int = 64 << 20) -> bytes:
        """Return a file whole.

        Raises
        ------
        NotFoundError
            If it cannot be read.
        """
        del version_id, limit_bytes
        path = self._path(key)
        try:
            return path.read_bytes()
        except OSError as error:
            raise NotFoundError(
                "this file cannot be read", address=str(path), why=str(error)
            ) from error

    def _path(self, key: str) -> Path:
        return self.folder / key.removeprefix(self.prefix)


class LocalObjects(FolderObjects):
    """Files below a folder of this machine, listed by level; a `Levelled`."""

    def level(self, path: str = "") -> tuple[tuple[Listed, ...], tuple[str, ...]]:
        """Return files directly below a folder, by their names, and folders by theirs."""
        place = self.folder / path.strip("/")
        inner = sorted(place.iterdir()) if place.is_dir() else []
        files = [p for p in inner if p.is_file() and not p.name.endswith(_UNFINISHED)]
        return (
            tuple(_entry(p.name, p) for p in files),
            tuple(p.name for p in inner if p.is_dir()),
        )

    def within(self, path: str) -> LocalObjects:
        """Return what lies below a folder."""
        return LocalObjects(self.folder / path.strip("/"))


def _entry(key: str, path: Path) -> Listed:
    """Return the entry of a file; its tag has a dash, as those have that are not an MD5."""
    told = path.stat()
    return Listed(key, told.st_size, f"here-{told.st_mtime_ns}")
