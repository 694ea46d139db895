"""One project's folder in the store, and the bucket it is filled from.

The folder is laid out as AllenSDK's cache is, so that either opens what the other made: manifests
and two small records at its top, one folder for each version::

    visual-behavior-ophys_project_manifest_v1.0.1.json
    _manifest_last_used.txt                 name of a manifest
    _downloaded_data.json                   digest by absolute path
    visual-behavior-ophys-1.0.1/project_metadata/behavior_session_table.csv

What only openallen needs lies in ``_openallen.json``: the versions last listed, and sizes of files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

from openallen.errors import (
    AnswerError,
    NotFoundError,
    OfflineError,
    OpenAllenError,
    StoreError,
    UnreachableError,
)
from openallen.plans import safe_path
from openallen.sources.releases.models import Manifest, Project, ReleaseFile, Version
from openallen.store.disk import write_whole
from openallen.transport.s3 import Bucket

__all__ = ["ReleaseCache"]

_LAST_USED: Final = "_manifest_last_used.txt"
_DOWNLOADED: Final = "_downloaded_data.json"
_OWN: Final = "_openallen.json"
_FEW_FILES: Final = 4


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
        Whether the folder is laid out as the bucket is: keys are paths, one version, no records.
    """

    project: Project
    bucket: Bucket
    folder: Path
    mirror: bool = False

    def place(self, manifest: Manifest, file: ReleaseFile) -> str:
        """Give where a file of a version goes, relative to the folder."""
        return file.at.key if self.mirror else f"{manifest.folder}/{file.path}"

    def manifest_path(self, version: Version) -> Path:
        """Give where the manifest of a version is, or goes."""
        key, name = self.project.manifest_key(version), self.project.manifest_name(version)
        return self.folder / (safe_path(key) if self.mirror else name)

    # --- versions -------------------------------------------------------------------------------

    def versions(self) -> tuple[Version, ...]:
        """Give the versions there are, newest first; those remembered where there is no network.

        Raises
        ------
        OfflineError
            If there is no network and nothing is remembered.
        NotFoundError
            If the bucket has no manifests of this project.
        """
        try:
            return self._asked
        except (OfflineError, UnreachableError):
            remembered = {Version(v) for v in self._own().get("versions", ())}
            found = sorted(remembered | set(self.here()), reverse=True)
            if not found:
                raise
            return tuple(found)

    @cached_property
    def _asked(self) -> tuple[Version, ...]:
        if self.project.form == "listing":
            return (self._listed_anew(),)
        prefix = self.project.manifests_prefix
        listed = (self.project.version_of(entry.key) for entry in self.bucket.list(prefix))
        found = sorted({version for version in listed if version}, reverse=True)
        if not found:
            raise NotFoundError(
                "no manifest of this project is in its bucket", address=self.bucket.url(prefix)
            )
        self._remember(versions=[str(v) for v in found])
        return tuple(found)

    def _listed_anew(self) -> Version:
        """List a bucket that has no manifests, and keep the listing in place of one."""
        prefix = self.project.files_prefix
        entries = [e for e in self.bucket.list(prefix) if not e.key.endswith("/")]
        days = [e.modified for e in entries if e.modified]
        if not days:
            raise NotFoundError("nothing is listed here", address=self.bucket.url(prefix))
        version = Version(f"{max(days):%Y%m%d}")
        listed = [[e.key, e.size_bytes, e.etag] for e in entries]
        document = {"version": str(version), "listed": listed}
        manifest = Manifest.read(document, self.project, address=self.bucket.url(prefix))
        self.keep(manifest, json.dumps(document).encode())
        return version

    def here(self) -> tuple[Version, ...]:
        """Give the versions whose manifests are in the folder, newest first."""
        folder = self.folder / self.project.manifests_prefix if self.mirror else self.folder
        names = (self.project.version_of(p.name) for p in folder.glob("*_manifest_v*.json"))
        return tuple(sorted({v for v in names if v}, reverse=True))

    @property
    def last_used(self) -> Version | None:
        """The version used last in this folder, by whichever program."""
        try:
            name = (self.folder / _LAST_USED).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return self.project.version_of(name)

    def resolve(self, wanted: str) -> tuple[Version, tuple[str, ...]]:
        """Choose the version: the one wanted, else the one last used here, else the newest.

        Returns
        -------
        Version, tuple of str
            The version, and what a person should know of the choice.

        Raises
        ------
        NotFoundError
            If there is no such version.
        """
        if wanted:
            version = Version(wanted)
            if version in self.here():
                return version, ()
            known = self.versions()
            if version not in known:
                raise NotFoundError(
                    "there is no such version",
                    address=f"release:{self.project.name}@{wanted}",
                    why=f"there are {', '.join(map(str, known))}",
                    hint=f"openallen list release:{self.project.name}",
                )
            return version, ()
        if self.project.form == "listing" and self.here():
            return self.here()[0], ()  # listed once; ``openallen list`` lists anew
        known = self.versions()
        last = self.last_used
        if last is None or (last not in known and last not in self.here()):
            return known[0], ()
        if last < known[0]:
            newer = f"release:{self.project.name}@{known[0]}"
            return last, (f"version {last} is used, as before; {known[0]} is newer: {newer}",)
        return last, ()

    # --- manifests ------------------------------------------------------------------------------

    def manifest(self, version: Version) -> Manifest:
        """Give the manifest of a version, from the folder or else from the bucket.

        Raises
        ------
        AnswerError
            If it is no manifest.
        """
        path = self.manifest_path(version)
        key = self.project.manifest_key(version)
        try:
            return self._read(path.read_bytes(), version, str(path))
        except (FileNotFoundError, AnswerError):
            pass  # not here, or cut off: the bucket has it whole
        if self.project.form == "listing":
            self._listed_anew()
            return self._read(path.read_bytes(), version, str(path))
        url = self.bucket.url(key)
        body = self.bucket.read(key)
        manifest = self._read(body, version, url)
        self.keep(manifest, body)
        return manifest

    def keep(self, manifest: Manifest, body: bytes) -> None:
        """Put the text of a manifest into the folder."""
        path = self.manifest_path(manifest.version)
        if not path.exists() or path.read_bytes() != body:
            write_whole(path, body)

    def _read(self, body: bytes, version: Version, address: str) -> Manifest:
        try:
            document = json.loads(body)
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise AnswerError("a manifest is not JSON", address=address, why=str(error)) from error
        manifest = Manifest.read(document, self.project, address=address)
        if manifest.version != version:
            raise AnswerError(
                "a manifest of another version",
                address=address,
                why=f"it says {manifest.version}, its name {version}",
            )
        return manifest

    def use(self, version: Version) -> None:
        """Write down that a version is used, for the next call and for AllenSDK."""
        if self.last_used != version and self._as_allensdk:
            name = self.project.manifest_name(version)
            with suppress(StoreError):  # a folder that cannot be written to can still be read
                write_whole(self.folder / _LAST_USED, name.encode())

    def forget(self, version: Version) -> None:
        """Take a version that was removed out of the records."""
        if self.last_used == version:
            (self.folder / _LAST_USED).unlink(missing_ok=True)
        gone = f"{self.folder / f'{self.project.name}-{version}'}{os.sep}"
        before = _read_json(self.folder / _DOWNLOADED)
        kept = {path: digest for path, digest in before.items() if not path.startswith(gone)}
        if kept != before:
            self._write_record(kept)

    def notes(self) -> str | None:
        """Give the release notes that lie in the bucket; None where there are none to be had."""
        try:
            return self.bucket.read(f"{self.project.name}/release_notes.txt").decode("utf-8")
        except (OpenAllenError, UnicodeDecodeError):
            return None

    # --- files ----------------------------------------------------------------------------------

    def path(self, manifest: Manifest, file: ReleaseFile) -> Path:
        """Give where a file of a version goes."""
        return self.folder / self.place(manifest, file)

    def sized(self, files: Iterable[ReleaseFile]) -> tuple[ReleaseFile, ...]:
        """Give the files with their sizes; what cannot be learned stays unknown.

        Manifests tell no sizes: listings do, for a thousand files a request. Sizes of versions
        never change, so they are asked for once.
        """
        wanted = tuple(files)
        known = dict(self._own().get("sizes", {}))
        unknown = [f for f in wanted if f.size_bytes is None and _key(f) not in known]
        if unknown:
            try:
                told = self._listed_sizes(unknown)
            except OpenAllenError:
                told = {}  # a plan without sizes is still a plan
            known |= told
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
            for entry in self.bucket.versions(prefix):
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
        path = self.folder / _DOWNLOADED
        told = {str(p): digest.partition(":")[2] for p, digest in digests.items()}
        before = _read_json(path)
        if any(before.get(p) != digest for p, digest in told.items()):
            self._write_record(before | told)

    def _write_record(self, digests: Mapping[str, str]) -> None:
        text = json.dumps(digests, indent=2, sort_keys=True)
        write_whole(self.folder / _DOWNLOADED, text.encode())

    def recorded(self) -> dict[Path, str]:
        """Give the digests AllenSDK wrote down, by path."""
        found = _read_json(self.folder / _DOWNLOADED)
        return {Path(path): f"blake2b:{digest}" for path, digest in found.items()}

    def _own(self) -> dict[str, Any]:
        return _read_json(self.folder / _OWN)

    def _remember(self, **what: Any) -> None:
        own = self._own()
        if any(own.get(name) != value for name, value in what.items()):
            with suppress(StoreError):  # a courtesy: it would only be asked for again
                write_whole(self.folder / _OWN, json.dumps(own | what).encode())


def _key(file: ReleaseFile) -> str:
    return f"{file.at.key}?{file.at.version_id}"


def _folder_of(file: ReleaseFile) -> str:
    """Give the first two parts of a key: project, and kind of file."""
    parts = PurePosixPath(file.at.key).parts
    return "/".join(parts[:2]) + "/" if len(parts) > 2 else file.at.key


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
