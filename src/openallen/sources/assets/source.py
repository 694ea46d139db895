"""The door of AIND open data: ``asset:NAME/ecephys/*``."""

from __future__ import annotations

from typing import ClassVar

from openallen.sources.base import Example, Source

__all__ = ["AssetSource"]


class AssetSource(Source):
    """An AIND open data asset."""

    scheme: ClassVar[str] = "asset"
    title: ClassVar[str] = "an AIND open data asset"
    parts: ClassVar[bool] = True
    folder: ClassVar[str] = "assets"
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "asset:ecephys_625749_2022-08-03_15-15-06_nwb_2023-05-16_16-34-55/ecephys/*",
            "files of an asset",
        ),
    )
