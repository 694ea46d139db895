"""What a manifest is enough for: what the service said of a cell, and what it lacks."""

from __future__ import annotations

from pathlib import Path

from openallen.errors import IntegrityError, NotFoundError
from openallen.sources.cells.manifest import Manifest, read_manifest
from openallen.sources.cells.record import CellRecord

__all__ = ["known_manifest", "record_of", "why_none"]


def record_of(manifest: Manifest) -> CellRecord:
    """Return what a manifest records of a cell."""
    return CellRecord(
        specimen_id=manifest.cell_id,
        rows=manifest.rows,
        queries={q.wanted: q.rma for q in manifest.queries},
        source=manifest.source,
        notes=manifest.notes,
        simulated=manifest.simulated,
        model_id=manifest.model_id,
    )


def known_manifest(folder: Path) -> Manifest | None:
    """Return the manifest in a folder; None where there is none that can be read."""
    try:
        return read_manifest(folder)
    except NotFoundError:
        return None
    except IntegrityError:
        return None  # a damaged manifest vouches for nothing; it is replaced


def why_none(record: CellRecord, part: str) -> str:
    """Return why a cell has no files of a part, in words.

    Parameters
    ----------
    record
        The cell.
    part
        ``ephys``, ``morphology`` or ``models``.
    """
    if part == "ephys":
        return "the service names no NWB file of it"
    if part == "models":
        return "the service has no models of it"
    if record.reconstruction:
        return "the service names no files of its reconstruction"
    return "it was not reconstructed"
