"""Stacks of planes: small pictures of whole planes, tiles, projections, focus."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.display import count_text
from openallen.errors import NotFoundError, UsageError
from openallen.formats.overview import (
    AXES,
    FUNCTIONS,
    encode_jpeg,
    overview_factor,
    scaled_jpeg,
)
from openallen.serving import GoneError
from openallen.viewer.answers import Answer, Query, json_answer, no_such, whole
from openallen.viewer.depths import Depths
from openallen.viewer.overviews import Overviews, Wanted, Window, in_bytes, small_picture, window_of
from openallen.viewer.planes import PlanePool
from openallen.visuals import StackVisual

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["StackKind"]

_TILE_PX: Final = 512
_TILE_QUALITY: Final = 88
_WAIT_S: Final = 3.0
_SHOWN: Final = 6
_THUMB_PX: Final = 320
_MOST_VALUE: Final = 1e12
_MOST_PLANES: Final = 1 << 20


class StackKind:
    """Answers of stacks.

    Attributes
    ----------
    pool : PlanePool
        The planes that are decoded.
    overviews : Overviews
        The small pictures.
    """

    heavy = True

    def __init__(self) -> None:
        self.pool = PlanePool()
        self.overviews = Overviews()
        self._waiting = 0
        self._lock = threading.Lock()
        self._depths = Depths(self.overviews, lambda: self._waiting > 0)

    def weight(self, path: str) -> str:
        """Return what an answer costs: ``light``, ``heavy`` for decoding, ``slow`` for waiting."""
        if path == "meta.json":
            return "light"
        return "slow" if path == "focus.json" or path.startswith("projection/") else "heavy"

    def answer(
        self, visual: StackVisual, path: str, query: Query, gone: Callable[[], bool]
    ) -> Answer:
        """Return what the view asks for; see `openallen.viewer.kinds.Kind.answer`.

        ``meta.json``, ``focus.json``, ``over/S/C/KEY.jpg``, ``tile/C/KEY/LEVEL/X_Y.jpg`` and
        ``projection/FUNCTION_AXES.jpg``.
        """
        if path == "meta.json":
            self._depths.start(visual)
            return json_answer(self._meta(visual))
        if path == "focus.json":
            focus = self._depths.focus(visual, _WAIT_S, gone)
            ready = self._depths.prepared(visual)
            return json_answer({"focus": [_short(v) for v in focus], "complete": ready})
        parts = path.removesuffix(".jpg").split("/")
        if not path.endswith(".jpg"):
            raise no_such(path)
        if parts[0] == "projection" and len(parts) == 2:
            return self._projection(visual, parts[1], query, gone)
        with self._counted():
            if parts[0] == "over" and len(parts) == 4:
                return self._over(visual, parts[1:], query, gone)
            if parts[0] == "tile" and len(parts) == 5:
                return self._tile(visual, parts[1:], query, gone)
        raise no_such(path)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Let who prepares overviews see that somebody waits."""
        with self._lock:
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    # --- whole planes -----------------------------------------------------------------------------

    def _over(
        self, visual: StackVisual, parts: list[str], query: Query, gone: Callable[[], bool]
    ) -> Answer:
        factor = whole("scale", parts[0], 1, 1 << 20)
        if factor not in _overviews(visual):
            raise no_such(f"over/{factor}")
        channel = _channel(visual, parts[1])
        plane = _position(visual, parts[2])
        self._depths.look(visual, plane)
        window = _window(visual, channel, query)
        wanted = Wanted(plane, parts[2], factor, channel, window)
        body = self.overviews.jpeg(visual, wanted, gone)
        return Answer(body=body, media="image/jpeg", immutable=True)

    # --- tiles ------------------------------------------------------------------------------------

    def _tile(
        self, visual: StackVisual, parts: list[str], query: Query, gone: Callable[[], bool]
    ) -> Answer:
        tile = _Tile.of(visual, parts)
        self._depths.look(visual, tile.plane)
        window = _window(visual, tile.channel, query)
        if visual.stored is not None and window is None and tile.is_whole:
            stored = visual.stored(tile.plane, tile.level, *tile.place)
            if stored is not None:
                return Answer(body=stored, media="image/jpeg", immutable=True)
        if gone():
            self.pool.dropped += 1
            raise GoneError
        pixels = in_bytes(self._pixels(visual, tile, gone), window)
        body = encode_jpeg(pixels, _TILE_QUALITY)
        return Answer(body=body, media="image/jpeg", immutable=True)

    def _pixels(self, visual: StackVisual, tile: _Tile, gone: Callable[[], bool]) -> NDArray[Any]:
        read, gray = visual.jpeg, not visual.colour
        if visual.region is not None and (read is None or 0 < tile.level < visual.levels):
            return visual.region(tile.plane, tile.channel, tile.level, tile.box)
        if read is None:
            raise NotFoundError("no pixels", address=visual.address)
        size = (visual.width_px * visual.height_px * (1 if gray else 3)) >> (2 * tile.level)
        pixels = self.pool.plane(
            (visual.address, visual.overviews, tile.key),
            tile.level,
            size,
            lambda: scaled_jpeg(read(tile.plane), 2**tile.level, gray=gray),
            gone,
        )
        top, left, bottom, right = tile.box
        return pixels[top:bottom, left:right]

    # --- the stack from its sides -----------------------------------------------------------------

    def _projection(
        self, visual: StackVisual, name: str, query: Query, gone: Callable[[], bool]
    ) -> Answer:
        function, _, axes = name.partition("_")
        if function not in FUNCTIONS or axes not in AXES:
            raise no_such(f"projection/{name}")
        channel = _channel(visual, query.text("channel", "0"))
        least = query.whole("planes", 1, 0, _MOST_PLANES)
        found = self._depths.projection(
            visual, channel, function, axes, wait_s=_WAIT_S, gone=gone, least=least
        )
        if found is None:
            raise NotFoundError("no projection yet", address=visual.address)
        return Answer(body=encode_jpeg(found), media="image/jpeg")

    # --- pages ------------------------------------------------------------------------------------

    def _meta(self, visual: StackVisual) -> dict[str, Any]:
        planes = visual.planes()
        return {
            "kind": visual.kind,
            "title": visual.title,
            "address": visual.address,
            "simulated": visual.simulated,
            "width_px": visual.width_px,
            "height_px": visual.height_px,
            "pixel_um": visual.pixel_um,
            "planes": [{"label": p.label, "z_um": p.z_um, "key": p.key} for p in planes],
            "z_label": visual.z_label,
            "levels": _levels(visual),
            "tile_px": _TILE_PX,
            "overviews": _overviews(visual),
            "colour": visual.colour,
            "channels": [{"name": c.name, "window": c.window} for c in visual.channels],
            "cell": visual.cell,
            "complete": not visual.coming(),
        }

    def fallback(self, visual: StackVisual, base: str) -> dict[str, Any]:
        """Return some planes as pictures, and the projections where there are several planes."""
        del base
        here = [plane for plane in visual.planes() if plane.key]
        scale = _overviews(visual)[0]
        count = min(_SHOWN, len(here))
        some = [here[n * len(here) // count] for n in range(count)]
        pictures = [(f"over/{scale}/0/{plane.key}.jpg", plane.label) for plane in some]
        if len(here) > 1 and not visual.far:
            function = "max" if visual.channels else "min"
            pictures += [
                (f"projection/{function}_{axes}.jpg", f"{function} projection, {axes}")
                for axes in AXES
            ]
        text = f"{count_text(len(here), 'plane')} of {visual.width_px:,} x {visual.height_px:,} px"
        return {"pictures": pictures, "text": text}

    def thumbnail(self, visual: StackVisual) -> Answer | None:
        """Return the plane in the middle, small; None where it would come over a network."""
        here = [(n, plane.key) for n, plane in enumerate(visual.planes()) if plane.key]
        if not here or visual.far:
            return None
        n, key = here[len(here) // 2]
        wanted = Wanted(n, str(key), _overviews(visual)[0], window=window_of(visual, 0))
        body = self.overviews.jpeg(visual, wanted)
        return Answer(body=small_picture(body, _THUMB_PX), media="image/jpeg")


@dataclass(frozen=True)
class _Tile:
    """One tile: of a plane, a channel and a level, by its column and row."""

    plane: int
    key: str
    channel: int
    level: int
    place: tuple[int, int]
    box: tuple[int, int, int, int]

    @classmethod
    def of(cls, visual: StackVisual, parts: list[str]) -> _Tile:
        """Return the tile that a path names: ``C/KEY/LEVEL/X_Y``.

        Raises
        ------
        UsageError
            If it lies outside the plane.
        NotFoundError
            If there is no such plane.
        """
        channel = _channel(visual, parts[0])
        plane = _position(visual, parts[1])
        level = whole("level", parts[2], 0, _levels(visual) - 1)
        height, width = (-(-size // 2**level) for size in (visual.height_px, visual.width_px))
        column, _, row = parts[3].partition("_")
        x = whole("column", column, 0, (width - 1) // _TILE_PX)
        y = whole("row", row, 0, (height - 1) // _TILE_PX)
        top, left = y * _TILE_PX, x * _TILE_PX
        box = (top, left, min(height, top + _TILE_PX), min(width, left + _TILE_PX))
        return cls(plane, parts[1], channel, level, (x, y), box)

    @property
    def is_whole(self) -> bool:
        """Whether it is not cut by the edge of the plane."""
        top, left, bottom, right = self.box
        return (bottom - top, right - left) == (_TILE_PX, _TILE_PX)


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _levels(visual: StackVisual) -> int:
    """Return how many levels there are: of the last, a plane fits into one tile."""
    longest = max(visual.width_px, visual.height_px)
    return 1 + max(0, -(-longest // _TILE_PX) - 1).bit_length()


def _overviews(visual: StackVisual) -> list[int]:
    """Return how many times smaller overviews are, the coarsest first."""
    factor = overview_factor(visual.width_px, visual.height_px)
    return [factor, factor // 2] if factor >= 4 else [factor]


def _channel(visual: StackVisual, text: str) -> int:
    return whole("channel", text, 0, max(0, len(visual.channels) - 1))


def _window(visual: StackVisual, channel: int, query: Query) -> Window:
    """Return the window that is asked for, else that of the channel."""
    usual = window_of(visual, channel)
    if usual is None or not ({"lo", "hi"} & set(query.values)):
        return usual
    low, high = query.number("lo", usual[0]), query.number("hi", usual[1])
    if not -_MOST_VALUE <= low < high <= _MOST_VALUE:
        raise UsageError("not a window of values", why=f"{low:g} to {high:g}")
    return low, high


def _position(visual: StackVisual, key: str) -> int:
    for n, plane in enumerate(visual.planes()):
        if plane.key == key:
            return n
    raise NotFoundError("no such plane", address=key[:80])
