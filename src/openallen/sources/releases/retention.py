"""Managing releases in the store: verify, prune, adopt, and the versions held."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from openallen.display import count_text
from openallen.errors import (
    AddressError,
    ExitCode,
    NotFoundError,
    OpenAllenError,
    StoreError,
)
from openallen.formats.parallel import sized_map
from openallen.sources.facts import Facts, Field, Section
from openallen.sources.releases.cache import ReleaseCache, is_flat, is_mirror
from openallen.sources.releases.models import Manifest, ReleaseFile, Version
from openallen.sources.releases.plan import release_command
from openallen.sources.releases.search import file_address
from openallen.sources.tables import Row
from openallen.store import Index, digest_of
from openallen.store.checked import Checked
from openallen.store.digests import algorithm_of
from openallen.store.disk import disk_error
from openallen.store.link import share
from openallen.transport import Http
from openallen.transport.s3 import Bucket

__all__ = ["Adopted", "Checked", "Held", "Pruned", "adopt", "prune", "verify", "versions_held"]

Known = Mapping[Path, tuple[Manifest, ReleaseFile]]


def verify(cache: ReleaseCache, index: Index, *, source: str = "live") -> Iterator[Checked]:
    """Read every file of a project's folder through, on all cores, and compare digests.

    The index is rebuilt from what is found: intact files are recorded, all others removed from it.
    Bytes that several versions share by hard link are read once.

    Parameters
    ----------
    cache
        The project's folder, of AllenSDK's layout or a mirror.
    index
        The index that is rebuilt.
    source
        The source of the settings, for the commands that repair files.

    Yields
    ------
    Checked
        One for each file in the folders of versions, in no fixed order.
    """
    known = _known(cache)
    paths = (p for p in known if p.is_file()) if cache.mirror else _data_files(cache.folder)
    groups: dict[tuple[int, int, int], list[Path]] = {}
    for path in sorted(paths):
        stat = path.stat()
        groups.setdefault((stat.st_size, stat.st_dev, stat.st_ino), []).append(path)

    def check(group: tuple[tuple[int, int, int], list[Path]]) -> list[Checked]:
        found: dict[str, str] = {}
        return [_check(path, known.get(path), found) for path in group[1]]

    for results in sized_map(check, groups.items(), lambda group: group[0][0]):
        for found in results:
            of = known.get(found.path)
            repair = release_command(cache, found.address, source) if of else ""
            result = replace(found, repair=repair)
            if result.status == "intact" and of is not None:
                _remember(index, result, of[1])
            else:
                index.forget(result.path)
            yield result


def _remember(index: Index, result: Checked, file: ReleaseFile) -> None:
    index.remember(
        result.path,
        digest=file.digest or digest_of(result.path, algorithm_of("")),
        source=file.url,
        address=result.address,
        command=result.repair,
    )


def _known(cache: ReleaseCache) -> Known:
    known: dict[Path, tuple[Manifest, ReleaseFile]] = {}
    for version in reversed(cache.here()):  # in a mirror, the newest version has the last word
        try:
            manifest = cache.manifest(version)
        except OpenAllenError:
            continue  # its files are then of no known manifest, and reported as unknown
        known |= {cache.path(manifest, f): (manifest, f) for f in manifest.files}
    return known


def _data_files(folder: Path) -> Iterator[Path]:
    for version in folder.glob("*-*/"):
        yield from (p for p in version.rglob("*") if p.is_file() and not p.name.endswith(".part"))


def _check(path: Path, of: tuple[Manifest, ReleaseFile] | None, found: dict[str, str]) -> Checked:
    size = path.stat().st_size
    if of is None:
        return Checked(path, "", "unknown", size)
    manifest, file = of
    address = file_address(manifest, file)
    if not file.digest:
        return Checked(path, address, "unknown", size)
    algorithm = algorithm_of(file.digest)
    try:
        if algorithm not in found:
            found[algorithm] = digest_of(path, algorithm)
    except OSError:
        return Checked(path, address, "unreadable", size)
    return Checked(path, address, "intact" if found[algorithm] == file.digest else "damaged", size)


@dataclass(frozen=True)
class Held:
    """One version in a project's folder.

    Parameters
    ----------
    version
        The version.
    address
        Its address.
    files
        Data files and tables that are here.
    size_bytes
        Their size, each counted in full.
    shared_bytes
        How much of it has other names too (hard links), in other versions or elsewhere: removing
        this version alone frees the rest.
    files_listed
        Files the manifest names; None if the manifest is not here or cannot be read.
    manifest
        Whether the manifest is here, and readable.
    folder
        The folder of the version; of a mirror, the whole of it.
    """

    version: Version
    address: str
    files: int
    size_bytes: int
    shared_bytes: int
    files_listed: int | None
    manifest: bool
    folder: Path

    def to_dict(self) -> Row:
        """Return the plain facts, ready for JSON."""
        return {
            "address": self.address,
            "version": str(self.version),
            "files": self.files,
            "files_listed": self.files_listed,
            "size_bytes": self.size_bytes,
            "shared_bytes": self.shared_bytes,
            "manifest": self.manifest,
            "folder": str(self.folder),
        }


def versions_held(cache: ReleaseCache) -> tuple[Held, ...]:
    """Return the versions in a project's folder, newest first, with files and bytes.

    Nothing is asked of the network, and no file is read but the manifests. Manifests and other
    records are not counted as files.
    """
    manifests = {version: _manifest_of(cache, version) for version in cache.here()}
    for folder in cache.folder.glob(f"{glob.escape(cache.project.name)}-*/"):
        with suppress(AddressError):
            manifests.setdefault(Version(folder.name[len(cache.project.name) + 1 :]), None)
    return tuple(
        _held(cache, version, manifest)
        for version, manifest in sorted(manifests.items(), reverse=True)
    )


def _held(cache: ReleaseCache, version: Version, manifest: Manifest | None) -> Held:
    folder = _folder_of(cache, version)
    paths: list[Path] = []
    if (cache.mirror or cache.flat) and manifest is not None:
        paths = [cache.path(manifest, f) for f in manifest.files]
    elif not cache.mirror:
        paths = [p for p in folder.rglob("*") if not p.name.endswith((".part", ".lease"))]
    names: dict[tuple[int, int], int] = {}
    size = shared = 0
    stats = [path.stat() for path in paths if path.is_file()]
    for stat in stats:
        name = (stat.st_dev, stat.st_ino)
        names[name] = names.get(name, 0) + 1
    for stat in {(s.st_dev, s.st_ino): s for s in stats}.values():
        size += stat.st_size
        shared += stat.st_size if names[stat.st_dev, stat.st_ino] < stat.st_nlink else 0
    return Held(
        version=version,
        address=_address(cache, version),
        files=len(stats),
        size_bytes=size,
        shared_bytes=shared,
        files_listed=None if manifest is None else len(manifest.files),
        manifest=manifest is not None,
        folder=cache.folder if cache.mirror or cache.flat else folder,
    )


def _folder_of(cache: ReleaseCache, version: Version) -> Path:
    return cache.folder / f"{cache.project.name}-{version}"


def _address(cache: ReleaseCache, version: Version) -> str:
    return f"release:{cache.project.name}@{version}"


def _manifest_of(cache: ReleaseCache, version: Version) -> Manifest | None:
    offline = Bucket(http=Http(offline=True), name=cache.bucket.name)
    try:
        return replace(cache, bucket=offline).manifest(version)
    except OpenAllenError:
        return None  # damaged, and not to be asked for again by a look at the folder


@dataclass(frozen=True)
class Pruned:
    """The result of removing a version, done or planned.

    Parameters
    ----------
    address
        The version: ``release:visual-behavior-ophys@0.2.0``.
    files
        Number of files removed.
    freed_bytes
        Bytes freed: those that no other version shares.
    """

    address: str
    files: int
    freed_bytes: int

    def to_dict(self) -> Row:
        """Return the plain facts, ready for JSON."""
        return {"address": self.address, "files": self.files, "freed_bytes": self.freed_bytes}


def prune(
    cache: ReleaseCache, versions: Iterable[Version], *, dry_run: bool = False
) -> list[Pruned]:
    """Remove versions that are no longer wanted; bytes that other versions share stay.

    Parameters
    ----------
    cache
        The project's folder.
    versions
        The versions.
    dry_run
        Whether to remove nothing.

    Raises
    ------
    NotFoundError
        If a version is not here; nothing is removed then.
    StoreError
        If it cannot be removed.
    """
    wanted = list(versions)
    folders = {v: _folder_of(cache, v) for v in wanted}
    for version, folder in folders.items():
        if not folder.is_dir() and version not in cache.here():
            raise NotFoundError(
                "not in the store",
                address=_address(cache, version),
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
        done.append(Pruned(_address(cache, version), count, freed))
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
    """The result of adopting a folder.

    Parameters
    ----------
    project
        Name of the project in it.
    folder
        Where its files are now.
    versions
        Versions whose manifests were there.
    checked
        The result for each file.
    how
        How bytes were shared, with counts: ``hard link``, ``reflink``, ``copy``, ``in place``.
    unproven
        Files that came along although no digest of them was published.
    """

    project: str
    folder: Path
    versions: tuple[Version, ...]
    checked: tuple[Checked, ...]
    how: dict[str, int]
    unproven: frozenset[Path] = frozenset()

    @property
    def left_behind(self) -> tuple[Checked, ...]:
        """Files that are not what was published; they stayed where they were."""
        found = (c for c in self.checked if c.status != "intact")
        return tuple(c for c in found if c.path not in self.unproven)

    def facts(self) -> Facts:
        """Return what was done, for people and for JSON."""
        ways = ", ".join(f"{count_text(n, 'file')} by {way}" for way, n in self.how.items())
        left = [{"path": str(c.path), "status": c.status} for c in self.left_behind]
        text = "\n".join(f"  {c['status']}: {c['path']}" for c in left)
        return Facts(
            address=f"release:{self.project}",
            title=f"Adopted {self.project}",
            kind="adopted cache",
            fields=(
                Field("project", self.project),
                Field("folder", str(self.folder)),
                Field("versions", [str(v) for v in self.versions]),
                Field("files", len(self.checked)),
                Field("how", dict(self.how), ways or "nothing was there"),
            ),
            sections=(Section("left behind", "left_behind", left, text),),
            ids=(str(self.folder),),
            exit_code=ExitCode.INTEGRITY if left else ExitCode.DONE,
        )


def adopt(
    source: Path,
    cache: ReleaseCache,
    index: Index,
    done: Callable[[Checked], object] = lambda _: None,
) -> Adopted:
    """Adopt a cache AllenSDK made, or a mirror, into the store's folder or in place.

    Nothing is fetched. Manifests and the record of the last one used come along. Each file is read
    through and compared with its manifest; what is not intact is left behind. Symbolic links
    become files of their own that share their bytes.

    Parameters
    ----------
    source
        The folder AllenSDK was given as its cache, or the folder of a mirror.
    cache
        The project's folder; the same folder to adopt it in place.
    index
        The index that records what was found.
    done
        Called with the result for each file.

    Raises
    ------
    NotFoundError
        If the folder holds no manifest of the project.
    StoreError, SpaceError
        If files cannot be shared.
    """
    if not source.is_dir():
        raise StoreError("no such folder", address=str(source))
    flat = is_flat(cache.project, source)
    there = replace(cache, folder=source, mirror=is_mirror(cache.project, source), flat=flat)
    in_place = source.resolve() == cache.folder.resolve()
    # A cache without versions has no manifest: what is taken from it is compared with the bucket's.
    told = cache if flat and not in_place else there
    versions = (told.here() or told.versions())[:1] if told is cache else there.here()
    if not versions:
        raise NotFoundError(
            "no manifest of this project in this folder",
            address=str(source),
            why=f"expected {cache.project.manifest_name(Version('1.0.0'))} or the like",
        )
    manifests = [told.manifest(version) for version in versions]
    cache = there if in_place else cache
    how: dict[str, int] = {}
    checked: list[Checked] = []
    digests: dict[Path, str] = {}
    unproven: set[Path] = set()
    for pair, found in _read_through(there, manifests):
        result = replace(found, repair=release_command(cache, found.address))
        same = flat and result.status == "unknown" and result.size_bytes == pair[1].size_bytes
        if same:
            unproven.add(result.path)
        if result.status == "intact" or same:
            target = cache.path(*pair)
            way = _take(result.path, target, in_place=in_place)
            how[way] = how.get(way, 0) + 1
            digests |= {target: pair[1].digest} if pair[1].digest else {}
            _remember(index, replace(result, path=target), pair[1])
        checked.append(result)
        done(result)
    for manifest in manifests if not flat else ():
        cache.keep(manifest, there.manifest_path(manifest.version).read_bytes())
    if there.last_used is not None:
        cache.use(there.last_used)
    cache.record(digests)
    return Adopted(
        cache.project.name, cache.folder, versions, tuple(checked), how, frozenset(unproven)
    )


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

    sizes = sized_map(check, pairs, lambda pair: there.path(*pair).stat().st_size)
    yield from zip(pairs, sizes, strict=True)


def _take(path: Path, target: Path, *, in_place: bool) -> str:
    if in_place and not path.is_symlink():
        return "in place"
    if target.exists() and not target.is_symlink() and target.samefile(path):
        return "hard link"
    return share(path, target)
