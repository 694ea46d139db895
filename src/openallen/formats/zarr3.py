"""A store of zarr-python 3 over objects, local or remote."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import zarr
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.codecs import vlen_utf8
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import StorePath

from openallen.formats.codecs import check_count

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, BufferPrototype, NDBuffer

    from openallen.formats.chunks import Chunks

__all__ = ["ObjectStore", "array_of"]

_NOTHING: Final[tuple[str, ...]] = ()
_THREADS: Final = ThreadPoolExecutor(32, thread_name_prefix="zarr-objects")


def array_of(chunks: Chunks, path: str, told: dict[str, Any]) -> Any:
    """Return an array by its metadata.

    Made of what was read already: `zarr.open_array` would ask for the same again.
    """
    if "codecs" in told:
        told = {**told, "codecs": [_counted(codec) for codec in told["codecs"]]}
    return zarr.Array.from_dict(StorePath(ObjectStore(chunks), path), told)


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
