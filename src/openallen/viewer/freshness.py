"""Whether the files of an opened thing are still those that were there when it was opened.

Another process can remove a thing while somebody looks at it, or fetch it again at another size:
what was opened before would then be shown with the wrong scale.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from openallen.address import Address
from openallen.errors import OpenAllenError
from openallen.settings import Settings
from openallen.sources.context import Context

__all__ = ["Stamp", "folder_of"]

_LOOK_S: Final = 0.5
_MOST_FILES: Final = 500
# What comes and goes while a fetch is under way: who reads a thing looks for these by itself.
_PASSING: Final = (".lease", ".part", ".tmp")


def folder_of(what: str, settings: Settings) -> Path | None:
    """Return the folder of a thing in the store; None for what is kept in none.

    Parameters
    ----------
    what
        Its address.
    settings
        Settings.
    """
    try:
        with Context(settings) as context:
            return context.folder(Address.parse(what))
    except OpenAllenError:
        return None


class Stamp:
    """What tells the files of some folders from others that take their place.

    Files directly in a folder count, and names of the folders in it: manifests lie there. What is
    below is not walked through, since this is asked for every tile.

    Parameters
    ----------
    places
        The folders, or files.
    """

    def __init__(self, places: Sequence[Path]) -> None:
        self._places = tuple(places)
        self._seen = self._look()
        self._at = time.monotonic()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stamp) and self._seen == other._seen

    __hash__ = None  # type: ignore[assignment] # files change

    def holds(self) -> bool:
        """Return whether the files are the same; looked at twice a second at most."""
        now = time.monotonic()
        if now - self._at < _LOOK_S:
            return True
        self._at = now
        return self._look() == self._seen

    def _look(self) -> list[object]:
        return [_state(place) for place in self._places]


def _state(place: Path) -> object:
    try:
        if not place.is_dir():
            return _told(place.stat())
        with os.scandir(place) as entries:
            return frozenset(
                (entry.name, entry.is_dir() or _told(entry.stat()))
                for entry in islice(entries, _MOST_FILES)
                if not entry.name.startswith(".") and not entry.name.endswith(_PASSING)
            )
    except OSError:
        return None


def _told(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
