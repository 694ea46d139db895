"""Columns of sorted units that hold something for each spike, by the ids of the units."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from openallen.errors import CorruptError, NotFoundError
from openallen.formats.nwb import ragged
from openallen.formats.nwb.tables import spans
from openallen.sessions.lengths import numbers, same_length

if TYPE_CHECKING:
    import numpy as np

    from openallen.formats.nwb import Tree

__all__ = ["chosen_by_unit", "column_by_unit", "known_units", "rows_by_unit", "spikes_of"]

_TIMES = "units/spike_times"


def column_by_unit(tree: Tree, name: str) -> dict[int, np.ndarray[Any, Any]]:
    """Return a column with an array in each row, by unit id, in the order of the file.

    Parameters
    ----------
    tree
        The file.
    name
        The column: ``spike_times``, ``spike_amplitudes``, ``waveform_mean``.

    Raises
    ------
    NotFoundError
        If the file has no such column.
    CorruptError
        If it does not go with the units, or two units share an id.
    """
    place = f"units/{name}"
    if tree.has(place) and len(tree.shape(place)) == 0:
        raise CorruptError("one value where units have many", address=tree.name, why=place)
    rows = ragged(tree, "units", name) if tree.has(f"{place}_index") else list(tree.array(place))
    if any(row.dtype.kind not in "iufb" for row in rows[:1]):
        raise CorruptError("not numbers", address=tree.name, why=f"{place}: {rows[0].dtype}")
    return rows_by_unit(tree, place, rows)


def chosen_by_unit(
    tree: Tree, name: str, wanted: Collection[int]
) -> dict[int, np.ndarray[Any, Any]]:
    """Return `column_by_unit` for some units; the values of the others are not kept."""
    found = {i: row for i, row in column_by_unit(tree, name).items() if i in wanted}
    kept, every = sum(map(len, found.values())), math.prod(tree.shape(f"units/{name}"))
    # Rows are parts of one array, which stays in memory as long as any of them does.
    return {i: row.copy() for i, row in found.items()} if 2 * kept < every else found


def rows_by_unit(tree: Tree, place: str, rows: Sequence[Any]) -> dict[int, Any]:
    """Return the rows of a column by the ids of units, none of which may come twice.

    Raises
    ------
    CorruptError
        If there are more or fewer rows than units, or two units share an id.
    """
    ids = numbers(tree, "units/id").tolist()
    same_length(tree, place, {"ids": ids, "units": rows})
    found = dict(zip(ids, rows, strict=True))
    if len(found) < len(ids):
        why = f"{len(ids)} units, {len(found)} ids"
        raise CorruptError("units share an id", address=tree.name, why=why)
    return found


def spikes_of(tree: Tree, unit_ids: Sequence[int]) -> dict[int, np.ndarray[Any, Any]]:
    """Return times of the spikes of some units in s, by unit id; only these are read.

    Raises
    ------
    NotFoundError
        If the file has no such unit.
    CorruptError
        As `column_by_unit`.
    """
    rows = spans(tree, f"{_TIMES}_index", math.prod(tree.shape(_TIMES)[:1]))
    known = rows_by_unit(tree, _TIMES, rows)
    known_units(tree, unit_ids, known)
    return {unit: tree.part(_TIMES, slice(*known[unit])) for unit in unit_ids}


def known_units(tree: Tree, unit_ids: Sequence[int], known: Collection[int]) -> None:
    """Check that all units are known.

    Raises
    ------
    NotFoundError
        If one is not.
    """
    missing = next((unit for unit in unit_ids if unit not in known), None)
    if missing is not None:
        raise NotFoundError(f"no unit {missing}", address=tree.name, why=f"it has {len(known)}")
