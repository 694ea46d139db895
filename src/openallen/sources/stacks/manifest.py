"""The manifest of a packaged stack: its model, its schema, reading and writing it.

The JSON Schema beside this module (``stack-manifest-1.schema.json``) is made from the model
below; a test holds the two together. The number in its name grows when a reader of the old one
would misread the new one; new optional fields do not count.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta

from openallen import manifests
from openallen.display import count_text
from openallen.manifests import MANIFEST_NAME, Count, Entry, Positive, QueryEntry

__all__ = [
    "looks_like_stack",
    "MANIFEST_NAME",
    "SCHEMA_NAME",
    "Entry",
    "FileEntry",
    "Manifest",
    "PlaneEntry",
    "ProjectionEntry",
    "build_schema",
    "read_manifest",
    "shipped_schema",
    "write_manifest",
]

SCHEMA_NAME: Final = "openallen/stack-manifest/1"

Length = Annotated[float, Meta(gt=0)]


class PlaneEntry(Entry, frozen=True, kw_only=True):
    """One plane; sizes and corner in full-resolution pixels."""

    id: Annotated[int, Meta(description="SubImage id")]
    position: Annotated[int, Meta(ge=0, description="place in the stack, from 0")]
    section_number: Count
    z_um: Annotated[float, Meta(description="depth below the first section")]
    width_px: Positive
    height_px: Positive
    x_px: Annotated[int, Meta(ge=0, description="corner in the scanned image")]
    y_px: Annotated[int, Meta(ge=0, description="corner in the scanned image")]
    resolution_um_per_px: Length
    tier_count: Count
    server_path: str
    downsample: Annotated[int, Meta(ge=0, description="number of halvings")]
    quality: Annotated[int, Meta(ge=0, le=100, description="JPEG quality; null: the best")] | None
    file_width_px: Positive | None = None
    file_height_px: Positive | None = None

    @property
    def size_text(self) -> str:
        """Size in pixels, of the file where it is here, and in bytes."""
        width, height = self.file_width_px, self.file_height_px
        if width is None or height is None:
            width, height = self.width_px, self.height_px
        return f"{width} x {height} px, {self.status_text}"

    def __repr__(self) -> str:
        return (
            f"plane {self.position}, section {self.section_number}, {self.z_um:g} µm, "
            f"{self.size_text}"
        )


class ProjectionEntry(Entry, frozen=True, kw_only=True):
    """One projection the service computed; sizes in full-resolution pixels."""

    id: Annotated[int, Meta(description="ProjectionImage id")]
    function: Annotated[str, Meta(description="min or max")]
    axes: Annotated[str, Meta(description="xy or yz")]
    width_px: Positive
    height_px: Positive
    resolution_um_per_px: Length
    server_path: str
    downsample: Count

    def __repr__(self) -> str:
        size = f"{self.width_px >> self.downsample} x {self.height_px >> self.downsample} px"
        return f"{self.function} {self.axes} projection, {size}, {self.status_text}"


class FileEntry(Entry, frozen=True, kw_only=True):
    """One well-known file: a reconstruction, its markers, its thumbnail."""

    id: int
    type_id: int | None
    type: Annotated[str, Meta(description="3DNeuronReconstruction, 3DNeuronMarker, …")]
    server_path: str
    reconstruction_id: int

    def __repr__(self) -> str:
        name = (self.path or self.server_path).rpartition("/")[2]
        return f"{self.type}: {name} ({self.status_text})"


class ReconstructionEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One reconstruction of the cell."""

    id: int
    kind: Annotated[str, Meta(description="full or dendrite-only")]


class PlaneCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many planes, at each step."""

    expected: Annotated[int, Meta(ge=0, description="the service's own count")]
    listed: Annotated[int, Meta(ge=0, description="rows that came")]
    received: Annotated[int, Meta(ge=0, description="files here")]


class ZStepEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The distance between planes."""

    um: Length
    source: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A packaged stack: what it is, where it came from, and every file of it."""

    schema: Annotated[str, Meta(pattern="^openallen/stack-manifest/1$")] = SCHEMA_NAME
    address: str
    made_by: Annotated[str, Meta(description="program and version")]
    source: Annotated[str, Meta(description="live, sample, or the folder or URL of an archive")]
    simulated: Annotated[bool, Meta(description="whether any pixel here is simulated")]
    notes: tuple[str, ...] = ()
    specimen_id: int
    specimen: Annotated[
        dict[str, Any], Meta(description="row of the model ApiCellTypesSpecimenDetail")
    ]
    data_set_id: int
    resolution_um_per_px: Length
    z_step: ZStepEntry
    plane_count: PlaneCount
    citation: str
    terms: str
    queries: tuple[QueryEntry, ...]
    planes: tuple[PlaneEntry, ...]
    projections: tuple[ProjectionEntry, ...] = ()
    reconstructions: tuple[ReconstructionEntry, ...] = ()
    morphology: tuple[FileEntry, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every file: planes, projections, morphology; those without a path are not here."""
        return (*self.planes, *self.projections, *self.morphology)

    def __repr__(self) -> str:
        count = self.plane_count
        parts = [
            f"{count.received} of {count_text(count.expected, 'plane')}",
            count_text(sum(bool(p.path) for p in self.projections), "projection"),
            count_text(sum(bool(f.path) for f in self.morphology), "morphology file"),
            "simulated pixels" if self.simulated else "",
        ]
        return f"manifest of {self.address}: {', '.join(filter(None, parts))}"

    def digests(self) -> dict[str, str]:
        """Return the recorded digest of each file, by path, as ``sha256:hex``."""
        return manifests.digests_of(self.entries)

    def sizes(self) -> dict[str, int]:
        """Return the recorded size of each file in bytes, by path."""
        return manifests.sizes_of(self.entries)

    def covers(self, projections: bool, morphology: bool) -> bool:
        """Return whether all projections, and all morphology files, are here where asked for."""
        wanted: tuple[Entry, ...] = (
            *(self.projections if projections else ()),
            *(self.morphology if morphology else ()),
        )
        return all(entry.path for entry in wanted)

    @property
    def downsample(self) -> int:
        """Halvings of the planes that are here; 0 if none is."""
        return next((plane.downsample for plane in self.planes if plane.path), 0)

    @property
    def quality(self) -> int | None:
        """JPEG quality of the planes that are here; None for the service's best."""
        return next((plane.quality for plane in self.planes if plane.path), None)


def build_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a manifest, made from its model."""
    (_, definitions) = msgspec.json.schema_components([Manifest], ref_template="#/$defs/{name}")
    root = definitions.pop("Manifest")
    schema = msgspec.to_builtins(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "urn:openallen:stack-manifest:1",
            **root,
            "$defs": definitions,
        }
    )
    return cast("dict[str, Any]", json.loads(json.dumps(schema)))  # defaults as JSON has them


def shipped_schema() -> dict[str, Any]:
    """Return the JSON Schema that comes with the package."""
    file = resources.files("openallen.sources.stacks") / "stack-manifest-1.schema.json"
    schema: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return schema


def looks_like_stack(folder: Path) -> bool:
    """Return whether a folder has the manifest of a stack, intact or damaged, and no other."""
    try:
        body = (folder / MANIFEST_NAME).read_bytes()
    except OSError:
        return False
    if manifests.family_of(body) not in {"", "stack"}:
        return False
    if b'"specimen_id"' in body or b'"z_step"' in body:
        return True
    if not (folder / "planes").is_dir():
        return False
    try:
        return not isinstance(msgspec.json.decode(body), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the stack packaged in `folder`.

    Raises
    ------
    NotFoundError
        If there is none.
    CorruptError
        If it cannot be read.
    """
    hint = "openallen fetch stack:313862022"
    return manifests.read(folder, Manifest, noun="image stack", hint=hint)


def write_manifest(manifest: Manifest, folder: Path) -> bool:
    """Write the manifest, whole or not at all; return whether it differs from what was there.

    Raises
    ------
    SpaceError, StoreError
        If it cannot be written.
    """
    return manifests.write(manifest, folder)
