"""Errors of the disk as our errors; small files written whole."""

from __future__ import annotations

import errno
import glob
import os
import secrets
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from openallen.errors import OpenAllenError, SpaceError, StoreError
from openallen.json_text import load_json

__all__ = ["disk_error", "read_object", "sync_folders", "write_whole"]

_ATTEMPTS: Final = 5
_TOKEN: Final = "[0-9a-f]" * 8
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


def sync_folders(root: Path, paths: Iterable[str]) -> None:
    """Sync the folders of new files: a rename is only in memory until its folder is synced.

    Parameters
    ----------
    root
        What the paths are relative to.
    paths
        The files.
    """
    for folder in {path.rpartition("/")[0] for path in paths}:
        with suppress(OSError):
            handle = os.open(root / folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def is_alive(pid: int) -> bool:
    """Return whether a process of this machine may be there; True where that cannot be known."""
    if sys.platform == "win32":
        return True  # signal 0 would end it there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # of another user
    return not _has_ended(pid)


def _has_ended(pid: int) -> bool:
    """Return whether a process is only an entry that nobody has collected yet, as far as is known.

    In a container whose first process collects none, killed processes stay in the table for good.
    """
    try:
        told = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return told.rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"])


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object stored at `path`; empty where there is none, or it is damaged."""
    try:
        found = load_json(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file so that it is there whole, and on the disk, or not at all.

    Drafts that a killed process left beside it are removed.

    Raises
    ------
    StoreError, SpaceError
        If it cannot be written.
    """
    for attempt in range(_ATTEMPTS):
        draft = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
        try:
            _write(draft, path, data)
        except FileNotFoundError as error:
            # A process of another host wrote the same file and took the draft for a leftover.
            if attempt == _ATTEMPTS - 1:
                raise disk_error(error, path) from error
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise disk_error(error, path) from error
        else:
            break
    for left in path.parent.glob(f"{glob.escape(path.name)}.*-{_TOKEN}.part"):
        number = left.name.removeprefix(f"{path.name}.").partition("-")[0]
        if number.isdigit() and not is_alive(int(number)):
            with suppress(OSError):
                left.unlink()


def _write(draft: Path, path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
