"""Finding: section data sets that have grids, and the structures of an ontology."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Condition
from openallen.atlases.models import DataSet
from openallen.atlases.structures import Structures
from openallen.brainmap.builder import Search
from openallen.errors import NotFoundError, StoreError, UsageError
from openallen.store.disk import write_whole

if TYPE_CHECKING:
    from openallen.brainmap import Client
    from openallen.brainmap.answers import Row
    from openallen.brainmap.language import Query

__all__ = ["COLUMNS", "GRAPHS", "describe_data_set", "grid_row", "load_structures", "search_grids"]

COLUMNS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "id": ("", "id"),
        "gene": ("genes", "acronym"),
        "gene_name": ("genes", "name"),
        "entrez_id": ("genes", "entrez_id"),
        "plane": ("plane_of_section", "name"),
        "product": ("products", "abbreviation"),
        "product_id": ("products", "id"),
        "age": ("specimen.donor.age", "name"),
        "reference_space_id": ("", "reference_space_id"),
        "section_thickness_um": ("", "section_thickness"),
        "specimen_id": ("", "specimen_id"),
        "failed": ("", "failed"),
    }
)
"""Filters of ``list grid:``: the association each is on, and the service's name for it."""

_INCLUDED: Final = (
    "genes",
    "plane_of_section",
    "products",
    "reference_space",
    "specimen.donor.age",
)

GRAPHS: Final = {
    1: "adult mouse",
    10: "human",
    16: "developing human",
    17: "developing mouse",
}
"""Ontologies of brain-map.org by their graph id."""

_NAME: Final = "structures.json"


def search_grids(conditions: Iterable[Condition] = ()) -> Query:
    """Give the query for section data sets; those that failed are left out unless asked for.

    Parameters
    ----------
    conditions
        Filters by names of `COLUMNS`: ``gene=Pdyn``, ``plane=coronal``, ``product=Mouse``.

    Raises
    ------
    UsageError
        For a filter that is none of these.
    """
    wanted = list(conditions)
    search = Search.of("SectionDataSet")
    if not any(condition.field == "failed" for condition in wanted):
        search = search.where(failed=False)
    for condition in wanted:
        if condition.field not in COLUMNS:
            near = get_close_matches(condition.field, COLUMNS, 1)
            raise UsageError(
                f"section data sets have no '{condition.field}'",
                why="filters are " + ", ".join(COLUMNS),
                hint=near[0] if near else "",
            )
        path, field = COLUMNS[condition.field]
        told = Condition(field, condition.op, condition.value)
        search = search.where(path, told) if path else search.where(told)
    return search.include(*_INCLUDED).query


def grid_row(row: Mapping[str, Any]) -> Row:
    """Give a section data set as a flat row."""
    return DataSet.from_row(row).to_dict()


def describe_data_set(client: Client, data_set_id: int) -> tuple[Row, str]:
    """Ask what one section data set is; gives its row and the query.

    Raises
    ------
    NotFoundError
        If the service knows none.
    """
    query = Search.of("SectionDataSet").where(id=data_set_id).include(*_INCLUDED).query
    rows = list(client.rows(query, 1))
    if not rows:
        raise NotFoundError(
            "there is no such section data set",
            address=f"grid:{data_set_id}",
            hint="openallen list grid: gene=Pdyn",
        )
    return dict(rows[0]), str(query)


def load_structures(client: Client, graph_id: int, folder: Path) -> Structures:
    """Give an ontology: the one that is kept in `folder`, else asked for and kept there.

    Raises
    ------
    NotFoundError
        If the service has no such ontology.
    OfflineError
        If it is not here, and there is no network.
    """
    path = folder / _NAME
    try:
        kept = json.loads(path.read_text("utf-8"))
        if kept["source"] == client.source:
            return Structures.from_rows(kept["rows"], graph_id)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not here, or damaged: asked for anew
    rows = [dict(row) for row in client.rows(Search.of("Structure").where(graph_id=graph_id).query)]
    if not rows:
        known = ", ".join(f"{number} {name}" for number, name in GRAPHS.items())
        raise NotFoundError(
            "there is no such ontology", address=f"structures:{graph_id}", why=f"known are {known}"
        )
    found = Structures.from_rows(rows, graph_id)
    with suppress(StoreError):  # a store that cannot be written to: asked for again next time
        write_whole(path, json.dumps({"source": client.source, "rows": rows}).encode())
    return found
