"""Visual Coding: tables that are made by joins, or of rows of the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from openallen.sources.releases.observatory.neuropixels import NeuropixelsRelease
from openallen.sources.releases.observatory.two_photon import TwoPhotonRelease
from openallen.sources.releases.read import Release

__all__ = ["NeuropixelsRelease", "TwoPhotonRelease", "release_class"]

_CLASSES: Final[Mapping[str, type[Release]]] = {
    "visual-coding-neuropixels": NeuropixelsRelease,
    "visual-coding-2p": TwoPhotonRelease,
}


def release_class(project: str) -> type[Release]:
    """Return the class whose objects are the opened releases of a project.

    Parameters
    ----------
    project
        The name of the project.
    """
    return _CLASSES.get(project, Release)
