"""Convert a packaged stack to OME-Zarr: the z index of each plane, and sizes in µm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError, OpenAllenError, RefusedError, UsageError
from openallen.formats.jpeg import inspect
from openallen.formats.omezarr import Converted, Geometry, write_stack
from openallen.planes.images import Planes
from openallen.sources.stacks.manifest import Manifest, PlaneEntry
from openallen.store import Leases
from openallen.store.disk import disk_error
from openallen.version import __version__

if TYPE_CHECKING:
    from openallen.formats.omezarr.writer import PlaneSource

__all__ = ["ConvertOptions", "Conversion", "conversion"]

# Compressed share of the decoded bytes of a bright-field plane at zstd 1, and the factor for the
# levels above the first: 1 + 1/4 + 1/16 + …
_KEPT_SHARE: Final = 0.75
_LEVELS_ABOVE: Final = 4 / 3


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Options of a conversion.

    Parameters
    ----------
    gray
        Luminance only; else the colours of the planes.
    keep_jpeg
        Store the JPEGs unchanged as level 0, and JPEG tiles at the levels above.
    chunk_px
        Side of a chunk in pixels.
    compression_level
        Compression level of zstd; not used with `keep_jpeg`.
    overwrite
        Replace an existing store.
    jobs
        Planes converted in parallel; 0 for one per core, as far as they fit in 1 GB.
    """

    gray: bool = False
    keep_jpeg: bool = False
    chunk_px: int = 512
    compression_level: int = 1
    overwrite: bool = False
    jobs: int = 0

    def __post_init__(self) -> None:
        if self.chunk_px % 16 or not 64 <= self.chunk_px <= 4096:
            raise UsageError("chunk_px must be a multiple of 16 from 64 to 4096")
        if not 1 <= self.compression_level <= 22:
            raise UsageError("the compression level of zstd must be from 1 to 22")
        if self.jobs < 0:
            raise UsageError("jobs must be 1 or more, or 0 for as many as fit")
        if self.gray and self.keep_jpeg:
            raise UsageError("gray and keep_jpeg exclude each other")


@dataclass(frozen=True, repr=False)
class Conversion:
    """One conversion, prepared.

    Parameters
    ----------
    manifest
        Manifest of the stack.
    planes
        Planes that are here.
    geometry
        Size of the store in pixels and µm.
    sources
        For each z the plane's JPEG, None where a section is missing.
    to
        Path of the store.
    options
        Options.
    """

    manifest: Manifest
    planes: Planes[PlaneEntry]
    geometry: Geometry
    sources: tuple[PlaneSource | None, ...]
    to: Path
    options: ConvertOptions

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.geometry.shape(0)))
        axes = "".join(self.geometry.axes)
        return f"conversion of {self.manifest.address} to {self.to}, {shape} ({axes})"

    @property
    def likely_bytes(self) -> int:
        """Estimated size of the store in bytes."""
        g = self.geometry
        if self.options.keep_jpeg:
            here = sum(plane.entry.size_bytes or 0 for plane in self.planes)
            return int(here * _LEVELS_ABOVE)
        raw = g.width_px * g.height_px * g.channels * sum(s is not None for s in self.sources)
        return int(raw * _KEPT_SHARE * _LEVELS_ABOVE)

    def run(self, done: Callable[[int], object] = lambda _: None) -> Converted:
        """Convert; `done` is called with the z of each finished plane.

        Raises
        ------
        RefusedError
            If the store exists and may not be replaced, or another process is writing it.
        CorruptError
            If a plane is damaged, does not decode, or differs in size from the first.
        SpaceError, StoreError
            If it cannot be written.
        """
        leases = Leases()
        try:
            self.to.parent.mkdir(parents=True, exist_ok=True)
            if leases.take(self.to) is None:
                raise RefusedError(
                    "another process is writing this store",
                    address=str(self.to),
                    why=str(leases.holder(self.to)),
                    hint="wait for it, or choose another folder with --to DIR",
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
    return Conversion(manifest, planes, geometry, tuple(sources), store, options)
