"""AIND open data: names, catalogue, sidecars, provenance, files."""

from openallen.sources.assets.access import catalogue, open_asset, sql
from openallen.sources.assets.catalogue import Catalogue
from openallen.sources.assets.names import AssetName, parse_name
from openallen.sources.assets.read import Asset
from openallen.sources.assets.record import Record
from openallen.sources.assets.validate import Verdict, validate

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
