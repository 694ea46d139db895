"""Counting spikes in the bins of many windows, for one unit after another.

Most bins hold no spike, so that it is the spikes that are looked up, not the edges: time is
divided into cells that hold one edge, two where windows touch, and a spike's cell tells its bin,
or the two bins of which one begins right there. Windows that overlap are laid out in layers, in
each of which they do not. Where this does not fit (bins without width, windows many times over
each other, more spikes than edges) the edges are looked up among the spikes instead, which is
right for all.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["Windows", "in_order"]

_MOST_CELLS: Final = 1 << 21
_MOST_LAYERS: Final = 4
_MOST_IN_CELL: Final = 2
_SPARE_BINS: Final = 16
"""With this many bins, one more to each window is little memory."""
_NEAR_S: Final = 2.0
"""Windows this near are taken in one go: a search for each costs more than the spikes between."""
_SPIKES_PER_EDGE: Final = 4
"""With more spikes than this to an edge, edges among spikes are faster than spikes among edges."""


def in_order(times: Any) -> Array:
    """Return the times of a unit's spikes, ascending; they nearly always are."""
    import numpy as np

    found: Array = np.asarray(times, dtype="float64").ravel()
    # Written so that a NaN counts as out of order: sorting puts it at the end, past all edges.
    return found if bool((found[1:] >= found[:-1]).all()) else np.sort(found)


class Windows:
    """The bins of all windows: ``rows x (bins + 1)`` edges, ascending in each row.

    Parameters
    ----------
    domain_s
        Edges, one row for each window. Rows may overlap and come in any order.
    closed
        Whether a spike right on an edge is in the bin that ends there, too, as AllenSDK has it,
        and not only in the one that begins there.
    """

    def __init__(self, domain_s: Array, *, closed: bool = True) -> None:
        self._domain_s, self._closed = domain_s, closed
        self.rows, self.bins = domain_s.shape[0], domain_s.shape[1] - 1
        self._layers = _layers(domain_s)

    def counted(self, spikes_s: Sequence[Any], kind: np.dtype[Any], *, once: bool) -> Array:
        """Return counts, unit x row x bin.

        Parameters
        ----------
        spikes_s
            Spikes of each unit.
        kind
            Type of integers.
        once
            Whether a bin with several spikes counts one.

        Raises
        ------
        OverflowError
            If a bin holds more than fits; its argument is the count.
        """
        import numpy as np

        size = self.rows * (self.bins + 1) + 1
        direct = self.bins >= _SPARE_BINS and len(self._layers) == 1 and self._layers[0].in_order
        # With room for the layer's own layout, nothing has to be copied out of it.
        space = np.zeros((len(spikes_s) if direct else 1, size), dtype=kind)
        laid = space[:, 1:].reshape(len(space), self.rows, self.bins + 1)[:, :, :-1]
        found = laid if direct else np.zeros((len(spikes_s), self.rows, self.bins), dtype=kind)
        # Where so many spikes are near that a count may not fit, it is checked.
        most = _SPIKES_PER_EDGE * size
        most = most if once else min(most, int(np.iinfo(kind).max))
        for unit, times in enumerate(spikes_s):
            ordered_s = in_order(times)
            near = [layer.near(ordered_s) for layer in self._layers]
            if not near or sum(map(len, near)) > most:
                found[unit] = self._plain(ordered_s, kind, once)
            elif direct:
                self._layers[0].add(space[unit], near[0], once=once, closed=self._closed)
            else:
                for layer, times_s in zip(self._layers, near, strict=True):
                    part = layer.zeros(space[0])
                    layer.add(part, times_s, once=once, closed=self._closed)
                    found[unit, layer.rows] = layer.laid(part)
        return found

    def _plain(self, times_s: Array, kind: np.dtype[Any], once: bool) -> Array:
        import numpy as np

        found: Array = times_s.searchsorted(
            self._domain_s[:, 1:], "right" if self._closed else "left"
        )
        found -= times_s.searchsorted(self._domain_s[:, :-1], "left")
        if once:
            np.minimum(found, 1, out=found)
        most = int(found.max(initial=0))
        if most > np.iinfo(kind).max:
            raise OverflowError(most)
        return found


@dataclass(frozen=True, eq=False)
class _Layer:
    """Windows that do not overlap, in the order of time."""

    rows: Any
    """Which rows of the domain these are: a slice, or their numbers."""
    shape: tuple[int, int]
    """How many windows, and edges of each."""
    begins_s: Array
    """Where each run of windows begins, and where it ends."""
    ends_s: Array
    cells_per_s: float
    edges_s: Array
    """All edges, and one that is never reached."""
    before: Array
    """How many edges lie before each cell."""
    most: int
    """How many edges a cell has at most."""

    @property
    def in_order(self) -> bool:
        return isinstance(self.rows, slice)

    def near(self, times_s: Array) -> Array:
        """Return the spikes in and between windows that are near each other."""
        import numpy as np

        low = times_s.searchsorted(self.begins_s, "left")
        high = times_s.searchsorted(self.ends_s, "right")
        if len(low) == 1:
            return times_s[int(low[0]) : int(high[0])]
        sizes = high - low
        behind = np.cumsum(sizes)
        at = np.repeat(low - behind + sizes, sizes)
        at += np.arange(len(at))
        found: Array = times_s[at]
        return found

    def add(self, flat: Array, times_s: Array, *, once: bool, closed: bool) -> None:
        """Add spikes to zeros: one before all windows, then a bin more than each has.

        What lies between windows falls into the bin more.
        """
        import numpy as np

        cells = times_s - self.edges_s[0]
        cells *= self.cells_per_s
        at = self.before.take(cells.astype(np.intp))
        on_edge = np.zeros(len(at), dtype=bool) if closed else None
        for _ in range(self.most):
            edges_s = self.edges_s.take(at)
            at += times_s >= edges_s
            if on_edge is not None:
                on_edge |= times_s == edges_s
        one = flat.dtype.type(1)
        _count(flat, at, one, once=once)
        if on_edge is not None and on_edge.any():
            # Of where windows touch there are two edges at one time.
            last = at[on_edge]
            first = self.edges_s.searchsorted(times_s[on_edge], "left")
            for back in range(1, int((last - first).max()) + 1):
                _count(flat, (last - back)[last - back >= first], one, once=once)

    def zeros(self, flat: Array) -> Array:
        """Return room for this layer, in an array that is used again and again."""
        part = flat[: self.shape[0] * self.shape[1] + 1]
        part.fill(0)
        return part

    def laid(self, flat: Array) -> Array:
        """Return what was added, as ``rows x bins``."""
        return flat[1:].reshape(self.shape)[:, :-1]


def _count(flat: Array, at: Array, one: Any, *, once: bool) -> None:
    import numpy as np

    if once:
        flat[at] = one
    else:
        np.add.at(flat, at, one)


def _layers(domain_s: Array) -> list[_Layer]:
    """Return the windows in layers without overlap; none where that is not worth while."""
    import numpy as np

    if not domain_s.size:
        return []
    width_s = float(np.diff(domain_s, axis=1).min())
    if not width_s > 0:
        return []
    numbers = _apart(domain_s[:, 0], domain_s[:, -1])
    if numbers is None:
        return []
    found = [_layer(domain_s, rows) for rows in numbers]
    return [layer for layer in found if layer is not None] if all(found) else []


def _apart(first_s: Array, last_s: Array) -> list[Any] | None:
    """Return rows for each layer, in the order of time, or None for too many layers."""
    import numpy as np

    if bool((first_s[1:] >= last_s[:-1]).all()):
        return [slice(None)]
    free: list[tuple[float, int]] = []
    layers: list[list[int]] = []
    for row in np.argsort(first_s, kind="stable").tolist():
        if free and first_s[row] >= free[0][0]:
            layer = heapq.heappop(free)[1]
        elif len(layers) == _MOST_LAYERS:
            return None
        else:
            layer = len(layers)
            layers.append([])
        layers[layer].append(row)
        heapq.heappush(free, (float(last_s[row]), layer))
    return [np.array(rows, dtype=np.intp) for rows in layers]


def _layer(domain_s: Array, rows: Any) -> _Layer | None:
    """Return a layer with its cells, or None where they would be too many."""
    import numpy as np

    windows_s = domain_s[rows]
    edges_s = windows_s.ravel()
    first_s, last_s = float(edges_s[0]), float(edges_s[-1])
    # Narrower than any bin: a cell has one edge, or the end of a window and the next one's begin.
    cells_per_s = 1 / (float(np.diff(windows_s, axis=1).min()) * 0.999)
    if not (last_s - first_s) * cells_per_s < _MOST_CELLS:
        return None
    # The very steps that a spike's cell is computed with: each keeps order, rounded or not, so
    # that a spike behind an edge is never in a cell before it.
    cells = edges_s - first_s
    cells *= cells_per_s
    cell = cells.astype(np.intp)
    holds = np.bincount(cell)
    most = int(holds.max())
    if most > _MOST_IN_CELL:
        return None
    far = np.flatnonzero(windows_s[1:, 0] - windows_s[:-1, -1] > _NEAR_S)
    return _Layer(
        rows=rows,
        shape=(windows_s.shape[0], windows_s.shape[1]),
        begins_s=windows_s[np.concatenate([[0], far + 1]), 0],
        ends_s=windows_s[np.concatenate([far, [len(windows_s) - 1]]), -1],
        cells_per_s=cells_per_s,
        edges_s=np.append(edges_s, np.inf),
        before=np.cumsum(holds) - holds,
        most=most,
    )
