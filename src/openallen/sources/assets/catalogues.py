"""The catalogue of assets on this machine: a Parquet file, asked with an embedded DuckDB."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from openallen.address import Condition
from openallen.display import card, facts_text
from openallen.errors import (
    CorruptError,
    NotFoundError,
    SpaceError,
    StoreError,
    UsageError,
    requiring,
)
from openallen.near import Suggestion, nothing_matches, suggest, unknown_column
from openallen.sources.assets.names import parse_name
from openallen.sources.assets.record import read_time
from openallen.store.disk import read_object, write_whole

__all__ = ["COLUMNS", "Catalogue", "check_columns", "row_of_name"]

COLUMNS: Final[Mapping[str, str]] = {
    "name": "VARCHAR",
    "level": "VARCHAR",
    "modalities": "VARCHAR[]",
    "platform": "VARCHAR",
    "subject_id": "VARCHAR",
    "acquired": "TIMESTAMP",
    "created": "TIMESTAMP",
    "label": "VARCHAR",
    "project": "VARCHAR",
    "sources": "VARCHAR[]",
    "location": "VARCHAR",
    "public": "BOOLEAN",
}
"""Columns of the catalogue; ``acquired`` and ``created`` without zones, as names tell them."""

_WORDS: Final = {"modality": "modalities", "subject": "subject_id", "date": "acquired"}
_SIGNS: Final = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_LIST: Final = "openallen list asset:"
_LOG: Final = logging.getLogger("openallen.sources")
_FILE: Final = "catalogue.parquet"
_ABOUT: Final = "catalogue.json"


def row_of_name(name: str, location: str = "", *, public: bool | None = None) -> dict[str, Any]:
    """Return the row of the catalogue that follows from a name alone."""
    told = parse_name(name)
    return {
        "name": told.text,
        "level": told.level,
        "modalities": _modality_of(told.platform),
        "platform": told.platform or None,
        "subject_id": told.subject_id or None,
        "acquired": told.acquired,
        "created": told.created,
        "label": told.label or None,
        "project": None,
        "sources": [told.source] if told.source else [],
        "location": location or None,
        "public": public,
    }


def _modality_of(platform: str) -> list[str]:
    from openallen.sources.assets.record import Record

    raw = {"data_description": {"modality": [{"abbreviation": platform}]}}
    return list(Record(raw).modalities) if platform else []


_CLOSED: Final = (
    "enable_external_access = false",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "allow_community_extensions = false",
    "lock_configuration = true",
)


class Catalogue:
    """Rows of assets, and where they came from.

    Parameters
    ----------
    folder
        Where its file lies.

    Raises
    ------
    NotFoundError
        If there is none.
    MissingExtraError
        Without the extra ``tables``.
    """

    def __init__(self, folder: Path) -> None:
        with requiring("the catalogue of assets", "tables"):
            import duckdb
        self.path = folder / _FILE
        if not self.path.is_file():
            raise NotFoundError(
                "no catalogue in the store", address=str(folder), hint="openallen list asset:"
            )
        self.about = read_object(folder / _ABOUT)
        self._lock = threading.Lock()
        self._db = duckdb.connect(":memory:")
        place = str(self.path).replace("'", "''")
        try:
            self._db.execute(f"CREATE TABLE assets AS SELECT * FROM read_parquet('{place}')")  # noqa: S608
            for setting in _CLOSED:
                self._db.execute(f"SET {setting}")
        except duckdb.Error as error:
            why = str(error).partition("\n")[0]
            raise CorruptError(
                "the catalogue cannot be read",
                address=str(self.path),
                why=why,
                hint="openallen list asset: --refresh",
            ) from error

    @classmethod
    def write(
        cls, folder: Path, rows: Iterable[Mapping[str, Any]], about: Mapping[str, Any]
    ) -> Catalogue:
        """Write rows as a catalogue, whole or not at all.

        In a folder that cannot be written to, it is there for this process only.

        Raises
        ------
        StoreError, SpaceError
            If it can be written nowhere, not even in the folder for temporary files.
        MissingExtraError
            Without the extra ``tables``.
        """
        with requiring("the catalogue of assets", "tables"):
            import io

            import pyarrow as pa
            import pyarrow.parquet as pq
        kinds = {
            "VARCHAR": pa.string(),
            "VARCHAR[]": pa.list_(pa.string()),
            "TIMESTAMP": pa.timestamp("us"),
            "BOOLEAN": pa.bool_(),
        }
        listed = sorted((_row(row) for row in rows), key=lambda row: row["name"])
        schema = pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
        table = pa.Table.from_pylist(listed, schema=schema)
        out = io.BytesIO()
        pq.write_table(table, out, compression="zstd")
        told = {**about, "rows": len(listed), "asked": datetime.now(UTC).isoformat("T", "seconds")}
        body, described = out.getvalue(), json.dumps(told, indent=1).encode()
        try:
            return cls._written(folder, body, described)
        except (StoreError, SpaceError) as error:
            _LOG.warning("the catalogue is not stored: %s (%s)", error.what, error.why)
            with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
                return cls._written(Path(scratch), body, described)

    @classmethod
    def _written(cls, folder: Path, body: bytes, described: bytes) -> Catalogue:
        write_whole(folder / _FILE, body)
        write_whole(folder / _ABOUT, described)
        return cls(folder)

    def __len__(self) -> int:
        return int(self.sql("SELECT count(*) AS n FROM assets")[0]["n"])

    @property
    def asked(self) -> datetime | None:
        """When its rows were asked for."""
        return read_time(self.about.get("asked"))

    def sql(self, text: str, parameters: Iterable[Any] = ()) -> list[dict[str, Any]]:
        """Ask in SQL; the table is ``assets``, its columns are `COLUMNS`.

        The text may come from elsewhere: it can read this table and nothing else, and change
        nothing. Files, the network, extensions and other databases are closed.

        Raises
        ------
        UsageError
            If DuckDB does not take it, or it is no query.
        """
        import duckdb

        with self._lock:
            cursor = self._db.cursor()
        try:
            # EXPLAIN is no query: EXPLAIN ANALYZE runs what it explains.
            kind = duckdb.StatementType.SELECT
            if not all(told.type == kind for told in cursor.extract_statements(text)):
                raise UsageError("only queries are answered", why="the catalogue is not changed")
            cursor.execute(text, list(parameters))
            names = [told[0] for told in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except duckdb.Error as error:
            why = str(error).partition("\n")[0]
            raise UsageError("the catalogue rejects this SQL", why=why) from error

    def select(
        self, conditions: Iterable[Condition] = (), limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Return the assets that match, newest acquisition first.

        Parameters
        ----------
        conditions
            Filters on `COLUMNS`; ``modality``, ``subject`` and ``date`` are short for
            ``modalities``, ``subject_id`` and ``acquired``.
        limit
            Rows at most.

        Raises
        ------
        UsageError
            For a filter on something else, or a date that is none.
        """
        clauses, values = _where(conditions)
        text = f"SELECT * FROM assets{clauses} ORDER BY acquired DESC NULLS LAST, name"  # noqa: S608
        return self.sql(text + (f" LIMIT {int(limit)}" if limit is not None else ""), values)

    def count(self, conditions: Iterable[Condition] = ()) -> int:
        """Count the assets that match."""
        clauses, values = _where(conditions)
        return int(self.sql(f"SELECT count(*) AS n FROM assets{clauses}", values)[0]["n"])  # noqa: S608

    def no_assets(self, conditions: Sequence[Condition]) -> NotFoundError:
        """Return the error for conditions no asset matches, with the values likely meant.

        ``modality=ephys`` suggests ``modality=ecephys``; of a time, the first and last there are.
        """
        found: Suggestion | None = None
        for condition in conditions:
            found = self._suggestion(condition, [c for c in conditions if c is not condition])
            if found is not None:
                break
        error = nothing_matches("asset:", conditions, found, command=_LIST)
        spans = () if found is not None else map(self._span, conditions)
        error.why = "; ".join([error.why, *filter(None, spans)])
        return error

    def _suggestion(self, condition: Condition, others: Sequence[Condition]) -> Suggestion | None:
        column = _column_of(condition.field)
        if not COLUMNS[column].startswith("VARCHAR"):
            return None
        some = f"unnest({column})" if COLUMNS[column].endswith("[]") else column
        for kept in dict.fromkeys([tuple(others), ()]):
            if self.count([*kept, condition]):
                continue
            clauses, values = _where(kept)
            text = f"SELECT DISTINCT {some} AS value FROM assets{clauses}"  # noqa: S608
            found = suggest(condition, {r["value"] for r in self.sql(text, values)} - {None})
            if found is not None:
                return found
        return None

    def _span(self, condition: Condition) -> str:
        """Return from when to when the times of a column are, as text; empty where it has none."""
        column = _column_of(condition.field)
        if COLUMNS[column] != "TIMESTAMP" or self.count([condition]):
            return ""
        text = f"SELECT min({column}) AS first, max({column}) AS last FROM assets"  # noqa: S608
        row = self.sql(text)[0]
        return f"{condition.field} is {row['first']} to {row['last']}" if row["first"] else ""

    def _facts(self) -> dict[str, object]:
        return {
            "assets": f"{len(self):,}",
            "from": self.about.get("source"),
            "asked": self.about.get("asked"),
            "file": self.path,
        }

    def __repr__(self) -> str:
        return facts_text("catalogue of AIND assets", self._facts())

    def _repr_html_(self) -> str:
        return card("catalogue of AIND assets", self._facts())


def _row(told: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: told.get(name) for name in COLUMNS}
    for name in ("acquired", "created"):
        value = row[name]
        time = value if isinstance(value, datetime) else read_time(value)
        row[name] = time.replace(tzinfo=None) if time is not None else None
    return row


def _column_of(field: str) -> str:
    """Return the column that a filter is on: ``modalities`` for ``modality``."""
    return _WORDS.get(field, field)


def check_columns(conditions: Iterable[Condition]) -> None:
    """Check that filters are on columns, with suitable values; makes no request.

    Raises
    ------
    UsageError
        If one is not, with the nearest column.
    """
    _where(conditions)


def _where(conditions: Iterable[Condition]) -> tuple[str, list[Any]]:
    clauses: list[str] = []
    values: list[Any] = []
    for condition in conditions:
        column = _column_of(condition.field)
        if column not in COLUMNS:
            names = [*_WORDS, *COLUMNS]
            raise unknown_column(condition, names, address="asset:", command=_LIST)
        clause, more = _clause(column, condition)
        clauses.append(clause)
        values += more
    return (" WHERE " + " AND ".join(clauses) if clauses else ""), values


def _clause(column: str, condition: Condition) -> tuple[str, list[Any]]:
    op, kind = condition.op, COLUMNS[column]
    texts = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    if op == "exists":
        empty = f"len({column}) > 0" if kind.endswith("[]") else f"{column} IS NOT NULL"
        return empty, []
    if kind == "BOOLEAN":
        yes = texts[0].lower() in {"true", "yes", "1"}
        return f"{column} IS {'NOT ' if op == 'ne' else ''}{'TRUE' if yes else 'FALSE'}", []
    if kind == "TIMESTAMP":
        return _at(column, op, texts)
    if kind.endswith("[]"):
        return _in_list(column, condition, texts)
    return _text(column, op, texts)


def _in_list(column: str, condition: Condition, texts: tuple[str, ...]) -> tuple[str, list[Any]]:
    inside = f"list_contains(list_transform({column}, lambda x: lower(x)), lower(?))"
    some = "(" + " OR ".join([inside] * len(texts)) + ")"
    if condition.op not in {"eq", "in", "ne"}:
        raise UsageError(f"'{condition.field}' is a list: = or in", why=str(condition))
    return (f"NOT {some}" if condition.op == "ne" else some), list(texts)


def _text(column: str, op: str, texts: tuple[str, ...]) -> tuple[str, list[Any]]:
    if op == "in":
        return f"{column} IN ({', '.join('?' * len(texts))})", list(texts)
    if op in {"like", "ilike"}:
        wild = texts[0].replace("%", r"\%").replace("_", r"\_").replace("*", "%")
        return f"{column} {op} ? ESCAPE '\\'", [wild]
    return f"{column} {_SIGNS[op]} ?", [texts[0]]


def _at(column: str, op: str, texts: tuple[str, ...]) -> tuple[str, list[Any]]:
    """Compare times; a day alone means all of it."""
    if op not in _SIGNS:
        raise UsageError(f"'{column}' is a time: =, <, <=, > or >=", why=op)
    text = texts[0].strip()
    time = read_time(text if len(text) > 7 else f"{text}-01"[:10])
    if time is None:
        raise UsageError(f"'{text}' is not a date", hint="2022-04-01, or 2022-04-01T15:00")
    time = time.replace(tzinfo=None)
    if len(text) <= 10:
        day = f"date_trunc('day', {column})"
        return f"{day} {_SIGNS[op]} ?", [time]
    return f"{column} {_SIGNS[op]} ?", [time]
