"""Which files of a plan are here already, and whether they are intact."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openallen.errors import IntegrityError, OpenAllenError
from openallen.plans import Outcome, Plan, RemoteFile
from openallen.store import Index, digest_of
from openallen.store.digests import algorithm_of
from openallen.store.link import share

__all__ = [
    "fetched_time",
    "here_by_name",
    "intact",
    "moment",
    "share_known",
    "vouched",
    "with_status",
]


def with_status(plan: Plan) -> Plan:
    """Return the plan with the files that need not be fetched, by a quick look.

    Counted as here: files at the destination, and files whose bytes are on this machine under
    another name (`RemoteFile.also_at`), which a run links. Only existence and sizes are compared;
    a run reads every byte that the index does not vouch for before it counts a file as here.
    """
    elsewhere = (f.path for f in plan.files if any(_looks_here(f, p) for p in f.also_at))
    return replace(plan, here=here_by_name(plan).union(elsewhere))


def here_by_name(plan: Plan) -> frozenset[str]:
    """Return the paths of files that look whole at the destination itself."""
    root = plan.to.as_posix()
    # What is in a folder that is not there need not be looked for, file by file.
    folders = {f.path.rpartition("/")[0] for f in plan.files}
    there = {folder for folder in folders if os.path.isdir(f"{root}/{folder}")}  # noqa: PTH112
    return frozenset(
        f.path
        for f in plan.files
        if f.path.rpartition("/")[0] in there and _looks_here(f, f"{root}/{f.path}")
    )


def share_known(plan: Plan, index: Index) -> None:
    """Link files of a plan whose bytes are intact elsewhere on this machine.

    A file that cannot be linked or copied (no room, no permission) is left to be fetched.
    """
    for file in plan.files:
        target = plan.to / file.path
        if not file.also_at or not file.digest or target.exists():
            continue
        for there in file.also_at:
            if intact(file, there, index) is None:
                continue
            try:
                share(there, target)
            except OpenAllenError:
                return  # the run itself reports why nothing can be written
            _remember(index, target, file, file.digest)
            break


def vouched(plan: Plan, index: Index, *, verify: bool = True) -> dict[str, Outcome]:
    """Return the outcomes of files the index vouches for, by path, with one query for all.

    The result is what `intact` returns for each, fast enough for plans of thousands of files.
    """
    known = index.everything()
    found: dict[str, Outcome] = {}
    root = plan.to.absolute().as_posix()
    for file in plan.files if known else ():
        record = known.get(f"{root}/{file.path}")
        if record is None or not _agrees(record.digest, file, verify=verify):
            continue
        try:
            stat = os.stat(f"{root}/{file.path}")  # noqa: PTH116 - thousands of these
        except OSError:
            continue
        if (stat.st_size, stat.st_mtime_ns) != (record.size_bytes, record.mtime_ns):
            continue
        if file.size_bytes in {None, stat.st_size}:
            found[file.path] = Outcome(
                file=file,
                status="here",
                size_bytes=stat.st_size,
                digest=record.digest,
                fetched_at=moment(stat.st_mtime),
            )
    return found


def _looks_here(file: RemoteFile, path: str | Path) -> bool:
    try:
        size = os.stat(path).st_size  # noqa: PTH116 - thousands of these
    except OSError:
        return False
    expected = file.last_bytes if file.size_bytes is None else file.size_bytes
    return size > 0 and expected in {None, size}


def intact(
    file: RemoteFile, path: Path, index: Index, *, verify: bool = True, begun_s: float = math.inf
) -> Outcome | None:
    """Return the outcome of a file that is here and intact, None where it must be fetched.

    The index vouches for a file that has not changed since its bytes were read; else the digest
    that was published, or recorded by an earlier run, is compared. A file of which neither is
    known is fetched again, unless it appeared after `begun_s` (a time as of `time.time`): then
    another run has just written it, and its own check has to pass. Without `verify` a file that
    was fetched without it, and has not changed since, counts as intact.
    """
    try:
        stat = path.stat()
    except OSError:
        return None
    size = stat.st_size
    if file.size_bytes is not None and size != file.size_bytes:
        return None
    expected = file.digest or file.last_digest
    record = index.recall(path)
    if record is not None and _agrees(record.digest, file, verify=verify):
        return _here(file, path, record.digest, size)
    # Damage that still decodes would pass for the bytes of a file that nobody has recorded.
    known = expected or record is not None or stat.st_mtime >= begun_s
    read = _read(file, path, expected) if known else None
    if read is None:
        return None
    found, facts = read
    _remember(index, path, file, found)
    return _here(file, path, found, size, facts)


def _read(file: RemoteFile, path: Path, expected: str) -> tuple[str, Mapping[str, Any]] | None:
    """Return the digest of a file and what its check found; None if it is not what it should be."""
    try:
        facts = file.check(path) if file.check and not expected else {}
        found = digest_of(path, algorithm_of(expected))
    except (IntegrityError, OSError):
        return None
    return None if expected and found != expected else (found, facts)


def _remember(index: Index, path: Path, file: RemoteFile, digest: str) -> None:
    index.remember(path, digest=digest, source=file.url, address=file.address, command=file.retry)


def _agrees(remembered: str, file: RemoteFile, *, verify: bool) -> bool:
    if not remembered:
        return not verify
    if not file.digest:
        return not file.last_digest or remembered == file.last_digest
    return remembered == file.digest


def _here(
    file: RemoteFile, path: Path, digest: str, size: int, facts: Mapping[str, Any] | None = None
) -> Outcome:
    return Outcome(
        file=file,
        status="here",
        size_bytes=size,
        digest=digest,
        fetched_at=fetched_time(path),
        facts=facts or {},
    )


def fetched_time(path: Path) -> str:
    """Return when a file was written: ISO 8601, UTC, whole seconds.

    This is the modification time, so that every process and every later run agree.
    """
    return moment(path.stat().st_mtime)


def moment(time_s: float) -> str:
    """Return a time as ISO 8601, UTC, whole seconds."""
    return _second(int(time_s))


@functools.lru_cache(maxsize=64)
def _second(time_s: int) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
