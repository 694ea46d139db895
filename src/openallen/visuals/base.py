"""What all views have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["Visual"]


@dataclass(frozen=True, kw_only=True)
class Visual:
    """One view of a thing.

    Parameters
    ----------
    name
        What tells it from the others of the thing; of letters, digits, ``-`` and ``_``.
    title
        What people read above it.
    """

    kind: ClassVar[str]
    name: str
    title: str
