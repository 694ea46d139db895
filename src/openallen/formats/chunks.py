"""Chunks of a Zarr store as objects: what one that is missing means."""

from __future__ import annotations

import logging
import lzma
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Literal

from openallen.errors import CorruptError, OpenAllenError, TruncatedError
from openallen.formats.objects import DOCUMENTS
from openallen.json_text import load_json

if TYPE_CHECKING:
    from openallen.formats.objects import Objects

__all__ = ["Chunks", "Holes", "decoding"]

Holes = Literal["refused", "told", "usual"]
_LOG: Final = logging.getLogger("openallen.formats")

_BROKEN: Final = (
    ValueError, RuntimeError, OSError, TypeError, LookupError, EOFError, AttributeError,
    ArithmeticError, ImportError, MemoryError, struct.error, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What codecs, pickles and Zarr libraries raise over bytes that are not what they should be."""


@contextmanager
def decoding(what: str, where: str) -> Iterator[None]:
    """Turn any error of a codec into one that names what is damaged; our own errors pass through.

    Raises
    ------
    CorruptError
        In place of what a library raised.
    """
    try:
        yield
    except OpenAllenError:
        raise
    except _BROKEN as error:
        why = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise CorruptError(what, address=where, why=why) from error


class Chunks:
    """What a Zarr library reads of a store.

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
    name : str
        Where they lie, for messages.
    missing : set of str
        Keys of chunks that were asked for and are not there.
    found : set of str
        Paths of arrays of which a chunk was read.
    """

    def __init__(self, objects: Objects, mark: str = "", *, holes: Holes = "usual") -> None:
        self._objects = objects
        self.name = objects.name
        self.mark = mark
        self._holes = holes
        self.missing: set[str] = set()
        self.found: set[str] = set()
        self._arrays: set[str] = set()
        self._nested: dict[str, bool | None] = {}

    def register(self, path: str, *, may_nest: bool) -> None:
        """Know an array by its path.

        Parameters
        ----------
        path
            Where it is.
        may_nest
            Whether its chunks may lie in folders though they are asked for with dots: version 2
            without a separator stands for dots, and stores are about that were written with ``/``.
        """
        self._arrays.add(path)
        if may_nest:
            self._nested.setdefault(path, None)

    def read(self, key: str, start: int | None = None, stop: int | None = None) -> bytes | None:
        """Return an object, or a part of it; None where there is none.

        Raises
        ------
        TruncatedError
            If it is a chunk that must not be missing.
        CorruptError
            If it has nothing in it, or it is metadata that name a codec that is not known to be
            harmless.
        """
        if key.rpartition("/")[2] in DOCUMENTS:
            return self._document(key, self._objects.get(key, start, stop))
        path, body = self._looked_up(key, start, stop)
        if body is None:
            self._lacks(key)
        elif not body and (stop is None or stop > (start or 0)):
            # Libraries take an empty shard for one that was never written.
            raise CorruptError("a damaged chunk", address=self.name, why=f"{key} ends early")
        else:
            self.found.add(path)
        return body

    def _looked_up(self, key: str, start: int | None, stop: int | None) -> tuple[str, bytes | None]:
        """Return the path of an array and one of its chunks."""
        path, _, name = key.rpartition("/")
        if path not in self._nested or "." not in name:
            return self._array_of(key), self._objects.get(key, start, stop, self.mark)
        nested = self._nested[path]
        body = None if nested else self._objects.get(key, start, stop, self.mark)
        if body is None and nested is not False:
            inner = f"{path}/{name.replace('.', '/')}".lstrip("/")
            body = self._objects.get(inner, start, stop, self.mark)
            if body is not None and nested is None:
                _LOG.warning("%s/%s: chunks are in folders, unlike it says", self.name, path)
                self._nested[path] = True
        elif body is not None:
            self._nested[path] = False
        return path, body

    def _array_of(self, key: str) -> str:
        path = key
        while path and path not in self._arrays:
            path = path.rpartition("/")[0]
        return path

    def _document(self, key: str, body: bytes | None) -> bytes | None:
        """Check what a Zarr library is about to make codecs of."""
        from openallen.formats.allowed import check_document

        told: object = None
        with suppress(ValueError):  # no JSON: the library says so
            told = load_json(body or b"{}")
        if isinstance(told, dict):
            check_document(told, f"{self.name}/{key}")
        return body

    def _lacks(self, key: str) -> None:
        if self._holes == "refused":
            raise TruncatedError("a chunk is missing", address=self._objects.name, why=key)
        if self._holes == "told" and key not in self.missing:
            _LOG.warning("%s: chunk %s is not there, read as empty", self._objects.name, key)
        self.missing.add(key)
