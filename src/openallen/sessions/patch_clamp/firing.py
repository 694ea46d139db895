"""How the firing of a cell grows with the current: steps of current, and the spikes in them."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import IntegrityError, NotFoundError
from openallen.sessions.patch_clamp.layout import SweepPlace
from openallen.sessions.patch_clamp.steps import crossings, longest_step
from openallen.sessions.patch_clamp.table import spike_place, spike_times

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.sessions.patch_clamp.session import PatchClampSession

__all__ = ["fi_table", "is_step"]

_LEAST_STEP_S: Final = 0.2
_STEPS: Final = re.compile(r"long[ _-]?(?:square|step|pulse)", re.IGNORECASE)
_OTHERS: Final = re.compile(r"ramp|noise|triple|short|test|search|chirp|sine", re.IGNORECASE)


def is_step(name: str | None) -> bool:
    """Return whether a stimulus is one long step of current, by its name."""
    return name is not None and _STEPS.search(name) is not None


def fi_table(session: PatchClampSession) -> pd.DataFrame:
    """Return the steps of current of a cell; see `PatchClampSession.fi_curve`."""
    import pandas as pd

    numbers: list[int] = []
    rows: list[dict[str, Any]] = []
    for place, row in zip(session.places, session.sweeps.itertuples(), strict=True):
        number, name = place.number, row.stimulus_name
        if row.clamp_mode != "current_clamp" or (name is not None and _OTHERS.search(name)):
            continue
        try:
            found = _row(session, place, name)
        except (IntegrityError, NotFoundError):  # a damaged sweep does not cost the curve
            continue
        if found is not None:
            amplitude = float(row.amplitude_pa)
            current = found.pop("height_pa")
            told = {"current_pa": current if math.isnan(amplitude) else amplitude, **found}
            numbers.append(number)
            rows.append(told)
    if not rows:
        raise NotFoundError(
            "no steps of current in this file",
            address=session.name,
            why=f"no sweep in current clamp has one of {_LEAST_STEP_S} s or more",
        )
    return pd.DataFrame(rows, index=pd.Index(numbers, name="sweep_number"))


def _row(session: PatchClampSession, place: SweepPlace, name: str | None) -> dict[str, Any] | None:
    """Return the longest step of a sweep and its spikes; None where it has none that is long."""
    if place.stimulus is None:
        return None
    given = session.trace(place, "stimulus")
    step = longest_step(given.values)
    if given.unit != "A" or step is None:
        return None
    rate = given.timing.rate_hz
    start, length = float(given.times_s[step.first]), (step.last - step.first) / rate
    if length < _LEAST_STEP_S and not is_step(name):
        return None
    times = _spikes(session, place)
    count = int(((times >= start) & (times < start + length)).sum())
    return {
        "height_pa": step.height * 1e12,
        "rate_hz": count / length,
        "spikes": count,
        "start_s": start,
        "duration_s": length,
    }


def _spikes(session: PatchClampSession, place: SweepPlace) -> np.ndarray[Any, Any]:
    """Return the spikes that the file lists, else rises of the response above -20 mV; in s."""
    listed = spike_place(session.tree, place.number)
    if listed is not None:
        return spike_times(session.tree, listed)
    found = session.trace(place, "response")
    at: np.ndarray[Any, Any] = found.times_s[crossings(found.values)]
    return at
