"""The codecs ``jpeg`` and ``reshape`` for zarr-python.

Registered under the entry points ``zarr.codecs`` of this package, so that a store written with
``keep_jpeg`` opens wherever openallen is installed. They follow the proposals of the
zarr-extensions registry as far as such stores need them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from zarr.abc.codec import ArrayArrayCodec, ArrayBytesCodec

from openallen.formats.jpeg import decode

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

__all__ = ["JpegCodec", "ReshapeCodec"]


@dataclass(frozen=True)
class ReshapeCodec(ArrayArrayCodec):
    """Returns a chunk another shape of the same size, in C order.

    Parameters
    ----------
    shape
        Shape of the encoded chunk.
    """

    shape: tuple[int, ...]

    is_fixed_size = True

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read the codec from an array's metadata."""
        return cls(tuple(int(n) for n in data["configuration"]["shape"]))

    def to_dict(self) -> dict[str, Any]:
        """Return the metadata of the codec."""
        return {"name": "reshape", "configuration": {"shape": list(self.shape)}}

    def resolve_metadata(self, chunk_spec: ArraySpec) -> ArraySpec:
        """Return the specification of the encoded chunk."""
        return replace(chunk_spec, shape=self.shape)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Return the encoded size: unchanged."""
        del chunk_spec
        return input_byte_length

    async def decode(
        self, chunks_and_specs: Iterable[tuple[NDBuffer | None, ArraySpec]]
    ) -> Iterable[NDBuffer | None]:
        """Return chunks in their original shape."""
        return [c if c is None else c.reshape(s.shape) for c, s in chunks_and_specs]

    async def encode(
        self, chunks_and_specs: Iterable[tuple[NDBuffer | None, ArraySpec]]
    ) -> Iterable[NDBuffer | None]:
        """Return chunks in the shape of the codec."""
        return [c if c is None else c.reshape(self.shape) for c, _ in chunks_and_specs]


@dataclass(frozen=True)
class JpegCodec(ArrayBytesCodec):
    """Stores a chunk of uint8, shape (y, x) or (y, x, 3), as one JPEG.

    Parameters
    ----------
    quality
        JPEG quality for writing, 0 to 100.
    settings
        The rest of its configuration, unchanged.
    """

    quality: int = 90
    settings: tuple[tuple[str, Any], ...] = ()

    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read the codec from an array's metadata."""
        given = dict(data.get("configuration", {}))
        quality = int(given.pop("quality", 90))
        return cls(quality, tuple((k, _frozen(v)) for k, v in given.items()))

    def to_dict(self) -> dict[str, Any]:
        """Return the metadata of the codec."""
        rest = {name: _thawed(value) for name, value in self.settings}
        return {"name": "jpeg", "configuration": {"quality": self.quality, **rest}}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Raise: the size is unknown before encoding."""
        raise NotImplementedError

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        data = bytes(chunk_data.to_bytes())
        gray = len(chunk_spec.shape) == 2 or chunk_spec.shape[-1] == 1
        pixels = await asyncio.to_thread(decode, data, gray=gray)
        make = chunk_spec.prototype.nd_buffer.from_numpy_array
        return make(pixels.reshape(chunk_spec.shape))

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        import numpy as np
        import simplejpeg

        pixels = np.ascontiguousarray(chunk_data.as_numpy_array())
        gray = pixels.ndim == 2 or pixels.shape[-1] == 1
        data = simplejpeg.encode_jpeg(
            pixels.reshape(*pixels.shape[:2], -1),
            quality=self.quality,
            colorspace="GRAY" if gray else "RGB",
        )
        return chunk_spec.prototype.buffer.from_bytes(data)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _thawed(value: Any) -> Any:
    return list(map(_thawed, value)) if isinstance(value, tuple) else value
