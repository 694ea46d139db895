"""What is shown of a data set: facts, how its images lie, files, pages of the portal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from openallen.brainmap.client import LIVE_URL
from openallen.display import count_text
from openallen.sources.facts import Facts, Field, Section
from openallen.sources.sections.options import Options
from openallen.sources.sections.plan import image_request
from openallen.sources.sections.record import CITATION, PORTALS, TERMS, SectionRecord, row_in
from openallen.sources.sections.search import data_set_row

if TYPE_CHECKING:
    from openallen.plans import Plan
    from openallen.sources.sections.read import SectionSet
    from openallen.sources.tables import Row

__all__ = ["image_rows", "links_of", "sections_facts"]


def sections_facts(
    record: SectionRecord,
    *,
    plan: Plan | None,
    here: SectionSet | None,
    notes: Iterable[str] = (),
) -> Facts:
    """Return what is known of a data set.

    Parameters
    ----------
    record
        What the service says of it.
    plan
        What fetching it would take; None where that is not known.
    here
        What was fetched of it; None where nothing was.
    notes
        Sentences people should read.
    """
    failed = ("this data set failed quality control",) if record.data_set.get("failed") else ()
    return Facts(
        address=record.address,
        title=record.title,
        kind="atlas plates" if record.is_atlas else "section images",
        fields=_fields(record, here),
        sections=(_images(record, here),),
        plan=plan,
        notes=tuple(dict.fromkeys((*failed, *notes, *record.notes))),
        citation=CITATION,
        terms=TERMS,
        ids=tuple(section.plane.id for section in record.sections),
        thing=here,
        thumbnail=None if here is None else here.thumbnail,
    )


def links_of(record: SectionRecord) -> list[str]:
    """Return pages of portals that show a data set."""
    if record.is_atlas:
        number = record.name.removeprefix("atlas-")
        return [f"https://atlas.brain-map.org/atlas?atlas={number}"]
    products = str(data_set_row(record.data_set)["product"] or "").split(",")
    return [PORTALS[name].format(record.name) for name in products if name in PORTALS]


def _fields(record: SectionRecord, here: SectionSet | None) -> tuple[Field, ...]:
    told = data_set_row(record.data_set)
    thickness, sections = record.thickness_um, record.sections
    first = sections[0].plane
    widths = [s.plane.width_px for s in sections]
    heights = [s.plane.height_px for s in sections]
    space = row_in(record.data_set, "reference_space").get("name")
    number = told["reference_space_id"]
    equal = {
        k: v
        for k, v in row_in(record.data_set, "equalization").items()
        if k.endswith(("_lower", "_upper"))
    }
    failed = sum(section.failed for section in sections)
    return (
        Field("data set", None if record.is_atlas else told["id"], key="id"),
        Field("gene", told["gene"]),
        Field("gene name", told["gene_name"]),
        Field("plane of section", told["plane"], key="plane"),
        Field("product", told["product"]),
        Field("treatment", told["treatment"]),
        Field("age", told["age"]),
        Field("injection", told["injection"]),
        Field("images", len(sections)),
        Field("sections", [s.plane.section_number for s in sections], record.sections_text),
        Field("width", [min(widths), max(widths)], _between(widths), "width_px"),
        Field("height", [min(heights), max(heights)], _between(heights), "height_px"),
        Field(
            "pixel",
            first.resolution_um_per_px,
            f"{first.resolution_um_per_px:g} µm",
            "resolution_um_per_px",
        ),
        Field(
            "section thickness",
            thickness,
            None if thickness is None else f"{thickness:g} µm",
            "section_thickness_um",
        ),
        Field("aligned", record.is_aligned, _aligned(record, space or number)),
        Field("expression", sum(s.has_expression for s in sections), _count(record, "expression")),
        Field("annotated", sum(s.annotated for s in sections), _count(record, "annotated")),
        Field("failed images", failed, count_text(failed, "image") if failed else ""),
        Field("intensity range", equal or None, _range_text(equal)),
        Field("reference space id", number, ""),
        Field("specimen", told["specimen_id"], key="specimen_id"),
        Field("failed", told["failed"], "yes" if told["failed"] else ""),
        Field("links", links_of(record), "\n".join(links_of(record))),
        Field("here", None if here is None else str(here.folder), key="folder"),
        Field("queries", dict(record.queries), ""),
    )


def _between(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,} px" if low == high else f"{low:,} to {high:,} px"


def _aligned(record: SectionRecord, space: object) -> str:
    if not record.is_aligned:
        return "no"
    count = sum(section.alignment2d is not None for section in record.sections)
    text = f"to reference space {space}" if space is not None else "to reference space"
    return text if count == len(record.sections) else f"{text}, {count_text(count, 'image')}"


def _count(record: SectionRecord, what: str) -> str:
    having = "has_expression" if what == "expression" else "annotated"
    count = sum(bool(getattr(section, having)) for section in record.sections)
    option = "--expression" if what == "expression" else "--svg"
    return f"{count_text(count, 'image')} ({option})" if count else "none"


def _range_text(told: dict[str, object]) -> str:
    names = [f"{c}_{e}" for c in ("red", "green", "blue") for e in ("lower", "upper")]
    if not all(told.get(name) is not None for name in names):
        return ""
    return ",".join(f"{told[name]}" for name in names)


def image_rows(record: SectionRecord, here: SectionSet | None = None) -> list[Row]:
    """Return a plain row for each image of a data set.

    Parameters
    ----------
    record
        What the service says of it.
    here
        What was fetched of it; None where nothing was.
    """
    paths = {} if here is None else {e.id: e.path for e in here.manifest.images}
    return [
        {
            "id": section.plane.id,
            "section_number": section.plane.section_number,
            "z_um": record.z_um(section),
            "width_px": section.plane.width_px,
            "height_px": section.plane.height_px,
            "resolution_um_per_px": section.plane.resolution_um_per_px,
            "image_type": section.row.get("image_type"),
            "failed": section.failed,
            "annotated": section.annotated,
            "expression": section.has_expression,
            "aligned": section.alignment2d is not None,
            "here": bool(paths.get(section.plane.id)),
            "url": image_request(record, section, Options()).url(LIVE_URL),
        }
        for section in record.sections
    ]


def _images(record: SectionRecord, here: SectionSet | None) -> Section:
    rows = image_rows(record, here)
    shown = rows if len(rows) <= 12 else [*rows[:6], None, *rows[-5:]]
    lines = [
        "  …"
        if row is None
        else f"  {row['section_number']:>6}  image:{row['id']:<12}"
        f" {row['width_px']:,} x {row['height_px']:,} px"
        + ("  failed" if row["failed"] else "")
        + ("  here" if row["here"] else "")
        for row in shown
    ]
    return Section("Images by section", "section_images", rows, "\n".join(lines))
