"""Reading what is kept through, and comparing it with what is remembered of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from openallen.store.digests import algorithm_of, digest_of
from openallen.store.index import Index

__all__ = ["Checked", "Status", "file_sizes", "verify_remembered"]

Status = Literal["right", "damaged", "unreadable", "unknown"]
"""``unknown``: nothing here names the file, or tells its digest."""


@dataclass(frozen=True)
class Checked:
    """What was found of one file.

    Parameters
    ----------
    path
        The file.
    address
        What names it; empty where nothing does.
    status
        See `Status`.
    size_bytes
        Its size.
    """

    path: Path
    address: str
    status: Status
    size_bytes: int


def verify_remembered(folder: Path, index: Index) -> Iterator[Checked]:
    """Read every remembered file below a folder through, and compare it with its digest.

    Damaged ones are vouched for no longer, so that the next fetch brings them again; those that
    are gone are passed over.
    """
    root = folder.absolute()
    for key, record in sorted(index.everything().items()):
        path = Path(key)
        if not path.is_relative_to(root) or not path.is_file():
            continue
        if not record.digest:
            yield Checked(path, record.address, "unknown", path.stat().st_size)
            continue
        try:
            right = digest_of(path, algorithm_of(record.digest)) == record.digest
        except OSError:
            yield Checked(path, record.address, "unreadable", 0)
            continue
        if not right:
            # What was remembered stays, so that the next look finds the damage too; but a file
            # with another time is vouched for no longer, and the next fetch brings it again.
            with suppress(OSError):
                os.utime(path)
        status: Status = "right" if right else "damaged"
        yield Checked(path, record.address, status, path.stat().st_size)


def file_sizes(folder: Path) -> dict[tuple[int, int], int]:
    """Return sizes in bytes of the files below a folder; one that has two names counts once."""
    stats = (p.stat() for p in folder.rglob("*") if p.is_file())
    return {(s.st_dev, s.st_ino): s.st_size for s in stats}
