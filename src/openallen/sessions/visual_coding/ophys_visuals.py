"""What a Visual Coding two-photon session looks like: traces, cells on the image, stimuli."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from openallen.sessions.cell_visuals import cell_rois, cell_tracks
from openallen.sessions.visual_coding.ophys_behavior import PUPIL_SIZE, RUNNING
from openallen.sessions.visual_coding.ophys_cells import PROJECTION, Cells
from openallen.sessions.visuals import span_of
from openallen.visuals import IntervalTrack, Rois, TableVisual, TracesVisual, Track, Visual

if TYPE_CHECKING:
    import numpy as np

    from openallen.sessions.visual_coding.ophys import VisualCodingOphysExperiment

    Series = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]

__all__ = ["ophys_visuals"]


def ophys_visuals(
    session: VisualCodingOphysExperiment, cells: Cells, clocks: Sequence[str]
) -> tuple[Visual, ...]:
    """Return the views of a session; what its file does not have is left out.

    Parameters
    ----------
    session
        The session.
    cells
        Its cells.
    clocks
        Arrays of ascending times in the file.
    """
    named = list(zip(cells.roi_ids.tolist(), cells.ids.tolist(), strict=True))
    tracks = _cells_tracks(cells, named) + _behavior_tracks(session)
    from_s, to_s = span_of(session.tree, clocks)
    traces = TracesVisual(
        name="traces",
        title="Traces",
        from_s=from_s,
        to_s=to_s,
        tracks=tuple(tracks),
        intervals=_intervals(session),
        rois=_rois(session, cells, named),
    )
    return (traces, *_tables(session))


def _cells_tracks(cells: Cells, named: list[tuple[int, int]]) -> list[Track]:
    if not cells.has("dff"):
        return []
    rows = {roi: row for row, (roi, _) in enumerate(named)}

    def reader(roi: int) -> Callable[[], Series]:
        return lambda: (cells.times("dff"), cells.traces("dff", [rows[roi]])[0])

    return cell_tracks(("dff", "ΔF/F", "ΔF/F"), named, reader)


def _behavior_tracks(session: VisualCodingOphysExperiment) -> list[Track]:
    found = []
    if session.tree.has(f"{RUNNING}/data"):

        def speed() -> Series:
            values, times = session.get_running_speed()
            return times, values

        found.append(
            Track(name="running", title="running", unit="cm/s", group="running", read=speed)
        )
    if session.tree.has(f"{PUPIL_SIZE}/data"):
        found.append(
            Track(
                name="pupil",
                title="pupil area",
                unit="px²",
                group="pupil",
                read=session.get_pupil_size,
            )
        )
    return found


def _intervals(session: VisualCodingOphysExperiment) -> tuple[IntervalTrack, ...]:
    """Return epochs and, within them, presentations; those outside of the movie are left out."""
    if not session.list_stimuli():
        return ()

    def read(table: str) -> Any:
        shown = getattr(session, table)
        shown = shown[shown["start_time"].notna() & shown["stop_time"].notna()]
        starts, stops = (shown[name].to_numpy(float) for name in ("start_time", "stop_time"))
        return starts, stops, [str(name) for name in shown["stimulus_name"]]

    return (
        IntervalTrack(
            name="epochs",
            title="epochs",
            table="stimulus_epochs",
            read=lambda: read("stimulus_epochs"),
        ),
        IntervalTrack(
            name="stimuli",
            title="stimuli",
            table="stimulus_presentations",
            read=lambda: read("stimulus_presentations"),
        ),
    )


def _rois(
    session: VisualCodingOphysExperiment, cells: Cells, named: list[tuple[int, int]]
) -> Rois | None:
    """Return the cells on the image; None where the file has no image, or none of their traces."""
    if not (session.tree.has(PROJECTION) and cells.has_masks and cells.has("dff")):
        return None
    known = [(row, roi, cell) for row, (roi, cell) in enumerate(named)]
    return cell_rois(
        session.name, known, lambda row: cells.planes([row])[0], session.get_max_projection
    )


def _tables(session: VisualCodingOphysExperiment) -> tuple[Visual, ...]:
    cells = TableVisual(
        name="cell_specimen_table",
        title="Cells",
        # Masks are pictures, which the view above them shows.
        table=lambda: session.cell_specimen_table.drop(columns="roi_mask", errors="ignore"),
    )
    if not session.list_stimuli():
        return (cells,)
    epochs = TableVisual(
        name="stimulus_epochs", title="Epochs", table=lambda: session.stimulus_epochs
    )
    shown = TableVisual(
        name="stimulus_presentations",
        title="Stimulus presentations",
        table=lambda: session.stimulus_presentations,
    )
    return cells, epochs, shown
