"""Read tables and documents of an asset: CSV, Parquet, JSON, NumPy, SWC; only the parts needed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import (
    CorruptError,
    IntegrityError,
    MissingExtraError,
    NotFoundError,
    UsageError,
)
from openallen.json_text import load_json

if TYPE_CHECKING:
    from openallen.formats.objects import Objects

__all__ = ["COLUMNAR", "ENDINGS", "read_document"]

ENDINGS: Final = (".csv", ".tsv", ".json", ".jsonl", ".npy", ".npz", ".parquet", ".pqt", ".swc")
_ROW_BYTES: Final = 256
COLUMNAR: Final = (".parquet", ".pqt")


def read_document(
    place: Objects,
    key: str,
    file: Any = None,
    *,
    columns: Sequence[str] | None = None,
    nrows: int | None = None,
) -> Any:
    """Read a table or a document.

    Parameters
    ----------
    place, key
        Place and key; the suffix determines the format.
    file
        The same as a seekable file object; for Parquet.
    columns
        Columns of a table to return; of Parquet, only these are read.
    nrows
        Number of rows to return, from the first.

    Returns
    -------
    DataFrame, dict, list, ndarray, DataArray or Morphology
        By the suffix. Of ``.npz`` a dict of arrays; events of Visual Coding a DataArray.

    Raises
    ------
    NotFoundError
        If the object does not exist.
    CorruptError
        If its content does not match its suffix.
    UsageError
        If a column does not exist.
    MissingExtraError
        Without the extra ``tables``.
    """
    where, low = f"{place.name}/{key}".removeprefix("./"), key.lower()
    try:
        if low.endswith(COLUMNAR):
            return _parquet(file, where, columns, nrows)
        if low.endswith((".csv", ".tsv")):
            return _csv(place, key, columns, nrows)
        body = _whole(place, key)
        if low.endswith((".npy", ".npz")):
            return _numpy(body, where, packed=low.endswith(".npz"))
        if low.endswith(".swc"):
            from openallen.formats.swc import read_swc

            return read_swc(body)
        if low.endswith(".jsonl"):
            return [load_json(line) for line in body.splitlines() if line.strip()]
        return load_json(body)
    except ImportError as error:
        raise MissingExtraError("tables", "reading a table") from error
    except (ValueError, EOFError, MemoryError) as error:
        if isinstance(error, (UsageError, IntegrityError)):
            error.address = error.address or where
            raise
        raise CorruptError(
            f"not valid {low.rpartition('.')[2].upper()}", address=where, why=str(error)[:200]
        ) from error


def _whole(place: Objects, key: str) -> bytes:
    body = place.get(key)
    if body is None:
        raise NotFoundError("no such file", address=f"{place.name}/{key}")
    return body


def _numpy(body: bytes, where: str, *, packed: bool) -> Any:
    from openallen.formats.events import labelled
    from openallen.formats.npy import read_npy, read_npz

    return labelled(read_npz(body, where)) if packed else read_npy(body, where)


def _csv(place: Objects, key: str, columns: Sequence[str] | None, nrows: int | None) -> Any:
    from openallen.formats.csv_tables import read_csv

    body = _head(place, key, nrows) if nrows is not None else _whole(place, key)
    if body.lstrip()[:1] == b"<":
        raise CorruptError("not valid CSV", address=f"{place.name}/{key}", why="it begins with <")
    separator = "\t" if key.lower().endswith(".tsv") else ","
    where = f"{place.name}/{key}".removeprefix("./")
    made = read_csv(io.BytesIO(body), where, sep=separator, nrows=nrows)
    _known(columns, list(made.columns), where)
    return made if columns is None else made[list(columns)]


def _head(place: Objects, key: str, nrows: int) -> bytes:
    """Return complete lines from the beginning, enough for `nrows` rows where there are as many."""
    size = max(1 << 16, _ROW_BYTES * (nrows + 1))
    while True:
        body = place.get(key, 0, size)
        if body is None:
            return _whole(place, key)
        if len(body) < size:
            return body
        if body.count(b"\n") > nrows and body.count(b'"') == 0:
            return body[: body.rindex(b"\n") + 1]
        size *= 4


def _parquet(file: Any, where: str, columns: Sequence[str] | None, nrows: int | None) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file is None:
        raise NotFoundError("no such file", address=where)
    try:
        parquet = pq.ParquetFile(file)
        _known(columns, parquet.schema_arrow.names, where)
        wanted = None if columns is None else list(columns)
        if nrows is None:
            return parquet.read(columns=wanted).to_pandas()
        found: list[Any] = []
        for batch in parquet.iter_batches(batch_size=max(1, nrows), columns=wanted):
            found.append(batch)
            if sum(len(one) for one in found) >= nrows:
                break
        schema = found[0].schema if found else parquet.schema_arrow
        return pa.Table.from_batches(found, schema).slice(0, nrows).to_pandas()
    except (pa.ArrowException, OSError) as error:
        below = getattr(file, "error", None)
        if below is not None:
            raise below from error
        raise CorruptError("not valid Parquet", address=where, why=str(error)[:200]) from error


def _known(columns: Sequence[str] | None, there: Sequence[str], where: str) -> None:
    for name in columns or ():
        if name not in there:
            raise UsageError(
                f"no column '{name}'", address=where, why=f"columns: {', '.join(map(str, there))}"
            )
