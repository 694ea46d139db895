"""What Neuropixels sessions look like: spikes of units in the order of the probes, and LFP."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import OpenAllenError
from openallen.sessions.rasters import ordered_units
from openallen.sessions.visuals import (
    behavior_events,
    behavior_intervals,
    behavior_tables,
    span_of,
    traces_visual,
)
from openallen.visuals import (
    IntervalTrack,
    RasterVisual,
    TableVisual,
    TracesVisual,
    Visual,
    channel_tracks,
)

if TYPE_CHECKING:
    import numpy as np

    from openallen.sessions.ecephys import BehaviorEcephysSession
    from openallen.sessions.lfp import ProbeLfp

__all__ = ["ecephys_visuals", "file_version", "lfp_visuals"]

_OPTOTAGGING: Final = "processing/optotagging/optogenetic_stimulation"
_COLUMNS: Final = (
    "quality",
    "firing_rate",
    "snr",
    "amplitude",
    "presence_ratio",
    "isi_violations",
    "amplitude_cutoff",
    "waveform_duration",
)
_LFP_S: Final = 60.0


def file_version(path: Path | None, name: str) -> str:
    """Return what tells the contents of a local file from those of another; empty if unknown.

    Parameters
    ----------
    path
        The file.
    name
        What it is called.
    """
    try:
        told = path.stat() if path is not None and path.is_file() else None
    except OSError:
        return ""
    if told is None:
        return ""
    text = f"{path} {name} {told.st_size} {told.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()


def ecephys_visuals(session: BehaviorEcephysSession) -> tuple[Visual, ...]:
    """Return the views of a Neuropixels session.

    Parameters
    ----------
    session
        The session.
    """
    pulses = _pulses(session)
    intervals = (*behavior_intervals(session), *pulses)
    traces = traces_visual(session, ())
    traces = tuple(replace(visual, intervals=intervals) for visual in traces)
    return (*_raster(session, intervals), *traces, *_tables(session), *behavior_tables(session))


def _pulses(session: BehaviorEcephysSession) -> tuple[IntervalTrack, ...]:
    if not session.tree.has(_OPTOTAGGING):
        return ()

    def read() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Sequence[str]]:
        table = session.optotagging_table
        name = next((n for n in ("stimulus_name", "condition", "name") if n in table), None)
        labels = [str(v) for v in table[name]] if name else ["light"] * len(table)
        return table["start_time"].to_numpy(float), table["stop_time"].to_numpy(float), labels

    return (IntervalTrack(name="light", title="light pulses", read=read),)


def _raster(
    session: BehaviorEcephysSession, intervals: tuple[IntervalTrack, ...]
) -> tuple[RasterVisual, ...]:
    if not session.tree.has("units/spike_times") or not session.tree.has("units/id"):
        return ()
    from_s, to_s = span_of(session.tree)

    def order() -> list[tuple[int, str, str, float]]:
        return ordered_units(session, session.tree.array("units/id").tolist())

    def units() -> Sequence[Mapping[str, Any]]:
        table = session.get_units()
        rows = []
        for unit, probe, structure, depth in order():
            told: dict[str, Any] = {"id": unit, "probe": probe, "structure": structure}
            told["depth_um"] = depth
            for column in _COLUMNS:
                if column in table:
                    told[column] = table[column].get(unit)
            rows.append(told)
        return rows

    def spikes() -> Sequence[np.ndarray[Any, Any]]:
        known = session.spike_times
        return [known[unit] for unit, _, _, _ in order()]

    return (
        RasterVisual(
            name="raster",
            title="Spikes",
            from_s=from_s,
            to_s=to_s,
            units=_once(units),
            spikes=_once(spikes),
            source=file_version(session.path, "units"),
            events=behavior_events(session),
            intervals=intervals,
        ),
    )


def _once(make: Any) -> Any:
    """Return a function that makes something the first time only."""
    made: list[Any] = []

    def get() -> Any:
        if not made:
            made.append(make())
        return made[0]

    return get


def _tables(session: BehaviorEcephysSession) -> tuple[TableVisual, ...]:
    found = []
    if session.tree.has("units/id"):
        found.append(TableVisual(name="units", title="Units", table=lambda: session.units))
    if session.tree.has("general/extracellular_ephys"):
        found.append(TableVisual(name="probes", title="Probes", table=lambda: session.probes))
        found.append(TableVisual(name="channels", title="Channels", table=lambda: session.channels))
    return tuple(found)


def lfp_visuals(probe: ProbeLfp) -> tuple[Visual, ...]:
    """Return the views of a probe's LFP.

    Parameters
    ----------
    probe
        The LFP of the probe.
    """
    tables = TableVisual(name="channels", title="Channels", table=lambda: probe.channels)
    try:
        field = probe.lfp
        times = field["time"].to_numpy()
    except OpenAllenError:
        return (tables,)
    if not len(times):
        return (tables,)

    def read(from_s: float, to_s: float) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        import numpy as np

        # One sample on each side: lines run on to the edges.
        first = max(0, int(np.searchsorted(times, from_s)) - 1)
        last = int(np.searchsorted(times, to_s, "right")) + 1
        return times[first:last], field[first:last].to_numpy() * 1e6

    from_s, to_s = float(times[0]), float(times[-1])
    tracks = channel_tracks(
        [f"channel {i}" for i in field["channel"].to_numpy().tolist()],
        read,
        unit="µV",
        group="LFP",
    )
    visual = TracesVisual(
        name="lfp",
        title="LFP",
        from_s=from_s,
        to_s=to_s,
        tracks=tracks,
        longest_s=_LFP_S if to_s - from_s > _LFP_S else None,
    )
    return (visual, tables)
