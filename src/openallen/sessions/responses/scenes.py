"""Responses to natural scenes, as in the Allen Brain Observatory's analysis."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.sessions.responses.statistics import spearman
from openallen.sessions.responses.sweeps import Sweeps, checked, empty_peak

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, Any]

__all__ = ["NaturalScenes", "natural_scenes"]

_COLUMNS: Final = (
    "scene_ns",
    "reliability_ns",
    "peak_dff_ns",
    "ptest_ns",
    "p_run_ns",
    "run_modulation_ns",
    "time_to_peak_ns",
    "cell_specimen_id",
    "image_selectivity_ns",
)
_LEAST: Final = 5
_LEVELS: Final = 1000


def natural_scenes(
    traces: Any,
    timestamps: Any,
    stimulus_table: pd.DataFrame,
    running: Any,
    *,
    cell_specimen_ids: Any = None,
) -> NaturalScenes:
    """Analyse responses to natural scenes; see `gratings.drifting_gratings`.

    The table has ``frame``: the number of the scene, -1 for blanks.
    """
    held = checked(traces, timestamps, stimulus_table, running, cell_specimen_ids, ("frame",))
    length = int(stimulus_table["end"].iloc[1] - stimulus_table["start"].iloc[1])
    return NaturalScenes(
        **held,
        stim_table=stimulus_table,
        sweeplength=length,
        interlength=4 * length,
        extralength=length,
    )


@dataclass(frozen=True, eq=False, repr=False)
class NaturalScenes(Sweeps):
    """Responses to natural scenes; AllenSDK's names and values."""

    @property
    def number_scenes(self) -> int:
        """How many scenes there are, the blank among them."""
        return int(self.stim_table["frame"].max()) + 2

    def _rows(self, scene: int) -> Array:
        found: Array = (self.stim_table["frame"] == scene).to_numpy()
        return found

    @functools.cached_property
    def response(self) -> Array:
        """Mean, standard error, number of significant sweeps: scene x cell x 3.

        The first scene is the blank, the last cell is running.
        """
        import numpy as np

        scenes = range(-1, self.number_scenes - 1)
        conditions = self.number_scenes - 1
        return np.stack([self.condition(self._rows(scene), conditions) for scene in scenes])

    @functools.cached_property
    def peak(self) -> pd.DataFrame:
        """What each cell prefers, and how much; ``scene_ns`` is the number of the scene."""
        import numpy as np
        import pandas as pd

        found = empty_peak(_COLUMNS, self.numbercells)
        groups = [self._rows(scene) for scene in range(-1, self.number_scenes - 1)]
        for cell in range(self.numbercells):
            found["cell_specimen_id"][cell] = int(self.cell_specimen_ids[cell])
            tuned = self.response[1:, cell, 0]
            if np.isnan(tuned).all():
                continue
            scene = int(np.nanargmax(tuned))
            rows = self._rows(scene)
            p_run, modulation = self.running_effect(cell, rows, _LEAST)
            told = {
                "scene_ns": scene,
                "reliability_ns": self.reliability(cell, rows),
                "peak_dff_ns": float(tuned[scene]),
                "ptest_ns": self.difference(cell, groups),
                "p_run_ns": p_run,
                "run_modulation_ns": modulation,
                "time_to_peak_ns": self.time_to_peak(cell, rows),
                "image_selectivity_ns": _selectivity(tuned),
            }
            for name, value in told.items():
                found[name][cell] = value
        return pd.DataFrame(found)

    def get_signal_correlation(self) -> tuple[Array, Array]:
        """Return Spearman's correlation of cells' mean responses, the blank's too, and its p."""
        return spearman(self.response[:, :-1, 0])

    def get_representational_similarity(self) -> tuple[Array, Array]:
        """Return Spearman's correlation of scenes over cells, the blank first, and its p value."""
        return spearman(self.response[:, :-1, 0].T)


def _selectivity(tuned: Array) -> float:
    """Return 1 less twice the mean share of scenes above levels from the least to the most."""
    import numpy as np

    there = np.sort(tuned[~np.isnan(tuned)])
    levels = np.linspace(there[0], there[-1], _LEVELS, endpoint=False)
    above = len(there) - there.searchsorted(levels, "right")
    return float(1 - 2 * (above / len(there)).mean())
