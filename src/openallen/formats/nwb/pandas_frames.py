"""Tables that pandas wrote to HDF5 (``DataFrame.to_hdf`` in its fixed format), read by h5py.

Columns lie in blocks of one type each. Those of Python objects are pickles: `formats.pickles` makes
values and arrays of them, and runs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, NotFoundError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pandas as pd

    from openallen.formats.nwb.tree import Tree

__all__ = ["is_frame", "read_frame"]

_FIXED: Final = "frame"
_TIMES: Final = ("datetime64", "timedelta64")
_MOST_BLOCKS: Final = 1000


def is_frame(tree: Tree, path: str) -> bool:
    """Return whether a group is a table of pandas, of whatever layout."""
    return "pandas_type" in tree.attrs(path)


def read_frame(tree: Tree, path: str) -> pd.DataFrame:
    """Return a table of pandas.

    Parameters
    ----------
    tree
        The file.
    path
        The group of the table.

    Returns
    -------
    DataFrame
        With the types, the index and the order of columns that it was written with.

    Raises
    ------
    NotFoundError
        If it is none, or of the other layout of pandas (``format="table"``).
    RefusedError
        If a column is a pickle that asks for more than values and arrays.
    CorruptError
        If its parts do not go together.
    """
    import pandas as pd

    told = tree.attrs(path)
    layout = str(told.get("pandas_type", "none"))
    if layout != _FIXED:
        raise NotFoundError(
            "no table of pandas that can be read here",
            address=tree.name,
            why=f"{path}: its layout is '{layout}', not '{_FIXED}'",
        )
    columns, rows = _labels(tree, f"{path}/axis0"), _labels(tree, f"{path}/axis1")
    made: dict[Any, Any] = {}
    for number in range(_count(told, tree.name, path)):
        block = f"{path}/block{number}"
        names = _labels(tree, f"{block}_items")
        values = _values(tree, f"{block}_values", (len(names), len(rows)))
        made |= {
            name: pd.Series(row, index=rows, dtype=row.dtype)
            for name, row in zip(names, values, strict=True)
        }
    missing = [str(name) for name in columns if name not in made]
    if missing:
        raise CorruptError(
            "columns without values", address=tree.name, why=f"{path}: {', '.join(missing[:5])}"
        )
    return pd.DataFrame({name: made[name] for name in columns}, index=rows, columns=columns)


def _count(told: Mapping[str, Any], where: str, path: str) -> int:
    count = told.get("nblocks", 0)
    if not isinstance(count, int) or not 0 <= count <= _MOST_BLOCKS:
        raise CorruptError("blocks that are no number", address=where, why=f"{path}: {count!r}")
    return count


def _labels(tree: Tree, path: str) -> pd.Index:
    """Return the labels of rows or columns; text where they are text."""
    import pandas as pd

    told = tree.attrs(path)
    values = _array(tree, path)
    if values.ndim != 1:
        raise CorruptError("labels that are not one row", address=tree.name, why=path)
    kind = str(told.get("kind", ""))
    if kind == "string":
        values = _objects([str(value) for value in values])
    elif kind.startswith(_TIMES):
        values = values.view("M8[ns]" if kind.startswith("d") else "m8[ns]")
    dtype = object if values.dtype == object else None
    return pd.Index(values, dtype=dtype, name=_name(told))


def _name(told: Mapping[str, Any]) -> str | None:
    """Return the name of an index, which is kept as a pickle."""
    from openallen.formats import pickles

    raw = told.get("name")
    if isinstance(raw, str):
        raw = raw.encode("latin-1")
    try:
        found = pickles.values(bytes(raw)) if raw else None
    except (ValueError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _objects(values: list[Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def _array(tree: Tree, path: str) -> np.ndarray[Any, Any]:
    """Return an array as pandas has it: pickled ones as values, those without items as none."""
    import numpy as np

    told = tree.attrs(path)
    if "shape" in told:  # HDF5 has no array without items, so that its shape is told aside
        shape = tuple(int(n) for n in np.atleast_1d(told["shape"]))
        if 0 not in shape:
            raise CorruptError("an empty array that is not", address=tree.name, why=path)
        return np.empty(shape, dtype=_empty_type(told))
    found: np.ndarray[Any, Any] = tree.array(path)
    if told.get("CLASS") == "VLARRAY":
        found = _unpickled(found, tree.name, path)
    return found.T if told.get("transposed") else found


def _empty_type(told: Mapping[str, Any]) -> str:
    kind = str(told.get("value_type", ""))
    return kind if kind in {"int64", "float64", "bool"} else "object"


def _unpickled(found: np.ndarray[Any, Any], where: str, path: str) -> np.ndarray[Any, Any]:
    import numpy as np

    from openallen.formats import pickles

    if len(found) != 1 or getattr(found[0], "dtype", None) != np.uint8:
        raise CorruptError("objects that are not one pickle", address=where, why=path)
    try:
        values = pickles.values(found[0].tobytes())
    except ValueError as error:
        raise RefusedError(
            "a pickle that is not run", address=where, why=f"{path}: {error}"
        ) from error
    if not isinstance(values, np.ndarray):
        raise CorruptError("objects that are no array", address=where, why=path)
    return values


def _values(tree: Tree, path: str, shape: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Return the values of a block, columns x rows."""
    values = _array(tree, path)
    if values.shape != shape:
        raise CorruptError(
            "a block of another size than its labels",
            address=tree.name,
            why=f"{path}: {values.shape}, not {shape}",
        )
    kind = str(tree.attrs(path).get("value_type", ""))
    return _in_time(values, kind) if kind.startswith(_TIMES) else values


def _in_time(values: np.ndarray[Any, Any], kind: str) -> np.ndarray[Any, Any]:
    """Return whole numbers as times, in the unit that is told; nanoseconds where none is."""
    import numpy as np

    name, _, unit = kind.partition("[")
    unit = unit.rstrip("]") or "ns"
    if unit not in {"s", "ms", "us", "ns"} or values.dtype.kind not in "iu":
        return values
    times = values.astype("int64").view(f"{name}[{unit}]")
    made: np.ndarray[Any, Any] = times.astype(np.dtype(f"{name}[ns]"))
    return made
