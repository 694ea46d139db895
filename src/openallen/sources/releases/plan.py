"""What fetching a release, or a part of it, would take; and how it is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from openallen.display import bytes_text, count_text
from openallen.errors import OfflineError, OpenAllenError
from openallen.plans import Plan, RemoteFile, Report
from openallen.sources.releases.cache import ReleaseCache
from openallen.sources.releases.models import Manifest, ReleaseFile
from openallen.store import Index
from openallen.store.link import share
from openallen.transfer.job import Means
from openallen.transfer.status import intact, with_status

__all__ = ["ReleaseJob", "remote_file"]

_SMALL_BYTES: Final = 1 << 20
_MANY_CONNECTIONS: Final = 256
_CONNECTIONS: Final = 32
_NAMED: Final = 20


def remote_file(cache: ReleaseCache, manifest: Manifest, file: ReleaseFile) -> RemoteFile:
    """Give a file of a release as the engine fetches it."""
    address = (
        f"{manifest.address}/{file.kind}/{file.id}"
        if file.kind != "table"
        else (f"{manifest.address}/{file.id}")
    )
    return RemoteFile(
        address=address,
        url=cache.bucket.url(file.at.key, file.at.version_id),
        path=cache.place(manifest, file),
        kind=file.kind,
        size_bytes=file.size_bytes,
        digest=file.digest,
        retry=f"openallen fetch {address}",
    )


@dataclass(frozen=True)
class ReleaseJob:
    """A part of a release about to be fetched.

    Parameters
    ----------
    plan
        What it would take.
    cache, manifest
        Where it comes from and goes to.
    files
        The files of the plan.
    """

    plan: Plan
    cache: ReleaseCache
    manifest: Manifest
    files: tuple[ReleaseFile, ...]

    @classmethod
    def of(
        cls,
        cache: ReleaseCache,
        manifest: Manifest,
        files: Sequence[ReleaseFile],
        *,
        address: str,
        source: str,
        notes: tuple[str, ...] = (),
    ) -> ReleaseJob:
        """Plan files of one version."""
        sized = cache.sized(files)
        sizes = sorted(f.size_bytes or 0 for f in sized)
        small = bool(sizes) and 0 < sizes[len(sizes) // 2] < _SMALL_BYTES
        plan = Plan(
            address=address,
            title=f"{manifest.project.title}, version {manifest.version}",
            source=source,
            to=cache.folder,
            files=tuple(remote_file(cache, manifest, f) for f in sized),
            notes=notes,
            connections=_MANY_CONNECTIONS if small else _CONNECTIONS,
        )
        return cls(plan, cache, manifest, sized)

    def run(self, means: Means) -> Report:
        """Take over what other versions have, fetch the rest, write the records.

        Raises
        ------
        OfflineError
            If files are missing and there is no network, with the sizes of what is missing.
        """
        self._reuse(means.index)
        missing = with_status(self.plan).missing
        if missing and not means.http.reaches(missing[0].url):
            raise _offline(self.plan, missing)
        self.cache.use(self.manifest.version)
        report = means.run(self.plan)
        whole = (*report.fetched, *report.here)
        self.cache.record({self.plan.to / o.file.path: o.digest for o in whole if o.digest})
        return report

    def result(self) -> object:
        """Give the folder of the version, or the path of the one file asked for."""
        if len(self.plan.files) == 1:
            return self.plan.to / self.plan.files[0].path
        return self.plan.to if self.cache.mirror else self.plan.to / self.manifest.folder

    def _reuse(self, index: Index) -> None:
        """Give files that another version has, intact, their name in this version too."""
        missing = [f for f in self.plan.files if f.digest and not (self.plan.to / f.path).exists()]
        if not missing:
            return
        others = self._elsewhere({f.digest for f in missing})
        for file in missing:
            for there in others.get(file.digest, ()):
                if intact(file, there, index) is None:
                    continue
                target = self.plan.to / file.path
                share(there, target)
                index.remember(target, digest=file.digest, source=file.url, address=file.address)
                break

    def _elsewhere(self, wanted: set[str]) -> Mapping[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for version in self.cache.here():
            if version != self.manifest.version:
                try:
                    other = self.cache.manifest(version)
                except OpenAllenError:
                    continue  # that one is damaged: its files are then fetched, not shared
                places = ((f.digest, self.cache.path(other, f)) for f in other.files)
                _note(found, wanted, places)
        recorded = self.cache.recorded()
        _note(found, wanted, ((digest, path) for path, digest in recorded.items()))
        return found


def _note(
    found: dict[str, list[Path]], wanted: set[str], places: Iterable[tuple[str, Path]]
) -> None:
    for digest, path in places:
        if digest in wanted and path.is_file():
            found.setdefault(digest, []).append(path)


def _offline(plan: Plan, missing: tuple[RemoteFile, ...]) -> OfflineError:
    size = sum(f.likely_bytes or 0 for f in missing)
    lines = [
        f"{f.path} ({bytes_text(f.size_bytes) if f.size_bytes else 'size unknown'})"
        for f in missing[:_NAMED]
    ]
    more = len(missing) - len(lines)
    return OfflineError(
        f"{count_text(len(missing), 'file')} of {len(plan.files)} are not here",
        address=plan.address,
        why="; ".join(lines) + (f"; and {more} more" if more else "") + f": {bytes_text(size)}",
        hint="the same command without --offline",
    )
