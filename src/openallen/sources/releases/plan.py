"""What fetching a release, or a part of it, takes; and how it is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from openallen.display import bytes_text, count_text
from openallen.errors import OfflineError, OpenAllenError
from openallen.plans import Plan, RemoteFile, Report, fetch_command
from openallen.sources.releases.cache import ReleaseCache
from openallen.sources.releases.models import Manifest, ReleaseFile
from openallen.sources.releases.search import file_address
from openallen.transfer.job import Means
from openallen.transfer.status import with_status

__all__ = ["ReleaseJob", "release_command", "remote_file"]

_SMALL_BYTES: Final = 1 << 20
_MANY_CONNECTIONS: Final = 256
_CONNECTIONS: Final = 32
_NAMED: Final = 20


def release_command(cache: ReleaseCache, address: str, source: str = "live") -> str:
    """Return the command that fetches a part of a release into its folder, as typed."""
    options = "--mirror" if cache.mirror else ""
    return fetch_command(address, to=cache.folder, source=source, options=options)


def remote_file(
    cache: ReleaseCache,
    manifest: Manifest,
    file: ReleaseFile,
    *,
    source: str = "live",
    also_at: tuple[Path, ...] = (),
) -> RemoteFile:
    """Return a file of a release as the engine fetches it.

    Parameters
    ----------
    cache, manifest, file
        The file.
    source
        The source of the settings, for the command that fetches it again.
    also_at
        Places of files with the same published digest.
    """
    address = file_address(manifest, file)
    return RemoteFile(
        address=address,
        url=cache.bucket.url(file.at.key, file.at.version_id),
        path=cache.place(manifest, file),
        kind=file.kind,
        size_bytes=file.size_bytes,
        digest=file.digest,
        also_at=also_at,
        retry=release_command(cache, address, source),
    )


@dataclass(frozen=True)
class ReleaseJob:
    """A part of a release about to be fetched.

    Parameters
    ----------
    plan
        What it takes. Files that another version here has count as here: they are linked.
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
        """Plan files of one version.

        Parameters
        ----------
        cache, manifest, files
            The files.
        address
            What was asked for.
        source
            ``live``, ``sample``, or the folder or URL of an archive.
        notes
            Sentences for the plan.
        """
        sized = cache.sized(files)
        sizes = sorted(f.size_bytes or 0 for f in sized)
        small = bool(sizes) and 0 < sizes[len(sizes) // 2] < _SMALL_BYTES
        others = shared_places(cache, manifest, sized)
        plan = Plan(
            address=address,
            title=f"{manifest.project.title}, version {manifest.version}",
            source=cache.bucket.endpoint or source if source == "live" else source,
            to=cache.folder,
            files=tuple(
                remote_file(cache, manifest, f, source=source, also_at=others.get(f.digest, ()))
                for f in sized
            ),
            notes=(*notes, *_left_out(manifest)),
            connections=_MANY_CONNECTIONS if small else _CONNECTIONS,
            command=release_command(cache, address, source),
        )
        return cls(plan, cache, manifest, sized)

    def run(self, means: Means) -> Report:
        """Link what other versions have, fetch the rest, write the records.

        Raises
        ------
        OfflineError
            If files are missing and there is no network, with the sizes of what is missing.
        """
        plan = with_status(self.plan)
        if plan.missing and not means.http.reaches(plan.missing[0].url):
            raise _offline(plan)
        self.cache.use(self.manifest.version)
        report = means.run(self.plan)
        whole = (*report.fetched, *report.here)
        self.cache.record({self.plan.to / o.file.path: o.digest for o in whole if o.digest})
        return report

    def result(self) -> object:
        """Return the folder of the version, or the path of the one file asked for."""
        if len(self.plan.files) == 1:
            return self.plan.to / self.plan.files[0].path
        return self.plan.to if self.cache.mirror else self.plan.to / self.manifest.folder


def shared_places(
    cache: ReleaseCache, manifest: Manifest, files: Iterable[ReleaseFile]
) -> Mapping[str, tuple[Path, ...]]:
    """Return where the bytes of files that are not here may be under another name, by digest.

    Other versions in the folder are looked through, and what AllenSDK recorded. Nothing is read:
    a file found there is compared with its digest before it is linked.
    """
    found: dict[str, list[Path]] = {}
    versions, recorded = cache.here(), cache.recorded()
    if not recorded and not any(version != manifest.version for version in versions):
        return {}  # nothing is here to share: thousands of files need not be looked for
    wanted = {f.digest for f in files if f.digest and not cache.path(manifest, f).exists()}
    if not wanted:
        return {}
    for version in versions:
        if version != manifest.version:
            try:
                other = cache.manifest(version)
            except OpenAllenError:
                continue  # that one is damaged: its files are then fetched, not linked
            _note(found, wanted, ((f.digest, cache.path(other, f)) for f in other.files))
    _note(found, wanted, ((digest, path) for path, digest in recorded.items()))
    return {digest: tuple(dict.fromkeys(places)) for digest, places in found.items()}


def _note(
    found: dict[str, list[Path]], wanted: set[str], places: Iterable[tuple[str, Path]]
) -> None:
    for digest, path in places:
        if digest in wanted and path.is_file():
            found.setdefault(digest, []).append(path)


def _left_out(manifest: Manifest) -> tuple[str, ...]:
    keys = manifest.other.get("left_out", ()) if manifest.project.form == "listing" else ()
    if not keys:
        return ()
    named = ", ".join(repr(key) for key in keys[:3]) + (", …" if len(keys) > 3 else "")
    return (f"{count_text(len(keys), 'key')} left out: not safe as file names: {named}",)


def _offline(plan: Plan) -> OfflineError:
    missing = plan.missing
    lines = [
        f"{f.path} ({bytes_text(f.size_bytes) if f.size_bytes is not None else 'size unknown'})"
        for f in missing[:_NAMED]
    ]
    more = len(missing) - len(lines)
    return OfflineError(
        f"{count_text(len(missing), 'file')} of {len(plan.files):,} not here, {plan.size_text}",
        address=plan.address,
        why="; ".join(lines) + (f"; and {more:,} more" if more else ""),
        hint=plan.command,
    )
