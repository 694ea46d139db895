"""Versioned releases: every version of every file, with the digest it was published with."""

from openallen.sources.releases.cache import ReleaseCache
from openallen.sources.releases.compare import Comparison, compare
from openallen.sources.releases.models import Manifest, Project, ReleaseFile, Version
from openallen.sources.releases.projects import PROJECTS
from openallen.sources.releases.read import Release

__all__ = [
    "PROJECTS",
    "Comparison",
    "Manifest",
    "Project",
    "Release",
    "ReleaseFile",
    "ReleaseCache",
    "Version",
    "compare",
]
