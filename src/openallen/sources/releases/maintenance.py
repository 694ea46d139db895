"""Looking after the releases in the store: what is held, verify, prune, adopt."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from openallen.address import Address
from openallen.display import bytes_text, count_text
from openallen.errors import ExitCode, NotFoundError, StoreError
from openallen.sources.facts import Facts, Field, Section
from openallen.sources.releases import retention
from openallen.sources.releases.access import cache_of, only_project, project_names, release_in
from openallen.sources.releases.models import Version
from openallen.sources.tables import Row, Rows
from openallen.store import Store

if TYPE_CHECKING:
    from openallen.sources.context import Context
    from openallen.sources.releases.cache import ReleaseCache
    from openallen.store.checked import Checked

__all__ = [
    "Adopted",
    "PrunedRelease",
    "adopt",
    "caches",
    "count",
    "held",
    "held_rows",
    "prune",
    "verify",
    "verify_folder",
]


def caches(context: Context, names: Iterable[str] = ()) -> list[ReleaseCache]:
    """Return the folders of projects that are in the store: those named, or all.

    Raises
    ------
    NotFoundError
        If there is no project of a name.
    """
    wanted = dict.fromkeys(names) or project_names(context)
    found = [cache_of(context, name) for name in wanted]
    return [cache for cache in found if cache.folder.is_dir()]


def count(context: Context, names: Iterable[str] = ()) -> int:
    """Return how many files `verify` will look at, about: for progress."""
    return sum(1 for cache in caches(context, names) for _ in cache.folder.glob("*-*/**/*.*"))


def verify(context: Context, names: Iterable[str] = ()) -> Iterator[Checked]:
    """Read the files of projects through, and yield what was found of each.

    Parameters
    ----------
    context
        Settings and clients.
    names
        Names of projects; all that are in the store where there are none.
    """
    with Store(context.settings.store).index() as index:
        for cache in caches(context, names):
            yield from retention.verify(cache, index)


def verify_folder(context: Context, folder: Path, known: dict[Path, Checked]) -> Iterator[Checked]:
    """Read a folder that holds releases, or one version, through, wherever it is.

    Versions share bytes, so all of a project are read together; what was found of the others is
    noted, and taken from there when their turn comes.

    Parameters
    ----------
    context
        Settings and clients.
    folder
        The folder.
    known
        What was found before; what is found now is put there.
    """
    cache, _ = release_in(context, folder)
    inside = [c for path, c in known.items() if path.is_relative_to(folder)]
    if inside:
        yield from inside
        return
    with Store(context.settings.store).index() as index:
        for checked in retention.verify(cache, index):
            known[checked.path] = checked
            if checked.path.is_relative_to(folder):
                yield checked


# --- prune ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PrunedRelease:
    """What pruning a version did, or would do.

    Parameters
    ----------
    address
        The version: ``release:visual-behavior-ophys@0.2.0``.
    files
        Files removed.
    freed_bytes
        Bytes that no other version shares.
    """

    address: str
    files: int
    freed_bytes: int

    def to_dict(self) -> Row:
        """Return the plain facts, ready for JSON."""
        return {"address": self.address, "files": self.files, "freed_bytes": self.freed_bytes}


def prune(
    context: Context, wanted: Mapping[str, Sequence[str | Version]], dry_run: bool = False
) -> list[PrunedRelease]:
    """Remove versions from the store; bytes that other versions share stay.

    Parameters
    ----------
    context
        Settings and clients.
    wanted
        Versions by the name of their project.
    dry_run
        Whether to remove nothing, only tell.

    Raises
    ------
    NotFoundError
        If a version is not here; nothing is removed then.
    StoreError
        If one cannot be removed.
    """
    asked = [
        (cache_of(context, name), [v if isinstance(v, Version) else Version(v) for v in versions])
        for name, versions in wanted.items()
    ]
    planned = [
        PrunedRelease(f"release:{cache.project.name}@{p.version}", p.files, p.freed_bytes)
        for cache, versions in asked
        for p in retention.prune(cache, versions, dry_run=True)
    ]
    if not dry_run:
        for cache, versions in asked:
            retention.prune(cache, versions)
    return planned


# --- adopt ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Adopted:
    """What taking over a folder did.

    Parameters
    ----------
    project
        Name of the project in it.
    folder
        Where its files are now.
    found
        Versions, files and how their bytes were shared.
    """

    project: str
    folder: Path
    found: retention.Adopted

    def facts(self) -> Facts:
        """Return what was done, for people and for JSON."""
        found, told = self.found, self.to_dict()
        ways = ", ".join(f"{count_text(n, 'file')} by {way}" for way, n in found.how.items())
        left = "\n".join(f"  {c.status}: {c.path}" for c in self.left_behind)
        return Facts(
            address=f"release:{self.project}",
            title=f"Adopted {self.project}",
            kind="adopted cache",
            fields=(
                Field("project", self.project),
                Field("folder", told["folder"]),
                Field("versions", told["versions"]),
                Field("files", told["files"]),
                Field("how", told["how"], ways or "nothing was there"),
            ),
            sections=(Section("left behind", "left_behind", told["left_behind"], left),),
            ids=(told["folder"],),
            exit_code=ExitCode.INTEGRITY if self.left_behind else ExitCode.DONE,
        )

    @property
    def left_behind(self) -> tuple[Checked, ...]:
        """Files that are not what was published; they stayed where they were."""
        return tuple(c for c in self.found.checked if c.status != "intact")

    def to_dict(self) -> Row:
        """Return the plain facts, ready for JSON."""
        return {
            "project": self.project,
            "folder": str(self.folder),
            "versions": [str(v) for v in self.found.versions],
            "files": len(self.found.checked),
            "how": dict(self.found.how),
            "left_behind": [{"path": str(c.path), "status": c.status} for c in self.left_behind],
        }


def adopt(
    context: Context,
    folder: Path,
    in_place: bool = False,
    step: Callable[[Checked], object] = lambda _: None,
) -> Adopted:
    """Adopt a cache of AllenSDK, into the store or in place; fetches nothing.

    Parameters
    ----------
    context
        Settings and clients.
    folder
        The folder AllenSDK was given as its cache.
    in_place
        Whether it stays where it is, and the store points there.
    step
        Is told of each file.

    Raises
    ------
    NotFoundError
        If it holds no manifest of a release.
    UsageError
        If it holds several projects.
    StoreError, SpaceError
        If files cannot be shared.
    """
    source = folder.expanduser().absolute()
    if source.exists() and not source.is_dir():
        raise StoreError("this is a file, not a folder", address=str(source))
    name, _ = only_project(source)
    store = Store(context.settings.store)
    cache = cache_of(context, name, source if in_place else None)
    with store.index() as index:
        found = retention.adopt(source, cache, index, step)
    if in_place:
        store.point("releases", name, source)
    return Adopted(name, cache.folder, found)


# --- what is held ---------------------------------------------------------------------------------


def held(context: Context) -> Rows:
    """Return one row for each version in the store, with its files and bytes.

    ``shared_bytes`` are those that other versions share: pruning this one alone does not free them.
    """
    columns = ("address", "files", "size", "shared", "folder")
    return Rows(
        held_rows(context), columns, id_column="address", noun="version",
        empty=lambda: NotFoundError(
            "no version is in the store",
            address=str(context.settings.store),
            hint="openallen list release:",
        ),
    )  # fmt: skip


def held_rows(context: Context) -> Iterator[Row]:
    """Return one row for each version in the store."""
    for cache in caches(context):
        yield from _held(cache)


def _held(cache: ReleaseCache) -> Iterator[Row]:
    held = sorted(_files_held(cache).items(), reverse=True)
    # Versions in a mirror share their places: it is one thing, of the version that is newest.
    for version, files in held[:1] if cache.mirror else held:
        if not files:
            continue
        sizes: dict[tuple[int, int], int] = {}
        shared = 0
        for stat in files:
            if (stat.st_dev, stat.st_ino) not in sizes and stat.st_nlink > 1:
                shared += stat.st_size
            sizes[stat.st_dev, stat.st_ino] = stat.st_size
        yield {
            "address": str(Address("release", cache.project.name, str(version))),
            "version": str(version),
            "files": len(files),
            "size": bytes_text(sum(sizes.values())),
            "size_bytes": sum(sizes.values()),
            "shared": bytes_text(shared),
            "shared_bytes": shared,
            "manifest_here": version in cache.here(),
            "folder": str(cache.folder if cache.mirror else cache.folder / _name(cache, version)),
        }


def _name(cache: ReleaseCache, version: Version) -> str:
    return f"{cache.project.name}-{version}"


def _files_held(cache: ReleaseCache) -> dict[Version, list[os.stat_result]]:
    """Return what is known of the files of each version in a folder; manifests are not counted."""
    found: dict[Version, list[os.stat_result]] = {}
    for version in cache.here():
        if cache.mirror:
            manifest = cache.manifest(version)
            paths = (cache.path(manifest, file) for file in manifest.files)
            found[version] = [p.stat() for p in paths if p.is_file()]
        else:
            found[version] = _stats(cache.folder / _name(cache, version))
    for folder in () if cache.mirror else cache.folder.glob(f"{cache.project.name}-*/"):
        text = folder.name.removeprefix(f"{cache.project.name}-")
        lone = cache.project.version_of(f"{cache.project.name}_project_manifest_v{text}.json")
        if lone is not None and lone not in found:
            found[lone] = _stats(folder)  # its manifest is gone; its bytes are not
    return found


def _stats(folder: Path) -> list[os.stat_result]:
    unfinished = (".part", ".lease")
    return [p.stat() for p in folder.rglob("*") if p.is_file() and p.suffix not in unfinished]
