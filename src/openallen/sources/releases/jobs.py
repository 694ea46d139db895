"""Jobs that fetch releases or parts of them, and that repair what is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from openallen.errors import OpenAllenError
from openallen.plans import Plan, Report
from openallen.sources.releases.access import cache_of, fetcher, job_of, release_in, release_of
from openallen.sources.releases.chosen import chosen
from openallen.sources.releases.models import Manifest
from openallen.sources.releases.plan import ReleaseJob, remote_file
from openallen.store.link import share

if TYPE_CHECKING:
    from openallen.address import Address, Condition
    from openallen.sources.context import Context
    from openallen.sources.releases.cache import ReleaseCache
    from openallen.sources.releases.made import MadeRows
    from openallen.transfer.job import Means

__all__ = ["RepairJob", "held_manifests", "release_job", "repair_job"]


def release_job(
    context: Context, address: Address, to: Path, *, mirror: bool = False
) -> ReleaseJob:
    """Return the job that fetches what an address of a release names.

    Parameters
    ----------
    context
        Settings and clients.
    address
        A version, a table, a kind of files, a session, a file; a table that conditions need is
        fetched now.
    to
        The folder of the project.
    mirror
        Whether the folder gets the layout of the bucket; one that has it keeps it.

    Raises
    ------
    NotFoundError
        If there is no such project, version or file, or no row matches the conditions.
    UsageError
        If the path or a condition means nothing.
    """
    cache = cache_of(context, address.name, to)
    cache = replace(cache, mirror=mirror or cache.mirror)
    version, notes = cache.resolve(address.version)

    def made(name: str, conditions: Sequence[Condition]) -> MadeRows | None:
        return release_of(context, address, to)[1].made_or_none(name, conditions)

    manifest, files = chosen(cache, cache.manifest(version), address, fetcher(context), made)
    return job_of(context, cache, manifest, files, address=str(address), notes=notes)


# --- repairing ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RepairJob:
    """Brings every file that a folder holds back to what its manifest says.

    Parameters
    ----------
    plan
        The files that are there, whatever their bytes.
    twins
        Paths of equal files, by digest: one is fetched, the others share its bytes.
    """

    plan: Plan
    twins: Mapping[str, Sequence[Path]]

    def run(self, means: Means) -> Report:
        """Read every file through, and fetch again what is damaged."""
        report = means.run(self.plan)
        whole = {o.file.digest for o in (*report.fetched, *report.here)}
        for digest, paths in self.twins.items():
            if digest not in whole:
                continue
            first, *others = [p for p in paths if p.exists()]
            for other in others:
                if not other.samefile(first):
                    share(first, other)
        return report

    def result(self) -> object:
        """Return the folder."""
        return self.plan.to


def repair_job(context: Context, folder: Path) -> RepairJob:
    """Return the job that fetches again what is damaged in a folder that holds a release.

    Raises
    ------
    NotFoundError, UsageError
        If it holds none, or several.
    """
    cache, release = release_in(context, folder)
    # Versions share bytes: they are repaired together, or a name would lose its twin.
    manifests = [release.manifest] if cache.mirror else held_manifests(cache, release.manifest)
    pairs = [
        (manifest, file)
        for manifest in manifests
        for file in manifest.files
        if cache.path(manifest, file).exists()
    ]
    twins: dict[str, list[Path]] = {}
    for manifest, file in pairs:
        if file.digest:
            twins.setdefault(file.digest, []).append(cache.path(manifest, file))
    plan = Plan(
        address=release.address,
        title=f"{cache.project.title}: what is in {folder}",
        source=context.settings.service,
        to=cache.folder,
        files=tuple(remote_file(cache, manifest, file) for manifest, file in pairs),
    )
    return RepairJob(plan, {d: paths for d, paths in twins.items() if len(paths) > 1})


def held_manifests(cache: ReleaseCache, first: Manifest) -> list[Manifest]:
    """Return the manifests in a folder that can be read, one of them first."""
    found = [first]
    for version in cache.here():
        if version == first.version:
            continue
        try:
            found.append(cache.manifest(version))
        except OpenAllenError:
            continue  # a damaged manifest vouches for nothing
    return found
