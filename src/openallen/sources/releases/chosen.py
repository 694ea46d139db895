"""Which files of which version an address names, and what there is where it names none."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches

from openallen.address import Address, Condition
from openallen.errors import NotFoundError, OpenAllenError, UsageError
from openallen.sources.releases.cache import ReleaseCache
from openallen.sources.releases.models import Manifest, ReleaseFile
from openallen.sources.releases.search import (
    FILES,
    Fetch,
    Made,
    choose,
    files_of,
    path_address,
    some,
)

__all__ = ["chosen", "one_file"]


def chosen(
    cache: ReleaseCache,
    manifest: Manifest,
    address: Address,
    fetch: Fetch,
    made: Made | None = None,
) -> tuple[Manifest, tuple[ReleaseFile, ...]]:
    """Return the files an address names, and the manifest of the version they are of.

    That is the manifest given, unless the address has the version id of an object and no version:
    then it is that of the version which has that object.

    Raises
    ------
    NotFoundError
        If there is no such file, with what there is instead; or no row matches.
    UsageError
        If the path or a condition means nothing.
    """
    if address.path[:1] != (FILES,):
        return manifest, files_of(cache, manifest, address, fetch, made)
    if len(address.path) == 1:
        return chosen(cache, manifest, replace(address, path=()), fetch, made)
    manifest, file = _by_path(cache, manifest, address)
    return manifest, (file,)


def one_file(
    cache: ReleaseCache, manifest: Manifest, address: Address
) -> tuple[Manifest, ReleaseFile]:
    """Return the one file an address names, and the manifest of its version.

    Raises
    ------
    NotFoundError
        If there is no such file.
    UsageError
        If it names several, with an address of one of them.
    """
    if address.path == (FILES,):
        raise _many(manifest.files, address)
    if address.path[:1] == (FILES,):
        return _by_path(cache, manifest, address)
    plain = replace(address, conditions=())
    files = choose(manifest, plain).files
    single = len(address.path) == 1 and address.path[0] not in manifest.by_kind.get("table", {})
    if single or len(files) > 1:
        raise _many(files, address)
    choose(manifest, address)  # conditions on a single file mean nothing, which is said here
    return manifest, files[0]


def _many(files: Sequence[ReleaseFile], address: Address) -> UsageError:
    """Return the error for an address of several files, with that of one of them."""
    hint = ""
    if files:
        first = Address("release", address.name, address.version, _parts(files[0]))
        hint = f"openallen show {shlex.quote(str(first))}"
    return UsageError(f"this names {len(files):,} files, not one", address=str(address), hint=hint)


def _parts(file: ReleaseFile) -> tuple[str, ...]:
    return (file.id,) if file.kind == "table" else (file.kind, *file.id.split("/"))


def _by_path(
    cache: ReleaseCache, manifest: Manifest, address: Address
) -> tuple[Manifest, ReleaseFile]:
    """Find a file by its path in the release, as web addresses name it."""
    path = "/".join(address.path[1:])
    wanted = _version_id(address)
    try:
        return manifest, choose(manifest, address).files[0]
    except NotFoundError:
        plain = replace(address, conditions=())
    if wanted and not address.version:
        for other in _others(cache, manifest):
            twin = _file_at(other, plain)
            if twin is not None and twin.at.version_id == wanted:
                return other, twin
    resource = _resource(manifest, path)
    if resource is not None and not wanted:
        return manifest, resource
    found = _file_at(manifest, plain)
    if found is None:
        raise _missing(manifest, path, address)
    raise NotFoundError(
        "this is another version of the object",
        address=str(address),
        why=f"{manifest.address} has {found.at.version_id or 'the newest'}",
        hint=f"openallen show {shlex.quote(path_address(manifest, path))}",
    )


def _file_at(manifest: Manifest, address: Address) -> ReleaseFile | None:
    try:
        return choose(manifest, address).files[0]
    except NotFoundError:
        return None


def _version_id(address: Address) -> str:
    """Return the version id among the conditions; the only one that a file takes."""
    for told in address.conditions:
        if (told.field, told.op) != ("version_id", "eq"):
            raise _means_nothing(told, address)
    return address.option("version_id") or ""


def _means_nothing(told: Condition, address: Address) -> UsageError:
    plain = replace(address, conditions=())
    return UsageError(
        f"'{told}' is not allowed here",
        address=str(address),
        why="this names one file already",
        hint=f"openallen show {shlex.quote(str(plain))}",
    )


def _others(cache: ReleaseCache, manifest: Manifest) -> Iterable[Manifest]:
    """Yield manifests of the other versions: those that are here first, then the newest."""
    here = cache.here()
    try:
        known: Sequence[object] = cache.versions()
    except OpenAllenError:
        known = ()  # no network: those that are here may have it all the same
    for version in dict.fromkeys((*here, *known)):
        if version == manifest.version:
            continue
        try:
            yield cache.manifest(version)  # type: ignore[arg-type]
        except OpenAllenError:
            continue  # one that cannot be read cannot have it


def _resource(manifest: Manifest, path: str) -> ReleaseFile | None:
    """Return the file that no manifest names, if this is its path."""
    for name, at in manifest.project.resources.items():
        if at.key.partition("/")[2] == path:
            where = Address("release", manifest.project.name, path=("resources", name))
            return choose(manifest, where).files[0]
    return None


def _missing(manifest: Manifest, path: str, address: Address) -> NotFoundError:
    """Return the error that says what there is where an address leads to no file."""
    version = manifest.project.version_of(path)
    if version is not None:
        return NotFoundError(
            "this is the manifest of a version, not a file of it",
            address=str(address),
            hint=f"openallen show {shlex.quote(f'release:{manifest.project.name}@{version}')}",
        )
    listing = f"openallen list {shlex.quote(f'{manifest.address}/{FILES}')}"
    parts = path.split("/")
    depth, below = _deepest(manifest, parts)
    if depth == len(parts):
        return NotFoundError(
            "this is a folder of the release, not a file",
            address=str(address),
            why=f"it holds {some(below)}",
            hint=f"{listing} {shlex.quote(f'path__like={path}/*')}",
        )
    near = get_close_matches(parts[depth], below, 1)
    meant = path_address(manifest, "/".join((*parts[:depth], near[0]))) if near else ""
    folder = "/".join(parts[:depth]) or "the release"
    return NotFoundError(
        "this version of the release has no such file",
        address=str(address),
        why=f"{folder} holds {some(below)}" if below else "it has no files",
        hint=f"openallen show {shlex.quote(meant)}" if near else listing,
    )


def _deepest(manifest: Manifest, parts: Sequence[str]) -> tuple[int, list[str]]:
    """Return how many parts of a path there are in a release, and the names below the last."""
    for depth in range(len(parts), -1, -1):
        below = _below(manifest, "".join(f"{part}/" for part in parts[:depth]))
        if below:
            return depth, below
    return 0, []


def _below(manifest: Manifest, folder: str) -> list[str]:
    """Return the names directly below a folder of a release, in order."""
    size = len(folder)
    inner = (f.path[size:].partition("/")[0] for f in manifest.files if f.path.startswith(folder))
    return list(dict.fromkeys(inner))
