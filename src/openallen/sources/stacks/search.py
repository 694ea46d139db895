"""Which cells have an image stack, and the facts of one of them.

The natural query, ``SubImage[specimen_id$eqN]``, returns the projections and never the planes:
planes have no specimen, their data set has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from openallen.address import Condition
from openallen.brainmap.answers import Row
from openallen.brainmap.builder import Search
from openallen.brainmap.client import Client
from openallen.brainmap.language import Query
from openallen.brainmap.near import values_hint
from openallen.brainmap.schema import schema
from openallen.errors import NotFoundError, OpenAllenError
from openallen.near import nothing_matches, unknown_column
from openallen.planes.rows import planes_from_rows
from openallen.sources.stacks.models import (
    WHITEPAPER_Z_STEP_UM,
    Projection,
    Reconstruction,
    StackFacts,
    ZStep,
)

__all__ = [
    "COLUMNS",
    "cell_row",
    "cells_with_planes",
    "describe",
    "no_cells",
    "planes_note",
    "search_cells",
]

_MODEL: Final = "ApiCellTypesSpecimenDetail"
_LIST: Final = "openallen list stack:"
_AT_ONCE: Final = 500
"""Ids in one request: a URL of some 5,000 characters, which every server takes."""

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
    """Return the query for cells that have images: those whose row names a picture (``si__path``).

    Parameters
    ----------
    conditions
        Filters by names of `COLUMNS`, or by the service's own.

    Raises
    ------
    UsageError
        For a column that does not exist, with the nearest one.
    """
    known = schema().get(_MODEL)
    service_names = known.fields if known else {}
    wanted: list[Condition] = []
    for condition in conditions:
        name = COLUMNS.get(condition.field, condition.field)
        if name not in service_names:
            raise unknown_column(condition, COLUMNS, address="stack:", command=_LIST)
        wanted.append(replace(condition, field=name))
    return Search.of(_MODEL).where(si__path__exists=True).where(*wanted).query


def no_cells(client: Client, conditions: Sequence[Condition]) -> NotFoundError:
    """Return the error for conditions no cell matches, with the values that were likely meant."""
    places = {name: ("", column) for name, column in COLUMNS.items()}
    found = values_hint(client, search_cells(conditions), conditions, places)
    command = _LIST + client.source_option
    return nothing_matches("stack:", conditions, found, command=command)


def cells_with_planes(client: Client, specimen_ids: Iterable[int]) -> set[int]:
    """Return those of some specimens whose planes the service lists, in one short request.

    The live service lists the planes of every cell that has images. An archive may hold rows of
    cells without their planes, as the sample does.

    Parameters
    ----------
    client
        Whom to ask.
    specimen_ids
        The cells in question. One request is sent for every 500 of them.

    Raises
    ------
    AnswerError, ServiceError
        If the service does not answer as it should.
    """
    ids = list(dict.fromkeys(specimen_ids))
    found: set[int] = set()
    for start in range(0, len(ids), _AT_ONCE):
        search = Search.of("SubImage").where(
            "data_set", specimen_id__in=ids[start : start + _AT_ONCE]
        )
        query = search.tabular(distinct=True, specimen_id="data_sets.specimen_id").query
        # One answer, not pages: the total of a distinct query may count every plane.
        whole = query.with_options(replace(query.options, num_rows="all"))
        found.update(int(row["specimen_id"]) for row in client.answer(whole).rows)
    return found


def planes_note(client: Client, specimen_ids: Sequence[int]) -> str:
    """Return which of these cells have their images in an archive; empty where all have.

    The live service is not asked: there every listed cell has images.
    """
    if client.source == "live" or not specimen_ids:
        return ""
    here = cells_with_planes(client, specimen_ids)
    cells = len(set(specimen_ids))
    if len(here) >= cells:
        return ""
    which = f": {_some(here)}" if here else ""
    return f"this archive has the images of {len(here):,} of these {cells:,} cells{which}"


def _some(ids: Iterable[int], most: int = 5) -> str:
    listed = [str(number) for number in sorted(ids)]
    return ", ".join(listed[:most]) + (", …" if len(listed) > most else "")


def cell_row(row: Mapping[str, Any]) -> Row:
    """Return a cell's row with the names of `COLUMNS`."""
    return {name: row.get(column) for name, column in COLUMNS.items()}


def describe(client: Client, specimen_id: int) -> StackFacts:
    """Return everything the service says about one cell's stack, without fetching pixels.

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
        raise _nothing(client, specimen_id, rows)
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


def _nothing(client: Client, specimen_id: int, rows: Mapping[str, list[Row]]) -> NotFoundError:
    address, source = f"stack:{specimen_id}", client.source_option
    if not (rows["specimen"] or rows["projections"] or rows["reconstructions"]):
        hint = f"{_LIST}{source}"
        return NotFoundError("no such cell", address=address, hint=hint)
    why, hint = "the service lists no planes", f"{_LIST}{source}"
    here: set[int] = set()
    if source:
        with suppress(OpenAllenError):
            cells = client.rows(search_cells())
            here = cells_with_planes(client, (int(cell["specimen__id"]) for cell in cells))
    if here:
        # Its rows are here, its planes are not: the list of cells would lead back to this error.
        why = f"this archive has the planes of {_some(here)} only"
        hint = f"openallen show stack:{min(here)}{source}"
    return NotFoundError("this cell has no image stack", address=address, why=why, hint=hint)


def _one_data_set(rows: list[Row]) -> tuple[list[Row], int, list[str]]:
    """Return the planes of the data set with most planes, its id, and notes on the others."""
    counts = Counter(row.get("data_set_id") for row in rows)
    (chosen, _), *others = counts.most_common()
    notes = [f"data set {other} with {n} planes was left out" for other, n in others]
    return [row for row in rows if row.get("data_set_id") == chosen], int(chosen or 0), notes


def _z_step(
    reconstructions: tuple[Reconstruction, ...],
    projections: tuple[Projection, ...],
    planes: list[Row],
) -> ZStep:
    """Return the distance between planes: of the tracing, of the side view, else as published."""
    for reconstruction in reconstructions:
        if reconstruction.scale_factor_z_um:
            source = f"NeuronReconstruction {reconstruction.id}, scale_factor_z"
            return ZStep(reconstruction.scale_factor_z_um, source)
    side = next((p for p in projections if p.axes == "yz"), None)
    if side is not None and len(planes) > 1:
        step = round(side.width_px * side.resolution_um_per_px / len(planes), 4)
        return ZStep(step, f"ProjectionImage {side.id}, width x resolution / planes")
    return ZStep(WHITEPAPER_Z_STEP_UM, "Cell Types Database whitepaper, 63x stacks")
