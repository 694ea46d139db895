"""AIND open data: names, catalogue, sidecars, provenance, files."""

from openallen.assets.ask import catalogue, open_asset, sql
from openallen.assets.catalogue import Catalogue
from openallen.assets.names import AssetName, parse_name
from openallen.assets.read import Asset
from openallen.assets.record import Record
from openallen.assets.validate import Verdict, validate

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
