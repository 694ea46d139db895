"""Well-known files: the files rows point at, recognised by type and never by suffix.

A reconstruction and its markers both end in ``.swc`` on the service; only the type id, or the name
of the type, distinguishes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from openallen.errors import AnswerError
from openallen.plans import safe_name

__all__ = [
    "EPHYS_TYPE",
    "MARKER_TYPE",
    "MODEL_DESCRIPTION_TYPE",
    "MODEL_PARAMETERS_TYPE",
    "MORPHOLOGY_THUMBNAIL_TYPE",
    "RECONSTRUCTION_TYPE",
    "FileType",
    "WellKnownFile",
    "file_url",
    "model_url",
    "morphology_paths",
    "of_type",
]


@dataclass(frozen=True, slots=True)
class FileType:
    """A well-known file type: its id in rows, and its name."""

    id: int
    name: str


RECONSTRUCTION_TYPE: Final = FileType(303941301, "3DNeuronReconstruction")
MARKER_TYPE: Final = FileType(486753749, "3DNeuronMarker")
MORPHOLOGY_THUMBNAIL_TYPE: Final = FileType(480715721, "MorphologyThumbnail")
EPHYS_TYPE: Final = FileType(481007198, "NWBDownload")
MODEL_PARAMETERS_TYPE: Final = FileType(329230374, "NeuronalModelParameters")
MODEL_DESCRIPTION_TYPE: Final = FileType(292178729, "BiophysicalModelDescription")


@dataclass(frozen=True, slots=True, kw_only=True)
class WellKnownFile:
    """One file a row points at.

    Parameters
    ----------
    id
        Its id, all that the download service needs.
    type_id, type_name
        Its type; the name is empty where the row does not nest it.
    path
        Its path at the service, which ends with its name.
    attached_to
        Id of the row it belongs to.
    """

    id: int
    type_id: int | None
    type_name: str = ""
    path: str = ""
    attached_to: int | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> WellKnownFile:
        """Read a row of the model WellKnownFile.

        Raises
        ------
        AnswerError
            If it has no numeric id.
        """
        told = row.get("well_known_file_type")
        nested = told if isinstance(told, Mapping) else {}
        if not isinstance(row.get("id"), int):
            raise AnswerError("a well-known file without an id", why=repr(dict(row))[:120])
        return cls(
            id=row["id"],
            type_id=row.get("well_known_file_type_id") or nested.get("id"),
            type_name=str(nested.get("name") or ""),
            path=str(row.get("path") or ""),
            attached_to=row.get("attachable_id"),
        )

    def is_a(self, kind: FileType) -> bool:
        """Return whether it is of this type, by id where there is one, else by name."""
        return self.type_id == kind.id if self.type_id else self.type_name == kind.name

    def url(self, base: str) -> str:
        """Return the URL at the service with base URL `base`."""
        return file_url(base, self.id)


def of_type(files: Iterable[WellKnownFile], kind: FileType) -> list[WellKnownFile]:
    """Return the files of one type, in the order of their ids."""
    return sorted((f for f in files if f.is_a(kind)), key=lambda f: f.id)


def morphology_paths(
    each: Iterable[Iterable[WellKnownFile]],
) -> list[tuple[WellKnownFile, str]]:
    """Return reconstruction, marker and thumbnail files with the paths they get, chosen by type.

    A name of the service that is unsafe, or in use already, is replaced by one made from the id.

    Parameters
    ----------
    each
        The files of each reconstruction.
    """
    found: list[tuple[WellKnownFile, str]] = []
    taken: set[str] = set()
    suffixes = {RECONSTRUCTION_TYPE: "swc", MARKER_TYPE: "marker", MORPHOLOGY_THUMBNAIL_TYPE: "png"}
    for files in map(tuple, each):
        for kind, suffix in suffixes.items():
            for file in of_type(files, kind):
                plain = f"{kind.name}_{file.id}.{suffix}"
                name = safe_name(file.path, plain)
                name = plain if name.casefold() in taken else name
                taken.add(name.casefold())
                found.append((file, f"morphology/{name}"))
    return found


def model_url(base: str, model_id: int) -> str:
    """Return the URL of a model with all that running it takes, as a zip."""
    return f"{base}/neuronal_model/download/{model_id}"


def file_url(base: str, file_id: int) -> str:
    """Return the URL of a well-known file at the service with base URL `base`."""
    return f"{base}/api/v2/well_known_file_download/{file_id}"
