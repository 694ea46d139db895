"""Which data sets have section images, and what the service says of one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Final

from openallen.address import Condition
from openallen.brainmap.answers import Row
from openallen.brainmap.builder import Search
from openallen.brainmap.client import Client
from openallen.brainmap.language import Query
from openallen.brainmap.near import values_hint
from openallen.errors import NotFoundError
from openallen.near import nothing_matches, unknown_column
from openallen.sources.sections.record import SectionRecord, row_in, rows_in, thickness_of

__all__ = ["COLUMNS", "data_set_row", "describe", "no_data_sets", "search_data_sets"]

LIST: Final = "openallen list sections:"

COLUMNS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "id": ("", "id"),
        "gene": ("genes", "acronym"),
        "gene_name": ("genes", "name"),
        "entrez_id": ("genes", "entrez_id"),
        "plane": ("plane_of_section", "name"),
        "product": ("products", "abbreviation"),
        "product_id": ("products", "id"),
        "treatment": ("treatments", "name"),
        "age": ("specimen.donor.age", "name"),
        "injection": (
            "specimen.stereotaxic_injections.primary_injection_structure",
            "acronym",
        ),
        "expression": ("", "expression"),
        "failed": ("", "failed"),
        "reference_space_id": ("", "reference_space_id"),
        "section_thickness_um": ("", "section_thickness"),
        "specimen_id": ("", "specimen_id"),
    }
)
"""Filters of ``list sections:``: the association each is on, and the service's name for it."""

_ALSO: Final = {"plane_of_section": "plane"}
_INJECTION: Final = "specimen.stereotaxic_injections.primary_injection_structure"
_INCLUDED: Final = (
    "genes",
    "plane_of_section",
    "products",
    "treatments",
    "specimen.donor.age",
    _INJECTION,
)
_ALONE: Final = ("reference_space", "equalization", "alignment3d")


def search_data_sets(conditions: Iterable[Condition] = ()) -> Query:
    """Return the query for data sets with section images; failed ones only if asked for.

    Parameters
    ----------
    conditions
        Filters by names of `COLUMNS`: ``gene=Pdyn``, ``plane=coronal``, ``injection=VISp``.

    Raises
    ------
    UsageError
        For a column that does not exist, with the nearest one.
    """
    wanted = list(conditions)
    search = Search.of("SectionDataSet")
    if not any(condition.field == "failed" for condition in wanted):
        search = search.where(failed=False)
    for condition in wanted:
        name = _ALSO.get(condition.field, condition.field)
        if name not in COLUMNS:
            raise unknown_column(condition, COLUMNS, address="sections:", command=LIST)
        path, field = COLUMNS[name]
        one = Condition(field, condition.op, condition.value)
        search = search.where(path, one) if path else search.where(one)
    return search.include(*_INCLUDED).query


def no_data_sets(client: Client, conditions: Sequence[Condition]) -> NotFoundError:
    """Return the error for conditions no data set matches, with the values likely meant.

    Parameters
    ----------
    client
        Whom to ask for the values.
    conditions
        The conditions as given to `search_data_sets`.
    """
    places = {**COLUMNS, **{name: COLUMNS[other] for name, other in _ALSO.items()}}
    found = values_hint(client, search_data_sets(conditions), conditions, places)
    command = LIST + client.source_option
    return nothing_matches("sections:", conditions, found, command=command)


def data_set_row(row: Mapping[str, Any]) -> Row:
    """Return a section data set as a flat row, with the columns of `COLUMNS`."""

    def joined(name: str, column: str) -> str | None:
        told = {str(one[column]) for one in rows_in(row, name) if one.get(column)}
        return ",".join(sorted(told)) or None

    injections = rows_in(row_in(row, "specimen"), "stereotaxic_injections")
    where = {row_in(one, "primary_injection_structure").get("acronym") for one in injections}
    return {
        "id": row.get("id"),
        "gene": joined("genes", "acronym"),
        "gene_name": joined("genes", "name"),
        "entrez_id": joined("genes", "entrez_id"),
        "plane": row_in(row, "plane_of_section").get("name"),
        "product": joined("products", "abbreviation"),
        "product_id": joined("products", "id"),
        "treatment": joined("treatments", "name"),
        "age": row_in(row, "specimen", "donor", "age").get("name"),
        "injection": ",".join(sorted(str(name) for name in where if name)) or None,
        "expression": row.get("expression"),
        "failed": row.get("failed"),
        "reference_space_id": row.get("reference_space_id"),
        "section_thickness_um": thickness_of(row),
        "specimen_id": row.get("specimen_id"),
    }


def describe(client: Client, name: str) -> SectionRecord:
    """Return what the service says of a data set and of its images; two requests, side by side.

    Parameters
    ----------
    client
        Whom to ask.
    name
        The id of a section data set, or ``atlas-1``.

    Raises
    ------
    NotFoundError
        If there is no such data set, or it has no images.
    AnswerError
        If the service contradicts itself.
    """
    queries = _queries(name)
    with ThreadPoolExecutor(len(queries), thread_name_prefix="describe") as pool:
        asked = {what: pool.submit(list, client.rows(query)) for what, query in queries.items()}
        rows = {what: future.result() for what, future in asked.items()}
    if not rows["data_set"]:
        raise _no_data_set(client, name)
    record = SectionRecord(
        name=name,
        data_set=dict(rows["data_set"][0]),
        images=[dict(row) for row in rows["images"]],
        queries={what: str(query) for what, query in queries.items()},
        source=client.source,
        notes=client.notes,
        simulated=client.simulated,
    )
    if not record.sections:
        raise _no_images(client, record)
    return record


def _queries(name: str) -> dict[str, Query]:
    number = name.removeprefix("atlas-")
    if number != name:
        plates = Search.of("AtlasImage").where("atlas_data_set.atlases", id=int(number))
        return {
            "data_set": Search.of("Atlas").where(id=int(number)).query,
            "images": plates.where(annotated=True).query,
        }
    sets = Search.of("SectionDataSet").where(id=int(number))
    images = Search.of("SectionImage").where(data_set_id=int(number))
    return {
        "data_set": sets.include(*_INCLUDED, *_ALONE).query,
        "images": images.include("alignment2d").query,
    }


def _no_data_set(client: Client, name: str) -> NotFoundError:
    atlas = name.startswith("atlas-")
    what = "no such atlas" if atlas else "no such section data set"
    command = LIST + client.source_option
    if atlas:  # an archive may have no atlases to list
        command = "" if client.source_option else "openallen list rma:Atlas"
    return NotFoundError(what, address=f"sections:{name}", hint=command)


def _no_images(client: Client, record: SectionRecord) -> NotFoundError:
    """Return the error for a data set without images: a grid of it may be there all the same."""
    why = "the service lists no annotated plates" if record.is_atlas else "the service lists none"
    if client.source_option and not record.is_atlas:
        why = "this archive has none of them"
    return NotFoundError(
        "this atlas has no plates" if record.is_atlas else "this data set has no section images",
        address=record.address,
        why=why,
        hint=LIST + client.source_option,
    )
