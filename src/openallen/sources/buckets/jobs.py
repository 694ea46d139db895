"""What fetching files below a prefix of a bucket takes."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from openallen.address import Address
from openallen.display import count_text
from openallen.errors import IntegrityError
from openallen.plans import Plan, RemoteFile, Report, safe_path
from openallen.transfer.job import Means
from openallen.transport.s3 import Bucket, Listed

__all__ = ["EtagCheck", "PrefixJob", "part_sizes"]

_MIB: Final = 1 << 20
_PARTS: Final = tuple(
    n * _MIB for n in (5, 8, 10, 15, 16, 25, 32, 50, 64, 100, 128, 256, 512, 1024)
)
"""Sizes that tools upload parts in: 8 MiB is what most do, 50 MiB s5cmd."""
_NAMED: Final = 5
_NAME_LETTERS: Final = 120
_SMALL_BYTES: Final = 1 << 20
_CONNECTIONS: Final = 32
_MANY_CONNECTIONS: Final = 256


def part_sizes(size_bytes: int, parts: int) -> list[int]:
    """Return the sizes of parts that cut a file of `size_bytes` into so many."""
    return [part for part in _PARTS if -(-size_bytes // part) == parts]


@dataclass(frozen=True)
class EtagCheck:
    """Looks at a file that was uploaded in parts; a `openallen.plans.Check`.

    Its entity tag is the MD5 of the parts' MD5s, and the size of a part is not published: the usual
    ones are tried. Where one gives the tag, the file is right; where none does, that proves nothing
    and is written down.

    Parameters
    ----------
    etag
        The entity tag, ``hex-parts``.
    size_bytes
        Size of the file.
    """

    etag: str
    size_bytes: int

    def __call__(self, path: Path) -> Mapping[str, Any]:
        """Compare."""
        count = int(self.etag.rpartition("-")[2])
        for part in part_sizes(self.size_bytes, count):
            if _etag(path, part) == self.etag:
                return {"etag": self.etag, "part_bytes": part}
        return {"etag": self.etag, "part_bytes": None}


def _etag(path: Path, part_bytes: int) -> str:
    whole = hashlib.md5(usedforsecurity=False)
    count = 0
    with path.open("rb") as file:
        while data := file.read(part_bytes):
            whole.update(hashlib.md5(data, usedforsecurity=False).digest())
            count += 1
    return f"{whole.hexdigest()}-{count}"


@dataclass(frozen=True)
class PrefixJob:
    """Files below a prefix about to be fetched.

    Parameters
    ----------
    plan
        What it takes.
    """

    plan: Plan

    @classmethod
    def of(
        cls,
        bucket: Bucket,
        prefix: str,
        found: Sequence[Listed],
        to: Path,
        *,
        address: Address,
        root: Address,
        retry_to: Path,
        notes: tuple[str, ...] = (),
    ) -> PrefixJob:
        """Plan files of a bucket; they keep their place below the prefix.

        Parameters
        ----------
        bucket, prefix
            Where they are.
        found
            The files, as they were listed; at least one.
        to
            The folder they go to.
        address
            What was asked for.
        root
            The address of the prefix.
        retry_to
            The folder that the command is given which fetches them again.
        notes
            What people should know of the plan.

        Raises
        ------
        IntegrityError
            If none of the keys can be the name of a file.
        """
        found, left_out = _parted(found, prefix)
        if left_out:
            notes = (*notes, _told(left_out))
        if not found:
            raise IntegrityError(
                "unsafe file names, and no others", address=str(address), why=_told(left_out)
            )
        sizes = sorted(entry.size_bytes for entry in found)
        small = sizes[len(sizes) // 2] < _SMALL_BYTES
        retry = f"openallen fetch {shlex.quote(str(address))} --to {shlex.quote(str(retry_to))}"
        plan = Plan(
            address=str(address),
            title=f"{root.scheme.capitalize()} {'/'.join((root.name, *root.path))}",
            source=f"s3://{bucket.name}",
            to=to,
            files=tuple(_files(bucket, prefix, root, found, retry)),
            connections=_MANY_CONNECTIONS if small else _CONNECTIONS,
            notes=notes,
        )
        return cls(plan)

    def run(self, means: Means) -> Report:
        """Fetch them; failures are in the report."""
        return means.run(self.plan)

    def result(self) -> object:
        """Return the folder, or the path of the one file asked for."""
        if len(self.plan.files) == 1:
            return self.plan.to / self.plan.files[0].path
        return self.plan.to


def _parted(found: Sequence[Listed], prefix: str) -> tuple[list[Listed], list[str]]:
    """Return what can be files in one folder, and the keys that cannot.

    A bucket has no folders: ``dir`` and ``dir/file`` may both be there, and keys may hold whatever.
    """
    paths = [entry.key.removeprefix(prefix) for entry in found]
    folders = {path[:at] for path in paths for at in _slashes(path)}
    kept: list[Listed] = []
    left_out: list[str] = []
    for entry, path in zip(found, paths, strict=True):
        try:
            safe_path(path)
        except IntegrityError:
            left_out.append(path)
            continue
        if path in folders:
            left_out.append(path)
        else:
            kept.append(entry)
    return kept, left_out


def _slashes(path: str) -> Iterator[int]:
    at = path.find("/")
    while at >= 0:
        yield at
        at = path.find("/", at + 1)


def _told(keys: Sequence[str]) -> str:
    named = ", ".join(repr(key)[:_NAME_LETTERS] for key in keys[:_NAMED])
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return f"{count_text(len(keys), 'key')} left out, not safe as file names: {named}{more}"


def _kind(name: str) -> str:
    return "sidecars" if name.endswith(".json") else "files"


def _files(
    bucket: Bucket, prefix: str, root: Address, found: Iterable[Listed], retry: str
) -> Iterable[RemoteFile]:
    for entry in found:
        path = entry.key.removeprefix(prefix)
        parts = "-" in entry.etag
        yield RemoteFile(
            address=str(replace(root, path=(*root.path, *path.split("/")))),
            url=bucket.url(entry.key),
            path=path,
            kind=path.partition("/")[0] if "/" in path else _kind(path),
            size_bytes=entry.size_bytes,
            digest="" if parts or not entry.etag else f"md5:{entry.etag}",
            check=EtagCheck(entry.etag, entry.size_bytes) if parts else None,
            retry=retry,
        )
