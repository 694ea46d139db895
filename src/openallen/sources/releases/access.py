"""A project's folder and bucket by the settings, and releases opened from them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from openallen.address import Address
from openallen.errors import AddressError, NotFoundError, OpenAllenError, UsageError
from openallen.json_text import load_json
from openallen.paths import expanded
from openallen.settings import Settings
from openallen.sources.context import Context, connected
from openallen.sources.releases.abc.release import AbcRelease
from openallen.sources.releases.cache import ReleaseCache, is_flat, is_mirror
from openallen.sources.releases.folders import projects_in, root_of
from openallen.sources.releases.models import Manifest, Project, ReleaseFile, Version
from openallen.sources.releases.observatory import release_class
from openallen.sources.releases.plan import ReleaseJob
from openallen.sources.releases.projects import PROJECTS, find_project
from openallen.sources.releases.read import Release
from openallen.sources.releases.search import Fetch
from openallen.transport.s3 import S3Location

__all__ = [
    "cache_at",
    "cache_of",
    "fetcher",
    "job_of",
    "only_project",
    "project_names",
    "release_in",
    "release_of",
    "renewed",
    "sampled",
]


def project_names(context: Context) -> tuple[str, ...]:
    """Return the names of every project: those that are known, and those of the settings."""
    more = context.settings.projects
    return (*PROJECTS, *(name for name in more if name not in PROJECTS))


def sampled(context: Context) -> tuple[str, ...]:
    """Return the names of the projects of which the embedded sample has something."""
    from openallen.archive.embedded import sample_holds

    found = (find_project(n, context.settings.projects) for n in project_names(context))
    return tuple(p.name for p in found if sample_holds(p.bucket, p.files_prefix))


def cache_of(context: Context, name: str, to: Path | str | None = None) -> ReleaseCache:
    """Return a project's folder and bucket.

    Parameters
    ----------
    context
        Settings and clients; the bucket can be asked as long as it is open.
    name
        The name of the project.
    to
        The folder of the project; the store's own where None.

    Raises
    ------
    NotFoundError
        If there is no such project, with the nearest name.
    """
    project = find_project(name, context.settings.projects)
    return cache_at(context, project, context.folder(Address("release", name), to))


def cache_at(context: Context, project: Project, folder: Path) -> ReleaseCache:
    """Return a folder of a project with the bucket it is filled from; a mirror is recognised."""
    bucket = context.bucket(project.bucket, region=project.region)
    flat = is_flat(project, folder)
    return ReleaseCache(
        project, bucket, folder, is_mirror(project, folder), flat, sample=context.in_sample
    )


def fetcher(context: Context) -> Fetch:
    """Return what fetches files of a version into their places, verified; it raises on failure."""

    def fetch_files(cache: ReleaseCache, manifest: Manifest, files: Sequence[ReleaseFile]) -> None:
        context.run(job_of(context, cache, manifest, files)).raise_if_failed()

    return fetch_files


def job_of(
    context: Context,
    cache: ReleaseCache,
    manifest: Manifest,
    files: Sequence[ReleaseFile],
    *,
    address: str = "",
    notes: tuple[str, ...] = (),
) -> ReleaseJob:
    """Return the job that fetches files of a version."""
    source = context.settings.service
    return ReleaseJob.of(
        cache, manifest, files, address=address or manifest.address, source=source, notes=notes
    )


# --- releases -------------------------------------------------------------------------------------


def release_of(
    context: Context, where: Address, to: Path | str | None = None, *, use: bool = False
) -> tuple[ReleaseCache, Release]:
    """Return the folder of a project and the version that an address names, opened.

    Parameters
    ----------
    context
        Settings and clients. The release can be used beyond it.
    where
        The address; parts and conditions are not looked at.
    to
        The folder of the project; the store's own where None.
    use
        Whether this is from now on the version that addresses without a version mean.

    Raises
    ------
    NotFoundError
        If there is no such project or version.
    """
    cache = cache_of(context, where.name, to)
    version, notes = cache.resolve(where.version)
    manifest = cache.manifest(version)
    if use:
        cache.use(version)
    return cache, _release(context.settings, cache, manifest, to, notes)


def _release(
    settings: Settings,
    cache: ReleaseCache,
    manifest: Manifest,
    to: Path | str | None,
    notes: tuple[str, ...] = (),
) -> Release:
    project, folder = cache.project, cache.folder

    @contextmanager
    def connect() -> Iterator[tuple[ReleaseCache, Fetch]]:
        with Context(settings) as context:
            yield cache_at(context, project, folder), fetcher(context)

    opening = Opening(None if to is None else str(expanded(to).absolute()), settings.to_dict())
    service = functools.partial(connected, settings)
    made = AbcRelease if project.form == "abc-atlas" else release_class(project.name)
    return made(
        cache, manifest, connect, notes, opening,
        service=service, tables_folder=settings.store / "tables",
    )  # fmt: skip


@dataclass(frozen=True)
class Opening:
    """Opens a part of a release by its address alone; small, for other processes and machines.

    Parameters
    ----------
    to
        The folder of the project; the store's own where None.
    settings
        The plain values of the settings.
    """

    to: str | None
    settings: dict[str, Any] = field(repr=False)

    def __call__(self, address: str, **options: Any) -> Any:
        where = Address.parse(address)
        with Context(renewed(self.settings)) as context:
            return context.source(where).open(where, to=self.to, **options)

    def with_store(self, store: Path) -> Opening:
        """Return the same with another store, as a machine may have one of its own."""
        return replace(self, settings=self.settings | {"store": store})


def renewed(settings: dict[str, Any]) -> Settings:
    """Return settings made again from their plain values, which can be sent to processes."""
    return Settings(**settings)


# --- folders that are no part of the store --------------------------------------------------------


def release_in(context: Context, folder: Path) -> tuple[ReleaseCache, Release]:
    """Open the release that a folder holds: a cache AllenSDK made, a mirror, or one of ours.

    Nothing is asked of a service and nothing is written. Of several versions that one is opened
    whose folder this is, else the one used last in it, else the newest whose manifest is there.

    Raises
    ------
    NotFoundError
        If the folder holds no manifest.
    UsageError
        If it holds several projects.
    AnswerError
        If the manifest is damaged.
    """
    root, name, wanted = root_of(folder)
    name, manifests = only_project(root, name)
    project = _project(context, name, next(iter(manifests.values())))
    cache = cache_at(context, project, root)
    here = [v for v in map(_version, manifests) if v is not None]
    if not here:
        raise _not_one(folder, ())
    last = _version(wanted) if wanted else cache.last_used
    manifest = cache.manifest(last if last is not None and last in here else max(here))
    return cache, _release(context.settings, cache, manifest, root)


def only_project(folder: Path, name: str = "") -> tuple[str, dict[str, Path]]:
    """Return the one project in a folder, with its manifests by version.

    Parameters
    ----------
    folder
        The folder.
    name
        The project, where it is known.

    Raises
    ------
    NotFoundError
        If there is none.
    UsageError
        If there are several.
    """
    held = projects_in(folder)
    if name in held:
        return name, held[name]
    if len(held) != 1:
        raise _not_one(folder, tuple(held))
    return next(iter(held.items()))


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except AddressError:
        return None


def _not_one(folder: Path, names: tuple[str, ...]) -> OpenAllenError:
    if not names:
        return NotFoundError(
            "no cache of a release in this folder",
            address=str(folder),
            why="no …_project_manifest_v….json",
            hint="openallen list release:, or name the folder that AllenSDK was given as cache_dir",
        )
    return UsageError(
        "this folder holds several projects",
        address=str(folder),
        why=", ".join(names),
        hint=f"oa.open('release:{names[0]}', to={str(folder)!r})",
    )


def _project(context: Context, name: str, manifest: Path) -> Project:
    """Return the project of a manifest; one that nobody knows is read off its own manifest."""
    try:
        return find_project(name, context.settings.projects)
    except NotFoundError:
        bucket = _bucket_in(manifest)
        if not bucket:
            raise
        return Project(name=name, title=name, bucket=bucket)


def _bucket_in(manifest: Path) -> str:
    """Return the bucket of the files that a manifest names; empty where it names none."""
    try:
        told = load_json(manifest.read_text("utf-8"))
        entries = (*told["metadata_files"].values(), *told["data_files"].values())
        return S3Location.parse(str(entries[0]["url"])).bucket
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""
