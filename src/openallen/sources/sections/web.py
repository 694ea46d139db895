"""Web addresses of the institute's portals that mean the images of one data set, or an atlas."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from openallen.address import Address

if TYPE_CHECKING:
    from openallen.web_address import WebAddress

__all__ = ["sections_address"]

_VIEWER: Final = re.compile(r"(?:/[a-z]+)*/(?:experiment/)?siv/?")
_HUMAN: Final = re.compile(r"(?:/[a-z]+)?/experiment/(?:show|thumbnails)/(\d+)/?")
_ATLAS: Final = re.compile(r"/atlas/?")
_OTHERS: Final = frozenset({"human.brain-map.org", "blueprintnhpatlas.org"})
"""Portals whose data sets have images and no grids: elsewhere such a page means the grid."""


def sections_address(web: WebAddress) -> Address | None:
    """Return the address of the images that a page of a portal shows; None where it shows none.

    The page of a data set of the mouse (``/experiment/show/ID``) means its grid.
    """
    told = dict(web.query)
    portal = web.host.endswith(".brain-map.org")
    if portal and _VIEWER.fullmatch(web.path) and told.get("id", "").isdigit():
        return Address("sections", told["id"])
    if web.host in _OTHERS and (found := _HUMAN.fullmatch(web.path)):
        return Address("sections", found[1])
    if web.host == "atlas.brain-map.org" and _ATLAS.fullmatch(web.path):
        number = told.get("atlas", "")
        return Address("sections", f"atlas-{number}") if number.isdigit() else None
    return None
