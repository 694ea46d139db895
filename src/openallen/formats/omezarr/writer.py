"""Write a stack of JPEG planes as OME-Zarr in one pass: decode, projections, pyramid, shards.

Every core decodes and writes planes of its own. Where memory allows fewer planes at a time than
there are cores, the other cores take rows of tiles of these planes. Memory use does not depend on
the number of planes, nor do the bytes written depend on the number of threads.

What keeps many threads from working side by side is the interpreter lock: it is hardly held, but
each step of numpy, zstd or the disk lets go of it and waits for it again. So steps are few and
large, and memory is kept, not asked for at each plane.

The store is written as ``NAME.part`` and renamed when it is complete: a store with its final name
is always complete.
"""

from __future__ import annotations

import functools
import json
import math
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, MissingExtraError, RefusedError, UsageError
from openallen.formats.jpeg import decode_into, inspect
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
from openallen.formats.omezarr.pyramid import Halver
from openallen.formats.omezarr.shards import Shard
from openallen.formats.omezarr.tiles import Fill, cut_row
from openallen.formats.overview import luminance
from openallen.formats.parallel import Helpers, cores, ordered_map

if TYPE_CHECKING:
    import numpy as np
    import zstandard
    from numpy.typing import NDArray

__all__ = ["Converted", "PlaneSource", "fitting_threads", "write_stack"]

PlaneSource = Callable[[], "bytes | NDArray[np.uint8]"]
"""Returns the JPEG of a plane, or its pixels, (y, x, 3); called once, from a worker thread."""

_TILE_QUALITY: Final = 85
_MEMORY_BYTES: Final = 900_000_000
# Bytes per pixel of a plane: of the projections, for any number of threads, and of each plane under
# way (measured: 1.4 gray, 4.1 colour).
_SHARED_BYTES: Final = 8
_PLANE_BYTES: Final = {1: 1.5, 3: 4.5}
_HELPER_BYTES: Final = 6_000_000
_HELPERS_SHARE: Final = 0.25  # of the memory left, so that helpers do not take too many planes'
# Planes under way or done and not yet told, for each thread: while one takes long, others go on.
_AHEAD: Final = 4


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
    client: Any = None,
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
        Number of threads, each with a plane of its own; by default one for each core, with as
        many planes under way as `fitting_threads` says.
    done
        Called with the z of each finished plane, in order; with a client as they are finished.
    client
        A client of a cluster, as `openallen.cluster.connect` yields it, whose workers convert the
        planes: they must see the folder of the store, and what the planes are read from. The bytes
        are the same.

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
    # Who says how many threads gets no more.
    fitting, helping = (workers, 0) if workers else fitting_threads(geometry)
    helpers = Helpers(helping)
    work = Writer(
        draft, geometry, helpers, keep_jpeg=keep_jpeg, compression_level=compression_level
    )
    finished = False
    try:
        work.prepare()
        sources = [(z, source) for z, source in enumerate(planes) if source is not None]
        if client is None:
            for z in ordered_map(work.plane, sources, workers=fitting, ahead=_AHEAD * fitting):
                done(z)
        else:
            from openallen.formats.omezarr.spread import convert_on

            make = functools.partial(
                Writer, geometry=geometry, keep_jpeg=keep_jpeg, compression_level=compression_level
            )
            convert_on(client, make, work, sources, done)
        missing = [z for z, source in enumerate(planes) if source is None]
        extra = {**(attributes or {}), **({"missing_planes": missing} if missing else {})}
        found = work.finish(name, extra)
        _put_in_place(draft, to)
        finished = True
    finally:
        helpers.close()
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


def fitting_threads(geometry: Geometry) -> tuple[int, int]:
    """Return how many threads convert planes, and how many help them, within 1 GB of memory.

    A thread for each core, each with a plane of its own, where these fit; else as many as do while
    the others take rows of tiles, for which they need less memory.
    """
    g, threads = geometry, cores()
    pixels = g.width_px * g.height_px
    left = _MEMORY_BYTES - pixels * _SHARED_BYTES
    plane = pixels * _PLANE_BYTES[g.channels]
    if threads * plane <= left:
        return threads, 0
    row = g.width_px * min(g.chunk_px, g.height_px) * (1 if g.channels == 1 else 1.5)
    helper = _HELPER_BYTES + 2 * row  # a row of tiles, and one that is encoded
    helpers = max(0, min(threads, int(_HELPERS_SHARE * left / helper)))
    return max(1, min(threads, int((left - helpers * helper) / plane))), helpers


class Writer:
    """Converts planes to files below a root; shared by threads."""

    def __init__(
        self,
        root: Path,
        geometry: Geometry,
        helpers: Helpers | None = None,
        *,
        keep_jpeg: bool,
        compression_level: int,
    ) -> None:
        if find_spec("zstandard") is None or find_spec("simplejpeg") is None:
            raise MissingExtraError("images", "writing OME-Zarr")
        self.root = self._root = root
        self._geometry = geometry
        self._keep_jpeg = keep_jpeg
        self._level = compression_level
        self._helpers = helpers = helpers or Helpers(0)
        self._halver = Halver(helpers)
        self._own = _Own()
        self.projections = Projections(
            geometry.planes, geometry.height_px, geometry.width_px, helpers=helpers
        )

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
        self.folders()

    def folders(self) -> None:
        """Make the folders of the levels."""
        for level in range(len(self._geometry.levels)):
            self._folder(level).mkdir(parents=True)

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
        g = self._geometry
        if not isinstance(jpeg, bytes):
            self._levels(z, self._channels(jpeg, z))
            return z
        self._check(jpeg, z)
        memory = self._own.memory("plane", (g.height_px * g.width_px * g.channels,))
        pixels = decode_into(jpeg, memory, gray=True)
        self.projections.add(z, pixels)
        channels = [pixels]
        if g.channels == 3:
            pixels = decode_into(jpeg, memory, gray=False)  # in place of the luminance
            channels = [pixels[..., c] for c in range(3)]
        if self._keep_jpeg:
            self._path(0, z).write_bytes(jpeg)
            self._jpeg_levels(z, channels)
        else:
            self._levels(z, channels)
        return z

    def _channels(self, pixels: NDArray[np.uint8], z: int) -> list[NDArray[np.uint8]]:
        """Return the channels of a plane that comes as pixels."""
        import numpy as np

        g = self._geometry
        if pixels.shape != (g.height_px, g.width_px, 3) or self._keep_jpeg:
            raise CorruptError(f"plane {z} differs in size", why=f"it has shape {pixels.shape}")
        gray = luminance(pixels)
        self.projections.add(z, gray)
        if g.channels == 1:
            return [gray]
        return [np.ascontiguousarray(pixels[..., c]) for c in range(3)]

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

    def _folder(self, level: int) -> Path:
        """Return the folder of the planes of a level."""
        return self._root / str(level) / "c" / ("0" if self._geometry.channels == 3 else "")

    def _path(self, level: int, z: int) -> Path:
        """Return the file of a plane, in a new folder."""
        plane = self._folder(level) / str(z)
        plane.mkdir()
        row = plane / "0"
        row.mkdir()
        return row / "0"

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
                    pixels = self._halved(pixels, level, 0)
                rows, columns = g.grid(level)
                self._tile(shard, index * rows * columns, [pixels], self._compressed)
        for shard in shards:
            shard.close()

    def _jpeg_levels(self, z: int, channels: list[NDArray[np.uint8]]) -> None:
        """Write the levels above the first as JPEG tiles."""
        for level in range(1, len(self._geometry.levels)):
            channels = [self._halved(c, level, index) for index, c in enumerate(channels)]
            rows, columns = self._geometry.grid(level)
            with Shard(self._path(level, z), rows * columns) as shard:
                self._tile(shard, 0, channels, self._jpegs)

    def _halved(self, pixels: NDArray[np.uint8], level: int, index: int) -> NDArray[np.uint8]:
        """Return the next level of a plane, in memory of this thread, until its next plane."""
        half = self._own.memory(f"half {level} {index}", self._geometry.levels[level])
        self._halver.halve(pixels, half)
        return half

    def _tile(
        self,
        shard: Shard,
        first: int,
        channels: list[NDArray[np.uint8]],
        encode: Callable[[list[NDArray[np.uint8]], int], list[bytes]],
    ) -> None:
        """Write the tiles of a plane, row by row, from a place of the shard on."""
        height = channels[0].shape[0]
        tops = range(0, height, self._geometry.chunk_px)
        for row in self._helpers.map(lambda top: encode(channels, top), tops):
            shard.add(first, row)
            first += len(row)

    def _row(self, channels: list[NDArray[np.uint8]], top: int, fill: Fill) -> NDArray[np.uint8]:
        """Return the row of tiles that begins at a row of pixels, in memory of this thread."""
        side = self._geometry.chunk_px
        columns = -(-channels[0].shape[1] // side)
        tiles = self._own.memory("tiles", (columns, side, side, len(channels)))
        cut_row(channels, top, tiles, fill)
        return tiles

    def _compressed(self, channels: list[NDArray[np.uint8]], top: int) -> list[bytes]:
        compressor = self._own.compressor(self._level)
        return [compressor.compress(tile.data) for tile in self._row(channels, top, "zero")]

    def _jpegs(self, channels: list[NDArray[np.uint8]], top: int) -> list[bytes]:
        import simplejpeg

        gray = len(channels) == 1
        return [
            simplejpeg.encode_jpeg(
                tile,
                quality=_TILE_QUALITY,
                colorspace="GRAY" if gray else "RGB",
                colorsubsampling="Gray" if gray else "420",
                fastdct=True,
            )
            for tile in self._row(channels, top, "edge")
        ]


class _Own(threading.local):
    """What each thread keeps from plane to plane."""

    def __init__(self) -> None:
        self._held: dict[str, NDArray[np.uint8]] = {}
        self._compressor: zstandard.ZstdCompressor | None = None

    def memory(self, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return an array that has been handed out before, as large as any so far."""
        import numpy as np

        size, held = math.prod(shape), self._held.get(name)
        if held is None or held.size < size:
            held = self._held[name] = np.empty(size, np.uint8)
        return held[:size].reshape(shape)

    def compressor(self, level: int) -> zstandard.ZstdCompressor:
        """Return the compressor of this thread: not thread-safe, and expensive to create."""
        import zstandard

        if self._compressor is None:
            self._compressor = zstandard.ZstdCompressor(level=level)
        return self._compressor


def _write_projections(
    root: Path, found: Mapping[str, NDArray[np.uint8]], geometry: Geometry, name: str
) -> None:
    _write_json(root / "projections", group_document({}))

    rows = [
        (folder, image, top)
        for label, image in found.items()
        for folder in [root / "projections" / label]
        for top in range(0, len(image), geometry.chunk_px)
    ]
    for label in found:
        _describe_projection(root / "projections" / label, found[label], geometry, name)
    own = _Own()

    def write(row: tuple[Path, NDArray[np.uint8], int]) -> None:
        _write_projection_row(*row, geometry.chunk_px, own)

    for _ in ordered_map(write, rows):
        pass


def _describe_projection(
    folder: Path, image: NDArray[np.uint8], geometry: Geometry, name: str
) -> None:
    axes = AXES[folder.name.partition("_")[2]]
    size_um = {"x": geometry.x_um, "y": geometry.y_um, "z": geometry.z_um}
    scale = [size_um[axis] for axis in axes]
    attributes = projection_attributes(f"{name} {folder.name}", axes, scale)
    _write_json(folder, group_document(attributes))
    side = geometry.chunk_px
    _write_json(folder / "0", array_document(image.shape, (side, side), zstd_codecs(1), axes))


def _write_projection_row(
    folder: Path, image: NDArray[np.uint8], top: int, side: int, own: _Own
) -> None:
    to = folder / "0" / "c" / str(top // side)
    to.mkdir(parents=True, exist_ok=True)
    tiles = own.memory("tiles", (-(-image.shape[1] // side), side, side, 1))
    cut_row([image], top, tiles)
    for column, tile in enumerate(tiles):
        (to / str(column)).write_bytes(own.compressor(1).compress(tile.data))


def _write_json(folder: Path, document: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "zarr.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
