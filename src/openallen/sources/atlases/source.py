"""The door of atlases: ``atlas:ccf-2017/annotation/25``."""

from __future__ import annotations

from typing import ClassVar

from openallen.sources.base import Example, Source

__all__ = ["AtlasSource"]


class AtlasSource(Source):
    """Volumes of a reference space."""

    scheme: ClassVar[str] = "atlas"
    title: ClassVar[str] = "volumes of a reference space"
    parts: ClassVar[bool] = True
    folder: ClassVar[str] = "atlases"
    examples: ClassVar[tuple[Example, ...]] = (
        Example("atlas:ccf-2017/annotation/25", "the annotation at 25 µm"),
    )
