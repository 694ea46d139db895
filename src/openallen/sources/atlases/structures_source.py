"""The door of ontologies: ``structures:1/VISp``."""

from __future__ import annotations

from typing import ClassVar

from openallen.sources.base import Example, Source

__all__ = ["StructuresSource"]


class StructuresSource(Source):
    """An ontology of brain structures."""

    scheme: ClassVar[str] = "structures"
    title: ClassVar[str] = "an ontology of brain structures"
    numeric: ClassVar[bool] = True
    parts: ClassVar[bool] = True
    folder: ClassVar[str] = "structures"
    examples: ClassVar[tuple[Example, ...]] = (
        Example("structures:1", "the structures of the adult mouse"),
    )
