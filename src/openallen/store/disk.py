"""What the disk says, in the words of the error tree."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from openallen.errors import OpenAllenError, SpaceError, StoreError

__all__ = ["disk_error"]

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def disk_error(error: OSError, path: Path) -> OpenAllenError:
    """Give the error to raise for what went wrong while writing at `path`."""
    why = error.strerror or str(error)
    if error.errno in _FULL:
        return SpaceError(
            "the disk is full",
            address=str(path),
            why=why,
            hint="make room and run the same command again; it goes on where it stopped",
        )
    return StoreError(
        "cannot write here", address=str(path), why=why, hint="choose another folder with --to DIR"
    )
