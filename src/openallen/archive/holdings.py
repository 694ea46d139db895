"""What an archive holds: a folder of tables and files, read into an embedded DuckDB.

::

    archive.json         what it is: name, notes, terms, recipes for simulated pictures
    tables/NAME.jsonl    rows of one table (also .json, .csv, .parquet), named as the service names
                         tables (``sub_images``); a column ``_type`` names the model of a row where
                         several models share a table; columns that begin with ``_`` are never sent
    files/ID.EXT         well-known files by id
    models/ID.zip        packages of models of cells by the id of the model
    images/ID.jpg        pictures at full size by image id
    images/ID_expression.jpg  segmented expression of an image
    images/ID.svg        drawings of atlas images
    grids/, informatics-archive/   volumes (see `openallen.archive.volumes`)
    buckets/NAME/KEY     objects of buckets (see `openallen.archive.buckets`)
    answers.jsonl        answers kept as they came (see `openallen.archive.answers`)

A folder with any part of these is an archive; for what is missing the answer is that of the
service for what it does not have.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.archive.answers import INDEX, Answers
from openallen.archive.buckets import Buckets
from openallen.archive.parts import looked_at
from openallen.errors import CorruptError, NotFoundError, requiring
from openallen.json_text import load_json

if TYPE_CHECKING:
    import duckdb

__all__ = ["SAMPLE", "Holdings"]

SAMPLE: Final = Path(__file__).parent / "sample"
"""The archive that comes with the package."""

_PARTS: Final = (
    "archive.json", "tables", "files", "images", "models", "grids", "informatics-archive",
    "buckets", INDEX,
)  # fmt: skip
_ABOUT: Final[dict[str, type]] = {"simulated": list, "simulated_files": list, "files": dict}
"""What is looked up in archive.json, and of what kind it is."""
_READERS: Final = {".jsonl", ".json", ".csv", ".parquet"}


class Holdings:
    """The tables and files of one archive folder.

    Parameters
    ----------
    root
        The folder.

    Raises
    ------
    NotFoundError
        If the folder does not exist, or has no part of an archive.
    CorruptError
        If a table, the description, the index of a bucket or that of answers cannot be read.
    MissingExtraError
        Without the extra ``web``.
    """

    def __init__(self, root: Path) -> None:
        with requiring("serving an archive", "web"):
            import duckdb
        self.root = Path(os.path.realpath(root))
        """The folder, without links in its path."""
        self._parts = [p for p in _PARTS if (root / p).exists()]
        if not self._parts:
            raise NotFoundError(
                "not an archive",
                address=str(root),
                why="no archive.json, tables, files, images, buckets or answers.jsonl in it",
                hint="openallen serve --archive sample",
            )
        self.about = self._read_about()
        self.buckets = Buckets(root)
        self.answers = Answers(root)
        self._db = duckdb.connect(":memory:", config={"threads": 2})
        self._lock = threading.Lock()
        self.columns: dict[str, dict[str, str]] = {}
        for path in sorted((root / "tables").glob("*")):
            if path.suffix in _READERS:
                if self.inside(f"tables/{path.name}") is None:
                    raise CorruptError("a table is not a plain file", address=str(path))
                self._load(path)
        # Requests become SQL made by us; should one ever be more, it reaches these tables only.
        self._db.execute("SET enable_external_access = false")
        self._db.execute("SET lock_configuration = true")

    def _read_about(self) -> dict[str, Any]:
        path = self.root / "archive.json"
        if not path.exists():
            return {"name": self.root.name}
        if self.inside(path.name) is None:
            raise CorruptError("archive.json is not a plain file", address=str(path))
        try:
            about = load_json(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise CorruptError(
                "archive.json cannot be read", address=str(path), why=str(error)
            ) from error
        if not isinstance(about, dict):
            raise CorruptError("archive.json is not an object", address=str(path))
        for name, kind in _ABOUT.items():
            if not isinstance(about.get(name, kind()), kind):
                what = "a list" if kind is list else "an object"
                raise CorruptError(f"'{name}' in archive.json is not {what}", address=str(path))
        return about

    def _load(self, path: Path) -> None:
        import duckdb

        table = path.stem
        quoted = '"' + table.replace('"', '""') + '"'
        source = "'" + str(path).replace("'", "''") + "'"
        reader = {
            ".csv": f"read_csv({source}, all_varchar=false)",
            ".parquet": f"read_parquet({source})",
        }.get(path.suffix)
        try:
            if reader is None:
                reader = _json_reader(path, source)
            self._db.execute(f"CREATE TABLE {quoted} AS SELECT * FROM {reader}")  # noqa: S608
            described = self._db.execute(f"DESCRIBE {quoted}").fetchall()
        except (duckdb.Error, OSError, ValueError) as error:
            why = str(error).partition("\n")[0]
            raise CorruptError("a table cannot be read", address=str(path), why=why) from error
        self.columns[table] = {name: kind for name, kind, *_ in described}

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a new connection to the tables."""
        with self._lock:
            return self._db.cursor()

    def holds(self, table: str) -> bool:
        """Return whether there are rows of a table."""
        return table in self.columns

    def file(self, file_id: int) -> Path | None:
        """Find a well-known file by its id; ``files`` of archive.json says where others lie."""
        told = self.about.get("files")
        place = told.get(str(file_id)) if isinstance(told, dict) else None
        found = self.inside(place) if isinstance(place, str) else None
        if found is not None:
            return found
        names = sorted(path.name for path in (self.root / "files").glob(f"{file_id}.*"))
        return next((p for name in names if (p := self.inside(f"files/{name}"))), None)

    def is_simulated(self, path: Path) -> bool:
        """Return whether ``simulated_files`` of ``archive.json`` names a file.

        Parameters
        ----------
        path
            The file; named there by its name, or by its path relative to the archive.
        """
        told = self.about.get("simulated_files", ())
        return path.name in told or path.relative_to(self.root).as_posix() in told

    def inside(self, place: str) -> Path | None:
        """Return a file of the archive; None unless it is a plain one, reached by no link.

        Parameters
        ----------
        place
            Where it is, relative to the archive.
        """
        path = self.root / place
        return path if looked_at(self.root, path) else None

    def model(self, model_id: int) -> Path | None:
        """Find the package of a model by the id of the model."""
        return self.inside(f"models/{model_id}.zip")

    def picture(self, name: str) -> Path | None:
        """Find a stored picture: by its image id, with ``_expression`` for what is segmented."""
        return self.inside(f"images/{name}.jpg")

    def drawing(self, image_id: int) -> Path | None:
        """Find the drawing of an atlas image by its id."""
        return self.inside(f"images/{image_id}.svg")

    def row(self, table: str, column: str, value: object) -> dict[str, Any] | None:
        """Return the first row whose column has a value, hidden columns included."""
        if column not in self.columns.get(table, {}):
            return None
        return next(iter(self._select(table, column, value, " LIMIT 1")), None)

    def rows(self, table: str, column: str, value: object) -> list[dict[str, Any]]:
        """Return all rows whose column has a value, hidden columns included."""
        return self._select(table, column, value) if column in self.columns.get(table, {}) else []

    def _select(
        self, table: str, column: str, value: object, tail: str = ""
    ) -> list[dict[str, Any]]:
        query = f'SELECT * FROM "{table}" WHERE "{column}" = ?{tail}'  # noqa: S608
        cursor = self.cursor().execute(query, [value])
        names = [d[0] for d in cursor.description or ()]
        return [dict(zip(names, found, strict=True)) for found in cursor.fetchall()]


def _json_reader(path: Path, source: str) -> str:
    """Read JSON by the types its rows really have: no date, no number is guessed from text."""
    lines = path.suffix == ".jsonl"
    rows = _rows(path, lines=lines)
    kinds: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            kinds[name] = _wider(kinds.get(name, ""), _kind(value))
    columns = ", ".join(f"'{_quoted(name)}': '{kind or 'VARCHAR'}'" for name, kind in kinds.items())
    form = "newline_delimited" if lines else "array"
    largest = "maximum_object_size=268435456"
    return f"read_json({source}, format='{form}', columns={{{columns}}}, {largest})"


def _quoted(name: str) -> str:
    return name.replace("'", "''")


def _rows(path: Path, *, lines: bool) -> list[Mapping[str, Any]]:
    text = path.read_text("utf-8")
    # Lines end with a line feed only: other ends of lines stand inside of texts, too.
    rows = (
        [load_json(line) for line in text.split("\n") if line.strip()] if lines else load_json(text)
    )
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it has no rows")
    return list(rows)


def _kind(value: object) -> str:
    kinds: dict[type, str] = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", str: "VARCHAR"}
    return "" if value is None else kinds.get(type(value), "JSON")


def _wider(one: str, other: str) -> str:
    if not one or not other or one == other:
        return one or other
    return "DOUBLE" if {one, other} == {"BIGINT", "DOUBLE"} else "JSON"
