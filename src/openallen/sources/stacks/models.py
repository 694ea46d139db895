"""The nouns of a cell's image stack: planes, projections, reconstruction, and the facts of it.

Frame: x to the right and y down in the image, z through the slice, in the order of the sections.
The origin is the centre of pixel (0, 0) of the first section; lengths are micrometres.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from openallen.brainmap.files import WellKnownFile
from openallen.errors import AnswerError
from openallen.plans import safe_name

__all__ = ["CITATION", "TERMS", "Plane", "Projection", "Reconstruction", "StackFacts", "ZStep"]

CITATION: Final = (
    "Allen Institute for Brain Science. Allen Cell Types Database. https://celltypes.brain-map.org"
)
TERMS: Final = "Allen Institute Terms of Use: https://alleninstitute.org/terms-of-use"
WHITEPAPER_Z_STEP_UM: Final = 0.28
"""Distance between planes the Cell Types Database whitepaper gives for the 63x stacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One brightfield plane: a row of the model SubImage.

    Parameters
    ----------
    id
        Id of the image.
    position
        Its place in the stack, from 0.
    section_number
        Its number in the data set.
    file_name
        Name of its file: the section number, and the id too where a section has two planes.
    z_um
        Its depth below the first section: sections apart times the z step, in µm.
    width_px, height_px
        Size of the picture at full resolution.
    x_px, y_px
        Its corner inside the scanned image (a border of a pixel or so).
    resolution_um_per_px
        Size of a full-resolution pixel, in µm.
    tier_count
        Levels of the service's own pyramid.
    server_path
        Where the service keeps it; never delivered, only named.
    components
        Colour channels.
    """

    id: int
    position: int
    section_number: int
    file_name: str
    z_um: float
    width_px: int
    height_px: int
    x_px: int
    y_px: int
    resolution_um_per_px: float
    tier_count: int
    server_path: str
    components: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
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
        Where the service keeps it.
    """

    id: int
    function: str
    axes: str
    width_px: int
    height_px: int
    resolution_um_per_px: float
    server_path: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Projection:
        """Read a row of the model ProjectionImage.

        Raises
        ------
        AnswerError
            If a field is missing or of the wrong kind.
        """
        read = _Reader(row, "ProjectionImage")
        return cls(
            id=read.whole("id"),
            function=safe_name(read.text("projection_function"), "unknown"),
            axes=safe_name(read.text("axes"), "unknown"),
            width_px=read.whole("width"),
            height_px=read.whole("height"),
            resolution_um_per_px=read.number("resolution"),
            server_path=read.text("path"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """A reconstruction of the cell: a row of the model NeuronReconstruction with its files.

    Parameters
    ----------
    id
        Id of the reconstruction.
    kind
        ``full`` or ``dendrite-only``.
    scale_factor_z_um
        Distance between planes it was traced with, in µm, where it is told.
    files
        Its well-known files.
    """

    id: int
    kind: str
    scale_factor_z_um: float | None
    files: tuple[WellKnownFile, ...]

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
            id=_Reader(row, "NeuronReconstruction").whole("id"),
            kind=row.get("neuron_reconstruction_type") or "",
            scale_factor_z_um=float(scale) if scale else None,
            files=tuple(WellKnownFile.from_row(f) for f in row.get("well_known_files") or ()),
        )


@dataclass(frozen=True, slots=True)
class ZStep:
    """The distance between planes, and how it is known."""

    um: float
    source: str


@dataclass(frozen=True, kw_only=True)
class StackFacts:
    """All that is known of a stack before anything of it is fetched.

    Parameters
    ----------
    specimen_id
        Id of the cell.
    specimen
        Its row of the model ApiCellTypesSpecimenDetail; empty where there is none.
    data_set_id
        Id of the data set the planes belong to.
    planes
        Every plane, in the order of the sections.
    planes_expected
        Planes the service counts.
    projections, reconstructions
        What else there is of the cell.
    z_step
        The distance between planes.
    queries
        What was asked, by what it was asked for: the RMA text.
    source
        ``live``, ``sample``, or the URL of an archive.
    notes
        What the service says of itself (an archive that holds only a part).
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

    @property
    def resolution_um_per_px(self) -> float:
        """Size of a full-resolution pixel of the planes, in µm."""
        return self.planes[0].resolution_um_per_px

    @property
    def full_pixels(self) -> int:
        """Pixels of all planes at full resolution."""
        return sum(p.width_px * p.height_px for p in self.planes)

    @property
    def raw_bytes(self) -> int:
        """Size of all planes decoded, at full resolution."""
        return sum(p.width_px * p.height_px * p.components for p in self.planes)


def planes_from_rows(rows: Sequence[Mapping[str, Any]], z_step_um: float) -> tuple[Plane, ...]:
    """Read rows of the model SubImage as planes, in the order of their sections.

    Raises
    ------
    AnswerError
        If a field is missing or of the wrong kind, or a plane comes twice.
    """
    readers = sorted((_Reader(row, "SubImage") for row in rows), key=_Reader.order)
    planes: list[Plane] = []
    for position, read in enumerate(readers):
        section = read.whole("section_number")
        first = planes[0].section_number if planes else section
        again = bool(planes) and section == planes[-1].section_number
        name = f"{section:04}_{read.whole('id')}.jpg" if again else f"{section:04}.jpg"
        planes.append(
            Plane(
                id=read.whole("id"),
                position=position,
                section_number=section,
                file_name=name,
                z_um=round((section - first) * z_step_um, 6),
                width_px=read.whole("width"),
                height_px=read.whole("height"),
                x_px=read.whole("x"),
                y_px=read.whole("y"),
                resolution_um_per_px=read.number("resolution"),
                tier_count=read.whole("tier_count"),
                server_path=read.text("path"),
                components=read.whole("number_of_components"),
            )
        )
    if len({plane.id for plane in planes}) != len(planes):
        raise AnswerError("a plane came twice", why="two rows have the same id")
    return tuple(planes)


class _Reader:
    """Takes fields from a row, and names the row when one is not what it should be."""

    def __init__(self, row: Mapping[str, Any], model: str) -> None:
        self._row = row
        self._model = model

    def order(self) -> tuple[int, int]:
        return self.whole("section_number"), self.whole("id")

    def whole(self, name: str) -> int:
        value = self._row.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(name, value)
        return value

    def number(self, name: str) -> float:
        value = self._row.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise self._wrong(name, value)
        return float(value)

    def text(self, name: str) -> str:
        value = self._row.get(name)
        if not isinstance(value, str):
            raise self._wrong(name, value)
        return value

    def _wrong(self, name: str, value: object) -> AnswerError:
        return AnswerError(
            f"a {self._model} row with an odd '{name}'",
            address=f"rma:{self._model}?id={self._row.get('id')}",
            why=repr(value)[:80],
        )
