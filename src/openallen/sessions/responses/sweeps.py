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

from openallen.errors import CorruptError, UsageError, requiring
from openallen.sessions.responses.statistics import anova, correlations, two_groups, welch

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, Any]

__all__ = ["Sweeps", "checked", "empty_peak", "trial_statistics"]

_RUNNING_CM_S: Final = 1.0
_SIGNIFICANT: Final = 0.05


@dataclass(frozen=True, eq=False)
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
        source = self.running if cell == -1 else self.traces[cell].astype("float64")
        found = []
        for start in self.stim_table["start"].tolist():
            first = int(start) - self.interlength
            stop = int(start) + self.sweeplength + self.interlength
            found.append(source[first:stop] if first >= 0 else source[:0])
        return found if cell == -1 else [_percent(each, self.interlength) for each in found]

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

        count = len(self.stim_table)
        means: dict[str, Array] = {}
        tests: dict[str, Array] = {}
        before = self.interlength
        behind = before + self.sweeplength + self.extralength
        whole = self.sweeplength + 2 * self.interlength
        for name, cell in self._columns().items():
            mean, test = np.full(count, np.nan), np.full(count, np.nan)
            sweeps = self.sweep(cell)
            full = [row for row, each in enumerate(sweeps) if len(each) == whole]
            if full:
                table = np.stack([sweeps[row] for row in full])
                mean[full] = table[:, before:behind].mean(axis=1)
                test[full] = two_groups(table[:, :before], table[:, before:behind])
            for row, each in enumerate(sweeps):
                if before < len(each) < whole:
                    mean[row] = each[before:behind].mean()
                    test[row] = two_groups(each[None, :before], each[None, before:behind])[0]
            means[name], tests[name] = mean, test
        index = self.stim_table.index
        return pd.DataFrame(means, index=index), pd.DataFrame(tests, index=index)

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

        sweeps = self.sweep(cell)
        behind = self.interlength + self.sweeplength + self.extralength
        courses = [sweeps[row][self.interlength : behind] for row in np.flatnonzero(rows)]
        whole = [each for each in courses if len(each) == behind - self.interlength]
        pairs = correlations(np.array(whole)) if len(whole) > 1 else np.empty(0)
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

        sweeps = self.sweep(cell)
        whole = self.sweeplength + 2 * self.interlength
        courses = [sweeps[row] for row in np.flatnonzero(rows) if len(sweeps[row]) == whole]
        if not courses:
            return math.nan
        at = int(np.mean(courses, axis=0).argmax())
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


def checked(
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
