"""AllenSDK's calls on a Visual Coding two-photon session, by their names, with what they return."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from openallen.errors import CorruptError, NotFoundError
from openallen.sessions.general import NwbTables
from openallen.sessions.visual_coding import ophys_behavior as behavior
from openallen.sessions.visual_coding import ophys_metadata as metadata
from openallen.sessions.visual_coding.ophys_cells import PROJECTION, Cells, RoiMask
from openallen.sessions.visual_coding.ophys_stimuli import Stimuli

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Traces = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
    Shown = tuple[int, float, dict[str, Any]]

__all__ = ["CALLS", "AllenCalls"]

CALLS: Final = (
    "get_cell_specimen_ids",
    "get_cell_specimen_indices",
    "get_corrected_fluorescence_traces",
    "get_demixed_traces",
    "get_dff_traces",
    "get_fluorescence_timestamps",
    "get_fluorescence_traces",
    "get_locally_sparse_noise_stimulus_template",
    "get_max_projection",
    "get_metadata",
    "get_motion_correction",
    "get_neuropil_r",
    "get_neuropil_traces",
    "get_pupil_location",
    "get_pupil_size",
    "get_roi_ids",
    "get_roi_mask",
    "get_roi_mask_array",
    "get_running_speed",
    "get_session_type",
    "get_stimulus",
    "get_stimulus_epoch_table",
    "get_stimulus_table",
    "get_stimulus_template",
    "list_stimuli",
    "number_of_cells",
    "pipeline_version",
)
"""Names of the calls."""


class AllenCalls(NwbTables):
    """What AllenSDK's ``BrainObservatoryNwbDataSet`` answers, under the same names.

    Parameters
    ----------
    opener, name, path
        As for `NwbSession`.
    """

    _names: ClassVar[tuple[str, ...]] = CALLS

    @functools.cached_property
    def _cells(self) -> Cells:
        return Cells(self.tree)

    @functools.cached_property
    def _stimuli(self) -> Stimuli:
        return Stimuli(self.tree, self._session_type or "")

    def get_metadata(self) -> dict[str, Any]:
        """Return the metadata under AllenSDK's names; see `ophys_metadata.allen_metadata`."""
        return metadata.allen_metadata(self.tree)

    @property
    def pipeline_version(self) -> str:
        """Version of the pipeline that wrote the file, ``3.0``; ``0.9`` where it says none."""
        return metadata.pipeline_version(self.tree)

    @property
    def _session_type(self) -> str | None:
        told: str | None = metadata.allen_metadata(self.tree).get("session_type")
        return told

    def get_session_type(self) -> str:
        """Return `session_type`.

        Raises
        ------
        NotFoundError
            If the file names none.
        """
        told = self._session_type
        if told is None:
            raise NotFoundError(
                "no type of session", address=self.name, why="no general/session_type"
            )
        return told

    @property
    def number_of_cells(self) -> int:
        """How many cells there are."""
        return len(self._cells.ids)

    def get_cell_specimen_ids(self) -> np.ndarray[Any, Any]:
        """Return the ids of the cells, which name them in all sessions of their container."""
        return self._cells.ids.copy()

    def get_roi_ids(self) -> np.ndarray[Any, Any]:
        """Return the ids of the regions of this session, one for each cell."""
        return self._cells.roi_ids.copy()

    def get_cell_specimen_indices(self, cell_specimen_ids: Sequence[int]) -> list[int]:
        """Return the positions of cells among the rows.

        Raises
        ------
        NotFoundError
            If there is no cell of an id.
        """
        return self._cells.rows(cell_specimen_ids)

    def _need_masks(self) -> None:
        if not self._cells.has_masks:
            raise NotFoundError(
                "no masks of cells", address=self.name, why="no roi_list in ImageSegmentation"
            )

    def get_roi_mask(self, cell_specimen_ids: Sequence[int] | None = None) -> list[RoiMask]:
        """Return the masks of cells, each as a box on the image.

        Raises
        ------
        NotFoundError
            If the file has no masks, or no cell of an id.
        """
        self._need_masks()
        return self._cells.masks(self._cells.rows(cell_specimen_ids))

    def get_roi_mask_array(
        self, cell_specimen_ids: Sequence[int] | None = None
    ) -> np.ndarray[Any, Any]:
        """Return the masks of cells as cell x row x column; raises as `get_roi_mask`."""
        self._need_masks()
        return self._cells.planes(self._cells.rows(cell_specimen_ids))

    def get_max_projection(self) -> np.ndarray[Any, Any]:
        """Return the brightest value of each pixel over the movie, rows x columns."""
        found: np.ndarray[Any, Any] = self.tree.array(PROJECTION)
        if found.ndim != 2:
            raise CorruptError("an image that is none", address=self.name, why=f"{found.shape}")
        return found

    def get_fluorescence_timestamps(self) -> np.ndarray[Any, Any]:
        """Return `ophys_timestamps`."""
        return self._cells.timestamps

    def _traces(self, kind: str, cell_specimen_ids: Sequence[int] | None) -> Traces:
        values = self._cells.traces(kind, self._cells.rows(cell_specimen_ids))
        return self._cells.times(kind), values

    def get_fluorescence_traces(self, cell_specimen_ids: Sequence[int] | None = None) -> Traces:
        """Return times in s, and raw fluorescence as cells x time.

        Parameters
        ----------
        cell_specimen_ids
            Cells, in any order; only theirs are read. All of them where None.

        Raises
        ------
        NotFoundError
            If there is no cell of an id, or the file has no such traces.
        CorruptError
            If traces, cells and times do not go together.
        """
        return self._traces("fluorescence", cell_specimen_ids)

    def get_demixed_traces(self, cell_specimen_ids: Sequence[int] | None = None) -> Traces:
        """Return times in s, and fluorescence with overlapping cells taken apart.

        From pipeline 2.0 on; the rest is as of `get_fluorescence_traces`.
        """
        return self._traces("demixed", cell_specimen_ids)

    def get_neuropil_traces(self, cell_specimen_ids: Sequence[int] | None = None) -> Traces:
        """Return times in s, and fluorescence around each cell; see `get_fluorescence_traces`."""
        return self._traces("neuropil", cell_specimen_ids)

    def get_neuropil_r(
        self, cell_specimen_ids: Sequence[int] | None = None
    ) -> np.ndarray[Any, Any]:
        """Return the share of the neuropil that is taken off of each cell."""
        return self._cells.neuropil_r(self._cells.rows(cell_specimen_ids))

    def get_corrected_fluorescence_traces(
        self, cell_specimen_ids: Sequence[int] | None = None
    ) -> Traces:
        """Return times in s, and fluorescence less the neuropil's share of it.

        Of the demixed traces from pipeline 2.0 on, of the raw ones before; the rest is as of
        `get_fluorescence_traces`.
        """
        return self._traces("corrected_fluorescence", cell_specimen_ids)

    def get_dff_traces(self, cell_specimen_ids: Sequence[int] | None = None) -> Traces:
        """Return times in s, and ΔF/F as cells x time; see `get_fluorescence_traces`.

        The times are those of ΔF/F, which can have one sample more or less than the movie.
        """
        return self._traces("dff", cell_specimen_ids)

    def get_running_speed(self) -> Traces:
        """Return running speed in cm/s and its times in s, one for each frame of the movie.

        NaN for frames before the first and behind the last sample.

        Raises
        ------
        NotFoundError
            If the file has none.
        CorruptError
            If it begins at no frame of the movie.
        """
        return behavior.running(self.tree, self._cells.timestamps)

    def get_pupil_location(self, as_spherical: bool = True) -> Traces:
        """Return times in s, and where the pupil points (n x 2), NaN where it was not found.

        Parameters
        ----------
        as_spherical
            In degrees; else in cm on the screen. Zero is the middle of the screen.

        Raises
        ------
        NotFoundError
            If the eye was not tracked.
        """
        return behavior.pupil_location(self.tree, as_spherical=as_spherical)

    def get_pupil_size(self) -> Traces:
        """Return times in s, and the area of the pupil in px², NaN where it was not found.

        Raises
        ------
        NotFoundError
            If the eye was not tracked.
        """
        return behavior.pupil_size(self.tree)

    def get_motion_correction(self) -> pd.DataFrame:
        """Return by how many px each frame was shifted: ``x_motion``, ``y_motion``, ``timestamp``.

        Raises
        ------
        NotFoundError
            If the file has none.
        """
        return behavior.motion(self.tree)

    def list_stimuli(self) -> list[str]:
        """Return the names of the stimuli that were shown."""
        return list(self._stimuli.names)

    def get_stimulus_table(self, stimulus_name: str) -> pd.DataFrame:
        """Return the presentations of a stimulus, or of all of them.

        Parameters
        ----------
        stimulus_name
            One of `list_stimuli`; ``master`` for all, stimulus by stimulus.

        Returns
        -------
        DataFrame
            ``start`` and ``end`` as frames of the movie; parameters of gratings, ``frame`` (which
            image; -1 for grey) of pictures, ``repeat`` of movies.

        Raises
        ------
        NotFoundError
            If it was not shown.
        CorruptError
            If its parts do not go together.
        """
        stimuli = self._stimuli
        return stimuli.master.copy() if stimulus_name == "master" else stimuli.table(stimulus_name)

    def get_stimulus_epoch_table(self) -> pd.DataFrame:
        """Return stretches of one stimulus each: ``stimulus``, ``start`` and ``end`` as frames.

        Raises
        ------
        NotFoundError
            If the type of the session is none of the three-session sets.
        CorruptError
            If a stimulus has more epochs than these have.
        """
        return self._stimuli.epochs.copy()

    def get_stimulus_template(self, stimulus_name: str) -> np.ndarray[Any, Any]:
        """Return the images of a stimulus, frame x row x column.

        Raises
        ------
        NotFoundError
            If the file has none of it.
        """
        found: np.ndarray[Any, Any] = self.tree.array(self._stimuli.templates.place(stimulus_name))
        return found

    def get_locally_sparse_noise_stimulus_template(
        self, stimulus: str, mask_off_screen: bool = True
    ) -> Traces:
        """Return the images of locally sparse noise, and which of their pixels are on the screen.

        Parameters
        ----------
        stimulus
            ``locally_sparse_noise``, ``locally_sparse_noise_4deg`` or ``…_8deg``.
        mask_off_screen
            Whether pixels that are not wholly on the screen become 64 in the images.

        Returns
        -------
        tuple
            Images, frame x row x column, and the mask, row x column.

        Raises
        ------
        UsageError
            If it is another stimulus.
        NotFoundError
            If it was not shown.
        """
        return self._stimuli.sparse_noise(stimulus, mask_off_screen=mask_off_screen)

    def get_stimulus(
        self, frame_ind: float
    ) -> tuple[Shown, np.ndarray[Any, Any] | None] | tuple[None, None]:
        """Return what was on the screen at a frame of the movie.

        Returns
        -------
        tuple
            Begin, end and row of the presentation (see ``get_stimulus_table("master")``), and its
            image, of which no other is read; twice None outside of stimuli and in spontaneous
            activity. Within an epoch the grey after a presentation counts as part of it, as in
            AllenSDK. There is no image of gratings, nor of a blank picture (``frame`` -1), for
            which AllenSDK returns the last picture.
        """
        found = self._stimuli.shown_at(frame_ind)
        return (None, None) if found is None else (found, self._stimuli.image_of(found[2]))
