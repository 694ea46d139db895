"""Codecs of Zarr arrays: which an array needs, who brings them, and objects decoded with care."""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numcodecs.registry import get_codec

from openallen.errors import MissingExtraError
from openallen.formats import pickles, wavpack
from openallen.formats.chunks import decoding
from openallen.formats.sized import SizedCodec, most_bytes_of, sized_filters

if TYPE_CHECKING:
    from openallen.formats.chunks import Chunks

__all__ = ["ObjectArray", "check_count", "codecs_of", "holds_objects", "need_codecs"]

_PACKAGES: Final = {"flac": "flac-numcodecs", "wavpack": "wavpack-numcodecs"}
"""Packages that bring codecs numcodecs does not have itself."""
_MOST_OBJECTS: Final = 1 << 27
_HINTS: Final = {
    "flac": "pip install flac-numcodecs",
    "wavpack": "apt install libwavpack1 (or brew install wavpack)",
}


def codecs_of(told: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the codecs of numcodecs an array needs, by its metadata."""
    if "codecs" in told:
        listed = told["codecs"] if isinstance(told["codecs"], list) else ()
        names = [str(c.get("name", "")) for c in listed if isinstance(c, dict)]
        return tuple(n.removeprefix("numcodecs.") for n in names if n.startswith("numcodecs."))
    filters = told.get("filters")
    given = [told.get("compressor"), *(filters if isinstance(filters, list) else ())]
    return tuple(str(codec["id"]) for codec in given if isinstance(codec, dict) and "id" in codec)


def need_codecs(names: Iterable[str], where: str) -> None:
    """Check that every codec has a decoder.

    Raises
    ------
    MissingExtraError
        If one has none, with what brings it.
    """
    for name in names:
        package = _PACKAGES.get(name)
        if package is not None and not (name == "wavpack" and wavpack.register()):
            try:
                importlib.import_module(package.replace("-", "_"))
            except ImportError as error:
                missing = MissingExtraError(package, f"{where} is compressed with {name} and")
                missing.hint, missing.why = _HINTS[name], str(error)
                raise missing from None
        try:
            get_codec({"id": name})
        except TypeError:
            continue  # known, and wants to be told more
        except ValueError:
            missing = MissingExtraError(name, f"{where} is compressed with '{name}' and")
            missing.why = "no package that is installed decodes it"
            missing.hint = f"install the package that registers '{name}' with numcodecs"
            raise missing from None


def holds_objects(told: Mapping[str, Any]) -> bool:
    """Return whether an array of version 2 holds text or other objects, by its metadata.

    hdmf-zarr keeps references as pickles, some text as JSON, and fill values of text as numbers:
    zarr-python 3 reads none of these.
    """
    return told.get("dtype") == "|O"


class ObjectArray:
    """An array of Python objects in Zarr version 2, decoded chunk by chunk.

    Parameters
    ----------
    chunks
        Where its keys are read.
    path
        Where the array is among them.
    told
        Its metadata.
    """

    dtype = np.dtype(object)

    def __init__(self, chunks: Chunks, path: str, told: Mapping[str, Any]) -> None:
        self._source = chunks
        self._path = path
        self._told = told
        self.shape = tuple(int(n) for n in told["shape"])
        self._chunks = tuple(int(n) for n in told["chunks"])
        if min((*self.shape, *self._chunks), default=1) < 0 or 0 in self._chunks:
            raise ValueError(f"a shape of {self.shape} in chunks of {self._chunks}")
        self.nbytes = 8 * math.prod(self.shape)
        if min(*self.shape, *self._chunks, 1) < 0 or math.prod(self.shape) > _MOST_OBJECTS:
            raise ValueError(f"{math.prod(self.shape):,} texts or other objects")
        self.cdata_shape = tuple(-(-n // c) for n, c in zip(self.shape, self._chunks, strict=True))

    def chunk_key(self, at: tuple[int, ...]) -> str:
        """Name a chunk."""
        return str(self._told.get("dimension_separator") or ".").join(map(str, at)) or "0"

    def __getitem__(self, key: Any) -> Any:
        whole = np.empty(self.shape, dtype=object)
        for at in itertools.product(*(range(n) for n in self.cdata_shape)):
            place = tuple(
                slice(i * c, min(n, (i + 1) * c))
                for i, c, n in zip(at, self._chunks, self.shape, strict=True)
            )
            body = self._source.read(f"{self._path}/{self.chunk_key(at)}".lstrip("/"))
            if body is not None:
                chunk = self._decoded(body)
                whole[place] = chunk[tuple(slice(s.stop - s.start) for s in place)]
        return whole[key]

    def _decoded(self, body: bytes) -> np.ndarray[Any, Any]:
        where = f"{self._source.name}/{self._path}"
        with decoding("objects in this store cannot be read", where):
            # Nothing in the metadata says how much a chunk of objects should come to.
            most = most_bytes_of(0, 0, len(body))
            if compressor := self._told.get("compressor"):
                body = bytes(SizedCodec(get_codec(compressor), None, where, most).decode(body))
            found: Any = body
            count = math.prod(self._chunks)
            for codec in reversed(sized_filters(self._told.get("filters"), where, most) or []):
                found = _unfiltered(codec, found, count)
            order = "F" if self._told.get("order") == "F" else "C"
            return np.asarray(found, dtype=object).reshape(self._chunks, order=order)  # type: ignore[call-overload,no-any-return]


def _unfiltered(codec: Any, body: Any, count: int) -> Any:
    if isinstance(codec, SizedCodec):
        return bytes(codec.decode(body))
    if codec.get("id") == "pickle":
        return pickles.values(bytes(body))
    if str(codec.get("id")).startswith("vlen-"):
        check_count(body, count)
    return get_codec(dict(codec)).decode(body)


def check_count(body: Any, count: int) -> None:
    """Check how many texts a chunk says it holds, before memory is taken for that many.

    Raises
    ------
    ValueError
        If that is not the number of items in a chunk, or more than its bytes could be.
    """
    view = memoryview(body).cast("B")
    told = int.from_bytes(view[:4], "little")
    # Each has at least its length: four bytes.
    if told != count or view.nbytes < 4 + 4 * told:
        raise ValueError(f"a chunk of {view.nbytes:,} bytes that says it holds {told:,} items")
