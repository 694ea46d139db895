"""A place: a file, or a folder of many objects, on this machine or remote, to be recognised."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from openallen.display import count_text
from openallen.formats.kinds import kind_of
from openallen.formats.objects import FolderObjects, Objects

__all__ = ["LIKELY", "MAYBE", "SURE", "Place", "holdings"]

SURE: Final = 100
"""It says itself what it is: a manifest, a version mark, a known attribute."""
LIKELY: Final = 60
"""Its name and its form say so."""
MAYBE: Final = 20
"""Only its name says so."""

_MOST_LISTED: Final = 10_000


@dataclass(frozen=True)
class Place:
    """A file or a folder that is to be opened for what it holds.

    Parameters
    ----------
    name
        Its path or web address, for messages.
    objects
        What lies in the folder, or in the folder around the file.
    file
        The name of the file; empty for a folder.
    path
        Where it is on this machine; None for a remote one.
    url
        Where a remote one is.
    immutable
        Whether the URL names one version for good.
    around
        What lies around a remote folder, in all of its asset: its links may name others of it.
    at
        Where in that it lies.
    """

    name: str
    objects: Objects
    file: str = ""
    path: Path | None = None
    url: str = ""
    immutable: bool = False
    around: Objects | None = None
    at: str = ""

    @classmethod
    def here(cls, path: Path) -> Place:
        """Return the place of a file or folder on this machine.

        Parameters
        ----------
        path
            The file or folder; it exists.
        """
        if path.is_dir():
            return cls(str(path), FolderObjects(path), path=path)
        return cls(str(path), FolderObjects(path.parent), path.name, path)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of many objects."""
        return not self.file

    @functools.cached_property
    def kind(self) -> str:
        """What a folder says at its root: image, session, recording, zarr; empty where nothing."""
        return kind_of(self.objects) if self.is_folder else ""

    def ends(self, *endings: str) -> bool:
        """Return whether it is a file whose name ends so, in any case.

        Parameters
        ----------
        *endings
            Endings in lower case.
        """
        return bool(self.file) and self.file.lower().endswith(endings)

    def has(self, *keys: str) -> bool:
        """Return whether a folder has one of these files at its root.

        Parameters
        ----------
        *keys
            Names of files, relative to the folder.
        """
        return self.is_folder and any(self.objects.stat(key) is not None for key in keys)

    def glob(self, *patterns: str) -> list[Path]:
        """Return files of a folder on this machine that match a pattern, in order.

        Parameters
        ----------
        *patterns
            Patterns as `pathlib.Path.glob` takes them.
        """
        if not self.is_folder or self.path is None:
            return []
        return sorted({p for pattern in patterns for p in self.path.glob(pattern)})


def holdings(place: Place) -> str:
    """Return what a local folder holds, in words: ``4 .nwb files, 1 folder``.

    Parameters
    ----------
    place
        The folder; the text is empty for anything else.
    """
    if place.path is None or not place.is_folder:
        return ""
    counts: Counter[str] = Counter()
    folders = 0
    for number, inner in enumerate(place.path.iterdir()):
        if number >= _MOST_LISTED:
            break
        if inner.is_dir():
            folders += 1
        else:
            counts[inner.suffix.lower() or "other"] += 1
    told = [count_text(n, f"{suffix} file") for suffix, n in counts.most_common(4)]
    told += [count_text(folders, "folder")] if folders else []
    return ", ".join(told) or "nothing"
