"""One project's folder in the store, and the bucket it is filled from.

The folder has the layout of AllenSDK's cache, so that either opens what the other made: manifests
and two small records at its top, one folder for each version::

    visual-behavior-ophys_project_manifest_v1.0.1.json
    _manifest_last_used.txt                 name of a manifest
    _downloaded_data.json                   digest by absolute path
    visual-behavior-ophys-1.0.1/project_metadata/behavior_session_table.csv

What only openallen needs is in ``_openallen.json``: the versions last listed, and sizes of files.

A folder that cannot be written to is read as it is; records that cannot be kept are logged once.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

from openallen.errors import (
    AddressError,
    AnswerError,
    NotFoundError,
    OfflineError,
    OpenAllenError,
    SpaceError,
    StoreError,
    UnreachableError,
)
from openallen.json_text import load_json
from openallen.plans import safe_path
from openallen.sources.releases.flat import document_of, project_in, version_in
from openallen.sources.releases.models import Manifest, Project, ReleaseFile, Version
from openallen.store.disk import write_whole
from openallen.transport.s3 import Bucket, Listed

__all__ = ["ReleaseCache", "is_flat", "is_mirror"]

_LOG = logging.getLogger("openallen.store")
_LAST_USED: Final = "_manifest_last_used.txt"
_DOWNLOADED: Final = "_downloaded_data.json"
_OWN: Final = "_openallen.json"
_SAMPLE: Final = "-sample"
_SAMPLE_NOTE: Final = "the embedded sample: sessions and signals are simulated"
_FEW_FILES: Final = 4
_SEEN_KEYS: Final = 1000


def is_mirror(project: Project, folder: Path) -> bool:
    """Return whether a folder of a project has the layout of its bucket."""
    return project.form != "listing" and (folder / project.manifests_prefix).is_dir()


def is_flat(project: Project, folder: Path) -> bool:
    """Return whether a folder is a cache of AllenSDK without versions, and holds no manifest."""
    if project.form != "listing" or project_in(folder) != project.name:
        return False
    return not any(folder.glob("*_project_manifest_v*.json"))


@dataclass(frozen=True)
class ReleaseCache:
    """A project, its bucket, and its folder.

    Parameters
    ----------
    project
        The project.
    bucket
        Where its files come from.
    folder
        Where they go.
    mirror
        Whether the folder has the layout of the bucket: keys are paths, no records.
    flat
        Whether it is a cache of AllenSDK without versions: files lie right in the folder, and what
        is there is what there is.
    seen
        Called with the number of keys seen so far, every thousand and at the end of a listing.
    sample
        Whether the bucket is that of the embedded sample, whose versions are told apart from those
        of the service by their names: one folder holds both, and neither stands for the other.
    """

    project: Project
    bucket: Bucket
    folder: Path
    mirror: bool = False
    flat: bool = False
    seen: Callable[[int], object] | None = field(default=None, repr=False, compare=False)
    sample: bool = False

    def place(self, manifest: Manifest, file: ReleaseFile) -> str:
        """Return the path of a file of a version, relative to the folder."""
        if self.mirror:
            return safe_path(file.at.key)
        return file.path if self.flat else f"{manifest.folder}/{file.path}"

    def manifest_path(self, version: Version) -> Path:
        """Return the path of the manifest of a version, there or not."""
        key, name = self.project.manifest_key(version), self.project.manifest_name(version)
        return self.folder / (safe_path(key) if self.mirror else name)

    # --- versions -------------------------------------------------------------------------------

    def versions(self) -> tuple[Version, ...]:
        """Return the versions, newest first; without a network, those that were listed before.

        Raises
        ------
        OfflineError
            If there is no network and nothing was listed before.
        NotFoundError
            If the bucket has no manifests of this project.
        """
        return self._versions()[0]

    def _versions(self) -> tuple[tuple[Version, ...], bool]:
        """Return the versions, and whether the bucket was asked for them."""
        try:
            return self._asked, True
        except (OfflineError, UnreachableError):
            told = self._own().get("versions")
            listed = {v for v in map(_version, told if isinstance(told, list) else ()) if v}
            found = [*self._meant(sorted(listed | set(self.here()), reverse=True))]
            if not found:
                raise
            return tuple(found), False

    @cached_property
    def _asked(self) -> tuple[Version, ...]:
        if self.project.form == "listing":
            return (self._list_anew().version,)
        prefix = self.project.manifests_prefix
        entries = self._counted(self.bucket.list(prefix))
        listed = (self.project.version_of(entry.key) for entry in entries)
        found = sorted({version for version in listed if version}, reverse=True)
        if not found:
            raise NotFoundError(
                "no manifest of this project in its bucket",
                address=self.bucket.url(prefix),
                why="a bucket without manifests is read by its listing, if the settings say so",
                hint=f'projects.{self.project.name}.form = "listing" in the settings file',
            )
        self._remember(versions=[str(v) for v in found])
        return tuple(found)

    def _counted(self, entries: Iterable[Listed]) -> Iterator[Listed]:
        """Yield entries of a listing, and report how many keys there were so far."""
        count = 0
        for count, entry in enumerate(entries, 1):
            yield entry
            if self.seen is not None and count % _SEEN_KEYS == 0:
                self.seen(count)
        if self.seen is not None:
            self.seen(count)

    def _list_anew(self) -> Manifest:
        """List a bucket that has no manifests, and keep the listing in place of one."""
        prefix = self.project.files_prefix
        listed_now = self._counted(self.bucket.list(prefix))
        entries = [e for e in listed_now if not e.key.endswith("/")]
        days = [e.modified for e in entries if e.modified]
        if not days:
            raise NotFoundError("the listing is empty", address=self.bucket.url(prefix))
        version = Version(f"{max(days):%Y%m%d}{_SAMPLE if self.sample else ''}")
        listed = [[e.key, e.size_bytes, e.etag] for e in entries]
        document = {"version": str(version), "listed": listed}
        manifest = Manifest.read(document, self.project, address=self.bucket.url(prefix))
        self._keep_if_possible(manifest, json.dumps(document).encode())
        return manifest

    def here(self) -> tuple[Version, ...]:
        """Return the versions whose manifests are in the folder, newest first."""
        if self.flat:
            return (Version(version_in(self.folder)),)
        if not self.mirror:
            names = (p.name for p in self.folder.glob("*_manifest_v*.json"))
            return self._sorted(self.project.version_of_name(name) for name in names)
        prefix = self.project.manifests_prefix
        found = (self.folder / prefix).rglob("*.json")
        keys = (p.relative_to(self.folder).as_posix() for p in found)
        return self._sorted(self.project.version_of(key) for key in keys)

    @staticmethod
    def _sorted(found: Iterable[Version | None]) -> tuple[Version, ...]:
        return tuple(sorted({v for v in found if v is not None}, reverse=True))

    @property
    def last_used(self) -> Version | None:
        """The version used last in this folder, by whichever program."""
        try:
            name = (self.folder / _LAST_USED).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return self.project.version_of_name(name)

    def resolve(self, wanted: str) -> tuple[Version, tuple[str, ...]]:
        """Return the version wanted, else the one last used here, else the newest.

        Returns
        -------
        Version, tuple of str
            The version, and notes on the choice.

        Raises
        ------
        NotFoundError
            If there is no such version.
        OfflineError
            If no version is here, and there is no network.
        """
        if wanted:
            version = Version(wanted)
            if version in self.here():
                return version, (_SAMPLE_NOTE,) if wanted.endswith(_SAMPLE) else ()
            known = self.versions()
            if version not in known:
                raise NotFoundError(
                    "no such version",
                    address=f"release:{self.project.name}@{wanted}",
                    why=f"versions: {', '.join(map(str, known))}",
                    hint=f"openallen list release:{self.project.name}",
                )
            return version, (_SAMPLE_NOTE,) if self.sample else ()
        notes = (_SAMPLE_NOTE,) if self.sample else ()
        listed = self._meant(self.here()) if self.project.form == "listing" else ()
        if listed:
            return listed[0], notes  # listed once; ``openallen list`` lists anew
        known, asked = self._versions()
        last = self.last_used
        if last is None or (last not in known and last not in self.here()):
            here = () if asked else self._meant(self.here())
            return (here or known)[0], notes
        if last < known[0]:
            newer = f"release:{self.project.name}@{known[0]}"
            return last, (f"version {last} is used, as before; {known[0]} is newer: {newer}",)
        return last, ()

    def _meant(self, versions: Sequence[Version]) -> tuple[Version, ...]:
        """Return those of the sample, or those that are not, whichever is asked for."""
        return tuple(v for v in versions if str(v).endswith(_SAMPLE) == self.sample)

    # --- manifests ------------------------------------------------------------------------------

    def manifest(self, version: Version) -> Manifest:
        """Return the manifest of a version, from the folder or else from the bucket.

        Raises
        ------
        AnswerError
            If it is not a manifest.
        OfflineError
            If it is not here, and there is no network.
        """
        if self.flat:
            told = document_of(self.folder, self.project.files_prefix)
            return self._of(Manifest.read(told, self.project), version, str(self.folder))
        path = self.manifest_path(version)
        key = self.project.manifest_key(version)
        try:
            return self._read(path.read_bytes(), version, str(path))
        except (OSError, AnswerError):
            pass  # not here, unreadable or cut off: the bucket has it whole
        if self.project.form == "listing":
            manifest = self._list_anew()
            return self._of(manifest, version, self.bucket.url(self.project.files_prefix))
        url = self.bucket.url(key)
        body = self.bucket.read(key)
        manifest = self._read(body, version, url)
        self._keep_if_possible(manifest, body)
        return manifest

    def keep(self, manifest: Manifest, body: bytes) -> None:
        """Write the text of a manifest into the folder.

        Raises
        ------
        StoreError, SpaceError
            If it cannot be written.
        """
        path = self.manifest_path(manifest.version)
        if not path.exists() or path.read_bytes() != body:
            write_whole(path, body)

    def _keep_if_possible(self, manifest: Manifest, body: bytes) -> None:
        try:
            self.keep(manifest, body)
        except (StoreError, SpaceError, OSError) as error:
            self._not_written(error)

    def _read(self, body: bytes, version: Version, address: str) -> Manifest:
        try:
            document = load_json(body)
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise AnswerError(
                "the manifest is not JSON", address=address, why=str(error)
            ) from error
        return self._of(Manifest.read(document, self.project, address=address), version, address)

    def _of(self, manifest: Manifest, version: Version, address: str) -> Manifest:
        if manifest.version != version:
            raise AnswerError(
                "the manifest is of another version",
                address=address,
                why=f"{manifest.version}, not {version}",
            )
        return manifest

    def use(self, version: Version) -> None:
        """Record that a version is used, for the next call and for AllenSDK."""
        if self.last_used != version and self._as_allensdk:
            name = self.project.manifest_name(version)
            self._write_if_possible(_LAST_USED, name.encode())

    def forget(self, version: Version) -> None:
        """Remove a version from the records."""
        if self.last_used == version:
            (self.folder / _LAST_USED).unlink(missing_ok=True)
        gone = f"{self.folder / f'{self.project.name}-{version}'}{os.sep}"
        before = _read_json(self.folder / _DOWNLOADED)
        kept = {path: digest for path, digest in before.items() if not path.startswith(gone)}
        if kept != before:
            self._write_record(kept)

    def notes(self) -> str | None:
        """Return the release notes in the bucket; None where there are none, or no network."""
        try:
            return self.bucket.read(f"{self.project.name}/release_notes.txt").decode("utf-8")
        except (OpenAllenError, UnicodeDecodeError):
            return None

    # --- files ----------------------------------------------------------------------------------

    def path(self, manifest: Manifest, file: ReleaseFile) -> Path:
        """Return the path of a file of a version, there or not."""
        return self.folder / self.place(manifest, file)

    def sized(self, files: Iterable[ReleaseFile]) -> tuple[ReleaseFile, ...]:
        """Return the files with their sizes; what cannot be learned stays unknown.

        Manifests have no sizes: listings do, for a thousand files a request. Sizes of versions
        never change, so they are asked for once.
        """
        wanted = tuple(files)
        told = self._own().get("sizes")
        sizes = told if isinstance(told, dict) else {}
        known = {k: v for k, v in sizes.items() if type(v) is int and v >= 0}
        unknown = [f for f in wanted if f.size_bytes is None and _key(f) not in known]
        if unknown:
            with suppress(OpenAllenError):  # a plan without sizes is still a plan
                known |= self._listed_sizes(unknown)
            # Of an object without a version the size may change: it is asked for each time.
            self._remember(sizes={k: v for k, v in known.items() if not k.endswith("?")})
        return tuple(
            f if f.size_bytes is not None else replace(f, size_bytes=known.get(_key(f)))
            for f in wanted
        )

    def _listed_sizes(self, files: list[ReleaseFile]) -> dict[str, int]:
        if len(files) <= _FEW_FILES:
            prefixes = sorted({f.at.key for f in files})
        else:
            prefixes = sorted({_folder_of(f) for f in files})
        wanted = {_key(f) for f in files}
        sizes: dict[str, int] = {}
        for prefix in prefixes:
            for entry in self._counted(self.bucket.versions(prefix)):
                for name in (f"{entry.key}?{entry.version_id}", f"{entry.key}?"):
                    if name in wanted and (entry.latest or not name.endswith("?")):
                        sizes[name] = entry.size_bytes
        return sizes

    @property
    def _as_allensdk(self) -> bool:
        return self.project.form == "cloud-cache" and not self.mirror

    # --- records --------------------------------------------------------------------------------

    def record(self, digests: Mapping[Path, str]) -> None:
        """Write digests of fetched files where AllenSDK looks for them."""
        if not digests or not self._as_allensdk:
            return
        given = {str(p): digest.partition(":")[2] for p, digest in digests.items()}
        before = _read_json(self.folder / _DOWNLOADED)
        if any(before.get(p) != digest for p, digest in given.items()):
            self._write_record(before | given)

    def _write_record(self, digests: Mapping[str, str]) -> None:
        text = json.dumps(digests, indent=2, sort_keys=True)
        self._write_if_possible(_DOWNLOADED, text.encode())

    def recorded(self) -> dict[Path, str]:
        """Return the digests AllenSDK recorded, by path."""
        found = _read_json(self.folder / _DOWNLOADED)
        return {Path(p): f"blake2b:{d}" for p, d in found.items() if isinstance(d, str)}

    def _own(self) -> dict[str, Any]:
        return _read_json(self.folder / _OWN)

    def _remember(self, **what: Any) -> None:
        own = self._own()
        if any(own.get(name) != value for name, value in what.items()):
            self._write_if_possible(_OWN, json.dumps(own | what).encode())

    def _write_if_possible(self, name: str, body: bytes) -> None:
        """Write a record; a folder that cannot be written to can still be read."""
        try:
            write_whole(self.folder / name, body)
        except (StoreError, SpaceError) as error:
            self._not_written(error)

    def _not_written(self, error: Exception) -> None:
        if self.folder not in _WARNED:
            _WARNED.add(self.folder)
            told = error.why if isinstance(error, OpenAllenError) else ""
            _LOG.warning("nothing is recorded in %s: %s", self.folder, told or error)


_WARNED: Final[set[Path]] = set()
"""Folders that were found read-only in this process: each is logged once."""


def _version(told: object) -> Version | None:
    """Return a version that a record names; None where it names none."""
    with suppress(AddressError):
        return Version(told) if isinstance(told, str) else None
    return None


def _key(file: ReleaseFile) -> str:
    return f"{file.at.key}?{file.at.version_id}"


def _folder_of(file: ReleaseFile) -> str:
    """Return the first two parts of a key: project, and kind of file."""
    parts = PurePosixPath(file.at.key).parts
    return "/".join(parts[:2]) + "/" if len(parts) > 2 else file.at.key


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = load_json(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
