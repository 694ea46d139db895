"""Signals cut around events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError, UsageError
from openallen.sessions.arrays import KINDS, xarray

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from openallen.sessions.signals import Behaving

__all__ = ["aligned"]

_COUNT_S: Final = 0.05
_SPIKES_S: Final = 0.01


def aligned(session: Behaving, events: Any, window_s: tuple[float, float], of: str) -> xr.DataArray:
    """Cut a signal around events; see `BehaviorSession.align`.

    A sampled signal is interpolated linearly at its own rate; licks are counted in bins of 50 ms,
    spikes in bins of 10 ms, in whole bins, named by their middle.

    Raises
    ------
    UsageError
        If the session has no such signal, or the window runs backwards.
    NotFoundError
        If the file does not hold it.
    """
    import numpy as np

    at = np.atleast_1d(np.asarray(events, dtype="float64"))
    start, stop = window_s
    if not start < stop:
        raise UsageError("the window ends before it begins", why=f"{start} to {stop} s")
    spikes = getattr(session, "spike_times", None)
    if of == "licks" or (of == "spikes" and spikes is not None):
        recorded = session.running_speed["timestamps"].to_numpy("float64")
        with np.errstate(invalid="ignore"):
            inside = (at + stop >= recorded[0]) & (at + start <= recorded[-1])
        if of == "spikes" and spikes is not None:
            return _spikes(spikes, at, window_s).where(_rows(inside))
        licks = session.licks["timestamps"].to_numpy("float64")
        return _licks(licks, at, window_s).where(_rows(inside))
    times, values, more = _signal(session, of)
    if len(times) < 2:
        raise NotFoundError(f"there is no {of} in this session", address=session.name)
    step = float(np.median(np.diff(times)))
    # Whole steps from the event, so that the event itself is always one of the points.
    steps = np.arange(int(np.ceil(start / step - 1e-9)), int(np.floor(stop / step + 1e-9)) + 1)
    relative = steps * step
    wanted = at[:, None] + relative[None, :]
    rows = np.atleast_2d(values)
    cut = np.stack([np.interp(wanted, times, row, left=np.nan, right=np.nan) for row in rows])
    cut[:, np.isnan(wanted)] = np.nan
    coordinates: dict[str, Any] = {"time": relative, "event_time": ("event", at)}
    made: xr.DataArray
    if more is None:
        made = xarray().DataArray(cut[0], dims=("event", "time"), coords=coordinates, name=of)
    else:
        dims = ("cell_specimen_id", "event", "time")
        coordinates["cell_specimen_id"] = more
        made = xarray().DataArray(cut, dims=dims, coords=coordinates, name=of)
    return made


def _rows(inside: np.ndarray[Any, Any]) -> xr.DataArray:
    """Say which events lie in the recording; the others have no counts."""
    made: xr.DataArray = xarray().DataArray(inside, dims=("event",))
    return made


def _edges(window_s: tuple[float, float], width_s: float) -> np.ndarray[Any, Any]:
    import numpy as np

    count = max(1, round((window_s[1] - window_s[0]) / width_s))
    return window_s[0] + np.arange(count + 1) * width_s


def _counted(
    times: np.ndarray[Any, Any], at: np.ndarray[Any, Any], edges: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Count events in bins around others: events x bins."""
    import numpy as np

    behind = np.searchsorted(times, at[:, None] + edges[None, :])
    counts: np.ndarray[Any, Any] = np.diff(behind, axis=1)
    return counts


def _licks(
    times: np.ndarray[Any, Any], at: np.ndarray[Any, Any], window_s: tuple[float, float]
) -> xr.DataArray:
    edges = _edges(window_s, _COUNT_S)
    made: xr.DataArray = xarray().DataArray(
        _counted(times, at, edges),
        dims=("event", "time"),
        coords={"time": edges[:-1] + _COUNT_S / 2, "event_time": ("event", at)},
        name="licks",
    )
    return made


def _spikes(
    spikes: Mapping[int, np.ndarray[Any, Any]],
    at: np.ndarray[Any, Any],
    window_s: tuple[float, float],
) -> xr.DataArray:
    import numpy as np

    edges = _edges(window_s, _SPIKES_S)
    counts = np.empty((len(spikes), len(at), len(edges) - 1), dtype=np.float32)
    for row, times in enumerate(spikes.values()):
        counts[row] = _counted(np.sort(times), at, edges)
    made: xr.DataArray = xarray().DataArray(
        counts,
        dims=("unit_id", "event", "time"),
        coords={
            "unit_id": np.array(list(spikes), dtype="int64"),
            "time": edges[:-1] + _SPIKES_S / 2,
            "event_time": ("event", at),
        },
        name="spikes",
    )
    return made


def _signal(session: Behaving, of: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Any]:
    """Give times, values (one row, or one for each cell) and the cells' ids."""
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
