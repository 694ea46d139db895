"""Options of the verbs for assets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openallen.sources.options import option

SIDECARS = "sidecars"
"""The folder of the store, among those of assets, where metadata that were read are kept."""

__all__ = ["ListOptions", "ShowOptions"]


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """What listing the catalogue takes."""

    refresh: bool = option(False, "Download the catalogue again, even if the copy is recent.")


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """What showing an asset takes."""

    graph: bool = option(False, "Show its provenance: source assets and derived assets.")
    dot: Path | None = option(
        None, "Write the provenance graph for Graphviz to this file.", metavar="FILE"
    )
    validate: bool = option(
        False, "Validate its metadata with aind-data-schema instead; exit code 7 if invalid."
    )
