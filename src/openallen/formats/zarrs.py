"""Zarr hierarchies of both versions over any objects: local or remote.

Only what describes an array itself is believed: consolidated metadata is a copy made at some time,
and serves to look names up. A chunk that is not there is a hole; whether that means "never
written, so the fill value" or "lost" depends on the writer, and is for the caller to say.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from openallen.display import card, facts_text
from openallen.errors import (
    CorruptError,
    MissingExtraError,
    NotFoundError,
    OpenAllenError,
    requiring,
)
from openallen.formats.allowed import check_codecs, holds_rows
from openallen.formats.chunks import Chunks, Holes
from openallen.formats.codecs import ObjectArray, codecs_of, holds_objects, need_codecs
from openallen.json_text import load_json

if TYPE_CHECKING:
    from openallen.formats.objects import Objects

__all__ = ["Hierarchy"]

_READY_BYTES: Final = 32 << 20
_READY_CHUNKS: Final = 512
_SHOWN: Final = 40


class Hierarchy:
    """A Zarr group with all below it, of version 2 or 3.

    Parameters
    ----------
    objects
        Where its keys are read.
    holes
        What missing chunks are, as for `openallen.formats.chunks.Chunks`. Where None, refused in
        stores of hdmf-zarr in version 2, which writes every chunk; else told, as zarr-python 3
        leaves out empty ones.

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
        copied = self._copy() if root is None else root.get("consolidated_metadata")
        told = copied.get("metadata") if isinstance(copied, dict) else None
        self._copied: dict[str, Any] | None = told if isinstance(told, dict) else None
        if root is None:
            root = self._document(".zgroup") or self._document(".zarray")
            if root is None and self._copied is None:
                raise NotFoundError("not a Zarr group", address=self.name)
            self.attributes = self._document(".zattrs") or self._of_copy(".zattrs")
        else:
            self.attributes = _dict(root.get("attributes"))
        mark = json.dumps([root, self.attributes, self._copied], sort_keys=True)
        whole = self.format == 2 and ".specloc" in self.attributes
        self.chunks = Chunks(
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
            told = load_json(body)
        except ValueError as error:
            where = f"{self.name}/{key}"
            raise CorruptError("not valid JSON", address=where, why=str(error)) from error
        if not isinstance(told, dict):
            raise CorruptError("not Zarr metadata", address=f"{self.name}/{key}")
        return told

    def _copy(self) -> dict[str, Any] | None:
        """Return consolidated metadata of version 2; None if there is none or it is damaged."""
        try:
            return self._document(".zmetadata")
        except CorruptError as error:
            self.notes.append(f"consolidated metadata cannot be read: {error.why or error.what}")
            return None

    def _of_copy(self, key: str) -> dict[str, Any]:
        return _dict((self._copied or {}).get(key))

    def described(self, path: str) -> dict[str, Any] | None:
        """Return the metadata document of an array or group, at its path; None without one."""
        path = path.strip("/")
        lead = f"{path}/" if path else ""
        if self.format == 3:
            return self._document(f"{lead}zarr.json")
        return self._document(f"{lead}.zarray") or self._document(f"{lead}.zgroup")

    def attrs(self, path: str, *, copied: bool = False) -> dict[str, Any]:
        """Return the attributes of a group or array, from consolidated metadata where allowed."""
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
        """Return whether there is a group or an array at a path."""
        return bool(self.kind(path))

    def kind(self, path: str) -> str:
        """Return what is at a path: ``array``, ``group``, or an empty text for nothing."""
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
        """Return the kind of each item in consolidated metadata, array or group, by path."""
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

    def _facts(self) -> dict[str, object]:
        names = self.members("")
        shown = "\n".join(names[:_SHOWN])
        more = f"\nand {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return {
            "format": f"Zarr {self.format}",
            "attributes": ", ".join(self.attributes) or None,
            "holds": shown + more or None,
            "odd": "; ".join(self.notes) or None,
            "place": self.name,
        }

    def __repr__(self) -> str:
        return facts_text("Zarr store", self._facts())

    def _repr_html_(self) -> str:
        return card("Zarr store", self._facts())

    # --- arrays -----------------------------------------------------------------------------------

    def array(self, path: str) -> Any:
        """Return an array, a `zarr.Array`, by its own metadata.

        Raises
        ------
        NotFoundError
            If there is none.
        CorruptError
            If its metadata makes no sense, or consolidated metadata names it in vain, or it names
            a codec that is not known to be harmless.
        MissingExtraError
            If nothing that is installed decodes it, with what would.
        """
        path = path.strip("/")
        lead = f"{path}/" if path else ""
        told = self._document(f"{lead}{'zarr.json' if self.format == 3 else '.zarray'}")
        if told is None or "shape" not in told:
            if self._known.get(path) == "array":
                raise CorruptError(
                    "consolidated metadata names an array that is not there",
                    address=self.name,
                    why=path,
                )
            raise NotFoundError("no such array", address=self.name, why=path)
        if self.format == 2:
            self._compare(path, told)
        _check_shape(told, f"{self.name}/{path}")
        check_codecs(told, f"{self.name}/{path}")
        flat = self.format == 2 and not told.get("dimension_separator")
        self.chunks.register(path, may_nest=flat)
        need_codecs(codecs_of(told), self.name)
        try:
            if self.format == 2 and (holds_objects(told) or holds_rows(told)):
                return ObjectArray(self.chunks, path, told)
            return self._made(path, told)
        except (
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            ArithmeticError,
            ImportError,
            SyntaxError,  # numpy reads some types as expressions of Python
        ) as error:
            raise CorruptError(
                "invalid metadata of this array",
                address=f"{self.name}/{path}",
                why=str(error)[:200],
            ) from error

    def holds_chunks(self, path: str) -> bool:
        """Return whether an array has any chunk; true where that cannot be found out."""
        try:
            return self._objects.holds(path.strip("/"))
        except OpenAllenError:  # whoever may read objects may still not list them
            return True

    def _chunk_keys(self, path: str, grid: Iterable[int]) -> Iterator[str]:
        """Name all chunks of an array."""
        told = self.described(path) or {}
        encoding = _dict(told.get("chunk_key_encoding"))
        nested = self.format == 3 and encoding.get("name", "default") == "default"
        usual = "/" if nested else "."
        separator = told.get("dimension_separator") or usual
        separator = _dict(encoding.get("configuration")).get("separator", separator)
        for at in itertools.product(*(range(n) for n in grid)):
            name = separator.join(map(str, at))
            yield f"c{separator}{name}".rstrip(separator) if nested else name or "0"

    def _made(self, path: str, told: Mapping[str, Any]) -> Any:
        try:
            from openallen.formats.zarr3 import array_of
        except ImportError:
            pass
        else:
            return array_of(self.chunks, path, dict(told))
        if self.format == 3:
            raise MissingExtraError("ephys", "Zarr of version 3")
        with requiring("reading Zarr", "ephys"):
            from openallen.formats import zarr2
        return zarr2.array_of(self.chunks, path, told)

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
            if array.nbytes <= _READY_BYTES and getattr(array, "shards", None) is None:
                keys += [f"{path}/{k}" for k in self._chunk_keys(path, array.cdata_shape)]
        self._objects.ready(keys[:_READY_CHUNKS], self.chunks.mark)


def _check_shape(told: Mapping[str, Any], where: str) -> None:
    """Check that a shape and chunks are such as arrays can have: libraries compute with them."""
    grid = _dict(_dict(told.get("chunk_grid")).get("configuration"))
    shape, chunks = told.get("shape"), told.get("chunks", grid.get("chunk_shape"))
    for sizes, least in ((shape, 0), (chunks, 1)):
        if sizes is None and least:
            continue  # left to the library, which says what is missing
        numbers = sizes if isinstance(sizes, list) else [None]
        fine = all(type(n) is int and n >= least for n in numbers)
        if not fine or math.prod(numbers) >= 1 << 62:
            raise CorruptError("an array of no valid shape", address=where, why=repr(sizes)[:80])


def _dict(told: Any) -> dict[str, Any]:
    return told if isinstance(told, dict) else {}
