"""Expression grids, ontologies of structures, and where points of images lie in the brain."""

from openallen.atlases.atlas import Atlas
from openallen.atlases.grids import ConnectivityGrid, ExpressionGrid
from openallen.atlases.models import DataSet
from openallen.atlases.structures import Structure, Structures
from openallen.atlases.sync import ImageAlignment, Nearest, SetAlignment
from openallen.atlases.unionize import Unionizer

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
