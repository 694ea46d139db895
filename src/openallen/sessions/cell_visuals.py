"""What an imaging experiment looks like: traces of cells, and the image with their masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, NotFoundError
from openallen.sessions.visuals import behavior_tables, traces_visual
from openallen.visuals import Rois, TableVisual, Track, Visual

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.sessions.ophys import BehaviorOphysExperiment

__all__ = ["cell_rois", "cell_tracks", "experiment_visuals"]

_SHOWN: Final = 12
_TITLES: Final = {"dff": "ΔF/F", "events": "detected events"}
_KINDS: Final = (
    ("dff", "dff_traces", "dff", "ΔF/F", "processing/ophys/dff/traces"),
    ("events", "events", "events", "ΔF/F", "processing/ophys/event_detection"),
)


def experiment_visuals(
    session: BehaviorOphysExperiment, cells: pd.DataFrame, masks: str, rows: Sequence[int]
) -> tuple[Visual, ...]:
    """Return the views of an experiment.

    Parameters
    ----------
    session
        The experiment.
    cells
        Its cells without their masks: ``cell_roi_id``, by ``cell_specimen_id``.
    masks
        Where the masks are in the file.
    rows
        The row of each of the cells among them.
    """
    tracks: list[Track] = []
    for group, attribute, column, unit, place in _KINDS:
        if session.tree.has(place):
            tracks += _tracks(session, cells, (group, attribute, column, unit))
    rois = _rois(session, cells, masks, rows, {track.name for track in tracks})
    table = TableVisual(
        name="cell_specimen_table",
        title="Cells",
        # Masks are pictures, which the view above them shows.
        table=lambda: cells.drop(columns=[n for n in cells if "mask" in n]),
    )
    return (*traces_visual(session, tracks, rois=rois), table, *behavior_tables(session))


def _tracks(
    session: BehaviorOphysExperiment, cells: pd.DataFrame, kind: tuple[str, str, str, str]
) -> list[Track]:
    group, attribute, column, unit = kind

    def reader(roi: int) -> Callable[[], Any]:
        def read() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
            table = getattr(session, attribute)
            found = table[table["cell_roi_id"] == roi]
            if not len(found):
                raise NotFoundError(f"cell {roi} has no {group}", address=session.name)
            times, values = session.ophys_timestamps, found[column].iloc[0]
            if len(times) != len(values):
                why = f"{len(values)} and {len(times)}"
                raise CorruptError("samples and times differ", address=session.name, why=why)
            return times, values

        return read

    return cell_tracks((group, _TITLES[group], unit), _named(cells), reader)


def cell_tracks(
    kind: tuple[str, str, str],
    named: Sequence[tuple[int, int]],
    reader: Callable[[int], Callable[[], Any]],
) -> list[Track]:
    """Return a track for each cell, the first of ΔF/F shown.

    Parameters
    ----------
    kind
        Name, title and unit of the traces.
    named
        Ids of the region and of the cell, for each.
    reader
        Returns for a region what reads its trace: times in s, and values.
    """
    group, title, unit = kind
    return [
        Track(
            name=f"{group}-{roi}",
            title=f"cell {name}",
            unit=unit,
            group=title,
            read=reader(roi),
            shown=group == "dff" and n < _SHOWN,
        )
        for n, (roi, name) in enumerate(named)
    ]


def _named(cells: pd.DataFrame) -> list[tuple[int, int]]:
    """Return the id of each region, and that of its cell; the former where it was not matched."""
    import pandas as pd

    rois = [int(roi) for roi in cells["cell_roi_id"]]
    return [
        (roi, roi if pd.isna(cell) else int(cell))
        for roi, cell in zip(rois, cells.index, strict=True)
    ]


def _rois(
    session: BehaviorOphysExperiment,
    cells: pd.DataFrame,
    masks: str,
    rows: Sequence[int],
    tracks: set[str],
) -> Rois | None:
    """Return the regions; None where the file has no image of them."""
    image = "processing/ophys/images/max_projection"
    if not session.tree.has(image) or not session.tree.has(masks):
        return None
    known = [
        (row, roi, name)
        for row, (roi, name) in zip(rows, _named(cells), strict=True)
        if f"dff-{roi}" in tracks
    ]

    def mask(row: int) -> np.ndarray[Any, Any]:
        found: np.ndarray[Any, Any] = session.tree.part(masks, slice(row, row + 1))[0]
        return found

    return cell_rois(session.name, known, mask, lambda: session.max_projection.data)


def cell_rois(
    where: str,
    known: Sequence[tuple[int, int, int]],
    mask: Callable[[int], np.ndarray[Any, Any]],
    image: Callable[[], np.ndarray[Any, Any]],
) -> Rois:
    """Return the regions of cells on an image, each with its track of ΔF/F.

    Parameters
    ----------
    where
        The name of the file, for messages.
    known
        Row of the mask, id of the region, id of the cell, for each.
    mask
        Returns the mask of a row on the whole image.
    image
        Returns the image.
    """

    def labels() -> np.ndarray[Any, np.dtype[np.uint16]]:
        import numpy as np

        shape = image().shape
        made = np.zeros(shape, np.uint16)
        # One at a time: all masks of a large plane together fill the memory.
        for place, (row, _, _) in enumerate(known, 1):
            inside = mask(row).astype(bool)
            if inside.shape != shape:
                why = f"{inside.shape}, {shape}"
                raise CorruptError("masks and image differ", address=where, why=why)
            made[inside & (made == 0)] = place
        return made

    return Rois(
        ids=tuple(name for _, _, name in known),
        tracks=tuple(f"dff-{roi}" for _, roi, _ in known),
        image=image,
        labels=labels,
    )
