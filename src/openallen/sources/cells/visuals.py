"""What a cell looks like: its reconstruction, its sweeps, and the service's table of them."""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import TYPE_CHECKING

from openallen.brainmap.files import EPHYS_TYPE, RECONSTRUCTION_TYPE
from openallen.errors import OpenAllenError
from openallen.visuals import CellVisual, TableVisual, Visual

if TYPE_CHECKING:
    from openallen.sources.cells.read import Cell

__all__ = ["visuals_of_cell"]


def _swc(cell: Cell) -> str:
    return cell.morphology.to_swc()  # read when it is drawn


def visuals_of_cell(cell: Cell) -> tuple[Visual, ...]:
    """Return the views of a cell: none of what it does not have.

    Parameters
    ----------
    cell
        The cell.
    """
    found: dict[str, Visual] = {}
    if cell.record.file(EPHYS_TYPE.name) is not None:
        with suppress(OpenAllenError):  # its facts tell of the file; a page needs not fail of it
            found = {visual.name: visual for visual in cell.session._visuals()}  # noqa: SLF001
    if cell.record.file(RECONSTRUCTION_TYPE.name) is not None:
        found["cell"] = CellVisual(
            name="cell", title="Reconstruction", swc=functools.partial(_swc, cell)
        )
    if cell.record.sweeps:
        rows = [dict(row) for row in cell.record.sweeps]
        found["service-sweeps"] = TableVisual(
            name="service-sweeps", title="Sweeps, as the service lists them", table=lambda: rows
        )
    return tuple(found.values())
