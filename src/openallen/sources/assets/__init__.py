"""AIND open data: names, catalogue, sidecars, provenance, files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.lazy import exports

if TYPE_CHECKING:
    from openallen.sources.assets.access import catalogue, open_asset, sql
    from openallen.sources.assets.catalogues import Catalogue
    from openallen.sources.assets.names import AssetName, parse_name
    from openallen.sources.assets.read import Asset
    from openallen.sources.assets.record import Record
    from openallen.sources.assets.validation import Verdict, validate

__all__ = [
    "Asset",
    "AssetName",
    "Catalogue",
    "Record",
    "Verdict",
    "catalogue",
    "open_asset",
    "parse_name",
    "sql",
    "validate",
]

__getattr__ = exports(
    __name__,
    {
        "Asset": "read",
        "AssetName": "names",
        "Catalogue": "catalogues",
        "Record": "record",
        "Verdict": "validation",
        "catalogue": "access",
        "open_asset": "access",
        "parse_name": "names",
        "sql": "access",
        "validate": "validation",
    },
)
