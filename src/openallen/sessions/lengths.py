"""Arrays that belong together are equally long, or it is said which are not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from openallen.errors import CorruptError, NotFoundError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.formats.nwb import Tree

__all__ = ["numbers", "number_columns", "same_length"]


def numbers(tree: Tree, path: str) -> np.ndarray[Any, Any]:
    """Return an array of numbers, one behind the other.

    Raises
    ------
    CorruptError
        If it has another shape, or holds anything else.
    """
    found = tree.array(path)
    if found.ndim != 1 or found.dtype.kind not in "iufb":
        why = f"{path}: {found.dtype}, shape {found.shape}"
        raise CorruptError("not a row of numbers", address=tree.name, why=why)
    return found


def number_columns(tree: Tree, path: str, table: pd.DataFrame, names: Collection[str]) -> None:
    """Check that columns of a table are there, and hold a number in each row.

    Raises
    ------
    NotFoundError
        If there is no such column.
    CorruptError
        If one holds anything else.
    """
    for name in names:
        if name not in table:
            raise NotFoundError("not in this file", address=tree.name, why=f"no {path}/{name}")
        if table[name].dtype.kind not in "iufb":
            raise CorruptError("not a row of numbers", address=tree.name, why=f"{path}/{name}")


def same_length(tree: Tree, path: str, found: Mapping[str, Any]) -> None:
    """Check that arrays that belong together are equally long.

    Raises
    ------
    CorruptError
        If one has another length, with all of them.
    """
    lengths = {name: len(column) for name, column in found.items()}
    if len(set(lengths.values())) > 1:
        raise CorruptError(
            "times and values differ in number",
            address=tree.name,
            why=f"{path}: {', '.join(f'{n:,} {name}' for name, n in lengths.items())}",
        )
