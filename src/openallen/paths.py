"""Paths as people write them: read without an error of the operating system's own."""

from __future__ import annotations

import os
from pathlib import Path

from openallen.errors import UsageError

__all__ = ["existing", "expanded"]


def expanded(path: object) -> Path:
    """Return a path with ``~`` replaced by the home folder.

    Parameters
    ----------
    path
        The path, or its text.

    Raises
    ------
    UsageError
        If it is not text or a path, is empty, has a character no path can have, or names the home
        folder of an unknown user.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise UsageError(f"not a path: {type(path).__name__} given", why="text or a Path is")
    text = os.fspath(path)
    if not isinstance(text, str):
        raise UsageError("not a path: bytes given", why="text or a Path is")
    if not text:
        raise UsageError("not a path: the text is empty", why="an unset variable, perhaps")
    if "\0" in text:
        raise UsageError("not a path: it has a null character", address=text.replace("\0", "\\0"))
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError("no such user's home folder", address=text) from None


def existing(path: object) -> Path | None:
    """Return the file or folder that a text names; None where there is not one.

    Parameters
    ----------
    path
        The path, or any text: one too long to be a path, or of a user who does not exist, names
        nothing.
    """
    try:
        found = expanded(path)
        return found if found.exists() else None
    except (UsageError, OSError, UnicodeError):
        return None
