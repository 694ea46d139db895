"""Errors of the disk as our errors; small files written whole."""

from __future__ import annotations

import errno
import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from openallen.errors import OpenAllenError, SpaceError, StoreError

__all__ = ["disk_error", "read_kept", "write_whole"]

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def disk_error(error: OSError, path: Path) -> OpenAllenError:
    """Return the error to raise for a failure to write at `path`."""
    why = error.strerror or str(error)
    if error.errno in _FULL:
        return SpaceError(
            "the disk is full",
            address=str(path),
            why=why,
            hint="free some space and run the same command again; it resumes",
        )
    return StoreError(
        "cannot write here", address=str(path), why=why, hint="choose another folder with --to DIR"
    )


def read_kept(path: Path) -> dict[str, Any]:
    """Return the JSON object stored at `path`; empty where there is none, or it is damaged."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file so that it is there whole, and on the disk, or not at all.

    Raises
    ------
    StoreError, SpaceError
        If it cannot be written.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise disk_error(error, path) from error
