"""Responses to gratings, drifting and static, as in the Allen Brain Observatory's analysis."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.sessions.responses.statistics import spearman
from openallen.sessions.responses.sweeps import Sweeps, checked, empty_peak, trial_statistics

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, Any]

__all__ = ["DriftingGratings", "StaticGratings", "drifting_gratings", "static_gratings"]

_DRIFTING_FRAMES: Final = 60
_BETWEEN_FRAMES: Final = 30
_DRIFTING: Final = (
    "ori_dg",
    "tf_dg",
    "reliability_dg",
    "osi_dg",
    "dsi_dg",
    "peak_dff_dg",
    "ptest_dg",
    "p_run_dg",
    "run_modulation_dg",
    "cv_os_dg",
    "cv_ds_dg",
    "tf_index_dg",
    "cell_specimen_id",
)
_STATIC: Final = (
    "ori_sg",
    "sf_sg",
    "phase_sg",
    "reliability_sg",
    "osi_sg",
    "peak_dff_sg",
    "ptest_sg",
    "time_to_peak_sg",
    "cell_specimen_id",
    "p_run_sg",
    "cv_os_sg",
    "run_modulation_sg",
    "sf_index_sg",
)
_LEAST_DRIFTING: Final = 3
_LEAST_STATIC: Final = 5


def drifting_gratings(
    traces: Any,
    timestamps: Any,
    stimulus_table: pd.DataFrame,
    running: Any,
    *,
    cell_specimen_ids: Any = None,
) -> DriftingGratings:
    """Analyse responses to drifting gratings.

    Parameters
    ----------
    traces
        Corrected fluorescence, cell x frame.
    timestamps
        Time of each frame, s.
    stimulus_table
        ``orientation`` (degrees), ``temporal_frequency`` (Hz), ``blank_sweep``, ``start`` and
        ``end`` (frames) of each sweep; NaN for blanks.
    running
        Speed at each frame, cm/s.
    cell_specimen_ids
        Ids of the cells; those of `traces` where None, or else their rows.

    Raises
    ------
    CorruptError
        If traces, times and ids do not belong together.
    UsageError
        If the table lacks a column.
    """
    columns = ("orientation", "temporal_frequency", "blank_sweep")
    held = checked(traces, timestamps, stimulus_table, running, cell_specimen_ids, columns)
    return DriftingGratings(
        **held,
        stim_table=stimulus_table.fillna(0),
        sweeplength=_DRIFTING_FRAMES,
        interlength=_BETWEEN_FRAMES,
        extralength=0,
    )


def static_gratings(
    traces: Any,
    timestamps: Any,
    stimulus_table: pd.DataFrame,
    running: Any,
    *,
    cell_specimen_ids: Any = None,
) -> StaticGratings:
    """Analyse responses to static gratings; see `drifting_gratings`.

    The table has ``orientation`` (degrees), ``spatial_frequency`` (cycles/degree) and ``phase``.
    """
    columns = ("orientation", "spatial_frequency", "phase")
    held = checked(traces, timestamps, stimulus_table, running, cell_specimen_ids, columns)
    table = stimulus_table.fillna(0)
    length = int(table["end"].iloc[1] - table["start"].iloc[1])
    return StaticGratings(
        **held,
        stim_table=table,
        sweeplength=length,
        interlength=4 * length,
        extralength=length,
    )


@dataclass(frozen=True, eq=False, repr=False)
class DriftingGratings(Sweeps):
    """Responses to drifting gratings; AllenSDK's names and values."""

    @functools.cached_property
    def orivals(self) -> Array:
        """Directions, degrees."""
        return _values(self.stim_table["orientation"]).astype("int64")

    @functools.cached_property
    def tfvals(self) -> Array:
        """Temporal frequencies, Hz, 0 of blanks among them."""
        return _values(self.stim_table["temporal_frequency"]).astype("int64")

    @property
    def number_ori(self) -> int:
        """How many directions there are."""
        return len(self.orivals)

    @property
    def number_tf(self) -> int:
        """How many temporal frequencies there are, with that of blanks."""
        return len(self.tfvals)

    def _rows(self, ori: int, tf: int) -> Array:
        table = self.stim_table
        found: Array = (
            (table["orientation"] == self.orivals[ori])
            & (table["temporal_frequency"] == self.tfvals[tf])
        ).to_numpy()
        return found

    @functools.cached_property
    def response(self) -> Array:
        """Mean, standard error, number of significant sweeps: direction x frequency x cell x 3.

        Frequency 0 of direction 0 are the blanks, of the others NaN; the last cell is running.
        """
        import numpy as np

        found = np.full((self.number_ori, self.number_tf, self.numbercells + 1, 3), np.nan)
        conditions = self.number_ori * (self.number_tf - 1)
        for ori in range(self.number_ori):
            for tf in range(self.number_tf):
                found[ori, tf] = self.condition(self._rows(ori, tf), conditions)
        return found

    @functools.cached_property
    def peak(self) -> pd.DataFrame:
        """What each cell prefers, and how much; one row a cell, NaN where that cannot be said.

        ``ori_dg`` and ``tf_dg`` are indices into `orivals` and `tfvals`.
        """
        import numpy as np
        import pandas as pd

        found = empty_peak(_DRIFTING, self.numbercells)
        groups = [self._rows(0, 0)]
        groups += [
            self._rows(o, t) for o in range(self.number_ori) for t in range(1, self.number_tf)
        ]
        for cell in range(self.numbercells):
            found["cell_specimen_id"][cell] = int(self.cell_specimen_ids[cell])
            tuned = self.response[:, 1:, cell, 0]
            if np.isnan(tuned).all():
                continue
            best = np.unravel_index(np.nanargmax(tuned), tuned.shape)
            told = self._one(cell, int(best[0]), int(best[1]) + 1, groups)
            for name, value in told.items():
                found[name][cell] = value
        return pd.DataFrame(found)

    def _one(self, cell: int, ori: int, tf: int, groups: list[Array]) -> dict[str, Any]:
        curve = self.response[:, tf, cell, 0]
        rows, quarter = self._rows(ori, tf), self.number_ori // 4
        best = curve[ori]
        across = (curve[(ori + quarter) % self.number_ori] + curve[ori - quarter]) / 2
        p_run, modulation = self.running_effect(cell, rows, _LEAST_DRIFTING)
        trials = [self.values(cell, self._rows(ori, each)) for each in range(1, self.number_tf)]
        return {
            "ori_dg": ori,
            "tf_dg": tf,
            "reliability_dg": self.reliability(cell, rows),
            "osi_dg": _contrast(best, across),
            "dsi_dg": _contrast(best, curve[(ori + 2 * quarter) % self.number_ori]),
            "peak_dff_dg": float(best),
            "ptest_dg": self.difference(cell, groups),
            "p_run_dg": p_run,
            "run_modulation_dg": modulation,
            "cv_os_dg": _selectivity(curve, self.orivals, 2),
            "cv_ds_dg": _selectivity(curve, self.orivals, 1),
            "tf_index_dg": trial_statistics(self.response[ori, 1:, cell, 0], trials),
        }

    def _means(self) -> Array:
        means = self.response[:, 1:, :-1, 0]
        return means.reshape(-1, self.numbercells)

    def get_signal_correlation(self) -> tuple[Array, Array]:
        """Return Spearman's correlation of cells' mean responses and its p value: cell x cell."""
        return spearman(self._means())

    def get_representational_similarity(self) -> tuple[Array, Array]:
        """Return Spearman's correlation of conditions over cells and its p value.

        Conditions are ordered by direction, then by temporal frequency, without blanks.
        """
        return spearman(self._means().T)

    def get_noise_correlation(self) -> tuple[Array, Array, Array, Array]:
        """Return Spearman's correlation of cells over the sweeps of each condition.

        Returns
        -------
        tuple
            Correlation and p value, cell x cell x direction x temporal frequency; the same of
            blanks, cell x cell. The p value of a pair of cells stands above the diagonal only;
            below it is 0, as AllenSDK has it.
        """
        import numpy as np

        cells, tfs = self.numbercells, self.number_tf - 1
        found = np.full((cells, cells, self.number_ori, tfs), np.nan)
        tests = np.full_like(found, np.nan)
        values = self.mean_sweep_response.to_numpy()[:, :-1]
        for ori in range(self.number_ori):
            for tf in range(tfs):
                both = spearman(values[self._rows(ori, tf + 1)])
                found[:, :, ori, tf], tests[:, :, ori, tf] = both[0], np.triu(both[1])
        blank, blank_tests = spearman(values[self._rows(0, 0)])
        return found, tests, blank, np.triu(blank_tests)


@dataclass(frozen=True, eq=False, repr=False)
class StaticGratings(Sweeps):
    """Responses to static gratings; AllenSDK's names and values."""

    @functools.cached_property
    def orivals(self) -> Array:
        """Orientations, degrees."""
        return _values(self.stim_table["orientation"])

    @functools.cached_property
    def sfvals(self) -> Array:
        """Spatial frequencies, cycles/degree, 0 of blanks among them."""
        return _values(self.stim_table["spatial_frequency"])

    @functools.cached_property
    def phasevals(self) -> Array:
        """Phases, of a cycle."""
        return _values(self.stim_table["phase"])

    @property
    def number_ori(self) -> int:
        """How many orientations there are."""
        return len(self.orivals)

    @property
    def number_sf(self) -> int:
        """How many spatial frequencies there are, with that of blanks."""
        return len(self.sfvals)

    @property
    def number_phase(self) -> int:
        """How many phases there are."""
        return len(self.phasevals)

    def _rows(self, ori: int, sf: int, phase: int) -> Array:
        table = self.stim_table
        found: Array = (
            (table["orientation"] == self.orivals[ori])
            & (table["spatial_frequency"] == self.sfvals[sf])
            & (table["phase"] == self.phasevals[phase])
        ).to_numpy()
        return found

    def _shape(self) -> tuple[int, int, int]:
        return self.number_ori, self.number_sf, self.number_phase

    @functools.cached_property
    def response(self) -> Array:
        """Mean, standard error, significant sweeps: orientation x frequency x phase x cell x 3.

        Frequency 0 of orientation 0 and phase 0 are the blanks, of the others NaN; the last cell
        is running.
        """
        import numpy as np

        found = np.full((*self._shape(), self.numbercells + 1, 3), np.nan)
        conditions = self.number_ori * (self.number_sf - 1)
        for ori, sf, phase in np.ndindex(*self._shape()):
            found[ori, sf, phase] = self.condition(self._rows(ori, sf, phase), conditions)
        return found

    @functools.cached_property
    def peak(self) -> pd.DataFrame:
        """What each cell prefers, and how much; one row a cell, NaN where that cannot be said.

        ``ori_sg``, ``sf_sg`` and ``phase_sg`` are indices into `orivals`, `sfvals`, `phasevals`.
        """
        import numpy as np
        import pandas as pd

        found = empty_peak(_STATIC, self.numbercells)
        groups = [self._rows(*each) for each in np.ndindex(*self._shape()) if each[1]]
        groups.append(self._rows(0, 0, 0))
        for cell in range(self.numbercells):
            found["cell_specimen_id"][cell] = int(self.cell_specimen_ids[cell])
            tuned = self.response[:, 1:, :, cell, 0]
            if np.isnan(tuned).all():
                continue
            ori, sf, phase = (int(n) for n in np.unravel_index(np.nanargmax(tuned), tuned.shape))
            told = self._one(cell, (ori, sf + 1, phase), groups)
            for name, value in told.items():
                found[name][cell] = value
        return pd.DataFrame(found)

    def _one(self, cell: int, at: tuple[int, int, int], groups: list[Array]) -> dict[str, Any]:
        ori, sf, phase = at
        rows = self._rows(*at)
        curve = self.response[:, sf, phase, cell, 0]
        p_run, modulation = self.running_effect(cell, rows, _LEAST_STATIC)
        trials = [
            self.values(cell, self._rows(ori, each, phase)) for each in range(1, self.number_sf)
        ]
        return {
            "ori_sg": ori,
            "sf_sg": sf,
            "phase_sg": phase,
            "reliability_sg": self.reliability(cell, rows),
            "osi_sg": _contrast(curve[ori], curve[(ori + self.number_ori // 2) % self.number_ori]),
            "peak_dff_sg": float(curve[ori]),
            "ptest_sg": self.difference(cell, groups),
            "time_to_peak_sg": self.time_to_peak(cell, rows),
            "p_run_sg": p_run,
            "cv_os_sg": _selectivity(curve, self.orivals, 2),
            "run_modulation_sg": modulation,
            "sf_index_sg": trial_statistics(self.response[ori, 1:, phase, cell, 0], trials),
        }

    def _means(self) -> Array:
        means = self.response[:, 1:, :, :-1, 0]
        return means.reshape(-1, self.numbercells)

    def get_signal_correlation(self) -> tuple[Array, Array]:
        """Return Spearman's correlation of cells' mean responses and its p value: cell x cell."""
        return spearman(self._means())

    def get_representational_similarity(self) -> tuple[Array, Array]:
        """Return Spearman's correlation of conditions over cells and its p value.

        Conditions are ordered by orientation, spatial frequency and phase, without blanks.
        """
        return spearman(self._means().T)


def _values(column: pd.Series[Any]) -> Array:
    import numpy as np

    found: Array = np.unique(column.to_numpy("float64"))
    return found


def _contrast(first: float, second: float) -> float:
    total = float(first + second)
    return float(first - second) / total if total else math.nan


def _selectivity(curve: Array, degrees: Array, times: int) -> float:
    """Return the length of the mean vector of a tuning curve; what is below 0 counts as 0."""
    import numpy as np

    positive = np.where(curve > 0, curve, 0)
    turned = np.exp(1j * times * np.deg2rad(degrees))
    total = float(positive.sum())
    return float(abs((positive * turned).sum())) / total if total else math.nan
