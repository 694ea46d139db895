"""Write the table of planes beside the manifest: JSON, CSV or Parquet."""

from __future__ import annotations

import csv
import io
import json
import secrets
from pathlib import Path
from typing import Literal

from openallen.errors import MissingExtraError
from openallen.sources.stacks.read import ImageStack
from openallen.store.disk import disk_error

__all__ = ["TableFormat", "write_table"]

TableFormat = Literal["json", "csv", "parquet"]


def write_table(stack: ImageStack, form: TableFormat) -> Path:
    """Write ``planes.<form>`` beside the manifest, atomically, and return its path.

    One row for each plane, planes that are not here included, with the columns of
    `ImageStack.rows`.

    Raises
    ------
    MissingExtraError
        For Parquet without the extra ``tables``.
    SpaceError, StoreError
        If it cannot be written.
    """
    path = stack.folder / f"planes.{form}"
    data = {"json": _json, "csv": _csv, "parquet": _parquet}[form](stack)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        if path.exists() and path.read_bytes() == data:
            return path
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise disk_error(error, stack.folder) from error
    return path


def _json(stack: ImageStack) -> bytes:
    lines = (json.dumps(row, ensure_ascii=False) for row in stack.rows())
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


def _csv(stack: ImageStack) -> bytes:
    rows = stack.rows()
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _parquet(stack: ImageStack) -> bytes:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("tables", "a Parquet table") from None
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(stack.rows()), sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data
