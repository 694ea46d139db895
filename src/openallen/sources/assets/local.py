"""The folder of an asset that was fetched, whole or in part, as an asset: nothing is asked for."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.json_text import load_json
from openallen.sources.assets.access import kin_of
from openallen.sources.assets.names import parse_name
from openallen.sources.assets.read import Asset
from openallen.sources.buckets.listing import FolderBucket, LocalObjects

if TYPE_CHECKING:
    from openallen.settings import Settings

__all__ = ["local_asset"]


def local_asset(folder: Path, settings: Settings, name: str = "") -> Asset:
    """Open a folder as an asset: metadata, files, contents, parts, as far as they are here.

    Parameters
    ----------
    folder
        The folder.
    settings
        What its parts are opened with.
    name
        Name of the asset; else that of the folder, or what its metadata say.
    """
    name = name or _name(folder)
    prefix = f"{name}/"
    asset = Asset(name, lambda: nullcontext(FolderBucket(folder, prefix)), None, prefix)
    asset.opening = functools.partial(_open_part, folder, settings)
    asset.looking = lambda: LocalObjects(folder)
    asset.kin = functools.partial(kin_of, str(asset.name), settings)
    asset.notes.append(f"only what is here: {folder}")
    return asset


def _name(folder: Path) -> str:
    """Return the name of the folder if it is one of assets; else what its metadata say."""
    own = folder.absolute().name
    if parse_name(own).level != "unknown":
        return own
    for sidecar in ("metadata.nd.json", "metadata.json", "data_description.json"):
        try:
            told = load_json((folder / sidecar).read_bytes())
        except (OSError, ValueError):
            continue
        name = told.get("name") if isinstance(told, dict) else None
        if isinstance(name, str) and name and "/" not in name:
            return name
    return own


def _open_part(folder: Path, settings: Settings, path: str, **options: Any) -> Any:
    from openallen.sources.context import Context

    with Context(settings) as context:
        return context.open_place(context.place(folder / path.strip("/")), **options)
