"""The door of versioned releases: ``release:visual-behavior-ophys@1.0.1``."""

from __future__ import annotations

from typing import ClassVar

from openallen.sources.base import Example, Source

__all__ = ["ReleaseSource"]


class ReleaseSource(Source):
    """A versioned release."""

    scheme: ClassVar[str] = "release"
    title: ClassVar[str] = "a versioned release"
    versions: ClassVar[bool] = True
    parts: ClassVar[bool] = True
    folder: ClassVar[str] = "releases"
    examples: ClassVar[tuple[Example, ...]] = (
        Example("release:visual-behavior-ophys@1.0.1", "one version, whole"),
    )
