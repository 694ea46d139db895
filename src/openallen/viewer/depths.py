"""Focus and projections of stacks, computed from overviews while somebody looks at the stack.

A thread makes the overviews that are missing, of the plane that was looked at last first. It ends
when none is missing, and gives way to whoever waits for a picture.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from openallen.errors import OpenAllenError
from openallen.formats.overview import Sides, overview_factor, scaled_jpeg
from openallen.viewer.overviews import Overviews, Wanted, window_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from openallen.visuals import PlaneKey, StackVisual

__all__ = ["Depths"]

_STACKS: Final = 3
_LOOK_S: Final = 0.05
_GIVE_WAY_S: Final = 1.0


class _Depth:
    """Focus and projections of one channel of one stack."""

    def __init__(self, visual: StackVisual, channel: int) -> None:
        self.visual = visual
        self.channel = channel
        self.factor = overview_factor(visual.width_px, visual.height_px)
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.added: dict[int, str] = {}
        self.broken: set[str] = set()
        self.sides: Sides | None = None
        self.looked = 0
        self.working = False

    def missing(self) -> list[tuple[int, PlaneKey]]:
        """Return planes that are here and were not added, nearest to the one looked at first."""
        planes = list(enumerate(self.visual.planes()))
        with self.lock:
            if self.sides is None or len(self.sides.focus) != len(planes) or self._replaced(planes):
                self._begin(len(planes))
            rest = [
                (n, plane)
                for n, plane in planes
                if plane.key and n not in self.added and plane.key not in self.broken
            ]
            return sorted(rest, key=lambda item: abs(item[0] - self.looked))

    def _replaced(self, planes: list[tuple[int, PlaneKey]]) -> bool:
        """Return whether a plane that was added has other bytes now, or is gone."""
        return any(n in self.added and self.added[n] != plane.key for n, plane in planes)

    def _begin(self, planes: int) -> None:
        height, width = (
            -(-size // self.factor) for size in (self.visual.height_px, self.visual.width_px)
        )
        self.sides = Sides(planes, height, width, colour=self.visual.colour)
        self.added, self.broken = {}, set()

    def add(self, n: int, key: str, pixels: NDArray[np.uint8] | None) -> None:
        """Add a plane; without pixels, one that cannot be read."""
        with self.lock:
            try:
                if self.sides is None or pixels is None:
                    raise OpenAllenError("nothing to add")
                self.sides.add(n, pixels)
                self.added[n] = key
            except OpenAllenError:  # said where it is looked at
                self.broken.add(key)
            self.changed.notify_all()


class Depths:
    """Focus and projections of the stacks looked at last.

    Parameters
    ----------
    overviews
        The overviews of the server.
    busy
        Returns whether somebody waits for a picture.
    """

    def __init__(self, overviews: Overviews, busy: Callable[[], bool]) -> None:
        self._overviews = overviews
        self._busy = busy
        self._known: OrderedDict[tuple[StackVisual, int], _Depth] = OrderedDict()
        self._lock = threading.Lock()

    def look(self, visual: StackVisual, plane: int) -> None:
        """Know which plane is looked at; its neighbours are prepared next."""
        for channel in range(max(1, len(visual.channels))):
            with self._lock:
                depth = self._known.get((visual, channel))
            if depth is not None:
                depth.looked = plane

    def start(self, visual: StackVisual, channel: int = 0) -> None:
        """Begin to prepare a stack; one that lies beyond a network is not."""
        if not visual.far and len(visual.planes()) > 0:
            self._working(self._depth(visual, channel))

    def focus(
        self, visual: StackVisual, wait_s: float, gone: Callable[[], bool]
    ) -> list[float | None]:
        """Return the focus of each plane; None for those of which it is not known yet.

        Parameters
        ----------
        visual
            The stack.
        wait_s
            How long to wait for planes that are being prepared.
        gone
            Returns whether nobody waits any more.
        """
        if visual.far:
            return [None] * len(visual.planes())
        depth = self._ready(visual, 0, wait_s, gone)
        with depth.lock:
            return list(depth.sides.focus) if depth.sides else []

    def projection(
        self,
        visual: StackVisual,
        channel: int,
        function: str,
        axes: str,
        *,
        wait_s: float,
        gone: Callable[[], bool],
        least: int = 1,
    ) -> NDArray[np.uint8] | None:
        """Return a projection of the planes that are prepared; None where there is none yet.

        Parameters
        ----------
        visual, channel
            The stack, and the channel.
        function, axes
            As `openallen.formats.overview.Sides.projection` has them.
        wait_s, gone
            As for `focus`.
        least
            How many planes the caller knows to be prepared: a stack that was opened anew begins
            again, and a projection of fewer planes is none, unless there are no more.
        """
        if visual.far:
            return None
        depth = self._ready(visual, channel, wait_s, gone)
        whole = not depth.missing()
        with depth.lock:
            if not depth.sides or not depth.added or (len(depth.added) < least and not whole):
                return None
            return depth.sides.projection(function, axes)

    def prepared(self, visual: StackVisual) -> bool:
        """Return whether nothing is left to prepare of a stack."""
        return visual.far or not self._depth(visual, 0).missing()

    def _depth(self, visual: StackVisual, channel: int) -> _Depth:
        with self._lock:
            depth = self._known.setdefault((visual, channel), _Depth(visual, channel))
            self._known.move_to_end((visual, channel))
            while len(self._known) > _STACKS:
                self._known.popitem(last=False)
            return depth

    def _ready(
        self, visual: StackVisual, channel: int, wait_s: float, gone: Callable[[], bool]
    ) -> _Depth:
        depth = self._depth(visual, channel)
        until = time.monotonic() + wait_s
        self._working(depth)
        while not gone() and time.monotonic() < until and depth.missing():
            with depth.lock:
                depth.changed.wait(_LOOK_S)
        return depth

    def _working(self, depth: _Depth) -> None:
        if not depth.missing():
            return
        with depth.lock:
            if depth.working:
                return
            depth.working = True
        name = "overviews"
        threading.Thread(target=self._work, args=(depth,), name=name, daemon=True).start()

    def _work(self, depth: _Depth) -> None:
        try:
            while self._is_known(depth) and (rest := depth.missing()):
                self._give_way()
                n, plane = rest[0]
                depth.add(n, str(plane.key), self._pixels(depth, n, str(plane.key)))
        finally:
            with depth.lock:
                depth.working = False
                depth.changed.notify_all()

    def _is_known(self, depth: _Depth) -> bool:
        with self._lock:
            return self._known.get((depth.visual, depth.channel)) is depth

    def _give_way(self) -> None:
        until = time.monotonic() + _GIVE_WAY_S
        while self._busy() and time.monotonic() < until:
            time.sleep(_LOOK_S / 5)

    def _pixels(self, depth: _Depth, n: int, key: str) -> NDArray[np.uint8] | None:
        window = window_of(depth.visual, depth.channel)
        try:
            wanted = Wanted(n, key, depth.factor, depth.channel, window)
            body = self._overviews.jpeg(depth.visual, wanted)
            return scaled_jpeg(body, 1, gray=not depth.visual.colour)
        except OpenAllenError:
            return None
