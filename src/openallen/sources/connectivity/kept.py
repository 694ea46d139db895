"""Rows of the service that stay in the store, so that the same question needs no network again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.errors import SpaceError, StoreError
from openallen.store.disk import read_object, write_whole

if TYPE_CHECKING:
    from openallen.brainmap.answers import Row

__all__ = ["keep_rows", "kept_rows"]


def kept_rows(path: Path, source: str) -> list[Row] | None:
    """Return rows that were kept of a service; None where none were, or the file is damaged.

    Parameters
    ----------
    path
        The file.
    source
        The service; what was kept of another one is not returned.
    """
    told = read_object(path)
    columns, values = told.get("columns"), told.get("rows")
    if told.get("source") != source or not isinstance(columns, list) or not values:
        return None
    if not isinstance(values, list) or any(
        not isinstance(row, list) or len(row) != len(columns) for row in values
    ):
        return None
    return [dict(zip(columns, row, strict=True)) for row in values]


def keep_rows(path: Path, source: str, query: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep rows: names of columns once, then the values of each row.

    A store that cannot be written to is no reason to fail: they are asked for again next time.

    Parameters
    ----------
    path
        The file.
    source
        The service they came from.
    query
        What was asked.
    rows
        The rows; what one lacks that another has becomes None.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    told = {
        "source": source,
        "query": query,
        "columns": columns,
        "rows": [[row.get(name) for name in columns] for row in rows],
    }
    with suppress(StoreError, SpaceError):
        write_whole(path, json.dumps(told, separators=(",", ":")).encode())
