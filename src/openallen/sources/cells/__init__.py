"""Cells of the Allen Cell Types Database: found, shown, fetched, opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.lazy import exports

if TYPE_CHECKING:
    from openallen.sources.cells.package import CellJob
    from openallen.sources.cells.read import Cell, CellModel
    from openallen.sources.cells.record import CellRecord

__all__ = ["Cell", "CellJob", "CellModel", "CellRecord"]

__getattr__ = exports(
    __name__,
    {"Cell": "read", "CellJob": "package", "CellModel": "read", "CellRecord": "record"},
)
