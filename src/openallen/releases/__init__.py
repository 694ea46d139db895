"""Versioned releases: every version of every file, with the digest it was published with."""

from openallen.releases.compare import Comparison, compare
from openallen.releases.models import Manifest, Project, ReleaseFile, Version
from openallen.releases.projects import PROJECTS
from openallen.releases.read import Release
from openallen.releases.shelf import Shelf

__all__ = [
    "PROJECTS",
    "Comparison",
    "Manifest",
    "Project",
    "Release",
    "ReleaseFile",
    "Shelf",
    "Version",
    "compare",
]
