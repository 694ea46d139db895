"""Rows of a raster: spikes of units in the order of the probes, or events of cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

__all__ = [
    "Row",
    "cell_rows",
    "draw_rows",
    "good_units",
    "name_groups",
    "ordered_units",
    "row_name",
    "unit_rows",
]

_COLOURS: Final = ("#2b4c7e", "#c8553d", "#3b7a57", "#7a4988", "#b07d2b", "#3f7d8c")
_ROW_PT: Final = 10.0
"""Height that a label needs, in points."""


@dataclass(frozen=True)
class Row:
    """One line of a raster.

    Parameters
    ----------
    id
        Of the unit or cell; not a number, or None, for a cell that was not matched.
    times
        Its spikes or events, in s.
    probe, structure
        Where it was recorded; empty where that is not known.
    """

    id: Any
    times: np.ndarray[Any, Any]
    probe: str = ""
    structure: str = ""


def good_units(session: Any) -> list[int]:
    """Return the ids of units of good quality; of all if the file does not say which are."""
    table = session.units
    good = table["quality"] == "good" if "quality" in table else None
    chosen = table[good] if good is not None and good.any() else table
    ids: list[int] = chosen.index.tolist()
    return ids


def unit_rows(session: Any, units: Sequence[int], most: int | None = None) -> list[Row]:
    """Return units probe after probe, from the surface of the brain down.

    Parameters
    ----------
    session
        A `BehaviorEcephysSession`.
    units
        Ids.
    most
        No more than so many, evenly over all; only theirs are read.

    Raises
    ------
    NotFoundError
        If the session has no such unit.
    """
    import numpy as np

    ordered = ordered_units(session, units)
    if most is not None and len(ordered) > most:
        kept = np.linspace(0, len(ordered) - 1, most).round().astype(int)
        ordered = [ordered[at] for at in kept]
    times = session.spike_times_of([unit for unit, *_ in ordered])
    return [Row(unit, times[unit], probe, place) for unit, probe, place, _ in ordered]


def ordered_units(session: Any, units: Sequence[int]) -> list[tuple[int, str, str, float]]:
    """Return units in the order they are drawn in: probe after probe, from the surface down.

    Parameters
    ----------
    session
        A `BehaviorEcephysSession` or `EcephysSession`.
    units
        Ids.

    Returns
    -------
    list
        Id, probe, structure, and place along the probe in µm; empty, and 0, where unknown.
    """
    place = "units/peak_channel_id"
    peaks = session.tree.array(place).tolist() if session.tree.has(place) else []
    peak_of = dict(zip(session.tree.array("units/id").tolist(), peaks, strict=False))
    channels = session.get_channels(filter_by_validity=False)
    probes = session.probes  # Visual Coding has the names as descriptions
    names = probes["name" if "name" in probes else "description"].to_dict()
    found = []
    for unit in units:
        if peak_of.get(unit) not in channels.index:
            found.append((int(unit), "", "", 0.0))
            continue
        told = channels.loc[peak_of[unit]]
        acronym = told["structure_acronym"]
        probe = str(names.get(told["probe_id"], told["probe_id"]))
        depth = float(told["probe_vertical_position"])
        found.append((int(unit), probe, acronym if isinstance(acronym, str) else "", depth))
    # Structures as the probe meets them, each in one run; units of one by their depth.
    heights: dict[tuple[str, str], list[float]] = {}
    for _, probe, acronym, depth in found:
        heights.setdefault((probe, acronym), []).append(depth)
    means = {key: sum(depths) / len(depths) for key, depths in heights.items()}
    found.sort(key=lambda u: (u[1], -means[u[1], u[2]], u[2], -u[3], u[0]))
    return found


def cell_rows(session: Any, cells: Sequence[int] | None = None) -> list[Row]:
    """Return the events of an experiment's cells, in their own order."""
    array = session.trace_array("events")
    times = array["time"].to_numpy()
    rows = zip(array["cell_specimen_id"].to_numpy().tolist(), array.to_numpy(), strict=True)
    found = [Row(i, times[row > 0]) for i, row in rows]
    if cells is None:
        return found
    named = {row.id: row for row in found}
    missing = [cell for cell in cells if cell not in named]
    if missing:
        raise _unknown(session.name, missing[0], len(found))
    return [named[cell] for cell in cells]


def _unknown(name: str, unit: int, count: int) -> NotFoundError:
    return NotFoundError(f"no unit or cell {unit}", address=name, why=f"it has {count}")


def row_name(number: Any, structure: str = "") -> str:
    """Return the label of a row: its id, behind its structure where that is known."""
    # Cells that were not matched have no id: not a number, or None.
    name = "unmatched" if number is None or number != number else str(int(number))  # noqa: PLR0124
    return f"{structure}  {name}" if structure else name


def draw_rows(axis: Axes, rows: Sequence[Row], start: float, stop: float) -> None:
    """Draw the rows from top to bottom, each probe in a colour of its own."""
    inside = [row.times[(row.times >= start) & (row.times <= stop)] for row in rows]
    probes = list(dict.fromkeys(row.probe for row in rows))
    colours = [_COLOURS[probes.index(row.probe) % len(_COLOURS)] for row in rows]
    axis.eventplot(inside, colors=colours, linewidths=0.8, linelengths=0.8)
    axis.set_ylim(len(rows) - 0.5, -0.5)


def name_groups(axis: Axes, rows: Sequence[Row], height_pt: float, *, structures: bool) -> None:
    """Name the structures on the left, where wanted, and the probes on the right of a raster.

    Parameters
    ----------
    axis
        Where the rows were drawn.
    rows
        The rows, those of a probe and of a structure beside each other.
    height_pt
        Height of the axis in points; labels that would overlap are left out.
    structures
        Whether the axis on the left is for structures.
    """
    row_pt = height_pt / max(1, len(rows))
    if structures:
        runs = _apart(_runs(rows, lambda r: (r.probe, r.structure)), row_pt)
        axis.set_yticks([middle for _, middle in runs])
        axis.set_yticklabels([key[1] or "none" for key, _ in runs], fontsize=8)
        axis.tick_params(axis="y", length=0)
    probes = list(dict.fromkeys(row.probe for row in rows))
    for (probe,), middle in _apart(_runs(rows, lambda r: (r.probe,)), row_pt):
        colour = _COLOURS[probes.index(probe) % len(_COLOURS)]
        place = axis.get_yaxis_transform()
        axis.text(1.01, middle, probe, transform=place, color=colour, fontsize=8, va="center")


def _runs(
    rows: Iterable[Row], key: Callable[[Row], tuple[str, ...]]
) -> list[tuple[tuple[str, ...], float]]:
    """Return each run of rows of the same key, with its middle."""
    from itertools import groupby

    found, first = [], 0
    for name, run in groupby(rows, key):
        count = len(list(run))
        found.append((name, first + (count - 1) / 2))
        first += count
    return found


def _apart(
    runs: list[tuple[tuple[str, ...], float]], row_pt: float
) -> list[tuple[tuple[str, ...], float]]:
    """Leave out runs too close to the one before for both to be labelled."""
    found: list[tuple[tuple[str, ...], float]] = []
    for run in runs:
        if not found or (run[1] - found[-1][1]) * row_pt >= _ROW_PT:
            found.append(run)
    return found
