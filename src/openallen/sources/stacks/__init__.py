"""One cell's brightfield image stack: found, planned, packaged, opened, converted."""

from openallen.sources.stacks.models import StackFacts
from openallen.sources.stacks.package import StackJob
from openallen.sources.stacks.plan import Options, parse_planes
from openallen.sources.stacks.read import ImageStack
from openallen.sources.stacks.search import describe, search_cells

__all__ = [
    "ImageStack",
    "Options",
    "StackFacts",
    "StackJob",
    "describe",
    "parse_planes",
    "search_cells",
]
