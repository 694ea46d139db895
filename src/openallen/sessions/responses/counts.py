"""Spikes by presentation and by condition, with the values of AllenSDK's EcephysSession."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError, UsageError, requiring
from openallen.sessions.arrays import xarray
from openallen.sessions.responses.windows import Windows, in_order

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

    Array = np.ndarray[Any, Any]

__all__ = [
    "conditionwise_spike_statistics",
    "presentationwise_spike_counts",
    "presentationwise_spike_times",
]

_PRESENTATION: Final = "stimulus_presentation_id"
_SHOWN: Final = 3
_BLOCK: Final = 32
"""Units counted before they are turned into another type."""


def presentationwise_spike_counts(
    spike_times: Mapping[int, Array],
    presentations: pd.DataFrame,
    bin_edges: Any,
    stimulus_presentation_ids: Any = None,
    unit_ids: Any = None,
    *,
    binarize: bool = False,
    dtype: Any = None,
    large_bin_size_threshold: float = 0.001,
    time_domain_callback: Callable[[Array], Array] | None = None,
) -> xr.DataArray:
    """Count the spikes of each unit in time bins around the start of each presentation.

    A spike that lies right on an edge is counted in both bins that meet there, as AllenSDK has it.

    Parameters
    ----------
    spike_times
        Times in s for each unit id.
    presentations
        Table with ``start_time`` (s), by presentation id.
    bin_edges
        Edges in s from the start of a presentation, ascending.
    stimulus_presentation_ids, unit_ids
        One id, or several in the order wanted; None takes all.
    binarize
        Whether to say only if there was a spike.
    dtype
        Type of the counts: by itself uint16, and uint8 where they are binarized.
    large_bin_size_threshold
        Width in s above which binarized bins are warned about.
    time_domain_callback
        Takes the edges on the session's clock (presentations x edges, s), returns others of the
        same shape, for example ones shifted to the first frame that was really shown.

    Returns
    -------
    xarray.DataArray
        ``spike_counts``: stimulus_presentation_id x time_relative_to_stimulus_onset (middles of
        the bins, s) x unit_id.

    Raises
    ------
    UsageError
        If the edges do not ascend, or the type cannot hold the counts.
    NotFoundError
        If a unit or a presentation is not there.

    Warns
    -----
    UserWarning
        If windows of neighbouring presentations overlap, or binarized bins are wide.
    """
    import numpy as np

    edges = _edges(bin_edges)
    shown = _rows(presentations, stimulus_presentation_ids)
    units = _units(spike_times, unit_ids)
    kind = np.dtype(dtype if dtype is not None else "uint8" if binarize else "uint16")
    starts = _seconds(shown, "start_time")
    domain = _domain(starts, edges, time_domain_callback)
    _warn_of_overlap(domain)
    if binarize:
        _warn_of_width(float(np.diff(edges).max()), large_bin_size_threshold)
    windows = Windows(domain)
    counts = _counted(windows, [spike_times[unit] for unit in units], kind, binarize)
    made: xr.DataArray = xarray().DataArray(
        # In memory unit by unit, as they were counted: turning 50 million numbers takes longer.
        counts.transpose(1, 2, 0),
        dims=(_PRESENTATION, "time_relative_to_stimulus_onset", "unit_id"),
        coords={
            _PRESENTATION: shown.index.to_numpy(),
            "time_relative_to_stimulus_onset": edges[:-1] + np.diff(edges) / 2,
            "unit_id": np.array(units, dtype="int64"),
        },
        name="spike_counts",
    )
    return made


def presentationwise_spike_times(
    spike_times: Mapping[int, Array],
    presentations: pd.DataFrame,
    stimulus_presentation_ids: Any = None,
    unit_ids: Any = None,
) -> pd.DataFrame:
    """Return each spike of some units during some presentations.

    Parameters
    ----------
    spike_times
        Times in s for each unit id.
    presentations
        Table with ``start_time`` and ``stop_time`` (s), by presentation id.
    stimulus_presentation_ids, unit_ids
        One id, or several; None takes all.

    Returns
    -------
    pandas.DataFrame
        One row for each spike, by ``spike_time`` (s): stimulus_presentation_id, unit_id,
        time_since_stimulus_presentation_onset (s). Without any spike it is the empty table of
        AllenSDK, whose columns are called otherwise.

    Raises
    ------
    NotFoundError
        If a unit or a presentation is not there.
    """
    import numpy as np

    with requiring("a DataFrame", "tables"):
        import pandas as pd
    shown = _rows(presentations, stimulus_presentation_ids)
    # Spikes of one moment stand in the order of their units' ids.
    units = sorted(set(_units(spike_times, unit_ids)))
    starts, stops = _seconds(shown, "start_time"), _seconds(shown, "stop_time")
    found: list[tuple[Array, Array, Array]] = []
    for unit in units:
        times = in_order(spike_times[unit])
        low, high = _during(times, starts, stops)
        sizes = high - low
        rows = np.repeat(np.arange(len(starts)), sizes)
        at = np.repeat(low - np.cumsum(sizes) + sizes, sizes) + np.arange(int(sizes.sum()))
        found.append((times[at], rows, np.full(len(at), unit, dtype="int64")))
    if not sum(len(times) for times, _, _ in found):
        return _no_spikes()
    times, rows, ids = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(times, kind="stable")
    times, rows, ids = times[order], rows[order], ids[order]
    return pd.DataFrame(
        {
            _PRESENTATION: shown.index.to_numpy()[rows],
            "unit_id": ids,
            "time_since_stimulus_presentation_onset": times - starts[rows],
        },
        index=pd.Index(times, name="spike_time"),
    )


def conditionwise_spike_statistics(  # noqa: PLR0917 - the order of AllenSDK's own
    spike_times: Mapping[int, Array],
    presentations: pd.DataFrame,
    conditions: pd.DataFrame | None = None,
    stimulus_presentation_ids: Any = None,
    unit_ids: Any = None,
    use_rates: bool = False,
) -> pd.DataFrame:
    """Return how many spikes units have during the presentations of each condition.

    Parameters
    ----------
    spike_times
        Times in s for each unit id.
    presentations
        Table with ``start_time``, ``stop_time`` (s) and ``stimulus_condition_id``, by
        presentation id. Those without a condition, as invalid ones are, do not count.
    conditions
        Table by condition id, in which those of the presentations must be; None does not check.
    stimulus_presentation_ids, unit_ids
        One id, or several; None takes all.
    use_rates
        Whether means are of spikes/s, not of spikes.

    Returns
    -------
    pandas.DataFrame
        By unit_id and stimulus_condition_id, ordered by condition: spike_count (not with rates),
        stimulus_presentation_count, spike_mean, spike_std (of the sample) and spike_sem, which
        are NaN for a condition that was shown once.

    Raises
    ------
    NotFoundError
        If a unit, a presentation or a condition is not there.
    """
    import numpy as np

    with requiring("a DataFrame", "tables"):
        import pandas as pd
    shown = _rows(presentations, stimulus_presentation_ids)
    shown = shown[shown["stimulus_condition_id"].notna()]
    units = sorted(set(_units(spike_times, unit_ids)))
    starts, stops = _seconds(shown, "start_time"), _seconds(shown, "stop_time")
    counts = np.empty((len(shown), len(units)), dtype="int64")
    for column, unit in enumerate(units):
        low, high = _during(in_order(spike_times[unit]), starts, stops)
        counts[:, column] = high - low
    ids, which = np.unique(shown["stimulus_condition_id"].to_numpy(), return_inverse=True)
    unknown = [] if conditions is None else ids[~np.isin(ids, conditions.index)].tolist()
    if unknown:
        raise NotFoundError(
            f"no condition {_named(unknown)}",
            why=_between(conditions.index if conditions is not None else ()),
        )
    values = counts / (stops - starts)[:, None] if use_rates else counts
    blocks = [_statistics(values[which == each]) for each in range(len(ids))]
    columns = {
        name: np.concatenate([np.empty(0, kind), *(block[name] for block in blocks)])
        for name, kind in _STATISTICS.items()
        if not (use_rates and name == "spike_count")
    }
    index = pd.MultiIndex.from_arrays(
        [np.tile(np.array(units, "int64"), len(ids)), np.repeat(ids, len(units))],
        names=["unit_id", "stimulus_condition_id"],
    )
    return pd.DataFrame(columns, index=index)


_STATISTICS: Final = {
    "spike_count": "int64",
    "stimulus_presentation_count": "int64",
    "spike_mean": "float64",
    "spike_std": "float64",
    "spike_sem": "float64",
}


def _statistics(values: Array) -> dict[str, Array]:
    """Return the columns of one condition: presentations x units in, a number a unit out."""
    import numpy as np

    count, units = values.shape
    nothing = np.full(units, np.nan)
    std = np.std(values, axis=0, ddof=1) if count > 1 else nothing
    return {
        "spike_count": values.sum(axis=0),
        "stimulus_presentation_count": np.full(units, count, dtype="int64"),
        "spike_mean": values.mean(axis=0),
        "spike_std": std,
        "spike_sem": std / np.sqrt(count),
    }


def _during(times: Array, starts: Array, stops: Array) -> tuple[Array, Array]:
    """Return where the spikes of presentations begin and end: after its start, up to its stop."""
    low = times.searchsorted(starts, "right")
    return low, times.searchsorted(stops, "right").clip(low)


def _counted(windows: Windows, spikes: list[Any], kind: np.dtype[Any], once: bool) -> Array:
    """Return unit x presentation x bin."""
    import numpy as np

    whole = kind.kind in "ui"
    try:
        if whole and (once or kind.itemsize > 1):
            return windows.counted(spikes, kind, once=once)
        found = np.empty((len(spikes), windows.rows, windows.bins), dtype=kind)
        for start in range(0, len(spikes), _BLOCK):
            part = windows.counted(spikes[start : start + _BLOCK], np.dtype("uint32"), once=once)
            if whole and part.max(initial=0) > np.iinfo(kind).max:
                raise OverflowError(int(part.max()))
            found[start : start + _BLOCK] = part
    except OverflowError as error:
        raise UsageError(
            f"a bin holds more spikes than {kind} can count",
            why=f"{error.args[0]:,}",
            hint='dtype="uint32"',
        ) from error
    return found


def _no_spikes() -> pd.DataFrame:
    import pandas as pd

    names = ["spike_times", "stimulus_presentation", "unit_id"]
    return pd.DataFrame(columns=[*names, "time_since_stimulus_presentation_onset"])


def _edges(bin_edges: Any) -> Array:
    import numpy as np

    try:
        edges: Array = np.asarray(bin_edges, dtype="float64")
    except (TypeError, ValueError) as error:
        raise UsageError("the edges of bins are no numbers", why=str(error)) from error
    if edges.ndim != 1 or len(edges) < 2:
        raise UsageError("bins need two edges or more", why=f"given: {edges.size}")
    if not bool((np.diff(edges) >= 0).all()):
        raise UsageError("the edges of bins are not in order", hint="sorted(bin_edges)")
    return edges


def _domain(starts: Array, edges: Array, callback: Callable[[Array], Array] | None) -> Array:
    """Return the edges on the session's clock, one row for each presentation."""
    import numpy as np

    domain: Array = starts[:, None] + edges[None, :]
    if callback is None:
        return domain
    changed: Array = np.asarray(callback(domain), dtype="float64")
    if changed.shape != domain.shape:
        raise UsageError(
            "time_domain_callback returned edges of another shape",
            why=f"{changed.shape}, not {domain.shape}",
        )
    if not bool((np.diff(changed, axis=1) >= 0).all()):
        raise UsageError("time_domain_callback returned edges that are not in order")
    return changed


def _warn_of_overlap(domain: Array) -> None:
    import numpy as np

    over_s = domain[:-1, -1] - domain[1:, 0]
    rows = np.flatnonzero(over_s > 0)
    if not len(rows):
        return
    first = ", ".join(f"({row}, {row + 1})" for row in rows[:_SHOWN].tolist())
    more = f" and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
    warnings.warn(
        f"windows overlap or are not in the order of time, by up to {over_s.max():g} s: "
        f"rows {first}{more}; a spike is counted in each window it lies in",
        UserWarning,
        stacklevel=3,
    )


def _warn_of_width(width_s: float, most_s: float) -> None:
    if width_s > most_s:
        warnings.warn(
            f"bins of up to {width_s:.5f} s are wide for binarized counts: several spikes in one "
            f"become one (up to {most_s:g} s nothing is said)",
            UserWarning,
            stacklevel=3,
        )


def _ids(given: Any) -> list[Any]:
    import numpy as np

    single = isinstance(given, str) or not isinstance(given, Iterable)
    found: list[Any] = np.atleast_1d(np.asarray(given)).tolist() if single else list(given)
    return found


def _rows(presentations: pd.DataFrame, ids: Any) -> pd.DataFrame:
    """Return the rows of presentations in the order asked for."""
    if ids is None:
        return presentations.rename_axis(index=_PRESENTATION)
    wanted = _ids(ids)
    known = presentations.index
    unknown = [each for each in wanted if each not in known]
    if unknown:
        raise NotFoundError(f"no presentation {_named(unknown)}", why=_between(known))
    return presentations.loc[wanted].rename_axis(index=_PRESENTATION)


def _units(spike_times: Mapping[int, Array], ids: Any) -> list[int]:
    if ids is None:
        return list(spike_times)
    wanted = _ids(ids)
    unknown = [each for each in wanted if each not in spike_times]
    if unknown:
        raise NotFoundError(f"no unit {_named(unknown)}", why=_between(spike_times))
    return wanted


def _known(ids: Array, conditions: pd.DataFrame) -> None:
    import numpy as np

    unknown = ids[~np.isin(ids, conditions.index)].tolist()
    if unknown:
        raise NotFoundError(f"no condition {_named(unknown)}", why=_between(conditions.index))


def _named(ids: list[Any]) -> str:
    more = f" and {len(ids) - _SHOWN:,} more" if len(ids) > _SHOWN else ""
    return ", ".join(str(each) for each in ids[:_SHOWN]) + more


def _between(known: Iterable[Any]) -> str:
    there = list(known)
    return f"there are {len(there):,}, from {min(there)} to {max(there)}" if there else "none here"


def _seconds(table: pd.DataFrame, column: str) -> Array:
    import numpy as np

    if column not in table.columns:
        raise UsageError(f"the presentations have no {column}")
    found: Array = table[column].to_numpy("float64")
    if np.isnan(found).any():
        which = table.index[np.isnan(found)].tolist()
        raise UsageError(f"presentation {_named(which)} without {column}")
    return found
