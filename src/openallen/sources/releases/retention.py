"""Looking after what is kept of releases: verify, repair, prune, adopt."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from openallen.errors import NotFoundError, OpenAllenError, StoreError
from openallen.formats.parallel import ordered_map
from openallen.sources.releases.cache import ReleaseCache
from openallen.sources.releases.models import Manifest, ReleaseFile, Version
from openallen.store import Index, digest_of
from openallen.store.checked import Checked
from openallen.store.digests import algorithm_of
from openallen.store.disk import disk_error
from openallen.store.link import share

__all__ = ["Adopted", "Checked", "Pruned", "adopt", "prune", "verify"]


def verify(cache: ReleaseCache, index: Index) -> Iterator[Checked]:
    """Read every file of a project's folder through, on all cores, and compare digests.

    The index is made anew from what is found: files that are right are remembered, all others
    forgotten. Bytes that several versions share by hard link are read once.
    """
    known = _known(cache)
    groups: dict[tuple[int, int], list[Path]] = {}
    for path in sorted(_data_files(cache.folder)):
        stat = path.stat()
        groups.setdefault((stat.st_dev, stat.st_ino), []).append(path)

    def check(paths: list[Path]) -> list[Checked]:
        found: dict[str, str] = {}
        return [_check(path, known.get(path), found) for path in paths]

    for results in ordered_map(check, groups.values()):
        for result in results:
            told = known.get(result.path)
            if result.status == "right" and told is not None:
                index.remember(
                    result.path, digest=told[1].digest, source=told[1].url, address=result.address
                )
            else:
                index.forget(result.path)
            yield result


def _known(cache: ReleaseCache) -> dict[Path, tuple[Manifest, ReleaseFile]]:
    known: dict[Path, tuple[Manifest, ReleaseFile]] = {}
    for version in cache.here():
        try:
            manifest = cache.manifest(version)
        except OpenAllenError:
            continue  # its files are then of no known manifest, which is said of each
        known |= {cache.path(manifest, f): (manifest, f) for f in manifest.files}
    return known


def _data_files(folder: Path) -> Iterator[Path]:
    for version in folder.glob("*-*/"):
        yield from (p for p in version.rglob("*") if p.is_file() and not p.name.endswith(".part"))


def _check(path: Path, told: tuple[Manifest, ReleaseFile] | None, found: dict[str, str]) -> Checked:
    size = path.stat().st_size
    if told is None or not told[1].digest:
        return Checked(path, told[0].address if told else "", "unknown", size)
    manifest, file = told
    address = f"{manifest.address}/files/{file.path}"
    algorithm = algorithm_of(file.digest)
    try:
        if algorithm not in found:
            found[algorithm] = digest_of(path, algorithm)
    except OSError:
        return Checked(path, address, "unreadable", size)
    return Checked(path, address, "right" if found[algorithm] == file.digest else "damaged", size)


@dataclass(frozen=True)
class Pruned:
    """What pruning a version did, or would do.

    Parameters
    ----------
    version
        The version.
    files
        Names removed.
    freed_bytes
        Bytes that no other version shared.
    """

    version: Version
    files: int
    freed_bytes: int


def prune(
    cache: ReleaseCache, versions: Iterable[Version], *, dry_run: bool = False
) -> list[Pruned]:
    """Remove versions that are no longer wanted; bytes other versions share stay theirs.

    Raises
    ------
    NotFoundError
        If a version is not here.
    StoreError
        If it cannot be removed.
    """
    wanted = list(versions)
    folders = {v: cache.folder / f"{cache.project.name}-{v}" for v in wanted}
    for version, folder in folders.items():
        if not folder.is_dir() and version not in cache.here():
            raise NotFoundError(
                "this version is not here",
                address=f"release:{cache.project.name}@{version}",
                hint=f"openallen list release:{cache.project.name}",
            )
    done: list[Pruned] = []
    gone: dict[tuple[int, int], int] = {}
    for version, folder in folders.items():
        freed = count = 0
        for path in (p for p in folder.rglob("*") if p.is_file()):
            stat = path.stat()
            name = (stat.st_dev, stat.st_ino)
            gone[name] = gone.get(name, 0) + 1
            freed += stat.st_size if gone[name] == stat.st_nlink else 0
            count += 1
        done.append(Pruned(version, count, freed))
        if not dry_run:
            _remove(cache, version, folder)
    return done


def _remove(cache: ReleaseCache, version: Version, folder: Path) -> None:
    try:
        if folder.is_dir():
            shutil.rmtree(folder)
        cache.manifest_path(version).unlink(missing_ok=True)
        cache.forget(version)
    except OSError as error:
        raise disk_error(error, folder) from error


@dataclass(frozen=True)
class Adopted:
    """What taking over a folder did.

    Parameters
    ----------
    versions
        Versions whose manifests were there.
    checked
        What was found of each file.
    how
        How bytes were shared, with counts: ``hard link``, ``reflink``, ``copy``, ``in place``.
    """

    versions: tuple[Version, ...]
    checked: tuple[Checked, ...]
    how: dict[str, int]


def adopt(
    source: Path,
    cache: ReleaseCache,
    index: Index,
    done: Callable[[Checked], object] = lambda _: None,
) -> Adopted:
    """Take over a cache AllenSDK made, into the store's folder or where it is; fetch nothing.

    Manifests and the record of the last one used come along. Each file is read through and
    compared with its manifest; what is not right is left behind. Symbolic links become files of
    their own that share their bytes.

    Parameters
    ----------
    source
        The folder AllenSDK was given as its cache.
    cache
        The project's folder; the same folder to adopt it in place.
    index
        Remembers what was found.
    done
        Told of each file.

    Raises
    ------
    NotFoundError
        If the folder holds no manifest of the project.
    StoreError, SpaceError
        If files cannot be shared.
    """
    if not source.is_dir():
        raise StoreError("there is no such folder", address=str(source))
    there = replace(cache, folder=source)
    versions = there.here()
    if not versions:
        raise NotFoundError(
            "no manifest of this project is here",
            address=str(source),
            why=f"AllenSDK's cache has {cache.project.manifest_name(Version('1.0.0'))} or alike",
        )
    manifests = [there.manifest(version) for version in versions]
    in_place = source.resolve() == cache.folder.resolve()
    how: dict[str, int] = {}
    checked: list[Checked] = []
    digests: dict[Path, str] = {}
    for pair, result in _read_through(there, manifests):
        if result.status == "right":
            target = cache.path(*pair)
            way = _take(result.path, target, in_place=in_place)
            how[way] = how.get(way, 0) + 1
            digests[target] = pair[1].digest
            index.remember(
                target, digest=pair[1].digest, source=pair[1].url, address=result.address
            )
        checked.append(result)
        done(result)
    for manifest in manifests:
        cache.keep(manifest, (source / cache.project.manifest_name(manifest.version)).read_bytes())
    if there.last_used is not None:
        cache.use(there.last_used)
    cache.record(digests)
    return Adopted(versions, tuple(checked), how)


def _read_through(
    there: ReleaseCache, manifests: list[Manifest]
) -> Iterator[tuple[tuple[Manifest, ReleaseFile], Checked]]:
    """Read every file that is there; what two versions share by a link is read once."""
    pairs = [
        (manifest, file)
        for manifest in manifests
        for file in manifest.files
        if there.path(manifest, file).is_file()
    ]
    read: dict[Path, dict[str, str]] = {}

    def check(pair: tuple[Manifest, ReleaseFile]) -> Checked:
        path = there.path(*pair)
        return _check(path, pair, read.setdefault(path.resolve(), {}))

    yield from zip(pairs, ordered_map(check, pairs), strict=True)


def _take(path: Path, target: Path, *, in_place: bool) -> str:
    if in_place and not path.is_symlink():
        return "in place"
    if target.exists() and not target.is_symlink() and target.samefile(path):
        return "hard link"
    return share(path, target)
