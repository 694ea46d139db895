"""CSV by pandas, where it would move columns by one or round large numbers without a word."""

from __future__ import annotations

import codecs
import csv
import io
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_csv"]

_EXACT: Final = float(1 << 53)
"""Whole numbers from here on are not all there in double precision."""
_MOST: Final = float(1 << 63)


def read_csv(source: Path | io.BytesIO, where: str, **options: Any) -> pd.DataFrame:
    """Return a table.

    Parameters
    ----------
    source
        A path, or its bytes.
    where
        What it is called in messages.
    **options
        As for `pandas.read_csv`.

    Returns
    -------
    DataFrame
        Whole numbers too large for double precision stay exact beside missing ones: such a column
        is ``Int64``.

    Raises
    ------
    CorruptError
        If lines have more cells than the header: pandas would take the first for an index, and move
        all others by one.
    """
    import pandas as pd

    made = pd.read_csv(source, **options)
    _check_width(source, where, options.get("sep", ","))
    rounded = [name for name in made.columns if _rounded(made[name])]
    for name in rounded:
        given = {**options, "usecols": [name], "dtype": {name: "Int64"}}
        try:
            made[name] = pd.read_csv(_again(source), **given)[name]
        except (ValueError, TypeError, OverflowError):
            continue  # fractions or powers of ten among them: these are no ids
    return made


def _again(source: Any) -> Any:
    if isinstance(source, io.BytesIO):
        source.seek(0)
    return source


def _check_width(source: Path | io.BytesIO, where: str, separator: str) -> None:
    """Compare the first line with the header: pandas refuses whatever is longer behind that."""
    with ExitStack() as open_files:
        body = _again(source)
        if isinstance(body, Path):
            body = open_files.enter_context(body.open("rb"))
        lines = codecs.iterdecode(body, "utf-8-sig", "replace")
        with suppress(csv.Error):  # of a cell that is too long, which pandas reads
            rows = filter(None, csv.reader(lines, delimiter=separator))
            header, first = next(rows, []), next(rows, [])
            if len(first) > len(header):
                why = f"{len(first)} cells below {len(header)} names"
                raise CorruptError("lines with more cells than the header", address=where, why=why)


def _rounded(column: pd.Series) -> bool:
    """Return whether a column is whole numbers that became floats beside missing ones."""
    if column.dtype != "float64" or not column.isna().any():
        return False
    known = column.dropna()
    size = known.abs()
    return bool((size >= _EXACT).any() and (size <= _MOST).all() and (known % 1 == 0).all())
