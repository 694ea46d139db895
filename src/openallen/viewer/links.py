"""Where pages are: addresses of the web view for addresses of things."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from openallen.errors import OpenAllenError
from openallen.sources.registry import SCHEMES, find

__all__ = ["address_of_row", "data_path", "item_path", "linked", "list_path"]


def item_path(what: str) -> str:
    """Return the page of a thing; ``.html`` is added where ``.json`` would mean something else."""
    place = what.startswith("place/")
    path = ("/" if place else "/item/") + quote(what, safe="/:@,+=~!$'()*;")
    return f"{path}.html" if path.endswith((".json", ".html")) else path


def list_path(scheme: str) -> str:
    """Return the page that lists a scheme."""
    return f"/list/{quote(scheme, safe='')}"


def data_path(key: str, name: str) -> str:
    """Return where the answers of a view are."""
    return f"/v/{key}/{name}/"


def address_of_row(scheme: str, row: Mapping[str, Any], id_column: str) -> str | None:
    """Return the address of a listed row; None where it is not known.

    Parameters
    ----------
    scheme
        The scheme that was listed.
    row
        The row.
    id_column
        The column that names it.
    """
    told = row.get("address")
    if isinstance(told, str) and told:
        return told
    try:
        source = find(scheme)
    except OpenAllenError:
        return None
    name = row.get(id_column)
    if source is None or not source.numeric or isinstance(name, bool) or not isinstance(name, int):
        return None
    return f"{scheme}:{name}"


def linked(text: str) -> str | None:
    """Return the page of what a text names, if it is an address of one of our schemes."""
    scheme, colon, rest = text.partition(":")
    if not colon or not rest or scheme not in SCHEMES or any(c.isspace() for c in text):
        return None
    return item_path(text)
