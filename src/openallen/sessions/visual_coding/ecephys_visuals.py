"""What a Visual Coding Neuropixels session looks like: spikes, running, eyes, stimuli, tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import OpenAllenError
from openallen.sessions.lengths import numbers
from openallen.sessions.unit_visuals import file_version, pulse_track, raster_of
from openallen.sessions.visual_coding import ecephys_records as records
from openallen.sessions.visuals import span_of
from openallen.visuals import IntervalTrack, TableVisual, TracesVisual, Track, Visual

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.sessions.visual_coding.ecephys import EcephysSession

    Stretches = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Sequence[str]]

__all__ = ["picture", "session_visuals"]

_CLOCKS: Final = (
    "processing/stimulus/timestamps/timestamps",
    f"{records.RUNNING}/timestamps",
    "processing/raw_gaze_mapping/pupil_area/timestamps",
)
_PUPIL: Final = "processing/raw_gaze_mapping/pupil_area/data"
_COLUMNS_PX: Final = 160
_ROW_PX: Final = 8


def session_visuals(session: EcephysSession) -> tuple[Visual, ...]:
    """Return the views of a session; what its file does not have is left out.

    Parameters
    ----------
    session
        The session.
    """
    span = _span(session)
    intervals = tuple(_intervals(session))
    return (*_raster(session, span, intervals), *_traces(session, span, intervals),
            *_tables(session))  # fmt: skip


def _span(session: EcephysSession) -> tuple[float, float]:
    from_s, to_s = span_of(session.tree, _CLOCKS)
    if to_s > from_s:
        return from_s, to_s
    shown = _quiet(lambda: session.stimulus_presentations)
    if shown is None or not len(shown):
        return from_s, to_s
    return float(shown["start_time"].min()), float(shown["stop_time"].max())


def _quiet(read: Callable[[], Any]) -> Any:
    """Return what can be read; None where the file does not have it, or it is damaged."""
    try:
        return read()
    except OpenAllenError:
        return None


def _raster(
    session: EcephysSession, span: tuple[float, float], intervals: tuple[IntervalTrack, ...]
) -> tuple[Visual, ...]:
    if not session.tree.has("units/spike_times") or not session.tree.has("units/id"):
        return ()

    def ids() -> list[int]:
        known: list[int] = session.units.index.tolist()
        return known

    raster = raster_of(
        session,
        ids,
        lambda: session.units,
        from_s=span[0],
        to_s=span[1],
        source=file_version(session.path, f"units {session.limits}"),
        intervals=intervals,
    )
    return (raster,)


def _traces(
    session: EcephysSession, span: tuple[float, float], intervals: tuple[IntervalTrack, ...]
) -> tuple[Visual, ...]:
    tracks = tuple(_tracks(session))
    if not tracks and not intervals:
        return ()
    return (
        TracesVisual(
            name="traces",
            title="Traces",
            from_s=span[0],
            to_s=span[1],
            tracks=tracks,
            intervals=intervals,
        ),
    )


def _tracks(session: EcephysSession) -> list[Track]:
    found = []
    if session.tree.has(f"{records.RUNNING}/data"):

        def running() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
            table = session.running_speed
            return table["start_time"].to_numpy(float), table["velocity"].to_numpy(float)

        found.append(
            Track(name="running", title="running", unit="cm/s", group="running", read=running)
        )
    if session.tree.has(_PUPIL):

        def pupil() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
            tree = session.tree
            return numbers(tree, _CLOCKS[2]).astype(float), numbers(tree, _PUPIL).astype(float)

        found.append(Track(name="pupil", title="pupil area", unit="cm²", group="pupil", read=pupil))
    return found


def _intervals(session: EcephysSession) -> list[IntervalTrack]:
    tree = session.tree
    found = []
    if _has_presentations(session):
        for name, title, table in (
            ("blocks", "stimuli", session.get_stimulus_epochs),
            ("presentations", "presentations", lambda: session.stimulus_presentations),
        ):
            read = _stretches(table, "stimulus_name")
            of = "stimulus_presentations" if name == "presentations" else ""
            found.append(IntervalTrack(name=name, title=title, table=of, read=read))
    if tree.has(records.LIGHT):
        found.append(pulse_track(lambda: session.optogenetic_stimulation_epochs))
    if tree.has(records.INVALID):
        read = _stretches(lambda: session.invalid_times, "tags")
        found.append(IntervalTrack(name="invalid", title="invalid times", read=read))
    return found


def _has_presentations(session: EcephysSession) -> bool:
    tree = session.tree
    return tree.has("intervals") and any(
        name.endswith("_presentations") for name in tree.names("intervals")
    )


def _stretches(table: Callable[[], pd.DataFrame], label: str) -> Callable[[], Stretches]:
    def read() -> Stretches:
        made = table()
        told = made[label] if label in made else [""] * len(made)
        labels = [" ".join(v) if isinstance(v, list) else str(v) for v in told]
        return made["start_time"].to_numpy(float), made["stop_time"].to_numpy(float), labels

    return read


def _tables(session: EcephysSession) -> list[TableVisual]:
    there = session.tree.has
    found = []
    if there("units/id"):
        found.append(TableVisual(name="units", title="Units", table=lambda: session.units))
    if there("general/extracellular_ephys"):
        found.append(TableVisual(name="probes", title="Probes", table=lambda: session.probes))
        found.append(TableVisual(name="channels", title="Channels", table=lambda: session.channels))
    if _has_presentations(session):
        found += [
            TableVisual(
                name="stimulus_presentations",
                title="Stimulus presentations",
                table=lambda: session.stimulus_presentations,
            ),
            TableVisual(
                name="stimulus_conditions",
                title="Stimulus conditions",
                table=lambda: session.stimulus_conditions,
            ),
            TableVisual(
                name="stimulus_epochs",
                title="Stimulus epochs",
                table=session.get_stimulus_epochs,
            ),
        ]
    if there(records.LIGHT):
        read = _read_light(session)
        found.append(TableVisual(name="light_pulses", title="Light pulses", table=read))
    return found


def _read_light(session: EcephysSession) -> Callable[[], pd.DataFrame]:
    return lambda: session.optogenetic_stimulation_epochs


def picture(session: EcephysSession) -> str:
    """Return a small picture of when each stimulus was shown, a row each, as a ``data:`` URI.

    Parameters
    ----------
    session
        The session.

    Returns
    -------
    str
        Empty where nothing was shown.
    """
    import numpy as np

    from openallen.formats.thumbnails import gray_thumbnail

    made = session.get_stimulus_epochs({}).dropna(subset=["start_time", "stop_time"])
    if not len(made):
        return ""
    names = made["stimulus_name"].drop_duplicates().tolist()
    from_s, to_s = float(made["start_time"].min()), float(made["stop_time"].max())
    scale = _COLUMNS_PX / max(to_s - from_s, 1e-9)
    image = np.zeros((len(names) * _ROW_PX, _COLUMNS_PX))
    for name, start, stop in zip(
        made["stimulus_name"], made["start_time"], made["stop_time"], strict=True
    ):
        row = names.index(name) * _ROW_PX
        first, last = int((start - from_s) * scale), int(np.ceil((stop - from_s) * scale))
        image[row : row + _ROW_PX - 2, first : max(last, first + 1)] = 1.0
    return gray_thumbnail(image)
