"""Part files: written under a name of their own, given the final name when whole.

A part lies beside its target as ``<name>.<token>.part``. Where the service answers byte ranges, a
record beside it (``….part.json``) says which bytes are safely on disk, from which version of
the object; another process that leases the target takes over both.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from openallen.json_text import load_json
from openallen.store.leases import Lease

__all__ = ["Leftovers", "Part", "Progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """The bytes of a version that are safely on disk.

    Parameters
    ----------
    url
        Where they came from.
    validator
        The validator of that version (ETag or date); empty where there is none.
    size_bytes
        Size of the whole, if known.
    done_bytes
        Bytes from the start that are on disk.
    """

    url: str
    validator: str = ""
    size_bytes: int | None = None
    done_bytes: int = 0


class Part:
    """One holder's part file.

    Parameters
    ----------
    lease
        The lease it is written under.
    resumable
        Whether bytes of an earlier holder may be used; otherwise they are removed.
    left
        Parts that earlier holders left of this target.
    """

    def __init__(self, lease: Lease, *, resumable: bool, left: Iterable[Path] = ()) -> None:
        self.target = lease.target
        # Text, not Path: thousands of small files in a run come by here.
        self._draft = f"{self.target}.{lease.token}.part"
        self.resumable = resumable
        self.progress: Progress | None = None
        self._take_over(list(left), copied=lease.asleep)

    @functools.cached_property
    def path(self) -> Path:
        """The path of the bytes until they are whole."""
        return Path(self._draft)

    @functools.cached_property
    def record(self) -> Path:
        """The path of the record of how many bytes are safe."""
        return Path(self._draft + ".json")

    def _take_over(self, left: list[Path], *, copied: bool) -> None:
        kept = [(p, found) for p in left if self.resumable and (found := _read_record(p))]
        best = max(kept, key=lambda item: item[1].done_bytes, default=None)
        if best is not None:
            # The record goes first: a part without a record is only thrown away.
            old = best[0]
            old.with_name(old.name + ".json").replace(self.record)
            self._take(old, copied=copied)
            self.progress = best[1] if self.path.exists() else None
        for path in left:
            if best is None or path != best[0]:
                _remove(path, path.with_name(path.name + ".json"))

    def _take(self, old: Path, *, copied: bool) -> None:
        """Make another holder's part our own.

        One who may wake up still has it open: what he writes must not land in our file.
        """
        if not copied:
            old.replace(self.path)
            return
        try:
            shutil.copyfile(old, self.path)
        except OSError:  # no room for both: begin anew
            _remove(self.path, self.record)
        _remove(old)

    def start(self, progress: Progress) -> int:
        """Open the part for writing and return its descriptor.

        Continues after ``progress.done_bytes``; whatever follows them is cut off.
        """
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        os.ftruncate(handle, progress.done_bytes)
        os.lseek(handle, progress.done_bytes, os.SEEK_SET)
        self.progress = progress
        return handle

    def write_whole(self, data: bytes | bytearray) -> None:
        """Write a small file in one go: bytes on disk, then its final name."""
        handle = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(handle, left) :]
            _sync(handle)
        finally:
            os.close(handle)
        os.replace(self._draft, self.target)  # noqa: PTH105 - thousands of these in a run

    def checkpoint(self, handle: int, done_bytes: int) -> None:
        """Put the bytes so far on disk and record that they are."""
        if not self.resumable or self.progress is None:
            return
        _sync(handle)
        self.progress = Progress(
            self.progress.url, self.progress.validator, self.progress.size_bytes, done_bytes
        )
        draft = self.record.with_name(self.record.name + ".new")
        draft.write_text(json.dumps(asdict(self.progress)), "utf-8")
        draft.replace(self.record)

    def finish(self, handle: int | None = None) -> None:
        """Rename the part to its final name, atomically, its bytes on disk first.

        Parameters
        ----------
        handle
            A descriptor of the part, where one is open.
        """
        if handle is not None:
            _sync(handle)
        else:
            with self.path.open("rb+") as file:
                _sync(file.fileno())
        self.path.replace(self.target)
        with suppress(FileNotFoundError):
            self.record.unlink()
        self.progress = None

    def discard(self) -> None:
        """Remove the part."""
        _remove(self.path, self.record)
        self.progress = None


_CLAIM: Final = re.compile(r"(.+)\.lease(?:\.[0-9a-f]{8})?")


class Leftovers:
    """Parts left by earlier holders, by target; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, list[Path]]] = {}
        self._lock = threading.Lock()

    def of(self, target: Path, *, fresh: bool = False) -> list[Path]:
        """Return the parts left of `target`; `fresh` lists its folder again."""
        with self._lock:
            return self._in(target, fresh=fresh).pop(target.name, [])

    def has(self, target: Path) -> bool:
        """Return whether earlier holders left parts of `target`."""
        with self._lock:
            return target.name in self._in(target)

    def note(self, target: Path, part: Path) -> None:
        """Note a part that this process has just left of `target`."""
        with self._lock:
            parts = self._in(target).setdefault(target.name, [])
            if part not in parts:
                parts.append(part)

    def _in(self, target: Path, *, fresh: bool = False) -> dict[str, list[Path]]:
        folder = os.path.dirname(target)  # noqa: PTH120 - thousands of these in a run
        if fresh or folder not in self._folders:
            self._folders[folder] = _parts_in(target.parent)
        return self._folders[folder]

    @staticmethod
    def targets(folder: Path) -> set[str]:
        """Return the names of files in `folder` that have a part or a lease beside them."""
        names = _names(folder)
        leased = {match[1] for name in names if (match := _CLAIM.fullmatch(name))}
        return leased | set(_parts_among(folder, names))

    @staticmethod
    def clear(target: Path) -> None:
        """Remove the parts of `target`."""
        for path in _parts_in(target.parent).get(target.name, []):
            _remove(path, path.with_name(path.name + ".json"))


def _parts_in(folder: Path) -> dict[str, list[Path]]:
    return _parts_among(folder, _names(folder))


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - thousands of names, of which few are of use
    except OSError:
        return []


def _parts_among(folder: Path, names: list[str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for part in names:
        name, _, token = part.removesuffix(".part").rpartition(".")
        if part.endswith(".part") and name and len(token) == 8:
            found.setdefault(name, []).append(folder / part)
    return found


def _read_record(path: Path) -> Progress | None:
    try:
        state = load_json(path.with_name(path.name + ".json").read_text("utf-8"))
        found = Progress(**state)
        texts = isinstance(found.url, str) and isinstance(found.validator, str)
        known = found.size_bytes is None or type(found.size_bytes) is int
        counted = type(found.done_bytes) is int and 0 < found.done_bytes <= path.stat().st_size
        whole = texts and known and counted
    except (OSError, ValueError, TypeError):
        return None
    return found if whole else None


def _remove(*paths: Path) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()


def _sync(handle: int) -> None:
    getattr(os, "fdatasync", os.fsync)(handle)
