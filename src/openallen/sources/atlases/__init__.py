"""Expression grids, ontologies of structures, and where points of images lie in the brain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.lazy import exports

if TYPE_CHECKING:
    from openallen.sources.atlases.atlas import Atlas
    from openallen.sources.atlases.grids import ConnectivityGrid, ExpressionGrid
    from openallen.sources.atlases.models import DataSet
    from openallen.sources.atlases.reference_space import ReferenceSpace
    from openallen.sources.atlases.structure import Structure
    from openallen.sources.atlases.structure_sets import StructureSet
    from openallen.sources.atlases.structure_tree import StructureTree
    from openallen.sources.atlases.structures import Structures
    from openallen.sources.atlases.unionize import Unionizer

__all__ = [
    "Atlas",
    "ConnectivityGrid",
    "DataSet",
    "ExpressionGrid",
    "ReferenceSpace",
    "Structure",
    "StructureSet",
    "StructureTree",
    "Structures",
    "Unionizer",
]

__getattr__ = exports(
    __name__,
    {
        "Atlas": "atlas",
        "ConnectivityGrid": "grids",
        "DataSet": "models",
        "ExpressionGrid": "grids",
        "ReferenceSpace": "reference_space",
        "Structure": "structure",
        "StructureSet": "structure_sets",
        "StructureTree": "structure_tree",
        "Structures": "structures",
        "Unionizer": "unionize",
    },
)
