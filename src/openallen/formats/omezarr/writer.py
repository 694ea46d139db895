"""Write a stack of JPEG planes as OME-Zarr in one pass: decode, projections, pyramid, shards.

Every core decodes and writes planes of its own; memory use does not depend on the number of planes.
The store is written as ``NAME.part`` and renamed when it is complete: a store with its final name
is always complete.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from openallen.errors import CorruptError, MissingExtraError, RefusedError, UsageError
from openallen.formats.jpeg import decode, inspect
from openallen.formats.omezarr.geometry import Geometry
from openallen.formats.omezarr.metadata import (
    array_document,
    group_document,
    image_attributes,
    jpeg_codecs,
    projection_attributes,
    sharded,
    zstd_codecs,
)
from openallen.formats.omezarr.projections import AXES, Projections
from openallen.formats.omezarr.pyramid import halve
from openallen.formats.omezarr.shards import Shard
from openallen.formats.parallel import cores, ordered_map

if TYPE_CHECKING:
    import numpy as np
    import zstandard
    from numpy.typing import NDArray

__all__ = ["Converted", "PlaneSource", "fitting_workers", "write_stack"]

PlaneSource = Callable[[], bytes]
"""Returns the JPEG of a plane; called once, from a worker thread."""

_TILE_QUALITY: Final = 85
_MEMORY_BYTES: Final = 900_000_000
# Bytes per pixel of a plane: of the projections, for any number of threads, and of each thread
# (measured: 1.3 gray, 3.8 colour).
_SHARED_BYTES: Final = 8
_THREAD_BYTES: Final = {1: 1.5, 3: 4.5}


@dataclass(frozen=True)
class Converted:
    """Result of a conversion.

    Parameters
    ----------
    path
        Path of the store.
    projections
        Projections by name: uint8; axes (y, x) for xy, (z, x) for xz, (y, z) for yz.
    """

    path: Path
    projections: Mapping[str, NDArray[np.uint8]] = field(repr=False)


def write_stack(
    planes: Sequence[PlaneSource | None],
    geometry: Geometry,
    to: Path,
    *,
    name: str = "stack",
    keep_jpeg: bool = False,
    compression_level: int = 1,
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    done: Callable[[int], object] = lambda _: None,
) -> Converted:
    """Write a stack as OME-Zarr 0.5.

    Parameters
    ----------
    planes
        One for each z; None where a plane is missing, which reads as 0.
    geometry
        Size of the stack. With one channel, colour planes are converted to luminance.
    to
        Path of the store, by convention ``NAME.ome.zarr``.
    name
        Name shown by viewers.
    keep_jpeg
        Store the JPEGs unchanged as level 0, and JPEG tiles at the levels above: a fraction of the
        size, for readers with the codec ``jpeg`` (openallen registers it with zarr-python).
    compression_level
        Compression level of zstd; not used with `keep_jpeg`.
    attributes
        Attributes under the key ``openallen``.
    overwrite
        Replace an existing store.
    workers
        Number of threads; by default that of `fitting_workers`.
    done
        Called with the z of each finished plane, in order.

    Raises
    ------
    RefusedError
        If the store exists and may not be replaced.
    CorruptError, TruncatedError
        If a plane does not decode, or differs in size.
    MissingExtraError
        Without the extra ``images``.
    """
    if len(planes) != geometry.planes:
        raise UsageError(f"{len(planes)} planes for a stack of {geometry.planes}")
    if to.exists() and not overwrite:
        raise RefusedError("this store already exists", address=str(to), hint="--overwrite")
    draft = to.with_name(to.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    work = _Writer(draft, geometry, keep_jpeg=keep_jpeg, compression_level=compression_level)
    finished = False
    try:
        work.prepare()
        sources = [(z, source) for z, source in enumerate(planes) if source is not None]
        for z in ordered_map(work.plane, sources, workers=workers or fitting_workers(geometry)):
            done(z)
        missing = [z for z, source in enumerate(planes) if source is None]
        extra = {**(attributes or {}), **({"missing_planes": missing} if missing else {})}
        found = work.finish(name, extra)
        _put_in_place(draft, to)
        finished = True
    finally:
        if not finished:
            shutil.rmtree(draft, ignore_errors=True)
    return Converted(to, found)


def _put_in_place(draft: Path, to: Path) -> None:
    """Rename a finished store; an existing one is removed only after that."""
    aside = to.with_name(to.name + ".old")
    shutil.rmtree(aside, ignore_errors=True)
    if to.exists():
        to.replace(aside)
    draft.replace(to)
    shutil.rmtree(aside, ignore_errors=True)


def fitting_workers(geometry: Geometry) -> int:
    """Return the number of threads for all cores within 1 GB of memory; at least 1."""
    pixels = geometry.width_px * geometry.height_px
    left = _MEMORY_BYTES - pixels * _SHARED_BYTES
    return max(1, min(cores(), int(left / (pixels * _THREAD_BYTES[geometry.channels]))))


class _Writer:
    """State shared by the worker threads."""

    def __init__(
        self, root: Path, geometry: Geometry, *, keep_jpeg: bool, compression_level: int
    ) -> None:
        if find_spec("zstandard") is None or find_spec("simplejpeg") is None:
            raise MissingExtraError("images", "writing OME-Zarr")
        self._root = root
        self._geometry = geometry
        self._keep_jpeg = keep_jpeg
        self._level = compression_level
        self._own = threading.local()
        self.projections = Projections(geometry.planes, geometry.height_px, geometry.width_px)

    def prepare(self) -> None:
        """Write folders and metadata of the levels."""
        g = self._geometry
        for level in range(len(g.levels)):
            rows, columns = g.grid(level)
            colour = (3,) if g.channels == 3 else ()
            if self._keep_jpeg and level == 0:
                chunk = (*colour, 1, g.height_px, g.width_px)
                codecs = jpeg_codecs(chunk, 100)
            else:
                chunk = (*colour, 1, rows * g.chunk_px, columns * g.chunk_px)
                codecs = sharded(*self._inner(colour))
            _write_json(
                self._root / str(level), array_document(g.shape(level), chunk, codecs, g.axes)
            )

    def finish(self, name: str, extra: Mapping[str, Any]) -> dict[str, NDArray[np.uint8]]:
        """Write the projections, and last the metadata of the group."""
        found = self.projections.results()
        _write_projections(self._root, found, self._geometry, name)
        document = image_attributes(name, self._geometry, projections=True, extra=extra)
        _write_json(self._root, group_document(document))
        return found

    def _inner(self, colour: tuple[int, ...]) -> tuple[tuple[int, ...], list[dict[str, Any]]]:
        """Return shape and codecs of the inner chunks of a shard."""
        side = self._geometry.chunk_px
        if self._keep_jpeg:
            chunk = (*colour, 1, side, side)
            return chunk, jpeg_codecs(chunk, _TILE_QUALITY)
        return (*(1 for _ in colour), 1, side, side), zstd_codecs(self._level)

    def plane(self, item: tuple[int, PlaneSource]) -> int:
        """Convert one plane and return its z."""
        z, source = item
        jpeg = source()
        self._check(jpeg, z)
        pixels = decode(jpeg, gray=True)
        self.projections.add(z, pixels)
        if self._geometry.channels == 3:
            del pixels  # hold one decoded plane at a time
            pixels = decode(jpeg)
        if self._keep_jpeg:
            self._path(0, z).write_bytes(jpeg)
            self._jpeg_levels(z, pixels)
        elif self._geometry.channels == 3:
            self._levels(z, [pixels[..., c] for c in range(3)])
        else:
            self._levels(z, [pixels])
        return z

    def _check(self, jpeg: bytes, z: int) -> None:
        g, facts = self._geometry, inspect(jpeg)
        if (facts.width_px, facts.height_px) != (g.width_px, g.height_px):
            raise CorruptError(
                f"plane {z} differs in size",
                why=f"{facts.width_px} x {facts.height_px} pixels, not "
                f"{g.width_px} x {g.height_px}",
            )
        if self._keep_jpeg and facts.components != g.channels:
            raise CorruptError(
                f"plane {z} has {facts.components} components",
                why=f"the stack has {g.channels}, and its JPEGs are stored unchanged",
            )

    def _path(self, level: int, z: int) -> Path:
        colour = "0/" if self._geometry.channels == 3 else ""
        path = self._root / str(level) / "c" / f"{colour}{z}" / "0" / "0"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _levels(self, z: int, channels: list[NDArray[np.uint8]]) -> None:
        """Write all levels of a plane, compressed, channel by channel."""
        g = self._geometry
        shards = []
        for level in range(len(g.levels)):
            rows, columns = g.grid(level)
            shards.append(Shard(self._path(level, z), g.channels * rows * columns))
        for index, channel in enumerate(channels):
            pixels = channel
            for level, shard in enumerate(shards):
                if level:
                    pixels = halve(pixels)
                self._compress(shard, level, index, pixels)
        for shard in shards:
            shard.close()

    def _compress(self, shard: Shard, level: int, channel: int, pixels: NDArray[np.uint8]) -> None:
        rows, columns = self._geometry.grid(level)
        compressor = self._compressor()
        for place, tile in enumerate(_tiles(pixels, self._geometry.chunk_px)):
            shard.add(channel * rows * columns + place, compressor.compress(tile.data))

    def _compressor(self) -> zstandard.ZstdCompressor:
        """Return the compressor of this thread: not thread-safe, and expensive to create."""
        import zstandard

        if not hasattr(self._own, "compressor"):
            self._own.compressor = zstandard.ZstdCompressor(level=self._level)
        found: zstandard.ZstdCompressor = self._own.compressor
        return found

    def _jpeg_levels(self, z: int, pixels: NDArray[np.uint8]) -> None:
        """Write the levels above the first as JPEG tiles."""
        import numpy as np
        import simplejpeg

        g = self._geometry
        gray = g.channels == 1
        channels = [pixels] if gray else [pixels[..., c] for c in range(3)]
        for level in range(1, len(g.levels)):
            channels = [halve(channel) for channel in channels]
            rows, columns = g.grid(level)
            whole = channels[0][..., None] if gray else np.stack(channels, axis=-1)
            with Shard(self._path(level, z), rows * columns) as shard:
                for place, tile in enumerate(_tiles(whole, g.chunk_px, fill="edge")):
                    shard.add(
                        place,
                        simplejpeg.encode_jpeg(
                            tile,
                            quality=_TILE_QUALITY,
                            colorspace="GRAY" if gray else "RGB",
                            colorsubsampling="Gray" if gray else "420",
                            fastdct=True,
                        ),
                    )


def _tiles(
    pixels: NDArray[np.uint8], side: int, fill: Literal["constant", "edge"] = "constant"
) -> Iterator[NDArray[np.uint8]]:
    """Iterate over the square tiles of a plane in C order; those at the edges are padded.

    With 0 by default; with the edge pixels for JPEG, where a hard edge would cause ringing.
    """
    import numpy as np

    height, width = pixels.shape[:2]
    for top in range(0, height, side):
        for left in range(0, width, side):
            tile = pixels[top : top + side, left : left + side]
            if tile.shape[:2] != (side, side):
                missing = [(0, side - tile.shape[0]), (0, side - tile.shape[1])]
                tile = np.pad(tile, missing + [(0, 0)] * (pixels.ndim - 2), mode=fill)
            yield np.ascontiguousarray(tile)


def _write_projections(
    root: Path, found: Mapping[str, NDArray[np.uint8]], geometry: Geometry, name: str
) -> None:
    _write_json(root / "projections", group_document({}))

    def write(label: str) -> None:
        _write_projection(root / "projections" / label, found[label], geometry, f"{name} {label}")

    for _ in ordered_map(write, found):
        pass


def _write_projection(
    folder: Path, image: NDArray[np.uint8], geometry: Geometry, name: str
) -> None:
    import zstandard

    axes = AXES[folder.name.partition("_")[2]]
    size_um = {"x": geometry.x_um, "y": geometry.y_um, "z": geometry.z_um}
    scale = [size_um[axis] for axis in axes]
    _write_json(folder, group_document(projection_attributes(name, axes, scale)))
    side = geometry.chunk_px
    _write_json(folder / "0", array_document(image.shape, (side, side), zstd_codecs(1), axes))
    columns = -(-image.shape[1] // side)
    compressor = zstandard.ZstdCompressor(level=1)
    for place, tile in enumerate(_tiles(image, side)):
        path = folder / "0" / "c" / str(place // columns) / str(place % columns)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(compressor.compress(tile.data))


def _write_json(folder: Path, document: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "zarr.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
