"""Expression grids, ontologies of structures, and where points of images lie in the brain."""

from openallen.sources.atlases.atlas import Atlas
from openallen.sources.atlases.grids import ConnectivityGrid, ExpressionGrid
from openallen.sources.atlases.models import DataSet
from openallen.sources.atlases.structures import Structure, Structures
from openallen.sources.atlases.sync import ImageAlignment, Nearest, SetAlignment
from openallen.sources.atlases.unionize import Unionizer

__all__ = [
    "Atlas",
    "ConnectivityGrid",
    "DataSet",
    "ExpressionGrid",
    "ImageAlignment",
    "Nearest",
    "SetAlignment",
    "Structure",
    "Structures",
    "Unionizer",
]
