"""Responses to events: a signal, or the spikes of a unit, cut around each of them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError
from openallen.viewer.culled import Stretches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["counted", "events_of", "responses"]

_MOST_POINTS: Final = 400
_MOST_DRAWN: Final = 60
_MOST_EVENTS: Final = 5_000
_MOST_SPIKES: Final = 20_000


def events_of(all_: NDArray[np.float64] | Stretches, label: str) -> NDArray[np.float64]:
    """Return times that something is aligned to, ascending, in s.

    Parameters
    ----------
    all_
        Points, or stretches: these by their starts.
    label
        Which stretches; all where empty.

    Raises
    ------
    NotFoundError
        If no stretch has that label.
    """
    if not isinstance(all_, Stretches):
        return all_
    if not label:
        return all_.starts
    if label not in all_.labels:
        raise NotFoundError("no such label", address=label[:80], hint=", ".join(all_.labels[:6]))
    found: NDArray[np.float64] = all_.starts[all_.which == all_.labels.index(label)]
    return found


def _thinned(count: int, most: int) -> NDArray[np.int64]:
    """Return so many of a number of rows, evenly over all."""
    import numpy as np

    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def responses(
    times: NDArray[np.float64],
    values: NDArray[Any],
    at: NDArray[np.float64],
    before_s: float,
    after_s: float,
) -> dict[str, Any]:
    """Return a signal around events, interpolated on a line; nothing beyond the recording.

    Parameters
    ----------
    times, values
        The signal, ascending.
    at
        Times of the events in s.
    before_s, after_s
        How far around them.

    Returns
    -------
    dict
        ``t``, s after the event; ``mean`` and ``sem`` over the events; ``trials``, some of them,
        evenly chosen, with their times ``at``; ``n``, how many there are.
    """
    import numpy as np

    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    count = int(np.clip((before_s + after_s) / max(step, 1e-9), 2, _MOST_POINTS)) + 1
    relative = np.linspace(-before_s, after_s, count)
    if len(times):
        at = at[(at + after_s >= times[0]) & (at - before_s <= times[-1])]
    if not len(at) or not len(times):
        return {"t": relative.tolist(), "mean": [], "sem": [], "trials": [], "at": [], "n": 0}
    some = at[_thinned(len(at), _MOST_EVENTS)]
    where = some[:, None] + relative
    cut = np.interp(where, times, values.astype(np.float64), left=np.nan, right=np.nan)
    with warnings.catch_warnings():  # of columns that nothing is in
        warnings.simplefilter("ignore", RuntimeWarning)
        mean = np.nanmean(cut, axis=0)
        spread = np.nanstd(cut, axis=0) / np.sqrt((~np.isnan(cut)).sum(axis=0))
    drawn = _thinned(len(some), _MOST_DRAWN)
    return {
        "t": relative.tolist(),
        "mean": mean.tolist(),
        "sem": spread.tolist(),
        "trials": cut[drawn].tolist(),
        "at": some[drawn].tolist(),
        "n": len(at),
    }


def counted(
    spikes: NDArray[np.float64],
    at: NDArray[np.float64],
    before_s: float,
    after_s: float,
    bins: int,
) -> dict[str, Any]:
    """Return the spikes of a unit around events, and their rate.

    Parameters
    ----------
    spikes
        Times of the spikes in s, ascending.
    at, before_s, after_s
        As for `responses`.
    bins
        In how many bins they are counted.

    Returns
    -------
    dict
        ``t``, the middle of each bin in s after the event; ``mean``, spikes/s; ``spikes`` in s
        after the event and ``event``, the index among ``at``; ``n``, how many events there are.
    """
    import numpy as np

    edges = np.linspace(-before_s, after_s, bins + 1)
    some = at[_thinned(len(at), _MOST_EVENTS)] if len(at) else at
    behind = np.searchsorted(spikes, some[:, None] + edges)
    rate = np.diff(behind, axis=1).sum(axis=0) / max(1, len(some)) / (edges[1] - edges[0])
    drawn = _thinned(len(some), _MOST_DRAWN) if len(some) else np.empty(0, np.int64)
    pairs = [(n, spikes[behind[i, 0] : behind[i, -1]] - some[i]) for n, i in enumerate(drawn)]
    dots = np.concatenate([np.empty(0), *(found for _, found in pairs)])
    rows = np.concatenate([np.empty(0, np.int64), *(np.full(len(f), n) for n, f in pairs)])
    kept = _thinned(len(dots), _MOST_SPIKES) if len(dots) else np.empty(0, np.int64)
    return {
        "t": ((edges[:-1] + edges[1:]) / 2).tolist(),
        "mean": rate.tolist(),
        "spikes": dots[kept].round(5).tolist(),
        "event": rows[kept].tolist(),
        "at": some[drawn].tolist(),
        "n": len(at),
    }
