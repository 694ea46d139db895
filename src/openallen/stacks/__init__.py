"""One cell's brightfield image stack: found, planned, packaged, opened, converted."""

from openallen.stacks.models import StackFacts
from openallen.stacks.package import StackJob
from openallen.stacks.plan import Options, parse_planes
from openallen.stacks.read import ImageStack
from openallen.stacks.search import describe, search_cells

__all__ = [
    "ImageStack",
    "Options",
    "StackFacts",
    "StackJob",
    "describe",
    "parse_planes",
    "search_cells",
]
