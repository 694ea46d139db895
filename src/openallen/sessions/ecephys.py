"""A Neuropixels session: probes, channels, units, spikes, fields."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.formats.nwb import frame
from openallen.formats.nwb.values import whole
from openallen.sessions.base import Opener
from openallen.sessions.behavior import BEHAVIOR, BehaviorSession
from openallen.sessions.channels import ELECTRODES, channel_table, places_text, probe_table
from openallen.sessions.lfp import csd_array, lfp_array
from openallen.sessions.probe_files import ProbeFiles, opener_beside
from openallen.sessions.responses import Responding
from openallen.sessions.spikes import column_by_unit, known_units, spikes_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

    from openallen.visuals import Visual

__all__ = ["BehaviorEcephysSession"]

ECEPHYS = (
    "behavior_data_class",
    "get_channels",
    "get_current_source_density",
    "get_lfp",
    "get_probes_obj",
    "get_units",
    "mean_waveforms",
    "optotagging_table",
    "probes",
    "spike_amplitudes",
    "spike_times",
)
_RAGGED = ("spike_times", "spike_amplitudes", "waveform_mean")
_LIMITS = ("amplitude_cutoff", "isi_violations", "presence_ratio")


class BehaviorEcephysSession(BehaviorSession, Responding):
    """A behavior session recorded with Neuropixels probes.

    Parameters
    ----------
    opener, name, path, **options
        As for `BehaviorSession`.
    lfp
        Returns the opener of a probe's LFP file by the probe's id and name, None where it has none;
        by default ``probe_<name>_lfp.nwb`` beside the session's own file.
    """

    _names: ClassVar[tuple[str, ...]] = (*BEHAVIOR, *ECEPHYS)
    kind: ClassVar[str] = "ecephys_session"
    takes: ClassVar[tuple[str, ...]] = ("lfp",)
    _recompute: ClassVar[bool] = False
    _aligns: ClassVar[str] = "spikes"

    def __init__(
        self,
        opener: Opener,
        name: str,
        path: Path | None = None,
        *,
        lfp: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(opener, name, path, **options)
        self._files = ProbeFiles(lfp or self._beside, name)

    @property
    def ecephys_session_id(self) -> int:
        """Id of the session."""
        return whole(self.tree.value("identifier"), "identifier", self.name)

    @functools.cached_property
    def metadata(self) -> dict[str, Any]:
        """Who, where, when and with what, ``ecephys_session_id`` last."""
        return {**super().metadata, "ecephys_session_id": self.ecephys_session_id}

    @property
    def behavior_data_class(self) -> type[BehaviorSession]:
        """The kind of session that holds its behavior."""
        return BehaviorSession

    # --- probes, channels, units ------------------------------------------------------------------

    @functools.cached_property
    def probes(self) -> pd.DataFrame:
        """Probes, by name; sampling rates in Hz, index ``id``.

        LFP rate and presence are those in the file; AllenSDK takes them from the tables of the
        release, and returns None and False for a file by itself.
        """
        return probe_table(self.tree)

    def get_probes_obj(self) -> pd.DataFrame:
        """Return `probes`; AllenSDK's object of the same name has them as its table."""
        return self.probes

    @functools.cached_property
    def _channels(self) -> pd.DataFrame:
        return channel_table(self.tree, allensdk_compatible=self.allensdk_compatible)

    @property
    def channels(self) -> pd.DataFrame:
        """Valid channels of all probes: `get_channels` as it is called without arguments."""
        return self.get_channels()

    @property
    def units(self) -> pd.DataFrame:
        """Units: `get_units` as it is called without arguments."""
        return self.get_units()

    def get_channels(self, *, filter_by_validity: bool = True) -> pd.DataFrame:
        """Return the channels of all probes, probe after probe.

        Parameters
        ----------
        filter_by_validity
            Leave out channels with ``valid_data`` false, and that column.

        Returns
        -------
        DataFrame
            Index ``id``; positions on the probe and CCF coordinates in µm (missing where unknown),
            ``structure_acronym`` None outside the brain. ``filtering`` is what the file says;
            AllenSDK has one text for all.
        """
        found = self._channels
        if not filter_by_validity:
            return found.copy()
        return found[found["valid_data"].astype(bool)].drop(columns="valid_data")

    @functools.cached_property
    def _units(self) -> pd.DataFrame:
        made = frame(self.tree, "units", _RAGGED, "id")
        return made[sorted(made.columns)]

    def get_units(
        self,
        *,
        filter_by_validity: bool = False,
        filter_out_of_brain_units: bool = False,
        amplitude_cutoff_maximum: float | None = None,
        presence_ratio_minimum: float | None = None,
        isi_violations_maximum: float | None = None,
    ) -> pd.DataFrame:
        """Return the units.

        Parameters
        ----------
        filter_by_validity
            Only units of good ``quality`` on valid channels; that column is left out then.
        filter_out_of_brain_units
            Only units whose peak channel lies in a structure.
        amplitude_cutoff_maximum, presence_ratio_minimum, isi_violations_maximum
            Limits, inclusive. A unit without a value in one of the three columns is always left
            out, as in AllenSDK.

        Returns
        -------
        DataFrame
            Index ``id``, columns in alphabetical order.
        """
        made = self._units
        channels = self._channels
        for name in _LIMITS:
            if name in made:
                made = made[made[name].notna()]
        if filter_by_validity:
            valid = channels.index[channels["valid_data"].astype(bool)]
            made = made[made["peak_channel_id"].isin(valid)]
            if "quality" in made:
                made = made[made["quality"] == "good"].drop(columns="quality")
        if filter_out_of_brain_units:
            inside = channels.index[channels["structure_acronym"].notna()]
            made = made[made["peak_channel_id"].isin(inside)]
        if amplitude_cutoff_maximum is not None:
            made = made[made["amplitude_cutoff"] <= amplitude_cutoff_maximum]
        if presence_ratio_minimum is not None:
            made = made[made["presence_ratio"] >= presence_ratio_minimum]
        if isi_violations_maximum is not None:
            made = made[made["isi_violations"] <= isi_violations_maximum]
        return made.copy()

    @functools.cached_property
    def spike_times(self) -> dict[int, np.ndarray[Any, Any]]:
        """Times of each unit's spikes in s, by unit id."""
        return column_by_unit(self.tree, "spike_times")

    def spike_times_of(self, unit_ids: Sequence[int]) -> dict[int, np.ndarray[Any, Any]]:
        """Return times of the spikes of some units in s, by unit id; only these are read.

        Raises
        ------
        NotFoundError
            If the session has no such unit.
        """
        # Of most units in one go: reading them one by one takes a request each.
        whole = 2 * len(unit_ids) > self.tree.shape("units/id")[0]
        if whole or "spike_times" in self.__dict__:
            known = self.spike_times
            known_units(self.tree, unit_ids, known)
            return {unit: known[unit] for unit in unit_ids}
        return spikes_of(self.tree, unit_ids)

    @functools.cached_property
    def spike_amplitudes(self) -> dict[int, np.ndarray[Any, Any]]:
        """Amplitudes of each unit's spikes in V, by unit id."""
        return column_by_unit(self.tree, "spike_amplitudes")

    @functools.cached_property
    def mean_waveforms(self) -> dict[int, np.ndarray[Any, Any]]:
        """Mean waveform of each unit in µV, channels x samples, by unit id."""
        return column_by_unit(self.tree, "waveform_mean")

    @functools.cached_property
    def optotagging_table(self) -> pd.DataFrame:
        """Light pulses: times and ``duration`` in s, ``level`` in V; index ``id``."""
        place = "processing/optotagging/optogenetic_stimulation"
        return frame(self.tree, place, ("tags", "timeseries"), "id")

    # --- fields -----------------------------------------------------------------------------------

    def _beside(self, probe_id: int, name: str) -> Opener | None:
        del probe_id
        if self.path is None:
            return None
        # Beside the session's file, as releases lie; several sessions in one folder by their ids.
        names = (f"probe_{name}_lfp_{self.ecephys_session_id}.nwb", f"probe_{name}_lfp.nwb")
        return opener_beside(self.path, names)

    def get_lfp(self, probe_id: int) -> xr.DataArray | None:
        """Return the local field potential of a probe.

        Returns
        -------
        DataArray or None
            In V; ``time`` (s) x ``channel`` (channel ids). None where the probe has no LFP.

        Raises
        ------
        NotFoundError
            If the probe has LFP, and its file is not here.
        """
        tree = self._files.tree(self.probes, probe_id, "name")
        return None if tree is None else lfp_array(tree, probe_id)

    def get_current_source_density(self, probe_id: int) -> xr.DataArray | None:
        """Return the current source density of a probe after a flash.

        Returns
        -------
        DataArray or None
            In V/cm²; ``virtual_channel_index`` x ``time`` (s after the flash), with positions on
            the probe in µm. None where the probe has no LFP file.
        """
        tree = self._files.tree(self.probes, probe_id, "name")
        return None if tree is None else csd_array(tree)

    def close(self) -> None:
        """Close the session's file and those of its probes."""
        self._files.close()
        super().close()

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sessions.unit_visuals import ecephys_visuals

        return ecephys_visuals(self)

    def _facts(self) -> dict[str, object]:
        told = super()._facts()
        file = told.pop("file")
        return {
            "ecephys session": self.ecephys_session_id,
            "probes": ", ".join(self.probes["name"]) or "none",
            "units": f"{self.tree.shape('units/id')[0]:,}",
            "channels": f"{self.tree.shape(f'{ELECTRODES}/id')[0]:,}",
            "structures": places_text(self._channels["structure_acronym"]),
            **told,
            "file": file,
        }
