"""RMA over the tables of an archive: queries to SQL, rows back.

Criteria join tables, as on the service: a filter may name a column of any table joined so far
(``genes.acronym``). Includes nest rows and never restrict the main ones. The page is 50 rows
unless the query says otherwise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from openallen.archive.holdings import Holdings
from openallen.archive.relations import Refusal, Relation, model_filter, relate
from openallen.brainmap.language import (
    Association,
    Filter,
    ModelStage,
    Options,
    PipeStage,
    Query,
    Reference,
    ServiceStage,
    Value,
    Variable,
    Word,
)
from openallen.brainmap.schema import schema

__all__ = ["DEFAULT_ROWS", "Result", "evaluate"]

DEFAULT_ROWS: Final = 50
"""Rows of an answer when no number is asked for."""

_COMPARE: Final = {"eq": "=", "is": "=", "ne": "<>", "lt": "<", "gt": ">", "le": "<=", "ge": ">="}
_NUMERIC: Final = {"BIGINT", "INTEGER", "DOUBLE", "FLOAT", "HUGEINT", "SMALLINT", "TINYINT"}
_BOOLEANS: Final = {"true": True, "t": True, "false": False, "f": False}

Row = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """Rows of a query, with the counts of the envelope.

    Parameters
    ----------
    rows
        One page.
    start_row, total_rows
        Where it begins, and how many rows there are in all.
    model
        The model of the rows; empty for tabular ones.
    """

    rows: list[Row]
    start_row: int
    total_rows: int
    model: str = ""


def evaluate(holdings: Holdings, query: Query) -> Result:
    """Return the result of a query over the tables of an archive.

    Raises
    ------
    Refusal
        With the message of the service: an unknown model, column, association or service.
    """
    variables: dict[str, list[Any]] = {}
    results: list[Result] = []
    for index, stage in enumerate(query.stages):
        following = query.stages[index + 1] if index + 1 < len(query.stages) else None
        if isinstance(stage, ServiceStage):
            raise Refusal(f"service::{stage.name} is not in this archive")
        if isinstance(stage, PipeStage):
            if stage.name != "list":
                raise Refusal(f"pipe::{stage.name} is not supported by this archive")
            continue
        piped = isinstance(following, PipeStage)
        result = _Stage(holdings, stage, variables).result(whole=piped)
        if isinstance(following, PipeStage):
            for asked in following.filters:
                column = str(asked.values[0]).strip("'") if asked.values else "id"
                variables[asked.field] = [row.get(column) for row in result.rows]
        else:
            results.append(result)
    if len(results) == 1:
        return results[0]
    rows = [row for result in results for row in result.rows]
    return Result(rows, 0, sum(result.total_rows for result in results))


@dataclass
class _Scope:
    """The tables joined so far, and the SQL that joins them."""

    aliases: list[tuple[str, str]] = field(default_factory=list)
    joins: list[str] = field(default_factory=list)
    wheres: list[str] = field(default_factory=list)
    parameters: list[Any] = field(default_factory=list)

    def alias(self, table: str) -> str:
        name = f"t{len(self.aliases)}"
        self.aliases.append((table, name))
        return name

    def of(self, table: str) -> str:
        found = [alias for name, alias in self.aliases if name == table]
        return found[-1] if found else ""


class _Stage:
    """One model stage being answered."""

    def __init__(
        self, holdings: Holdings, stage: ModelStage, variables: dict[str, list[Any]]
    ) -> None:
        self._holdings = holdings
        self._stage = stage
        self._variables = variables
        self._table = schema().table_of(stage.model)
        self._scope = _Scope()
        if not holdings.holds(self._table) and schema().get(stage.model) is None:
            near = schema().meant(stage.model)
            raise Refusal(
                f"uninitialized constant {stage.model}" + (f" (is it {near}?)" if near else "")
            )

    def result(self, *, whole: bool) -> Result:
        options = self._stage.options
        start = options.start_row or 0
        if not self._holdings.holds(self._table):
            return Result([], start, 0, self._stage.model)
        self._join()
        asked = options.num_rows if options.num_rows is not None else DEFAULT_ROWS
        most = None if whole or asked == "all" else int(asked)
        if options.tabular:
            rows, total = self._tabular(options, most, start)
            return Result(rows, start, total)
        keys, total = self._keys(options, most, start)
        rows = self._fetch(keys)
        self._nest(self._stage.model, rows, self._stage.includes)
        rows = [self._trim(self._stage.model, row, self._stage.includes) for row in rows]
        total = total if options.count is not False else len(rows)
        return Result(rows, start, total, self._stage.model)

    # --- joining and filtering ------------------------------------------------------------------

    def _join(self) -> None:
        main = self._scope.alias(self._table)
        kind = model_filter(self._holdings, self._stage.model)
        if kind:
            self._where(f'{main}."_type" = ?', kind)
        for association in self._stage.associations:
            self._walk(self._stage.model, main, association)
        for condition in self._stage.filters:
            self._filter(condition, self._table, main)

    def _walk(
        self, model: str, alias: str, association: Association, *, left: bool = False
    ) -> None:
        relation = relate(self._holdings, model, association.name)
        there = self._scope.alias(relation.table)
        join = "LEFT JOIN" if left else "JOIN"
        if not relation.other:
            self._scope.joins.append(f"{join} (SELECT NULL AS id WHERE false) {there} ON false")
            return
        self._scope.joins.append(_joined(relation, alias, there, join))
        kind = model_filter(self._holdings, relation.model)
        if kind and not left:
            self._where(f'{there}."_type" = ?', kind)
        for child in association.children:
            self._walk(relation.model, there, child, left=left)
        if not left:
            for condition in association.filters:
                self._filter(condition, relation.table, there)

    def _where(self, sql: str, *parameters: Any) -> None:
        self._scope.wheres.append(sql)
        self._scope.parameters += parameters

    def _filter(self, condition: Filter, table: str, alias: str) -> None:
        column, kind = self._column(condition.field, table, alias)
        if not condition.op:
            self._where(f"{column} IS NOT NULL")
            return
        parts: list[str] = []
        parameters: list[Any] = []
        for value in condition.values:
            sql, more = self._compare(column, kind, condition.op, value)
            parts.append(sql)
            parameters += more
        glue = " AND " if condition.op == "ne" else " OR "
        self._where(f"({glue.join(parts)})", *parameters)

    def _column(self, name: str, table: str, alias: str) -> tuple[str, str]:
        """Return the SQL of a column and its type; it may be of any table joined so far."""
        owner, dot, column = name.rpartition(".")
        if dot and owner != table:
            table, alias = owner, self._scope.of(owner)
            if not alias:
                raise Refusal(f"missing FROM-clause entry for table '{owner}'")
        kind = self._holdings.columns.get(table, {}).get(column)
        if kind is None or column.startswith("_"):
            raise Refusal(f"column {table}.{column} does not exist")
        return f'{alias}."{column}"', kind

    def _compare(self, column: str, kind: str, op: str, value: Value) -> tuple[str, list[Any]]:
        if isinstance(value, Variable):
            return f"{column} IN (SELECT unnest(?))", [self._variables.get(value.name, [])]
        if isinstance(value, Reference):
            other, _ = self._column(value.name, self._table, self._scope.aliases[0][1])
            return f"{column} {_COMPARE.get(op, '=')} {other}", []
        return _compare_word(column, kind, op, value)

    # --- rows -----------------------------------------------------------------------------------

    def _from(self) -> str:
        main = self._scope.aliases[0][1]
        where = f" WHERE {' AND '.join(self._scope.wheres)}" if self._scope.wheres else ""
        return f'FROM "{self._table}" {main} {" ".join(self._scope.joins)}{where}'

    def _order(self, options: Options) -> list[tuple[str, str]]:
        main = self._scope.aliases[0][1]
        for order in options.order:
            owner = order.field.rpartition(".")[0]
            if owner and not self._scope.of(owner):
                for association in self._stage.includes:
                    self._walk(self._stage.model, main, association, left=True)
                break
        return [
            (self._column(o.field, self._table, main)[0], "DESC" if o.descending else "ASC")
            for o in options.order
        ]

    def _keys(self, options: Options, most: int | None, start: int) -> tuple[list[int], int]:
        """Return the row numbers of one page, and how many rows there are in all."""
        main = self._scope.aliases[0][1]
        order = self._order(options)
        columns = "".join(f", min({sql}) AS o{i}" for i, (sql, _) in enumerate(order))
        keys = f"SELECT {main}.rowid AS r{columns} {self._from()} GROUP BY {main}.rowid"
        sort = ", ".join([*(f"o{i} {way} NULLS LAST" for i, (_, way) in enumerate(order)), "r"])
        cursor = self._holdings.cursor()
        total = cursor.execute(f"SELECT count(*) FROM ({keys})", self._scope.parameters).fetchone()  # noqa: S608
        page = f"SELECT r FROM ({keys}) ORDER BY {sort} LIMIT ? OFFSET ?"  # noqa: S608
        found = cursor.execute(page, [*self._scope.parameters, most, start]).fetchall()
        return [key for (key,) in found], total[0] if total else 0

    def _fetch(self, keys: list[int]) -> list[Row]:
        query = (
            f'SELECT rowid AS "_rowid", * FROM "{self._table}" WHERE rowid IN (SELECT unnest(?))'  # noqa: S608
        )
        rows = _dicts(self._holdings, query, [keys])
        place = {key: index for index, key in enumerate(keys)}
        return sorted(rows, key=lambda row: place[row["_rowid"]])

    def _tabular(self, options: Options, most: int | None, start: int) -> tuple[list[Row], int]:
        main = self._scope.aliases[0][1]
        order = self._order(options)
        columns = [
            f'{self._column(c.source, self._table, main)[0]} AS "{c.name}"' for c in options.tabular
        ]
        distinct = "DISTINCT " if options.distinct else ""
        keys = "" if options.distinct else f", {main}.rowid AS _r"
        sorts = "".join(f", {sql} AS _o{i}" for i, (sql, _) in enumerate(order))
        inner = f"SELECT {distinct}{', '.join(columns)}{sorts}{keys} {self._from()}"
        sort = [f"_o{i} {way}" for i, (_, way) in enumerate(order)] + (
            [] if options.distinct else ["_r"]
        )
        cursor = self._holdings.cursor()
        total = cursor.execute(f"SELECT count(*) FROM ({inner})", self._scope.parameters).fetchone()  # noqa: S608
        outer = f"SELECT * FROM ({inner})" + (f" ORDER BY {', '.join(sort)}" if sort else "")  # noqa: S608
        parameters = [*self._scope.parameters, most, start]
        rows = _dicts(self._holdings, f"{outer} LIMIT ? OFFSET ?", parameters)
        shown = [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows]
        return shown, total[0] if total else 0

    # --- nesting --------------------------------------------------------------------------------

    def _nest(self, model: str, rows: list[Row], includes: tuple[Association, ...]) -> None:
        for include in includes:
            relation = relate(self._holdings, model, include.name)
            nested = self._related(relation, rows, include) if relation.other and rows else {}
            below = [row for group in nested.values() for row in group]
            self._nest(relation.model, below, include.children)
            # A filter of what is nested deeper restricts what it is nested in: AllenSDK asks so for
            # files of one type. It never restricts the main rows.
            needed = [child.name for child in include.children if _restricts(child)]
            for row in rows:
                group = nested.get(row.get(relation.own), [])
                group = [one for one in group if all(one[name] for name in needed)]
                row[include.name] = group if relation.many else (group[0] if group else None)

    def _related(
        self, relation: Relation, rows: list[Row], include: Association
    ) -> dict[Any, list[Row]]:
        """Return the related rows of many rows in one query, grouped by the column they match."""
        scope, table = self._scope, self._table
        self._scope, self._table = _Scope(), relation.table
        there = self._scope.alias(relation.table)
        owner = f't."{relation.through[1]}"' if relation.through else f'{there}."{relation.other}"'
        kind = model_filter(self._holdings, relation.model)
        if kind:
            self._where(f'{there}."_type" = ?', kind)
        if relation.attached_to:
            self._where(f"{there}.attachable_type = ?", relation.attached_to)
        for condition in include.filters:
            self._filter(condition, relation.table, there)
        through = ""
        if relation.through:
            name, _, other = relation.through
            through = f'JOIN "{name}" t ON t."{other}" = {there}.id'
        where = "".join(f" AND {sql}" for sql in self._scope.wheres)
        query = (
            f'SELECT {owner} AS "_owner", {there}.* FROM "{relation.table}" {there} {through}'  # noqa: S608
            f" WHERE {owner} IN (SELECT unnest(?)){where} ORDER BY {there}.rowid"
        )
        keys = list({row.get(relation.own) for row in rows} - {None})
        found = _dicts(self._holdings, query, [keys, *self._scope.parameters])
        self._scope, self._table = scope, table
        grouped: dict[Any, list[Row]] = {}
        for row in found:
            grouped.setdefault(row["_owner"], []).append(row)
        return grouped

    def _trim(self, model: str, row: Row, includes: tuple[Association, ...]) -> Row:
        """Leave out hidden columns, and those that ``only`` and ``except`` leave out."""
        options, table = self._stage.options, schema().table_of(model)
        nested = {include.name: include for include in includes}
        kept: Row = {}
        for name, value in row.items():
            include = nested.get(name)
            if include is not None:
                inner = relate(self._holdings, model, name).model
                kept[name] = (
                    [self._trim(inner, item, include.children) for item in value]
                    if isinstance(value, list)
                    else value and self._trim(inner, value, include.children)
                )
            elif not name.startswith("_") and _wanted(options, table, name):
                kept[name] = value
        return kept


def _restricts(include: Association) -> bool:
    """Return whether an include, or one nested in it, has a filter."""
    return bool(include.filters) or any(_restricts(child) for child in include.children)


def _joined(relation: Relation, here: str, there: str, join: str) -> str:
    attached = (
        f" AND {there}.attachable_type = '{relation.attached_to}'" if relation.attached_to else ""
    )
    if relation.through:
        name, first, second = relation.through
        return (
            f'{join} "{name}" {there}j ON {there}j."{first}" = {here}.id '
            f'{join} "{relation.table}" {there} ON {there}.id = {there}j."{second}"'
        )
    on = f'{there}."{relation.other}" = {here}."{relation.own}"{attached}'
    return f'{join} "{relation.table}" {there} ON {on}'


def _compare_word(column: str, kind: str, op: str, word: Word) -> tuple[str, list[Any]]:
    text = word.text
    if text in {"null", "nil"} and op in {"eq", "is", "ne", "in"}:
        return f"{column} IS {'NOT ' if op == 'ne' else ''}NULL", []
    if op in {"li", "il"}:
        pattern = (
            text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
        )
        like = "ILIKE" if op == "il" else "LIKE"
        return f"CAST({column} AS VARCHAR) {like} ? ESCAPE '\\'", [pattern]
    sign = _COMPARE.get(op, "=")
    if kind == "BOOLEAN":
        if text.lower() not in _BOOLEANS:
            raise Refusal(f"invalid input syntax for type boolean: '{text}'")
        return f"{column} {sign} ?", [_BOOLEANS[text.lower()]]
    if kind in _NUMERIC:
        try:
            return f"{column} {sign} ?", [
                float(text) if "." in text or "e" in text.lower() else int(text)
            ]
        except ValueError:
            raise Refusal(f"invalid input syntax for a number: '{text}'") from None
    return f"{column} {sign} ?", [text]


def _wanted(options: Options, table: str, column: str) -> bool:
    if not options.only and not options.exclude:
        return True
    names = {column, f"{table}.{column}"}
    if options.only:
        return bool(names & set(options.only))
    return not names & set(options.exclude)


def _dicts(holdings: Holdings, query: str, parameters: list[Any]) -> list[Row]:
    cursor = holdings.cursor().execute(query, parameters)
    described = cursor.description or []
    names = [d[0] for d in described]
    structured = {d[0] for d in described if str(d[1]) == "JSON"}
    rows: list[Row] = []
    for values in cursor.fetchall():
        row = dict(zip(names, values, strict=True))
        for name in structured & row.keys():
            row[name] = None if row[name] is None else json.loads(row[name])
        rows.append(row)
    return rows
