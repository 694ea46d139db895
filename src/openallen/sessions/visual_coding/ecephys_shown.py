"""What was shown in a Visual Coding Neuropixels session, as attributes of the session."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from openallen.errors import NotFoundError
from openallen.sessions.general import NwbTables
from openallen.sessions.visual_coding import ecephys_records as records
from openallen.sessions.visual_coding import ecephys_stimuli as stimuli

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ShownStimuli", "listed"]

_EPOCHS_S: Mapping[str, float] = {"spontaneous_activity": 90.0}


class ShownStimuli(NwbTables):
    """A file of presentations, as `EcephysSession` has them.

    Parameters
    ----------
    opener, name, path
        As for `NwbSession`.
    """

    @functools.cached_property
    def _shown(self) -> pd.DataFrame:
        return stimuli.presentation_table(self.tree)

    @functools.cached_property
    def _presentations(self) -> pd.DataFrame:
        spans = records.invalid_spans(self._invalid, ("stimulus",))
        return stimuli.masked(self._shown, spans)

    @property
    def stimulus_presentations(self) -> pd.DataFrame:
        """What was shown and when; index ``stimulus_presentation_id``.

        Times and ``duration`` in s, ``stimulus_block``, a column for each parameter,
        ``stimulus_condition_id``. Presentations in times in which the stimulus was invalid are
        named ``invalid_presentation``.
        """
        return stimuli.without_details(self._presentations).copy()

    @property
    def stimulus_conditions(self) -> pd.DataFrame:
        """All parameters of each condition; index ``stimulus_condition_id``."""
        return stimuli.condition_table(self._shown)

    @property
    def stimulus_names(self) -> list[str]:
        """Names of the stimuli, in the order in which they were first shown."""
        names: list[str] = self._presentations["stimulus_name"].unique().tolist()
        return names

    @property
    def inter_presentation_intervals(self) -> pd.DataFrame:
        """Time from the end of each presentation to the start of the next, in s."""
        return stimuli.intervals_between(self._presentations)

    def get_inter_presentation_intervals_for_stimulus(
        self, stimulus_names: str | Sequence[str]
    ) -> pd.DataFrame:
        """Return the `inter_presentation_intervals` both of whose sides are of some stimuli."""
        chosen = self._of_stimuli(stimulus_names)
        return stimuli.intervals_between(self._presentations, chosen.index)

    def _of_stimuli(self, names: str | Sequence[str] | None) -> pd.DataFrame:
        shown = self._presentations
        if names is None:
            return shown
        wanted = [names] if isinstance(names, str) else list(names)
        return shown[shown["stimulus_name"].isin(wanted)]

    def get_stimulus_table(
        self,
        stimulus_names: str | Sequence[str] | None = None,
        include_detailed_parameters: bool = False,
        include_unused_parameters: bool = False,
    ) -> pd.DataFrame:
        """Return the presentations of some stimuli.

        Parameters
        ----------
        stimulus_names
            Names; all where None. Without any presentation, the table is empty.
        include_detailed_parameters
            Also how stimuli were drawn (textures, colour spaces, dots).
        include_unused_parameters
            Also columns that apply to none of the presentations.
        """
        made = self._of_stimuli(stimulus_names)
        if not include_detailed_parameters:
            made = stimuli.without_details(made)
        return (made if include_unused_parameters else stimuli.without_unused(made)).copy()

    def get_parameter_values_for_stimulus(
        self, stimulus_name: str, drop_nulls: bool = True
    ) -> dict[str, Any]:
        """Return the values that each parameter of a stimulus takes, in order of presentation.

        Parameters
        ----------
        stimulus_name
            Its name.
        drop_nulls
            Leave out ``"null"``.
        """
        return stimuli.parameter_values(self._of_stimuli(stimulus_name), drop_nulls=drop_nulls)

    def get_stimulus_parameter_values(
        self, stimulus_presentation_ids: int | Sequence[int] | None = None, drop_nulls: bool = True
    ) -> dict[str, Any]:
        """Return the values that each parameter takes in some presentations, in their order.

        Parameters
        ----------
        stimulus_presentation_ids
            Which; all where None.
        drop_nulls
            Leave out ``"null"``.

        Raises
        ------
        NotFoundError
            If there is no such presentation.
        """
        shown = self._presentations
        if stimulus_presentation_ids is not None:
            shown = shown.loc[self._presentation_ids(stimulus_presentation_ids)]
        return stimuli.parameter_values(shown, drop_nulls=drop_nulls)

    def _presentation_ids(self, ids: int | Sequence[int] | None) -> list[int]:
        known = self._presentations.index
        if ids is None:
            return list(known)
        found = listed(ids)
        missing = next((one for one in found if one not in known), None)
        if missing is not None:
            raise NotFoundError(
                f"no presentation {missing}", address=self.name, why=f"it has {len(known):,}"
            )
        return found

    def get_stimulus_epochs(
        self, duration_thresholds: Mapping[str, float] | None = None
    ) -> pd.DataFrame:
        """Return the stretches in which one block of a stimulus was shown.

        Parameters
        ----------
        duration_thresholds
            Shortest epochs to return, in s by the name of the stimulus.

        Returns
        -------
        DataFrame
            ``start_time``, ``stop_time`` and ``duration`` in s, ``stimulus_name``,
            ``stimulus_block``.
        """
        wanted = _EPOCHS_S if duration_thresholds is None else duration_thresholds
        return stimuli.epochs(self._presentations, wanted)

    @functools.cached_property
    def _invalid(self) -> pd.DataFrame:
        return records.invalid_table(self.tree)

    @property
    def invalid_times(self) -> pd.DataFrame:
        """Times in which something was wrong, in s, with ``tags`` of what; empty without any."""
        return self._invalid.copy()

    def get_invalid_times(self) -> pd.DataFrame:
        """Return `invalid_times`."""
        return self.invalid_times

    @property
    def num_stimulus_presentations(self) -> int:
        """How many presentations there were."""
        return len(self._presentations)


def listed(ids: int | Sequence[int]) -> list[int]:
    """Return one id, or several, as a list."""
    import numpy as np

    found: list[int] = np.atleast_1d(np.asarray(ids)).reshape(-1).tolist()
    return found
