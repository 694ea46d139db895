"""Sharing bytes between two paths: hard link, else reflink, else copy."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from openallen.errors import OpenAllenError
from openallen.store.disk import disk_error

__all__ = ["share"]

_FICLONE: Final = 0x40049409


def share(source: Path, target: Path) -> str:
    """Make the bytes of `source` available at `target` too; what was there is replaced.

    Never a symbolic link: those break when a folder moves, and need privileges on Windows. A copy
    keeps the time of the source, so that both show when the bytes were fetched.

    Returns
    -------
    str
        ``hard link``, ``reflink`` or ``copy``: how it was done.

    Raises
    ------
    StoreError, SpaceError
        If none of these can be done.
    """
    draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        how = _share(source.resolve(), draft)
        draft.replace(target)
        with suppress(FileNotFoundError):
            draft.unlink()  # a rename between two names of one file leaves both
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        if isinstance(error, OpenAllenError):
            raise
        raise disk_error(error, target) from error
    return how


def _share(source: Path, draft: Path) -> str:
    try:
        os.link(source, draft)
    except OSError:
        pass  # another disk, or a file system without links
    else:
        return "hard link"
    if _reflink(source, draft):
        return "reflink"
    shutil.copy2(source, draft)
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    return "copy"


def _reflink(source: Path, draft: Path) -> bool:
    """Share blocks until one of the two is written to, where the file system knows how."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        with source.open("rb") as one, draft.open("xb") as other:
            fcntl.ioctl(other.fileno(), _FICLONE, one.fileno())
        shutil.copystat(source, draft)
    except OSError:
        draft.unlink(missing_ok=True)
        return False
    return True
