"""Zarr hierarchies of both versions over any objects: here, or far away.

Only what describes an array itself is believed: consolidated metadata is a copy made at some time,
and serves to look names up. A chunk that is not there is a hole; whether that means "never
written, so the fill value" or "lost" depends on the writer, and is for the caller to say.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import json
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Literal

import zarr
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import StorePath

from openallen.errors import CorruptError, MissingExtraError, NotFoundError, TruncatedError
from openallen.formats.codecs import ObjectArray, codecs_of, holds_objects, need_codecs

if TYPE_CHECKING:
    from zarr.core.buffer import Buffer, BufferPrototype

    from openallen.formats.objects import Objects

__all__ = ["Hierarchy", "ObjectStore"]

_LOG: Final = logging.getLogger("openallen.formats")
Holes = Literal["refused", "told", "usual"]
_DOCUMENTS: Final = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"})
_NOTHING: Final[tuple[str, ...]] = ()
_READY_BYTES: Final = 32 << 20
_READY_CHUNKS: Final = 512
_THREADS: Final = ThreadPoolExecutor(32, thread_name_prefix="zarr-objects")


def _is_document(key: str) -> bool:
    return key.rpartition("/")[2] in _DOCUMENTS


class ObjectStore(Store):
    """A read-only store of zarr-python over objects.

    Parameters
    ----------
    objects
        Where keys are read.
    mark
        The version of the whole, for those that keep what they read.
    holes
        What a missing chunk is: ``refused``; ``told`` to the log, and read as the fill value;
        ``usual``.

    Attributes
    ----------
    missing : set of str
        Keys of chunks that were asked for and are not there.
    """

    def __init__(self, objects: Objects, mark: str = "", *, holes: Holes = "usual") -> None:
        super().__init__(read_only=True)
        self._objects = objects
        self.mark = mark
        self._holes = holes
        self.missing: set[str] = set()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectStore) and other._objects is self._objects

    def __hash__(self) -> int:
        return id(self._objects)

    def _read(self, key: str, asked: ByteRequest | None) -> bytes | None:
        start: int | None = None
        stop: int | None = None
        if isinstance(asked, RangeByteRequest):
            start, stop = asked.start, asked.end
        elif isinstance(asked, OffsetByteRequest):
            start = asked.offset
        elif isinstance(asked, SuffixByteRequest):
            start = -asked.suffix
        if _is_document(key):
            return self._objects.get(key, start, stop)
        body = self._objects.get(key, start, stop, self.mark)
        if body is None:
            self._lacks(key)
        return body

    def _lacks(self, key: str) -> None:
        if self._holes == "refused":
            raise TruncatedError("a chunk is missing", address=self._objects.name, why=key)
        if self._holes == "told" and key not in self.missing:
            _LOG.warning("%s: chunk %s is not there, read as empty", self._objects.name, key)
        self.missing.add(key)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Give an object, or a part of it."""
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(_THREADS, self._read, key, byte_range)
        made = (prototype or default_buffer_prototype()).buffer
        return None if body is None else made.from_bytes(body)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Give parts of objects."""
        return list(await asyncio.gather(*(self.get(k, prototype, r) for k, r in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Tell whether there is an object."""
        return await self.get(key) is not None

    # --- what it does not do ----------------------------------------------------------------------

    supports_writes = False
    supports_deletes = False
    supports_listing = False
    supports_partial_writes = False

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse."""
        del value
        raise PermissionError(f"{key}: this store is read only")

    async def delete(self, key: str) -> None:
        """Refuse."""
        raise PermissionError(f"{key}: this store is read only")

    async def list(self) -> AsyncIterator[str]:
        """Name nothing: what is there is told by metadata."""
        for key in _NOTHING:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Name nothing."""
        del prefix
        for key in _NOTHING:
            yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Name nothing."""
        del prefix
        for key in _NOTHING:
            yield key


class Hierarchy:
    """A Zarr group with all below it, of version 2 or 3.

    Parameters
    ----------
    objects
        Where its keys are read.
    holes
        What missing chunks are, as for `ObjectStore`. Where None, refused in stores of hdmf-zarr in
        version 2, which writes every chunk; else told, as zarr-python 3 leaves out empty ones.

    Attributes
    ----------
    format : int
        2 or 3.
    attributes : dict
        What is written to its root.
    notes : list of str
        What is odd about it.

    Raises
    ------
    NotFoundError
        If there is no Zarr group, nor an array.
    CorruptError
        If its metadata is no JSON.
    """

    def __init__(self, objects: Objects, *, holes: Holes | None = None) -> None:
        self._objects = objects
        self.name = objects.name
        self.notes: list[str] = []
        objects.ready(["zarr.json", ".zmetadata", ".zattrs", ".zgroup"])
        root = self._document("zarr.json")
        self.format = 3 if root is not None else 2
        copied = root.get("consolidated_metadata") if root else self._document(".zmetadata")
        told = copied.get("metadata") if isinstance(copied, dict) else None
        self._copied: dict[str, Any] | None = told if isinstance(told, dict) else None
        if root is None:
            root = self._document(".zgroup") or self._document(".zarray")
            if root is None and self._copied is None:
                raise NotFoundError("there is no Zarr group here", address=self.name)
            self.attributes = self._document(".zattrs") or self._of_copy(".zattrs")
        else:
            self.attributes = _dict(root.get("attributes"))
        mark = json.dumps([root, self.attributes, self._copied], sort_keys=True)
        whole = self.format == 2 and ".specloc" in self.attributes
        self.store = ObjectStore(
            objects,
            hashlib.md5(mark.encode(), usedforsecurity=False).hexdigest(),
            holes=holes or ("refused" if whole else "told"),
        )

    # --- metadata ---------------------------------------------------------------------------------

    def _document(self, key: str) -> dict[str, Any] | None:
        body = self._objects.get(key)
        if body is None:
            return None
        try:
            told = json.loads(body)
        except ValueError as error:
            where = f"{self.name}/{key}"
            raise CorruptError("this is no JSON", address=where, why=str(error)) from error
        if not isinstance(told, dict):
            raise CorruptError("this describes no Zarr", address=f"{self.name}/{key}")
        return told

    def _of_copy(self, key: str) -> dict[str, Any]:
        return _dict((self._copied or {}).get(key))

    def described(self, path: str) -> dict[str, Any] | None:
        """Give what describes an array or a group, from where it lies; None where there is none."""
        path = path.strip("/")
        lead = f"{path}/" if path else ""
        if self.format == 3:
            return self._document(f"{lead}zarr.json")
        return self._document(f"{lead}.zarray") or self._document(f"{lead}.zgroup")

    def attrs(self, path: str, *, copied: bool = False) -> dict[str, Any]:
        """Give the attributes of a group or array; a copy of them will do where that is said."""
        path = path.strip("/")
        if not path:
            return self.attributes
        key = path if self.format == 3 else f"{path}/.zattrs"
        if copied and self._copied is not None and path in self._known:
            told = self._of_copy(key)
            return _dict(told.get("attributes")) if self.format == 3 else told
        if self.format == 3:
            return _dict((self.described(path) or {}).get("attributes"))
        return self._document(key) or {}

    def has(self, path: str) -> bool:
        """Tell whether there is a group or an array at a path."""
        return bool(self.kind(path))

    def kind(self, path: str) -> str:
        """Tell what lies at a path: ``array``, ``group``, or nothing: an empty text."""
        path = path.strip("/")
        told = self._known.get(path)
        if told:
            return told
        found = self.described(path)
        if found is None:
            return ""
        return "array" if "shape" in found else "group"

    @functools.cached_property
    def _known(self) -> Mapping[str, str]:
        """Give what consolidated metadata names: array or group by path."""
        found: dict[str, str] = {}
        for key, told in (self._copied or {}).items():
            if self.format == 3:
                found[key.strip("/")] = str(_dict(told).get("node_type", "group"))
                continue
            path, _, name = key.rpartition("/")
            if name in {".zarray", ".zgroup"}:
                found[path] = "array" if name == ".zarray" else "group"
        return found

    def members(self, path: str) -> list[str]:
        """Name what a group holds, in alphabetical order: by the copy, else by looking."""
        inside = path.strip("/")
        if self._copied is None:
            return [n for n in self._objects.folders(inside) if not n.startswith(".")]
        return sorted(
            name
            for parent, slash, name in (known.rpartition("/") for known in self._known)
            if parent == inside and name
        )

    def everything(self) -> Iterator[tuple[str, str]]:
        """Give paths and kinds of all groups and arrays below, parents first."""
        waiting = [""]
        while waiting:
            path = waiting.pop(0)
            for name in self.members(path):
                below = f"{path}/{name}".lstrip("/")
                kind = self.kind(below)
                if kind:
                    yield below, kind
                if kind == "group":
                    waiting.append(below)

    # --- arrays -----------------------------------------------------------------------------------

    def array(self, path: str) -> Any:
        """Give an array, a `zarr.Array`, by its own metadata.

        Raises
        ------
        NotFoundError
            If there is none.
        CorruptError
            If its metadata makes no sense, or consolidated metadata names it in vain.
        MissingExtraError
            If nothing that is installed decodes it, with what would.
        """
        path = path.strip("/")
        told = self.described(path)
        if told is None or "shape" not in told:
            if self._known.get(path) == "array":
                raise CorruptError(
                    "consolidated metadata names an array that is not there",
                    address=self.name,
                    why=path,
                )
            raise NotFoundError("there is no such array", address=self.name, why=path)
        if self.format == 2:
            self._compare(path, told)
        need_codecs(codecs_of(told), self.name)
        try:
            if self.format == 2 and holds_objects(told):
                return ObjectArray(self._objects, path, told, self.store.mark)
            # Made of what was read just now: zarr.open_array would ask for the same again.
            return zarr.Array.from_dict(StorePath(self.store, path), dict(told))
        except (ValueError, KeyError, TypeError, ImportError) as error:
            raise CorruptError(
                "the metadata of this array make no sense",
                address=f"{self.name}/{path}",
                why=str(error)[:200],
            ) from error

    def _compare(self, path: str, told: Mapping[str, Any]) -> None:
        copy = self._of_copy(f"{path}/.zarray" if path else ".zarray")
        wrong = [k for k in ("shape", "chunks", "dtype") if copy and copy.get(k) != told.get(k)]
        if wrong:
            note = f"{path}: consolidated metadata have another {wrong[0]}"
            if note not in self.notes:
                self.notes.append(note)

    def ready(self, paths: Iterable[str]) -> None:
        """Have the chunks of small arrays at hand, asked for all at once."""
        wanted = [path.strip("/") for path in paths]
        name = "zarr.json" if self.format == 3 else ".zarray"
        self._objects.ready([f"{path}/{name}" for path in wanted])
        keys: list[str] = []
        for path in wanted:
            try:
                array = self.array(path)
            except (CorruptError, NotFoundError, MissingExtraError):
                continue  # says so when it is read
            shape = [range(n) for n in array.cdata_shape]
            if array.nbytes <= _READY_BYTES:
                keys += [f"{path}/{k}" for k in _chunk_keys(array, shape)]
        self._objects.ready(keys[:_READY_CHUNKS], self.store.mark)


def _chunk_keys(array: Any, grid: list[range]) -> list[str]:
    name = getattr(array, "chunk_key", None) or array.metadata.encode_chunk_key
    return [name(at) for at in itertools.product(*grid)]


def _dict(told: Any) -> dict[str, Any]:
    return told if isinstance(told, dict) else {}
