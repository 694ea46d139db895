"""Where what was asked for lies in a mirror: the layout that an archive serves."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import parse_qs

from openallen.errors import IntegrityError
from openallen.mirroring.wanted import Asked
from openallen.plans import safe_path

__all__ = ["Places", "is_answer", "is_bucket"]

_WELL_KNOWN: Final = re.compile(r"/api/v2/well_known_file_download/(\d{1,18})")
_MODEL: Final = re.compile(r"/neuronal_model/download/(\d{1,18})")
_CONNECTIVITY: Final = re.compile(r"/grid_data/download_file/(\d{1,18})")
_PUBLISHED: Final = "/informatics-archive/"
_ENDING: Final = re.compile(r"\.[A-Za-z0-9]{1,10}")
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
_LONGEST: Final = 900


def is_answer(file: str) -> bool:
    """Return whether a place is that of an answer that is kept as it came."""
    return file.startswith("answers/")


class Places:
    """Gives each thing a place of its own, on file systems that ignore case too.

    Parameters
    ----------
    taken
        Places that are in use.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()
        for file in taken:
            self._take(file)

    def place(self, asked: Asked, ending_of: str = "") -> str:
        """Return a place that is free, relative to the mirror; it is then taken.

        Parameters
        ----------
        asked
            What was asked for.
        ending_of
            A file name whose ending is used, where the URL has none.
        """
        found = _usual(asked, _ending(ending_of))
        if not found or not self._is_free(found):
            found = _odd(asked, _ending(ending_of or asked.key))
        self._take(found)
        return found

    def _take(self, file: str) -> None:
        folded = file.casefold()
        self._files.add(folded)
        self._folders.update(str(p) for p in PurePosixPath(folded).parents)

    def _is_free(self, file: str) -> bool:
        folded = file.casefold()
        if folded in self._files or folded in self._folders:
            return False
        return not any(str(p) in self._files for p in PurePosixPath(folded).parents)


def _ending(name: str) -> str:
    suffix = PurePosixPath(name.rpartition("/")[2]).suffix
    return suffix.lower() if _ENDING.fullmatch(suffix) else ".bin"


def _usual(asked: Asked, ending: str) -> str:
    """Return the place that says what it holds; empty where there is none that is safe."""
    if asked.bucket:
        return _plain(f"buckets/{asked.bucket}/{asked.key}") if is_bucket(asked.bucket) else ""
    known = _WELL_KNOWN.fullmatch(asked.path)
    if known and not asked.query:
        return f"files/{known[1]}{ending}"
    model = _MODEL.fullmatch(asked.path)
    if model and not asked.query:
        return f"models/{model[1]}.zip"
    given = {name: values[-1] for name, values in parse_qs(asked.query).items()}
    grid = _CONNECTIVITY.fullmatch(asked.path)
    if grid and given.keys() == {"image", "resolution"}:
        return _plain(f"grids/{grid[1]}_{given['image']}_{given['resolution']}.nrrd")
    if asked.path.startswith(_PUBLISHED) and not asked.query:
        return _plain(asked.path.removeprefix("/"))
    return ""


def is_bucket(name: str) -> bool:
    """Return whether a text may be the name of a bucket, and of its folder."""
    return _BUCKET.fullmatch(name) is not None


def _plain(path: str) -> str:
    """Return a path if every file system takes it as it is, else nothing."""
    try:
        return safe_path(path) if len(path.encode()) <= _LONGEST else ""
    except (IntegrityError, UnicodeEncodeError):
        return ""


def _odd(asked: Asked, ending: str) -> str:
    """Return a place under the digest of what was asked for: versions, odd keys, other answers."""
    digest = hashlib.sha256(asked.name.encode("utf-8", "surrogatepass")).hexdigest()
    folder = "versions" if asked.bucket else "answers"
    return f"{folder}/{digest[:2]}/{digest[2:34]}{ending}"
