"""Cells around each presentation of a stimulus: what the analyses by stimulus have in common.

The rules are those of the Allen Brain Observatory's stimulus analysis, found from its documentation
and from what AllenSDK 2.16.2 gives: a sweep is ΔF/F in percent of the mean before it began.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.display import facts_text
from openallen.errors import CorruptError, UsageError, requiring
from openallen.sessions.responses.statistics import anova, correlations, two_groups, welch

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, Any]

__all__ = ["Sweeps", "checked", "empty_peak", "trial_statistics"]

_RESULTS: Final = (
    "peak", "response", "mean_response", "sweep_response", "mean_sweep_response", "pval",
)  # fmt: skip
_RUNNING_CM_S: Final = 1.0
_SIGNIFICANT: Final = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class Sweeps:
    """Sweeps of one stimulus.

    Attributes
    ----------
    traces
        Corrected fluorescence, cell x frame.
    timestamps
        Time of each frame, s.
    stim_table
        One row for each sweep, with ``start`` and ``end`` (frames); blanks have 0 for parameters.
    running
        Speed at each frame, cm/s.
    cell_specimen_ids
        Ids of the cells.
    sweeplength, interlength, extralength
        Frames of a sweep, of what is looked at before and behind it, and of what still counts as
        its response.
    """

    traces: Array
    timestamps: Array
    stim_table: pd.DataFrame
    running: Array
    cell_specimen_ids: Array
    sweeplength: int
    interlength: int
    extralength: int

    def __repr__(self) -> str:
        told = {
            "cells": f"{len(self.cell_specimen_ids):,}",
            "sweeps": f"{len(self.stim_table):,}, {self.sweeplength} frames each",
            "results": ", ".join(name for name in _RESULTS if hasattr(type(self), name)),
        }
        return facts_text(type(self).__name__, told)

    @property
    def numbercells(self) -> int:
        """How many cells there are."""
        return len(self.traces)

    @property
    def acquisition_rate(self) -> float:
        """Frames per second, from the first two."""
        return float(1 / (self.timestamps[1] - self.timestamps[0]))

    def sweep(self, cell: int) -> list[Array]:
        """Return one cell's ΔF/F in percent, an array for each sweep; running for -1.

        Sweeps that the recording ends in are shorter; one that begins too early is empty.
        """
        source = self._source(cell)
        found = []
        for first in self._firsts.tolist():
            stop = first + self.sweeplength + 2 * self.interlength
            found.append(source[first:stop] if first >= 0 else source[:0])
        return found if cell == -1 else [_percent(each, self.interlength) for each in found]

    def _source(self, cell: int) -> Array:
        return self.running if cell == -1 else self.traces[cell].astype("float64")

    @functools.cached_property
    def _firsts(self) -> Array:
        """The frame that each sweep begins at, with what is before."""
        import numpy as np

        found: Array = self.stim_table["start"].to_numpy().astype(np.intp) - self.interlength
        return found

    def _whole(self, cell: int, rows: Array) -> tuple[Array, Array]:
        """Return which of some rows the recording holds whole, and these sweeps: row x frame."""
        import numpy as np

        source, length = self._source(cell), self.sweeplength + 2 * self.interlength
        firsts = self._firsts[rows]
        there = (firsts >= 0) & (firsts + length <= len(source))
        sweeps = source[firsts[there][:, None] + np.arange(length)]
        if cell != -1:
            with np.errstate(divide="ignore", invalid="ignore"):
                before = sweeps[:, : self.interlength].mean(axis=1)
                sweeps = (sweeps / before[:, None] - 1) * 100
        return rows[there], sweeps

    @functools.cached_property
    def sweep_response(self) -> pd.DataFrame:
        """Arrays, sweep x cell (by row, as text) and ``dx`` for running; large: mind the memory."""
        import numpy as np
        import pandas as pd

        columns = {}
        for name, cell in self._columns().items():
            cells = np.empty(len(self.stim_table), dtype=object)
            cells[:] = _objects(self.sweep(cell))
            columns[name] = cells
        return pd.DataFrame(columns, index=self.stim_table.index)

    @functools.cached_property
    def mean_sweep_response(self) -> pd.DataFrame:
        """Mean response to each sweep, sweep x cell and ``dx``: percent, and cm/s."""
        return self._by_sweep[0]

    @functools.cached_property
    def pval(self) -> pd.DataFrame:
        """P value of each sweep: an analysis of variance of before it and of the response."""
        return self._by_sweep[1]

    @functools.cached_property
    def _by_sweep(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        import numpy as np
        import pandas as pd

        rows = np.arange(len(self.stim_table))
        means: dict[str, Array] = {}
        tests: dict[str, Array] = {}
        before, behind = self.interlength, self._behind
        for name, cell in self._columns().items():
            mean, test = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
            full, sweeps = self._whole(cell, rows)
            mean[full] = sweeps[:, before:behind].mean(axis=1)
            test[full] = two_groups(sweeps[:, :before], sweeps[:, before:behind])
            cut = self.sweep(cell) if len(full) < len(rows) else []
            for row in np.setdiff1d(rows, full).tolist():
                if len(cut[row]) > before:
                    part = cut[row][None, :behind]
                    mean[row] = part[0, before:].mean()
                    test[row] = two_groups(part[:, :before], part[:, before:])[0]
            means[name], tests[name] = mean, test
        index = self.stim_table.index
        return pd.DataFrame(means, index=index), pd.DataFrame(tests, index=index)

    @property
    def _behind(self) -> int:
        return self.interlength + self.sweeplength + self.extralength

    def _columns(self) -> dict[str, int]:
        return {**{str(cell): cell for cell in range(self.numbercells)}, "dx": -1}

    def condition(self, rows: Array, conditions: int) -> Array:
        """Return mean, standard error and significant sweeps of a condition: cell x 3.

        Parameters
        ----------
        rows
            Which sweeps, true or false.
        conditions
            How many conditions there are: what counts as significant is a p below 0.05 by that.
        """
        import numpy as np

        values = self.mean_sweep_response.to_numpy()[rows]
        tests = self.pval.to_numpy()[rows]
        found = np.full((values.shape[1], 3), np.nan)
        if not len(values):
            return found
        there = ~np.isnan(values)
        count = there.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(there, values, 0).sum(axis=0) / count
            squares = (np.where(there, values - mean, 0) ** 2).sum(axis=0)
            std = np.sqrt(squares / (count - 1))
        found[:, 0] = mean
        found[:, 1] = np.where(count > 1, std / math.sqrt(len(values)), np.nan)
        found[:, 2] = (tests < _SIGNIFICANT / conditions).sum(axis=0)
        return found

    def values(self, cell: int, rows: Array) -> Array:
        """Return the mean responses of a cell to some sweeps."""
        found: Array = self.mean_sweep_response.iloc[:, cell].to_numpy()[rows]
        return found

    def reliability(self, cell: int, rows: Array) -> float:
        """Return how alike the courses of a cell's responses are: the mean correlation of pairs."""
        import numpy as np

        courses = self._whole(cell, np.flatnonzero(rows))[1][:, self.interlength : self._behind]
        pairs = correlations(courses)
        return float(pairs.mean()) if len(pairs) else math.nan

    def running_effect(self, cell: int, rows: Array, least: int) -> tuple[float, float]:
        """Return p value and modulation of responses while running against those at rest.

        Both are NaN with fewer than `least` sweeps on either side; the modulation is the difference
        by the larger of the two means.
        """
        values, speed = self.values(cell, rows), self.values(-1, rows)
        runs, rests = values[speed >= _RUNNING_CM_S], values[speed < _RUNNING_CM_S]
        if min(len(runs), len(rests)) < least:
            return math.nan, math.nan
        run, rest = float(runs.mean()), float(rests.mean())
        larger = max(rest, run)
        return welch(runs, rests), (run - rest) / larger if larger else math.nan

    def time_to_peak(self, cell: int, rows: Array) -> float:
        """Return when a cell's mean course is at its highest, s from the start of the sweep."""
        import numpy as np

        courses = self._whole(cell, np.flatnonzero(rows))[1]
        if not len(courses):
            return math.nan
        at = int(courses.mean(axis=0).argmax())
        return (at - self.interlength) / self.acquisition_rate

    def difference(self, cell: int, groups: Sequence[Array]) -> float:
        """Return the p value of an analysis of variance of a cell's responses to conditions."""
        return anova([self.values(cell, rows) for rows in groups])


def _percent(trace: Array, before: int) -> Array:
    import numpy as np

    if len(trace) <= before:
        return trace[:0]
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = (trace / trace[:before].mean() - 1) * 100
    return found


def _objects(arrays: Sequence[Array]) -> Array:
    import numpy as np

    found = np.empty(len(arrays), dtype=object)
    for row, each in enumerate(arrays):
        found[row] = each
    return found


def trial_statistics(tuned: Array, trials: Sequence[Array]) -> float:
    """Return how well a tuning curve tells its conditions apart, from 0 to 1.

    The range of the means by that range and twice the spread of all trials.
    """
    import numpy as np

    every = np.concatenate(list(trials))
    freedom = len(every) - len(tuned)
    if freedom < 1:
        return math.nan
    spread = math.sqrt(float(((every - every.mean()) ** 2).sum()) / freedom)
    extent = float(np.max(tuned) - np.min(tuned))
    return extent / (extent + 2 * spread) if extent + spread else math.nan


def checked(  # noqa: PLR0917 - passed on as they came
    traces: Any,
    timestamps: Any,
    stimulus_table: pd.DataFrame,
    running: Any,
    cell_specimen_ids: Any,
    columns: Sequence[str],
) -> Mapping[str, Any]:
    """Return what `Sweeps` holds, looked through.

    Raises
    ------
    CorruptError
        If traces and ids, or traces and times, do not belong together.
    UsageError
        If the table lacks a column, or has too few rows.
    """
    import numpy as np

    with requiring("a DataFrame", "tables"):
        import pandas as pd  # noqa: F401 - said here, used everywhere below
    values, times = np.asarray(traces), np.asarray(timestamps, dtype="float64")
    told = getattr(traces, "cell_specimen_id", np.arange(len(values)))
    ids = np.asarray(told if cell_specimen_ids is None else cell_specimen_ids)
    if values.ndim != 2 or len(ids) != len(values):
        raise CorruptError("traces are no cell x frame", why=f"{values.shape}, {len(ids)} ids")
    if len(times) < 2 or abs(len(times) - values.shape[1]) > 1:
        raise CorruptError(
            "traces and times differ in length", why=f"{values.shape[1]:,} and {len(times):,}"
        )
    missing = [name for name in (*columns, "start", "end") if name not in stimulus_table]
    if missing:
        raise UsageError(f"the stimulus table has no '{missing[0]}'")
    if len(stimulus_table) < 2:
        raise UsageError("the stimulus table has too few rows", why=f"{len(stimulus_table)}")
    return {
        "traces": values,
        "timestamps": times,
        "running": np.asarray(running, dtype="float64"),
        "cell_specimen_ids": ids,
    }


def empty_peak(columns: Sequence[str], rows: int) -> dict[str, Array]:
    """Return columns of objects for a table of peaks, NaN as yet."""
    import numpy as np

    return {name: np.full(rows, np.nan, dtype=object) for name in columns}
