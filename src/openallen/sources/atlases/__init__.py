"""Expression grids, ontologies of structures, and where points of images lie in the brain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.lazy import exports

if TYPE_CHECKING:
    from openallen.sources.atlases.atlas import Atlas
    from openallen.sources.atlases.grids import ConnectivityGrid, ExpressionGrid
    from openallen.sources.atlases.models import DataSet
    from openallen.sources.atlases.structures import Structure, Structures
    from openallen.sources.atlases.unionize import Unionizer

__all__ = [
    "Atlas",
    "ConnectivityGrid",
    "DataSet",
    "ExpressionGrid",
    "Structure",
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
        "Structure": "structures",
        "Structures": "structures",
        "Unionizer": "unionize",
    },
)
