"""A store of zarr-python 3 over objects, local or remote."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self

import zarr
from numcodecs.registry import get_codec
from zarr.abc.codec import BytesBytesCodec
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.codecs import vlen_utf8
from zarr.core.buffer import default_buffer_prototype
from zarr.registry import get_codec_class
from zarr.storage import StorePath

from openallen.errors import CorruptError
from openallen.formats.chunks import decoding
from openallen.formats.codecs import check_count
from openallen.formats.sized import (
    DAMAGED,
    SIZED,
    SizedCodec,
    compare,
    decoded,
    decoded_bytes,
    filtered_most_bytes,
    most_bytes_of,
    sized_filters,
)

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, BufferPrototype, NDBuffer

    from openallen.formats.chunks import Chunks

__all__ = ["ObjectStore", "array_of"]

_NOTHING: Final[tuple[str, ...]] = ()
_THREADS: Final = ThreadPoolExecutor(32, thread_name_prefix="zarr-objects")


def array_of(chunks: Chunks, path: str, told: dict[str, Any]) -> Any:
    """Return an array by its metadata.

    Made of what was read already: `zarr.open_array` would ask for the same again. Its compressors
    compare sizes before they decode.
    """
    where = f"{chunks.name}/{path}".rstrip("/")
    if "codecs" in told:
        told = {**told, "codecs": sized_codecs(told["codecs"], where)}
    else:
        size_bytes, most = decoded_bytes(told), filtered_most_bytes(told)
        packed = told.get("compressor")
        told = {**told, "filters": sized_filters(told.get("filters"), where, most)}
        if isinstance(packed, dict):
            told["compressor"] = SizedCodec(get_codec(dict(packed)), size_bytes, where, most)
    return zarr.Array.from_dict(StorePath(ObjectStore(chunks), path), told)


def sized_codecs(told: Sequence[Any], where: str) -> list[Any]:
    """Return the codecs of an array, with compressors that compare sizes before they decode."""
    names = [_name(codec) for codec in told]
    # Only what is compressed first has the size of the array's own chunk.
    first = names.index("bytes") + 1 if "bytes" in names else None
    found: list[Any] = []
    for at, (name, codec) in enumerate(zip(names, told, strict=True)):
        if name == "sharding_indexed":
            given = dict(codec.get("configuration") or {})
            given["codecs"] = sized_codecs(given.get("codecs") or (), where)
            found.append({**codec, "configuration": given})
        elif name.removeprefix("numcodecs.") in SIZED:
            whole = {"name": codec} if isinstance(codec, str) else codec
            made = get_codec_class(name).from_dict(whole)
            found.append(_Sized(made, name.removeprefix("numcodecs."), at == first, where))
        else:
            found.append(_counted(codec))
    return found


def _name(codec: Any) -> str:
    return str(codec.get("name", "")) if isinstance(codec, Mapping) else str(codec)


@dataclass(frozen=True)
class _Sized(BytesBytesCodec):
    """A compressor that decodes only what has the right sizes."""

    codec: Any
    name: str
    first: bool
    where: str

    is_fixed_size = False

    def to_dict(self) -> dict[str, Any]:
        made: dict[str, Any] = self.codec.to_dict()
        return made

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        raise NotImplementedError

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> Self:
        return replace(self, codec=self.codec.evolve_from_array_spec(array_spec))

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        count, item_bytes = math.prod(chunk_spec.shape), _item_bytes(chunk_spec)
        size_bytes = count * item_bytes if self.first else None
        body = chunk_data.as_numpy_array()
        most = most_bytes_of(item_bytes, count, len(body))
        asked = (self.name, body, size_bytes, self.where)
        options = self.to_dict().get("configuration") or {}
        found = await asyncio.to_thread(decoded, *asked, options=options, most_bytes=most)
        if found is not None:
            return chunk_spec.prototype.buffer.from_array_like(found)
        compare(*asked, most)
        made: Buffer
        with decoding(DAMAGED, self.where):
            (made,) = await self.codec.decode([(chunk_data, chunk_spec)])
        if size_bytes is not None and len(made) != size_bytes:
            why = f"{len(made):,} bytes, not {size_bytes:,}"
            raise CorruptError(DAMAGED, address=self.where, why=why)
        return made

    async def _encode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer | None:
        made: Buffer | None
        (made,) = await self.codec.encode([(chunk_data, chunk_spec)])
        return made


def _item_bytes(spec: ArraySpec) -> int:
    """Return the size of a value; 0 for texts and other objects."""
    dtype: Any = spec.dtype  # of numpy in zarr 3.0
    native = getattr(dtype, "to_native_dtype", None)
    made = dtype if native is None else native()
    return 0 if made.kind in "OT" else int(made.itemsize)


class _Counted:
    """Looks at the number of texts a chunk says it holds before memory is taken for that many."""

    def _decode_sync(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        check_count(chunk_bytes.to_bytes(), math.prod(chunk_spec.shape))
        return super()._decode_sync(chunk_bytes, chunk_spec)  # type: ignore[misc,no-any-return]

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        check_count(chunk_bytes.to_bytes(), math.prod(chunk_spec.shape))
        return await super()._decode_single(chunk_bytes, chunk_spec)  # type: ignore[misc,no-any-return]


# zarr-python looks for the codec of texts by the name of its class.
class VLenUTF8Codec(_Counted, vlen_utf8.VLenUTF8Codec):
    """Texts."""


class VLenBytesCodec(_Counted, vlen_utf8.VLenBytesCodec):
    """Bytes of any length."""


_COUNTED: Final = {"vlen-utf8": VLenUTF8Codec, "vlen-bytes": VLenBytesCodec}


def _counted(told: Any) -> Any:
    """Return a codec for texts that counts them; whatever else as it is."""
    name = told.get("name") if isinstance(told, dict) else told
    made = _COUNTED.get(name) if isinstance(name, str) else None
    return made() if made is not None else told


class ObjectStore(Store):
    """A read-only store of zarr-python over objects.

    Parameters
    ----------
    chunks
        Where keys are read.
    """

    def __init__(self, chunks: Chunks) -> None:
        super().__init__(read_only=True)
        self._chunks = chunks

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectStore) and other._chunks is self._chunks

    def __hash__(self) -> int:
        return id(self._chunks)

    def _read(self, key: str, asked: ByteRequest | None) -> bytes | None:
        if isinstance(asked, RangeByteRequest):
            return self._chunks.read(key, asked.start, asked.end)
        if isinstance(asked, OffsetByteRequest):
            return self._chunks.read(key, asked.offset)
        if isinstance(asked, SuffixByteRequest):
            return self._chunks.read(key, -asked.suffix)
        return self._chunks.read(key)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return an object, or a part of it."""
        loop = asyncio.get_running_loop()
        body = await loop.run_in_executor(_THREADS, self._read, key, byte_range)
        made = (prototype or default_buffer_prototype()).buffer
        return None if body is None else made.from_bytes(body)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return parts of objects."""
        return list(await asyncio.gather(*(self.get(k, prototype, r) for k, r in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Return whether there is an object."""
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
