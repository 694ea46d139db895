"""Which cells there are, and what the service says of one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Condition
from openallen.brainmap.builder import Search
from openallen.brainmap.client import Client
from openallen.brainmap.language import Query
from openallen.brainmap.near import values_hint
from openallen.errors import NotFoundError, OpenAllenError
from openallen.near import nothing_matches
from openallen.sources.cells.columns import LIST, MODEL, Asked
from openallen.sources.cells.record import CellRecord

if TYPE_CHECKING:
    from openallen.brainmap.answers import Row
    from openallen.brainmap.paging import Short

__all__ = ["describe", "describe_model", "no_cells", "rows_of"]

_FILE_TYPES: Final = "well_known_files(well_known_file_type)"


def rows_of(
    client: Client, wanted: Asked, limit: int | None, short: Short
) -> tuple[list[Row], int | None]:
    """Return rows of cells in the service's order, and how many there are in all.

    Parameters
    ----------
    client
        Whom to ask.
    wanted
        What is asked for.
    limit
        Rows at most.
    short
        As for `Client.rows`.
    """
    if not wanted.kept:
        total = None if limit is None else client.count(wanted.query)
        return list(client.rows(wanted.query, limit, short=short)), total
    # What no query can say is looked for among all rows that match the rest, 2,000 to a request.
    found = [row for row in client.rows(wanted.query, short=short) if wanted.keeps(row)]
    return found[:limit], len(found)


def no_cells(client: Client, wanted: Asked, conditions: Sequence[Condition]) -> NotFoundError:
    """Return the error for conditions no cell matches, with the values that were likely meant."""
    real = [c for c in conditions if not c.field.startswith("has_")]
    found = values_hint(client, wanted.query, real, wanted.places)
    return nothing_matches("cell:", conditions, found, command=LIST + client.source_option)


def describe(client: Client, specimen_id: int) -> CellRecord:
    """Return everything the service says about one cell; six short requests, side by side.

    Raises
    ------
    NotFoundError
        If there is no such specimen, or it is not a cell of the Cell Types Database.
    AnswerError
        If the service contradicts itself.
    """
    queries = _queries(specimen_id)
    with ThreadPoolExecutor(len(queries), thread_name_prefix="describe") as pool:
        asked = {name: pool.submit(list, client.rows(query)) for name, query in queries.items()}
        rows: Mapping[str, list[Row]] = {name: future.result() for name, future in asked.items()}
    if not rows["specimen"]:
        raise _no_cell(client, specimen_id, next(iter(rows["ephys"]), None))
    return CellRecord(
        specimen_id=specimen_id,
        rows=rows,
        queries={name: str(query) for name, query in queries.items()},
        source=client.source,
        notes=client.notes,
        simulated=client.simulated,
    )


def describe_model(client: Client, model_id: int) -> CellRecord:
    """Return what the service says about one model, and about the cell it is of.

    Raises
    ------
    NotFoundError
        If there is no such model, or it is of no cell of the Cell Types Database.
    """
    row = next(client.rows(Search.of("NeuronalModel").where(id=model_id).query, 1), None)
    if row is None or not isinstance(row.get("specimen_id"), int):
        hint = f"openallen list model:{client.source_option}"
        raise NotFoundError("no such model", address=f"model:{model_id}", hint=hint)
    return replace(describe(client, row["specimen_id"]), model_id=model_id)


def _queries(specimen_id: int) -> dict[str, Query]:
    own = {"specimen_id": specimen_id}
    models = Search.of("NeuronalModel").where(**own)
    return {
        "specimen": Search.of(MODEL).where(specimen__id=specimen_id).query,
        "features": Search.of("EphysFeature").where(**own).query,
        "sweeps": Search.of("EphysSweep").where(**own).query,
        "reconstructions": Search.of("NeuronReconstruction")
        .where(**own)
        .include("well_known_files.well_known_file_type")
        .query,
        "models": models.include(
            f"neuronal_model_template({_FILE_TYPES})", "well_known_files.well_known_file_type"
        ).query,
        "ephys": Search.of("Specimen")
        .where(id=specimen_id)
        .include("ephys_result.well_known_files.well_known_file_type")
        .query,
    }


def _no_cell(client: Client, specimen_id: int, row: Mapping[str, Any] | None) -> NotFoundError:
    """Return the error for what has no row among cells: no specimen, or one of another kind."""
    address, hint = f"cell:{specimen_id}", LIST + client.source_option
    if row is None:
        return NotFoundError("no such cell", address=address, hint=hint)
    name = f"'{row['name']}'" if row.get("name") else f"specimen {specimen_id}"
    if row.get("is_cell_specimen"):
        why = f"{name} has no row in {MODEL}"
    else:
        why = f"{name} is not a single cell: a slice, or other tissue that cells are taken from"
    inside = _cells_of(client, specimen_id)
    if inside:
        why += f"; cells of it: {', '.join(map(str, inside))}"
        hint = f"openallen show cell:{inside[0]}{client.source_option}"
    return NotFoundError(
        "not a cell of the Cell Types Database", address=address, why=why, hint=hint
    )


def _cells_of(client: Client, specimen_id: int) -> list[int]:
    """Return cells that were taken from a specimen; none where the service does not tell."""
    query = Search.of("Specimen").where(parent_id=specimen_id, is_cell_specimen=True).query
    with suppress(OpenAllenError, KeyError):
        return [int(row["id"]) for row in client.rows(query, 5)]
    return []
