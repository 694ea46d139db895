"""A picture of a cell: its reconstruction, its sweeps over each other, its F/I curve."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from openallen.display import new_figure
from openallen.errors import NotFoundError, OpenAllenError
from openallen.visuals import TracesVisual

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from openallen.formats.swc import Morphology
    from openallen.sources.cells.read import Cell

__all__ = ["draw_cell"]

_COLOURS: Final = {1: "#222222", 2: "#3a6ea5", 3: "#c0392b", 4: "#8e44ad"}
_OTHER: Final = "#555555"
_MOST_TRACKS: Final = 12
_MOST_PANELS: Final = 6


def draw_cell(cell: Cell) -> Figure:
    """Draw a cell; a part that it does not have is left out.

    Parameters
    ----------
    cell
        The cell.

    Raises
    ------
    NotFoundError
        If it has neither recordings nor a reconstruction that can be read.
    """
    why: list[str] = []
    morphology = _morphology(cell, why)
    series = _series(cell, why)
    if morphology is None and not series:
        raise NotFoundError("nothing of this cell can be drawn", address=cell.address,
                            why="; ".join(why))  # fmt: skip
    size = (9.0, max(4.8, 1.6 * len(series)))
    figure = new_figure("nwb", "pictures of cells", figsize=size, layout="constrained")
    columns = int(morphology is not None) + int(bool(series))
    grid = figure.add_gridspec(max(1, len(series)), columns)
    if morphology is not None:
        _draw_tree(figure.add_subplot(grid[:, 0]), morphology)
    for row, visual in enumerate(series):
        _draw_series(figure.add_subplot(grid[row, columns - 1]), visual)
    name = cell.facts["name"]
    figure.suptitle(
        f"Cell {cell.specimen_id}" + (f", {name}" if name else "")
        + (", simulated signals" if cell.is_simulated else ""), fontsize=10,
    )  # fmt: skip
    return figure


def _morphology(cell: Cell, why: list[str]) -> Morphology | None:
    try:
        return cell.morphology
    except OpenAllenError as error:
        why.append(f"{error.what}: {error.why}")
        return None


def _series(cell: Cell, why: list[str]) -> list[TracesVisual]:
    try:
        visuals = cell.session._visuals()  # noqa: SLF001
    except OpenAllenError as error:
        why.append(f"{error.what}: {error.why}")
        return []
    drawn = [v for v in visuals if isinstance(v, TracesVisual) and v.tracks]
    # One panel for each stimulus, as many as can be read; the curve comes last and always.
    return drawn if len(drawn) <= _MOST_PANELS else [*drawn[: _MOST_PANELS - 1], drawn[-1]]


def _draw_tree(axes: Axes, morphology: Morphology) -> None:
    from matplotlib.collections import LineCollection

    lines: dict[str, list[Any]] = {}
    for a, b in morphology.segments():
        colour = _COLOURS.get(b.type, _OTHER)
        lines.setdefault(colour, []).append(((a.x_um, a.y_um), (b.x_um, b.y_um)))
    for colour, pieces in lines.items():
        axes.add_collection(LineCollection(pieces, colors=colour, linewidths=0.8))
    soma = morphology.soma
    if soma is not None:
        axes.plot([soma.x_um], [soma.y_um], "o", color=_COLOURS[1], markersize=5)
    axes.autoscale()
    axes.set_aspect("equal")
    axes.invert_yaxis()  # y grows towards the white matter, as in the images
    axes.set_xlabel("x (µm)", fontsize=8)
    axes.set_ylabel("y (µm)", fontsize=8)
    axes.tick_params(labelsize=7)


def _draw_series(axes: Axes, visual: TracesVisual) -> None:
    tracks = [track for track in visual.tracks if track.shown][:_MOST_TRACKS]
    units = {track.unit for track in tracks}
    for track in tracks:
        with suppress(OpenAllenError):  # a damaged sweep does not cost the picture
            times, values = track.part(visual.from_s, visual.to_s) if track.part else track.read()
            mark = "o-" if len(times) < 50 else "-"
            axes.plot(times, values, mark, linewidth=0.7, markersize=3, label=track.title)
    axes.set_title(visual.title, fontsize=8, loc="left")
    axes.set_xlabel(visual.axis, fontsize=8)
    axes.set_ylabel(", ".join(sorted(units)), fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    if 1 < len(tracks) <= 6:
        axes.legend(fontsize=6, frameon=False)
