"""One cell's brightfield image stack: found, planned, packaged, opened, converted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.lazy import exports

if TYPE_CHECKING:
    from openallen.sources.stacks.models import StackFacts
    from openallen.sources.stacks.options import Options, parse_planes
    from openallen.sources.stacks.package import StackJob, repair_job
    from openallen.sources.stacks.read import ImageStack
    from openallen.sources.stacks.recorded import repair_command, verify_stack
    from openallen.sources.stacks.search import describe, search_cells

__all__ = [
    "ImageStack",
    "Options",
    "StackFacts",
    "StackJob",
    "describe",
    "parse_planes",
    "repair_command",
    "repair_job",
    "search_cells",
    "verify_stack",
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
        "repair_command": "recorded",
        "repair_job": "package",
        "search_cells": "search",
        "verify_stack": "recorded",
    },
)
