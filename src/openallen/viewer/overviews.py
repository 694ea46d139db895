"""Pictures of whole planes at a part of their size: kept on the disk, in memory, or made."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError, UsageError
from openallen.formats.overview import (
    encode_jpeg,
    overview_factor,
    read_overview,
    reduced,
    scaled_jpeg,
    write_overview,
)
from openallen.serving import GoneError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from openallen.visuals import StackVisual

__all__ = ["Overviews", "Wanted", "in_bytes", "small_picture", "window_of"]

_MOST_BYTES: Final = 24 << 20

Window = tuple[float, float] | None


@dataclass(frozen=True)
class Wanted:
    """One picture of a whole plane.

    Parameters
    ----------
    plane, key
        Index of the plane, and what names its bytes.
    factor
        How many times smaller it is.
    channel, window
        Channel, and the values that are shown black and white; None for bytes as they are.
    """

    plane: int
    key: str
    factor: int
    channel: int = 0
    window: Window = None


def window_of(visual: StackVisual, channel: int) -> Window:
    """Return the values of a channel that are shown black and white; None for bytes as they are."""
    return visual.channels[channel].window if visual.channels else None


def in_bytes(pixels: NDArray[Any], window: Window) -> NDArray[Any]:
    """Return pixels as uint8, black and white at the ends of a window.

    Parameters
    ----------
    pixels
        Any numbers.
    window
        None, or 0 to 255, for bytes as they are.
    """
    import numpy as np

    if pixels.dtype == np.uint8 and window in {None, (0.0, 255.0)}:
        return pixels
    low, high = window or (0.0, 255.0)
    with np.errstate(invalid="ignore", over="ignore"):
        shown = (pixels.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    shown = np.nan_to_num(np.clip(shown, 0, 255), nan=0.0, posinf=255.0, neginf=0.0)
    found: NDArray[Any] = np.rint(shown).astype(np.uint8)
    return found


class Overviews:
    """Overviews of all stacks of a server.

    Attributes
    ----------
    made : int
        How many were made, as they were neither on the disk nor in memory.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[object, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._making: dict[object, threading.Lock] = {}
        self.made = 0

    def jpeg(self, visual: StackVisual, wanted: Wanted, gone: Callable[[], bool] = bool) -> bytes:
        """Return the overview of a plane.

        Parameters
        ----------
        visual
            The stack.
        wanted
            The plane, and how it is shown.
        gone
            Returns whether nobody waits for it any more.

        Raises
        ------
        GoneError
            If nobody waits for it any more.
        OpenAllenError
            If the plane cannot be read.
        """
        name = (visual.overviews, visual.address, wanted)
        with self._lock:
            making = self._making.setdefault(name, threading.Lock())
        try:
            with making:
                found = self._remembered(name)
                if found is None:
                    found = self._found(visual, wanted, gone)
                    self._remember(name, found)
                return found
        finally:
            with self._lock:
                self._making.pop(name, None)

    def _found(self, visual: StackVisual, wanted: Wanted, gone: Callable[[], bool]) -> bytes:
        usual = overview_factor(visual.width_px, visual.height_px)
        plain = wanted.factor == usual and wanted.channel == 0 and wanted.window is None
        folder = visual.overviews if plain else None
        found = read_overview(folder, wanted.key)
        if found is not None:
            return found
        if gone():
            raise GoneError
        if visual.jpeg is not None and wanted.factor == 1 and wanted.window is None:
            return visual.jpeg(wanted.plane)  # small enough to be its own overview
        found = encode_jpeg(in_bytes(_pixels(visual, wanted), wanted.window))
        self.made += 1
        if folder is not None:
            with suppress(OSError):  # a store that cannot be written to: memory only
                write_overview(folder, wanted.key, found)
        return found

    def _remembered(self, name: object) -> bytes | None:
        with self._lock:
            if name not in self._kept:
                return None
            self._kept.move_to_end(name)
            return self._kept[name]

    def _remember(self, name: object, body: bytes) -> None:
        with self._lock:
            if name in self._kept:
                return
            self._kept[name] = body
            self._bytes += len(body)
            while self._bytes > _MOST_BYTES and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1])


def _pixels(visual: StackVisual, wanted: Wanted) -> NDArray[Any]:
    """Return a whole plane at a part of its size."""
    plane, factor = wanted.plane, wanted.factor
    level = factor.bit_length() - 1
    if visual.region is not None and (visual.jpeg is None or level > 0):
        height, width = -(-visual.height_px // factor), -(-visual.width_px // factor)
        return visual.region(plane, wanted.channel, level, (0, 0, height, width))
    if visual.jpeg is None:
        raise NotFoundError("no pixels", address=visual.address)
    return scaled_jpeg(visual.jpeg(plane), factor, gray=not visual.colour)


def small_picture(body: bytes, most_px: int) -> bytes:
    """Return a JPEG made so small that no side is longer.

    Parameters
    ----------
    body
        The JPEG.
    most_px
        Longest side.

    Raises
    ------
    UsageError
        If it would have no side at all.
    """
    if most_px < 1:
        raise UsageError("no size", why=str(most_px))
    from openallen.formats.jpeg import decode

    pixels = decode(body)
    factor = -(-max(pixels.shape[:2]) // most_px)
    return body if factor <= 1 else encode_jpeg(reduced(pixels, factor))
