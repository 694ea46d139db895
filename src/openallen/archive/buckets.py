"""Buckets that an archive holds: files below ``buckets/NAME/``, and an index of their versions.

::

    buckets/NAME/KEY      an object; its key is its path
    buckets/NAME.jsonl    optional: one line for each version of an object, the oldest first; the
                          last line of a key is its newest

A line is an object with ``key`` and, where it says more than the file itself, ``version_id``,
``etag`` and ``modified`` (ISO 8601), ``file`` (where the bytes are, relative to the archive;
``buckets/NAME/KEY`` if left out), ``deleted`` (true for a delete marker). Lines can be added while
the archive is served. What the index names it speaks for: files beside it are objects without
versions.

Nothing outside of the archive is ever read: links are not followed, and keys that are no plain
path (``a//b``, ``a/../b``) are only those of the index, which says where their bytes are.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from openallen.archive.parts import file_tag, looked_at, open_plain
from openallen.errors import CorruptError
from openallen.json_text import load_json

__all__ = ["BucketFolder", "Buckets", "Cursor", "Stored", "successor"]

NO_VERSION: Final = "null"
"""What S3 calls the version of an object in a bucket without versions."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
_HEADER: Final = re.compile(r"[\x21-\x7e]{0,1024}")
_NO_DOTS: Final = frozenset({"", ".", ".."})
_LONGEST_KEY: Final = 1024
_FIELDS: Final = {"key": str, "version_id": str, "etag": str, "modified": str, "file": str}


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of an object.

    Parameters
    ----------
    key
        Its key.
    path
        Where its bytes are.
    size_bytes, etag, modified
        What S3 says of it; the tag without quotes.
    version_id
        Its version; ``null`` without versions.
    latest
        Whether it is the newest of its key.
    deleted
        Whether it is a delete marker, which has no bytes.
    """

    key: str
    path: Path
    size_bytes: int
    etag: str
    modified: datetime
    version_id: str = NO_VERSION
    latest: bool = True
    deleted: bool = False


class _Line(NamedTuple):
    """One line of an index."""

    version_id: str
    file: str
    etag: str
    modified: str
    deleted: bool


class Buckets:
    """Every bucket of an archive; what is added to the folder later is found too.

    Parameters
    ----------
    root
        The folder of the archive.

    Raises
    ------
    CorruptError
        If an index cannot be read.
    """

    def __init__(self, root: Path) -> None:
        # Every path below is compared with the one that it really is: links lead elsewhere.
        self._root = Path(os.path.realpath(root))
        self._known: dict[str, BucketFolder] = {}
        self._lock = threading.Lock()
        for name in self.names():
            bucket = self.find(name)
            assert bucket is not None
            bucket.indexed()

    def names(self) -> list[str]:
        """Return the names of the buckets, in order."""
        folder = self._root / "buckets"
        if os.path.realpath(folder) != str(folder):
            return []
        try:
            inner = list(os.scandir(folder))
        except OSError:
            return []
        folders = {e.name for e in inner if e.is_dir(follow_symlinks=False)}
        indexes = {
            e.name.removesuffix(".jsonl")
            for e in inner
            if e.name.endswith(".jsonl") and e.is_file(follow_symlinks=False)
        }
        return sorted(name for name in folders | indexes if _NAME.fullmatch(name))

    def has(self, name: str) -> bool:
        """Return whether there is a bucket of a name."""
        folder = str(self._root / "buckets")
        if not _NAME.fullmatch(name) or os.path.realpath(folder) != folder:
            return False
        return _mode(f"{folder}/{name}") == stat.S_IFDIR or (
            _mode(f"{folder}/{name}.jsonl") == stat.S_IFREG
        )

    def find(self, name: str) -> BucketFolder | None:
        """Return a bucket; None where there is none of that name."""
        if not self.has(name):
            return None
        with self._lock:
            if name not in self._known:
                self._known[name] = BucketFolder(self._root, name)
            return self._known[name]


class BucketFolder:
    """One bucket.

    Parameters
    ----------
    root
        The folder of the archive, without links in its path.
    name
        Name of the bucket.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self._root = root
        self._folder = root / "buckets" / name
        self._index_path = root / "buckets" / f"{name}.jsonl"
        self._seen: tuple[int, int] | None = None
        self._index: Mapping[str, list[_Line]] = {}
        self._keys: Sequence[str] = ()
        self._lock = threading.Lock()

    @property
    def versioned(self) -> bool:
        """Whether an object of it has a version of its own."""
        lines = self.indexed().values()
        return any(line.version_id != NO_VERSION for inner in lines for line in inner)

    def is_current(self) -> bool:
        """Return whether the index is as it was when it was last read."""
        try:
            told = os.lstat(self._index_path)
        except OSError:
            return self._seen is None
        return self._seen == (told.st_mtime_ns, told.st_size)

    def indexed(self) -> Mapping[str, list[_Line]]:
        """Return the lines of the index by key, the oldest first; read anew when it has changed.

        Raises
        ------
        CorruptError
            If it cannot be read.
        """
        with self._lock:
            try:
                told = os.lstat(self._index_path)
            except OSError:
                self._seen, self._index, self._keys = None, {}, ()
                return self._index
            seen = (told.st_mtime_ns, told.st_size)
            if seen != self._seen and stat.S_ISREG(told.st_mode):
                self._index = _read(self._index_path, self.name)
                self._keys = sorted(self._index)
                self._seen = seen
            return self._index

    def cursor(self, prefix: str, start: str) -> Cursor:
        """Return the keys that begin with a prefix, from one on, in the order of S3.

        Parameters
        ----------
        prefix
            What they begin with.
        start
            The first that may be returned.
        """
        self.indexed()
        return Cursor(self._folder, self._keys, prefix, start)

    def newest(self, key: str, folders: MutableMapping[str, bool] | None = None) -> Stored | None:
        """Return the newest version of an object; None where it is deleted, or is not here.

        Parameters
        ----------
        key
            Its key.
        folders
            What one listing remembers of folders: see `openallen.archive.parts.looked_at`.
        """
        found = next(iter(self.versions(key, folders)), None)
        return found if found is not None and found.latest and not found.deleted else None

    def versions(self, key: str, folders: MutableMapping[str, bool] | None = None) -> list[Stored]:
        """Return all versions of an object, the newest first; none whose bytes are not there.

        Parameters
        ----------
        key
            Its key.
        folders
            What one listing remembers of folders: see `openallen.archive.parts.looked_at`.
        """
        folders = {} if folders is None else folders
        lines = self.indexed().get(key)
        if lines is None:
            path = self._path_of(key)
            found = path and self._stored(key, path, _Line(NO_VERSION, "", "", "", False), folders)
            return [found] if found else []
        listed = (
            self._stored(
                key,
                self._root / (line.file or f"buckets/{self.name}/{key}"),
                line,
                folders,
                latest=line is lines[-1],
            )
            for line in reversed(lines)
        )
        return [one for one in listed if one is not None]

    def _path_of(self, key: str) -> Path | None:
        """Return where the object of a key would be; None for a key that is no plain path."""
        odd = "\\" in key or "\0" in key or not _NO_DOTS.isdisjoint(key.split("/"))
        if odd or len(key.encode("utf-8", "replace")) > _LONGEST_KEY:
            return None
        return Path(f"{self._folder}/{key}")

    def _stored(
        self,
        key: str,
        path: Path,
        line: _Line,
        folders: MutableMapping[str, bool],
        *,
        latest: bool = True,
    ) -> Stored | None:
        if line.deleted:
            when = _when(line.modified) or datetime.fromtimestamp(0, UTC)
            return Stored(key, path, 0, "", when, line.version_id, latest, True)
        told = looked_at(self._root, path, folders)
        if told is None:
            return None
        when = _when(line.modified) or datetime.fromtimestamp(int(told.st_mtime), UTC)
        etag = line.etag or file_tag(told)
        return Stored(key, path, told.st_size, etag, when, line.version_id, latest)

    def open(self, stored: Stored) -> int:
        """Open the file of an object; return its descriptor.

        Raises
        ------
        OSError
            If it is no longer there, or has been replaced by something else.
        """
        return open_plain(stored.path, stored.size_bytes)


class Cursor:
    """Keys in the order of S3, of files and of an index; where it goes on can be moved ahead.

    Folders that hold no key that is wanted are not looked into, and one folder at a time is in
    memory, so that the first page of a bucket of millions costs what a page costs.

    Attributes
    ----------
    start : str
        The least key that comes next. Whoever reads may move it ahead, as to behind a folder.

    Parameters
    ----------
    folder
        The folder of files.
    indexed
        Keys of the index, in order.
    prefix
        What keys begin with.
    start
        The first that may be returned.
    """

    def __init__(self, folder: Path, indexed: Sequence[str], prefix: str, start: str) -> None:
        self._folder = folder
        self._indexed = indexed
        self._prefix = prefix
        self.start = max(prefix, start)

    def __iter__(self) -> Iterator[str]:
        files = self._files()
        ahead = next(files, None)
        at = 0
        while True:
            at = bisect_left(self._indexed, self.start, at)
            if ahead is not None and ahead < self.start:
                ahead = next(files, None)
                continue
            named = self._indexed[at] if at < len(self._indexed) else None
            if named is not None and not named.startswith(self._prefix):
                named = None
            if named is None and ahead is None:
                return
            key = min(k for k in (named, ahead) if k is not None)
            self.start = key + "\0"
            yield key

    def _files(self) -> Iterator[str]:
        """Walk through the folder without recursion: paths may be deep."""
        levels = [iter(_entries(self._folder, ""))]
        while levels:
            found = next(levels[-1], None)
            if found is None:
                levels.pop()
            elif not found.endswith("/"):
                if found >= self.start and found.startswith(self._prefix):
                    yield found
            elif self._may_hold(found):
                levels.append(iter(_entries(self._folder / found, found)))

    def _may_hold(self, folder: str) -> bool:
        """Return whether a folder may hold keys that are wanted."""
        late = folder >= self.start or self.start.startswith(folder)
        return late and (folder.startswith(self._prefix) or self._prefix.startswith(folder))


def successor(prefix: str) -> str:
    """Return the least text that is greater than every text that begins with a prefix.

    Parameters
    ----------
    prefix
        The prefix; not empty.
    """
    return prefix[:-1] + chr(min(ord(prefix[-1]) + 1, 0x10FFFF))


def _entries(folder: Path, at: str) -> list[str]:
    """Return keys of files and of folders (with a slash) directly in a folder, in order of keys.

    Files are compared with folders as their keys are: ``a.txt`` comes before ``a/b``.
    """
    try:
        with os.scandir(folder) as inner:
            found = [
                f"{at}{entry.name}/" if entry.is_dir(follow_symlinks=False) else at + entry.name
                for entry in inner
                if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
            ]
    except OSError:
        return []
    return sorted(key for key in found if _is_key(key))


def _is_key(key: str) -> bool:
    try:
        return len(key.encode()) <= _LONGEST_KEY and "\\" not in key
    except UnicodeEncodeError:  # a name that is no UTF-8, as keys are
        return False


def _mode(path: str) -> int:
    """Return what kind of thing is at a path; 0 where there is none."""
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except OSError:
        return 0


def _when(text: str) -> datetime | None:
    if not text:
        return None
    found = datetime.fromisoformat(text)
    try:
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except OverflowError:  # the first or the last day there is, in another zone
        raise ValueError(f"'{text[:40]}' is no time") from None


def _read(path: Path, name: str) -> dict[str, list[_Line]]:
    found: dict[str, list[_Line]] = {}
    lines, text = 0, b""
    try:
        with path.open("rb") as file:
            for text in file:
                lines += 1
                if text.strip():
                    key, line = _line(load_json(text.decode("utf-8")))
                    found.setdefault(key, []).append(line)
    except OSError as error:
        why = error.strerror or str(error)
        raise CorruptError(
            f"the index of the bucket {name} cannot be read", address=str(path), why=why
        ) from error
    except (ValueError, KeyError) as error:
        if not text.endswith(b"\n"):  # the last line, which is still being written
            return found
        raise CorruptError(
            f"the index of the bucket {name} cannot be read",
            address=str(path),
            why=f"line {lines}: {error}",
        ) from error
    return found


def _line(told: Any) -> tuple[str, _Line]:
    """Return key and line of an index.

    Raises
    ------
    ValueError
        If it is none, or names a file that can lie outside.
    """
    if not isinstance(told, dict) or not told.get("key"):
        raise ValueError("not an object with a key")
    for name, kind in _FIELDS.items():
        if not isinstance(told.get(name, ""), kind):
            raise ValueError(f"'{name}' is not text")
    file = told.get("file", "")
    parts = file.split("/") if file else ()
    if any(part in {"", ".", ".."} or "\\" in part or ":" in part for part in parts):
        raise ValueError(f"'{file[:80]}' is not a path inside of the archive")
    for name in ("version_id", "etag"):  # both are sent as headers
        if not _HEADER.fullmatch(told.get(name, "")):
            raise ValueError(f"'{name}' has characters that no header has")
    _when(told.get("modified", ""))
    version = told.get("version_id") or NO_VERSION
    etag = told.get("etag", "").strip('"')
    deleted = told.get("deleted") is True
    return told["key"], _Line(version, file, etag, told.get("modified", ""), deleted)
