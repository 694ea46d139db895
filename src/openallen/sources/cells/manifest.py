"""The manifest of a cell: the service's rows of it, and every file."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta

from openallen import manifests
from openallen.display import count_text
from openallen.manifests import MANIFEST_NAME, Entry, QueryEntry

__all__ = [
    "MANIFEST_NAME",
    "FileEntry",
    "Manifest",
    "build_schema",
    "looks_like_cell",
    "read_manifest",
    "shipped_schema",
]


_NAME: Final = "openallen/cell-manifest/1"


class FileEntry(Entry, frozen=True, kw_only=True):
    """One file of a cell."""

    id: Annotated[int, Meta(description="id of the well-known file; of the model for its zip")]
    part: Annotated[str, Meta(description="ephys, morphology or models")]
    type: Annotated[str, Meta(description="NWBDownload, 3DNeuronReconstruction, …; zip of a model")]
    server_path: str = ""
    attached_to: Annotated[int, Meta(description="id of the reconstruction or model")] | None = None

    def __repr__(self) -> str:
        name = (self.path or self.server_path).rpartition("/")[2]
        return f"{self.type}: {name} ({self.status_text})"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A cell: what the service says of it, where it came from, and every file."""

    schema: Annotated[str, Meta(pattern="^openallen/cell-manifest/1$")] = (
        "openallen/cell-manifest/1"
    )
    address: str
    made_by: Annotated[str, Meta(description="program and version")]
    source: Annotated[str, Meta(description="live, sample, or the folder or URL of an archive")]
    simulated: Annotated[bool, Meta(description="whether any file here is simulated")]
    notes: tuple[str, ...] = ()
    cell_id: Annotated[int, Meta(description="id of the specimen")]
    model_id: Annotated[int, Meta(description="the model that alone was fetched")] | None = None
    rows: Annotated[
        dict[str, list[dict[str, Any]]],
        Meta(description="rows of the service by what they were asked for, as they came"),
    ]
    citation: str
    terms: str
    queries: tuple[QueryEntry, ...]
    files: tuple[FileEntry, ...]

    def __repr__(self) -> str:
        here = sum(bool(file.path) for file in self.files)
        text = f"manifest of {self.address}: {here} of {count_text(len(self.files), 'file')}"
        return text + (", some of them simulated" if self.simulated else "")


_SCHEMA: Final = "cell-manifest-1.schema.json"


def build_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a manifest, made from its model."""
    (_, definitions) = msgspec.json.schema_components([Manifest], ref_template="#/$defs/{name}")
    root = definitions.pop("Manifest")
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:openallen:cell-manifest:1",
        **root,
        "$defs": definitions,
    }
    plain = json.loads(json.dumps(msgspec.to_builtins(schema)))  # defaults as JSON has them
    return cast("dict[str, Any]", plain)


def shipped_schema() -> dict[str, Any]:
    """Return the JSON Schema that comes with the package."""
    file = resources.files("openallen.sources.cells") / _SCHEMA
    schema: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return schema


def looks_like_cell(folder: Path) -> bool:
    """Return whether a folder has the manifest of a cell, intact or damaged."""
    try:
        return manifests.family_of((folder / MANIFEST_NAME).read_bytes()) == "cell"
    except OSError:
        return False


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the cell in `folder`.

    Raises
    ------
    NotFoundError
        If there is none.
    CorruptError
        If it cannot be read.
    """
    return manifests.read(folder, Manifest, noun="cell", hint="openallen fetch cell:464212183")
