"""A packaged stack to OME-Zarr: which plane goes to which z, at which size in µm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError, OpenAllenError, RefusedError, UsageError
from openallen.formats.jpeg import inspect
from openallen.formats.omezarr import Converted, Geometry, write_stack
from openallen.sources.stacks.manifest import Manifest
from openallen.sources.stacks.planes import Planes
from openallen.store import Leases
from openallen.store.disk import disk_error
from openallen.version import __version__

if TYPE_CHECKING:
    from openallen.formats.omezarr.writer import PlaneSource

__all__ = ["ConvertOptions", "Conversion", "conversion"]

# Share of the decoded bytes that is left of a bright-field plane at zstd 1, and what the levels
# above the first add: a quarter, and a quarter of that.
_KEPT_SHARE: Final = 0.75
_LEVELS_ABOVE: Final = 4 / 3


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """How a stack is converted.

    Parameters
    ----------
    gray
        Luminance alone; colour as it is stored otherwise.
    keep_jpeg
        Keep the JPEGs as they are for the first level, JPEG tiles above.
    chunk_px
        Side of a chunk.
    compression_level
        Of zstd, without `keep_jpeg`.
    overwrite
        Replace a store that is there.
    jobs
        Planes worked on at once; 0 for one on each core as far as they fit in 1 GB.
    """

    gray: bool = False
    keep_jpeg: bool = False
    chunk_px: int = 512
    compression_level: int = 1
    overwrite: bool = False
    jobs: int = 0

    def __post_init__(self) -> None:
        if self.chunk_px % 16 or not 64 <= self.chunk_px <= 4096:
            raise UsageError("chunks have a side from 64 to 4096 pixels, a multiple of 16")
        if not 1 <= self.compression_level <= 22:
            raise UsageError("zstd knows levels 1 to 22")
        if self.jobs < 0:
            raise UsageError("jobs are 1 or more, or 0 for as many as fit")
        if self.gray and self.keep_jpeg:
            raise UsageError("JPEGs that are kept as they are keep their colour")


@dataclass(frozen=True)
class Conversion:
    """One stack about to be converted.

    Parameters
    ----------
    manifest
        What the stack is.
    planes
        Those that are here.
    geometry
        Size in pixels and µm.
    sources
        A plane for each z, None where one is missing.
    to
        The store to make.
    options
        How.
    """

    manifest: Manifest
    planes: Planes
    geometry: Geometry
    sources: tuple[PlaneSource | None, ...]
    to: Path
    options: ConvertOptions

    @property
    def likely_bytes(self) -> int:
        """A guess of the store's size."""
        g = self.geometry
        if self.options.keep_jpeg:
            here = sum(plane.entry.size_bytes or 0 for plane in self.planes)
            return int(here * _LEVELS_ABOVE)
        raw = g.width_px * g.height_px * g.channels * sum(s is not None for s in self.sources)
        return int(raw * _KEPT_SHARE * _LEVELS_ABOVE)

    def run(self, done: Callable[[int], object] = lambda _: None) -> Converted:
        """Convert, telling `done` of each plane.

        Raises
        ------
        RefusedError
            If the store is there and may not be replaced, or another process is writing it.
        CorruptError
            If a plane is damaged, does not decode, or is of another size than the first.
        SpaceError, StoreError
            If it cannot be written.
        """
        leases = Leases()
        try:
            self.to.parent.mkdir(parents=True, exist_ok=True)
            if leases.take(self.to) is None:
                raise RefusedError(
                    "this store is being written",
                    address=str(self.to),
                    why=f"{leases.holder(self.to)} is at it",
                    hint="wait for it, or choose another place with --to DIR",
                )
            return write_stack(
                self.sources,
                self.geometry,
                self.to,
                name=f"specimen {self.manifest.specimen_id}",
                keep_jpeg=self.options.keep_jpeg,
                compression_level=self.options.compression_level,
                attributes=self._attributes(),
                overwrite=self.options.overwrite,
                workers=self.options.jobs or None,
                done=done,
            )
        except OSError as error:
            if isinstance(error, OpenAllenError):
                raise
            raise disk_error(error, self.to) from error
        finally:
            leases.close()

    def _attributes(self) -> dict[str, Any]:
        manifest = self.manifest
        return {
            "made_by": f"openallen {__version__}",
            "address": manifest.address,
            "specimen_id": manifest.specimen_id,
            "source": manifest.source,
            "simulated": manifest.simulated,
            "z_step": {"um": manifest.z_step.um, "source": manifest.z_step.source},
            "sections": [plane.section_number for plane in self.planes],
            "citation": manifest.citation,
            "terms": manifest.terms,
        }


def conversion(manifest: Manifest, planes: Planes, to: Path, options: ConvertOptions) -> Conversion:
    """Get a conversion ready.

    Sections are put at their depth. Where only every n-th is here, the distance between planes
    grows n-fold; a section missing in between is left out of the store and reads as 0.

    Parameters
    ----------
    manifest
        What the stack is.
    planes
        Those that are here.
    to
        A folder to make ``<specimen>.ome.zarr`` in, or the store itself if it ends in ``.zarr``.
    options
        How.

    Raises
    ------
    NotFoundError
        If no plane is here.
    """
    if not planes:
        raise NotFoundError("no plane of this stack is here", address=manifest.address)
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
        first_z_um=planes[0].z_um,
        chunk_px=options.chunk_px,
    )
    store = to if to.suffix == ".zarr" else to / f"{manifest.specimen_id}.ome.zarr"
    return Conversion(manifest, planes, geometry, tuple(sources), store, options)
