"""What the sweeps of a patched cell look like, and how its firing grows with the current.

The files are those of the Allen Cell Types Database (NWB 1) and of others with patch-clamp series
(NWB 2). Sweeps are laid over each other: each begins at zero.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import OpenAllenError
from openallen.sessions.series import read_series
from openallen.visuals import TableVisual, TracesVisual, Track, Visual

if TYPE_CHECKING:
    import numpy as np

    from openallen.formats.nwb import Tree

__all__ = ["Sweep", "sweep_visuals"]

_RESPONSES: Final = re.compile(r"acquisition/(?:timeseries/)?([^/]+)")
_STIMULI: Final = "stimulus/presentation"
_PATCHED: Final = ("PatchClampSeries", "CurrentClampSeries", "VoltageClampSeries")
_THRESHOLD_V: Final = -0.02
_LEAST_STEP_S: Final = 0.2
_SHOWN: Final = 6


@dataclass(frozen=True)
class Sweep:
    """One sweep: a current or a voltage applied, and what the cell did.

    Parameters
    ----------
    tree
        The file.
    name
        Name of the sweep.
    response, stimulus
        Where they are in the file; the latter is empty where it is not there.
    """

    tree: Tree
    name: str
    response: str
    stimulus: str

    @cached_property
    def number(self) -> int:
        """Number of the sweep, as its name ends; -1 for none."""
        found = re.search(r"(\d+)$", self.name)
        return int(found[1]) if found else -1

    def volts(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return times in s from the beginning of the sweep, and the response in V (or A).

        Files of older pipelines name a conversion that does not apply: the membrane of a cell
        tells which of the values are volts.
        """
        import numpy as np

        series = read_series(self.tree, self.response, scaled=False)
        values = series.to_numpy().astype(float)
        told = float(self.tree.attrs(f"{self.response}/data").get("conversion", 1.0))
        scale = told
        if self.is_current_clamp and values.size:
            middle = abs(float(np.nanmedian(values)))
            scale = next((s for s in (told, 1.0, 1e-3) if 0.01 <= middle * s <= 0.2), told)
        times = series["time"].to_numpy()
        return times - (times[0] if len(times) else 0.0), values * scale

    def response_drawn(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return times in s from the beginning of the sweep, and the response in mV or pA."""
        times, values = self.volts()
        return times, values * (1e3 if self.is_current_clamp else 1e12)

    @cached_property
    def is_current_clamp(self) -> bool:
        """Whether the response is a voltage."""
        unit = str(self.tree.attrs(f"{self.response}/data").get("unit", "")).casefold()
        return unit.startswith("v")

    def step(self) -> tuple[float, float, float] | None:
        """Return start and end in s, and the height, of the longest step of the stimulus.

        The height is in pA for currents where the file names one, else as the file has it. None
        where it is no step, or a short one.
        """
        import numpy as np

        if not self.stimulus:
            return None
        series = read_series(self.tree, self.stimulus)
        values, times = series.to_numpy().astype(float), series["time"].to_numpy()
        values = np.nan_to_num(values)
        if len(values) < 2 or values.ndim != 1:
            return None
        edges = np.flatnonzero(np.diff(values) != 0) + 1
        bounds = np.concatenate([[0], edges, [len(values)]])
        runs = itertools.pairwise(bounds.tolist())
        flat = [(b - a, a, b) for a, b in runs if values[a] != values[0]]
        if not flat:
            return None
        _, first, last = max(flat)
        length = float(times[min(last, len(times) - 1)] - times[first])
        if length < _LEAST_STEP_S:
            return None
        start = float(times[first] - times[0])
        return start, start + length, self._amplitude(float(values[first] - values[0]))

    def _amplitude(self, height: float) -> float:
        place = f"{self.stimulus}/aibs_stimulus_amplitude_pa"
        if self.tree.has(place):
            told = float(self.tree.value(place))
            if not math.isnan(told):
                return told
        unit = str(self.tree.attrs(f"{self.stimulus}/data").get("unit", "")).casefold()
        return height * 1e12 if unit.startswith("a") and abs(height) < 1e-6 else height

    def rate(self, start_s: float, stop_s: float) -> float:
        """Return the spikes of a stretch, per s: upward crossings of -20 mV."""
        import numpy as np

        times, values = self.volts()
        above = values > _THRESHOLD_V
        at = times[1:][above[1:] & ~above[:-1]]
        return float(np.count_nonzero((at >= start_s) & (at < stop_s)) / (stop_s - start_s))


def _sweeps(tree: Tree, series: Mapping[str, str]) -> list[Sweep]:
    found = []
    for path in series.values():
        named = _RESPONSES.fullmatch(path)
        if named is None:
            continue
        try:
            told = tree.attrs(path)
        except OpenAllenError:
            continue
        words = f"{told.get('neurodata_type', '')} {told.get('ancestry', '')}"
        if not any(word in words for word in _PATCHED):
            continue
        name = named[1]
        number = re.search(r"(\d+)$", name)
        twins = (name, f"{name.replace('Series', 'StimulusSeries')}")
        stimulus = next((f"{_STIMULI}/{t}" for t in twins if tree.has(f"{_STIMULI}/{t}")), "")
        if number:
            found.append(Sweep(tree, name, path, stimulus))
    return sorted(found, key=lambda sweep: sweep.number)


def sweep_visuals(tree: Tree, series: Mapping[str, str]) -> tuple[Visual, ...]:
    """Return the views of the sweeps of a cell; nothing for files without any.

    Parameters
    ----------
    tree
        The file.
    series
        Paths of its series, by name.
    """
    sweeps = _sweeps(tree, series)
    if not sweeps:
        return ()
    every = max(1, -(-len(sweeps) // _SHOWN))
    tracks: list[Track] = []
    longest = 0.0
    for n, sweep in enumerate(sweeps):
        unit = "mV" if sweep.is_current_clamp else "pA"
        tracks.append(
            Track(
                name=f"sweep-{n}",
                title=f"sweep {sweep.number}",
                unit=unit,
                group="response",
                read=sweep.response_drawn,
                shown=n % every == 0,
            )
        )
        longest = max(longest, _length(tree, sweep))
    visual = TracesVisual(
        name="sweeps",
        title="Sweeps",
        from_s=0.0,
        to_s=longest or 1.0,
        tracks=tuple(tracks),
        axis="time in the sweep (s)",
    )
    return (visual, *_firing(sweeps))


def _length(tree: Tree, sweep: Sweep) -> float:
    try:
        rate = float(tree.attrs(f"{sweep.response}/starting_time")["rate"])
        return float(tree.shape(f"{sweep.response}/data")[0] / rate)
    except (OpenAllenError, KeyError, ZeroDivisionError, IndexError):
        return 0.0


def _firing(sweeps: list[Sweep]) -> tuple[Visual, ...]:
    """Return the curve of firing rate over current, where there are long steps of current."""
    rows: list[dict[str, Any]] = []
    for sweep in sweeps:
        if not sweep.is_current_clamp:
            continue
        try:
            step = sweep.step()
            if step is None:
                continue
            start, stop, current = step
            rows.append(
                {
                    "sweep": sweep.number,
                    "current_pA": current,
                    "rate_Hz": sweep.rate(start, stop),
                    "start_s": start,
                    "duration_s": stop - start,
                }
            )
        except OpenAllenError:  # a damaged sweep does not cost the curve
            continue
    if len({row["current_pA"] for row in rows}) < 2:
        return ()

    def read() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        import numpy as np

        ordered = sorted((row["current_pA"], row["rate_Hz"]) for row in rows)
        currents, rates = np.array(ordered).T
        return currents, rates

    currents = [row["current_pA"] for row in rows]
    curve = TracesVisual(
        name="fi",
        title="Firing rate over current",
        from_s=min(currents),
        to_s=max(currents),
        tracks=(Track(name="rate", title="firing rate", unit="spikes/s", read=read),),
        axis="current (pA)",
    )
    table = TableVisual(name="steps", title="Steps of current", table=lambda: rows)
    return (curve, table)
