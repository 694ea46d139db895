"""Lists of the ABC Atlas: its data sets, what one of them holds, rows of a table."""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from openallen.sources.filters import no_rows
from openallen.sources.releases.abc.release import AbcRelease
from openallen.sources.releases.data_sets import KINDS, directories, files_in, name_of
from openallen.sources.tables import Row, Rows, telling

if TYPE_CHECKING:
    from openallen.address import Condition

__all__ = ["data_set_rows", "name_rows", "table_rows"]

DATA_SET_COLUMNS: Final = ("data_set", "address", *KINDS, "size_bytes")
NAME_COLUMNS: Final = ("name", "kind", "size_bytes", "here", "address")
_LOOKED_AT: Final = 50
_MOST_SUGGESTED: Final = 10_000


def data_set_rows(release: AbcRelease) -> list[Row]:
    """Return a row for each data set: how many files of each kind it has, and their size."""
    manifest = release.manifest
    rows = []
    for name in directories(manifest):
        files = files_in(manifest, name)
        counts = {kind: sum(file.kind == kind for file in files) for kind in KINDS}
        size = sum(file.size_bytes or 0 for file in files)
        address = f"{manifest.address}/{name}"
        rows.append({"data_set": name, "address": address, **counts, "size_bytes": size})
    return rows


def name_rows(release: AbcRelease, data_set: str, kind: str = "") -> list[Row]:
    """Return a row for each file of a data set, with the address it is known by."""
    return [
        {
            "name": name_of(file),
            "kind": file.kind,
            "size_bytes": file.size_bytes,
            "here": release.has(file),
            "address": f"{release.address}/{data_set}/{name_of(file)}",
            "path": file.path,
            "digest": file.digest,
        }
        for file in files_in(release.manifest, data_set, kind)
    ]


def table_rows(
    release: AbcRelease,
    name: str,
    conditions: tuple[Condition, ...],
    *,
    limit: int | None,
    plain: str,
    command: str,
) -> Rows:
    """Return the rows of a table that match; only those shown are ever in memory.

    Parameters
    ----------
    release, name
        The table.
    conditions
        What rows have to match.
    limit
        Rows at most; all where None.
    plain, command
        The address without conditions, and the command that lists it.

    Raises
    ------
    UsageError
        If a condition is on no column.
    """
    kept = release.kept(name)
    rows: Callable[[], Any] = functools.partial(kept.rows, conditions, command)
    total = kept.count(conditions, command)
    first = list(islice(rows(), _LOOKED_AT))
    columns = kept.columns()
    shown = telling(first) if first else ()
    asked = [c.field for c in conditions]
    return Rows(
        islice(rows(), limit) if limit is not None else rows(),
        tuple(dict.fromkeys([columns[0], *asked, *shown])) if first else (),
        id_column=columns[0],
        noun="row",
        total=total if limit is not None else None,
        notes=release.notes,
        empty=lambda: no_rows(
            list(islice(kept.rows(), _MOST_SUGGESTED)), conditions, plain, command
        ),
    )
