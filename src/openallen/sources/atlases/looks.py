"""What volumes without an object of their own look like, with the ontology beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from openallen.errors import OpenAllenError
from openallen.sources.atlases.atlas import Atlas
from openallen.sources.atlases.atlas_files import ANNOTATIONS, TEMPLATES, kind_of
from openallen.sources.atlases.frames import oriented
from openallen.sources.atlases.structures import Structures
from openallen.sources.atlases.visuals import frame_of, shown, slices_of_grid
from openallen.visuals import Structure, Visual, slices_of_volume

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["look_of_part", "look_of_volume", "structures_near"]


def structures_near(folder: Path) -> list[Structure]:
    """Return the ontology in a folder; nothing where there is none, or which is not clear.

    Parameters
    ----------
    folder
        The folder.
    """
    try:
        return shown(Atlas(folder).structures)
    except OpenAllenError:
        pass
    found = sorted(folder.glob("structure_graph_*.json"))
    try:
        return shown(Structures.from_graph(found[0].read_bytes())) if len(found) == 1 else []
    except (OpenAllenError, OSError):
        return []


def look_of_part(
    volume: xr.DataArray, folder: Path, part: str, cache: Path | None
) -> tuple[Visual, ...]:
    """Return the views of one volume of an atlas: the grid it is on, with this volume shown.

    Parameters
    ----------
    volume
        The volume.
    folder
        Of the atlas; it is opened anew, so that nothing holds `volume`.
    part
        What the volume is called there.
    cache
        As for `openallen.visuals.SlicesVisual`.
    """
    atlas = Atlas(folder)
    if part not in atlas.parts:  # made from others, as a mask is
        return (slices_of_volume(volume, lambda: structures_near(folder)),)
    atlas.cache = cache
    frame = frame_of(atlas, part)
    beside = [p for p in atlas.parts if kind_of(p) in (*ANNOTATIONS, *TEMPLATES)]
    parts = [p for p in dict.fromkeys((part, *beside)) if frame_of(atlas, p) == frame]
    visual = slices_of_grid(atlas, frame, parts)
    return (replace(visual, title=f"{atlas.name} {part}", first=(part.replace("/", "-"),)),)


def look_of_volume(volume: xr.DataArray, folder: Path) -> tuple[Visual, ...]:
    """Return the slices of a volume that is a file, with the ontology that lies beside it.

    Parameters
    ----------
    volume
        The volume.
    folder
        Where its file lies.
    """
    return (slices_of_volume(oriented(volume), lambda: structures_near(folder)),)
