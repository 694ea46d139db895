"""What the service lists for a cell's image stack: planes, projections, reconstructions.

Frame: x to the right and y down in the image, z through the slice, in the order of the sections.
The origin is the centre of pixel (0, 0) of the first section; lengths are micrometres.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from openallen.brainmap.files import WellKnownFile
from openallen.display import bytes_text, count_text, facts_text
from openallen.planes.rows import Plane, RowReader
from openallen.plans import safe_name

__all__ = [
    "CITATION",
    "TERMS",
    "Plane",
    "Projection",
    "Reconstruction",
    "StackFacts",
    "ZStep",
]

CITATION: Final = (
    "Allen Institute for Brain Science. Allen Cell Types Database. https://celltypes.brain-map.org"
)
TERMS: Final = "Allen Institute Terms of Use: https://alleninstitute.org/terms-of-use"
WHITEPAPER_Z_STEP_UM: Final = 0.28
"""Distance between planes of the 63x stacks, from the whitepaper of the Cell Types Database."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Projection:
    """One projection of a stack: a row of the model ProjectionImage.

    Parameters
    ----------
    id
        Id of the image.
    function
        ``min`` or ``max``.
    axes
        ``xy`` (seen from the front) or ``yz`` (from the side; x of that image is depth,
        resampled to the pixel size of the planes).
    width_px, height_px
        Size at full resolution.
    resolution_um_per_px
        Size of a pixel, in µm.
    server_path
        Path on the server.
    """

    id: int
    function: str
    axes: str
    width_px: int
    height_px: int
    resolution_um_per_px: float
    server_path: str

    def __repr__(self) -> str:
        size = f"{self.width_px} x {self.height_px} px"
        return f"{self.function} {self.axes} projection, {size}"

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Projection:
        """Read a row of the model ProjectionImage.

        Raises
        ------
        AnswerError
            If a field is missing or of the wrong type.
        """
        read = RowReader(row, "ProjectionImage")
        return cls(
            id=read.whole("id"),
            function=safe_name(read.text("projection_function"), "unknown"),
            axes=safe_name(read.text("axes"), "unknown"),
            width_px=read.whole("width"),
            height_px=read.whole("height"),
            resolution_um_per_px=read.number("resolution"),
            server_path=read.text("path"),
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Reconstruction:
    """A reconstruction of the cell: a row of the model NeuronReconstruction with its files.

    Parameters
    ----------
    id
        Id of the reconstruction.
    kind
        ``full`` or ``dendrite-only``.
    scale_factor_z_um
        Distance between planes it was traced with, in µm; None where unknown.
    files
        Well-known files of the reconstruction.
    """

    id: int
    kind: str
    scale_factor_z_um: float | None
    files: tuple[WellKnownFile, ...]

    def __repr__(self) -> str:
        kind = f"{self.kind} reconstruction" if self.kind else "reconstruction"
        return f"{kind} {self.id}, {count_text(len(self.files), 'file')}"

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Reconstruction:
        """Read a row of the model NeuronReconstruction that nests its well-known files.

        Raises
        ------
        AnswerError
            If it has no id.
        """
        scale = row.get("scale_factor_z")
        return cls(
            id=RowReader(row, "NeuronReconstruction").whole("id"),
            kind=row.get("neuron_reconstruction_type") or "",
            scale_factor_z_um=float(scale) if scale else None,
            files=tuple(WellKnownFile.from_row(f) for f in row.get("well_known_files") or ()),
        )


@dataclass(frozen=True, slots=True)
class ZStep:
    """The distance between planes in µm, and its source."""

    um: float
    source: str


@dataclass(frozen=True, kw_only=True, repr=False)
class StackFacts:
    """What the service lists for a stack; nothing of it need be fetched.

    Parameters
    ----------
    specimen_id
        Id of the cell.
    specimen
        Row of the model ApiCellTypesSpecimenDetail; empty where there is none.
    data_set_id
        Id of the data set of the planes.
    planes
        All planes, in the order of the sections.
    planes_expected
        Number of planes by the service's own count.
    projections, reconstructions
        Projections and reconstructions of the cell.
    z_step
        The distance between planes.
    queries
        RMA queries, by what they were for.
    source
        ``live``, ``sample``, or the folder or URL of an archive.
    notes
        Notes of the service (an archive that has only a part).
    """

    specimen_id: int
    specimen: Mapping[str, Any]
    data_set_id: int
    planes: tuple[Plane, ...]
    planes_expected: int
    projections: tuple[Projection, ...]
    reconstructions: tuple[Reconstruction, ...]
    z_step: ZStep
    queries: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    source: str = "live"
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        first = self.planes[0] if self.planes else None
        projections = ", ".join(f"{p.function} {p.axes}" for p in self.projections)
        facts = {
            "planes": f"{len(self.planes)} of {self.planes_expected}",
            "size": first and f"{first.width_px} x {first.height_px} px (x, y)",
            "pixel": first
            and f"{first.resolution_um_per_px:g} µm (x, y), {self.z_step.um:g} µm (z)",
            "decoded": bytes_text(self.raw_bytes),
            "projections": projections or None,
            "reconstructions": len(self.reconstructions) or None,
            "source": self.source,
            "note": "; ".join(self.notes) or None,
        }
        return facts_text(f"Image stack of specimen {self.specimen_id} (not fetched)", facts)

    @property
    def resolution_um_per_px(self) -> float:
        """Size of a full-resolution pixel of the planes, in µm."""
        return self.planes[0].resolution_um_per_px

    @property
    def full_pixels(self) -> int:
        """Number of pixels of all planes at full resolution."""
        return sum(p.width_px * p.height_px for p in self.planes)

    @property
    def raw_bytes(self) -> int:
        """Size of all planes decoded at full resolution, in bytes."""
        return sum(p.width_px * p.height_px * p.components for p in self.planes)
