"""Finding: section data sets that have grids, and the structures of an ontology."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Condition
from openallen.brainmap.alignment import SetAlignment
from openallen.brainmap.builder import Search
from openallen.brainmap.near import values_hint
from openallen.errors import AnswerError, NotFoundError, SpaceError, StoreError, UsageError
from openallen.near import nothing_matches, unknown_column
from openallen.sources.atlases.models import DataSet
from openallen.sources.atlases.ontologies import GRAPHS, fetched_structures, no_ontology
from openallen.sources.atlases.structures import Structures
from openallen.store.disk import read_object, write_whole

if TYPE_CHECKING:
    from openallen.brainmap import Client
    from openallen.brainmap.answers import Row
    from openallen.brainmap.language import Query

__all__ = [
    "COLUMNS",
    "GRAPHS",
    "describe_data_set",
    "grid_row",
    "load_alignment",
    "load_structures",
    "no_grids",
    "search_grids",
]

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

_NAME: Final = "structures.json"
_LIST: Final = "openallen list grid:"


def search_grids(conditions: Iterable[Condition] = ()) -> Query:
    """Return the query for section data sets; failed ones are left out unless asked for.

    Parameters
    ----------
    conditions
        Filters by names of `COLUMNS`: ``gene=Pdyn``, ``plane=coronal``, ``product=Mouse``.

    Raises
    ------
    UsageError
        For a column or a plane of section that does not exist, with the nearest one.
    """
    wanted = list(conditions)
    search = Search.of("SectionDataSet")
    if not any(condition.field == "failed" for condition in wanted):
        search = search.where(failed=False)
    for condition in wanted:
        if condition.field not in COLUMNS:
            raise unknown_column(condition, COLUMNS, address="grid:", command=_LIST)
        path, field = COLUMNS[condition.field]
        one = Condition(field, condition.op, _spelled(condition))
        search = search.where(path, one) if path else search.where(one)
    return search.include(*_INCLUDED).query


def no_grids(client: Client, conditions: Sequence[Condition]) -> NotFoundError:
    """Return the error for conditions no data set matches, with the values likely meant.

    Genes are found whatever their case: ``gene=pdyn`` suggests ``gene=Pdyn``.

    Parameters
    ----------
    client
        Whom to ask for the values.
    conditions
        The conditions as given to `search_grids`.
    """
    found = values_hint(client, search_grids(conditions), conditions, COLUMNS)
    command = f"{_LIST}{client.source_option}"
    return nothing_matches("grid:", conditions, found, command=command)


_SPELLED: Final[Mapping[str, tuple[str, ...]]] = {
    "plane": ("coronal", "sagittal"),
    "product": ("Mouse", "DevMouse"),
}


def _spelled(condition: Condition) -> str | tuple[str, ...]:
    """Return planes and products as the service writes them, whatever their case.

    Raises
    ------
    UsageError
        For a plane of section that does not exist.
    """
    known = {word.lower(): word for word in _SPELLED.get(condition.field, ())}
    if not known or condition.op not in {"eq", "ne", "in"}:
        return condition.value
    given = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    if condition.field == "plane":
        for word in given:
            if word.lower() not in known:
                near = get_close_matches(word.lower(), known, 1)
                raise UsageError(
                    f"no plane of section '{word}'",
                    address="grid:",
                    why="values of plane: " + ", ".join(_SPELLED["plane"]),
                    hint=f"{_LIST} plane={near[0]}" if near else "",
                )
    found = tuple(known.get(word.lower(), word) for word in given)
    return found if isinstance(condition.value, tuple) else found[0]


def grid_row(row: Mapping[str, Any]) -> Row:
    """Return a section data set as a flat row."""
    return DataSet.from_row(row).to_dict()


def describe_data_set(client: Client, data_set_id: int) -> tuple[Row, str]:
    """Ask what one section data set is; return its row and the query.

    Raises
    ------
    NotFoundError
        If the service knows none.
    """
    query = Search.of("SectionDataSet").where(id=data_set_id).include(*_INCLUDED).query
    rows = list(client.rows(query, 1))
    if not rows:
        raise NotFoundError(
            "no such section data set",
            address=f"grid:{data_set_id}",
            hint="openallen list grid: gene=Pdyn",
        )
    return dict(rows[0]), str(query)


def load_structures(
    client: Client, graph_id: int, folder: Path, *, sets: bool = False
) -> Structures:
    """Return an ontology: the one that is kept or fetched in `folder`, else asked for and kept.

    Parameters
    ----------
    client
        Whom to ask.
    graph_id
        The ontology.
    folder
        Where it is kept.
    sets
        Whether it must say which structure sets structures are in; the file that a fetch brings
        does not.

    Raises
    ------
    NotFoundError
        If the service has no such ontology.
    OfflineError
        If it is not here, and there is no network.
    """
    kept = _kept(folder / _NAME, client.source)
    if kept is not None and (kept.get("sets") or not sets):
        with suppress(AnswerError, KeyError, TypeError):
            return Structures.from_rows(kept["rows"], graph_id)
    fetched = None if sets else fetched_structures(folder, graph_id, client.source)
    if fetched is not None:
        return fetched
    query = Search.of("Structure").where(graph_id=graph_id).include("structure_sets").query
    rows = [dict(row) for row in client.rows(query)]
    if not rows:
        raise no_ontology(graph_id)
    found = Structures.from_rows(rows, graph_id)
    _keep(folder / _NAME, {"source": client.source, "sets": True, "rows": rows})
    return found


def _kept(path: Path, source: str) -> dict[str, Any] | None:
    """Return what was kept of a source; None where nothing was, or it is damaged."""
    told = read_object(path)
    return told if told.get("source") == source else None


def _keep(path: Path, told: Mapping[str, Any]) -> None:
    # In a store that cannot be written to: asked for again next time.
    with suppress(StoreError, SpaceError):
        write_whole(path, json.dumps(told).encode())


def load_alignment(client: Client, data_set_id: int, folder: Path) -> SetAlignment:
    """Return where the images of a section data set lie: from rows in `folder`, else asked for.

    Raises
    ------
    NotFoundError
        If there is no such data set, or it is not aligned.
    AnswerError
        If a row lacks a number.
    OfflineError
        If they are not here, and there is no network.
    """
    path = folder / f"alignment_{data_set_id}.json"
    kept = _kept(path, client.source)
    if kept is not None:
        with suppress(AnswerError, UsageError, KeyError, TypeError):
            return SetAlignment.of(kept["data_set"], kept["images"])
    rows, sections = _aligned_rows(client, data_set_id)
    aligned = [row for row in sections if row.get("alignment2d")]
    if not aligned or not rows[0].get("alignment3d"):
        raise NotFoundError(
            "this section data set is not aligned" if rows else "no such data set",
            address=f"grid:{data_set_id}",
        )
    found = SetAlignment.of(rows[0], aligned)
    wanted = ("id", "section_number", "alignment2d")
    told = [{name: row[name] for name in wanted} for row in aligned]
    _keep(path, {"source": client.source, "data_set": dict(rows[0]), "images": told})
    return found


def _aligned_rows(
    client: Client, data_set_id: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the row of a data set and those of its images; of an atlas, its annotated plates."""
    for model, image in (("SectionDataSet", "SectionImage"), ("AtlasDataSet", "AtlasImage")):
        sets = Search.of(model).where(id=data_set_id).include("alignment3d")
        rows = [dict(row) for row in client.rows(sets.query, 1)]
        if not rows:
            continue
        images = Search.of(image).where(data_set_id=data_set_id)
        images = images.where(annotated=True) if image == "AtlasImage" else images
        found = [dict(row) for row in client.rows(images.include("alignment2d").query)]
        return rows, found
    return [], []
