"""What the service says of a data set: its row, and its images in the order of the sections.

Frame of an image: x to the right and y down, the origin is the centre of its top left pixel at full
size. Alignments lead from there to the data set's volume, and on to reference space, in µm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

from openallen.brainmap.alignment import SetAlignment
from openallen.display import count_text
from openallen.errors import NotFoundError
from openallen.planes.rows import Plane, planes_from_rows

__all__ = ["CITATION", "PORTALS", "TERMS", "Section", "SectionRecord", "thickness_of"]

CITATION: Final = (
    "Allen Institute for Brain Science. Allen Brain Atlas. https://atlas.brain-map.org"
)
TERMS: Final = "Allen Institute Terms of Use: https://alleninstitute.org/terms-of-use"
PORTALS: Final[Mapping[str, str]] = {
    "Mouse": "https://mouse.brain-map.org/experiment/show/{}",
    "DevMouse": "https://developingmouse.brain-map.org/experiment/show/{}",
}
"""Pages of portals that show a data set, by the abbreviation of its product."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Section:
    """One section image: a row of the model SectionImage or AtlasImage.

    Parameters
    ----------
    plane
        Its id, section number, size, file name.
    row
        The row itself.
    """

    plane: Plane
    row: Row

    @property
    def failed(self) -> bool:
        """Whether it failed quality control."""
        return bool(self.row.get("failed"))

    @property
    def annotated(self) -> bool:
        """Whether structures are drawn on it."""
        return bool(self.row.get("annotated"))

    @property
    def has_expression(self) -> bool:
        """Whether the service has a picture of segmented expression."""
        return bool(self.row.get("expression_path"))

    @property
    def alignment2d(self) -> dict[str, Any] | None:
        """The affine maps of its plane to the volume and back; None where it is not aligned."""
        found = self.row.get("alignment2d")
        return dict(found) if isinstance(found, Mapping) else None


@dataclass(frozen=True, kw_only=True)
class SectionRecord:
    """What the service says of a data set with section images, or of an atlas with plates.

    Parameters
    ----------
    name
        What names it: the id of the data set, or ``atlas-1``.
    data_set
        The row of the data set, with what it hangs on.
    images
        Rows of its images, in any order.
    queries
        RMA queries, by what they were for.
    source
        ``live``, ``sample``, or the folder or URL of an archive.
    notes
        Notes of the service.
    simulated
        Whether the source says that it draws pixels itself.
    """

    name: str
    data_set: Row
    images: Sequence[Row]
    queries: Mapping[str, str] = field(default_factory=dict)
    source: str = "live"
    notes: tuple[str, ...] = ()
    simulated: bool = False

    @property
    def address(self) -> str:
        """Its address."""
        return f"sections:{self.name}"

    @property
    def is_atlas(self) -> bool:
        """Whether its images are the plates of an atlas."""
        return self.name.startswith("atlas-")

    @property
    def model(self) -> str:
        """The model of its images."""
        return "AtlasImage" if self.is_atlas else "SectionImage"

    @property
    def title(self) -> str:
        """What it is, in words."""
        if self.is_atlas:
            return str(self.data_set.get("name") or f"Atlas {self.name.removeprefix('atlas-')}")
        gene = ", ".join(self.genes)
        return f"Section data set {self.name}" + (f", {gene}" if gene else "")

    @property
    def genes(self) -> list[str]:
        """Acronyms of the genes it shows."""
        told = (row.get("acronym") for row in rows_in(self.data_set, "genes"))
        return [str(acronym) for acronym in told if acronym]

    @property
    def thickness_um(self) -> float | None:
        """Distance from one section number to the next, in µm; None where it is not known."""
        return thickness_of(self.data_set)

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """Its images, in the order of the sections.

        Raises
        ------
        AnswerError
            If a field of a row is missing or wrong, or an image is listed twice.
        """
        # Old plates lack what is of no importance for them.
        usual = {"number_of_components": 3, "tier_count": 0, "x": 0, "y": 0}
        rows = [
            {**row, **{k: v for k, v in usual.items() if row.get(k) is None}} for row in self.images
        ]
        planes = planes_from_rows(rows, self.thickness_um or 0.0, self.model)
        by_id = {row["id"]: row for row in self.images}
        return tuple(Section(plane, by_id[plane.id]) for plane in planes)

    @property
    def is_aligned(self) -> bool:
        """Whether it is known where its images lie in reference space."""
        return (
            isinstance(self.data_set.get("alignment3d"), Mapping)
            and self.thickness_um is not None
            and any(section.alignment2d for section in self.sections)
        )

    @cached_property
    def alignment(self) -> SetAlignment:
        """Where its images lie in the brain.

        Raises
        ------
        NotFoundError
            If that is not known.
        """
        if not self.is_aligned:
            raise NotFoundError(
                "this data set is not aligned to reference space",
                address=self.address,
                why="the service has no Alignment3d, no Alignment2d, or no thickness of it",
            )
        aligned = [section.row for section in self.sections if section.alignment2d]
        return SetAlignment.of(self.data_set, aligned)

    def z_um(self, section: Section) -> float | None:
        """Return the depth of an image below the first, in µm; None where it is not known."""
        return None if self.thickness_um is None else section.plane.z_um

    @property
    def sections_text(self) -> str:
        """Section numbers in words: first, last, how far apart, and where that is not so."""
        numbers = [section.plane.section_number for section in self.sections]
        if not numbers:
            return "none"
        steps = [b - a for a, b in pairwise(numbers)]
        text = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
        usual = max(set(steps), key=steps.count) if steps else 0
        text += f", every {_ordinal(usual)}" if usual > 1 else ""
        gaps = sum(step > usual for step in steps) if usual else 0
        again = sum(step == 0 for step in steps)
        text += f"; {count_text(gaps, 'gap')}" if gaps else ""
        return text + (f"; {count_text(again, 'number')} twice" if again else "")


def _ordinal(number: int) -> str:
    tail = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{tail}"


def thickness_of(data_set: Row) -> float | None:
    """Return the thickness of a section in µm; None where the row does not tell."""
    value = data_set.get("section_thickness")
    told = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
    return float(value) if told and value is not None else None


def rows_in(row: Row, name: str) -> list[Row]:
    """Return nested rows of a row; none where there are none."""
    found = row.get(name)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def row_in(row: Row, *names: str) -> Row:
    """Return a row nested in a row, and so on; an empty one where there is none."""
    for name in names:
        found = row.get(name)
        row = found if isinstance(found, Mapping) else {}
    return row
