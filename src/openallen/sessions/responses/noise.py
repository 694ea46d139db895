"""Responses to locally sparse noise, as in the Allen Brain Observatory's analysis."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import UsageError
from openallen.sessions.responses.sweeps import Sweeps, checked

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, Any]

__all__ = ["LocallySparseNoise", "locally_sparse_noise"]

_ON: Final = 255
_OFF: Final = 0


def locally_sparse_noise(
    traces: Any,
    timestamps: Any,
    stimulus_table: pd.DataFrame,
    running: Any,
    template: Any,
    *,
    mask: Any = None,
    cell_specimen_ids: Any = None,
) -> LocallySparseNoise:
    """Analyse responses to locally sparse noise; see `gratings.drifting_gratings`.

    The table has ``frame``, the number of the image in `template` (image x row x column, 255 for
    bright and 0 for dark spots); `mask` says which spots were on the screen, all where None.

    Raises
    ------
    CorruptError
        If traces, times and ids do not belong together.
    UsageError
        If the table lacks a column, or names an image that is not there.
    """
    import numpy as np

    held = checked(traces, timestamps, stimulus_table, running, cell_specimen_ids, ("frame",))
    images = np.asarray(template)
    frames = stimulus_table["frame"]
    if images.ndim != 3 or not bool(frames.between(0, len(images) - 1).all()):
        raise UsageError(
            "the images and the table of this noise do not belong together",
            why=f"images {images.shape}, frames {frames.min()} to {frames.max()}",
        )
    length = int(stimulus_table["end"].iloc[1] - stimulus_table["start"].iloc[1])
    return LocallySparseNoise(
        **held,
        stim_table=stimulus_table,
        sweeplength=length,
        interlength=4 * length,
        extralength=length,
        LSN=images,
        LSN_mask=np.ones(images.shape[1:], bool) if mask is None else np.asarray(mask, bool),
    )


@dataclass(frozen=True, eq=False, repr=False)
class LocallySparseNoise(Sweeps):
    """Responses to locally sparse noise; AllenSDK's names and values.

    Attributes
    ----------
    LSN
        The images, image x row x column.
    LSN_mask
        Which spots were on the screen, row x column.
    """

    LSN: Array
    LSN_mask: Array

    @property
    def nrows(self) -> int:
        """Rows of an image."""
        return int(self.LSN.shape[1])

    @property
    def ncols(self) -> int:
        """Columns of an image."""
        return int(self.LSN.shape[2])

    @functools.cached_property
    def mean_response(self) -> Array:
        """Mean response to a bright and to a dark spot: row x column x cell x 2.

        NaN where there was never such a spot; the last cell is running.
        """
        import numpy as np

        values = self.mean_sweep_response.to_numpy()
        there = (~np.isnan(values)).astype("float64")
        filled = np.where(np.isnan(values), 0, values)
        shown = self.LSN[self.stim_table["frame"].to_numpy()].reshape(len(values), -1)
        found = np.empty((self.nrows, self.ncols, values.shape[1], 2))
        for number, level in enumerate((_ON, _OFF)):
            spots = (shown == level).astype("float64").T
            with np.errstate(invalid="ignore", divide="ignore"):
                means = (spots @ filled) / (spots @ there)
            found[..., number] = means.reshape(self.nrows, self.ncols, -1)
        return found
