"""A Neuropixels session: probes, channels, units, spikes, fields."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.errors import CorruptError, NotFoundError
from openallen.formats.nwb import frame, ragged
from openallen.formats.nwb.tables import spans
from openallen.formats.nwb.values import number, whole
from openallen.sessions.base import Opener
from openallen.sessions.behavior import BEHAVIOR, BehaviorSession
from openallen.sessions.channels import ELECTRODES, PROBES, channel_table, places_text
from openallen.sessions.lengths import same_length
from openallen.sessions.lfp import csd_array, lfp_array

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

    from openallen.formats.nwb import Tree
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
_PROBE_COLUMNS = ("name", "location", "sampling_rate", "lfp_sampling_rate", "has_lfp_data")
_RAGGED = ("spike_times", "spike_amplitudes", "waveform_mean")
_LIMITS = ("amplitude_cutoff", "isi_violations", "presence_ratio")


class BehaviorEcephysSession(BehaviorSession):
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
        self._lfp = lfp or self._beside
        self._lfp_trees: dict[int, Tree | None] = {}

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
        import numpy as np
        import pandas as pd

        rows, ids = [], []
        for name in self.tree.names(PROBES):
            told = self.tree.attrs(f"{PROBES}/{name}")
            if "probe_id" not in told:
                continue
            rate = number(told.get("lfp_sampling_rate", np.nan), "lfp_sampling_rate", self.name)
            ids.append(whole(told["probe_id"], "probe_id", self.name))
            rows.append(
                {
                    "name": name,
                    "location": told.get("location"),
                    "sampling_rate": self.tree.attrs(f"general/devices/{name}")["sampling_rate"],
                    "lfp_sampling_rate": rate,
                    "has_lfp_data": bool(told.get("has_lfp_data", False)),
                }
            )
        index = pd.Index(ids, name="id", dtype="int64")
        made = pd.DataFrame(rows, index=index, columns=list(_PROBE_COLUMNS))
        return made.astype({"name": object, "location": object})

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

    def _by_unit(self, name: str) -> dict[int, np.ndarray[Any, Any]]:
        return self._unit_rows(f"units/{name}", ragged(self.tree, "units", name))

    def _unit_rows(self, place: str, rows: Sequence[Any]) -> dict[int, Any]:
        """Return the rows of a column by the ids of units, none of which may come twice."""
        ids = self.tree.array("units/id").tolist()
        same_length(self.tree, place, {"ids": ids, "units": rows})
        found = dict(zip(ids, rows, strict=True))
        if len(found) < len(ids):
            why = f"{len(ids)} units, {len(found)} ids"
            raise CorruptError("units share an id", address=self.name, why=why)
        return found

    @functools.cached_property
    def spike_times(self) -> dict[int, np.ndarray[Any, Any]]:
        """Times of each unit's spikes in s, by unit id."""
        return self._by_unit("spike_times")

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
            self._known_units(unit_ids, known)
            return {unit: known[unit] for unit in unit_ids}
        place = "units/spike_times"
        rows = spans(self.tree, f"{place}_index", self.tree.shape(place)[0])
        known = self._unit_rows(place, rows)
        self._known_units(unit_ids, known)
        return {unit: self.tree.part(place, slice(*known[unit])) for unit in unit_ids}

    def _known_units(self, unit_ids: Sequence[int], known: Collection[int]) -> None:
        missing = [unit for unit in unit_ids if unit not in known]
        if missing:
            raise NotFoundError(
                f"no unit {missing[0]}", address=self.name, why=f"it has {len(known)}"
            )

    @functools.cached_property
    def spike_amplitudes(self) -> dict[int, np.ndarray[Any, Any]]:
        """Amplitudes of each unit's spikes in V, by unit id."""
        return self._by_unit("spike_amplitudes")

    @functools.cached_property
    def mean_waveforms(self) -> dict[int, np.ndarray[Any, Any]]:
        """Mean waveform of each unit in µV, channels x samples, by unit id."""
        return self._by_unit("waveform_mean")

    @functools.cached_property
    def optotagging_table(self) -> pd.DataFrame:
        """Light pulses: times and ``duration`` in s, ``level`` in V; index ``id``."""
        place = "processing/optotagging/optogenetic_stimulation"
        return frame(self.tree, place, ("tags", "timeseries"), "id")

    # --- fields -----------------------------------------------------------------------------------

    def _beside(self, probe_id: int, name: str) -> Opener | None:
        if self.path is None:
            return None
        # Beside the session's file, as releases lie; several sessions in one folder by their ids.
        names = (f"probe_{name}_lfp_{self.ecephys_session_id}.nwb", f"probe_{name}_lfp.nwb")
        place = next((p for n in names if (p := self.path.with_name(n)).exists()), None)
        if place is None:
            return None

        def opener() -> Tree:
            from openallen.formats.nwb import open_h5

            return open_h5(place, str(place))

        del probe_id
        return opener

    def _lfp_tree(self, probe_id: int) -> Tree | None:
        if probe_id not in self._lfp_trees:
            if probe_id not in self.probes.index:
                raise NotFoundError(
                    f"no probe {probe_id}",
                    address=self.name,
                    why=f"it has {', '.join(str(i) for i in self.probes.index)}",
                )
            told = self.probes.loc[probe_id]
            opener = self._lfp(probe_id, str(told["name"]))
            if opener is None and bool(told["has_lfp_data"]):
                raise NotFoundError(
                    f"the LFP file of probe {told['name']} is not here",
                    address=self.name,
                    why=f"no probe_{told['name']}_lfp.nwb beside the session's file",
                )
            self._lfp_trees[probe_id] = opener() if opener is not None else None
        return self._lfp_trees[probe_id]

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
        tree = self._lfp_tree(probe_id)
        return None if tree is None else lfp_array(tree, probe_id)

    def get_current_source_density(self, probe_id: int) -> xr.DataArray | None:
        """Return the current source density of a probe after a flash.

        Returns
        -------
        DataArray or None
            In V/cm²; ``virtual_channel_index`` x ``time`` (s after the flash), with positions on
            the probe in µm. None where the probe has no LFP file.
        """
        tree = self._lfp_tree(probe_id)
        return None if tree is None else csd_array(tree)

    def close(self) -> None:
        """Close the session's file and those of its probes."""
        for tree in self._lfp_trees.values():
            if tree is not None:
                tree.close()
        self._lfp_trees.clear()
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
