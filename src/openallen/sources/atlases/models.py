"""The nouns of the atlases: a section data set, a reference space, and what their volumes hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final

from openallen.errors import AnswerError

__all__ = [
    "CITATION",
    "CONNECTIVITY",
    "EXPRESSION",
    "ORIENTATIONS",
    "OUTLINED",
    "RESOLUTIONS_UM",
    "TERMS",
    "DataSet",
    "Kind",
]

CITATION: Final = (
    "Allen Institute for Brain Science. Allen Brain Atlas. https://mouse.brain-map.org"
)
TERMS: Final = "Allen Institute Terms of Use: https://alleninstitute.org/terms-of-use"
RESOLUTIONS_UM: Final = (10, 25, 50, 100)
"""Voxel sizes connectivity grids and the Common Coordinate Framework come in."""

ORIENTATIONS: Final[Mapping[int, str]] = MappingProxyType({9: "PIR", 10: "PIL"})
"""Where the axes of a reference space point to, by its id: posterior, inferior, right or left."""

OUTLINED: Final[Mapping[int, str]] = MappingProxyType({9: "P56", 10: "P56-sagittal"})
"""The atlas whose outlines go with volumes of a reference space, by its id."""

_CONNECTIVITY_PRODUCTS: Final = frozenset({5, 31})
"""Products of the Connectivity Atlas, as its own clients ask for them."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a grid can hold: its meaning, and its unit (``1`` for shares)."""

    title: str
    units: str


EXPRESSION: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "energy": Kind("expression energy: intensity times density", "grey level"),
        "density": Kind("expression density: share of pixels that express", "1"),
        "intensity": Kind("expression intensity: mean of the pixels that express", "grey level"),
    }
)
"""What expression grids hold."""

CONNECTIVITY: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "projection_density": Kind("share of pixels that project", "1"),
        "projection_energy": Kind("projection density times intensity", "grey level"),
        "injection_fraction": Kind("fraction of pixels in the injection site", "1"),
        "injection_density": Kind("share of pixels that project, in the injection site", "1"),
        "injection_energy": Kind("projection energy in the injection site", "grey level"),
        "data_mask": Kind("share of pixels that hold valid data", "1"),
    }
)
"""What connectivity grids hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One section data set: a row of the model SectionDataSet with what it hangs on.

    Parameters
    ----------
    id
        Its id.
    gene, gene_name
        Acronym and name of the gene it shows; None for those that show none.
    plane
        Plane of section: ``coronal`` or ``sagittal``.
    product
        Abbreviations of the products it is part of (``Mouse``, ``DevMouse``), with commas.
    age
        Age of the animal as the service names it.
    reference_space_id, reference_space
        The space it is aligned to.
    section_thickness_um
        Thickness of a section, in µm.
    specimen_id
        The animal it is of.
    failed
        Whether it failed quality control.
    connectivity
        Whether it is an experiment of the Connectivity Atlas, and has such grids.
    """

    id: int
    gene: str | None = None
    gene_name: str | None = None
    plane: str | None = None
    product: str | None = None
    age: str | None = None
    reference_space_id: int | None = None
    reference_space: str | None = None
    section_thickness_um: float | None = None
    specimen_id: int | None = None
    failed: bool | None = None
    connectivity: bool = False

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> DataSet:
        """Read a row of SectionDataSet that nests what `openallen.sources.atlases.search` asks for.

        Raises
        ------
        AnswerError
            If it has no numeric id.
        """
        if isinstance(row.get("id"), bool) or not isinstance(row.get("id"), int):
            raise AnswerError("a section data set without an id", why=repr(dict(row))[:120])
        genes = _many(row, "genes")
        thickness = row.get("section_thickness")
        return cls(
            id=row["id"],
            gene=_joined(genes, "acronym"),
            gene_name=_joined(genes, "name"),
            plane=_one(row, "plane_of_section").get("name"),
            product=_joined(_many(row, "products"), "abbreviation"),
            age=_one(_one(_one(row, "specimen"), "donor"), "age").get("name"),
            reference_space_id=row.get("reference_space_id"),
            reference_space=_one(row, "reference_space").get("name"),
            section_thickness_um=None if thickness is None else float(thickness),
            specimen_id=row.get("specimen_id"),
            failed=row.get("failed"),
            connectivity=any(p.get("id") in _CONNECTIVITY_PRODUCTS for p in _many(row, "products")),
        )

    @property
    def orientation(self) -> str | None:
        """Where the axes point to (`ORIENTATIONS`); None where that is not known."""
        return ORIENTATIONS.get(self.reference_space_id or 0)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain facts."""
        return asdict(self)

    def attrs(self) -> dict[str, Any]:
        """Return what volumes of it carry; what is not known is left out."""
        told = {
            "data_set_id": self.id,
            "gene": self.gene,
            "plane_of_section": self.plane,
            "product": self.product,
            "age": self.age,
            "reference_space_id": self.reference_space_id,
            "reference_space": self.reference_space,
            "orientation": self.orientation,
        }
        return {name: value for name, value in told.items() if value is not None}


def _one(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = row.get(name)
    return found if isinstance(found, Mapping) else {}


def _many(row: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = row.get(name)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _joined(rows: list[Mapping[str, Any]], name: str) -> str | None:
    return ",".join(sorted({str(row[name]) for row in rows if row.get(name)})) or None
