"""Tables of the ABC Atlas: CSV of up to a gigabyte, kept as Parquet once they were read.

A copy is named by the digest of the CSV it was made of, so that versions whose table did not change
share it. One that is damaged is made again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Condition
from openallen.errors import UsageError, requiring
from openallen.near import unknown_column
from openallen.sources.releases.abc.pushdown import expression_of

if TYPE_CHECKING:
    import pandas as pd

    from openallen.formats.csv_parquet import Columns

__all__ = ["TEXTS", "KeptTable"]

_LOG: Final = logging.getLogger("openallen.releases")

TEXTS: Final = ("cell_label",)
"""Columns that are text whatever they look like: some labels are numbers of 39 digits."""
_FORM: Final = 1


class KeptTable:
    """One table, read from the copy in Parquet that the store keeps.

    Parameters
    ----------
    csv
        Returns the path of the table as it was published, fetched if it is not here.
    digest
        Digest of the CSV; empty where none was published.
    folder
        Where copies are kept; None for a folder that goes with the process.
    address
        What the table is called in messages.
    """

    def __init__(
        self, csv: Callable[[], Path], digest: str, folder: Path | None, address: str
    ) -> None:
        self._csv = csv
        self._digest = digest
        self._folder = folder
        self.address = address

    def frame(
        self, columns: Sequence[str] | None = None, conditions: Sequence[Condition] = ()
    ) -> pd.DataFrame:
        """Return columns of the rows that match, as pandas reads them from the CSV.

        Parameters
        ----------
        columns
            Which columns, in this order; all where None.
        conditions
            What rows have to match.

        Raises
        ------
        UsageError
            If there is no such column.
        CorruptError
            If the CSV is damaged.
        """
        with requiring("tables as pandas", "tables"):
            import pandas as pd
            import pyarrow as pa

            del pd, pa
        from openallen.formats.csv_parquet import to_frame

        def read(kept: Columns) -> pd.DataFrame:
            self._check(columns, kept)
            where = expression_of(conditions, kept.kinds, kept.stored, self.address)
            return to_frame(kept.table(columns, where), kept.kinds)

        return self._with_copy(read)

    def _check(self, columns: Sequence[str] | None, kept: Columns) -> None:
        if isinstance(columns, str):
            raise UsageError(
                "columns are a list of names", address=self.address, hint=f"[{columns!r}]"
            )
        for name in columns or ():
            if name not in kept.kinds:
                made = Condition(name if name.isidentifier() else "column", "exists")
                raise unknown_column(made, list(kept.kinds), address=self.address)

    def columns(self) -> list[str]:
        """Return the names of the columns."""
        found: list[str] = self._with_copy(lambda kept: list(kept.kinds))
        return found

    def count(self, conditions: Sequence[Condition] = (), command: str = "") -> int:
        """Return how many rows match; raises as `frame` does."""

        def read(kept: Columns) -> int:
            return kept.count(
                expression_of(conditions, kept.kinds, kept.stored, self.address, command)
            )

        return int(self._with_copy(read))

    def rows(self, conditions: Sequence[Condition] = (), command: str = "") -> Iterator[Any]:
        """Yield the rows that match as plain values, a few thousand in memory at a time."""

        def read(kept: Columns) -> tuple[Columns, Any]:
            return kept, expression_of(conditions, kept.kinds, kept.stored, self.address, command)

        kept, where = self._with_copy(read)
        for batch in kept.batches(where):
            yield from batch.to_pylist()

    def _with_copy(self, read: Callable[[Columns], Any]) -> Any:
        """Read the copy; make it first where there is none, and again where it is damaged."""
        from openallen.formats.csv_parquet import Columns, DamagedCopyError

        path = self._path()
        try:
            return read(Columns(path))
        except DamagedCopyError as error:
            if path.exists():
                _LOG.warning("%s is made again: %s", path, error.why or error)
        path = self._make(path)
        return read(Columns(path))

    def _make(self, path: Path) -> Path:
        from openallen.formats.csv_parquet import write_parquet

        source = self._csv()
        try:
            write_parquet(source, path, TEXTS)
        except OSError as error:
            elsewhere = _passing() / path.name
            if elsewhere == path:
                raise
            _LOG.warning("%s cannot be kept: %s", path, error)
            if not elsewhere.exists():
                write_parquet(source, elsewhere, TEXTS)
            return elsewhere
        return path

    def _path(self) -> Path:
        known = self._digest.partition(":")[2]
        if not known:  # by what is there: path, size and time of change
            source = self._csv()
            told = source.stat()
            text = f"{source.absolute()}|{told.st_size}|{told.st_mtime_ns}"
            known = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        name = f"{known}-{_FORM}.parquet"
        return (self._folder if self._folder is not None else _passing()) / name


_PASSING: list[tempfile.TemporaryDirectory[str]] = []


def _passing() -> Path:
    """Return a folder that goes when the process ends, for a store that cannot be written to."""
    if not _PASSING:
        _PASSING.append(tempfile.TemporaryDirectory(prefix=f"openallen-{os.getpid()}-"))
    return Path(_PASSING[0].name)
