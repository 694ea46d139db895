"""Tables of NWB (DynamicTable): a group with a column in each array."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from openallen.errors import CorruptError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.formats.nwb.tree import Tree

__all__ = ["as_series", "columns", "frame", "ragged"]


def columns(tree: Tree, path: str, skip: Collection[str] = ()) -> dict[str, Any]:
    """Return the columns of a table by name, in the table's own order.

    Parameters
    ----------
    tree
        The file.
    path
        Where the table is.
    skip
        Columns to leave out.

    Returns
    -------
    dict
        An array for each column; a ragged one is a list of arrays.

    Raises
    ------
    NotFoundError
        If there is no such table.
    CorruptError
        If the columns differ in length.
    """
    told = tree.attrs(path).get("colnames", [])
    there = set(tree.names(path))
    # A listing may be a copy that forgot a column the table itself names: then it is looked for.
    names = [n for n in told if n not in skip and (n in there or tree.has(f"{path}/{n}"))]
    ends = [f"{n}_index" for n in names]
    wanted = [*names, *ends, *(f"{n}_index" for n in ends)]
    tree.ready([f"{path}/{n}" for n in wanted if n in there])
    found = {n: ragged(tree, path, n) if f"{n}_index" in there else tree.array(f"{path}/{n}")
             for n in names}  # fmt: skip
    lengths = {n: len(c) for n, c in found.items()}
    if len(set(lengths.values())) > 1:
        raise CorruptError(
            "columns of a table differ in length", address=tree.name, why=f"{path}: {lengths}"
        )
    return found


def ragged(tree: Tree, path: str, name: str) -> list[np.ndarray[Any, Any]]:
    """Return a ragged column: an array for each row; a list of arrays where it is doubly so.

    The index holds where each row ends, in the smallest type that fits.
    """
    inner = f"{name}_index"
    data: Any = _parted(tree, f"{path}/{inner}", tree.array(f"{path}/{name}"))
    if tree.has(f"{path}/{inner}_index"):
        data = _parted(tree, f"{path}/{inner}_index", data)
    found: list[np.ndarray[Any, Any]] = data
    return found


def _parted(tree: Tree, index: str, data: Any) -> list[Any]:
    ends = tree.array(index).astype("int64").tolist()
    starts = [0, *ends[:-1]]
    if any(a > b for a, b in zip(starts, ends, strict=True)) or (ends and ends[-1] > len(data)):
        raise CorruptError(
            "the index of a column points behind its end", address=tree.name, why=index
        )
    return [data[a:b] for a, b in zip(starts, ends, strict=True)]


def frame(
    tree: Tree, path: str, skip: Collection[str] = (), index: str | None = None
) -> pd.DataFrame:
    """Return a table as pandas; text columns have dtype object.

    Parameters
    ----------
    tree, path, skip
        As for `columns`.
    index
        Name for an index of the table's ids; None for one that counts.
    """
    import pandas as pd

    found = columns(tree, path, skip)
    ids = tree.array(f"{path}/id") if index is not None else None
    made = pd.DataFrame({n: as_series(c) for n, c in found.items()}, columns=list(found))
    if ids is not None:
        made.index = pd.Index(ids, name=index)
    return made


def as_series(column: Any) -> pd.Series:
    """Return a column as a Series that keeps its type; rows of arrays and text as objects."""
    import numpy as np
    import pandas as pd

    if isinstance(column, list) or column.ndim > 1:
        cells = np.empty(len(column), dtype=object)
        for at, cell in enumerate(column):
            cells[at] = cell
        return pd.Series(cells, dtype=object)
    return pd.Series(column, dtype=object if column.dtype == object else None)
