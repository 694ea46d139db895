"""Reading files through, and comparing them with what the index knows of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from openallen.formats.parallel import sized_map
from openallen.plans import fetch_command
from openallen.store.digests import algorithm_of, digest_of
from openallen.store.index import Index, Record

__all__ = [
    "BAD",
    "Checked",
    "Status",
    "compare_digest",
    "file_sizes",
    "repair_commands",
    "verify_remembered",
]

Status = Literal["intact", "damaged", "missing", "unreadable", "unknown"]
"""``unknown``: no record names the file, or none has its digest."""

BAD: frozenset[Status] = frozenset({"damaged", "missing", "unreadable"})
"""The statuses that need a repair."""


@dataclass(frozen=True)
class Checked:
    """The result of verifying one file.

    Parameters
    ----------
    path
        The file.
    address
        Its address; empty where nothing names it.
    status
        See `Status`.
    size_bytes
        Its size; 0 where it is missing.
    repair
        The command that fetches it again, as typed; empty where none is known.
    """

    path: Path
    address: str
    status: Status
    size_bytes: int
    repair: str = ""

    @property
    def bad(self) -> bool:
        """Whether the file needs a repair."""
        return self.status in BAD


def verify_remembered(folder: Path, index: Index) -> Iterator[Checked]:
    """Read every recorded file below a folder through, on all cores, and compare digests.

    A damaged file is vouched for no longer, so that the next fetch replaces it. A file that is
    gone while its folder is there is missing; records of folders that were removed are skipped.

    Parameters
    ----------
    folder
        The folder; all of the store, or a part of it, or a folder elsewhere.
    index
        The index.

    Yields
    ------
    Checked
        One for each file, in the order of paths.
    """
    root = folder.absolute()
    below = (
        (path, record)
        for key, record in sorted(index.everything(root).items())
        for path in [Path(key)]
        if path.is_relative_to(root) and path.parent.is_dir()
    )
    yield from sized_map(_verified, below, lambda item: item[1].size_bytes)


def _verified(item: tuple[Path, Record]) -> Checked:
    path, record = item
    repair = record.command or _derived(path, record)
    try:
        size = path.stat().st_size
        if not record.digest:
            return Checked(path, record.address, "unknown", size, repair)
        found = compare_digest(path, record.digest)
    except FileNotFoundError:
        return Checked(path, record.address, "missing", 0, repair)
    except OSError:
        return Checked(path, record.address, "unreadable", 0, repair)
    if found == "damaged":
        # The record stays, so that the next look finds the damage too; but a file with another
        # time is vouched for no longer, and the next fetch replaces it.
        with suppress(OSError):
            os.utime(path)
    return Checked(path, record.address, found, size, repair)


def _derived(path: Path, record: Record) -> str:
    """Return the command for a file that an earlier openallen recorded without one."""
    return fetch_command(record.address, to=path.parent) if record.address else ""


def compare_digest(path: Path, digest: str) -> Status:
    """Return ``intact`` or ``damaged`` for a file that is there.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    return "intact" if digest_of(path, algorithm_of(digest)) == digest else "damaged"


def repair_commands(checked: Iterable[Checked]) -> dict[str, tuple[Checked, ...]]:
    """Return the commands that repair bad files, each with the files it repairs.

    Files without a command are under the empty text.
    """
    found: dict[str, list[Checked]] = {}
    for result in checked:
        if result.bad:
            found.setdefault(result.repair, []).append(result)
    return {command: tuple(results) for command, results in found.items()}


def file_sizes(folder: Path) -> dict[tuple[int, int], int]:
    """Return sizes in bytes of the files below a folder; one that has two names counts once."""
    stats = (p.stat() for p in folder.rglob("*") if p.is_file())
    return {(s.st_dev, s.st_ino): s.st_size for s in stats}
