"""The manifest of a set of section images: what the service says of it, and every file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta

from openallen import manifests
from openallen.display import count_text
from openallen.errors import IntegrityError, NotFoundError
from openallen.manifests import MANIFEST_NAME, Count, Entry, Positive, QueryEntry
from openallen.sources.sections.record import SectionRecord

__all__ = [
    "MANIFEST_NAME",
    "DrawnEntry",
    "ImageEntry",
    "Manifest",
    "build_schema",
    "known_manifest",
    "looks_like_sections",
    "read_manifest",
    "record_of",
    "shipped_schema",
]


class ImageEntry(Entry, frozen=True, kw_only=True):
    """One section image; sizes and corner in full-resolution pixels."""

    id: Annotated[int, Meta(description="SectionImage or AtlasImage id")]
    position: Annotated[int, Meta(ge=0, description="place in the order of the sections, from 0")]
    section_number: Count
    z_um: Annotated[float, Meta(description="depth below the first section")] | None
    width_px: Positive
    height_px: Positive
    x_px: Annotated[int, Meta(ge=0, description="corner in the scanned image")]
    y_px: Annotated[int, Meta(ge=0, description="corner in the scanned image")]
    resolution_um_per_px: Annotated[float, Meta(gt=0)]
    tier_count: Count
    server_path: str
    image_type: str | None = None
    failed: bool = False
    annotated: bool = False
    expression_path: str | None = None
    alignment2d: (
        Annotated[dict[str, Any], Meta(description="row of Alignment2d: px to µm and back")] | None
    ) = None
    downsample: Annotated[int, Meta(ge=0, description="number of halvings")]
    quality: Annotated[int, Meta(ge=0, le=100, description="JPEG quality; null: the best")] | None
    intensity_range: (
        Annotated[tuple[int, ...], Meta(description="black and white points asked for")] | None
    ) = None
    file_width_px: Positive | None = None
    file_height_px: Positive | None = None

    @property
    def size_text(self) -> str:
        """Size in pixels, of the file where it is here, and in bytes."""
        width = self.file_width_px or self.width_px
        height = self.file_height_px or self.height_px
        return f"{width} x {height} px, {self.status_text}"

    def __repr__(self) -> str:
        return f"image {self.position}, section {self.section_number}, {self.size_text}"


class DrawnEntry(Entry, frozen=True, kw_only=True):
    """What the service has of an image beside the image itself."""

    image_id: int
    view: Annotated[str, Meta(description="expression, projection or svg")]
    section_number: Count

    def __repr__(self) -> str:
        return f"{self.view} of section {self.section_number} ({self.status_text})"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A set of section images: what it is, where it came from, and every file of it."""

    schema: Annotated[str, Meta(pattern="^openallen/sections-manifest/1$")] = (
        "openallen/sections-manifest/1"
    )
    address: str
    made_by: Annotated[str, Meta(description="program and version")]
    source: Annotated[str, Meta(description="live, sample, or the folder or URL of an archive")]
    simulated: Annotated[bool, Meta(description="whether any pixel here is simulated")]
    notes: tuple[str, ...] = ()
    data_set: Annotated[
        dict[str, Any],
        Meta(description="row of SectionDataSet (with alignment3d) or Atlas, as it came"),
    ]
    section_thickness_um: Annotated[float, Meta(gt=0)] | None
    citation: str
    terms: str
    queries: tuple[QueryEntry, ...]
    images: tuple[ImageEntry, ...]
    drawn: tuple[DrawnEntry, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every file; those without a path are not here."""
        return (*self.images, *self.drawn)

    @property
    def first(self) -> ImageEntry | None:
        """The first image that is here."""
        return next((image for image in self.images if image.path), None)

    def views(self) -> set[str]:
        """Return what of the images is here beside them."""
        return {entry.view for entry in self.drawn if entry.path}

    def __repr__(self) -> str:
        here = sum(bool(image.path) for image in self.images)
        text = f"manifest of {self.address}: {here} of {count_text(len(self.images), 'image')}"
        return text + (", simulated pixels" if self.simulated else "")


def record_of(manifest: Manifest) -> SectionRecord:
    """Return what a manifest records of a data set."""
    return SectionRecord(
        name=manifest.address.partition(":")[2],
        data_set=manifest.data_set,
        images=[_row(entry) for entry in manifest.images],
        queries={q.wanted: q.rma for q in manifest.queries},
        source=manifest.source,
        notes=manifest.notes,
        simulated=manifest.simulated,
    )


def _row(entry: ImageEntry) -> Mapping[str, Any]:
    return {
        "id": entry.id,
        "section_number": entry.section_number,
        "width": entry.width_px,
        "height": entry.height_px,
        "x": entry.x_px,
        "y": entry.y_px,
        "resolution": entry.resolution_um_per_px,
        "tier_count": entry.tier_count,
        "path": entry.server_path,
        "image_type": entry.image_type,
        "failed": entry.failed,
        "annotated": entry.annotated,
        "expression_path": entry.expression_path,
        "alignment2d": entry.alignment2d,
    }


_SCHEMA: Final = "sections-manifest-1.schema.json"


def build_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a manifest, made from its model."""
    (_, definitions) = msgspec.json.schema_components([Manifest], ref_template="#/$defs/{name}")
    root = definitions.pop("Manifest")
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:openallen:sections-manifest:1",
        **root,
        "$defs": definitions,
    }
    return cast("dict[str, Any]", json.loads(json.dumps(msgspec.to_builtins(schema))))


def shipped_schema() -> dict[str, Any]:
    """Return the JSON Schema that comes with the package."""
    file = resources.files("openallen.sources.sections") / _SCHEMA
    schema: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return schema


def looks_like_sections(folder: Path) -> bool:
    """Return whether a folder has the manifest of section images, intact or damaged."""
    try:
        return manifests.family_of((folder / MANIFEST_NAME).read_bytes()) == "sections"
    except OSError:
        return False


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest in a folder.

    Raises
    ------
    NotFoundError
        If there is none.
    CorruptError
        If it cannot be read.
    """
    hint = "openallen fetch sections:71717084"
    return manifests.read(folder, Manifest, noun="set of section images", hint=hint)


def known_manifest(folder: Path) -> Manifest | None:
    """Return the manifest in a folder; None where there is none that can be read."""
    try:
        return read_manifest(folder)
    except (NotFoundError, IntegrityError):
        return None  # a damaged manifest vouches for nothing; it is replaced
