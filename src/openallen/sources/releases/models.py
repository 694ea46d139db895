"""The nouns of releases: project, version, file, manifest.

A release is a set of files that belong together. Each version has one manifest that names every
file of it, with its digest; a file that did not change between versions is the same object.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from openallen.errors import AddressError, AnswerError, IntegrityError, OpenAllenError
from openallen.plans import safe_path
from openallen.transport.s3 import S3Location

__all__ = ["FileKind", "Manifest", "Pipeline", "Project", "ReleaseFile", "Version"]


_LONGEST: Final = 200
_VERSION: Final = re.compile(r"\d+(\.\d+)*(-[0-9A-Za-z.-]+)?", re.ASCII)


@functools.total_ordering
@dataclass(frozen=True)
class Version:
    """A version: ``1.0.1``, or a date as ``20240330``. Ordered by its numbers, not as text.

    Parameters
    ----------
    text
        As manifests write it.

    Raises
    ------
    AddressError
        If it holds no numbers.
    """

    text: str

    def __post_init__(self) -> None:
        text = self.text if isinstance(self.text, str) else ""  # a manifest may hold anything
        # Nobody counts so far, and Python reads no number of thousands of digits.
        if len(text) > _LONGEST or not _VERSION.fullmatch(text):
            told = str(self.text)[:_LONGEST]
            raise AddressError("not a version", address=told, why="versions look like 1.0.1")

    @property
    def _key(self) -> tuple[tuple[int, ...], bool, str]:
        numbers, _, more = self.text.partition("-")
        return tuple(int(n) for n in numbers.split(".")), not more, more

    def __lt__(self, other: Version) -> bool:
        return self._key < other._key

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class FileKind:
    """One kind of data file, recognised by its key.

    Parameters
    ----------
    name
        Its name in addresses: ``behavior_session``.
    pattern
        Regular expression over the whole key below the project; its group ``id`` is the id.
    table
        The table whose rows these files belong to.
    called
        Regular expression for a single part of an address that means the file too, as the name of
        its folder does; its group ``id`` is the id. Empty for none.
    """

    name: str
    pattern: str
    table: str = ""
    called: str = ""

    def id_of(self, path: str) -> str:
        """Return the id of a file of this kind; empty if it is of another kind."""
        match = re.fullmatch(self.pattern, path)
        return match["id"] if match else ""


@dataclass(frozen=True, kw_only=True)
class Project:
    """One project with versioned releases in a bucket.

    Parameters
    ----------
    name
        Its name, in addresses and in keys.
    title
        Its title.
    bucket, region
        Where it lies.
    kinds
        Kinds of its data files.
    tables
        Index column of each table, by the table's name.
    citation
        How its data are cited.
    resources
        Files that no manifest names, by a name of their own.
    form
        How its manifests are written: ``cloud-cache``, ``abc-atlas``, or ``listing`` where there
        are none and the bucket's own listing stands in, with the day of its newest file as version.
    prefix
        Where its files lie; a folder of its name by default.
    allensdk
        First version AllenSDK 2.16 opens, and the first after those; empty if it opens none.
    """

    name: str
    title: str
    bucket: str
    region: str = "us-west-2"
    kinds: tuple[FileKind, ...] = ()
    tables: Mapping[str, str] = field(default_factory=dict)
    citation: str = ""
    resources: Mapping[str, S3Location] = field(default_factory=dict)
    form: str = "cloud-cache"
    prefix: str = ""
    allensdk: tuple[str, str] | tuple[()] = ()

    def opens_in_allensdk(self, version: Version) -> bool:
        """Return whether AllenSDK 2.16 opens a version; openallen reads them all."""
        if not self.allensdk:
            return False
        return Version(self.allensdk[0]) <= version < Version(self.allensdk[1])

    @property
    def files_prefix(self) -> str:
        """Prefix of the keys of its files."""
        return self.prefix or f"{self.name}/"

    @property
    def manifests_prefix(self) -> str:
        """Prefix of the keys of its manifests."""
        return "releases/" if self.form == "abc-atlas" else f"{self.name}/manifests/"

    def manifest_name(self, version: Version) -> str:
        """Return the file name of the manifest of a version, as in AllenSDK's cache."""
        return f"{self.name}_project_manifest_v{version}.json"

    def manifest_key(self, version: Version) -> str:
        """Return the key of the manifest of a version."""
        if self.form == "abc-atlas":
            return f"releases/{version}/manifest.json"
        return self.manifests_prefix + self.manifest_name(version)

    def version_of(self, key: str) -> Version | None:
        """Return the version in the key of a manifest in the bucket; None for other keys."""
        if self.form == "abc-atlas":
            return _version_in(key, r"releases/(\d{8})/manifest\.json")
        return self.version_of_name(key.rpartition("/")[2])

    def version_of_name(self, name: str) -> Version | None:
        """Return the version in the file name of a manifest in a cache; None for other names."""
        return _version_in(name, rf"{re.escape(self.name)}_project_manifest_v(.+)\.json")


def _version_in(text: str, pattern: str) -> Version | None:
    match = re.fullmatch(pattern, text)
    try:
        return Version(match[1]) if match else None
    except AddressError:
        return None


@dataclass(frozen=True, kw_only=True)
class ReleaseFile:
    """One file of one version.

    Parameters
    ----------
    kind
        ``table``, one of the project's kinds, or ``file``.
    id
        Name of the table; id of the session, experiment or probe; the path of any other file.
    file_id
        Its id in the manifest.
    at
        Bucket, key and version of the object.
    path
        Its path below the release's folder, as in AllenSDK's cache. ``files/PATH`` is its address
        below that of the release.
    digest
        ``blake2b:hex`` or ``md5:hex``; empty where none was published.
    url
        The address in the manifest.
    size_bytes
        Its size, where it is known.
    """

    kind: str
    id: str
    file_id: str
    at: S3Location
    path: str
    digest: str
    url: str
    size_bytes: int | None = None

    def versioned_url(self) -> str:
        """Return the web address of just this version of the file."""
        return f"{self.url}?versionId={self.at.version_id}" if self.at.version_id else self.url


@dataclass(frozen=True)
class Pipeline:
    """One program a release was made with."""

    name: str
    version: str
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of one version of a project.

    Parameters
    ----------
    project
        The project.
    version
        The version.
    files
        Every file: tables first, then data, in the manifest's order.
    pipeline
        Programs it was made with.
    file_id_column
        The column of tables that names data files.
    other
        Other keys of the manifest.
    """

    project: Project
    version: Version
    files: tuple[ReleaseFile, ...] = field(repr=False)
    pipeline: tuple[Pipeline, ...] = ()
    file_id_column: str = "file_id"
    other: Mapping[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Its address: ``release:visual-behavior-ophys@1.0.1``."""
        return f"release:{self.project.name}@{self.version}"

    @property
    def folder(self) -> str:
        """Name of its folder in the project's folder."""
        return f"{self.project.name}-{self.version}"

    @functools.cached_property
    def by_path(self) -> Mapping[str, ReleaseFile]:
        """The files by their path below the release's folder."""
        return {file.path: file for file in self.files}

    @functools.cached_property
    def by_kind(self) -> Mapping[str, Mapping[str, ReleaseFile]]:
        """The files by kind and id."""
        found: dict[str, dict[str, ReleaseFile]] = {}
        for file in self.files:
            found.setdefault(file.kind, {})[file.id] = file
        return found

    @functools.cached_property
    def by_file_id(self) -> Mapping[str, ReleaseFile]:
        """The data files by their id in the manifest."""
        return {file.file_id: file for file in self.files if file.kind != "table"}

    @classmethod
    def read(cls, document: object, project: Project, *, address: str = "") -> Manifest:
        """Read a manifest; unknown keys are kept in `other`.

        Raises
        ------
        AnswerError
            If a key is missing or of the wrong type, or the manifest is of another project.
        IntegrityError
            If a file would be written outside the release's folder.
        """
        # What an earlier version of openallen kept of a bucket says itself that it is a listing.
        is_listing = isinstance(document, dict) and "listed" in document
        try:
            return _READERS["listing" if is_listing else project.form](document, project)
        except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
            if isinstance(error, OpenAllenError):
                error.address = error.address or address
                raise
            raise AnswerError(
                "not a manifest of a release", address=address, why=repr(error)
            ) from error


_KNOWN: Final = {
    "project_name", "manifest_version", "data_pipeline", "metadata_file_id_column_name",
    "metadata_files", "data_files",
}  # fmt: skip


def _read_cloud_cache(document: dict[str, Any], project: Project) -> Manifest:
    missing = sorted(_KNOWN - set(document))
    if missing:
        raise AnswerError("parts of the manifest are missing", why=", ".join(missing))
    if document["project_name"] != project.name:
        raise AnswerError(
            "the manifest is of another project",
            why=f"{document['project_name']!r}, not {project.name!r}",
        )
    tables = [
        _file(S3Location.parse(entry["url"]), "table", name, name, entry)
        for name, entry in document["metadata_files"].items()
    ]
    data = [_data_file(project, key, entry) for key, entry in document["data_files"].items()]
    return Manifest(
        project=project,
        version=Version(document["manifest_version"]),
        files=(*tables, *data),
        pipeline=tuple(
            Pipeline(p.get("name", ""), str(p.get("version", "")), str(p.get("comment", "")))
            for p in document["data_pipeline"]
        ),
        file_id_column=str(document["metadata_file_id_column_name"]),
        other={k: v for k, v in document.items() if k not in _KNOWN},
    )


def _data_file(project: Project, file_id: str, entry: dict[str, Any]) -> ReleaseFile:
    at = S3Location.parse(entry["url"])
    path = at.key.partition("/")[2]
    for kind in project.kinds:
        found = kind.id_of(path)
        if found:
            return _file(at, kind.name, found, file_id, entry)
    return _file(at, "file", path, file_id, entry)


def _file(at: S3Location, kind: str, name: str, file_id: str, entry: dict[str, Any]) -> ReleaseFile:
    url, digest = str(entry["url"]), str(entry["file_hash"])
    if not re.fullmatch(r"[0-9a-f]{128}", digest):
        raise AnswerError("the file has no digest", address=url, why=f"{digest[:40]!r}")
    return ReleaseFile(
        kind=kind,
        id=name,
        file_id=str(file_id),
        at=S3Location(at.bucket, at.key, str(entry["version_id"])),
        path=safe_path(at.key.partition("/")[2]),
        digest=f"blake2b:{digest}",
        url=url,
    )


def _read_abc(document: dict[str, Any], project: Project) -> Manifest:
    """Read a dated manifest of the ABC Atlas: data set, kind, name, normalization, extension."""
    files: list[ReleaseFile] = []

    def walk(node: Any, place: tuple[str, ...]) -> None:
        if isinstance(node, dict) and "relative_path" in node and "url" in node:
            files.append(_abc_file(node, place))
        elif isinstance(node, dict):
            for name, below in node.items():
                walk(below, place if name == "files" else (*place, name))

    walk(document["file_listing"], ())
    return Manifest(
        project=project,
        version=Version(str(document["version"])),
        files=tuple(files),
        other={k: v for k, v in document.items() if k not in {"version", "file_listing"}},
    )


def _abc_file(leaf: dict[str, Any], place: tuple[str, ...]) -> ReleaseFile:
    digest = str(leaf.get("file_hash") or "")
    path = safe_path(str(leaf["relative_path"]))
    return ReleaseFile(
        kind=place[1] if len(place) > 1 else "file",
        id="/".join((place[0], *place[2:])),
        file_id=path,
        at=S3Location.parse(str(leaf["url"])),
        path=path,
        digest=f"md5:{digest}" if digest else "",
        url=str(leaf["url"]),
        size_bytes=int(leaf["size"]) if leaf.get("size") is not None else None,
    )


def _read_listing(document: dict[str, Any], project: Project) -> Manifest:
    """Read what `openallen.sources.releases.cache` kept of a bucket's listing.

    Keys that are not safe as file names are left out, and are in ``other["left_out"]``: a bucket
    of millions of keys is not useless for one odd one.
    """
    files: list[ReleaseFile] = []
    left_out: list[str] = []
    for key, size, etag in document["listed"]:
        place = str(key).removeprefix(project.files_prefix)
        try:
            files.append(_listed_file(project, str(key), safe_path(place), int(size), str(etag)))
        except IntegrityError:
            left_out.append(str(key))
    files.sort(key=lambda file: file.kind != "table")  # tables first, as in manifests
    return Manifest(
        project=project,
        version=Version(str(document["version"])),
        files=tuple(files),
        other={"left_out": tuple(left_out)} if left_out else {},
    )


def _listed_file(project: Project, key: str, place: str, size: int, etag: str) -> ReleaseFile:
    kind, name = _kind_of(project, place)
    plain = re.fullmatch(r"[0-9a-f]{32}", etag)  # else it was uploaded in parts: no digest
    return ReleaseFile(
        kind=kind,
        id=name,
        file_id=place,
        at=S3Location(project.bucket, key),
        path=place,
        digest=f"md5:{etag}" if plain else "",
        url=f"https://{project.bucket}.s3.{project.region}.amazonaws.com/{quote(key)}",
        size_bytes=size,
    )


def _kind_of(project: Project, place: str) -> tuple[str, str]:
    """Return kind and id of a file of a listing: a table, a kind of the project, or its folder."""
    for kind in project.kinds:
        found = kind.id_of(place)
        if found:
            return kind.name, found
    name = place.removesuffix(".csv")
    if "/" not in place and name and name != place:
        return "table", name
    folder, _, rest = place.partition("/")
    return (folder, rest) if rest and folder not in _WORDS else ("file", place)


_WORDS: Final = frozenset({"file", "files", "resources", "table", "tables"})
"""Words with a meaning of their own after the name of a release."""

_READERS: Final[Mapping[str, Callable[[Any, Project], Manifest]]] = {
    "cloud-cache": _read_cloud_cache,
    "abc-atlas": _read_abc,
    "listing": _read_listing,
}
