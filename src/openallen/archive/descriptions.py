"""``data_set.xml``: what an archive says of a section data set in the zip of its grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.sax.saxutils import escape

from openallen.archive.holdings import Holdings

__all__ = ["data_set_xml"]

_OWN: Final = ("failed", "id", "reference_space_id", "section_thickness", "specimen_id")
_GENE: Final = ("acronym", "entrez_id", "id", "name")
_PRODUCT: Final = ("abbreviation", "id", "name")


def data_set_xml(holdings: Holdings, number: int) -> str:
    """Return the description of a data set, by the rows of an archive.

    Parameters
    ----------
    holdings
        The archive.
    number
        Id of the data set.
    """
    row = holdings.row("data_sets", "id", number) or {"id": number}
    plane = holdings.row("plane_of_sections", "id", row.get("plane_of_section_id")) or {}
    space = holdings.row("reference_spaces", "id", row.get("reference_space_id")) or {}
    age = holdings.row("ages", "id", space.get("age_id")) or {}
    genes = _linked(holdings, number, "data_sets_genes", "gene_id", "genes")
    products = _linked(holdings, number, "data_sets_products", "product_id", "products")
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        "<section-data-set>",
        *_fields(row, _OWN),
        *_many("products", "product", products, _PRODUCT),
        *_many("genes", "gene", genes, _GENE),
        f"  <plane_of_section>{escape(str(plane.get('name') or ''))}</plane_of_section>",
        f"  <age>{escape(str(age.get('name') or ''))}</age>",
        "</section-data-set>",
    ]
    return "\n".join(lines) + "\n"


def _linked(
    holdings: Holdings, number: int, between: str, column: str, table: str
) -> list[Mapping[str, Any]]:
    links = holdings.rows(between, "data_set_id", number)
    rows = (holdings.row(table, "id", link[column]) for link in links)
    return [row for row in rows if row is not None]


def _many(
    outer: str, inner: str, rows: list[Mapping[str, Any]], names: tuple[str, ...]
) -> Iterator[str]:
    yield f"  <{outer}>"
    for row in rows:
        yield f"  <{inner}>"
        yield from _fields(row, names)
        yield f"  </{inner}>"
    yield f"  </{outer}>"


def _fields(row: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        value, tag = row.get(name), name.replace("_", "-")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        yield f'  <{tag} nil="true"/>' if value is None else f"  <{tag}>{escape(text)}</{tag}>"
