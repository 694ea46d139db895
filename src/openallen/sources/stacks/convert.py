"""Convert a packaged stack to OME-Zarr: the z index of each plane, and sizes in µm."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.errors import NotFoundError
from openallen.formats.jpeg import inspect
from openallen.formats.omezarr import Geometry
from openallen.planes.convert import Conversion, ConvertOptions
from openallen.planes.images import Planes
from openallen.sources.stacks.manifest import Manifest, PlaneEntry
from openallen.version import __version__

if TYPE_CHECKING:
    from openallen.formats.omezarr.writer import PlaneSource

__all__ = ["conversion"]


def conversion(
    manifest: Manifest, planes: Planes[PlaneEntry], to: Path, options: ConvertOptions
) -> Conversion:
    """Prepare a conversion.

    Each section is placed at its depth. If only every n-th section is here, the distance between
    planes is n times larger; a section missing in between is not written and reads as 0.

    Parameters
    ----------
    manifest
        Manifest of the stack.
    planes
        Planes that are here.
    to
        Folder for ``<specimen>.ome.zarr``, or the store itself if its name ends in ``.zarr``.
    options
        Options.

    Raises
    ------
    NotFoundError
        If no plane has been fetched.
    """
    if not planes:
        raise NotFoundError(
            "no plane of this stack has been fetched",
            address=manifest.address,
            hint=f"openallen fetch {manifest.address}",
        )
    first = planes[0].section_number
    steps = [plane.section_number - first for plane in planes]
    every = math.gcd(*steps) or 1
    sources: list[PlaneSource | None] = [None] * (steps[-1] // every + 1)
    for plane, step in zip(planes, steps, strict=True):
        sources[step // every] = plane.jpeg
    facts = inspect(planes[0].jpeg())
    size_um = manifest.resolution_um_per_px * (1 << manifest.downsample)
    geometry = Geometry(
        width_px=facts.width_px,
        height_px=facts.height_px,
        planes=len(sources),
        channels=1 if options.gray else facts.components,
        x_um=size_um,
        y_um=size_um,
        z_um=manifest.z_step.um * every,
        first_z_um=planes[0].entry.z_um,
        chunk_px=options.chunk_px,
    )
    store = to if to.suffix == ".zarr" else to / f"{manifest.specimen_id}.ome.zarr"
    return Conversion(
        address=manifest.address,
        name=f"specimen {manifest.specimen_id}",
        attributes=_attributes(manifest, planes),
        here_bytes=sum(plane.entry.size_bytes or 0 for plane in planes),
        geometry=geometry,
        sources=tuple(sources),
        to=store,
        options=options,
    )


def _attributes(manifest: Manifest, planes: Planes[PlaneEntry]) -> dict[str, Any]:
    return {
        "made_by": f"openallen {__version__}",
        "address": manifest.address,
        "specimen_id": manifest.specimen_id,
        "source": manifest.source,
        "simulated": manifest.simulated,
        "z_step": {"um": manifest.z_step.um, "source": manifest.z_step.source},
        "sections": [plane.section_number for plane in planes],
        "citation": manifest.citation,
        "terms": manifest.terms,
    }
