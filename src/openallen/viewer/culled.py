"""Stretches and points in time that are drawn: no more of them than pixels can show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Stretches", "in_pixels", "points_drawn", "stretches_drawn"]

_MOST: Final = 20_000


class Stretches:
    """Stretches of time with labels, ready to be drawn.

    Those without a start or an end, and those that end before they begin, are left out.

    Parameters
    ----------
    starts, stops
        In s.
    labels
        What each is.
    """

    def __init__(
        self, starts: NDArray[np.float64], stops: NDArray[np.float64], labels: Sequence[str]
    ) -> None:
        import numpy as np

        starts, stops = np.asarray(starts, float), np.asarray(stops, float)
        kept = np.flatnonzero(np.isfinite(starts) & np.isfinite(stops) & (stops >= starts))
        kept = kept[np.argsort(starts[kept], kind="stable")]
        told = [str(labels[i]) for i in kept.tolist()]
        self.starts, self.stops = starts[kept], stops[kept]
        self.labels = list(dict.fromkeys(told))
        place = {label: n for n, label in enumerate(self.labels)}
        self.which = np.array([place[label] for label in told], dtype=np.int64)

    @property
    def bytes(self) -> int:
        """Memory that they take."""
        return int(3 * self.starts.nbytes) + sum(map(len, self.labels))


def in_pixels(times: NDArray[Any], from_s: float, to_s: float, px: int) -> NDArray[np.int64]:
    """Return the pixel of each time, from 0; what lies outside has that of the edge.

    Parameters
    ----------
    times
        In s.
    from_s, to_s, px
        The window, and its width in pixels.
    """
    import numpy as np

    found: NDArray[np.int64] = ((times - from_s) * (px / (to_s - from_s))).clip(0, px - 1)
    return found.astype(np.int64)


def stretches_drawn(all_: Stretches, from_s: float, to_s: float, px: int) -> dict[str, Any]:
    """Return the stretches in a window: those wider than a pixel, of others one for each pixel.

    Parameters
    ----------
    all_
        All of them.
    from_s, to_s, px
        As for `in_pixels`.

    Returns
    -------
    dict
        ``start``, ``stop``, ``label`` of each; ``labels``, all there are anywhere; ``total``, how
        many are in the window.
    """
    import numpy as np

    at = np.flatnonzero((all_.starts <= to_s) & (all_.stops >= from_s))
    left = in_pixels(all_.starts[at], from_s, to_s, px)
    right = in_pixels(all_.stops[at], from_s, to_s, px)
    wide = right > left
    narrow = np.flatnonzero(~wide)
    _, first = np.unique(
        left[narrow] * (len(all_.labels) + 1) + all_.which[at[narrow]], return_index=True
    )
    chosen = np.sort(np.concatenate([np.flatnonzero(wide), narrow[first]]))[:_MOST]
    shown = at[chosen]
    return {
        "start": all_.starts[shown].tolist(),
        "stop": all_.stops[shown].tolist(),
        "label": [all_.labels[n] for n in all_.which[shown]],
        "labels": all_.labels,
        "total": len(at),
    }


def points_drawn(times: NDArray[np.float64], from_s: float, to_s: float, px: int) -> dict[str, Any]:
    """Return the points in a window, one for each pixel.

    Parameters
    ----------
    times
        All of them in s, ascending.
    from_s, to_s, px
        As for `in_pixels`.

    Returns
    -------
    dict
        ``t`` in s; ``total``, how many are in the window.
    """
    import numpy as np

    inside = times[(times >= from_s) & (times <= to_s)]
    _, first = np.unique(in_pixels(inside, from_s, to_s, px), return_index=True)
    return {"t": inside[first].tolist(), "total": len(inside)}
