"""Channels and units of a Visual Coding Neuropixels session, as AllenSDK 2.16.2 has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, NotFoundError, UsageError
from openallen.formats.nwb import frame
from openallen.sessions.channels import ELECTRODES, channel_table
from openallen.sessions.lengths import number_columns, numbers
from openallen.sessions.spikes import column_by_unit, rows_by_unit

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

    from openallen.formats.nwb import Tree

__all__ = [
    "STRUCTURE",
    "Limits",
    "channels_beside",
    "limit",
    "mean_waveforms",
    "runs",
    "structure_intervals",
    "structures_of",
    "unit_table",
    "with_structures",
]

STRUCTURE: Final = "ecephys_structure_acronym"
_STRUCTURE_ID: Final = "ecephys_structure_id"
_FROM_TABLES: Final = (
    _STRUCTURE_ID,
    STRUCTURE,
    "anterior_posterior_ccf_coordinate",
    "dorsal_ventral_ccf_coordinate",
    "left_right_ccf_coordinate",
)
_RAGGED: Final = ("spike_times", "spike_amplitudes", "waveform_mean")
_LEFT_OUT: Final = ("waveform_halfwidth", "halfwidth")
_UNIT_NAMES: Final = {
    "PT_ratio": "waveform_PT_ratio",
    "amplitude": "waveform_amplitude",
    "duration": "waveform_duration",
    "l_ratio": "L_ratio",
    "recovery_slope": "waveform_recovery_slope",
    "repolarization_slope": "waveform_repolarization_slope",
    "spread": "waveform_spread",
    "velocity_above": "waveform_velocity_above",
    "velocity_below": "waveform_velocity_below",
}
_PROBE_NAMES: Final = {
    "description": "probe_description",
    "sampling_rate": "probe_sampling_rate",
    "lfp_sampling_rate": "probe_lfp_sampling_rate",
    "has_lfp_data": "probe_has_lfp_data",
}
_LIMITED: Final = frozenset({"amplitude_cutoff", "isi_violations", "presence_ratio"})
_PLACES: Final = ("probe_id", "probe_vertical_position", "probe_horizontal_position")
_ORDER: Final = ["probe_description", "probe_vertical_position", "probe_horizontal_position"]


@dataclass(frozen=True)
class Limits:
    """Which units are good enough; the limits are inclusive.

    Parameters
    ----------
    filter_by_validity
        Only units of good ``quality`` on valid channels.
    filter_out_of_brain_units
        Only units whose peak channel lies in a structure.
    amplitude_cutoff_maximum, presence_ratio_minimum, isi_violations_maximum
        Limits. A unit without a value in one of the three columns is left out, as in AllenSDK.
    """

    filter_by_validity: bool = True
    filter_out_of_brain_units: bool = True
    amplitude_cutoff_maximum: float = 0.1
    presence_ratio_minimum: float = 0.95
    isi_violations_maximum: float = 0.5

    def good(self, units: pd.DataFrame) -> pd.DataFrame:
        """Return the units within the three limits."""
        for name, most in (
            ("amplitude_cutoff", self.amplitude_cutoff_maximum),
            ("isi_violations", self.isi_violations_maximum),
        ):
            if name in units:
                units = units[units[name] <= most]
        if "presence_ratio" in units:
            units = units[units["presence_ratio"] >= self.presence_ratio_minimum]
        return units


def limit(given: Any, what: str, none: float) -> float:
    """Return a limit of units as it was given; `none` where it is None.

    Raises
    ------
    UsageError
        If it is no number.
    """
    from numbers import Real

    if given is None:
        return none
    if isinstance(given, bool) or not isinstance(given, Real):
        raise UsageError(f"{what} is a number, or None for no limit", why=repr(given)[:60])
    return float(given)


# --- channels -------------------------------------------------------------------------------------


def channels_beside(path: Path | None) -> pd.DataFrame | None:
    """Return the table of channels in the folder above a session's, as AllenSDK's cache has it.

    None where there is none, or the file there is no table of channels.
    """
    import pandas as pd

    place = path.parent.parent / "channels.csv" if path is not None else None
    if place is None or not place.is_file():
        return None
    try:
        head = pd.read_csv(place, nrows=0).columns
        if not {"id", _STRUCTURE_ID, STRUCTURE} <= set(head):
            return None
        kept = [n for n in ("id", *_FROM_TABLES) if n in head]
        return pd.read_csv(place, usecols=kept, dtype={STRUCTURE: object}, index_col="id")
    except (ValueError, OSError):
        return None


def with_structures(tree: Tree, told: pd.DataFrame | None, *, found: bool) -> pd.DataFrame:
    """Return all channels of a file, with the structures that the tables of the release name.

    Parameters
    ----------
    tree
        The file.
    told
        ``ecephys_structure_id``, ``ecephys_structure_acronym`` and CCF coordinates by channel id;
        channels that it does not have are left out. None where only the file is there.
    found
        Whether `told` was found beside the file rather than given, so that it may be of others.

    Raises
    ------
    UsageError
        If a given table has no such columns, or none of the channels.
    """
    channels = channel_table(tree)
    if told is None:
        return channels
    told = told.set_index("id") if "id" in told.columns else told
    lacking = [name for name in (_STRUCTURE_ID, STRUCTURE) if name not in told]
    if lacking:
        raise UsageError(f"the table of channels has no {lacking[0]}", address=tree.name)
    known = channels.index.intersection(told.index)
    if not len(known):
        if found or not len(channels):
            return channels
        raise UsageError(
            "the table of channels has none of this session's",
            address=tree.name,
            why=f"its index begins with {', '.join(str(i) for i in told.index[:2]) or 'nothing'}",
        )
    columns = [name for name in _FROM_TABLES if name in told]
    made = channels.loc[known].drop(columns=[n for n in columns if n in channels])
    return made.join(told.loc[known, columns].astype({STRUCTURE: object}))


def structures_of(channels: pd.DataFrame) -> pd.Series:
    """Return the structure of each channel: as the tables have it, else as the file does."""
    return channels[STRUCTURE if STRUCTURE in channels else "structure_acronym"]


def structure_intervals(
    channels: pd.DataFrame, channel_ids: Sequence[int], address: str
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the structures that channels lie in, run by run.

    Parameters
    ----------
    channels
        All channels.
    channel_ids
        Which, in the order wanted.
    address
        What the session is called in messages.

    Returns
    -------
    labels, intervals
        The acronym of each run (not a number outside of structures), and where each begins in
        `channel_ids`; one more at the end.

    Raises
    ------
    NotFoundError
        If there is no such channel.
    UsageError
        If there are no channels.
    """
    import numpy as np
    import pandas as pd

    if not len(channel_ids):
        raise UsageError("no channels were given", address=address)
    missing = next((i for i in channel_ids if i not in channels.index), None)
    if missing is not None:
        raise NotFoundError(f"no channel {missing}", address=address, why=f"of {len(channels)}")
    chosen = channels.loc[list(channel_ids)]
    which = chosen[_STRUCTURE_ID] if _STRUCTURE_ID in chosen else structures_of(chosen)
    codes, _ = pd.factorize(which, use_na_sentinel=False)
    begins = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    labels = structures_of(chosen).to_numpy(dtype=object)[begins]
    return labels, np.r_[begins, len(chosen)]


# --- units ----------------------------------------------------------------------------------------


def unit_table(
    tree: Tree, channels: pd.DataFrame, probes: pd.DataFrame, limits: Limits
) -> pd.DataFrame:
    """Return the units that are good enough, with their channels and probes.

    Parameters
    ----------
    tree
        The file.
    channels
        The channels that units may lie on.
    probes
        The probes.
    limits
        Which units are good enough.

    Returns
    -------
    DataFrame
        Index ``unit_id``, probe after probe, along each from its tip.

    Raises
    ------
    NotFoundError
        If the file has no units.
    CorruptError
        If two units share an id.
    """
    numbers(tree, "units/id")
    made = frame(tree, "units", _RAGGED, "id")
    if not made.index.is_unique:
        why = f"{len(made)} units, {made.index.nunique()} ids"
        raise CorruptError("units share an id", address=tree.name, why=why)
    number_columns(tree, "units", made, ["peak_channel_id", *_LIMITED.intersection(made)])
    number_columns(tree, ELECTRODES, channels, _PLACES)
    made = made[sorted(name for name in made.columns if name not in _LEFT_OUT)]
    kept = channels
    if limits.filter_out_of_brain_units:
        kept = kept[structures_of(kept).notna()]
    if limits.filter_by_validity and "quality" in made:
        good = [isinstance(told, str) and told == "good" for told in made["quality"]]
        made = made[good].drop(columns="quality")
    made = limits.good(made).rename(columns=_UNIT_NAMES)
    made = made[made["peak_channel_id"].isin(kept.index)]
    made = made.join(channels.drop(columns=[n for n in channels if n in made]), "peak_channel_id")
    made = made[made["probe_id"].isin(probes.index)]
    made = made.join(probes.rename(columns=_PROBE_NAMES), "probe_id")
    made.index.name = "unit_id"
    if not len(made):
        return made
    # Text as objects sorts as it is written; the order of units in the file decides between equals.
    return made.sort_values(_ORDER, kind="stable")


def mean_waveforms(
    tree: Tree, units: pd.DataFrame, channels: pd.DataFrame
) -> dict[int, xr.DataArray]:
    """Return the mean waveform of units, on the channels of their probes.

    Parameters
    ----------
    tree
        The file.
    units
        The units whose waveforms are read.
    channels
        The channels that are wanted.

    Returns
    -------
    dict
        By unit id ``channel_id`` x ``time`` (s from the first sample), in µV.

    Raises
    ------
    NotFoundError
        If the file has no waveforms.
    CorruptError
        If a waveform has fewer channels than its probe.
    """
    import numpy as np

    from openallen.sessions.arrays import xarray

    number_columns(tree, ELECTRODES, channels, ("probe_id", "probe_channel_number"))
    rates = units["probe_sampling_rate"].to_dict()
    probe_of = units["probe_id"].to_dict()
    along = channels.sort_values("probe_channel_number", kind="stable")
    by_probe = dict(iter(along.groupby("probe_id")))
    found = {}
    for unit, waveform in _waveforms(tree, set(units.index)):
        place = by_probe[probe_of[unit]]
        rows = place["probe_channel_number"].to_numpy(dtype="int64")
        if waveform.ndim != 2 or not ((rows >= 0) & (rows < len(waveform))).all():
            raise CorruptError(
                "a waveform does not go with the channels of its probe",
                address=tree.name,
                why=f"unit {unit}: {waveform.shape}, channels {rows.min()} to {rows.max()}",
            )
        found[unit] = xarray().DataArray(
            waveform[rows],
            dims=("channel_id", "time"),
            coords={
                "channel_id": place.index.to_numpy(),
                "time": ("time", np.arange(waveform.shape[1]) / rates[unit], {"units": "s"}),
            },
            attrs={"units": "µV"},
        )
    return found


def _waveforms(tree: Tree, wanted: set[int]) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
    """Read waveforms unit after unit: those of all units together may not fit in memory."""
    place = "units/waveform_mean"
    if tree.has(f"{place}_index"):
        known = column_by_unit(tree, "waveform_mean")
        yield from ((unit, known[unit]) for unit in known if unit in wanted)
        return
    shape = tree.shape(place)
    if len(shape) != 3:
        why = f"{place}: shape {shape}"
        raise CorruptError("waveforms are not unit x channel x time", address=tree.name, why=why)
    rows = rows_by_unit(tree, place, range(shape[0]))
    at = sorted(row for unit, row in rows.items() if unit in wanted)
    unit_at = {row: unit for unit, row in rows.items()}
    for first, last in runs(at):
        part = tree.part(place, slice(first, last))
        yield from zip((unit_at[row] for row in range(first, last)), part, strict=True)


def runs(rows: Sequence[int], most: int = 64) -> Iterator[tuple[int, int]]:
    """Return where rows that lie beside each other begin and end, at most so many together."""
    first = 0
    for at, (row, after) in enumerate(pairwise([*rows, -1]), 1):
        if after != row + 1 or at - first == most:
            yield rows[first], row + 1
            first = at
