"""The tables beside a matrix: one row for each cell, or for each gene; and what is unstructured.

Encodings of anndata are read by their names (``encoding-type``): data frames 0.1.0 and 0.2.0,
arrays, text, categories, and numbers with gaps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, NotFoundError, UsageError
from openallen.formats.nwb.tree import Tree

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["read_frame", "read_index", "read_mapping"]

_GAPS: Final = {
    "nullable-integer": "", "nullable-boolean": "boolean", "nullable-string-array": "object",
}  # fmt: skip
_DEEPEST: Final = 16


def read_index(tree: Tree, path: str) -> np.ndarray[Any, Any]:
    """Return the names of the rows of a table as text, in order; no other column is read.

    Parameters
    ----------
    tree, path
        The file, and the table in it: ``obs`` or ``var``.

    Raises
    ------
    NotFoundError
        If the file has no such table.
    CorruptError
        If it does not say which column names its rows.
    """
    import numpy as np

    name = _index_name(tree, path)
    found = _column(tree, f"{path}/{name}")
    values = np.empty(len(found), dtype=object)
    values[:] = [str(one) for one in np.asarray(found, dtype=object).tolist()]
    return values


def _index_name(tree: Tree, path: str) -> str:
    if not tree.has(path):
        raise NotFoundError(f"no table '{path}' in this file", address=tree.name)
    told = tree.attrs(path)
    if "_index" not in told and not tree.names(path):
        raise UsageError(
            "written by an anndata older than 0.7",
            address=tree.name,
            why=f"'{path}' is one compound array",
            hint="anndata.read_h5ad(…).write_h5ad(…) writes it anew",
        )
    name = told.get("_index")
    if not isinstance(name, str) or not tree.has(f"{path}/{name}"):
        raise CorruptError(
            f"the table '{path}' does not name its rows", address=tree.name, why=f"_index: {name!r}"
        )
    return name


def read_frame(tree: Tree, path: str) -> pd.DataFrame:
    """Return a table: text as ``object`` columns, categories as pandas' own.

    Parameters
    ----------
    tree, path
        The file, and the table in it: ``obs`` or ``var``.

    Raises
    ------
    NotFoundError
        If the file has no such table, or not one of its columns.
    CorruptError
        If columns differ in length, or a column cannot be read as what it says it is.
    """
    import pandas as pd

    name = _index_name(tree, path)
    index = read_index(tree, path)
    told = tree.attrs(path).get("column-order")
    # An array of no columns at all is written as numbers.
    listed = [told] if isinstance(told, str) else list(told) if told is not None else []
    columns: dict[str, Any] = {}
    for column in map(str, listed):
        if not tree.has(f"{path}/{column}"):
            raise NotFoundError(f"no column '{column}' in '{path}'", address=tree.name)
        values = _column(tree, f"{path}/{column}")
        if len(values) != len(index):
            raise CorruptError(
                "columns of a table differ in length",
                address=tree.name,
                why=f"{path}/{column} has {len(values):,} values, {path}/{name} {len(index):,}",
            )
        columns[column] = values
    label = None if name == "_index" else name
    rows = pd.Index(index, dtype=object, name=label)
    # Texts are ``object`` under pandas 2 and 3 alike.
    return pd.DataFrame(
        {n: pd.Series(v, index=rows, dtype=v.dtype) for n, v in columns.items()},
        index=rows,
        columns=list(columns),
    )


def _column(tree: Tree, path: str) -> Any:
    """Return the values of a column, as pandas takes them."""
    import pandas as pd

    told = tree.attrs(path)
    kind = str(told.get("encoding-type", ""))
    if kind == "categorical":
        return _categories(tree, path, f"{path}/codes", f"{path}/categories", told.get("ordered"))
    if kind in _GAPS:
        values, mask = _line(tree, f"{path}/values"), _line(tree, f"{path}/mask")
        if len(values) != len(mask):
            raise CorruptError("values and gaps differ in number", address=tree.name, why=path)
        made = pd.Series(values, dtype=_GAPS[kind] or _with_gaps(values))
        made[mask.astype(bool)] = pd.NA
        return made.array
    if tree.names(path):
        why = f"{path}: encoding-type {kind or 'is missing'}"
        raise CorruptError("a column of an unknown encoding", address=tree.name, why=why)
    beside = told.get("categories")
    if isinstance(beside, str):  # as data frames 0.1.0 have them
        ordered = tree.attrs(beside).get("ordered")
        return _categories(tree, path, path, beside, ordered)
    return _line(tree, path)


def _with_gaps(values: np.ndarray[Any, Any]) -> str:
    name = str(values.dtype)
    return name[:1].upper() + name[1:].replace("int", "Int") if name[0] == "u" else name.title()


def _categories(tree: Tree, path: str, codes: str, names: str, ordered: Any) -> pd.Categorical:
    import pandas as pd

    numbers, known = _line(tree, codes), _line(tree, names)
    if numbers.dtype.kind not in "iu" or (
        numbers.size and not -1 <= int(numbers.min()) <= int(numbers.max()) < len(known)
    ):
        why = f"{path}: codes beyond {len(known):,} categories"
        raise CorruptError("a column of categories is damaged", address=tree.name, why=why)
    labels = pd.Index(known, dtype=object) if known.dtype.kind == "O" else pd.Index(known)
    if not labels.is_unique:
        raise CorruptError("categories repeat", address=tree.name, why=path)
    return pd.Categorical.from_codes(numbers, labels, ordered=bool(ordered))


def _line(tree: Tree, path: str) -> np.ndarray[Any, Any]:
    """Return an array of one axis."""
    if not tree.has(path):
        raise CorruptError("part of a column is missing", address=tree.name, why=f"no {path}")
    values = tree.array(path)
    if values.ndim != 1:
        why = f"{path} has {values.ndim} axes"
        raise CorruptError("a column that is no list of values", address=tree.name, why=why)
    return values


def read_mapping(tree: Tree, path: str, depth: int = 0) -> dict[str, Any]:
    """Return what is unstructured: numbers, text, arrays, tables, and mappings of these.

    Parameters
    ----------
    tree, path
        The file, and the group in it.
    depth
        How deep in others it lies.

    Raises
    ------
    CorruptError
        If mappings lie too deep in each other.
    """
    if depth > _DEEPEST:
        raise CorruptError("mappings too deep in each other", address=tree.name, why=path)
    found: dict[str, Any] = {}
    for name in tree.names(path):
        inner = f"{path}/{name}"
        kind = str(tree.attrs(inner).get("encoding-type", ""))
        if kind == "dataframe":
            found[name] = read_frame(tree, inner)
        elif kind == "categorical" or kind in _GAPS:
            found[name] = _column(tree, inner)
        elif tree.names(inner) or kind == "dict":
            found[name] = read_mapping(tree, inner, depth + 1)
        elif kind != "null":
            found[name] = tree.array(inner) if tree.shape(inner) else tree.value(inner)
    return found
