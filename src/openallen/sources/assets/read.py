"""One asset: its metadata, its files, its location."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.display import card, facts_text
from openallen.errors import AnswerError, NotFoundError, SpaceError, StoreError, UsageError
from openallen.formats.kinds import STORE
from openallen.json_text import load_json
from openallen.sources.assets.names import AssetName, parse_name
from openallen.sources.assets.record import CORE_FILES, Record
from openallen.sources.buckets.listing import Levelled, Listing, listed
from openallen.store.disk import write_whole
from openallen.transport.s3 import Listed

if TYPE_CHECKING:
    from openallen.sources.assets.content import Content
    from openallen.sources.assets.provenance import Family
    from openallen.visuals import Visual

__all__ = ["Asset", "Connect"]

Connect = Callable[[], AbstractContextManager[Listing]]
"""Opens the bucket of an asset for as long as the context lasts."""

_COMBINED: Final = ("metadata.nd.json", "metadata.json")
_SIDECARS: Final = frozenset({*_COMBINED, *(f"{name}.json" for name in CORE_FILES)})
_LARGEST_BYTES: Final = 64 << 20
_TRIES: Final = 3
_DEEPEST: Final = 4
_ASIDE: Final = frozenset({"original_metadata", "logs"})


class Asset:
    """One asset of a bucket.

    Parameters
    ----------
    name
        Name of the asset.
    connect
        Opens its bucket.
    folder
        Folder in which its sidecars are cached; None for no cache.
    prefix
        Its folder in the bucket, with a trailing slash; the name by default.
    """

    def __init__(
        self, name: str, connect: Connect, folder: Path | None = None, prefix: str = ""
    ) -> None:
        self.name: AssetName = parse_name(name)
        self.prefix = prefix or f"{self.name}/"
        self._connect = connect
        self._folder = folder
        self.notes: list[str] = []
        self.opening: Callable[..., Any] | None = None
        self.looking: Callable[[], Levelled] | None = None
        self.kin: Callable[[], Family] | None = None

    # --- metadata -------------------------------------------------------------------------------

    @functools.cached_property
    def record(self) -> Record:
        """Its metadata, read once; sidecars that did not change are read from the cache.

        Core files and the combined record may contradict each other, as they are not written at the
        same time; the newer one is used.

        Raises
        ------
        NotFoundError
            If the asset does not exist.
        AnswerError
            If a sidecar changes at every attempt to read it.
        """
        for left in reversed(range(_TRIES)):
            with self._connect() as bucket:
                entries, folders = bucket.level(self.prefix)
                if not entries and not folders:
                    raise self.missing()
                wanted = [e for e in entries if e.key.rpartition("/")[2] in _SIDECARS]
                with ThreadPoolExecutor(8, thread_name_prefix="sidecars") as pool:
                    read = list(pool.map(lambda e: self._sidecar(bucket, e), wanted))
            if None not in read:
                found = {
                    e.key.rpartition("/")[2]: (e, t) for e, t in zip(wanted, read, strict=True)
                }
                return Record(self._joined(found), str(self.name))
            if not left:
                break
        raise AnswerError("metadata files change while they are read", address=f"asset:{self.name}")

    def _sidecar(self, bucket: Listing, entry: Listed) -> Mapping[str, Any] | None:
        """Read one sidecar; None if it changed since it was listed."""
        name = entry.key.rpartition("/")[2]
        if entry.size_bytes > _LARGEST_BYTES:
            self.notes.append(f"{name} skipped: too large for metadata")
            return {}
        kept = self._folder / name if self._folder is not None else None
        body = b""
        if kept is not None:
            with suppress(OSError):
                body = kept.read_bytes()
        if not body or _md5(body) != entry.etag:
            body = bucket.read(entry.key, limit_bytes=_LARGEST_BYTES)
            if "-" not in entry.etag and _md5(body) != entry.etag:
                return None
            if kept is not None:
                with suppress(StoreError, SpaceError):
                    write_whole(kept, body)
        try:
            data = load_json(body)
        except ValueError as error:
            self.notes.append(f"{name} is not valid JSON: {error}")
            return {}
        return data if isinstance(data, dict) else {}

    def _joined(self, found: Mapping[str, tuple[Listed, Any]]) -> dict[str, Any]:
        combined = next((found[name] for name in _COMBINED if name in found), None)
        made: dict[str, Any] = dict(combined[1]) if combined else {}
        for name in CORE_FILES:
            if f"{name}.json" not in found:
                continue
            entry, core = found[f"{name}.json"]
            newer = combined is None or not made.get(name) or _later(entry, combined[0])
            if newer and core:
                made[name] = core
        made.setdefault("name", str(self.name))
        return made

    def exists(self) -> bool:
        """Return whether the asset exists; lists one key."""
        with self._connect() as bucket:
            return next(iter(bucket.list(self.prefix, page_keys=1)), None) is not None

    def missing(self) -> NotFoundError:
        """Return the error for an asset that does not exist."""
        # What follows no scheme begins with anything: that names no subject.
        subject = self.name.subject_id if self.name.level != "unknown" else ""
        return NotFoundError(
            "no such asset",
            address=f"asset:{self.name}",
            why=f"no key begins with {self.prefix}",
            hint=f"openallen list asset: subject={subject}" if subject else "openallen list asset:",
        )

    # --- files ----------------------------------------------------------------------------------

    def files(self, pattern: str = "") -> Iterator[Listed]:
        """Iterate over its files in the order of keys, with sizes and entity tags.

        Parameters
        ----------
        pattern
            Which ones (see `openallen.sources.buckets.patterns.matches`); all where empty.

        Raises
        ------
        AnswerError
            If the listing contradicts itself.
        """
        with self._connect() as bucket:
            yield from listed(bucket, self.prefix, pattern)

    def folders(
        self, depth: int = 1, seen: Callable[[object], object] = lambda _: None
    ) -> dict[str, tuple[int, int]]:
        """Return number and bytes of files by folder, down to `depth`; ``.`` is the top.

        Parameters
        ----------
        depth
            Number of levels of folders.
        seen
            Called for each file, for progress: an asset may have millions.
        """
        counts: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for entry in self.files():
            seen(entry)
            parts = entry.key.removeprefix(self.prefix).split("/")[:-1][:depth]
            folder = "/".join(parts) or "."
            counts[folder] += 1
            sizes[folder] += entry.size_bytes
        return {name: (counts[name], sizes[name]) for name in sorted(counts)}

    def top(self) -> tuple[str, ...]:
        """Return its top-level folders, with a slash, and files other than metadata.

        If there is a single folder, the content of that folder: several assets of one session may
        have the same label, and differ in their content only.
        """
        prefix = self.prefix
        with self._connect() as bucket:
            for _ in range(_DEEPEST):
                entries, folders = bucket.level(prefix)
                names = [e.key.rpartition("/")[2] for e in entries]
                files = [n for n in names if n and n not in _SIDECARS and not n.startswith(".")]
                inner = [f for f in folders if f.removeprefix(prefix).rstrip("/") not in _ASIDE]
                if files or len(inner) != 1 or STORE.search(inner[0]):
                    break
                prefix = inner[0]
        found = [f.removeprefix(self.prefix) for f in inner]
        return (*found, *((prefix + n).removeprefix(self.prefix) for n in files))

    def contents(self) -> list[Content]:
        """Return what it contains that can be opened: images, sessions, recordings, tables.

        Raises
        ------
        UsageError
            If the asset was not opened by ``oa.open``.
        """
        from openallen.sources.assets.content import contents

        return list(contents(self._told(self.looking)(), self.notes))

    def open(self, path: str, **options: Any) -> Any:
        """Open a part of it remotely: ``asset.open("SPIM.ome.zarr/tile_000000_ch_561.zarr")``.

        Parameters
        ----------
        path
            Path in the asset.
        **options
            As for ``oa.open``.
        """
        return self._told(self.opening)(path, **options)

    def _told(self, given: Callable[..., Any] | None) -> Callable[..., Any]:
        if given is None:
            raise UsageError(
                "this asset was not opened by oa.open",
                address=f"asset:{self.name}",
                hint=f"oa.open('asset:{self.name}')",
            )
        return given

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sources.assets.visuals import visuals_of_asset

        return visuals_of_asset(self)

    def __repr__(self) -> str:
        return facts_text(f"asset {self.name}", self._facts())

    def _repr_html_(self) -> str:
        return card(f"asset {self.name}", self._facts())

    def _facts(self) -> dict[str, object]:
        read = self.__dict__.get("record")
        return {
            "level": self.name.level,
            "subject": self.name.subject_id or None,
            "source asset": self.name.source or None,
            "metadata": ", ".join(read.core_files) if isinstance(read, Record) else "not read yet",
        }


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _later(one: Listed, other: Listed) -> bool:
    return one.modified is None or other.modified is None or one.modified >= other.modified
