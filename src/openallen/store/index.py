"""What is remembered of files: digest, size, where from, when. The tree is true without it.

One SQLite file at the store's root. Files inside the store are named relative to it, so that the
store can be moved; files elsewhere (``--to DIR``) by their absolute path. A record counts only
while the file's size and modification time are those of the record.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

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
    verified_at REAL NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of one file.

    Parameters
    ----------
    digest
        ``algorithm:hex`` of its bytes.
    size_bytes, mtime_ns
        Size and modification time it had then.
    source
        URL it came from.
    address
        What names it.
    verified_at
        When its bytes were last read through, in seconds since 1970.
    """

    digest: str
    size_bytes: int
    mtime_ns: int
    source: str
    address: str
    verified_at: float


class Index:
    """The memory of a store. Threads may share it; it never stands in the way of a fetch.

    Where it cannot be opened or written (a read-only home, a file system without locks), it
    forgets and says so in the log.

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
        self._db = self._open()

    def _open(self) -> sqlite3.Connection | None:
        path = self._root / "index.sqlite"
        db: sqlite3.Connection | None = None
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
            db.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            _LOG.warning("going on without the index %s: %s", path, error)
            if db is not None:
                db.close()
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
        """Give what is remembered of the file at `path`, if it still looks the same."""
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

    def everything(self) -> dict[str, Record]:
        """Give all that is remembered, by absolute path; for plans of thousands of files."""
        if self._db is None:
            return {}
        query = "SELECT path, digest, size_bytes, mtime_ns, source, address, verified_at FROM files"
        with self._lock:
            try:
                rows = self._db.execute(query).fetchall()
            except sqlite3.Error as error:
                self._give_up(error)
                return {}
        root = self._root.as_posix()
        absolute = (
            key if key.startswith("/") or key[1:3] == ":/" else f"{root}/{key}" for key, *_ in rows
        )
        return {key: Record(*row[1:]) for key, row in zip(absolute, rows, strict=True)}

    def _select(self, key: str) -> Record | None:
        if self._db is None:
            return None
        try:
            row = self._db.execute(
                "SELECT digest, size_bytes, mtime_ns, source, address, verified_at"
                " FROM files WHERE path = ?",
                (key,),
            ).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        return Record(*row) if row else None

    def remember(self, path: Path, *, digest: str, source: str, address: str) -> Record:
        """Remember the file at `path`, as it is now, with the digest just computed of it."""
        stat = path.stat()
        record = Record(digest, stat.st_size, stat.st_mtime_ns, source, address, time.time())
        with self._lock:
            self._pending[self._key(path)] = record
            due = time.monotonic() - self._committed > _COMMIT_EVERY_S
            if due:
                self._commit()
        return record

    def forget(self, path: Path) -> None:
        """Forget the file at `path`."""
        key = self._key(path)
        with self._lock:
            self._pending.pop(key, None)
            if self._db is not None:
                try:
                    self._db.execute("DELETE FROM files WHERE path = ?", (key,))
                except sqlite3.Error as error:
                    self._give_up(error)

    def _commit(self) -> None:
        self._committed = time.monotonic()
        if self._db is None or not self._pending:
            return
        rows = [
            (key, r.digest, r.size_bytes, r.mtime_ns, r.source, r.address, r.verified_at)
            for key, r in self._pending.items()
        ]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO files VALUES (?,?,?,?,?,?,?)", rows)
            self._db.execute("COMMIT")
            self._pending.clear()
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        _LOG.warning("going on without the index in %s: %s", self._root, error)
        if self._db is not None:
            self._db.close()
        self._db = None

    def close(self) -> None:
        """Write what is pending and close."""
        with self._lock:
            self._commit()
            if self._db is not None:
                self._db.close()
                self._db = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
