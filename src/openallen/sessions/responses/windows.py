"""Counting spikes in the bins of many windows, for one unit after another.

Most bins hold no spike, so that it is the spikes that are looked up, not the edges: time is
divided into cells that hold one edge at most, and a spike's cell tells its bin, or the two bins
of which one begins right there. Windows that overlap are laid out in layers, in each of which they
do not. Where this does not fit (bins without width, windows many times over each other, more
spikes than edges) the edges are looked up among the spikes instead, which is right for all.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["Windows", "in_order"]

_MOST_CELLS: Final = 1 << 21
_MOST_LAYERS: Final = 4
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
    """

    def __init__(self, domain_s: Array) -> None:
        self._domain_s = domain_s
        self.rows, self.bins = domain_s.shape[0], domain_s.shape[1] - 1
        self._layers = _layers(domain_s)

    def count_into(self, target: Array, times_s: Array, *, once: bool) -> None:
        """Count one unit's spikes into ``rows x bins``; a spike on an edge is in both bins.

        Parameters
        ----------
        target
            Where to: an array of integers, which must be able to hold the largest count.
        times_s
            Spikes, ascending.
        once
            Whether a bin with several spikes counts one.
        """
        taken = [layer.near(times_s) for layer in self._layers]
        edges = self._domain_s.size
        if not taken or sum(map(len, taken)) > _SPIKES_PER_EDGE * edges:
            found = self._plain(times_s)
            target[...] = found > 0 if once else found
            return
        for layer, near in zip(self._layers, taken, strict=True):
            target[layer.rows] = layer.counted(near, target.dtype, once)

    def most(self, times_s: Array) -> int:
        """Return the largest count of any bin."""
        return int(self._plain(times_s).max(initial=0))

    def _plain(self, times_s: Array) -> Array:
        found: Array = times_s.searchsorted(self._domain_s[:, 1:], "right")
        found -= times_s.searchsorted(self._domain_s[:, :-1], "left")
        return found


@dataclass(frozen=True, eq=False)
class _Layer:
    """Windows apart from each other, in the order of time."""

    rows: Any
    """Which rows of the domain these are: a slice, or their numbers."""
    begins_s: Array
    """Where each run of windows begins, and where it ends."""
    ends_s: Array
    first_s: float
    cells_per_s: float
    edge_s: Array
    """The edge in each cell; infinite where there is none."""
    before: Array
    """One less than the number of edges before each cell."""
    scratch: dict[Any, Array]
    shape: tuple[int, int]

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
        return times_s[at]

    def counted(self, times_s: Array, dtype: np.dtype[Any], once: bool) -> Array:
        """Return ``rows x bins``, in an array that the next call uses again."""
        import numpy as np

        found = self.scratch.setdefault(dtype, np.empty(self.shape, dtype))
        found.fill(0)
        # One bin more to a row than there are: what lies between windows falls into it.
        flat = found.reshape(-1)
        cells = times_s - self.first_s
        cells *= self.cells_per_s
        cell = cells.astype(np.intp)
        edge = self.edge_s.take(cell)
        at = self.before.take(cell)
        at += times_s >= edge
        on_edge = times_s == edge
        also = at[on_edge] - 1 if on_edge.any() else None
        also = also[also >= 0] if also is not None else None
        one = dtype.type(1)
        for where in (at, also):
            if where is None:
                continue
            if once:
                flat[where] = one
            else:
                np.add.at(flat, where, one)
        return found[:, :-1]


def _layers(domain_s: Array) -> list[_Layer]:
    """Return the windows in layers without overlap; none where that is not worth while."""
    import numpy as np

    if not domain_s.size:
        return []
    width_s = float(np.diff(domain_s, axis=1).min())
    apart_s = width_s / 2
    if not apart_s > 0:
        return []
    numbers = _apart(domain_s[:, 0], domain_s[:, -1], apart_s)
    if numbers is None:
        return []
    found = [_layer(domain_s, rows) for rows in numbers]
    return [layer for layer in found if layer is not None] if all(found) else []


def _apart(first_s: Array, last_s: Array, apart_s: float) -> list[Any] | None:
    """Return rows for each layer, in the order of time, or None for too many layers."""
    import numpy as np

    if bool((first_s[1:] - last_s[:-1] > apart_s).all()):
        return [slice(None)]
    free: list[tuple[float, int]] = []
    layers: list[list[int]] = []
    for row in np.argsort(first_s, kind="stable").tolist():
        if free and first_s[row] - free[0][0] > apart_s:
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
    first_s = float(edges_s[0])
    cells_per_s = 1 / (float(np.diff(edges_s).min()) * 0.999)
    if not (float(edges_s[-1]) - first_s) * cells_per_s < _MOST_CELLS:
        return None
    # The very steps that a spike's cell is computed with: each keeps order, rounded or not, so
    # that a spike behind an edge is never in a cell before it.
    cells = edges_s - first_s
    cells *= cells_per_s
    cell = cells.astype(np.intp)
    if not bool((np.diff(cell) > 0).all()):
        return None
    count = int(cell[-1]) + 1
    edge_s = np.full(count, np.inf)
    edge_s[cell] = edges_s
    before = np.zeros(count, dtype=np.intp)
    before[cell] = 1
    before = np.cumsum(before) - before - 1
    far = np.flatnonzero(windows_s[1:, 0] - windows_s[:-1, -1] > _NEAR_S)
    begins_s = windows_s[np.concatenate([[0], far + 1]), 0]
    ends_s = windows_s[np.concatenate([far, [len(windows_s) - 1]]), -1]
    return _Layer(rows, begins_s, ends_s, first_s, cells_per_s, edge_s, before, {}, windows_s.shape)
