"""AllenSDK's ``StructureTree``: the ontology of structures, under its own names."""

from __future__ import annotations

from openallen.sources.atlases.structure_tree import StructureTree

__all__ = ["StructureTree"]
