"""Visual Coding, two-photon: one imaging session of the Allen Brain Observatory (NWB 1)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from openallen.display import seconds_text
from openallen.errors import CorruptError, NotFoundError, UsageError
from openallen.sessions.ophys import Image
from openallen.sessions.responses import Analysing, Responding
from openallen.sessions.visual_coding import ophys_behavior, ophys_metadata
from openallen.sessions.visual_coding.ophys_allensdk import CALLS, AllenCalls
from openallen.sessions.visual_coding.ophys_cells import TRACES

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

    from openallen.formats.nwb import Tree
    from openallen.visuals import Visual

__all__ = ["VisualCodingOphysExperiment"]

_LOG: Final = logging.getLogger("openallen.sessions")
_COLUMNS: Final = {
    "dff": "dff",
    "corrected_fluorescence": "corrected_fluorescence",
    "demixed": "demixed_trace",
    "neuropil": "neuropil_trace",
    "fluorescence": "fluorescence",
}


class VisualCodingOphysExperiment(AllenCalls, Responding, Analysing):
    """A two-photon session of Visual Coding: one plane, with its cells and what was shown.

    The attributes are those of `BehaviorOphysExperiment` where they mean the same; the methods
    that begin with ``get_`` are those of AllenSDK's ``BrainObservatoryNwbDataSet`` and return what
    these do. Times are seconds. Presentations are given by frames of the two-photon movie, whose
    times are `ophys_timestamps`.

    Parameters
    ----------
    opener, name, path
        As for `NwbSession`.
    """

    kind: ClassVar[str] = "ophys_experiment"
    _names: ClassVar[tuple[str, ...]] = (
        *CALLS,
        "analysis",
        "cell_specimen_table",
        "corrected_fluorescence_traces",
        "demixed_traces",
        "dff_traces",
        "events",
        "eye_tracking",
        "fluorescence_traces",
        "max_projection",
        "metadata",
        "motion_correction",
        "neuropil_traces",
        "ophys_experiment_id",
        "ophys_timestamps",
        "pupil_location",
        "pupil_size",
        "responses",
        "roi_masks",
        "running_speed",
        "series",
        "series_names",
        "session_type",
        "stimulus_epochs",
        "stimulus_presentations",
        "stimulus_templates",
        "trace_array",
        "traces",
    )

    @classmethod
    def knows(cls, tree: Tree) -> bool:
        """Return whether a file is one of Visual Coding two-photon."""
        return tree.has(ophys_metadata.PIPELINE)

    # --- who and with what ------------------------------------------------------------------------

    @functools.cached_property
    def metadata(self) -> dict[str, Any]:
        """Who, where, when and with what, in the words of `BehaviorOphysExperiment`.

        ``imaging_depth`` in µm, ``excitation_lambda`` in nm, ``ophys_frame_rate`` in Hz,
        ``age_in_days``; ``date_of_acquisition`` is taken as UTC, as the files name no time zone.
        None for what the file does not say.
        """
        return ophys_metadata.ophys_metadata(self.tree) | {"ophys_frame_rate": self._frame_rate()}

    def _frame_rate(self) -> float | None:
        try:
            times = self.ophys_timestamps
        except (NotFoundError, CorruptError):
            return None
        return (len(times) - 1) / float(times[-1] - times[0]) if len(times) > 1 else None

    @property
    def ophys_experiment_id(self) -> int | None:
        """Id of the session; None where the file names none."""
        told: int | None = ophys_metadata.allen_metadata(self.tree).get("ophys_experiment_id")
        return told

    @property
    def session_type(self) -> str:
        """Which stimuli were shown: ``three_session_A``, ``_B``, ``_C`` or ``_C2``."""
        return self.get_session_type()

    # --- cells ------------------------------------------------------------------------------------

    @functools.cached_property
    def cell_specimen_table(self) -> pd.DataFrame:
        """Cells: ``cell_roi_id``; box of the mask in px, ``roi_mask`` (rows x columns, bool).

        Index ``cell_specimen_id``. Without columns of the masks where the file has none, which
        ``attrs["notes"]`` says.
        """
        import pandas as pd

        from openallen.formats.nwb.tables import as_series

        cells = self._cells
        index = pd.Index(cells.ids, name="cell_specimen_id")
        made = pd.DataFrame({"cell_roi_id": cells.roi_ids}, index=index)
        if not cells.has_masks:
            made.attrs["notes"] = "the file has no masks"
            return made
        masks = cells.masks(cells.rows(None))
        for name in ("x", "y", "width", "height"):
            made[name] = [int(getattr(mask, name)) for mask in masks]
        planes = [mask.get_mask_plane().astype(bool) for mask in masks]
        made["roi_mask"] = as_series(planes).to_numpy()
        return made

    @functools.cached_property
    def roi_masks(self) -> pd.DataFrame:
        """``cell_roi_id`` and ``roi_mask`` (rows x columns, bool) of each cell.

        Raises
        ------
        NotFoundError
            If the file has no masks.
        """
        self._need_masks()
        return self.cell_specimen_table[["cell_roi_id", "roi_mask"]].copy()

    @functools.cached_property
    def max_projection(self) -> Image:
        """Brightest value of each pixel over the movie; spacing in mm."""
        rows_um, columns_um = ophys_metadata.pixel_um(self.tree)
        return Image(self.get_max_projection(), (rows_um / 1000, columns_um / 1000), "mm")

    # --- traces -----------------------------------------------------------------------------------

    @functools.cached_property
    def ophys_timestamps(self) -> np.ndarray[Any, Any]:
        """Time of each frame of the movie, in s."""
        return self._cells.timestamps

    def trace_array(
        self, kind: str = "dff", cell_specimen_ids: Sequence[int] | None = None
    ) -> xr.DataArray:
        """Return traces as one array.

        Parameters
        ----------
        kind
            ``dff``, ``corrected_fluorescence``, ``demixed``, ``neuropil`` or ``fluorescence``.
        cell_specimen_ids
            Cells, in any order; only theirs are read. All of them where None.

        Returns
        -------
        DataArray
            ``cell_specimen_id`` x ``time`` (s), with ``cell_roi_id`` beside the first.
            ``attrs["notes"]`` says where there are more or fewer samples than frames.

        Raises
        ------
        UsageError
            If there is no such kind of trace.
        NotFoundError
            If there is no cell of an id, or the file has no such traces.
        """
        if kind not in TRACES:
            raise UsageError(f"no traces '{kind}'", hint=", ".join(TRACES))
        rows = self._cells.rows(cell_specimen_ids)
        values = self._cells.traces(kind, rows)
        return self._labelled(values, rows, self._cells.times(kind), kind, self._note(kind))

    def _labelled(
        self,
        values: np.ndarray[Any, Any],
        rows: Sequence[int],
        times: np.ndarray[Any, Any],
        kind: str,
        note: str,
    ) -> xr.DataArray:
        from openallen.sessions.arrays import xarray

        units = TRACES.get(kind, "ΔF/F")
        made: xr.DataArray = xarray().DataArray(
            values,
            dims=("cell_specimen_id", "time"),
            coords={
                "cell_specimen_id": self._cells.ids[list(rows)],
                "time": ("time", times, {"units": "s"}),
                "cell_roi_id": ("cell_specimen_id", self._cells.roi_ids[list(rows)]),
            },
            name=kind,
            attrs={"units": units} | ({"notes": note} if note else {}),
        )
        return made

    def _note(self, kind: str) -> str:
        note = self._cells.uneven(kind)
        if note:
            _LOG.warning("%s: %s", self.name, note)
        return note

    def _table(self, kind: str) -> pd.DataFrame | None:
        import pandas as pd

        from openallen.formats.nwb.tables import as_series

        cells = self._cells
        if not cells.has(kind):
            return None
        index = pd.Index(cells.ids, name="cell_specimen_id")
        made = pd.DataFrame({"cell_roi_id": cells.roi_ids}, index=index)
        rows = cells.rows(None)
        made[_COLUMNS[kind]] = as_series(list(cells.traces(kind, rows))).to_numpy()
        if kind == "corrected_fluorescence":
            made["r"] = cells.neuropil_r(rows)
        if note := self._note(kind):
            made.attrs["notes"] = note
        return made

    @functools.cached_property
    def dff_traces(self) -> pd.DataFrame | None:
        """``cell_roi_id`` and ``dff`` (ΔF/F); None where the file has none.

        One value for each frame, or one more or less, which ``attrs["notes"]`` says; the times are
        those of `trace_array`.
        """
        return self._table("dff")

    @functools.cached_property
    def fluorescence_traces(self) -> pd.DataFrame | None:
        """``cell_roi_id`` and ``fluorescence``: as measured, overlapping cells not taken apart."""
        return self._table("fluorescence")

    @functools.cached_property
    def demixed_traces(self) -> pd.DataFrame | None:
        """``cell_roi_id`` and ``demixed_trace``; None before pipeline 2.0."""
        return self._table("demixed")

    @functools.cached_property
    def neuropil_traces(self) -> pd.DataFrame | None:
        """``cell_roi_id`` and ``neuropil_trace``: fluorescence around each cell."""
        return self._table("neuropil")

    @functools.cached_property
    def corrected_fluorescence_traces(self) -> pd.DataFrame | None:
        """``corrected_fluorescence``: neuropil taken off; ``r`` its share."""
        return self._table("corrected_fluorescence")

    @functools.cached_property
    def traces(self) -> xr.DataArray:
        """ΔF/F as one array, ``cell_specimen_id`` x ``time`` (s)."""
        return self.trace_array("dff")

    def events(self, events: Path | str | np.ndarray[Any, Any] | xr.DataArray) -> xr.DataArray:
        """Return detected events with the ids of their cells and their times.

        Parameters
        ----------
        events
            The file of events that is published beside this one (``.npz``), or its array: a row
            for each cell in the order of this file.

        Returns
        -------
        DataArray
            ``cell_specimen_id`` x ``time`` (s).

        Raises
        ------
        CorruptError
            If cells or samples differ in number from those of this file.
        """
        from openallen.sessions.visual_coding.ophys_files import events_values

        values = events_values(events)
        rows = self._cells.rows(None)
        clocks = {kind: self._cells.times(kind) for kind in ("dff", "fluorescence")
                  if self._cells.has(kind)}  # fmt: skip
        fitting = [kind for kind, times in clocks.items() if len(times) == values.shape[1]]
        if len(values) != len(rows) or not fitting:
            samples = " or ".join(sorted({f"{len(times):,}" for times in clocks.values()}))
            raise CorruptError(
                "these are not the events of this session",
                address=self.name,
                why=f"{len(values)} x {values.shape[1]:,} values, "
                f"{len(rows)} cells x {samples} samples",
            )
        return self._labelled(values, rows, clocks[fitting[0]], "events", self._note(fitting[0]))

    # --- running, pupil, motion -------------------------------------------------------------------

    @functools.cached_property
    def running_speed(self) -> pd.DataFrame:
        """``timestamps`` in s, ``speed`` in cm/s; as `get_running_speed`."""
        import pandas as pd

        speed, times = self.get_running_speed()
        return pd.DataFrame({"timestamps": times, "speed": speed})

    @functools.cached_property
    def eye_tracking(self) -> pd.DataFrame:
        """``timestamps`` in s, ``pupil_area`` in px², and where the pupil points.

        ``pupil_x_deg``, ``pupil_y_deg`` are the two columns of the location in degrees as stored,
        ``pupil_x_cm``, ``pupil_y_cm`` those on the screen.

        Raises
        ------
        NotFoundError
            If the eye was not tracked.
        """
        return ophys_behavior.eye_tracking(self.tree)

    @functools.cached_property
    def pupil_location(self) -> pd.DataFrame:
        """``timestamps`` in s, ``pupil_x_deg`` and ``pupil_y_deg``; raises as `eye_tracking`."""
        import pandas as pd

        times, places = self.get_pupil_location()
        columns = {"pupil_x_deg": places[:, 0], "pupil_y_deg": places[:, 1]}
        return pd.DataFrame({"timestamps": times, **columns})

    @functools.cached_property
    def pupil_size(self) -> pd.DataFrame:
        """``timestamps`` in s, ``pupil_area`` in px²; raises as `eye_tracking`."""
        import pandas as pd

        times, area = self.get_pupil_size()
        return pd.DataFrame({"timestamps": times, "pupil_area": area})

    @functools.cached_property
    def motion_correction(self) -> pd.DataFrame:
        """Shift of each frame, ``x`` and ``y`` in px."""
        found = self.get_motion_correction().drop(columns="timestamp")
        return found.rename(columns=lambda name: str(name).removesuffix("_motion"))

    # --- stimuli ----------------------------------------------------------------------------------

    @functools.cached_property
    def stimulus_presentations(self) -> pd.DataFrame:
        """All presentations of all stimuli in order of time.

        Index ``stimulus_presentation_id``; ``stimulus_block`` (stretches of one stimulus, from 0),
        ``stimulus_name``, ``start_time`` and ``stop_time`` in s, ``start_frame`` and ``end_frame``
        of the movie; then the parameters, NaN where a stimulus has none of the name. Times are NaN
        where the movie ended before, which ``attrs["notes"]`` says.
        """
        return self._stimuli.presentations(self.ophys_timestamps)

    @functools.cached_property
    def stimulus_epochs(self) -> pd.DataFrame:
        """Stretches of one stimulus each, by ``stimulus_block``.

        ``stimulus_name``, ``start_time`` and ``stop_time`` in s, ``duration`` in s,
        ``start_frame`` and ``end_frame`` of the movie.
        """
        blocks = self.stimulus_presentations.groupby("stimulus_block")
        made = blocks.agg(
            stimulus_name=("stimulus_name", "first"),
            start_time=("start_time", "first"),
            stop_time=("stop_time", "last"),
            start_frame=("start_frame", "first"),
            end_frame=("end_frame", "last"),
        )
        made.insert(3, "duration", made["stop_time"] - made["start_time"])
        return made

    @property
    def stimulus_templates(self) -> Mapping[str, xr.DataArray]:
        """Images that were shown, by stimulus: ``frame`` x ``row`` x ``column``.

        They are read as they are sliced: ``session.stimulus_templates["natural_scenes"][5]``.
        """
        return self._stimuli.templates

    # --- aligned and drawn ------------------------------------------------------------------------

    def align(
        self, events: Any, window_s: tuple[float, float] = (-1.0, 2.0), *, of: str = "dff"
    ) -> xr.DataArray:
        """Return a signal cut around events; see `BehaviorSession.align`.

        Parameters
        ----------
        events
            Times in s: ``session.stimulus_presentations["start_time"]``.
        window_s
            From and to, in s relative to each event.
        of
            ``dff``, ``corrected_fluorescence``, ``demixed``, ``neuropil``, ``running_speed`` or
            ``pupil_area``.
        """
        from openallen.sessions.align import aligned

        session: Any = self
        return aligned(session, events, window_s, of)

    def plot_max_projection(self, *, outlines: bool = True) -> Figure:
        """Return a picture of the brightest value of each pixel, with the outlines of the cells."""
        from openallen.sessions.plots import Plots

        session: Any = self
        return Plots(session).max_projection(outlines=outlines and self._cells.has_masks)

    def plot_overview(self, window_s: tuple[float, float] | None = None, cells: int = 8) -> Figure:
        """Return a picture of traces, running and pupil on one axis of time.

        Parameters
        ----------
        window_s
            From and to, in s; the first two minutes of the movie where None.
        cells
            Most cells to draw.
        """
        from openallen.sessions.plots import Plots

        session: Any = self
        if window_s is None:
            from openallen.sessions.visuals import span_of

            first, last = span_of(self.tree, self._clocks)
            window_s = (first, min(last, first + 120.0) if last > first else first + 120.0)
        return Plots(session).overview(window_s, cells, 0)

    plot = plot_overview

    # --- what it looks like -----------------------------------------------------------------------

    def _facts(self) -> dict[str, object]:
        told = ophys_metadata.ophys_metadata(self.tree)
        depth, started = told["imaging_depth"], told["date_of_acquisition"]
        return {
            "ophys experiment": told["ophys_experiment_id"],
            "container": told["ophys_container_id"],
            "session type": told["session_type"],
            "structure": told["targeted_structure"],
            "imaging depth": None if depth is None else f"{depth} µm",
            "Cre line": told["cre_line"],
            "cells": f"{self.number_of_cells:,}",
            "stimuli": ", ".join(self.list_stimuli()) or None,
            "indicator": told["indicator"],
            "acquired": None if started is None else f"{started:%Y-%m-%d %H:%M}",
            "duration": self._duration_text(),
            "pipeline": told["pipeline_version"],
            "description": told["session_description"],
            "file": self.name,
        }

    def _duration_text(self) -> str | None:
        from openallen.sessions.visuals import span_of

        first, last = span_of(self.tree, self._clocks)
        return f"{seconds_text(last - first)}, from {first:.1f} to {last:.1f} s" if last else None

    _clocks: ClassVar[tuple[str, ...]] = (
        f"{ophys_metadata.PIPELINE}/Fluorescence/imaging_plane_1/timestamps",
        f"{ophys_metadata.PIPELINE}/DfOverF/imaging_plane_1/timestamps",
    )

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sessions.visual_coding.ophys_visuals import ophys_visuals

        return ophys_visuals(self, self._cells, self._clocks)

    def _picture(self) -> str:
        from openallen.sessions.arrays import thumbnail

        return thumbnail(self.get_max_projection())
