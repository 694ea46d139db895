"""Versioned releases: every version of every file, with the digest it was published with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.lazy import exports

if TYPE_CHECKING:
    from openallen.sources.releases.cache import ReleaseCache
    from openallen.sources.releases.comparison import Comparison, compare
    from openallen.sources.releases.maintenance import adopt, held, prune, verify
    from openallen.sources.releases.models import Manifest, Project, ReleaseFile, Version
    from openallen.sources.releases.opening import open_release, open_session
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
    "adopt",
    "compare",
    "held",
    "open_release",
    "open_session",
    "prune",
    "verify",
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
        "adopt": "maintenance",
        "compare": "comparison",
        "held": "maintenance",
        "open_release": "opening",
        "open_session": "opening",
        "prune": "maintenance",
        "verify": "maintenance",
    },
)
