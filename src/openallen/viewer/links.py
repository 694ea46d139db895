"""Where pages are: addresses of the web view for addresses of things."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from openallen.address import Address
from openallen.errors import OpenAllenError
from openallen.sources.registry import SCHEMES

__all__ = ["data_path", "item_path", "linked", "list_path", "outside"]

_WEB: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:\d+)?(/[^\s\"'<>\\]*)?")
_LONGEST: Final = 1000


def item_path(what: str) -> str:
    """Return the page of a thing; ``.html`` is added where ``.json`` would mean something else."""
    place = what.startswith("place/")
    path = ("/" if place else "/item/") + quote(what, safe="/:@,+=~!$'()*;")
    return f"{path}.html" if path.endswith((".json", ".html")) else path


def list_path(what: str) -> str:
    """Return the page of the rows of a scheme, or of what is in a thing: of ``grid:``."""
    path = "/list/" + quote(what.removesuffix(":"), safe="/:@,+=~!$'()*;")
    return f"{path}.html" if path.endswith((".json", ".html")) else path


def data_path(key: str, name: str) -> str:
    """Return where the answers of a view are."""
    return f"/v/{key}/{name}/"


def linked(text: str) -> str | None:
    """Return the page of what a text names, if it is an address of one of our schemes."""
    scheme, colon, rest = text.partition(":")
    known = SCHEMES.get(scheme) is not None
    if not colon or not rest or not known or any(c.isspace() for c in text):
        return None
    try:
        where = Address.parse(text)
    except OpenAllenError:
        return None
    return item_path(text) if where.name else list_path(text)


def outside(text: str) -> str | None:
    """Return a web address as a link that leaves the view; None for any other text."""
    plain = _WEB.fullmatch(text) is not None
    return text if plain and len(text) < _LONGEST else None
