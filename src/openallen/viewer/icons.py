"""Drawings that stand for a kind of view, where a thing has no picture of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from openallen.viewer.answers import Answer

__all__ = ["NO_PICTURE", "icon"]

# Each in a box of 48 x 36.
_DRAWINGS: Final[Mapping[str, str]] = {
    "stack": "M14 10h18v14h-18zM18 14h18v14h-18z",
    "cell": "M21 18a3 3 0 1 0 6 0a3 3 0 1 0-6 0M24 15V5M24 21v10M21 18l-9-6M27 18l9 5M24 10l5-4",
    "slices": "M24 6l13 7v10l-13 7l-13-7v-10zM11 13l13 7l13-7M24 20v10",
    "traces": "M8 20l4-6 3 10 4-16 4 18 4-10 3 5 4-9 6 6",
    "raster": "M10 9v4M16 9v4M25 9v4M36 9v4M12 16v4M21 16v4M29 16v4M9 23v4M18 23v4M26 23v4M34 23v4",
    "table": "M10 8h28v20h-28zM10 15h28M10 21h28M20 8v20",
    "graph": "M9 14h9v8h-9zM30 6h9v8h-9zM30 22h9v8h-9zM18 18l12-8M18 18l12 8",
    "": "M15 6h13l6 6v18h-19zM28 6v6h6",
}

NO_PICTURE: Final = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 3" width="160" height="120"></svg>'
)
"""A picture of nothing."""


def icon(kind: str) -> Answer:
    """Return the drawing of a kind of view; a sheet of paper where there is none.

    Parameters
    ----------
    kind
        The kind.
    """
    path = _DRAWINGS.get(kind, _DRAWINGS[""])
    body = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-36 -27 120 90" width="240" height="180">'
        f'<path d="{path}" fill="none" stroke="#7b8790" stroke-width="1.2" stroke-linejoin="round" '
        'stroke-linecap="round"/></svg>'
    )
    return Answer(body=body.encode(), media="image/svg+xml")
