"""Tables of NWB (DynamicTable): a group with a column in each array."""

from __future__ import annotations

import math
from collections.abc import Collection
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, MissingExtraError, NotFoundError, RefusedError
from openallen.formats.nwb.values import StrangeError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.formats.nwb.tree import Tree

__all__ = ["as_series", "column_names", "columns", "frame", "ragged", "spans"]

_BLANK: Final = " \t\r\n\0"


def column_names(tree: Tree, path: str) -> tuple[list[str], list[str]]:
    """Return the columns of a table by name, in its own order, and what is odd about them.

    What a table says of its columns (``colnames``) comes first, and is not believed: names may be
    padded, name what is not there, or leave out what is.

    Raises
    ------
    NotFoundError
        If there is no such table.
    """
    there = set(tree.names(path))
    said = [name for name in _said(tree.attrs(path).get("colnames")) if name.strip(_BLANK)]
    notes: list[str] = []
    names: list[str] = []
    for name in said:
        short = name.strip(_BLANK)
        # A listing may be a copy that forgot a column the table itself names: it is looked for.
        found = next((n for n in (name, short) if n in there or tree.has(f"{path}/{n}")), None)
        if found is None:
            notes.append(f"there is no column {short}, which the table names")
        elif found not in names:
            names.append(found)
    if any(name not in names for name in said) and len(notes) < len(set(said)):
        notes.append("the table names its columns with blanks around them")
    known = {*there, *(name.strip(_BLANK) for name in said)}
    more, odd = _unnamed(tree, path, there, names, known)
    if more and (said or tree.shape(f"{path}/id")[:1] != (0,)):
        notes.append(f"columns that the table does not name: {', '.join(more)}")
    return [*names, *more], [*notes, *odd]


def _said(told: Any) -> list[str]:
    """Return what ``colnames`` holds: a list of text, one text, or numbers where it is empty."""
    if isinstance(told, str):
        return [told]
    return [name for name in told if isinstance(name, str)] if isinstance(told, list) else []


def _unnamed(
    tree: Tree, path: str, there: Collection[str], names: Collection[str], known: Collection[str]
) -> tuple[list[str], list[str]]:
    """Return the columns that a table holds and does not name, and what is odd about these.

    `known` are columns that are there or named, with which indices and labels go.
    """
    taken = {"id", *names}
    left = sorted(n for n in there if n not in taken and not _serves(n, known))
    groups = set(tree.groups(path)) if left else set()
    found, odd = [], []
    for name in left:
        if name in groups:
            continue
        try:
            column = bool(tree.shape(f"{path}/{name}"))
        except (NotFoundError, RefusedError, CorruptError) as error:
            odd.append(f"{name} is not read: {error.what}")
        else:
            found += [name] if column else []
    return found, odd


def _serves(name: str, known: Collection[str]) -> bool:
    """Return whether an array is the index or the labels of a column."""
    return any(
        name.endswith(ending) and name.removesuffix(ending) in known
        for ending in ("_index", "_elements")
    )


def columns(
    tree: Tree,
    path: str,
    skip: Collection[str] = (),
    *,
    notes: list[str] | None = None,
) -> dict[str, Any]:
    """Return the columns of a table by name, in the table's own order.

    Parameters
    ----------
    tree
        The file.
    path
        Where the table is.
    skip
        Columns to leave out.
    notes
        Is given what is odd. With it, columns that cannot be read though nothing is damaged (links
        that lead nowhere, filters that are not installed, strange types) are left out and noted;
        without, they are errors.

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
    named, odd = column_names(tree, path)
    there = set(tree.names(path))
    names = [n for n in named if n not in skip]
    ends = [f"{n}_index" for n in names]
    wanted = [*names, *ends, *(f"{n}_index" for n in ends)]
    tree.ready([f"{path}/{n}" for n in wanted if n in there])
    found: dict[str, Any] = {}
    for name in names:
        try:
            found[name] = _column(tree, path, name, there, named)
        except (NotFoundError, RefusedError, MissingExtraError, StrangeError) as error:
            if notes is None:
                raise
            odd.append(f"{name} is left out: {error.what}{f' ({error.why})' if error.why else ''}")
    _unwrap(tree, path, found, odd)
    lengths = {n: len(c) for n, c in found.items()}
    if len(set(lengths.values())) > 1:
        raise CorruptError(
            "columns of a table differ in length", address=tree.name, why=f"{path}: {lengths}"
        )
    if notes is not None:
        notes += odd
    return found


def _column(
    tree: Tree, path: str, name: str, there: Collection[str], named: Collection[str]
) -> Any:
    labels = _labels(tree, f"{path}/{name}") if f"{name}_elements" in there else None
    inner = f"{name}_index"
    if inner in there and inner not in named:
        return ragged(tree, path, name, labels)
    import numpy as np

    found = np.atleast_1d(tree.array(f"{path}/{name}"))
    return found if labels is None else _labelled(found, labels)


def _labels(tree: Tree, path: str) -> np.ndarray[Any, Any] | None:
    """Return the labels of a column of numbers that stand for them (EnumData); None for others."""
    if tree.attrs(path).get("neurodata_type") != "EnumData":
        return None
    found: np.ndarray[Any, Any] = tree.array(f"{path}_elements")
    return found


def _labelled(numbers: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the label of each number; None for one without."""
    import numpy as np

    if numbers.dtype.kind not in "iu":
        raise StrangeError("labels of what is no whole number", why=str(numbers.dtype))
    made = np.empty(numbers.size, dtype=object)
    for at, value in enumerate(numbers.reshape(-1).tolist()):
        made[at] = labels[value] if 0 <= value < len(labels) else None
    return made.reshape(numbers.shape)


def _unwrap(tree: Tree, path: str, found: dict[str, Any], odd: list[str]) -> None:
    """Turn columns that are stored as a row (1 x N, as MATLAB writes them) into columns."""
    rows = {n: c.shape[1] for n, c in found.items() if _is_row(c)}
    if not rows or not tree.has(f"{path}/id"):
        return
    shape = tree.shape(f"{path}/id")
    count = math.prod(shape)
    lying = [n for n, length in rows.items() if length == count != 1]
    for name in lying:
        found[name] = found[name].reshape(found[name].shape[1:])
    if lying:
        odd.append(f"stored as rows, not columns: {', '.join(lying)}")


def _is_row(column: Any) -> bool:
    return not isinstance(column, list) and column.ndim > 1 and column.shape[0] == 1


def ragged(
    tree: Tree, path: str, name: str, labels: np.ndarray[Any, Any] | None = None
) -> list[np.ndarray[Any, Any]]:
    """Return a ragged column: an array for each row; a list of arrays where it is doubly so.

    The index holds where each row ends, in the smallest type that fits.

    Parameters
    ----------
    tree, path
        The file, and where the table is.
    name
        The column.
    labels
        What its numbers stand for; None where they stand for themselves.
    """
    inner = f"{name}_index"
    whole = tree.array(f"{path}/{name}")
    whole = whole if labels is None else _labelled(whole, labels)
    data: Any = _parted(tree, f"{path}/{inner}", whole)
    if tree.has(f"{path}/{inner}_index"):
        data = _parted(tree, f"{path}/{inner}_index", data)
    found: list[np.ndarray[Any, Any]] = data
    return found


def _parted(tree: Tree, index: str, data: Any) -> list[Any]:
    return [data[a:b] for a, b in spans(tree, index, len(data))]


def spans(tree: Tree, index: str, count: int) -> list[tuple[int, int]]:
    """Return where each row of a ragged column begins and ends.

    Parameters
    ----------
    tree, index
        The file, and where the index of the column is.
    count
        How many values the column has.

    Raises
    ------
    CorruptError
        If the index is not numbers, descends, or points behind the end of the column.
    """
    told = tree.array(index).reshape(-1)
    if told.dtype.kind not in "iu" and told.size:
        raise CorruptError("the index of a column is not numbers", address=tree.name, why=index)
    ends = told.astype("int64").tolist()
    found = list(pairwise([0, *ends]))
    if any(a > b for a, b in found) or (ends and ends[-1] > count):
        raise CorruptError(
            "the index of a column points behind its end", address=tree.name, why=index
        )
    return found


def frame(
    tree: Tree,
    path: str,
    skip: Collection[str] = (),
    index: str | None = None,
    *,
    notes: list[str] | None = None,
) -> pd.DataFrame:
    """Return a table as pandas; text columns have dtype object.

    Parameters
    ----------
    tree, path, skip, notes
        As for `columns`.
    index
        Name for an index of the table's ids; None for one that counts. Where there are fewer ids
        than rows, the rest count on if the ids count, else are missing.
    """
    import pandas as pd

    odd: list[str] = []
    found = columns(tree, path, skip, notes=None if notes is None else odd)
    made = pd.DataFrame({n: as_series(c) for n, c in found.items()}, columns=list(found))
    if index is not None:
        made.index = _ids(tree, path, len(made) if found else None, index, odd)
    if notes is not None:
        notes += odd
    return made


def _ids(tree: Tree, path: str, rows: int | None, name: str, odd: list[str]) -> pd.Index:
    """Return the ids of a table.

    Raises
    ------
    CorruptError
        If there are more ids than rows.
    """
    import numpy as np
    import pandas as pd

    ids = tree.array(f"{path}/id").reshape(-1)
    if rows is None or len(ids) == rows:
        return pd.Index(ids, name=name)
    if len(ids) > rows:
        raise CorruptError(
            "a table with more ids than rows", address=tree.name, why=f"{path}: {len(ids)}, {rows}"
        )
    odd.append(f"{len(ids)} ids for {rows} rows")
    if not len(ids) or np.array_equal(ids, np.arange(len(ids))):
        return pd.Index(np.arange(rows), name=name)
    known: Any = [*ids.tolist(), *[None] * (rows - len(ids))]
    return pd.Index(known, dtype="Int64" if ids.dtype.kind in "iu" else object, name=name)


def as_series(column: Any) -> pd.Series:
    """Return a column as a Series that keeps its type; rows of arrays and text as objects."""
    import numpy as np
    import pandas as pd

    if isinstance(column, list) or column.ndim > 1 or column.dtype.names is not None:
        cells = np.empty(len(column), dtype=object)
        for at, cell in enumerate(column):
            cells[at] = cell
        return pd.Series(cells, dtype=object)
    return pd.Series(column, dtype=object if column.dtype == object else None)
