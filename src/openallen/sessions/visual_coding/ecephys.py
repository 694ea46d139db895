"""A Visual Coding Neuropixels session: what was shown, and what units and fields did."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.errors import CorruptError, NotFoundError
from openallen.formats.nwb.values import whole
from openallen.sessions.base import Opener
from openallen.sessions.channels import ELECTRODES, PROBES, places_text, probe_table
from openallen.sessions.lengths import number_columns, numbers
from openallen.sessions.lfp import csd_array, lfp_array, lfp_probe
from openallen.sessions.metadata import moment
from openallen.sessions.probe_files import ProbeFiles, opener_beside
from openallen.sessions.responses import Responding, counts
from openallen.sessions.spikes import chosen_by_unit, column_by_unit, known_units, spikes_of
from openallen.sessions.visual_coding import ecephys_records as records
from openallen.sessions.visual_coding import ecephys_units as parts
from openallen.sessions.visual_coding.ecephys_drawn import Drawn
from openallen.sessions.visual_coding.ecephys_shown import ShownStimuli, listed

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import pandas as pd
    import xarray as xr

    from openallen.formats.nwb import Tree
    from openallen.visuals import Visual

__all__ = ["EcephysSession"]


class EcephysSession(Drawn, ShownStimuli, Responding):
    """A Neuropixels recording of the Visual Coding survey.

    Attributes and methods are those of AllenSDK's class of the same name. Times are seconds on the
    session's own clock. In tables of stimuli ``"null"`` stands for what does not apply. Whatever
    else the file holds is there as of any NWB file: `table`, `series`.

    Parameters
    ----------
    opener, name, path
        As for `NwbSession`.
    filter_by_validity
        Only units of good ``quality`` on valid channels, and only valid channels.
    filter_out_of_brain_units
        Only units whose peak channel lies in a structure.
    amplitude_cutoff_maximum, presence_ratio_minimum, isi_violations_maximum
        Limits of units, inclusive; None for none. A unit without a value is left out all the same,
        as in AllenSDK.
    channels
        ``ecephys_structure_id``, ``ecephys_structure_acronym`` and CCF coordinates in µm by channel
        id, or what returns them: they are in the tables of the release, not in the file. By
        default ``channels.csv`` in the folder above the file's, where AllenSDK's cache has it.
        Without any, structures are those that the file has for its electrodes.
    lfp
        Returns the opener of a probe's LFP file by the probe's id and name, None where it has none;
        by default ``probe_<id>_lfp.nwb`` beside the session's own file.
    """

    _names: ClassVar[tuple[str, ...]] = (
        "age_in_days", "channel_structure_intervals", "channels", "conditionwise_spike_statistics",
        "ecephys_session_id", "full_genotype", "get_channels", "get_current_source_density",
        "get_inter_presentation_intervals_for_stimulus", "get_invalid_times", "get_lfp",
        "get_metadata", "get_parameter_values_for_stimulus", "get_pupil_data",
        "get_raw_running_data", "get_running_speed", "get_screen_gaze_data", "get_stimulus_epochs",
        "get_stimulus_parameter_values", "get_stimulus_table", "inter_presentation_intervals",
        "invalid_times", "mean_waveforms", "metadata", "num_channels", "num_probes",
        "num_stimulus_presentations", "num_units", "optogenetic_stimulation_epochs",
        "presentationwise_spike_counts", "presentationwise_spike_times", "probes", "responses",
        "rig_equipment_name", "rig_geometry_data", "running_speed", "session_start_time",
        "session_type", "sex", "specimen_name", "spike_amplitudes", "spike_times",
        "stimulus_conditions", "stimulus_names", "stimulus_presentations", "structure_acronyms",
        "structurewise_unit_counts", "units",
    )  # fmt: skip
    kind: ClassVar[str] = "visual_coding_ecephys_session"
    takes: ClassVar[tuple[str, ...]] = (
        "amplitude_cutoff_maximum",
        "channels",
        "filter_by_validity",
        "filter_out_of_brain_units",
        "isi_violations_maximum",
        "lfp",
        "presence_ratio_minimum",
    )

    @classmethod
    def knows(cls, tree: Tree) -> bool:
        """Return whether a file holds a Visual Coding Neuropixels session.

        Its identifier is a number and its electrodes or groups of electrodes name probes by id, as
        in Visual Behavior; what that has beside (``general/metadata``) is not there.
        """
        if tree.has("general/metadata") or not tree.has("identifier"):
            return False
        if not str(tree.value("identifier")).strip().isdigit() or lfp_probe(tree) is not None:
            return False
        if tree.has(f"{ELECTRODES}/probe_id"):
            return True
        groups = tree.groups(PROBES) if tree.has(PROBES) else []
        return any("probe_id" in tree.attrs(f"{PROBES}/{name}") for name in groups)

    def __init__(
        self,
        opener: Opener,
        name: str,
        path: Path | None = None,
        *,
        filter_by_validity: bool = True,
        filter_out_of_brain_units: bool = True,
        amplitude_cutoff_maximum: float | None = 0.1,
        presence_ratio_minimum: float | None = 0.95,
        isi_violations_maximum: float | None = 0.5,
        channels: pd.DataFrame | Callable[[], pd.DataFrame | None] | None = None,
        lfp: Callable[[int, str], Opener | None] | None = None,
    ) -> None:
        super().__init__(opener, name, path)
        self.limits = parts.Limits(
            bool(filter_by_validity),
            bool(filter_out_of_brain_units),
            parts.limit(amplitude_cutoff_maximum, "amplitude_cutoff_maximum", math.inf),
            parts.limit(presence_ratio_minimum, "presence_ratio_minimum", -math.inf),
            parts.limit(isi_violations_maximum, "isi_violations_maximum", math.inf),
        )
        self._given = channels
        self._files = ProbeFiles(lfp or self._beside, name)

    # --- who, when, with what -----------------------------------------------------------------

    @property
    def ecephys_session_id(self) -> int:
        """Id of the session."""
        return whole(self.tree.value("identifier"), "identifier", self.name)

    @property
    def session_start_time(self) -> datetime:
        """When it began, in UTC."""
        told = str(self.tree.value("session_start_time"))
        try:
            return moment(told)
        except ValueError as error:
            why = f"session_start_time: {told[:60]}"
            raise CorruptError("not a time", address=self.name, why=why) from error

    @property
    def session_type(self) -> str | None:
        """Which stimuli were shown: ``brain_observatory_1.1``, ``functional_connectivity``.

        None where the file does not say it.
        """
        place = "general/stimulus"
        return str(self.tree.value(place)) if self.tree.has(place) else None

    def get_metadata(self) -> dict[str, Any]:
        """Return what the file says of the animal; None for what it does not say."""
        return records.subject(self.tree, self.session_type)

    @property
    def specimen_name(self) -> str | None:
        """Name of the animal."""
        name: str | None = self.get_metadata()["specimen_name"]
        return name

    @property
    def age_in_days(self) -> float | None:
        """Age of the animal, in days."""
        age: float | None = self.get_metadata()["age_in_days"]
        return age

    @property
    def sex(self) -> str | None:
        """Sex of the animal."""
        sex: str | None = self.get_metadata()["sex"]
        return sex

    @property
    def full_genotype(self) -> str | None:
        """Genotype of the animal; None where the file does not say it."""
        genotype: str | None = self.get_metadata()["full_genotype"]
        return genotype

    @property
    def rig_geometry_data(self) -> pd.DataFrame | None:
        """Where monitor, camera and light stood, in mm and degrees; None without eye tracking."""
        return records.rig_table(self.tree)

    @property
    def rig_equipment_name(self) -> str | None:
        """Name of the rig; None without eye tracking."""
        return self.tree.attrs(records.RIG)["equipment"] if self.tree.has(records.RIG) else None

    @property
    def metadata(self) -> dict[str, Any]:
        """Who, where, when and with what, and how much of it there is."""
        told = self.get_metadata()
        return {
            "specimen_name": told["specimen_name"],
            "session_type": told["stimulus_name"],
            "full_genotype": told["full_genotype"],
            "sex": told["sex"],
            "age_in_days": told["age_in_days"],
            "rig_equipment_name": self.rig_equipment_name,
            "num_units": self.num_units,
            "num_channels": self.num_channels,
            "num_probes": self.num_probes,
            "num_stimulus_presentations": self.num_stimulus_presentations,
            "session_start_time": self.session_start_time,
            "ecephys_session_id": self.ecephys_session_id,
            "structure_acronyms": self.structure_acronyms,
            "stimulus_names": self.stimulus_names,
        }

    @property
    def num_units(self) -> int:
        """How many units there are within the limits."""
        return len(self._units) if self.tree.has("units") else 0

    @property
    def num_probes(self) -> int:
        """How many probes there are."""
        return len(self.probes)

    @property
    def num_channels(self) -> int:
        """How many channels there are, of valid ones if only these are wanted."""
        return len(self.get_channels())

    # --- probes, channels, units ----------------------------------------------------------------

    @functools.cached_property
    def probes(self) -> pd.DataFrame:
        """Probes by id; ``description`` is the name, sampling rates are in Hz."""
        return probe_table(self.tree).rename(columns={"name": "description"})

    @functools.cached_property
    def _channels(self) -> pd.DataFrame:
        told = self._given() if callable(self._given) else self._given
        if told is None:
            return parts.with_structures(self.tree, parts.channels_beside(self.path), found=True)
        return parts.with_structures(self.tree, told, found=False)

    @property
    def channels(self) -> pd.DataFrame:
        """Channels of all probes; positions on the probe and CCF coordinates in µm; index ``id``.

        ``structure_acronym`` is what the file says, ``ecephys_structure_acronym`` and
        ``ecephys_structure_id`` are those of the release's tables, where these are here.
        """
        return self.get_channels()

    def get_channels(self, *, filter_by_validity: bool | None = None) -> pd.DataFrame:
        """Return `channels`, valid ones or all; as the session was opened where None."""
        if filter_by_validity is None:
            filter_by_validity = self.limits.filter_by_validity
        made = self._channels
        if not filter_by_validity or "valid_data" not in made:
            return made.copy()
        number_columns(self.tree, ELECTRODES, made, ("valid_data",))
        return made[made["valid_data"].astype(bool)].drop(columns="valid_data")

    @functools.cached_property
    def _units(self) -> pd.DataFrame:
        return parts.unit_table(self.tree, self.get_channels(), self.probes, self.limits)

    @property
    def units(self) -> pd.DataFrame:
        """Units within the limits, with their channels and probes; index ``unit_id``.

        Probe after probe, along each from its tip. Raises `NotFoundError` where the file has none.
        """
        return self._units.copy()

    @property
    def structure_acronyms(self) -> list[Any]:
        """Structures of the channels, each once; not a number for channels outside of any."""
        found: list[Any] = parts.structures_of(self.get_channels()).unique().tolist()
        return found

    @property
    def structurewise_unit_counts(self) -> pd.Series:
        """How many units within the limits lie in each structure, most first."""
        return parts.structures_of(self._units).rename(parts.STRUCTURE).value_counts()

    def channel_structure_intervals(
        self, channel_ids: Sequence[int]
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return the structures that channels lie in, run by run.

        Parameters
        ----------
        channel_ids
            Channels of one probe, in the order wanted.

        Returns
        -------
        labels, intervals
            The acronym of each run (not a number outside of structures), and where each begins in
            `channel_ids`; one more at the end.

        Raises
        ------
        NotFoundError
            If there is no such channel.
        """
        return parts.structure_intervals(self.get_channels(), channel_ids, self.name)

    @functools.cached_property
    def spike_times(self) -> dict[int, np.ndarray[Any, Any]]:
        """Times of the spikes of the units within the limits in s, by unit id."""
        return chosen_by_unit(self.tree, "spike_times", set(self._units.index))

    def spike_times_of(self, unit_ids: Sequence[int]) -> dict[int, np.ndarray[Any, Any]]:
        """Return times of the spikes of some units in s, by unit id; only these are read.

        Raises
        ------
        NotFoundError
            If the session has no such unit within the limits.
        """
        known_units(self.tree, unit_ids, self._units.index)
        if "spike_times" in self.__dict__ or 2 * len(unit_ids) > len(self._units):
            return {unit: self.spike_times[unit] for unit in unit_ids}
        return spikes_of(self.tree, unit_ids)

    @functools.cached_property
    def spike_amplitudes(self) -> dict[int, np.ndarray[Any, Any]]:
        """Amplitudes of the spikes of every unit of the file in V, by unit id."""
        return column_by_unit(self.tree, "spike_amplitudes")

    @functools.cached_property
    def mean_waveforms(self) -> dict[int, xr.DataArray]:
        """Mean waveforms of the units in µV, ``channel_id`` x ``time`` (s), by unit id."""
        return parts.mean_waveforms(self.tree, self._units, self.get_channels())

    # --- spikes by presentation -----------------------------------------------------------------

    def _unit_ids(self, ids: int | Sequence[int] | None) -> list[int]:
        found = self._units.index.tolist() if ids is None else listed(ids)
        known_units(self.tree, found, self._units.index)
        return found

    def presentationwise_spike_counts(  # noqa: PLR0917 - the order of AllenSDK's own
        self,
        bin_edges: Any,
        stimulus_presentation_ids: int | Sequence[int] | None,
        unit_ids: int | Sequence[int] | None,
        binarize: bool = False,
        dtype: Any = None,
        large_bin_size_threshold: float = 0.001,
        time_domain_callback: Callable[[Any], Any] | None = None,
    ) -> xr.DataArray:
        """Return the spikes of units in bins around the start of presentations.

        Parameters
        ----------
        bin_edges
            Edges of the bins, in s from the start of each presentation.
        stimulus_presentation_ids, unit_ids
            Which; all where None.
        binarize
            Whether there was any spike, instead of how many.
        dtype
            Type of the counts.
        large_bin_size_threshold
            Bins wider than this, in s, may hold several spikes; a warning says so where `binarize`
            is asked for.
        time_domain_callback
            Changes the edges (presentation x edge, in s on the session's clock) before counting.

        Returns
        -------
        DataArray
            ``stimulus_presentation_id`` x ``time_relative_to_stimulus_onset`` (s, middles of bins)
            x ``unit_id``.
        """
        units = self._unit_ids(unit_ids)
        return counts.presentationwise_spike_counts(
            self.spike_times_of(units),
            self.stimulus_presentations,
            bin_edges,
            self._presentation_ids(stimulus_presentation_ids),
            units,
            binarize=binarize,
            dtype=dtype,
            large_bin_size_threshold=large_bin_size_threshold,
            time_domain_callback=time_domain_callback,
        )

    def presentationwise_spike_times(
        self,
        stimulus_presentation_ids: int | Sequence[int] | None = None,
        unit_ids: int | Sequence[int] | None = None,
    ) -> pd.DataFrame:
        """Return the spikes of units during presentations, in order of time.

        Parameters
        ----------
        stimulus_presentation_ids, unit_ids
            Which; all where None.

        Returns
        -------
        DataFrame
            Index ``spike_time`` (s); ``stimulus_presentation_id``, ``unit_id`` and
            ``time_since_stimulus_presentation_onset`` (s).
        """
        units = self._unit_ids(unit_ids)
        ids = self._presentation_ids(stimulus_presentation_ids)
        spikes, shown = self.spike_times_of(units), self.stimulus_presentations
        return counts.presentationwise_spike_times(spikes, shown, ids, units)

    def conditionwise_spike_statistics(
        self,
        stimulus_presentation_ids: int | Sequence[int] | None = None,
        unit_ids: int | Sequence[int] | None = None,
        use_rates: bool = False,
    ) -> pd.DataFrame:
        """Return how many spikes units had in presentations of each condition.

        Parameters
        ----------
        stimulus_presentation_ids, unit_ids
            Which; all where None.
        use_rates
            Spikes/s instead of spikes.

        Returns
        -------
        DataFrame
            Index ``unit_id`` and ``stimulus_condition_id``; counts, mean, standard deviation and
            standard error.
        """
        units = self._unit_ids(unit_ids)
        return counts.conditionwise_spike_statistics(
            self.spike_times_of(units),
            self.stimulus_presentations,
            self.stimulus_conditions,
            self._presentation_ids(stimulus_presentation_ids),
            units,
            use_rates=use_rates,
        )

    # --- behavior -------------------------------------------------------------------------------

    @functools.cached_property
    def running_speed(self) -> pd.DataFrame:
        """``start_time`` and ``end_time`` in s, ``velocity`` in cm/s."""
        return self.get_running_speed()

    def get_running_speed(self, include_rotation: bool = False) -> pd.DataFrame:
        """Return `running_speed`, with how far the wheel turned in rad where wanted."""
        return records.running_table(self.tree, rotation=include_rotation)

    def get_raw_running_data(self) -> pd.DataFrame:
        """Return what the wheel was measured with: time in s, rotation in rad, voltages in V."""
        return records.raw_running_table(self.tree)

    def get_screen_gaze_data(self, include_filtered_data: bool = False) -> pd.DataFrame | None:
        """Return where the animal looked, by time in s; None without eye tracking.

        Parameters
        ----------
        include_filtered_data
            Also without what is no likely measurement.

        Returns
        -------
        DataFrame or None
            Areas in cm², places on the screen in cm and degrees.
        """
        return records.gaze_table(self.tree, filtered=include_filtered_data)

    def get_pupil_data(self) -> pd.DataFrame | None:
        """Return the ellipses of reflection, pupil and eye by time in s; None without eye tracking.

        Centres, heights and widths are in px, ``phi`` in rad.
        """
        return records.pupil_table(self.tree)

    @functools.cached_property
    def optogenetic_stimulation_epochs(self) -> pd.DataFrame:
        """Light pulses: times and ``duration`` in s, ``level`` in V; index ``id``."""
        return records.light_table(self.tree)

    # --- fields ---------------------------------------------------------------------------------

    def _beside(self, probe_id: int, name: str) -> Opener | None:
        del name
        return opener_beside(self.path, [f"probe_{probe_id}_lfp.nwb"])

    def _lfp_tree(self, probe_id: int) -> Tree:
        tree = self._files.tree(self.probes, probe_id, "description")
        if tree is None:
            name = self.probes.loc[probe_id, "description"]
            why = "the file says that it was not recorded"
            raise NotFoundError(f"probe {name} has no LFP", address=self.name, why=why)
        return tree

    def get_lfp(self, probe_id: int, mask_invalid_intervals: bool = True) -> xr.DataArray:
        """Return the local field potential of a probe; samples are read as they are sliced.

        Parameters
        ----------
        probe_id
            Id of the probe.
        mask_invalid_intervals
            No numbers where `invalid_times` name the probe, or all probes.

        Returns
        -------
        DataArray
            In V; ``time`` (s) x ``channel`` (channel ids).

        Raises
        ------
        NotFoundError
            If there is no such probe, it has no LFP, or the file of its LFP is not here.
        """
        tree = self._lfp_tree(probe_id)
        if not mask_invalid_intervals:
            return lfp_array(tree, probe_id, lazy=True)
        tags = ("all_probes", str(self.probes.loc[probe_id, "description"]))
        blank = records.invalid_spans(self._invalid, tags)
        return lfp_array(tree, probe_id, lazy=True, blank=blank)

    def get_current_source_density(self, probe_id: int) -> xr.DataArray:
        """Return the current source density of a probe after a flash.

        Returns
        -------
        DataArray
            In V/cm²; ``virtual_channel_index`` x ``time`` (s after the flash), with positions on
            the probe in µm.

        Raises
        ------
        NotFoundError
            As for `get_lfp`, or if the file has no current source density.
        """
        return csd_array(self._lfp_tree(probe_id), rounded=False)

    def close(self) -> None:
        """Close the session's file and those of its probes."""
        self._files.close()
        super().close()

    # --- what it looks like ---------------------------------------------------------------------

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sessions.visual_coding.ecephys_visuals import session_visuals

        return session_visuals(self)

    def _facts(self) -> dict[str, object]:
        from openallen.display import seconds_text

        told = self.get_metadata()
        animal = (told["specimen_name"], told["sex"], told["age"])
        shown = self._presentations
        return {
            "ecephys session": self.ecephys_session_id,
            "session type": told["stimulus_name"],
            "specimen": ", ".join(str(one) for one in animal if one),
            "genotype": told["full_genotype"],
            "started": f"{self.session_start_time:%Y-%m-%d %H:%M} UTC",
            "probes": ", ".join(self.probes["description"]) or "none",
            "units": self._units_text(),
            "channels": f"{self.num_channels:,}",
            "structures": places_text(parts.structures_of(self.get_channels())),
            "stimuli": places_text(self.stimulus_names) or "none",
            "shown": f"{len(shown):,} presentations, {len(self.stimulus_conditions):,} conditions",
            "duration": seconds_text(float(shown["stop_time"].max())) if len(shown) else None,
            "invalid times": f"{len(self._invalid):,}" if len(self._invalid) else None,
            "description": records.description(self.tree),
            "file": self.name,
        }

    def _units_text(self) -> str:
        if not self.tree.has("units/id"):
            return "none"
        every = len(numbers(self.tree, "units/id"))
        if len(self._units) == every:
            return f"{every:,}"
        return f"{len(self._units):,} of {every:,}, within the limits for quality"

    def _picture(self) -> str:
        from openallen.sessions.visual_coding.ecephys_visuals import picture

        return picture(self)
