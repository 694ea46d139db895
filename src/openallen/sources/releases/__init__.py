"""Versioned releases: every version of every file, with the digest it was published with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.lazy import exports

if TYPE_CHECKING:
    from openallen.sources.releases.by_address import open_release, open_session
    from openallen.sources.releases.cache import ReleaseCache
    from openallen.sources.releases.comparison import Comparison, compare
    from openallen.sources.releases.models import Manifest, Project, ReleaseFile, Version
    from openallen.sources.releases.projects import PROJECTS
    from openallen.sources.releases.read import Release

__all__ = [
    "Comparison",
    "Manifest",
    "PROJECTS",
    "Project",
    "Release",
    "ReleaseCache",
    "ReleaseFile",
    "Version",
    "compare",
    "open_release",
    "open_session",
]

__getattr__ = exports(
    __name__,
    {
        "Comparison": "comparison",
        "Manifest": "models",
        "PROJECTS": "projects",
        "Project": "models",
        "Release": "read",
        "ReleaseCache": "cache",
        "ReleaseFile": "models",
        "Version": "models",
        "compare": "comparison",
        "open_release": "by_address",
        "open_session": "by_address",
    },
)
