"""Rows of answers as rows of tables: what was nested is taken apart, so that an archive joins it.

An answer nests rows of one model in those of another. Each becomes a row of its own table, and
where no column of either says which belong together, a row of the table between them, under the
names by which an archive looks for them (`openallen.archive.relations`). Rows are merged by their
id: the newest values win, columns that it did not have stay.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from openallen.archive.relations import matching
from openallen.brainmap.language import Association, ModelStage
from openallen.brainmap.naming import model_of, singular, snake
from openallen.brainmap.schema import schema
from openallen.errors import CorruptError
from openallen.json_text import load_json
from openallen.plans import safe_path
from openallen.store.disk import write_whole

__all__ = ["Tables"]

Row = dict[str, Any]
_KEYS: Final = ("id", "specimen__id", "cell_specimen_id")
"""Columns that identify a row, the first that is there."""
_BATCH: Final = 100


class Tables:
    """The tables of a mirror; a table is read when its first row comes.

    Parameters
    ----------
    root
        The folder of the mirror.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tables: dict[str, dict[str, Row]] = {}
        self._changed: set[str] = set()
        self._partial: dict[str, dict[Any, None]] = {}
        self._whole: set[tuple[str, Any]] = set()
        self._lock = threading.Lock()

    def take(self, stage: ModelStage, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take the rows of an answer apart.

        Parameters
        ----------
        stage
            What was asked.
        rows
            The rows, as they came.
        """
        partial = bool(stage.options.only or stage.options.exclude)
        with self._lock:
            for row in rows:
                self._row(stage.model, row, stage.includes, partial=partial)

    def _row(
        self,
        model: str,
        row: Mapping[str, Any],
        includes: Iterable[Association],
        *,
        partial: bool,
    ) -> Row:
        nested = {include.name: include for include in includes}
        plain = {k: v for k, v in row.items() if k not in nested}
        for name, include in nested.items():
            inner = row.get(name)
            several = inner if isinstance(inner, list) else [inner]
            for one in several:
                if isinstance(one, dict):
                    self._nested(model, plain, include, one, partial=partial)
        return self._put(model, plain, partial=partial)

    def _nested(
        self, model: str, outer: Row, include: Association, row: Row, *, partial: bool
    ) -> None:
        known = schema().get(model)
        hint = known.associations.get(include.name) if known else None
        target = hint.model if hint else model_of(include.name)
        inner = self._row(target, row, include.children, partial=partial)
        own, other = schema().table_of(model), schema().table_of(target)
        if any(matching(own, outer, inner, model, include.name)):
            return
        first, second = f"{singular(own)}_id", f"{singular(other)}_id"
        if own == other or "id" not in outer or "id" not in inner:
            return
        between = self._between(own, other)
        link = {first: outer["id"], second: inner["id"]}
        self._merge(between, f"{outer['id']} {inner['id']}", dict(sorted(link.items())))

    def _between(self, own: str, other: str) -> str:
        """Return the name of the table between two: as it is here already, else as Rails does."""
        first, second = sorted((own, other))
        turned = f"{second}_{first}"
        return turned if self._table(turned) else f"{first}_{second}"

    def _put(self, model: str, row: Row, *, partial: bool) -> Row:
        table = schema().table_of(model)
        column = next((c for c in _KEYS if row.get(c) is not None), "")
        if not column:
            self._merge(table, json.dumps(row, sort_keys=True, default=str), row)
            return row
        key = row[column]
        typed = {} if snake(model) == singular(table) else {"_type": model}
        self._merge(table, json.dumps(key), {**typed, **row})
        if not partial:
            self._whole.add((table, key))
            self._partial.get(model, {}).pop(key, None)
        elif column == "id" and (table, key) not in self._whole:
            self._partial.setdefault(model, {})[key] = None
        return row

    def _merge(self, table: str, key: str, row: Row) -> None:
        rows = self._table(table)
        before = rows.get(key)
        after = row if before is None else {**before, **row}
        if after != before:
            rows[key] = after
            self._changed.add(table)

    # --- what is incomplete -----------------------------------------------------------------------

    def partial(self) -> Iterator[tuple[str, list[Any]]]:
        """Return ids of rows of which only some columns came, by model, a few at a time."""
        with self._lock:
            waiting = {model: list(ids) for model, ids in self._partial.items() if ids}
        for model, ids in waiting.items():
            for at in range(0, len(ids), _BATCH):
                yield model, ids[at : at + _BATCH]

    # --- on the disk ------------------------------------------------------------------------------

    def _path(self, table: str) -> Path:
        return self._root / "tables" / f"{safe_path(table)}.jsonl"

    def _table(self, table: str) -> dict[str, Row]:
        found = self._tables.get(table)
        if found is None:
            found = self._tables[table] = _read(self._path(table))
        return found

    def merge_file(self, path: Path) -> None:
        """Merge the rows of another mirror's table into the one of the same name.

        Parameters
        ----------
        path
            The other file.
        """
        with self._lock:
            for key, row in _read(path).items():
                self._merge(path.stem, key, row)

    @property
    def rows(self) -> int:
        """How many rows the tables have that were read so far."""
        return sum(len(rows) for rows in self._tables.values())

    def write(self) -> list[Path]:
        """Write the tables that have changed, each whole or not at all; return their paths.

        Raises
        ------
        StoreError, SpaceError
            If one cannot be written.
        """
        written: list[Path] = []
        with self._lock:
            for table in sorted(self._changed):
                # In the order of ids: answers come from several threads, and the table of a mirror
                # should not depend on which was first.
                rows = sorted(self._tables[table].items(), key=_order)
                lines = (json.dumps(row, ensure_ascii=False) + "\n" for _, row in rows)
                write_whole(self._path(table), "".join(lines).encode())
                written.append(self._path(table))
            self._changed.clear()
        return written


def _read(path: Path) -> dict[str, Row]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptError("a table cannot be read", address=str(path), why=str(error)) from error
    found: dict[str, Row] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = load_json(line)
            if not isinstance(row, dict):
                raise ValueError("not a row")
        except ValueError as error:
            why = f"line {number}: {error}"
            raise CorruptError("a table cannot be read", address=str(path), why=why) from error
        found[_key(path.stem, row)] = row
    return found


def _order(item: tuple[str, Row]) -> tuple[list[int], str]:
    key = item[0]
    numbers = key.split()
    whole = all(number.isascii() and number.isdigit() for number in numbers)
    return ([int(number) for number in numbers] if whole else [], key)


def _key(table: str, row: Mapping[str, Any]) -> str:
    column = next((c for c in _KEYS if row.get(c) is not None), "")
    if column:
        return json.dumps(row[column])
    links = [name for name in row if name.endswith("_id")]
    halves = sorted(links, key=lambda name: table.find(name.removesuffix("_id")))
    if len(row) == len(links) == 2:
        return f"{row[halves[0]]} {row[halves[1]]}"
    return json.dumps(row, sort_keys=True, default=str)
