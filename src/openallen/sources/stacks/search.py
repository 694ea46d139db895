"""Which cells have an image stack, and what is known of one of them.

The natural question, ``SubImage[specimen_id$eqN]``, gives the projections and never the planes:
planes carry no specimen, their data set does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Final

from openallen.address import Condition
from openallen.brainmap.answers import Row
from openallen.brainmap.builder import Search
from openallen.brainmap.client import Client
from openallen.brainmap.language import Query
from openallen.errors import NotFoundError
from openallen.sources.stacks.models import (
    WHITEPAPER_Z_STEP_UM,
    Projection,
    Reconstruction,
    StackFacts,
    ZStep,
    planes_from_rows,
)

__all__ = ["COLUMNS", "cell_row", "describe", "search_cells"]

COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "specimen_id": "specimen__id",
        "name": "specimen__name",
        "species": "donor__species",
        "line": "line_name",
        "structure": "structure__acronym",
        "area": "structure_parent__acronym",
        "layer": "structure__layer",
        "hemisphere": "specimen__hemisphere",
        "dendrite_type": "tag__dendrite_type",
        "apical": "tag__apical",
        "reporter_status": "cell_reporter_status",
        "reconstruction_type": "nr__reconstruction_type",
        "donor": "donor__name",
        "width_px": "si__width",
        "height_px": "si__height",
    }
)
"""Columns of ``list stack:`` and the service's names for them; filters take either name."""


def search_cells(conditions: Iterable[Condition] = ()) -> Query:
    """Give the query for cells that have images.

    A cell has images when its row names a picture (``si__path``).

    Parameters
    ----------
    conditions
        Filters by names of `COLUMNS`, or by the service's own.
    """
    wanted = [Condition(COLUMNS.get(c.field, c.field), c.op, c.value) for c in conditions]
    search = Search.of("ApiCellTypesSpecimenDetail").where(si__path__exists=True).where(*wanted)
    return search.query


def cell_row(row: Mapping[str, Any]) -> Row:
    """Give a cell as `COLUMNS` name it."""
    return {name: row.get(told) for name, told in COLUMNS.items()}


def describe(client: Client, specimen_id: int) -> StackFacts:
    """Ask for all that is known of one cell's stack; fetches no pixel.

    Raises
    ------
    NotFoundError
        If there is no such specimen, or it has no planes.
    AnswerError
        If the service contradicts itself.
    """
    queries = _queries(specimen_id)
    with ThreadPoolExecutor(len(queries), thread_name_prefix="describe") as pool:
        asked = {name: pool.submit(list, client.rows(query)) for name, query in queries.items()}
        rows = {name: future.result() for name, future in asked.items()}
    specimen = rows["specimen"][0] if rows["specimen"] else {}
    if not rows["planes"]:
        raise _nothing(specimen_id, rows)
    planes, data_set_id, notes = _one_data_set(rows["planes"])
    projections = tuple(sorted(map(Projection.from_row, rows["projections"]), key=lambda p: p.id))
    reconstructions = tuple(
        sorted(map(Reconstruction.from_row, rows["reconstructions"]), key=lambda r: r.id)
    )
    z_step = _z_step(reconstructions, projections, planes)
    return StackFacts(
        specimen_id=specimen_id,
        specimen=specimen,
        data_set_id=data_set_id,
        planes=planes_from_rows(planes, z_step.um),
        planes_expected=len(planes),
        projections=projections,
        reconstructions=reconstructions,
        z_step=z_step,
        queries={name: str(query) for name, query in queries.items()},
        source=client.source,
        notes=(*client.notes, *notes),
    )


def _queries(specimen_id: int) -> dict[str, Query]:
    return {
        "planes": Search.of("SubImage").where("data_set", specimen_id=specimen_id).query,
        "projections": Search.of("ProjectionImage").where(specimen_id=specimen_id).query,
        "reconstructions": Search.of("NeuronReconstruction")
        .where(specimen_id=specimen_id)
        .include("well_known_files.well_known_file_type")
        .query,
        "specimen": Search.of("ApiCellTypesSpecimenDetail").where(specimen__id=specimen_id).query,
    }


def _nothing(specimen_id: int, rows: Mapping[str, list[Row]]) -> NotFoundError:
    known = rows["specimen"] or rows["projections"] or rows["reconstructions"]
    return NotFoundError(
        "this cell has no image stack" if known else "there is no such cell",
        address=f"stack:{specimen_id}",
        why="the service has no planes of it",
        hint="openallen list stack:",
    )


def _one_data_set(rows: list[Row]) -> tuple[list[Row], int, list[str]]:
    """Give the planes of the data set that has most of them, and say what was left out."""
    counts = Counter(row.get("data_set_id") for row in rows)
    (chosen, _), *others = counts.most_common()
    notes = [f"data set {other} with {n} planes was left out" for other, n in others]
    return [row for row in rows if row.get("data_set_id") == chosen], int(chosen or 0), notes


def _z_step(
    reconstructions: tuple[Reconstruction, ...],
    projections: tuple[Projection, ...],
    planes: list[Row],
) -> ZStep:
    """Find the distance between planes: as traced, as the side view shows it, else as published."""
    for reconstruction in reconstructions:
        if reconstruction.scale_factor_z_um:
            source = f"NeuronReconstruction {reconstruction.id}, scale_factor_z"
            return ZStep(reconstruction.scale_factor_z_um, source)
    side = next((p for p in projections if p.axes == "yz"), None)
    if side is not None and len(planes) > 1:
        step = round(side.width_px * side.resolution_um_per_px / len(planes), 4)
        return ZStep(step, f"ProjectionImage {side.id}, width x resolution / planes")
    return ZStep(WHITEPAPER_Z_STEP_UM, "Cell Types Database whitepaper, 63x stacks")
