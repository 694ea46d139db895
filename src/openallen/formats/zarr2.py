"""Arrays of zarr-python 2 over objects, for environments that cannot have version 3.

SpikeInterface and hdmf-zarr need zarr below 3 on Python below 3.14.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import zarr

from openallen.formats.sized import SizedCodec, decoded_bytes, filtered_most_bytes, sized_filters

if TYPE_CHECKING:
    from openallen.formats.chunks import Chunks

__all__ = ["array_of"]


def array_of(chunks: Chunks, path: str, told: Mapping[str, Any]) -> Any:
    """Return an array of version 2, by its metadata; sizes of its chunks are compared first."""
    made: Any = zarr.Array  # checked against version 3, whose arrays are made otherwise
    array = made(_Keys(chunks), path=path, read_only=True)
    where = f"{chunks.name}/{path}".rstrip("/")
    most = filtered_most_bytes(told)
    setattr(array, "_filters", sized_filters(array.filters, where, most))  # noqa: B010
    if array.compressor is not None:
        sized = SizedCodec(array.compressor, decoded_bytes(told), where, most)
        setattr(array, "_compressor", sized)  # noqa: B010 - version 2 offers no other way
    return array


class _Keys(MutableMapping[str, bytes]):
    """Objects as the mapping that version 2 reads."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks

    def __getitem__(self, key: str) -> bytes:
        body = self._chunks.read(key)
        if body is None:
            raise KeyError(key)
        return body

    def __setitem__(self, key: str, value: bytes) -> None:
        raise PermissionError(f"{key}: this store is read only")

    def __delitem__(self, key: str) -> None:
        raise PermissionError(f"{key}: this store is read only")

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
