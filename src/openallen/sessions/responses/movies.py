"""Responses to natural movies, as in the Allen Brain Observatory's analysis."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openallen.display import facts_text
from openallen.sessions.responses.statistics import correlations
from openallen.sessions.responses.sweeps import checked, empty_peak

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, Any]

__all__ = ["NaturalMovie", "natural_movie"]

_SHORT = {"natural_movie_one": "nm1", "natural_movie_two": "nm2", "natural_movie_three": "nm3"}


def natural_movie(
    traces: Any,
    timestamps: Any,
    stimulus_table: pd.DataFrame,
    movie_name: str,
    *,
    cell_specimen_ids: Any = None,
) -> NaturalMovie:
    """Analyse responses to a natural movie.

    Parameters
    ----------
    traces
        ΔF/F, cell x frame.
    timestamps
        Time of each frame, s.
    stimulus_table
        ``frame`` of the movie, ``start`` and ``end`` (frames of the recording) and ``repeat``.
    movie_name
        ``natural_movie_one``, ``natural_movie_two`` or ``natural_movie_three``.
    cell_specimen_ids
        Ids of the cells; those of `traces` where None, or else their rows.

    Raises
    ------
    CorruptError
        If traces, times and ids do not belong together.
    UsageError
        If the table lacks a column.
    """
    held = checked(traces, timestamps, stimulus_table, (), cell_specimen_ids, ("frame",))
    table = stimulus_table[stimulus_table["frame"] == 0]
    return NaturalMovie(held["traces"], table, held["cell_specimen_ids"], movie_name)


@dataclass(frozen=True, eq=False, repr=False)
class NaturalMovie:
    """Responses to a natural movie; AllenSDK's names and values.

    Attributes
    ----------
    traces
        ΔF/F, cell x frame.
    stim_table
        One row for each time the movie was shown.
    cell_specimen_ids
        Ids of the cells.
    movie_name
        Which movie.
    """

    traces: Array
    stim_table: pd.DataFrame
    cell_specimen_ids: Array
    movie_name: str

    def __repr__(self) -> str:
        told = {
            "movie": self.movie_name,
            "cells": f"{len(self.cell_specimen_ids):,}",
            "shown": f"{len(self.stim_table):,} times, {self.sweeplength} frames each",
            "results": "peak, sweep_response",
        }
        return facts_text(type(self).__name__, told)

    @property
    def sweeplength(self) -> int:
        """Frames from the start of the movie to its next start."""
        starts = self.stim_table["start"]
        return int(starts.iloc[1] - starts.iloc[0]) if len(starts) > 1 else 0

    def _courses(self, cell: int) -> list[Array]:
        starts = self.stim_table["start"].tolist()
        trace = self.traces[cell]
        return [trace[int(start) : int(start) + self.sweeplength] for start in starts]

    @functools.cached_property
    def sweep_response(self) -> pd.DataFrame:
        """ΔF/F during each showing: arrays, showing x cell (by row, as text)."""
        import numpy as np
        import pandas as pd

        columns = {}
        for cell in range(len(self.traces)):
            cells = np.empty(len(self.stim_table), dtype=object)
            for row, each in enumerate(self._courses(cell)):
                cells[row] = each
            columns[str(cell)] = cells
        return pd.DataFrame(columns, index=self.stim_table.index)

    @functools.cached_property
    def peak(self) -> pd.DataFrame:
        """Frame of the largest mean response, and the mean correlation of pairs of showings."""
        import numpy as np
        import pandas as pd

        short = _SHORT.get(self.movie_name, self.movie_name)
        names = (f"peak_{short}", f"response_reliability_{short}", "cell_specimen_id")
        found = empty_peak(names, len(self.traces))
        for cell in range(len(self.traces)):
            whole = [each for each in self._courses(cell) if len(each) == self.sweeplength]
            courses = np.array(whole, dtype="float64")
            pairs = correlations(courses) if len(whole) > 1 else np.empty(0)
            if whole and self.sweeplength:
                found[names[0]][cell] = int(courses.mean(axis=0).argmax())
            found[names[1]][cell] = float(pairs.mean()) if len(pairs) else math.nan
            found[names[2]][cell] = int(self.cell_specimen_ids[cell])
        return pd.DataFrame(found)
