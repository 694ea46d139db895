"""One cell's brightfield image stack: found, planned, packaged, opened, converted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.lazy import exports

if TYPE_CHECKING:
    from openallen.sources.stacks.models import StackFacts
    from openallen.sources.stacks.options import Options, parse_planes
    from openallen.sources.stacks.package import StackJob
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

__getattr__ = exports(
    __name__,
    {
        "ImageStack": "read",
        "Options": "options",
        "StackFacts": "models",
        "StackJob": "package",
        "describe": "search",
        "parse_planes": "options",
        "search_cells": "search",
    },
)
