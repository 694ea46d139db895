"""An imaging experiment: one plane of one session, with its cells."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from openallen.display import card
from openallen.errors import CorruptError, NotFoundError
from openallen.formats.nwb import columns
from openallen.formats.nwb.tables import as_series
from openallen.formats.nwb.values import whole
from openallen.sessions import metadata
from openallen.sessions.base import Opener
from openallen.sessions.behavior import BEHAVIOR, BehaviorSession
from openallen.sessions.lengths import same_length
from openallen.sessions.responses import Responding

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

    from openallen.visuals import Visual

__all__ = ["BehaviorOphysExperiment", "Image"]

_LOG = logging.getLogger("openallen.sessions")

OPHYS = (
    "average_projection",
    "cell_specimen_table",
    "corrected_fluorescence_traces",
    "demixed_traces",
    "dff_traces",
    "events",
    "get_cell_specimen_ids",
    "get_cell_specimen_indices",
    "get_dff_traces",
    "get_segmentation_mask_image",
    "max_projection",
    "motion_correction",
    "neuropil_traces",
    "ophys_experiment_id",
    "ophys_session_id",
    "ophys_timestamps",
    "roi_masks",
    "segmentation_mask_image",
)
_CELLS = "processing/ophys/image_segmentation/cell_specimen_table"
_TRACES = {
    "dff": ("dff", "dff"),
    "corrected_fluorescence": ("corrected_fluorescence", "corrected_fluorescence"),
    "demixed": ("demixed_trace", "demixed_trace"),
    "neuropil": ("neuropil_trace", "neuropil_trace"),
}


class Image(NamedTuple):
    """A picture with its scale; numpy and matplotlib take it as an array.

    Parameters
    ----------
    data
        Rows x columns.
    spacing
        Size of a pixel, along rows and columns.
    unit
        Of the spacing.
    """

    data: np.ndarray[Any, Any]
    spacing: tuple[float, float]
    unit: str

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        import numpy as np

        return np.array(self.data, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        rows, columns = self.data.shape
        parts = (f"Image of {rows} x {columns} px (rows x columns)", self._pixel(), self.data.dtype)
        return ", ".join(str(part) for part in parts if part)

    def _pixel(self) -> str:
        size = self.spacing[0]
        if not size > 0:  # not a number where the file does not say it
            return ""
        size, unit = (size * 1000, "µm") if self.unit == "mm" else (size, self.unit)
        return f"{size:.3g} {unit} per px"

    def _repr_html_(self) -> str:
        from openallen.sessions.arrays import thumbnail

        rows, columns = self.data.shape
        low, high = (self.data.min(), self.data.max()) if self.data.size else (None, None)
        facts = {
            "size": f"{rows} x {columns} px (rows x columns)",
            "pixel": self._pixel() or None,
            "values": f"{low:g} to {high:g}, {self.data.dtype}" if self.data.size else None,
        }
        return card("Image", facts, image=thumbnail(self.data))


class BehaviorOphysExperiment(BehaviorSession, Responding):
    """One imaging plane of a behavior session.

    Images are rows x columns, in px of the corrected movie. Traces have one row for each cell.

    Parameters
    ----------
    opener, name, path, **options
        As for `BehaviorSession`.
    exclude_invalid_rois
        Leave out regions that were found not to be cells.
    events_filter_scale_seconds, events_filter_n_time_steps
        Width, in s, and length, in frames, of the half normal curve that smooths events.
    """

    _names: ClassVar[tuple[str, ...]] = (*BEHAVIOR, *OPHYS)
    kind: ClassVar[str] = "ophys_experiment"
    _aligns: ClassVar[str] = "dff"

    def __init__(
        self,
        opener: Opener,
        name: str,
        path: Path | None = None,
        *,
        exclude_invalid_rois: bool = True,
        events_filter_scale_seconds: float = 2.0 / 31.0,
        events_filter_n_time_steps: int = 20,
        **options: Any,
    ) -> None:
        super().__init__(opener, name, path, **options)
        if self.allensdk_compatible:
            self._eye = (3.0, 2)  # there these arguments are taken and not used
        self._only_valid = exclude_invalid_rois
        self._smooth = (events_filter_scale_seconds, events_filter_n_time_steps)

    @property
    def ophys_experiment_id(self) -> int:
        """Id of the experiment: this plane."""
        return whole(self.tree.value("identifier"), "identifier", self.name)

    @property
    def ophys_session_id(self) -> int:
        """Id of the imaging session, which may have several planes."""
        return metadata.told_id(self.tree, "ophys_session_id")

    @functools.cached_property
    def metadata(self) -> dict[str, Any]:
        """Who, where, when and with what; see `openallen.sessions.metadata`.

        ``imaging_depth`` is given for the first releases too, where AllenSDK hides it.
        """
        return metadata.ophys_metadata(self.tree, allensdk_compatible=self.allensdk_compatible)

    # --- images -----------------------------------------------------------------------------------

    @functools.cached_property
    def max_projection(self) -> Image:
        """Brightest value of each pixel over the movie; spacing in mm."""
        return self._image("max_projection")

    @functools.cached_property
    def average_projection(self) -> Image:
        """Mean of each pixel over the movie; spacing in mm."""
        return self._image("average_image")

    def _image(self, which: str) -> Image:
        place = f"processing/ophys/images/{which}"
        told = self.tree.attrs(place).get("resolution")
        size = float(told) * 10 if told is not None else float("nan")
        return Image(self.tree.array(place), (size, size), "mm")

    @functools.cached_property
    def segmentation_mask_image(self) -> Image:
        """Pixels that belong to any cell, as 0 and 1; made of the cells' masks."""
        import numpy as np

        masks = self.cell_specimen_table["roi_mask"]
        if not len(masks):
            raise NotFoundError("no cells", address=self.name, why="no valid ROI")
        data = np.logical_or.reduce(np.stack(list(masks))).astype(int)
        return Image(data, self.max_projection.spacing, "mm")

    def get_segmentation_mask_image(self) -> Image:
        """Return `segmentation_mask_image`."""
        return self.segmentation_mask_image

    # --- cells ------------------------------------------------------------------------------------

    @functools.cached_property
    def _all_cells(self) -> pd.DataFrame:
        """All cells of the file, without their masks."""
        import pandas as pd

        if not self.tree.has(_CELLS):
            raise NotFoundError("no cells", address=self.name, why=f"no {_CELLS}")
        found = columns(self.tree, _CELLS, ("image_mask",))
        ids = found.pop("cell_specimen_id")
        made = pd.DataFrame({"cell_roi_id": self.tree.array(f"{_CELLS}/id")})
        for name in sorted(found):
            made[name] = as_series(found[name])
        whole = [n for n in made if made[n].dtype.kind in "iu" and made[n].dtype != "int64"]
        made = made.astype(dict.fromkeys(whole, "int64"))
        made.index = _cell_index(ids)
        return made

    @functools.cached_property
    def cell_specimen_table(self) -> pd.DataFrame:
        """Cells: place and size in px, shifts in px, ``roi_mask`` (rows x columns, bool).

        Index ``cell_specimen_id``, which names a cell in all sessions of its container; missing
        where the cell was not matched.
        """
        cells = self._all_cells.copy()
        masks = self.tree.array(f"{_CELLS}/image_mask").astype(bool)
        cells["roi_mask"] = as_series(masks).to_numpy()
        return cells[cells["valid_roi"].astype(bool)] if self._only_valid else cells

    @functools.cached_property
    def roi_masks(self) -> pd.DataFrame:
        """``cell_roi_id`` and ``roi_mask`` (rows x columns, bool) of each cell."""
        return self.cell_specimen_table[["cell_roi_id", "roi_mask"]].copy()

    def get_cell_specimen_ids(self) -> np.ndarray[Any, Any]:
        """Return the ids of the cells.

        Raises
        ------
        ValueError
            If no cell has one.
        """
        import numpy as np
        import pandas as pd

        ids = self.cell_specimen_table.index
        if len(ids) and bool(pd.isna(ids).all()):
            raise CorruptError("no cell has an id", address=self.name)
        return np.asarray(ids.values)

    def get_cell_specimen_indices(self, cell_specimen_ids: Sequence[int]) -> list[int]:
        """Return the positions of cells among the rows.

        Raises
        ------
        NotFoundError
            If there is no cell of an id. Cells that were not matched have none.
        """
        import pandas as pd

        ids = self.cell_specimen_table.index
        rows = {int(one): row for row, one in enumerate(ids) if not pd.isna(one)}
        for wanted in cell_specimen_ids:
            if pd.isna(wanted) or wanted not in rows:
                named = f"its {len(rows)} cells with ids begin {sorted(rows)[:3]}"
                none = len(ids) - len(rows)
                raise NotFoundError(
                    f"no cell {wanted}",
                    address=self.name,
                    why=f"{named}; {none} have none" if none else named,
                )
        return [rows[int(wanted)] for wanted in cell_specimen_ids]

    # --- traces -----------------------------------------------------------------------------------

    @functools.cached_property
    def ophys_timestamps(self) -> np.ndarray[Any, Any]:
        """Time of each frame of the movie, in s."""
        return self.tree.array("processing/ophys/dff/traces/timestamps")

    @functools.cached_property
    def motion_correction(self) -> pd.DataFrame:
        """Shift of each frame, ``x`` and ``y`` in px."""
        import pandas as pd

        place = "processing/ophys/ophys_motion_correction_"
        found = {axis: self.tree.array(f"{place}{axis}/data") for axis in "xy"}
        same_length(self.tree, place.rstrip("_"), found)
        return pd.DataFrame(found)

    def _matrix(self, which: str) -> np.ndarray[Any, Any]:
        """Return traces as cells x time, all cells of the file."""
        group, _ = _TRACES[which]
        place = f"processing/ophys/{group}/traces"
        data = self.tree.array(f"{place}/data")
        cells = len(self._all_cells)
        turned = data.ndim == 2 and data.shape[1] != cells and len(data) == cells
        if turned:  # cells come first, as their number says
            _LOG.warning("%s: %s is stored as cells x time", self.name, place)
        data = data if turned else data.T
        if data.ndim != 2 or len(data) != len(self._all_cells):
            raise CorruptError(
                "traces and cells differ in number",
                address=self.name,
                why=f"{len(data)} traces, {len(self._all_cells)} cells in {place}",
            )
        return data

    def _traces(self, which: str, **more: np.ndarray[Any, Any]) -> pd.DataFrame | None:
        group, column = _TRACES[which]
        if not self.tree.has(f"processing/ophys/{group}/traces"):
            return None
        made = self._all_cells[["cell_roi_id"]].copy()
        made[column] = as_series(list(self._matrix(which))).to_numpy()
        for name, values in more.items():
            same_length(self.tree, f"{group}/{name}", {"cells": made.index, "values": values})
            made[name] = values
        return made[self._all_cells["valid_roi"].to_numpy(bool)] if self._only_valid else made

    @functools.cached_property
    def dff_traces(self) -> pd.DataFrame | None:
        """``cell_roi_id`` and ``dff`` (ΔF/F, one value for each of `ophys_timestamps`)."""
        return self._traces("dff")

    @functools.cached_property
    def demixed_traces(self) -> pd.DataFrame | None:
        """``cell_roi_id`` and ``demixed_trace``: fluorescence, overlapping cells taken apart."""
        return self._traces("demixed")

    @functools.cached_property
    def neuropil_traces(self) -> pd.DataFrame | None:
        """``cell_roi_id`` and ``neuropil_trace``: fluorescence around each cell.

        AllenSDK 2.16.2 returns the demixed traces here by mistake; these are the stored neuropil
        traces. ``allensdk_compatible=True`` returns its answer.
        """
        return self._traces("demixed" if self.allensdk_compatible else "neuropil")

    @functools.cached_property
    def corrected_fluorescence_traces(self) -> pd.DataFrame | None:
        """``corrected_fluorescence``: neuropil taken off; ``r`` its share, ``RMSE`` of the fit."""
        place = "processing/ophys/corrected_fluorescence"
        names = ("r", "RMSE")
        more = {n: self.tree.array(f"{place}/{n}/data") for n in names
                if self.tree.has(f"{place}/{n}/data")}  # fmt: skip
        return self._traces("corrected_fluorescence", **more)

    def get_dff_traces(
        self, cell_specimen_ids: Sequence[int] | None = None
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return times in s, and ΔF/F as cells x time.

        Parameters
        ----------
        cell_specimen_ids
            Cells; all of them, in their order, where None.
        """
        import numpy as np

        traces = self.dff_traces
        if traces is None:
            raise NotFoundError("no ΔF/F traces", address=self.name)
        if cell_specimen_ids is not None:
            traces = traces.iloc[self.get_cell_specimen_indices(cell_specimen_ids)]
        times, rows = self.ophys_timestamps, list(traces["dff"])
        if not rows:
            return times, np.empty((0, len(times)))
        same_length(self.tree, "ΔF/F", {"times": times, "samples": rows[0]})
        return times, np.vstack(rows)

    @functools.cached_property
    def traces(self) -> xr.DataArray:
        """ΔF/F as one array, ``cell_specimen_id`` x ``time`` (s)."""
        return self.trace_array("dff")

    def plot_max_projection(self, *, outlines: bool = True) -> Figure:
        """Return a picture of the brightest value of each pixel, with the outlines of the cells."""
        from openallen.sessions.plots import Plots

        return Plots(self).max_projection(outlines=outlines)

    def trace_array(self, kind: str = "dff") -> xr.DataArray:
        """Return traces as one array.

        Parameters
        ----------
        kind
            ``dff``, ``corrected_fluorescence``, ``demixed``, ``neuropil``, ``events`` or
            ``filtered_events``.

        Returns
        -------
        DataArray
            ``cell_specimen_id`` x ``time`` (s), with ``cell_roi_id`` beside the first.
        """
        from openallen.sessions.arrays import trace_array

        return trace_array(self, kind)

    @functools.cached_property
    def events(self) -> pd.DataFrame | None:
        """Detected events of each cell.

        Returns
        -------
        DataFrame or None
            ``cell_roi_id``; ``events``, one value for each of `ophys_timestamps`;
            ``filtered_events``, smoothed by a half normal curve into the past; ``lambda`` and
            ``noise_std`` of the detection. Cells without events are left out, with a warning.
        """
        import numpy as np

        place = "processing/ophys/event_detection"
        if not self.tree.has(place):
            return None
        found = self.tree.array(f"{place}/data").T
        rows = self.tree.array(f"{place}/rois")
        numbers = {n: self.tree.array(f"{place}/{n}s") for n in ("lambda", "noise_std")}
        cells = self._all_cells
        same_length(self.tree, place, {"traces": found, "rois": rows, **numbers})
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(cells):
            raise CorruptError(
                "events of cells that are not there", address=self.name, why=f"{place}/rois"
            )
        known = ~np.isnan(numbers["lambda"]) & ~np.isnan(numbers["noise_std"])
        if self._only_valid:
            known &= cells["valid_roi"].to_numpy(bool)[rows]
        kept = np.flatnonzero(known)
        kept = kept[np.argsort(rows[kept], kind="stable")]
        wanted = int(cells["valid_roi"].sum()) if self._only_valid else len(cells)
        if len(kept) < wanted:
            message = f"{wanted - len(kept)} cells of {self.name} have no events"
            warnings.warn(message, stacklevel=2)
        made = cells[["cell_roi_id"]].iloc[rows[kept]].copy()
        made["events"] = as_series(list(found[kept])).to_numpy()
        made["filtered_events"] = as_series([self._smoothed(row) for row in found[kept]]).to_numpy()
        for name, values in numbers.items():
            made[name] = values[kept]
        return made

    def _smoothed(self, row: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        scale_s, steps = self._smooth
        scale = scale_s * float(self.metadata["ophys_frame_rate"])
        weights = np.exp(-(np.arange(steps) ** 2) / (2 * scale**2))
        return np.convolve(row, weights / weights.sum())[: len(row)]

    # --- what it looks like -----------------------------------------------------------------------

    def _facts(self) -> dict[str, object]:
        told = self.metadata
        depth = told["imaging_depth"]
        cells = self.tree.shape(f"{_CELLS}/id")[0] if self.tree.has(_CELLS) else 0
        return {
            "ophys experiment": told["ophys_experiment_id"],
            "structure": told["targeted_structure"],
            "imaging depth": None if depth is None else f"{depth} µm",
            "cells": f"{cells:,}",
            "frame rate": f"{told['ophys_frame_rate']:.3g} Hz",
            "indicator": told["indicator"],
            "Cre line": told["cre_line"],
            "session type": told["session_type"],
            "mouse": self._mouse_text(),
            "acquired": f"{told['date_of_acquisition']:%Y-%m-%d %H:%M} UTC",
            "duration": self._duration_text(),
            "file": self.name,
        }

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sessions.cell_visuals import experiment_visuals

        if not self.tree.has(_CELLS):
            return super()._visuals()
        cells = self._all_cells
        rows = cells["valid_roi"].to_numpy(bool) if self._only_valid else slice(None)
        masks = [n for n, shown in enumerate(cells["valid_roi"]) if shown or not self._only_valid]
        return experiment_visuals(self, cells[rows], f"{_CELLS}/image_mask", masks)

    def _picture(self) -> str:
        from openallen.sessions.arrays import thumbnail

        return thumbnail(self.max_projection.data)


def _cell_index(ids: np.ndarray[Any, Any]) -> pd.Index:
    """Return ids as an index, -1 as missing."""
    import numpy as np
    import pandas as pd

    known = ids.astype("float64")
    known[known == -1] = np.nan
    if len(known) and np.isnan(known).all():
        return pd.Index([None] * len(known), dtype=object, name="cell_specimen_id")
    kept = known if np.isnan(known).any() else known.astype("int64")
    return pd.Index(kept, name="cell_specimen_id")
