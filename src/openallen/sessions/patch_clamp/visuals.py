"""What a patch-clamp recording looks like: sweeps over each other by stimulus, and the FI curve."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import IntegrityError, NotFoundError
from openallen.sessions.patch_clamp.firing import is_step
from openallen.sessions.patch_clamp.layout import SweepPlace
from openallen.visuals import TableVisual, TracesVisual, Track, Visual

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.sessions.patch_clamp.session import PatchClampSession

__all__ = ["drawn", "stimulus_groups", "sweep_visuals"]

_SHOWN: Final = 6
_MOST_STIMULI: Final = 12
_OTHER: Final = "Other stimuli"
_SMALL: Final = {"V": (1e3, "mV"), "A": (1e12, "pA")}

Samples = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]


def stimulus_groups(table: pd.DataFrame, most: int = _MOST_STIMULI) -> dict[str, list[int]]:
    """Return the rows of the table of sweeps by the names of their stimuli, as they first come.

    Parameters
    ----------
    table
        As `PatchClampSession.sweeps`.
    most
        How many names at most; the rest is together.
    """
    made: dict[str, list[int]] = {}
    for row, name in enumerate(table["stimulus_name"]):
        made.setdefault(name or "", []).append(row)
    if len(made) <= most:
        return made
    kept = sorted(made, key=lambda name: -len(made[name]))[: most - 1]
    rest = [row for name, rows in made.items() if name not in kept for row in rows]
    return {name: rows for name, rows in made.items() if name in kept} | {_OTHER: sorted(rest)}


def drawn(session: PatchClampSession, place: SweepPlace, role: str = "response") -> Samples:
    """Return times in s from the begin of a sweep, and its samples in mV or pA.

    Raises
    ------
    NotFoundError, CorruptError
        If it has none, or these are damaged.
    """
    found = session.trace(place, role)
    factor, _ = _SMALL.get(found.unit, (1.0, found.unit))
    return found.times_s, found.values.astype(float) * factor


def sweep_visuals(session: PatchClampSession) -> tuple[Visual, ...]:
    """Return the views of the sweeps of a cell."""
    table, places = session.sweeps, session.places
    made: list[Visual] = []
    names: set[str] = set()
    for name, several in stimulus_groups(table).items():
        rows = [row for row in several if places[row].response is not None]
        if not rows:
            continue
        slug = _slug(f"sweeps-{name}" if name else "sweeps", names)
        tracks = tuple(
            _track(session, places[row], table.iloc[row], n % _every(rows) == 0)
            for n, row in enumerate(rows)
        )
        lengths = table["duration_s"].iloc[rows].dropna()
        made.append(
            TracesVisual(
                name=slug,
                title=name or "Sweeps",
                from_s=0.0,
                to_s=float(lengths.max()) if len(lengths) else 1.0,
                tracks=tracks,
                axis="time in the sweep (s)",
            )
        )
    return (*made, *_firing(session))


def _every(rows: list[int]) -> int:
    return max(1, -(-len(rows) // _SHOWN))


def _slug(text: str, taken: set[str]) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-").lower()
    slug, n = plain, 2
    while slug in taken:
        slug, n = f"{plain}-{n}", n + 1
    taken.add(slug)
    return slug


def _track(session: PatchClampSession, place: SweepPlace, row: Any, shown: bool) -> Track:
    amplitude = float(row["amplitude_pa"])
    several = len({one.number for one in session.places}) < len(session.places)
    title = f"sweep {place.number}"
    title += f" {row['electrode']}" if several and row["electrode"] else ""
    title += "" if math.isnan(amplitude) else f", {amplitude:g} pA"
    return Track(
        name=re.sub(r"[^A-Za-z0-9_-]+", "-", f"sweep-{place.number}-{place.name}"),
        title=title,
        unit="pA" if row["clamp_mode"] == "voltage_clamp" else "mV",
        group="response",
        read=lambda: drawn(session, place),
        shown=shown,
    )


def _firing(session: PatchClampSession) -> tuple[Visual, ...]:
    """Return the curve of firing rate over current, where there are steps of several currents."""
    table = session.sweeps
    steps = table[[is_step(name) for name in table["stimulus_name"]]]
    currents = sorted(set(steps["amplitude_pa"].dropna()))
    if len(currents) < 2:  # only the stimuli themselves tell it
        found = _curve(session)
        currents = sorted(set(found["current_pa"])) if found is not None else []
    if len(currents) < 2:
        return ()
    curve = TracesVisual(
        name="fi",
        title="Firing rate over current",
        from_s=float(currents[0]),
        to_s=float(currents[-1]),
        tracks=(Track(name="rate", title="rate", unit="spikes/s", read=_points(session)),),
        axis="current (pA)",
    )
    return curve, TableVisual(name="steps", title="Steps of current", table=lambda: _rows(session))


def _curve(session: PatchClampSession) -> pd.DataFrame | None:
    try:
        return session.fi_curve
    except (NotFoundError, IntegrityError):
        return None


def _points(session: PatchClampSession) -> Callable[[], Samples]:
    def read() -> Samples:
        import numpy as np

        found = _curve(session)
        if found is None:
            return np.empty(0), np.empty(0)
        ordered = found.sort_values(["current_pa", "rate_hz"])
        return ordered["current_pa"].to_numpy(), ordered["rate_hz"].to_numpy()

    return read


def _rows(session: PatchClampSession) -> list[dict[str, Any]]:
    found = _curve(session)
    rows = () if found is None else found.itertuples()
    return [
        {
            "sweep": int(row.Index),
            "current_pA": row.current_pa,
            "rate_Hz": row.rate_hz,
            "start_s": row.start_s,
            "duration_s": row.duration_s,
        }
        for row in rows
    ]
