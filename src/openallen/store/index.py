"""The index of a store: digest, size, origin and time of files. Files count without it too.

One SQLite file at the store's root. Files inside the store are named relative to it, so that the
store can be moved; files elsewhere (``--to DIR``) by their absolute path. A record counts only
while the file's size and modification time are those of the record. A store that cannot be written
to is read as it is, and what is learned of it lasts as long as the process. An index that is
damaged is put aside, and a new one begun: files are then read once more, and nothing else is lost.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from openallen.errors import UsageError
from openallen.store.digests import algorithm_of

__all__ = ["Index", "Record"]

_LOG = logging.getLogger("openallen.store")
_COMMIT_EVERY_S = 1.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    source TEXT NOT NULL,
    address TEXT NOT NULL,
    verified_at REAL NOT NULL,
    command TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID
"""
_ADD_COMMAND: Final = "ALTER TABLE files ADD COLUMN command TEXT NOT NULL DEFAULT ''"
_READ: Final = (
    "SELECT path, digest, size_bytes, mtime_ns, source, address, verified_at, command FROM files"
)
_READ_OLD: Final = (  # what an earlier version wrote, where it cannot be changed
    "SELECT path, digest, size_bytes, mtime_ns, source, address, verified_at, '' FROM files"
)
_FILE: Final = "index.sqlite"
_ROOT: Final = "\x1fstore"
"""Stands for the store's folder in a command, so that the store can be moved."""


@dataclass(frozen=True, slots=True)
class Record:
    """The record of one file.

    Parameters
    ----------
    digest
        ``algorithm:hex`` of its bytes.
    size_bytes, mtime_ns
        Size and modification time it had then.
    source
        URL it came from.
    address
        Its address.
    verified_at
        When its bytes were last read through, in seconds since 1970.
    command
        The command that fetches it again; empty for files recorded without one.
    """

    digest: str
    size_bytes: int
    mtime_ns: int
    source: str
    address: str
    verified_at: float
    command: str = ""


_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite raises; the other where its own message quotes damage that is no text."""


class Index:
    """The index of a store. Threads may share it; a fetch continues without it where need be.

    Where it cannot be written (a read-only file system), it is read; where it cannot be opened, it
    starts empty; where it is damaged, it is put aside and begun anew. Each is logged once.

    Parameters
    ----------
    root
        The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._prefix = f"{root}/"
        self._lock = threading.Lock()
        self._pending: dict[str, Record] = {}
        self._committed = time.monotonic()
        self._read_only = False
        self._begun_anew = False
        self._read = _READ
        self._db = self._open()

    @property
    def root(self) -> Path:
        """The folder of the store."""
        return self._root

    @property
    def read_only(self) -> bool:
        """Whether records are not written to the disk."""
        return self._read_only or self._db is None

    def _open(self) -> sqlite3.Connection | None:
        path = self._root / _FILE
        try:
            return self._connect(path)
        except _DamagedError as error:
            if self._read_only or not self._put_aside(path, error):
                _LOG.warning("continuing without the index %s: %s", path, error)
                return None
        try:
            return self._connect(path)
        except _DamagedError as error:  # another program writes something else there
            _LOG.warning("continuing without the index %s: %s", path, error)
            return None

    def _put_aside(self, path: Path, why: object) -> bool:
        """Rename a damaged index, so that a new one can be made; return whether that was done."""
        aside = path.with_name(f"{path.name}.damaged")
        try:
            path.replace(aside)
            for ending in ("-journal", "-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
        except OSError:
            return False
        _LOG.warning("the index %s is damaged (%s): a new one is begun; it is %s", path, why, aside)
        return True

    def _connect(self, path: Path) -> sqlite3.Connection | None:
        db: sqlite3.Connection | None = None
        try:
            if _is_frozen(path):
                self._read_only = True
                # No lock file and no journal can be made beside it.
                where = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
                db = sqlite3.connect(where, uri=True, **_CONNECT)
            else:
                self._root.mkdir(parents=True, exist_ok=True)
                db = sqlite3.connect(path, **_CONNECT)
                db.execute(_SCHEMA)
                if not _has_command(db):
                    with suppress(sqlite3.OperationalError):  # another process was quicker
                        db.execute(_ADD_COMMAND)
            self._read = _READ if _has_command(db) else _READ_OLD
            db.text_factory = _text
            db.execute(f"{self._read} LIMIT 1").fetchall()
        except (OSError, *_ERRORS) as error:
            if db is not None:
                db.close()
            if _is_damage(error):
                raise _DamagedError(str(error)) from error
            _LOG.warning("continuing without the index %s: %s", path, error)
            return None
        return db

    def _key(self, path: Path) -> str:
        text = str(path)
        if text.startswith("/") and os.sep == "/":
            return text.removeprefix(self._prefix)
        path = path.absolute()
        if path.is_relative_to(self._root):
            return path.relative_to(self._root).as_posix()
        return path.as_posix()

    def recall(self, path: Path) -> Record | None:
        """Return the record of the file at `path` if the file still looks the same, else None."""
        try:
            stat = path.stat()
        except OSError:
            return None
        key = self._key(path)
        with self._lock:
            record = self._pending.get(key) or self._select(key)
        if record is None or (record.size_bytes, record.mtime_ns) != (
            stat.st_size,
            stat.st_mtime_ns,
        ):
            return None
        return record

    def everything(self, below: Path | None = None) -> dict[str, Record]:
        """Return all records by absolute path; for plans of thousands of files.

        Parameters
        ----------
        below
            A folder, or a file: of what is written, only the records there. Each of thousands of
            folders is then answered without reading the records of all others.
        """
        where, keys = "", tuple[str, ...]()
        # What lies in the store is recorded relative to it: the store's own key begins no other.
        if below is not None and not self._root.absolute().is_relative_to(below):
            key = self._key(below)
            where, keys = " WHERE path = ? OR (path > ? AND path < ?)", (key, f"{key}/", f"{key}0")
        with self._lock:
            found: dict[str, Record] = {}
            if self._db is not None:
                try:
                    rows = self._db.execute(f"{self._read}{where}", keys).fetchall()
                except _ERRORS as error:
                    self._give_up(error)
                    rows = []
                found = {key: self._record(row) for key, *row in rows if _sound(key, row)}
            found |= self._pending
        root = self._root.as_posix()
        return {
            key if key.startswith("/") or key[1:3] == ":/" else f"{root}/{key}": record
            for key, record in found.items()
        }

    def _record(self, row: Iterable[Any]) -> Record:
        record = Record(*row)
        if not record.command or _ROOT not in record.command:
            return record
        return replace(record, command=_moved(record.command, _ROOT, str(self._root)))

    def _select(self, key: str) -> Record | None:
        if self._db is None:
            return None
        try:
            row = self._db.execute(f"{self._read} WHERE path = ?", (key,)).fetchone()
        except _ERRORS as error:
            self._give_up(error)
            return None
        return self._record(row[1:]) if row and _sound(row[0], row[1:]) else None

    def remember(
        self, path: Path, *, digest: str, source: str, address: str, command: str = ""
    ) -> Record:
        """Record the file at `path`, as it is now, with the digest just computed of it.

        Parameters
        ----------
        path
            The file.
        digest
            ``algorithm:hex`` of its bytes; empty if they were not read.
        source
            URL it came from.
        address
            Its address.
        command
            The command that fetches it again.
        """
        stat = path.stat()
        now = time.time()
        record = Record(digest, stat.st_size, stat.st_mtime_ns, source, address, now, command)
        with self._lock:
            self._pending[self._key(path)] = record
            due = time.monotonic() - self._committed > _COMMIT_EVERY_S
            if due:
                self._commit()
        return record

    def forget(self, path: Path) -> None:
        """Remove the record of the file at `path`."""
        key = self._key(path)
        with self._lock:
            self._pending.pop(key, None)
            if self._db is not None and not self._read_only:
                try:
                    self._db.execute("DELETE FROM files WHERE path = ?", (key,))
                except _ERRORS as error:
                    self._give_up(error)

    def _commit(self) -> None:
        self._committed = time.monotonic()
        if self._db is None or self._read_only or not self._pending:
            return
        root = str(self._root)
        rows = [
            (key, r.digest, r.size_bytes, r.mtime_ns, r.source, r.address, r.verified_at,
             _moved(r.command, root, _ROOT))
            for key, r in self._pending.items()
        ]  # fmt: skip
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO files VALUES (?,?,?,?,?,?,?,?)", rows)
            self._db.execute("COMMIT")
            self._pending.clear()
        except _ERRORS as error:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if self._db is not None:
            self._db.close()
        self._db = None
        path = self._root / _FILE
        damaged = _is_damage(error) and not self._read_only
        if damaged and not self._begun_anew and self._put_aside(path, error):
            self._begun_anew = True
            self._db = self._open()
            return
        _LOG.warning("continuing without the index in %s: %s", self._root, error)

    def close(self) -> None:
        """Write pending records and close."""
        with self._lock:
            self._commit()
            if self._db is not None:
                self._db.close()
                self._db = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _DamagedError(Exception):
    """The index is there and no index."""


def _is_damage(error: Exception) -> bool:
    """Return whether a database is damaged, not merely locked, full or out of reach."""
    if isinstance(error, sqlite3.OperationalError):
        return str(error).startswith(("no such column", "no such table", "malformed"))
    return isinstance(error, (sqlite3.DatabaseError, UnicodeDecodeError))


def _text(data: bytes) -> str:
    """Return text of the database; what is no UTF-8 must not stop a fetch."""
    return data.decode("utf-8", "replace")


_KINDS: Final[tuple[type | tuple[type, ...], ...]] = (str, int, int, str, str, (int, float), str)


def _sound(key: object, row: Sequence[object]) -> bool:
    """Return whether a row is one that was written here."""
    if not isinstance(key, str) or "\0" in key:
        return False
    if not all(isinstance(value, kind) for value, kind in zip(row, _KINDS, strict=True)):
        return False
    digest = str(row[0])
    with suppress(UsageError):
        return not digest or bool(algorithm_of(digest) and _HEX.fullmatch(digest.partition(":")[2]))
    return False


_HEX: Final = re.compile(r"[0-9a-f]+")


_CONNECT: Final[dict[str, Any]] = {
    "timeout": 10,
    "check_same_thread": False,
    "isolation_level": None,
}


def _is_frozen(path: Path) -> bool:
    """Return whether a database is there that cannot be written to."""
    return path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _has_command(db: sqlite3.Connection) -> bool:
    return any(row[1] == "command" for row in db.execute("PRAGMA table_info(files)"))


def _moved(command: str, before: str, after: str) -> str:
    """Return a command in which one folder stands for another, quoted again."""
    if before not in command:
        return command
    try:
        parts = shlex.split(command)
    except ValueError:
        return command
    return shlex.join(
        after + part[len(before) :] if part == before or part.startswith(f"{before}/") else part
        for part in parts
    )
