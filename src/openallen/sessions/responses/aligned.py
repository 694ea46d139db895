"""Responses to presentations, and what they are like by condition: one way for all sessions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError, UsageError
from openallen.sessions.arrays import xarray
from openallen.sessions.responses.windows import Windows

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

    Array = np.ndarray[Any, Any]

__all__ = ["Responding", "responses", "tuning"]

_PRESENTATION: Final = "stimulus_presentation_id"
_STOPS: Final = ("stop_time", "end_time")
_NAMES: Final = ("stimulus_name", "stimulus_block_name")
_MISSING: Final = ("null", "")
_UNITS: Final = {"dff": "ΔF/F", "events": "ΔF/F", "filtered_events": "ΔF/F"}
_CELLS: Final = 16
"""Traces summed up at a time: sums of hundreds would be as large as all traces once more."""
_MOST_BINS: Final = 1_000_000


class Responding:
    """Sessions that show something to cells they record from; see `responses`."""

    def responses(
        self,
        stimulus_name: str | Sequence[str] | None = None,
        window_s: tuple[float, float] | None = None,
        *,
        of: str = "",
        bin_s: float | None = None,
        presentations: pd.DataFrame | None = None,
        ids: Sequence[int] | None = None,
    ) -> xr.DataArray:
        """Return the responses of cells or units to what was shown; see `responses`."""
        return responses(
            self,
            stimulus_name,
            window_s,
            of=of,
            bin_s=bin_s,
            presentations=presentations,
            ids=ids,
        )


def responses(
    session: Any,
    stimulus_name: str | Sequence[str] | None = None,
    window_s: tuple[float, float] | None = None,
    *,
    of: str = "",
    bin_s: float | None = None,
    presentations: pd.DataFrame | None = None,
    ids: Sequence[int] | None = None,
) -> xr.DataArray:
    """Return the responses of cells or units to presentations of a stimulus.

    Parameters
    ----------
    session
        A session with ``stimulus_presentations`` and ``spike_times`` or traces.
    stimulus_name
        Which presentations: a name or several; None takes all.
    window_s
        From and to, in s from the start of each presentation. None: from its start to its stop.
    of
        ``spikes``, ``dff``, ``events`` or another trace. Where left out, spikes of a session that
        has such, and ``dff`` of others.
    bin_s
        Width in s of the bins the window is cut into, for the course of the response. None: one
        number for the whole window.
    presentations
        Rows of ``stimulus_presentations`` to take instead of all.
    ids
        Cells or units to take instead of all, in this order.

    Returns
    -------
    xarray.DataArray
        ``unit_id`` or ``cell_specimen_id`` x ``stimulus_presentation_id``, with bins by ``time``
        (their middles, s from the start). Spikes are spikes/s; traces are means of the samples
        within, NaN where there is none. A bin has its begin and not its end. What the table
        says of the presentations are coordinates.

    Raises
    ------
    NotFoundError
        If there is no such stimulus, cell, unit or signal.
    UsageError
        If the window runs backwards, or the bins do not fit it.
    """
    table = _shown(session, stimulus_name, presentations)
    kind = of or ("spikes" if hasattr(session, "spike_times") else "dff")
    domain, middles = _domain(session, table, window_s, bin_s)
    if kind == "spikes":
        found, cells, name = _spikes(session, domain, ids)
    else:
        found, cells, name = _traces(session, kind, domain, ids)
    dims: tuple[str, ...] = (name, _PRESENTATION, "time")
    coords: dict[str, Any] = {name: cells, **_parameters(table)}
    if middles is None:
        found, dims = found[:, :, 0], dims[:2]
    else:
        coords["time"] = ("time", middles, {"units": "s"})
    units = "spikes/s" if kind == "spikes" else _UNITS.get(kind, "fluorescence")
    made: xr.DataArray = xarray().DataArray(
        found, dims=dims, coords=coords, name=kind, attrs={"units": units}
    )
    if bin_s is not None:
        made.attrs["bin_s"] = bin_s
    return made


def tuning(responses: xr.DataArray, by: str | Sequence[str]) -> xr.Dataset:
    """Return what responses are like by condition.

    Parameters
    ----------
    responses
        As `responses` gives them.
    by
        Names of parameters: coordinates of the presentations.

    Returns
    -------
    xarray.Dataset
        ``mean``, ``sem`` (standard error of the mean) and ``n`` (presentations with a response):
        cells or units x each parameter, ascending; NaN where a combination was not shown.
        ``preferred_NAME``: for each cell or unit the value of the condition with the largest
        mean, that of the whole window where there are bins. ``blank_mean``, ``blank_sem``,
        ``blank_n``: presentations without a value of any of these, where there are some.

    Raises
    ------
    UsageError
        If the presentations have no such parameter.
    """
    import numpy as np

    names = [by] if isinstance(by, str) else list(by)
    values, flat, partly, blank = _conditions(responses, names)
    axis = responses.get_axis_num(_PRESENTATION)
    data = np.moveaxis(responses.to_numpy().astype("float64"), axis, 0)
    shape = tuple(len(each) for each in values)
    grid = _statistics(data, flat, int(np.prod(shape)), ~partly & ~blank)
    rest = [str(dim) for dim in responses.dims if dim != _PRESENTATION]
    coords: dict[str, Any] = {dim: responses[dim] for dim in rest if dim in responses.coords}
    coords |= dict(zip(names, values, strict=True))
    found: dict[str, Any] = {}
    for name, each in grid.items():
        spread = np.moveaxis(each, 0, 1).reshape(each.shape[1], *shape, *each.shape[2:])
        found[name] = ((rest[0], *names, *rest[1:]), spread)
    found |= _preferred(grid["mean"], rest[0], names, values)
    if blank.any():
        alone = _statistics(data, np.zeros(len(data), np.intp), 1, blank)
        found |= {f"blank_{name}": (rest, each[0]) for name, each in alone.items()}
    made: xr.Dataset = xarray().Dataset(found, coords=coords, attrs=dict(responses.attrs))
    return made


def _shown(
    session: Any, stimulus_name: str | Sequence[str] | None, presentations: pd.DataFrame | None
) -> pd.DataFrame:
    table = session.stimulus_presentations if presentations is None else presentations
    if stimulus_name is not None:
        wanted = [stimulus_name] if isinstance(stimulus_name, str) else list(stimulus_name)
        known = {
            each: column
            for column in reversed(_NAMES)
            if column in table
            for each in table[column].dropna().unique()
        }
        unknown = [each for each in wanted if each not in known]
        if unknown:
            raise NotFoundError(
                f"no presentation of '{unknown[0]}'",
                address=getattr(session, "name", ""),
                hint=", ".join(str(each) for each in known),
            )
        rows = [table[known[each]] == each for each in wanted]
        table = table[sum(rows[1:], start=rows[0])]
    return table.rename_axis(index=_PRESENTATION)


def _domain(
    session: Any,
    table: pd.DataFrame,
    window_s: tuple[float, float] | None,
    bin_s: float | None,
) -> tuple[Array, Array | None]:
    """Return edges on the session's clock, presentations x edges, and the middles of bins."""
    import numpy as np

    starts = table["start_time"].to_numpy("float64")
    if window_s is None:
        if bin_s is not None:
            raise UsageError(
                "bins need a window",
                address=getattr(session, "name", ""),
                why="presentations differ in length",
                hint="window_s=(0, 0.5)",
            )
        stop = next(name for name in _STOPS if name in table)
        return np.stack([starts, table[stop].to_numpy("float64")], axis=1), None
    start, stop_s = window_s
    if not start < stop_s:
        raise UsageError("the window ends before it begins", why=f"{start} to {stop_s} s")
    if bin_s is None:
        return starts[:, None] + np.array([start, stop_s]), None
    # Half a millionth of a bin is rounding, no bin that is too long.
    count = np.floor((stop_s - start) / bin_s + 1e-6) if bin_s > 0 else 0
    if not 1 <= count <= _MOST_BINS:
        raise UsageError(f"bins of {bin_s:g} s do not fit the window", why=f"{stop_s - start:g} s")
    edges = start + np.arange(int(count) + 1) * bin_s
    return starts[:, None] + edges, edges[:-1] + bin_s / 2


def _spikes(session: Any, domain: Array, ids: Sequence[int] | None) -> tuple[Array, Array, str]:
    """Return rates, unit x presentation x bin."""
    import numpy as np

    known = session.spike_times
    units = list(known) if ids is None else [int(each) for each in ids]
    _all_there(units, known, "unit", session)
    counts = Windows(domain, closed=False).counted(
        [known[unit] for unit in units], np.dtype("uint32"), once=False
    )
    kind = np.float64 if domain.shape[1] == 2 else np.float32
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = counts.astype(kind) / np.diff(domain, axis=1).astype(kind)
    return rates, np.array(units, dtype="int64"), "unit_id"


def _traces(
    session: Any, kind: str, domain: Array, ids: Sequence[int] | None
) -> tuple[Array, Array, str]:
    """Return means of samples, cell x presentation x bin."""
    import numpy as np

    if not hasattr(session, "trace_array"):
        raise NotFoundError(
            f"no {kind} here", address=getattr(session, "name", ""), why="it has no traces"
        )
    traces = session.trace_array(kind)
    cells = traces["cell_specimen_id"].to_numpy()
    rows = np.arange(len(cells))
    if ids is not None:
        where = {int(each): row for row, each in enumerate(cells)}
        _all_there([int(each) for each in ids], where, "cell", session)
        rows = np.array([where[int(each)] for each in ids], dtype=np.intp)
    times = traces["time"].to_numpy()
    kept = np.flatnonzero(~np.isnan(times))
    kept = kept[np.argsort(times[kept], kind="stable")]
    at = times[kept].searchsorted(domain)
    found = np.empty((len(rows), domain.shape[0], domain.shape[1] - 1))
    for start in range(0, len(rows), _CELLS):
        part = rows[start : start + _CELLS]
        found[start : start + len(part)] = _means(traces[part].to_numpy()[:, kept], at)
    return found, cells[rows], "cell_specimen_id"


def _means(values: Array, at: Array) -> Array:
    """Return means between places, cell x row x bin; samples that are NaN are left out."""
    import numpy as np

    there = ~np.isnan(values)
    before = np.zeros((2, values.shape[0], values.shape[1] + 1))
    np.cumsum(np.where(there, values, 0), axis=1, dtype="float64", out=before[0, :, 1:])
    np.cumsum(there, axis=1, out=before[1, :, 1:])
    sums = before[:, :, at[:, 1:]] - before[:, :, at[:, :-1]]
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = np.where(sums[1] > 0, sums[0] / sums[1], np.nan)
    return found


def _all_there(wanted: Sequence[int], known: Any, what: str, session: Any) -> None:
    unknown = [each for each in wanted if each not in known]
    if unknown:
        raise NotFoundError(
            f"no {what} {', '.join(str(each) for each in unknown[:3])}",
            address=getattr(session, "name", ""),
            why=f"it has {len(known):,}",
        )


def _parameters(table: pd.DataFrame) -> dict[str, Any]:
    """Return what a table says of its presentations, as coordinates."""
    found: dict[str, Any] = {_PRESENTATION: table.index.to_numpy()}
    for name in table.columns:
        values = _coordinate(table[name])
        if values is not None:
            found[str(name)] = (_PRESENTATION, values)
    return found


def _coordinate(column: pd.Series[Any]) -> Array | None:
    """Return the values of a column, or None where it has none, or none that are single."""
    import numpy as np

    if column.dtype.kind in "biuf" and isinstance(column.dtype, np.dtype):
        values: Array = column.to_numpy()
        return None if values.dtype.kind == "f" and np.isnan(values).all() else values
    cells = [None if _missing(each) else each for each in column.astype(object).tolist()]
    there = [each for each in cells if each is not None]
    if not there or any(isinstance(each, Iterable) and not isinstance(each, str) for each in there):
        return None
    if all(isinstance(each, bool | np.bool_) for each in there) and len(there) == len(cells):
        return np.array(cells, dtype=bool)
    if all(isinstance(each, int | float | np.number) for each in there):
        return np.array([np.nan if each is None else each for each in cells], dtype="float64")
    return np.array(cells, dtype=object)


def _missing(cell: Any) -> bool:
    import pandas as pd

    if isinstance(cell, str):
        return cell in _MISSING
    return bool(pd.isna(cell)) if pd.api.types.is_scalar(cell) else False


def _conditions(
    responses: xr.DataArray, names: Sequence[str]
) -> tuple[list[Array], Array, Array, Array]:
    """Return the values of each parameter, and of each presentation its condition.

    The last two say which presentations have some of the parameters only, and which have none.
    """
    import numpy as np

    known = [
        str(name)
        for name, each in responses.coords.items()
        if each.dims == (_PRESENTATION,) and name != _PRESENTATION
    ]
    values, codes, gaps = [], [], []
    for name in names:
        if name not in known:
            raise UsageError(f"the presentations have no '{name}'", hint=", ".join(known))
        column = responses[name].to_numpy()
        gap = np.array([_missing(each) for each in column.tolist()], dtype=bool)
        uniques, code = np.unique(column[~gap], return_inverse=True)
        spread = np.zeros(len(column), dtype=np.intp)
        spread[~gap] = code
        values.append(uniques)
        codes.append(spread)
        gaps.append(gap)
    missing: Array = np.array(gaps)
    blank: Array = np.asarray(missing.all(axis=0))
    partly: Array = np.asarray(missing.any(axis=0) & ~blank)
    flat = np.ravel_multi_index(codes, tuple(len(each) for each in values))
    return values, flat, partly, blank


def _statistics(data: Array, flat: Array, count: int, kept: Array) -> dict[str, Array]:
    """Return mean, sem and n, condition x cell, of presentation x cell."""
    import numpy as np

    shape = (count, *data.shape[1:])
    mean, sem = np.full(shape, np.nan), np.full(shape, np.nan)
    n = np.zeros(shape, dtype="int64")
    for condition in range(count):
        part = data[kept & (flat == condition)]
        there = ~np.isnan(part)
        n[condition] = there.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean[condition] = np.where(there, part, 0).sum(axis=0) / n[condition]
            squares = np.where(there, part - mean[condition], 0) ** 2
            variance = squares.sum(axis=0) / (n[condition] - 1)
            sem[condition] = np.sqrt(variance / n[condition])
    sem[n < 2] = np.nan
    return {"mean": mean, "sem": sem, "n": n}


def _preferred(
    mean: Array, cells: str, names: Sequence[str], values: Sequence[Array]
) -> dict[str, Any]:
    """Return for each cell the values of its preferred condition, missing where it has none."""
    import numpy as np

    whole = mean.reshape(mean.shape[0], mean.shape[1], -1)
    there = ~np.isnan(whole)
    with np.errstate(invalid="ignore"):
        level = np.where(there, whole, 0).sum(axis=2) / there.sum(axis=2)
    best = np.where(np.isnan(level), -np.inf, level).argmax(axis=0)
    none = np.isnan(level).all(axis=0)
    at = np.unravel_index(best, tuple(len(each) for each in values))
    found: dict[str, Any] = {}
    for name, each, rows in zip(names, values, at, strict=True):
        column = each[rows]
        if none.any():
            column = column.astype(object if column.dtype.kind in "OUb" else "float64")
            column[none] = None if column.dtype.kind == "O" else np.nan
        found[f"preferred_{name}"] = (cells, column)
    return found
