"""What an OME-Zarr image looks like: planes through it, in levels that each halve the one before.

Of other axes than z, y, x and channels the first is shown: of a time series the first point.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError, OpenAllenError, UsageError
from openallen.formats.chunks import decoding
from openallen.formats.objects import FolderObjects
from openallen.formats.omezarr.chunkwise import Chunkwise, chunkwise
from openallen.formats.thumbnails import gray_thumbnail
from openallen.visuals import Channel, PlaneKey, StackVisual, Visual

if TYPE_CHECKING:
    from numpy.typing import NDArray


__all__ = ["picture_of_image", "visuals_of_image"]

# Images are `OmeZarr`, whose module imports this one: named here, they would be a circle.

_MOST_VALUES: Final = 1 << 27
"""What is read for one answer: a store of a single level can be any size."""
_MOST_WINDOW: Final = 1 << 23
_MOST_PICTURE: Final = 1 << 21
_MOST_PLANES: Final = 100_000
_TILE_PX: Final = 512
_RGB: Final = ("red", "green", "blue")
_NEAR: Final = 1.02

Box = tuple[int, int, int, int]


def visuals_of_image(image: Any) -> tuple[Visual, ...]:
    """Return the view of an image; none where it has no planes.

    Parameters
    ----------
    image
        The image.
    """
    planes = _Planes.of(image)
    if planes is None:
        return ()
    own = image.attributes.get("openallen")
    notes = [f"first of {n} along {axis}" for axis, n in planes.other if n > 1]
    x, y = planes.scale("x"), planes.scale("y")
    return (
        StackVisual(
            name="image",
            title="Image" + (f" ({', '.join(notes)})" if notes else ""),
            address=_address(own, image.place),
            width_px=planes.size[1],
            height_px=planes.size[0],
            pixel_um=(x, y) if x > 0 and y > 0 else None,
            planes=planes.keys,
            jpeg=planes.jpeg if planes.kept else None,
            region=None if planes.kept and planes.colour else planes.region,
            stored=planes.stored,
            levels=planes.levels,
            colour=planes.colour,
            channels=planes.channels,
            simulated=isinstance(own, dict) and own.get("simulated") is True,
            far=not planes.here,
        ),
    )


def picture_of_image(image: Any) -> str:
    """Return the plane in the middle, small, as a ``data:`` URI.

    Parameters
    ----------
    image
        The image.

    Returns
    -------
    str
        Empty where it lies beyond a network, has no small level, or cannot be read.
    """
    try:
        planes = _Planes.of(image)
        if planes is None or not planes.here:
            return ""
        level = planes.levels - 1
        height, width = (-(-size // 2**level) for size in planes.size)
        if height * width > _MOST_PICTURE:
            return ""
        pixels = planes.region(planes.depth // 2, 0, level, (0, 0, height, width))
    except OpenAllenError:
        return ""
    return gray_thumbnail(pixels.mean(axis=2) if pixels.ndim == 3 else pixels)


def _address(own: Any, place: str) -> str:
    told = own.get("address") if isinstance(own, dict) else None
    return told if isinstance(told, str) else place.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class _Stored:
    """One level as it is stored."""

    path: str
    shape: tuple[int, ...]
    told: Mapping[str, Any]


class _Planes:
    """Planes of an image.

    Parameters
    ----------
    image
        The image.
    stored
        Its levels, largest first.
    """

    def __init__(self, image: Any, stored: Sequence[_Stored]) -> None:
        self._image = image
        self._stored = stored
        self._axes = image.axes
        self._lock = threading.Lock()
        self._arrays: dict[int, Any] = {}
        self._chunkwise: dict[int, Chunkwise | None] = {}
        shape = dict(zip(self._axes, stored[0].shape, strict=True))
        self.size = shape["y"], shape["x"]
        self.depth = min(shape.get("z", 1), _MOST_PLANES)
        self.other = [(a, n) for a, n in shape.items() if a not in {"z", "y", "x", "c"}]
        self._type = str(stored[0].told.get("data_type") or stored[0].told.get("dtype") or "")
        byte = self._type in {"uint8", "|u1", "u1"}
        count = shape.get("c", 1)
        names = [name.lower() for name in image.multiscale.channels]
        self.colour = byte and count == 3 and names == list(_RGB)
        self.kept = _is_kept(stored[0].told, self._axes)
        place = image._hierarchy._objects  # noqa: SLF001 - of the same package
        self.here = isinstance(place, FolderObjects)
        self._mark = _mark(image, stored[0], place)
        self.levels = self._count()
        # As long as nobody asks, a single channel of bytes is shown as it is.
        plain = self.colour or (byte and count == 1)
        self.channels = () if plain else tuple(self._channel(n, byte) for n in range(count))

    @classmethod
    def of(cls, image: Any) -> _Planes | None:
        """Return the planes of an image; None where it has no y and x."""
        if not {"y", "x"} <= set(image.axes):
            return None
        stored = []
        for level in image.multiscale.levels:
            told = image._hierarchy.described(level.path) or {}  # noqa: SLF001
            stored.append(_Stored(level.path, image._shape(level.path), told))  # noqa: SLF001
        return cls(image, stored) if min(stored[0].shape) > 0 else None

    def scale(self, axis: str) -> float:
        """Return the size of a pixel in µm; 0 where there is no such axis."""
        known: dict[str, float] = dict(zip(self._axes, self._image.scales_um[0], strict=True))
        return known.get(axis, 0.0)

    def keys(self) -> Sequence[PlaneKey]:
        """Return the planes."""
        step, first = self.scale("z"), 0.0
        if "z" in self._axes:
            first = self._image.origins_um[0][self._axes.index("z")]
        deep = "z" in self._axes
        return [
            PlaneKey(
                label=f"plane {z}" if deep else "image",
                z_um=first + z * step if deep else None,
                key=f"{z}-{self._mark}",
            )
            for z in range(self.depth)
        ]

    def _count(self) -> int:
        """Return how many levels are stored, each half the one before: 3 where one is an eighth."""
        last = max(self._factor(n) for n in range(len(self._stored)))
        return 1 + max(0, round(math.log2(last)))

    def _factor(self, n: int) -> float:
        """Return how many times smaller a stored level is, along the axis where it is least so."""
        (y0, x0), (y, x) = self.size, self._yx(n)
        return min(y0 / y, x0 / x) if min(y, x) > 0 else 1.0

    def _yx(self, n: int) -> tuple[int, int]:
        shape = dict(zip(self._axes, self._stored[n].shape, strict=True))
        return shape["y"], shape["x"]

    def _best(self, level: int) -> int:
        """Return the smallest stored level that is large enough."""
        fine = [n for n in range(len(self._stored)) if self._factor(n) <= 2**level * _NEAR]
        return max(fine, key=self._factor)

    # --- pixels -----------------------------------------------------------------------------------

    def region(self, plane: int, channel: int, level: int, box: Box) -> NDArray[Any]:
        """Return pixels, as `openallen.visuals.StackVisual` has them."""
        import numpy as np

        if not 0 <= plane < self.depth:
            raise NotFoundError(f"no plane {plane}", address=self._image.place)
        if self.colour:
            parts = [self._pixels(plane, c, level, box) for c in range(3)]
            return np.stack(parts, axis=-1)
        return self._pixels(plane, channel, level, box)

    def _pixels(self, plane: int, channel: int, level: int, box: Box) -> NDArray[Any]:
        n = self._best(level)
        whole = tuple(-(-size // 2**level) for size in self.size)
        spans = []
        for low, high, size, has in zip(box[:2], box[2:], whole, self._yx(n), strict=True):
            # As many stored pixels for each one that is wanted, or about as many.
            step = max(1, round(has / size))
            if abs(has / size - step) * size > step + 1:
                spans.append((int(low * has / size), min(has, -(-high * has // size)), 0))
            else:
                spans.append((min(low * step, has - 1), min(high * step, has), step))
        rows, columns = spans
        values = (rows[1] - rows[0]) * (columns[1] - columns[0])
        if values > _MOST_VALUES:
            raise UsageError(
                "too large to be shown whole",
                address=self._image.place,
                why=f"{values:,} pixels; it has no smaller levels",
            )
        found = self._read(n, plane, channel, (rows[0], columns[0], rows[1], columns[1]))
        return _fitted(found, (box[2] - box[0], box[3] - box[1]), (rows[2], columns[2]))

    def _read(self, n: int, plane: int, channel: int, box: Box) -> NDArray[Any]:
        stored = self._stored[n]
        shape = dict(zip(self._axes, stored.shape, strict=True))
        at = {"z": min(shape.get("z", 1) - 1, plane * shape.get("z", 1) // self.depth)}
        at["c"] = min(channel, shape.get("c", 1) - 1)
        spans = {"y": slice(box[0], box[2]), "x": slice(box[1], box[3])}
        slices = [
            spans.get(axis) or slice(at.get(axis, 0), at.get(axis, 0) + 1) for axis in self._axes
        ]
        reader = self._by_chunk(n)
        where = f"{self._image.place}/{stored.path}"
        with decoding("a chunk of this image is damaged", where):
            found = reader.read(slices) if reader else self._array(n)[tuple(slices)]
        self._image._must_hold(stored.path)  # noqa: SLF001
        # Of other axes there is one value each.
        sides = [n for a, n in zip(self._axes, found.shape, strict=True) if a in spans]
        flat: NDArray[Any] = found.reshape(sides)
        return flat if self._axes.index("y") < self._axes.index("x") else flat.T

    def _array(self, n: int) -> Any:
        with self._lock:
            if n not in self._arrays:
                self._arrays[n] = self._image._array(self._stored[n].path)  # noqa: SLF001
            return self._arrays[n]

    def _by_chunk(self, n: int) -> Chunkwise | None:
        with self._lock:
            if n not in self._chunkwise:
                stored, chunks = self._stored[n], self._image._hierarchy.chunks  # noqa: SLF001
                self._chunkwise[n] = chunkwise(chunks, stored.path, stored.told)
            return self._chunkwise[n]

    def jpeg(self, plane: int) -> bytes:
        """Return a plane that is stored as one JPEG.

        Raises
        ------
        NotFoundError
            If it is not there.
        """
        at = [plane if axis == "z" else 0 for axis in self._axes]
        key = f"{self._stored[0].path}/c/{'/'.join(map(str, at))}"
        body: bytes | None = self._image._hierarchy.chunks.read(key)  # noqa: SLF001
        if body is None:
            raise NotFoundError("a plane is missing", address=self._image.place, why=key)
        return body

    def stored(self, plane: int, level: int, column: int, row: int) -> bytes | None:
        """Return a tile as it is stored, where that is a JPEG of 512 pixels a side."""
        n = self._best(level)
        if self._axes != ("z", "y", "x") or abs(self._factor(n) / 2**level - 1) > _NEAR - 1:
            return None
        reader = self._by_chunk(n)
        if reader is None or not reader.is_jpeg or reader.chunk_shape != (1, _TILE_PX, _TILE_PX):
            return None
        return reader.stored((plane, row, column))

    # --- what is known of it ----------------------------------------------------------------------

    def _channel(self, n: int, byte: bool) -> Channel:
        names = self._image.multiscale.channels
        name = names[n] if n < len(names) and names[n] else f"channel {n}"
        told = _told_window(self._image.attributes, n)
        return Channel(name=name, window=told or ((0.0, 255.0) if byte else self._window(n)))

    def _window(self, channel: int) -> tuple[float, float]:
        """Return the range of most values in the middle of the smallest level."""
        import numpy as np

        n = max(range(len(self._stored)), key=self._factor)
        height, width = self._yx(n)
        with suppress(OpenAllenError):
            if height * width <= _MOST_WINDOW:
                found = self._read(n, self.depth // 2, channel, (0, 0, height, width))
                known = found[np.isfinite(found)] if found.dtype.kind == "f" else found
                if known.size:
                    low, high = (float(v) for v in np.percentile(known, (1, 99.8)))
                    if high > low:
                        return low, high
        kind = self._array(n).dtype
        return (0.0, float(np.iinfo(kind).max)) if kind.kind in "ui" else (0.0, 1.0)


def _fitted(found: NDArray[Any], size: tuple[int, int], steps: tuple[int, int]) -> NDArray[Any]:
    """Return pixels at the size that is wanted: means of whole steps, else the nearest ones."""
    import numpy as np

    if 0 in steps:
        rows, columns = (
            np.minimum((np.arange(n) + 0.5) * has / n, has - 1).astype(int)
            for n, has in zip(size, found.shape, strict=True)
        )
        nearest: NDArray[Any] = found[np.ix_(rows, columns)]
        return nearest
    wanted: list[int] = [n * step for n, step in zip(size, steps, strict=True)]
    more = [(0, max(0, n - has)) for n, has in zip(wanted, found.shape, strict=True)]
    if any(pad for _, pad in more):
        found = np.pad(found, more, mode="edge")
    found = found[: wanted[0], : wanted[1]]
    if steps == (1, 1):
        return found
    means = found.reshape(size[0], steps[0], size[1], steps[1]).mean(axis=(1, 3))
    if found.dtype.kind in "ui":
        means = np.rint(means).astype(found.dtype)
    made: NDArray[Any] = means
    return made


def _told_window(attributes: Mapping[str, Any], n: int) -> tuple[float, float] | None:
    ome = attributes.get("ome")
    meta = ome if isinstance(ome, dict) else attributes
    try:
        window = meta["omero"]["channels"][n]["window"]
        low, high = float(window["start"]), float(window["end"])
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None


def _is_kept(told: Mapping[str, Any], axes: Sequence[str]) -> bool:
    """Return whether each plane of a level is stored as one JPEG."""
    try:
        names = [codec["name"] for codec in told["codecs"]]
        chunk = told["chunk_grid"]["configuration"]["chunk_shape"]
        shape = told["shape"]
        separator = told["chunk_key_encoding"].get("configuration", {}).get("separator", "/")
    except (KeyError, TypeError, AttributeError):
        return False
    plane = list(chunk[-2:]) == list(shape[-2:]) and set(axes) <= {"c", "z", "y", "x"}
    flat = all(c == 1 for a, c in zip(axes, chunk, strict=False) if a == "z")
    return names[-1:] == ["jpeg"] and plane and flat and separator == "/"


def _mark(image: Any, first: _Stored, place: Any) -> str:
    """Return what changes when the image is written anew."""
    told: list[Any] = [image.attributes, first.told]
    if isinstance(place, FolderObjects):
        told += [place.stat(name) for name in ("zarr.json", ".zattrs", f"{first.path}/zarr.json")]
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
