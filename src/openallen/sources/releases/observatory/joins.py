"""The joined tables of Visual Coding Neuropixels, with AllenSDK's values and order.

Units have a channel, channels a probe, probes a session. A row whose partner is in no table is left
out, as AllenSDK does, and counted in a note. Rows keep the order of their own published table.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from openallen.display import count_text
from openallen.errors import CorruptError
from openallen.sources.releases.observatory.unit_filters import UnitFilters

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HIDDEN", "RENAMED", "Joins", "lfp_rate", "swapped_back"]

RENAMED: Final[Mapping[str, str]] = {
    "PT_ratio": "waveform_PT_ratio",
    "amplitude": "waveform_amplitude",
    "duration": "waveform_duration",
    "halfwidth": "waveform_halfwidth",
    "recovery_slope": "waveform_recovery_slope",
    "repolarization_slope": "waveform_repolarization_slope",
    "spread": "waveform_spread",
    "velocity_above": "waveform_velocity_above",
    "velocity_below": "waveform_velocity_below",
    "l_ratio": "L_ratio",
}
"""Columns of units: as published, and as AllenSDK calls them."""

_PROBE: Final = ("air_channel_index", "surface_channel_index", "lfp_temporal_subsampling_factor")
_SESSION: Final = (
    "date_of_acquisition", "published_at", "specimen_id", "session_type", "isi_experiment_id",
    "age_in_days", "sex", "genotype", "has_nwb",
)  # fmt: skip
HIDDEN: Final[Mapping[str, tuple[str, ...]]] = {
    "sessions": ("has_nwb", "isi_experiment_id", "date_of_acquisition"),
    "probes": (*_PROBE, *_SESSION),
    "channels": (*_PROBE, *_SESSION, "name"),
    "units": (
        *_PROBE, "has_nwb", "isi_experiment_id",
        "epoch_name_quality_metrics", "epoch_name_waveform_metrics",
    ),
}  # fmt: skip
"""Columns that AllenSDK leaves out by default."""


class Joins:
    """The joined tables of one version.

    Parameters
    ----------
    published
        Returns a published table by name, with ids as index; it is not changed.
    address
        Address of the release, for errors.
    """

    def __init__(self, published: Callable[[str], pd.DataFrame], address: str) -> None:
        self._published = published
        self._address = address

    def sessions(self, filters: UnitFilters) -> tuple[pd.DataFrame, list[str]]:
        """Return the sessions, with counts of what passes the filters; and notes.

        Parameters
        ----------
        filters
            Which units are counted.
        """
        sessions = self._published("sessions").rename(columns={"genotype": "full_genotype"})
        channels = self._with_probes
        units, notes = self.units(filters)
        counts = {
            "unit_count": units["ecephys_session_id"],
            "channel_count": channels["ecephys_session_id"],
            "probe_count": self._probes()["ecephys_session_id"],
        }
        return self._counted(sessions, counts, channels, "ecephys_session_id"), _counting(notes)

    def probes(self, filters: UnitFilters) -> tuple[pd.DataFrame, list[str]]:
        """Return the probes with their sessions, with counts of what passes; and notes.

        Parameters
        ----------
        filters
            Which units are counted.
        """
        channels = self._with_probes
        units, notes = self.units(filters)
        counts = {
            "unit_count": units["ecephys_probe_id"],
            "channel_count": channels["ecephys_probe_id"],
        }
        return self._counted(self._probes(), counts, channels, "ecephys_probe_id"), _counting(notes)

    def channels(self, filters: UnitFilters) -> tuple[pd.DataFrame, list[str]]:
        """Return the channels with probes and sessions, with counts of units; and notes.

        Parameters
        ----------
        filters
            Which units are counted.
        """
        channels = self._with_probes.copy()
        units, notes = self.units(filters)
        channels["unit_count"] = _count(units["ecephys_channel_id"], channels.index)
        return channels, _counting(notes)

    def units(self, filters: UnitFilters) -> tuple[pd.DataFrame, list[str]]:
        """Return the units that pass, with channels, probes and sessions; and notes.

        Parameters
        ----------
        filters
            Which units are left out.
        """
        units, channels = self._published("units"), self._published("channels")
        where = f"{self._address}/units"
        kept, notes = filters.apply(units, channels.index, where)
        kept = kept.rename(columns=RENAMED)
        joined = self._join(kept, self._with_probes, "units", "channels")
        if len(joined) < len(kept):
            gone = count_text(len(kept) - len(joined), "unit")
            notes.append(f"{gone} left out: the channel, probe or session is in no table")
        if notes:
            notes.append(f"{len(joined):,} of {len(units):,} units are left; filtered=False: all")
        return joined, notes

    # --- parts ------------------------------------------------------------------------------------

    def _probes(self) -> pd.DataFrame:
        probes = self._published("probes").copy()
        factor = "lfp_temporal_subsampling_factor"
        if {factor, "lfp_sampling_rate"} <= set(probes.columns):
            # LFP was written with every second sample or so; the rate published is that before.
            probes["lfp_sampling_rate"] = probes["lfp_sampling_rate"] / probes[factor]
        return self._join(probes, self._published("sessions"), "probes", "sessions")

    @functools.cached_property
    def _with_probes(self) -> pd.DataFrame:
        """Channels with their probes and sessions; not to be changed."""
        return self._join(self._published("channels"), self._probes(), "channels", "probes")

    def _join(self, left: pd.DataFrame, right: pd.DataFrame, name: str, other: str) -> pd.DataFrame:
        """Return the rows of a table that have a partner, in order, each beside its partner."""
        import pandas as pd

        column = f"ecephys_{other[:-1]}_id"
        if column not in left.columns:
            raise CorruptError(
                f"the table of {name} cannot be joined with that of {other}",
                address=f"{self._address}/{name}",
                why=f"no column {column}",
                hint=f"openallen list {self._address}/{name}",
            )
        if not right.index.is_unique:
            raise CorruptError(
                f"ids repeat in the table of {other}", address=f"{self._address}/{other}"
            )
        at = right.index.get_indexer(left[column])
        found = at >= 0
        left = left if found.all() else left[found]
        beside = right.take(at[found])
        both = [c for c in left.columns if c in right.columns]
        left = left.rename(columns={c: f"{c}_{name[:-1]}" for c in both})
        beside = beside.rename(columns={c: f"{c}_{other[:-1]}" for c in both})
        beside.index = left.index
        return pd.concat([left, beside], axis=1)

    @staticmethod
    def _counted(
        frame: pd.DataFrame, counts: Mapping[str, pd.Series], channels: pd.DataFrame, by: str
    ) -> pd.DataFrame:
        made = frame.copy()
        for name, ids in counts.items():
            made[name] = _count(ids, made.index)
        made["ecephys_structure_acronyms"] = _acronyms(channels, by, made.index)
        return made


def _count(ids: pd.Series, index: pd.Index) -> Any:
    counts = ids.value_counts().reindex(index)
    return counts.fillna(0).astype("int64").to_numpy()


def _acronyms(channels: pd.DataFrame, by: str, index: pd.Index) -> Any:
    """Return for each id the structures of its channels, each once, in the order they come up."""
    import numpy as np

    found = channels.groupby(by, sort=False)["ecephys_structure_acronym"].unique()
    cells = np.empty(len(index), dtype=object)
    for i, wanted in enumerate(index):
        cells[i] = found[wanted] if wanted in found.index else np.array([], dtype=object)
    return cells


def _counting(notes: list[str]) -> list[str]:
    return [f"unit_count: {note}" for note in notes]


def lfp_rate(probe: Mapping[str, Any]) -> float | None:
    """Return the sampling rate of the LFP of a published row of probes, in Hz, as it was written.

    Parameters
    ----------
    probe
        The row, as plain values.
    """
    rate, factor = probe.get("lfp_sampling_rate"), probe.get("lfp_temporal_subsampling_factor")
    if "lfp_temporal_subsampling_factor" not in probe:
        return rate
    return rate / factor if rate is not None and factor else None


def swapped_back(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return analysis metrics with ``p_value_rf`` and ``on_screen_rf`` under their own names.

    The service has them under each other's names: where one is true or false and the other a
    number, that can be told.

    Parameters
    ----------
    metrics
        The metrics.
    """
    import pandas as pd

    first, second = "p_value_rf", "on_screen_rf"
    if not {first, second} <= set(metrics.columns):
        return metrics
    known = metrics[first].dropna()
    is_flag = len(known) > 0 and known.map(lambda v: isinstance(v, bool)).all()
    if metrics[first].dtype == bool:
        is_flag = True
    if not is_flag or not pd.api.types.is_float_dtype(metrics[second].dtype):
        return metrics
    return metrics.assign(**{first: metrics[second], second: metrics[first]})
