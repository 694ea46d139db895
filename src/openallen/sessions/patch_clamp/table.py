"""The table of sweeps: what a file says of each, without reading a trace."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, IntegrityError, NotFoundError
from openallen.sessions.patch_clamp.layout import SweepPlace, electrode_name
from openallen.sessions.patch_clamp.reading import number_or_nan, text_of_unit, timing, unit_of

if TYPE_CHECKING:
    import numpy as np

    from openallen.formats.nwb import Tree

__all__ = [
    "COLUMNS",
    "SPIKES",
    "TEXTS",
    "clamp_mode",
    "spike_place",
    "spike_times",
    "stimulus_name",
    "sweep_row",
]

COLUMNS: Final = (
    "stimulus_name",
    "clamp_mode",
    "amplitude_pa",
    "rate_hz",
    "seal_gohm",
    "bridge_balance_mohm",
    "initial_access_resistance_mohm",
    "gain",
    "start_s",
    "duration_s",
    "spikes",
    "electrode",
)
TEXTS: Final = frozenset({"stimulus_name", "clamp_mode", "electrode"})
_MODES: Final = (
    ("IZero", "i_zero"),
    ("CurrentClamp", "current_clamp"),
    ("VoltageClamp", "voltage_clamp"),
)
_NAMES: Final = ("aibs_stimulus_name", "stimulus_description")
SPIKES: Final = ("analysis/spike_times", "analysis/aibs_spike_times", "processing/spikes")
_QUANTITY: Final = re.compile(
    r"([-+]?[0-9]*\.?[0-9]+(?:e[-+]?[0-9]+)?)\s*([a-zµΩ]*)", re.IGNORECASE
)
_OHMS: Final = {"g": 1e9, "m": 1e6, "k": 1e3, "o": 1.0, "Ω": 1.0}


def sweep_row(tree: Tree, place: SweepPlace) -> dict[str, Any]:
    """Return what the file says of a sweep: `COLUMNS`, NaN and None where it does not say it."""
    stimulus = place.stimulus.path if place.stimulus else ""
    response = place.response.path if place.response else ""
    when = _when(tree, place)
    electrode = f"{place.any_path}/electrode"
    return {
        "stimulus_name": stimulus_name(tree, place),
        "clamp_mode": clamp_mode(tree, place),
        "amplitude_pa": _first(tree, stimulus, "aibs_stimulus_amplitude_pa"),
        **when,
        "seal_gohm": _first(tree, stimulus, "seal", electrode, 1e9),
        "bridge_balance_mohm": _bridge(tree, response),
        "initial_access_resistance_mohm": _first(
            tree, stimulus, "initial_access_resistance", electrode, 1e6
        ),
        "gain": _gain(tree, stimulus, response),
        "spikes": _spikes(tree, place.number),
        "electrode": electrode_name(tree, place) or None,
    }


def _when(tree: Tree, place: SweepPlace) -> dict[str, float]:
    for one in (place.response, place.stimulus):
        try:
            told = timing(tree, one) if one else None
        except (IntegrityError, NotFoundError):
            told = None
        if told is not None:
            return {"rate_hz": told.rate_hz, "start_s": told.start_s, "duration_s": told.duration_s}
    return dict.fromkeys(("rate_hz", "start_s", "duration_s"), math.nan)


def text_or_none(tree: Tree, path: str, name: str) -> str | None:
    """Return a text that a group has as an array or as an attribute; None where it has none."""
    try:
        found = tree.value(f"{path}/{name}") if tree.has(f"{path}/{name}") else None
        if found is None and tree.has(path):
            found = tree.attrs(path).get(name)
    except (IntegrityError, NotFoundError):
        return None
    return (found.strip() or None) if isinstance(found, str) else None


def stimulus_name(tree: Tree, place: SweepPlace) -> str | None:
    """Return the name of the stimulus of a sweep; None where the file does not say it.

    MIES adds the channel and the number in a set, ``LongSquare_DA_0[3]``: these are left out, so
    that sweeps of one stimulus have one name.
    """
    for one in (place.stimulus, place.response):
        for name in _NAMES if one else ():
            told = text_or_none(tree, one.path, name) if one else None
            if told:
                return re.sub(r"_DA_[0-9]+$", "", told.split("[")[0]) or told
    return None


def clamp_mode(tree: Tree, place: SweepPlace) -> str | None:
    """Return how a sweep was recorded, by the kind of its series, else by its unit."""
    try:
        mode = _mode_by_unit(tree, place) if "Sweep_" in place.name else None
        if mode is None:
            told = tree.attrs(place.any_path)
            words = f"{told.get('neurodata_type', '')} {told.get('ancestry', '')}"
            mode = next((mode for word, mode in _MODES if word in words), None)
    except (IntegrityError, NotFoundError):
        return None
    return mode or _mode_by_unit(tree, place)


def _mode_by_unit(tree: Tree, place: SweepPlace) -> str | None:
    for one, volts in ((place.stimulus, "voltage_clamp"), (place.response, "current_clamp")):
        unit = unit_of(tree, one.path)[0] if one else ""
        if unit in {"A", "V"}:
            other = {"voltage_clamp": "current_clamp", "current_clamp": "voltage_clamp"}[volts]
            return volts if unit == "V" else other
    return None


def _first(tree: Tree, path: str, name: str, electrode: str = "", scale: float = 1.0) -> float:
    """Return a number of the stimulus, else a resistance that the electrode tells, by its unit."""
    found = number_or_nan(tree, f"{path}/{name}") if path else math.nan
    if not math.isnan(found) or not electrode or not tree.has(f"{electrode}/{name}"):
        return found
    return resistance(text_or_none(tree, electrode, name) or
                      number_or_nan(tree, f"{electrode}/{name}"), scale)  # fmt: skip


def resistance(told: str | float, scale: float) -> float:
    """Return a resistance in units of `scale` ohm; NaN for what is none.

    Text names its unit or is in units of `scale`; numbers above 10 kΩ are ohm, since nobody seals
    a cell or fills a pipette with more than 10,000 MΩ or GΩ.
    """
    if not isinstance(told, str):
        return told / scale if abs(told) > 1e4 else told
    found = _QUANTITY.match(told)
    if found is None:
        return math.nan
    value, unit = float(found[1]), found[2]
    return value * _OHMS[unit[0].lower()] / scale if unit[:1].lower() in _OHMS else \
        resistance(value, scale)  # fmt: skip


def _bridge(tree: Tree, response: str) -> float:
    path = f"{response}/bridge_balance"
    found = number_or_nan(tree, path) if response else math.nan
    if math.isnan(found):
        return found
    try:
        unit = text_of_unit(tree, path).casefold()
    except (IntegrityError, NotFoundError):
        unit = ""
    # NWB 2 says ohms; Cell Types (NWB 1) names no unit and has MΩ.
    return found / 1e6 if unit.startswith("ohm") else resistance(found, 1e6)


def _gain(tree: Tree, stimulus: str, response: str) -> float:
    paths = [f"{stimulus}/gain"] if "Sweep_" in stimulus else []
    paths += [f"{path}/gain" for path in (response, stimulus) if path]
    told = (number_or_nan(tree, path) for path in paths)
    return next((one for one in told if not math.isnan(one)), math.nan)


# --- spikes ---------------------------------------------------------------------------------------


def spike_place(tree: Tree, number: int, groups: tuple[str, ...] = SPIKES) -> str | None:
    """Return where the spike times of a sweep are; None where the file has none of it."""
    for group in groups:
        path = f"{group}/Sweep_{number}"
        if tree.has(path):
            return f"{path}/timestamps" if tree.has(f"{path}/timestamps") else path
    return None


def _spikes(tree: Tree, number: int) -> float:
    place = spike_place(tree, number)
    try:
        return float(tree.shape(place)[0]) if place else math.nan
    except (IntegrityError, NotFoundError, IndexError):
        return math.nan


def spike_times(tree: Tree, place: str) -> np.ndarray[Any, Any]:
    """Return spike times in s from the begin of the sweep.

    Raises
    ------
    CorruptError
        If they are no row of numbers.
    """
    import numpy as np

    found = tree.array(place)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iuf"):
        raise CorruptError("spike times that are no row of numbers", address=tree.name, why=place)
    return np.asarray(found, dtype=float)
