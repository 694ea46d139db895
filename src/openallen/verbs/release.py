"""Releases: their cache, their job, and opening one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from openallen.address import SCHEMES, Address, AddressLike
from openallen.errors import UsageError
from openallen.settings import Settings
from openallen.verbs.place import destination
from openallen.verbs.running import run
from openallen.verbs.source import connected

if TYPE_CHECKING:
    from openallen.brainmap import Client
    from openallen.sources.releases import Manifest, Release, ReleaseCache, ReleaseFile
    from openallen.transfer import Observer
    from openallen.transfer.job import Job


__all__ = ["read_release", "release_job", "release_url", "cache"]


def cache(
    client: Client, name: str, settings: Settings, to: Path | str | None = None
) -> ReleaseCache:
    """Give a project's folder and bucket.

    Raises
    ------
    NotFoundError
        If there is no such project.
    """
    from openallen.sources.releases.cache import ReleaseCache
    from openallen.sources.releases.projects import find_project
    from openallen.transport.s3 import Bucket

    project = find_project(name, settings.projects)
    elsewhere = "" if settings.source == "live" else f"{client.base_url}/s3"
    bucket = Bucket(
        http=client.http,
        name=project.bucket,
        endpoint=settings.s3_endpoint or elsewhere,
        region=project.region,
        retry=client.retry,
    )
    folder = destination(Address("release", name), to, settings)
    mirror = project.form == "cloud-cache" and (folder / project.manifests_prefix).is_dir()
    return ReleaseCache(project, bucket, folder, mirror)


def release_fetcher(
    client: Client, settings: Settings, observer: Observer | None = None
) -> Callable[..., None]:
    """Give what fetches files of a release into their places, or raises."""
    from openallen.sources.releases.plan import ReleaseJob

    def fetch_files(where: ReleaseCache, manifest: Manifest, files: Sequence[ReleaseFile]) -> None:
        work = ReleaseJob.of(where, manifest, files, address=manifest.address, source=client.source)
        run(client, work, settings, observer).report.raise_if_failed()

    return fetch_files


def release_url(release: Release, file: ReleaseFile, settings: Settings) -> str:
    """Give where a file of a release is to be asked for, by the settings."""
    with connected(settings) as client:
        place = cache(client, release.manifest.project.name, settings)
        return place.bucket.url(file.at.key, file.at.version_id)


def release_job(client: Client, address: Address, to: Path, *, mirror: bool = False) -> Job:
    """Give the job that fetches what an address of a release names."""
    from openallen.sources.releases.plan import ReleaseJob
    from openallen.sources.releases.search import files_of

    settings = Settings.load(source=client.source)
    where = cache(client, address.name, settings, to)
    where = replace(where, mirror=mirror or where.mirror)
    version, notes = where.resolve(address.version)
    manifest = where.manifest(version)
    files = files_of(where, manifest, address, release_fetcher(client, settings))
    return ReleaseJob.of(
        where, manifest, files, address=str(address), source=client.source, notes=notes
    )


def read_release(address: AddressLike, to: Path | str | None, settings: Settings) -> Release:
    """Open a version of a release, without a way to its sessions; see `open_release`."""
    from openallen.sources.releases.read import Release

    where = Address.parse(address)
    if where.scheme != "release" or not where.name:
        raise UsageError("this is no release", address=str(where), hint=SCHEMES["release"].example)

    @contextmanager
    def connect() -> Iterator[tuple[ReleaseCache, Callable[..., None]]]:
        with connected(settings) as client:
            yield cache(client, where.name, settings, to), release_fetcher(client, settings)

    with connect() as (place, _):
        version, notes = place.resolve(where.version)
        manifest = place.manifest(version)
        place.use(version)
    return Release(place, manifest, connect, notes)
