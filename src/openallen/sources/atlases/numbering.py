"""Annotations whose voxels hold running numbers, which an ontology would give wrong names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openallen.errors import UsageError
from openallen.formats.labels import few_ids, running_numbers

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["check_numbers", "check_volume"]


def check_volume(volume: Any, known: Container[int]) -> None:
    """Refuse an annotation of running numbers; see `check_numbers`."""
    check_numbers(few_ids(volume), known)


def check_numbers(ids: Any, known: Container[int]) -> None:
    """Refuse labels that are running numbers and no ids of an ontology.

    Parameters
    ----------
    ids
        Array of the labels that occur, ascending; 0 is outside of all.
    known
        Ids of the ontology.

    Raises
    ------
    UsageError
        If they are (see `openallen.formats.labels.running_numbers`).
    """
    lacking = running_numbers(ids, known)
    if lacking:
        told = ", ".join(map(str, lacking[:5])) + (", …" if len(lacking) > 5 else "")
        raise UsageError(
            "the labels of this annotation are not ids of this ontology",
            why=f"it lacks {len(lacking)} of them: {told}; they may be running numbers",
            hint="openallen list atlas:",
        )
