"""Section images of a data set, or the plates of an atlas: found, fetched, opened, converted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.lazy import exports

if TYPE_CHECKING:
    from openallen.sources.sections.package import SectionsJob
    from openallen.sources.sections.read import SectionSet
    from openallen.sources.sections.record import SectionRecord

__all__ = ["SectionRecord", "SectionSet", "SectionsJob"]

__getattr__ = exports(
    __name__, {"SectionRecord": "record", "SectionSet": "read", "SectionsJob": "package"}
)
