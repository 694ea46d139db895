"""The ledger of a mirror: one line for each file, added as it comes, whole lines only.

``mirror.jsonl`` is all that a mirror knows of itself; the indexes of buckets and of kept answers
are made from it. Lines are added to the end while a mirror runs, so that a killed run loses at
most the line that was being written: a last line that is cut is left out. At the end it is written
anew, one line for each name.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import IO, Any, Final, Self

from openallen.errors import CorruptError, NotFoundError, OpenAllenError
from openallen.json_text import load_json
from openallen.plans import safe_path
from openallen.store.digests import digest_of
from openallen.store.disk import disk_error, write_whole

__all__ = ["LEDGER", "Address", "Entry", "Ledger", "is_mirror"]

LEDGER: Final = "mirror.jsonl"
_TEXTS: Final = (
    "name", "url", "file", "sha256", "digest", "etag", "modified", "version_id", "content_type",
    "when", "kind", "seed",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a mirror.

    Parameters
    ----------
    name
        What was asked for, whatever host answered: see `openallen.mirroring.wanted.Asked.name`.
    url
        Where it came from.
    file
        Where it is, relative to the mirror.
    size_bytes, sha256
        Its bytes; the digest is empty until a run that fetched it has ended.
    digest
        The published digest, ``algorithm:hex``; empty where none is published.
    etag, modified, version_id
        What the bucket says of the object.
    content_type
        Of answers that are kept as they came.
    when
        When it came: ISO 8601, UTC.
    kind
        ``file``, ``object`` of a bucket, or ``answer``.
    addresses
        For which addresses it was mirrored.
    simulated
        Whether the service said that it is simulated.
    latest
        Whether it is the newest version of the object, as far as the bucket was asked.
    seed
        Where a source looks for it in the store: of what was fetched to answer a question.
    """

    name: str
    url: str = ""
    file: str
    size_bytes: int = 0
    sha256: str = ""
    digest: str = ""
    etag: str = ""
    modified: str = ""
    version_id: str = ""
    content_type: str = ""
    when: str = ""
    kind: str = "file"
    addresses: tuple[str, ...] = ()
    simulated: bool = False
    latest: bool = True
    seed: str = ""

    def line(self) -> str:
        """Return it as a line of the ledger; what is empty is left out."""
        told = {k: v for k, v in asdict(self).items() if v not in ("", (), False)}
        told["size_bytes"] = self.size_bytes
        if not self.latest:
            told["latest"] = False
        else:
            told.pop("latest", None)
        return json.dumps(told, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, told: Any) -> Self:
        """Read a line.

        Raises
        ------
        ValueError
            If it is none, or names a file outside of the mirror.
        """
        if not isinstance(told, dict):
            raise ValueError("not an object")
        if any(not isinstance(told.get(name, ""), str) for name in _TEXTS):
            raise ValueError("a text that is none")
        size, addresses = told.get("size_bytes"), told.get("addresses", [])
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ValueError("'size_bytes' is no size")
        if not isinstance(addresses, list) or not all(isinstance(a, str) for a in addresses):
            raise ValueError("'addresses' are no texts")
        if not told.get("name"):
            raise ValueError("'name' is missing")
        if not _inside(told.get("file", "")) or not _inside(told.get("seed") or "x"):
            raise ValueError("a file outside of the mirror")
        known = {f.name for f in fields(cls)}
        return cls(
            **{k: v for k, v in told.items() if k in known} | {"addresses": tuple(addresses)}
        )


@dataclass(frozen=True, slots=True)
class Address:
    """One thing that was mirrored, and how: what a later run brings up to date.

    Parameters
    ----------
    address
        The address.
    options
        Options of fetch that were given.
    files
        Whether files were wanted of each row of a list.
    source
        The service it came from.
    limit
        Rows of a list at most.
    """

    address: str
    options: dict[str, Any] = field(default_factory=dict)
    files: bool = False
    source: str = "live"
    limit: int | None = None

    @property
    def key(self) -> str:
        """What distinguishes it: one thing may be mirrored in several sizes."""
        return json.dumps([self.address, self.options, self.files], sort_keys=True, default=str)

    def line(self) -> str:
        """Return it as a line of the ledger."""
        return json.dumps({"mirrored": asdict(self)}, ensure_ascii=False, default=str) + "\n"

    @classmethod
    def read(cls, told: Any) -> Self:
        """Read a line.

        Raises
        ------
        ValueError
            If it is none.
        """
        if not isinstance(told, dict) or not isinstance(told.get("address"), str):
            raise ValueError("no address")
        options = told.get("options", {})
        if not isinstance(options, dict):
            raise ValueError("'options' are none")
        source, limit = str(told.get("source", "live")), told.get("limit")
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
            raise ValueError("'limit' is no number")
        return cls(told["address"], options, told.get("files") is True, source, limit)


class Ledger:
    """The ledger of one mirror.

    Parameters
    ----------
    root
        The folder of the mirror, there or not yet.

    Attributes
    ----------
    entries
        By name.
    addresses
        What was mirrored, by `Address.key`.
    made
        SHA-256 of tables and indexes, by file.

    Raises
    ------
    CorruptError
        If a line in the middle cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / LEDGER
        self.entries: dict[str, Entry] = {}
        self.addresses: dict[str, Address] = {}
        self.made: dict[str, str] = {}
        self._lock = threading.Lock()
        self._file: IO[str] | None = None
        self._by_key: dict[str, dict[str, None]] = {}
        for line in _read(self.path):
            self._take(line)

    def _take(self, line: Entry | Address | dict[str, str]) -> None:
        if isinstance(line, dict):
            self.made = line
            return
        if isinstance(line, Address):
            self.addresses[line.key] = line
            return
        self.entries[line.name] = line
        self._by_key.setdefault(line.name.partition("?versionId=")[0], {})[line.name] = None

    def versions(self, name: str) -> list[Entry]:
        """Return the versions of an object that are here, as they came; by its name or key."""
        names = self._by_key.get(name.partition("?versionId=")[0], {})
        return [self.entries[n] for n in names]

    def add(self, line: Entry | Address) -> None:
        """Add a line, on the disk when this returns.

        Raises
        ------
        StoreError, SpaceError
            If it cannot be written.
        """
        with self._lock:
            if isinstance(line, Entry):
                before = self.entries.get(line.name)
                if before is not None:
                    together = dict.fromkeys((*before.addresses, *line.addresses))
                    line = replace(line, addresses=tuple(together))
                if line == before:
                    return
            elif line == self.addresses.get(line.key):
                return
            try:
                self._append(line.line())
            except OSError as error:
                raise disk_error(error, self.path) from error
            self._take(line)

    def forget(self, name: str) -> None:
        """Forget a file; the ledger says so once it is written anew.

        Parameters
        ----------
        name
            Its name.
        """
        with self._lock:
            self.entries.pop(name, None)
            self._by_key.get(name.partition("?versionId=")[0], {}).pop(name, None)

    def _append(self, text: str) -> None:
        if self._file is None:
            self.root.mkdir(parents=True, exist_ok=True)
            cut = _is_cut(self.path)
            self._file = self.path.open("a", encoding="utf-8")
            if cut:  # what was cut by a kill must not run into the next line
                self._file.write("\n")
        self._file.write(text)
        self._file.flush()

    def digest_made(self) -> None:
        """Take down the digests of tables and indexes, which `compact` then writes."""
        inner = [*self.root.glob("tables/*.jsonl"), *self.root.glob("buckets/*.jsonl")]
        inner += (self.root / name for name in ("answers.jsonl", "archive.json"))
        self.made = {
            path.relative_to(self.root).as_posix(): digest_of(path).partition(":")[2]
            for path in sorted(inner)
            if path.is_file()
        }

    def compact(self) -> None:
        """Write it anew, one line for each name, whole or not at all.

        Raises
        ------
        StoreError, SpaceError
            If it cannot be written.
        """
        self.close()
        lines = [a.line() for a in self.addresses.values()]
        if self.made:
            lines.append(json.dumps({"made": self.made}, ensure_ascii=False) + "\n")
        lines += (self.entries[name].line() for name in sorted(self.entries))
        text = "".join(lines).encode()
        with suppress(OSError):
            if self.path.read_bytes() == text:
                return
        write_whole(self.path, text)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                with suppress(OSError):
                    os.fsync(self._file.fileno())
                with suppress(OSError):
                    self._file.close()
                self._file = None


def is_mirror(folder: Path) -> bool:
    """Return whether a folder is a mirror: whether it has a ledger."""
    return (folder / LEDGER).is_file()


def _is_cut(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:
        return False


def _read(path: Path) -> Iterator[Entry | Address | dict[str, str]]:
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return
    except NotADirectoryError:
        return
    except OSError as error:
        raise NotFoundError(
            "the ledger of this mirror cannot be read", address=str(path), why=str(error)
        ) from error
    lines = body.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _line(load_json(line.decode("utf-8")))
        except ValueError as error:
            if _may_be_cut(lines, number):
                continue
            raise CorruptError(
                "the ledger of this mirror is damaged",
                address=str(path),
                why=f"line {number}: {error}",
                hint="take the line out: what it names is fetched or read again by the next run",
            ) from error


def _line(told: Any) -> Entry | Address | dict[str, str]:
    if isinstance(told, dict) and "mirrored" in told:
        return Address.read(told["mirrored"])
    if isinstance(told, dict) and isinstance(made := told.get("made"), dict):
        if not all(isinstance(v, str) and _inside(k) for k, v in made.items()):
            raise ValueError("'made' has something else than digests of files")
        return made
    return Entry.read(told)


def _inside(file: str) -> bool:
    try:
        safe_path(file)
    except OpenAllenError:
        return False
    return True


def _may_be_cut(lines: list[bytes], number: int) -> bool:
    """Return whether a line may be one that a killed run left: it does not end as lines do."""
    return not lines[number - 1].rstrip().endswith(b"}")
