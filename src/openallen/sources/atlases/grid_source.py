"""The door of expression and projection grids: ``grid:69855739``."""

from __future__ import annotations

from typing import ClassVar

from openallen.sources.base import Example, Source

__all__ = ["GridSource"]


class GridSource(Source):
    """Expression grid of a section data set."""

    scheme: ClassVar[str] = "grid"
    title: ClassVar[str] = "expression grid of a section data set"
    numeric: ClassVar[bool] = True
    folder: ClassVar[str] = "grids"
    examples: ClassVar[tuple[Example, ...]] = (
        Example("grid:69855739", "expression of Pdyn in the adult mouse"),
    )
