"""Large tables in CSV as Parquet, with the types that pandas gives their columns.

A column is whole numbers, fractions, true and false, or text, by all of its values: it begins as
the narrowest of these, and where a value does not fit, the file is begun again with a wider one.
Both are streamed, so that a table of gigabytes takes little memory. What is kept beside the columns
says how pandas has them; pages have checksums, and so has the end of the file, which names them.
"""

from __future__ import annotations

import csv
import json
import os
import re
import secrets
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, requiring
from openallen.json_text import load_json

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

__all__ = ["Columns", "DamagedCopyError", "to_frame", "write_parquet"]

NOTHING: Final = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
"""Cells that are no value to pandas."""

_TRUE: Final = ("True", "TRUE", "true")
_FALSE: Final = ("False", "FALSE", "false")
_BLOCK_BYTES: Final = 16 << 20
_SAMPLE_ROWS: Final = 200
_SAMPLE_BYTES: Final = 1 << 20
_EXACT: Final = 1 << 53
_LARGEST: Final = 1 << 63
_WHOLE: Final = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER: Final = re.compile(
    r"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|inf|infinity)", re.ASCII | re.IGNORECASE
)
_MISFIT: Final = re.compile(r"In CSV column #(\d+):.*?invalid value '(.*)'", re.DOTALL)
_ENCODING: Final = "utf-8-sig"


class DamagedCopyError(CorruptError):
    """A Parquet file that is not what was written; it is made again."""


# --- writing --------------------------------------------------------------------------------------


def write_parquet(source: Path, target: Path, texts: Collection[str] = ()) -> None:
    """Write a table in CSV as Parquet; at `target` is the whole, or nothing.

    Parameters
    ----------
    source, target
        The table, and where the copy goes.
    texts
        Columns that are text whatever their values look like.

    Raises
    ------
    CorruptError
        If a line has more or fewer cells than the header, or the file is no table.
    OSError
        If it cannot be written.
    MissingExtraError
        Without the extra ``tables``.
    """
    with requiring("reading large tables", "tables"):
        import pyarrow as pa

        del pa
    names = _header(source)
    kinds = {name: "string" if name in texts else "int64" for name in names}
    for row in _sample(source, len(names)):
        for name, cell in zip(names, row, strict=True):
            while cell not in NOTHING and not _fits(kinds[name], cell):
                kinds[name] = _wider(kinds[name], cell)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        _seal(draft, target, _write_draft(source, draft, names, kinds))
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _header(source: Path) -> list[str]:
    """Return the names of the columns; those without a name as pandas calls them."""
    try:
        with source.open(encoding=_ENCODING, newline="") as file:
            line = file.readline(_SAMPLE_BYTES)
        names = next(csv.reader([line]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorruptError("not a table", address=str(source), why=str(error)[:200]) from error
    if not names or names[0].lstrip().startswith("<"):
        raise CorruptError("the table has no header", address=str(source))
    named = [name or f"Unnamed: {at}" for at, name in enumerate(names)]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise CorruptError("two columns have one name", address=str(source), why=twice)
    return named


def _sample(source: Path, width: int) -> Iterator[list[str]]:
    """Yield the first rows, as far as they are whole; the others say later what is wrong."""
    with (
        suppress(UnicodeDecodeError, csv.Error),
        source.open(encoding=_ENCODING, newline="") as file,
    ):
        lines = csv.reader(file)
        next(lines, None)
        for _, row in zip(range(_SAMPLE_ROWS), lines, strict=False):
            if len(row) == width:
                yield row


def _fits(kind: str, cell: str) -> bool:
    if kind == "int64":
        return bool(_WHOLE.fullmatch(cell)) and len(cell) < 30 and -_LARGEST <= int(cell) < _LARGEST
    if kind == "uint64":
        return cell.isdigit() and len(cell) < 30 and int(cell) < 2 * _LARGEST
    if kind == "bool":
        return cell in (*_TRUE, *_FALSE)
    return kind == "string" or bool(_NUMBER.fullmatch(cell))


def _wider(kind: str, cell: str) -> str:
    """Return the next kind of column that may hold a cell; each is wider than the last."""
    whole = bool(_WHOLE.fullmatch(cell))
    if kind == "int64":
        if cell in (*_TRUE, *_FALSE):
            return "bool"
        if whole:  # too large: ids of many digits are text, not the nearest fraction
            return "uint64" if _fits("uint64", cell) else "string"
    if kind in {"int64", "uint64"} and not whole and _NUMBER.fullmatch(cell):
        return "double"
    return "string"


def _write_draft(
    source: Path, draft: Path, names: Sequence[str], kinds: dict[str, str]
) -> list[tuple[str, str]]:
    """Write a copy with columns as wide as they have to be; return how pandas has each."""
    import pyarrow as pa

    inside = False  # line ends within cells are rare, and looking for them is slow
    while True:
        try:
            return _stream(source, draft, names, kinds, newlines=inside)
        except pa.ArrowInvalid as error:
            misfit = _MISFIT.search(str(error))
            if misfit is not None and int(misfit[1]) < len(names):
                name = names[int(misfit[1])]
                if kinds[name] != "string":
                    kinds[name] = _wider(kinds[name], misfit[2])
                    continue
            elif not inside and "columns, got" in str(error):
                inside = True
                continue
            raise _broken(source, error) from error
        except pa.ArrowException as error:
            raise _broken(source, error) from error


def _broken(source: Path, error: Exception) -> CorruptError:
    return CorruptError(
        "the table has a malformed line", address=str(source), why=str(error).strip()[:200]
    )


def _stream(
    source: Path, draft: Path, names: Sequence[str], kinds: Mapping[str, str], *, newlines: bool
) -> list[tuple[str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import csv as arrow_csv

    schema = pa.schema([(name, pa.type_for_alias(kinds[name])) for name in names])
    reader = arrow_csv.open_csv(
        source,
        arrow_csv.ReadOptions(column_names=list(names), skip_rows=1, block_size=_BLOCK_BYTES),
        arrow_csv.ParseOptions(newlines_in_values=newlines),
        arrow_csv.ConvertOptions(
            column_types=schema,
            null_values=list(NOTHING),
            strings_can_be_null=True,
            true_values=list(_TRUE),
            false_values=list(_FALSE),
        ),
    )
    seen = {name: _Seen() for name in names}
    with (
        reader,
        pq.ParquetWriter(
            draft, schema, compression="zstd", compression_level=1, write_page_checksum=True
        ) as writer,
    ):
        for batch in reader:
            for name, column in zip(names, batch.columns, strict=True):
                seen[name].add(column)
            writer.write_batch(batch)
    return [(name, seen[name].kind(kinds[name])) for name in names]


class _Seen:
    """What was in a column so far: whether values were missing, and how large they were."""

    def __init__(self) -> None:
        self.missing = self.rows = self.largest = 0

    def add(self, column: pa.Array) -> None:
        """Look at some more of it."""
        import pyarrow as pa
        import pyarrow.compute as pc

        self.rows += len(column)
        self.missing += column.null_count
        if pa.types.is_signed_integer(column.type):
            ends = pc.min_max(column).as_py()
            self.largest = max(self.largest, abs(ends["min"] or 0), abs(ends["max"] or 0))

    def kind(self, arrow: str) -> str:
        """Return how pandas has the column."""
        if arrow == "string" or not self.rows:
            return "object"
        if arrow == "double" or self.missing == self.rows:
            return "float64"
        if not self.missing:
            return arrow
        if arrow == "bool":
            return "object"
        if arrow == "uint64":  # it has values that int64 has no room for
            return "UInt64"
        return "Int64" if self.largest >= _EXACT else "float64"


def _seal(draft: Path, target: Path, columns: list[tuple[str, str]]) -> None:
    """Put a file in its place, and beside it its columns and what its end has to be."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    told = {"columns": columns, **_end_of(draft), "check": _check_of(columns)}
    draft.replace(target)
    draft.write_bytes(json.dumps(told).encode())
    draft.replace(_beside(target))


def _beside(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _check_of(columns: Any) -> int:
    return zlib.crc32(json.dumps(columns).encode())


def _end_of(path: Path) -> dict[str, int]:
    """Return the size of a Parquet file, and a checksum of what names its parts."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 8))
        length = int.from_bytes(file.read(4), "little")
        file.seek(max(0, size - 8 - length))
        return {"size_bytes": size, "end": zlib.crc32(file.read(length + 8))}


# --- reading --------------------------------------------------------------------------------------


class Columns:
    """A Parquet file that `write_parquet` wrote.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    DamagedCopyError
        If it is not what was written, or not there.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.dataset as ds

        self._path = path
        try:
            told = load_json(_beside(path).read_bytes())
            columns = told["columns"]
            if told != {"columns": columns, **_end_of(path), "check": _check_of(columns)}:
                raise DamagedCopyError("the copy is damaged", address=str(path))
            checked = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
            form = ds.ParquetFileFormat(default_fragment_scan_options=checked)
            self._data = ds.dataset(path, format=form)
            self.kinds: dict[str, str] = {str(name): str(kind) for name, kind in columns}
            self.stored: dict[str, str] = {one.name: str(one.type) for one in self._data.schema}
        except (OSError, ValueError, LookupError, TypeError, pa.ArrowException) as error:
            if isinstance(error, DamagedCopyError):
                raise
            raise DamagedCopyError(
                "the copy is damaged", address=str(path), why=str(error)[:200]
            ) from error

    @property
    def numbers(self) -> list[str]:
        """Names of the columns that hold numbers alone."""
        return [n for n, kind in self.kinds.items() if kind not in {"object", "bool"}]

    def table(
        self, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pa.Table:
        """Return columns of the rows that match.

        Raises
        ------
        DamagedCopyError
            If the file is damaged.
        """
        import pyarrow as pa

        wanted = None if columns is None else list(columns)
        try:
            return self._data.to_table(columns=wanted, filter=where)
        except (OSError, pa.ArrowException) as error:
            raise DamagedCopyError(
                "the copy is damaged", address=str(self._path), why=str(error)[:200]
            ) from error

    def batches(self, where: pc.Expression | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows that match, in order, some at a time; raises as `table` does."""
        import pyarrow as pa

        try:
            yield from self._data.to_batches(
                filter=where, batch_size=1 << 14, batch_readahead=2, fragment_readahead=1
            )
        except (OSError, pa.ArrowException) as error:
            raise DamagedCopyError(
                "the copy is damaged", address=str(self._path), why=str(error)[:200]
            ) from error

    def count(self, where: pc.Expression | None = None) -> int:
        """Return how many rows match."""
        return int(self._data.count_rows(filter=where))


def to_frame(table: pa.Table, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Return a table as pandas reads it from CSV: text as ``object``, NaN for what is missing.

    Parameters
    ----------
    table
        Columns of a `Columns`.
    kinds
        How pandas has each of them.
    """
    import pandas as pd

    made = {name: _series(table.column(name), kinds[name]) for name in table.column_names}
    index = pd.RangeIndex(table.num_rows)
    return pd.DataFrame(made, index=index, columns=table.column_names, copy=False)


def _series(column: pa.ChunkedArray, kind: str) -> Any:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    if kind != "object":
        if kind in {"Int64", "UInt64"}:
            mapper = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}.get
            return column.to_pandas(types_mapper=mapper).array
        values = column.to_numpy()
        return values if str(values.dtype) == kind else values.astype(kind)
    if column.num_chunks == 0:
        return pd.Series(dtype=object)
    # Each text is made once, however many rows have it.
    coded = column.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.unify_dictionaries().combine_chunks()
    known = np.empty(len(coded.dictionary) + 1, dtype=object)
    known[:-1] = coded.dictionary.to_numpy(zero_copy_only=False)
    known[-1] = np.nan
    codes = coded.indices.fill_null(len(coded.dictionary)).to_numpy(zero_copy_only=False)
    return pd.Series(known[codes], dtype=object)
