"""Converting planes to OME-Zarr: what can be chosen, and one conversion, prepared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.cluster import connect
from openallen.errors import OpenAllenError, RefusedError, UsageError
from openallen.formats.omezarr import Converted, Geometry, write_stack
from openallen.store import Leases
from openallen.store.disk import disk_error

if TYPE_CHECKING:
    from openallen.formats.omezarr.writer import PlaneSource

__all__ = ["Conversion", "ConvertOptions"]

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
    address
        What is converted.
    name
        Name shown by viewers.
    attributes
        What is written beside the image, under the key ``openallen``.
    here_bytes
        Bytes of the planes that are here.
    geometry
        Size of the store in pixels and µm.
    sources
        For each z the plane's JPEG or pixels, None where a section is missing.
    to
        Path of the store.
    options
        Options.
    """

    address: str
    name: str
    attributes: Mapping[str, Any]
    here_bytes: int
    geometry: Geometry
    sources: tuple[PlaneSource | None, ...]
    to: Path
    options: ConvertOptions

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.geometry.shape(0)))
        axes = "".join(self.geometry.axes)
        return f"conversion of {self.address} to {self.to}, {shape} ({axes})"

    @property
    def likely_bytes(self) -> int:
        """Estimated size of the store in bytes."""
        g = self.geometry
        if self.options.keep_jpeg:
            return int(self.here_bytes * _LEVELS_ABOVE)
        raw = g.width_px * g.height_px * g.channels * sum(s is not None for s in self.sources)
        return int(raw * _KEPT_SHARE * _LEVELS_ABOVE)

    def run(
        self, done: Callable[[int], object] = lambda _: None, *, client: Any = None
    ) -> Converted:
        """Convert; `done` is called with the z of each finished plane.

        Parameters
        ----------
        done
            Is called with the z of each finished plane.
        client
            A cluster whose workers convert the planes, named as for `openallen.fetch`: address or
            file of a scheduler, ``local:N``, client, or cluster (needs the extra ``cluster``). They
            must see the folder of the stack and that of the store. The bytes written are the same.

        Raises
        ------
        RefusedError
            If the store exists and may not be replaced, or another process is writing it.
        CorruptError
            If a plane is damaged, does not decode, or differs in size from the first.
        SpaceError, StoreError
            If it cannot be written, or a worker does not see its folder.
        UnreachableError
            If the cluster is not there, or is lost.
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
            with nullcontext() if client is None else connect(client) as connected:
                return write_stack(
                    self.sources,
                    self.geometry,
                    self.to if client is None else self.to.absolute(),
                    name=self.name,
                    keep_jpeg=self.options.keep_jpeg,
                    compression_level=self.options.compression_level,
                    attributes=self.attributes,
                    overwrite=self.options.overwrite,
                    workers=self.options.jobs or None,
                    done=done,
                    client=connected,
                )
        except OSError as error:
            if isinstance(error, OpenAllenError):
                raise
            raise disk_error(error, self.to) from error
        finally:
            leases.close()
