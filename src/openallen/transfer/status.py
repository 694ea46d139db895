"""What of a plan is here already, and whether it is intact."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openallen.errors import IntegrityError
from openallen.plans import Outcome, Plan, RemoteFile
from openallen.store import Index, digest_of
from openallen.store.digests import algorithm_of

__all__ = ["fetched_time", "intact", "moment", "with_status", "vouched"]


def with_status(plan: Plan) -> Plan:
    """Give the plan with the files that look as if they were here; a quick look, for people.

    Only existence and published sizes are compared. A run reads every byte that nothing vouches
    for before it counts a file as here.
    """
    root = plan.to.as_posix()
    here = {f.path for f in plan.files if _looks_here(f, f"{root}/{f.path}")}
    return replace(plan, here=frozenset(here))


def vouched(plan: Plan, index: Index, *, verify: bool = True) -> dict[str, Outcome]:
    """Give the outcomes of files the index vouches for, by path; one look for all of them.

    What `intact` would say of each, at a cost that lets a plan of thousands of complete files end
    in a blink.
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


def _looks_here(file: RemoteFile, path: str) -> bool:
    try:
        size = os.stat(path).st_size  # noqa: PTH116 - thousands of these
    except OSError:
        return False
    told = file.last_bytes if file.size_bytes is None else file.size_bytes
    return size > 0 and told in {None, size}


def intact(file: RemoteFile, path: Path, index: Index, *, verify: bool = True) -> Outcome | None:
    """Give the outcome of a file that is here and right, None where it must be fetched.

    The index vouches for a file that has not changed since its bytes were read; else the digest
    that was published, or written down by an earlier run, is compared; where there is none, the
    file's own check has to pass. Without `verify` a file that was fetched without it, and has not
    changed since, will do.
    """
    try:
        size = path.stat().st_size
    except OSError:
        return None
    if file.size_bytes is not None and size != file.size_bytes:
        return None
    expected = file.digest or file.last_digest
    record = index.recall(path)
    if record is not None and _agrees(record.digest, file, verify=verify):
        return _here(file, path, record.digest, size)
    try:
        facts = file.check(path) if file.check and not expected else {}
        found = digest_of(path, algorithm_of(expected))
    except (IntegrityError, OSError):
        return None
    if expected and found != expected:
        return None
    index.remember(path, digest=found, source=file.url, address=file.address)
    return _here(file, path, found, size, facts)


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
    """Tell when a file was written: ISO 8601, UTC, whole seconds.

    The modification time, so that every process and every later run tells the same.
    """
    return moment(path.stat().st_mtime)


def moment(time_s: float) -> str:
    """Write a time: ISO 8601, UTC, whole seconds."""
    return _second(int(time_s))


@functools.lru_cache(maxsize=64)
def _second(time_s: int) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
