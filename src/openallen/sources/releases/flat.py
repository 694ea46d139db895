"""Caches of AllenSDK that have no versions: files right in the folder, known by ``manifest.json``.

Such a manifest says where files go, not which there are: the folder itself is what tells.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from openallen.json_text import load_json

__all__ = ["document_of", "entries_in", "project_in", "version_in"]

_MANIFEST: Final = "manifest.json"
_LONGEST: Final = 1 << 16
_KEYS: Final = (
    ("visual-coding-neuropixels", frozenset({"sessions", "probes", "channels", "units"})),
    ("visual-coding-2p", frozenset({"EXPERIMENT_CONTAINERS", "EXPERIMENTS"})),
)


def project_in(folder: Path) -> str:
    """Return the project whose cache AllenSDK made in a folder; empty if it made none.

    Parameters
    ----------
    folder
        The folder.
    """
    path = folder / _MANIFEST
    try:
        if path.stat().st_size > _LONGEST:
            return ""
        told = load_json(path.read_text("utf-8"))["manifest"]
        keys = {entry.get("key") for entry in told}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""
    return next((name for name, wanted in _KEYS if wanted <= keys), "")


def entries_in(folder: Path) -> list[tuple[str, os.stat_result]]:
    """Return the files below a folder by their path in it, but for the manifest and hidden ones.

    Parameters
    ----------
    folder
        The folder.
    """
    found: list[tuple[str, os.stat_result]] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place) / name
            if name == _MANIFEST or name.startswith((".", "_")) or not path.is_file():
                continue
            found.append((path.relative_to(folder).as_posix(), path.stat()))
    return found


def version_in(folder: Path) -> str:
    """Return the day of the newest file as a version, as of a bucket without manifests.

    Parameters
    ----------
    folder
        The folder.
    """
    newest = max((stat.st_mtime for _, stat in entries_in(folder)), default=0.0)
    return f"{datetime.fromtimestamp(newest, UTC):%Y%m%d}"


def document_of(folder: Path, prefix: str) -> dict[str, Any]:
    """Return what stands for the manifest of such a folder, as of a bucket's listing.

    Parameters
    ----------
    folder
        The folder.
    prefix
        What the keys of the project's files begin with in its bucket.
    """
    listed = [[prefix + path, stat.st_size, ""] for path, stat in entries_in(folder)]
    return {"version": version_in(folder), "listed": listed}
