"""Folders that hold releases, opened as they are, without a network.

Two layouts are recognised: the cache that openallen and AllenSDK share (manifests at the top, a
folder for each version), and a mirror (``fetch release:NAME --mirror``), laid out as the bucket is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from openallen.display import count_text
from openallen.errors import CorruptError, NotFoundError, OfflineError, OpenAllenError
from openallen.plans import fetch_command
from openallen.sources.releases.cache import ReleaseCache
from openallen.sources.releases.models import Manifest, Project, ReleaseFile
from openallen.sources.releases.projects import PROJECTS, project_from
from openallen.sources.releases.read import Release
from openallen.store.digests import algorithm_of, digest_of
from openallen.transport import Http
from openallen.transport.s3 import Bucket

__all__ = ["ReleaseFolder", "layout_of", "open_release_folder", "recognise_release"]

_MANIFEST: Final = re.compile(r"(?P<name>.+)_project_manifest_v(?P<version>.+)\.json")


@dataclass(frozen=True)
class ReleaseFolder:
    """A folder that holds versions of a project.

    Parameters
    ----------
    project
        The project.
    folder
        The folder of the project: the cache, or the top of the mirror.
    mirror
        Whether it has the layout of the bucket.
    version
        The version that the path named (``visual-behavior-ophys-1.0.1``); empty for none.
    """

    project: Project
    folder: Path
    mirror: bool = False
    version: str = ""

    def cache(self, *, http: Http | None = None, endpoint: str = "") -> ReleaseCache:
        """Return the cache of this folder; offline where no client is given."""
        bucket = Bucket(
            http=http or Http(offline=True),
            name=self.project.bucket,
            endpoint=endpoint,
            region=self.project.region,
        )
        return ReleaseCache(self.project, bucket, self.folder, self.mirror)


def recognise_release(
    folder: Path, projects: Mapping[str, Mapping[str, Any]] | None = None
) -> ReleaseFolder | None:
    """Return what release a folder holds; None if it holds none.

    Parameters
    ----------
    folder
        A cache AllenSDK or openallen made, the folder of one version in it, or a mirror.
    projects
        Projects of the settings, by name.
    """
    for place in (folder, folder.parent):
        found = _in(place, projects or {})
        if found is None:
            continue
        if place == folder:
            return found
        name = found.project.name
        if not found.mirror and folder.name.startswith(f"{name}-") and folder.is_dir():
            return replace(found, version=folder.name[len(name) + 1 :])
        if found.mirror and folder.name == name:
            return found
    return None


def _in(folder: Path, projects: Mapping[str, Mapping[str, Any]]) -> ReleaseFolder | None:
    for pattern, mirror in (
        ("*_project_manifest_v*.json", False),
        ("*/manifests/*_project_manifest_v*.json", True),
    ):
        names = [m["name"] for p in folder.glob(pattern) if (m := _MANIFEST.fullmatch(p.name))]
        if names:
            return ReleaseFolder(_project(min(names), projects), folder, mirror)
    if any(folder.glob("releases/[0-9]*/manifest.json")):
        dated = [p for p in PROJECTS.values() if p.form == "abc-atlas"]
        return ReleaseFolder(dated[0], folder, mirror=True)
    return None


def _project(name: str, projects: Mapping[str, Mapping[str, Any]]) -> Project:
    """Return the project of a name; of one that nobody knows, as much as its name says."""
    if name in projects:
        return project_from(name, projects[name])
    return PROJECTS.get(name) or Project(name=name, title=name, bucket=name)


def layout_of(folder: Path, cache: ReleaseCache) -> ReleaseCache:
    """Return the cache of a project for another folder, with the layout found there."""
    plain = replace(cache, folder=folder, mirror=False)
    mirrored = replace(cache, folder=folder, mirror=True)
    return mirrored if not plain.here() and mirrored.here() else plain


def open_release_folder(
    folder: Path, version: str = "", projects: Mapping[str, Mapping[str, Any]] | None = None
) -> Release:
    """Open a version of a release from a folder, without a network.

    Parameters
    ----------
    folder
        A cache AllenSDK or openallen made, the folder of one version in it, or a mirror.
    version
        The version; the one the path names, else the one used last, else the newest that is here.
    projects
        Projects of the settings, by name.

    Returns
    -------
    Release
        Its tables and files, as far as they are here. A file is compared with its digest when it
        is first asked for.

    Raises
    ------
    NotFoundError
        If the folder holds no release, or not that version.
    """
    found = recognise_release(folder.absolute(), projects)
    if found is None:
        raise NotFoundError(
            "no release in this folder",
            address=str(folder),
            why="neither a cache of AllenSDK or openallen, nor a mirror",
        )
    cache = found.cache()
    chosen, notes = cache.resolve(version or found.version or _usual(cache))
    manifest = cache.manifest(chosen)
    intact: dict[Path, tuple[int, int]] = {}

    def check(where: ReleaseCache, of: Manifest, files: Sequence[ReleaseFile]) -> None:
        _check_here(where, of, files, intact)

    @contextmanager
    def connect() -> Iterator[tuple[ReleaseCache, Any]]:
        yield cache, check

    return Release(cache, manifest, connect, notes)


def _usual(cache: ReleaseCache) -> str:
    here, last = cache.here(), cache.last_used
    return str(last if last in here else here[0])


def _check_here(
    cache: ReleaseCache,
    manifest: Manifest,
    files: Sequence[ReleaseFile],
    intact: dict[Path, tuple[int, int]],
) -> None:
    """Check that files are here, and compare each with its digest once.

    Raises
    ------
    OfflineError
        If some are not here.
    CorruptError
        If one is not what was published.
    """
    missing = [f for f in files if not cache.path(manifest, f).is_file()]
    command = fetch_command(
        manifest.address, to=cache.folder, options="--mirror" if cache.mirror else ""
    )
    if missing:
        raise OfflineError(
            f"{count_text(len(missing), 'file')} of {len(files):,} not in this folder",
            address=str(cache.folder),
            why=", ".join(f.path for f in missing[:3]) + (", …" if len(missing) > 3 else ""),
            hint=command,
        )
    for file in files:
        path = cache.path(manifest, file)
        stat = path.stat()
        mark = (stat.st_size, stat.st_mtime_ns)
        if intact.get(path) == mark or not file.digest:
            continue
        if _digest(path, file) != file.digest:
            raise CorruptError(
                "damaged", address=str(path), why="not what was published", hint=command
            )
        intact[path] = mark


def _digest(path: Path, file: ReleaseFile) -> str:
    try:
        return digest_of(path, algorithm_of(file.digest))
    except OSError as error:
        raise OpenAllenError("cannot be read", address=str(path), why=str(error)) from error
