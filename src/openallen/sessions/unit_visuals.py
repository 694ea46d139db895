"""What Neuropixels sessions look like: spikes of units in the order of the probes, and LFP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
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
    import pandas as pd

    from openallen.sessions.ecephys import BehaviorEcephysSession
    from openallen.sessions.lfp import ProbeLfp

__all__ = [
    "OPTOTAGGING",
    "ecephys_visuals",
    "file_version",
    "lfp_visuals",
    "pulse_track",
    "raster_of",
]

OPTOTAGGING: Final = "processing/optotagging/optogenetic_stimulation"
_COLUMNS: Final = (
    "quality",
    "firing_rate",
    "snr",
    "amplitude",
    "waveform_amplitude",
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
    if not session.tree.has(OPTOTAGGING):
        return ()
    return (pulse_track(lambda: session.optotagging_table),)


def pulse_track(pulses: Callable[[], pd.DataFrame]) -> IntervalTrack:
    """Return the track of light pulses.

    Parameters
    ----------
    pulses
        Returns the table of pulses: ``start_time`` and ``stop_time`` in s.
    """

    def read() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Sequence[str]]:
        table = pulses()
        name = next((n for n in ("stimulus_name", "condition", "name") if n in table), None)
        labels = [str(v) for v in table[name]] if name else ["light"] * len(table)
        return table["start_time"].to_numpy(float), table["stop_time"].to_numpy(float), labels

    return IntervalTrack(name="light", title="light pulses", read=read)


def _raster(
    session: BehaviorEcephysSession, intervals: tuple[IntervalTrack, ...]
) -> tuple[RasterVisual, ...]:
    if not session.tree.has("units/spike_times") or not session.tree.has("units/id"):
        return ()
    from_s, to_s = span_of(session.tree)
    raster = raster_of(
        session,
        lambda: session.tree.array("units/id").tolist(),
        session.get_units,
        from_s=from_s,
        to_s=to_s,
        source=file_version(session.path, "units"),
        events=behavior_events(session),
        intervals=intervals,
    )
    return (raster,)


def raster_of(
    session: Any,
    ids: Callable[[], Sequence[int]],
    table: Callable[[], pd.DataFrame],
    **more: Any,
) -> RasterVisual:
    """Return the view of the spikes of units, in the order of the probes.

    Parameters
    ----------
    session
        What has the units: with ``spike_times``, ``probes`` and ``get_channels``.
    ids
        Returns the ids of the units.
    table
        Returns the units by id.
    **more
        Further fields of `RasterVisual`.
    """

    def order() -> list[tuple[int, str, str, float]]:
        return ordered_units(session, ids())

    def units() -> Sequence[Mapping[str, Any]]:
        known = table()
        rows = []
        for unit, probe, structure, depth in order():
            told: dict[str, Any] = {"id": unit, "probe": probe, "structure": structure}
            told["depth_um"] = depth
            for column in _COLUMNS:
                if column in known:
                    told[column] = known[column].get(unit)
            rows.append(told)
        return rows

    def spikes() -> Sequence[np.ndarray[Any, Any]]:
        known = session.spike_times
        return [known[unit] for unit, _, _, _ in order()]

    return RasterVisual(
        name="raster", title="Spikes", units=_once(units), spikes=_once(spikes), **more
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
