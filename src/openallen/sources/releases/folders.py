"""Releases in folders that are no part of the store, recognised by the names of their manifests.

This module loads next to nothing: every folder that is opened is looked at here.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Final

from openallen.sources.releases.flat import project_in, version_in

__all__ = ["is_release", "projects_in", "root_of"]

_MARK: Final = "_project_manifest_v"
_LOOKS: Final = 200


def is_release(folder: Path) -> bool:
    """Return whether a folder holds releases, or is a part of one that does."""
    root, name, _ = root_of(folder)
    return bool(name) or bool(projects_in(root))


def root_of(folder: Path) -> tuple[Path, str, str]:
    """Return the folder that holds the releases, and the project and version the path names.

    The path may be of one version in a cache (``NAME-VERSION`` with its manifest beside it), or of
    one project in a mirror (``NAME`` with ``manifests`` in it); both names are empty otherwise.
    """
    parts = folder.name.split("-")
    for cut in range(len(parts) - 1, 0, -1):
        name, version = "-".join(parts[:cut]), "-".join(parts[cut:])
        if folder.with_name(f"{name}{_MARK}{version}.json").is_file():
            return folder.parent, name, version
    if any(n.startswith(f"{folder.name}{_MARK}") for n in _names(folder / "manifests")):
        return folder.parent, folder.name, ""
    return folder, "", ""


def projects_in(folder: Path) -> dict[str, dict[str, Path]]:
    """Return the manifests of releases in a folder, by project and version.

    These are at its top in a cache of AllenSDK and in the store; in ``NAME/manifests`` or
    ``releases/DATE`` in a mirror, which has the layout of a bucket. Only names are looked at, and
    where they say nothing, whether AllenSDK made a cache without versions there.
    """
    found: dict[str, dict[str, Path]] = {}
    for place in (folder, *_mirrored(folder)):
        for name in _names(place):
            project, mark, rest = name.partition(_MARK)
            if mark and project and rest.endswith(".json"):
                found.setdefault(project, {})[rest.removesuffix(".json")] = place / name
    dated = (folder / "releases" / name / "manifest.json" for name in _names(folder / "releases"))
    for path in dated:
        if path.parent.name.isdigit() and path.is_file():
            found.setdefault("abc-atlas", {}).setdefault(path.parent.name, path)
    flat = "" if found else project_in(folder)
    if flat:
        found[flat] = {version_in(folder): folder / "manifest.json"}
    return found


def _mirrored(folder: Path) -> list[Path]:
    """Return folders of manifests in a mirror."""
    places = (folder / name / "manifests" for name in _names(folder, _LOOKS))
    return [place for place in places if place.is_dir()]


def _names(folder: Path, most: int | None = None) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in islice(entries, most)]
    except OSError:
        return []
