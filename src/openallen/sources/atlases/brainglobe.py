"""To BrainGlobe and back, where ``brainglobe-atlasapi`` is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from openallen.sources.atlases.atlas import Atlas
from openallen.sources.atlases.brainglobe_layout import read_brainglobe

__all__ = ["from_brainglobe", "to_brainglobe"]


def to_brainglobe(atlas: Atlas, folder: Path, resolution_um: float | None = None) -> Any:
    """Write an atlas as BrainGlobe 3 lays its own out, and open it there.

    Parameters
    ----------
    atlas
        With an annotation and a template of the same voxel size.
    folder
        A folder that is made; it becomes BrainGlobe's root.
    resolution_um
        Voxel size; may be left out if there is only one.

    Returns
    -------
    brainglobe_atlasapi.core.Atlas
        Reading `folder`, without a network. There are no meshes in it.

    Raises
    ------
    RefusedError, UsageError, MissingExtraError
        As `openallen.sources.atlases.brainglobe_layout.write_brainglobe` does.
    """
    return atlas.to_brainglobe(folder, resolution_um)


def from_brainglobe(brainglobe: Any) -> Atlas:
    """Return an atlas that BrainGlobe has opened as one of this library's.

    Parameters
    ----------
    brainglobe
        A ``BrainGlobeAtlas``; its annotation and template are read now.

    Returns
    -------
    Atlas
        In memory, in the frame of this library (AP x DV x ML, PIR).

    Raises
    ------
    UsageError
        If its volumes do not begin at anterior, superior, right.
    """
    name, volumes, structures = read_brainglobe(brainglobe)
    return Atlas(name, volumes=volumes, structures=structures)
