"""Signals cut around events."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError, UsageError
from openallen.sessions.arrays import KINDS, xarray

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from openallen.sessions.signals import Behaving

__all__ = ["aligned"]

_LOG: Final = logging.getLogger("openallen.sessions")
_BINS_S: Final = {"licks": 0.05, "spikes": 0.01}
_RATES: Final = {"licks": False, "spikes": True}
"""Whether rates are what is wanted of these where nothing is said: licks are counted."""
_MOST_BINS: Final = 1_000_000
_UNITS: Final = {
    "running_speed": "cm/s",
    "raw_running_speed": "cm/s",
    "pupil_area": "px²",
    "eye_area": "px²",
    "pupil_width": "px",
}


def aligned(
    session: Behaving,
    events: Any,
    window_s: tuple[float, float],
    of: str,
    *,
    bin_s: float | None = None,
    rate: bool | None = None,
) -> xr.DataArray:
    """Return a signal cut around events; see `BehaviorSession.align`.

    A sampled signal is interpolated linearly at its own rate; licks and spikes are counted in
    whole bins within the window, each named by its middle.

    Raises
    ------
    UsageError
        If the session has no such signal, the window runs backwards, or the bins do not fit it.
    NotFoundError
        If the file does not hold it.
    """
    import numpy as np

    at = np.atleast_1d(np.asarray(events, dtype="float64"))
    start, stop = window_s
    if not start < stop:
        raise UsageError("the window ends before it begins", why=f"{start} to {stop} s")
    spikes = getattr(session, "spike_times", None) if of == "spikes" else None
    if of == "licks" or spikes is not None:
        width_s = _BINS_S[of] if bin_s is None else float(bin_s)
        edges = _edges(window_s, width_s)
        found = _spikes(spikes, at, edges) if spikes is not None else _licks(session, at, edges)
        return _within(session, _rated(found, width_s, _RATES[of] if rate is None else rate))
    if bin_s is not None or rate is not None:
        raise UsageError(
            "bins and rates are for spikes and licks only",
            address=session.name,
            why=f"{of} is interpolated",
        )
    return _sampled(session, at, window_s, of)


def _sampled(
    session: Behaving, at: np.ndarray[Any, Any], window_s: tuple[float, float], of: str
) -> xr.DataArray:
    import numpy as np

    times, values, more = _signal(session, of)
    times, values = _ascending(session, of, times, values)
    if len(times) < 2:
        raise NotFoundError(f"this session has no {of}", address=session.name)
    step = float(np.median(np.diff(times)))
    # Whole steps from the event, so that the event itself is always one of the points.
    first, last = (
        int(np.ceil(window_s[0] / step - 1e-9)),
        int(np.floor(window_s[1] / step + 1e-9)),
    )
    relative = np.arange(first, last + 1) * step
    wanted = at[:, None] + relative[None, :]
    rows = np.atleast_2d(values)
    cut = np.stack([np.interp(wanted, times, row, left=np.nan, right=np.nan) for row in rows])
    cut[:, np.isnan(wanted)] = np.nan
    units = KINDS[of][2] if of in KINDS else _UNITS[of]
    if more is None:
        return _labelled(cut[0], ("event", "time"), at, relative, name=of, units=units)
    ids = {"cell_specimen_id": more}
    return _labelled(
        cut, ("cell_specimen_id", "event", "time"), at, relative, name=of, units=units, ids=ids
    )


def _ascending(
    session: Behaving, of: str, times: np.ndarray[Any, Any], values: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return samples in the order of their times, those without one left out."""
    import numpy as np

    if bool(np.all(times[1:] >= times[:-1])) and not np.isnan(times[-1:]).any():
        return times, values
    _LOG.warning("%s: times of %s are missing or not in order: put in order", session.name, of)
    kept = np.flatnonzero(~np.isnan(times))
    kept = kept[np.argsort(times[kept], kind="stable")]
    return times[kept], values[..., kept]


def _labelled(
    values: np.ndarray[Any, Any],
    dims: tuple[str, ...],
    at: np.ndarray[Any, Any],
    relative: np.ndarray[Any, Any],
    *,
    name: str,
    units: str,
    ids: dict[str, Any] | None = None,
) -> xr.DataArray:
    coords = {
        **(ids or {}),
        "time": ("time", relative, {"units": "s"}),
        "event_time": ("event", at, {"units": "s"}),
    }
    made: xr.DataArray = xarray().DataArray(
        values, dims=dims, coords=coords, name=name, attrs={"units": units}
    )
    return made


def _edges(window_s: tuple[float, float], bin_s: float) -> np.ndarray[Any, Any]:
    """Return the edges of whole bins from the start of a window.

    Raises
    ------
    UsageError
        If no bin fits in, or more than anybody looks at.
    """
    import numpy as np

    length_s = window_s[1] - window_s[0]
    # Half a millionth of a bin is rounding, no bin that is too long.
    count = np.floor(length_s / bin_s + 1e-6) if bin_s > 0 else 0
    if not 1 <= count <= _MOST_BINS:
        raise UsageError(
            f"bins of {bin_s:g} s do not fit the window",
            why=f"{length_s:g} s, in 1 to {_MOST_BINS:,} bins",
        )
    edges: np.ndarray[Any, Any] = window_s[0] + np.arange(int(count) + 1) * bin_s
    return edges


def _counted(
    times: np.ndarray[Any, Any], at: np.ndarray[Any, Any], edges: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Count events in bins around others: events x bins."""
    import numpy as np

    behind = np.searchsorted(times, at[:, None] + edges[None, :])
    counts: np.ndarray[Any, Any] = np.diff(behind, axis=1)
    return counts


def _licks(
    session: Behaving, at: np.ndarray[Any, Any], edges: np.ndarray[Any, Any]
) -> xr.DataArray:
    import numpy as np

    licks = session.licks["timestamps"].to_numpy("float64")
    counts = _counted(np.sort(licks), at, edges)
    return _labelled(counts, ("event", "time"), at, _middles(edges), name="licks", units="licks")


def _spikes(
    spikes: Mapping[int, np.ndarray[Any, Any]],
    at: np.ndarray[Any, Any],
    edges: np.ndarray[Any, Any],
) -> xr.DataArray:
    import numpy as np

    counts = np.empty((len(spikes), len(at), len(edges) - 1), dtype=np.float32)
    for row, times in enumerate(spikes.values()):
        counts[row] = _counted(np.sort(times), at, edges)
    ids = {"unit_id": np.array(list(spikes), dtype="int64")}
    dims = ("unit_id", "event", "time")
    return _labelled(counts, dims, at, _middles(edges), name="spikes", units="spikes", ids=ids)


def _middles(edges: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    middles: np.ndarray[Any, Any] = (edges[:-1] + edges[1:]) / 2
    return middles


def _rated(counts: xr.DataArray, bin_s: float, rate: bool) -> xr.DataArray:
    """Return counts, or rates; the width of a bin and the unit are attributes."""
    import numpy as np

    # In the type of the counts: a session's spikes in double precision would be twice as large.
    made = (counts / np.float32(bin_s)) if rate else counts
    units = f"{counts.attrs['units']}/s" if rate else f"{counts.attrs['units']} per bin"
    made.attrs = {"units": units, "bin_s": bin_s}
    return made


def _within(session: Behaving, made: xr.DataArray) -> xr.DataArray:
    """Blank the events outside the recording: nothing was counted there."""
    import numpy as np

    recorded = session.running_speed["timestamps"].to_numpy("float64")
    recorded = np.sort(recorded[~np.isnan(recorded)])
    if not len(recorded):
        raise NotFoundError("this session has no running_speed", address=session.name)
    at, times = made["event_time"].to_numpy(), made["time"].to_numpy()
    half_s = made.attrs["bin_s"] / 2
    with np.errstate(invalid="ignore"):
        inside = (at + times[-1] + half_s >= recorded[0]) & (at + times[0] - half_s <= recorded[-1])
    found: xr.DataArray = made.where(xarray().DataArray(inside, dims=("event",)))
    return found


def _signal(session: Behaving, of: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Any]:
    """Return times, values (one row, or one for each cell) and the cells' ids."""
    if of in {"running_speed", "raw_running_speed"}:
        table = getattr(session, of)
        return table["timestamps"].to_numpy(), table["speed"].to_numpy(), None
    if of in {"pupil_area", "eye_area", "pupil_width"}:
        table = session.eye_tracking
        return table["timestamps"].to_numpy(), table[of].to_numpy("float64"), None
    traces = getattr(session, "trace_array", None)
    if of in KINDS and traces is not None:
        found = traces(of)
        return found["time"].to_numpy(), found.to_numpy(), found["cell_specimen_id"].to_numpy()
    known = ["running_speed", "raw_running_speed", "pupil_area", "licks"]
    known += ["spikes"] if hasattr(session, "spike_times") else []
    raise UsageError(
        f"'{of}' cannot be aligned",
        address=session.name,
        hint=", ".join([*known, *(KINDS if traces is not None else ())]),
    )
