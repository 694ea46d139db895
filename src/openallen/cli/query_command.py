"""``openallen query``: rows of brain-map.org, without a ``$`` that a shell would expand."""

from __future__ import annotations

import csv
import io
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openallen.address import Condition
from openallen.cli.app import ExampleCommand
from openallen.cli.options import Call, common, same_command, short_answers
from openallen.cli.output import json_text
from openallen.errors import NotFoundError, UsageError, requiring
from openallen.harmless import harmless
from openallen.near import closest, nothing_matches
from openallen.sources.context import connected
from openallen.sources.tables import Rows

if TYPE_CHECKING:
    from openallen.brainmap import Client, Query
    from openallen.brainmap.paging import Short

__all__ = ["command"]

EXAMPLES = (
    (
        "openallen query ProjectionImage specimen_id=313862022 --source sample",
        "a model and filters",
    ),
    (
        "openallen query NeuronReconstruction specimen_id=313862022 --json --source sample "
        "--include 'well_known_files(well_known_file_type)'",
        "with related rows nested",
    ),
    (
        "openallen query 'model::ProjectionImage,rma::criteria,[axes$eqxy]' --all --format csv"
        " --source sample",
        "RMA as it is; mind the quotes",
    ),
)
_FIRST = 50
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula, in wide letters, too."""
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("model_or_rma", metavar="MODEL|RMA|URL")
@click.argument("filters", nargs=-1, metavar="[FIELD=VALUE]...")
@click.option("--include", multiple=True, metavar="a(b)", help="Nest related rows.")
@click.option(
    "--order", multiple=True, metavar="[-]FIELD", help="Sort by columns; - for descending."
)
@click.option("--only", metavar="FIELD,...", help="Only these columns.")
@click.option("--limit", type=click.IntRange(0), help=f"Rows at most; {_FIRST} if left out.")
@click.option("--all", "everything", is_flag=True, help="All rows.")
@click.option("--count", "count_only", is_flag=True, help="Print the number of rows only.")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv", "parquet", "xml"]))
@click.option(
    "--no-formulas",
    is_flag=True,
    help="Put ' before text in CSV that a spreadsheet would compute.",
)
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
@click.option("--url", "url_only", is_flag=True, help="Print the URL at the live service only.")
@click.option(
    "--accept-short",
    is_flag=True,
    help="Accept fewer rows than the service announces.",
)
@common
def command(call: Call, model_or_rma: str, filters: tuple[str, ...], **options: Any) -> int:
    """Query brain-map.org for rows: a MODEL with filters, RMA text, or a whole request URL.

    Filters are FIELD=VALUE, or with an operator: id__gt=5, name__ilike='*visual*', id__in=1,2. A
    field of a related row has its path in front: data_set.specimen_id=313862022.
    """
    query = _query(call, model_or_rma.removeprefix("rma:"), filters, options)
    if options["url_only"]:
        from openallen.brainmap import LIVE_URL

        call.out.raw(query.url(LIVE_URL))
        return 0
    form = options["form"] or ("json" if call.out.as_json else _form_of(options["to"]))
    with connected(call.settings) as client, short_answers(call):
        if options["count_only"]:
            number = client.count(query)
            call.out.document({"count": number}, str(number), ids=(number,))
            return 0
        if form == "xml":
            return _raw(query, client, options)
        most = None if options["everything"] else options["limit"] or _first(query)
        short: Short = "warn" if options["accept_short"] else "error"
        rows = client.rows(query, most, short=short)
        if form in {"csv", "parquet"} or options["to"]:
            found = _file(
                call, list(rows), form, options["to"], formulas=not options["no_formulas"]
            )
        else:
            total = None if options["everything"] else _total(client, query)
            call.out.as_json = call.out.as_json or form == "json"
            more = same_command("--all", without=("--limit",))
            found = call.out.rows(Rows(rows, total=total), more=more)
        if not found:
            raise _nothing(client, query, model_or_rma, filters)
    return 0


def _nothing(
    client: Client, query: Query, model_or_rma: str, filters: tuple[str, ...]
) -> NotFoundError:
    from openallen.brainmap.near import values_hint

    conditions = [Condition.parse(text) for text in filters]
    if not conditions:
        return NotFoundError("nothing matches", address=str(query))
    found = values_hint(client, query, conditions)
    command = f"openallen query {shlex.quote(model_or_rma)}{client.source_option}"
    return nothing_matches(f"rma:{model_or_rma}", conditions, found, command=command)


def _form_of(to: Path | None) -> str:
    """Return the format of a file by the suffix of its name."""
    suffix = to.suffix.lstrip(".").lower() if to else ""
    return suffix if suffix in {"csv", "parquet", "xml"} else "table"


def _first(query: Query) -> int | None:
    """Return how many rows to show: one page, unless the query itself sets a number."""
    return None if query.options.num_rows is not None else _FIRST


def _total(client: Client, query: Query) -> int | None:
    from openallen.brainmap.language import ModelStage

    if query.options.num_rows is not None or not isinstance(query.stages[-1], ModelStage):
        return None
    return client.count(query)


def _query(
    call: Call, model_or_rma: str, filters: tuple[str, ...], options: dict[str, Any]
) -> Query:
    from openallen.brainmap import Search, schema

    search = Search.of(model_or_rma)
    for text in filters:
        condition = Condition.parse(text)
        path, _, field = condition.field.rpartition(".")
        condition = replace(condition, field=field)
        search = search.where(path, condition) if path else search.where(condition)
    search = search.include(*options["include"]) if options["include"] else search
    search = search.order(*options["order"]) if options["order"] else search
    search = search.only(*options["only"].split(",")) if options["only"] else search
    for found in search.query.filters_without_operator():
        call.out.warn(
            f"the filter {found} has no value: it matches every row where '{found.field}' is set.\n"
            f"  A shell expands an unquoted $; this spelling has none: {found.field}=VALUE"
        )
    main = search.query.main
    if main is not None:
        own = [f.field for f in main.filters]
        own += [name.rpartition(".")[2] for name in main.options.only]
        own += [order.field.rpartition(".")[2] for order in main.options.order]
        _doubt(call, schema(), main.model, own, [a.name for a in main.includes])
    return search.query


def _doubt(call: Call, known: Any, model: str, fields: list[str], includes: list[str]) -> None:
    """Warn about names that look mistyped; the service may know more than the hints do."""
    hints = known.get(model)
    if hints is None:
        meant = known.meant(model)
        if meant:
            call.out.warn(f"unknown model '{model}'; did you mean {meant}?")
        return
    names = [("association", name, hints.associations) for name in includes]
    names += [("field", name, hints.fields) for name in dict.fromkeys(fields)]
    for kind, name, there in names:
        if name not in there:
            near = closest(name, there, 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            call.out.warn(f"{model} has no known {kind} '{name}'{meant}")


def _raw(query: Query, client: Client, options: dict[str, Any]) -> int:
    number: Any = "all" if options["everything"] else options["limit"] or query.options.num_rows
    asked = query.with_options(replace(query.options, num_rows=number))
    body = client.raw(asked, "xml")
    _put(body if body.endswith(b"\n") else body + b"\n", options["to"])
    return 0


def _file(
    call: Call, rows: list[dict[str, Any]], form: str, to: Path | None, *, formulas: bool
) -> int:
    if not rows:
        return 0
    if form == "parquet" and to is None:
        raise UsageError(
            "Parquet is written to a file only", hint=same_command("--to", "rows.parquet")
        )
    writers: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
        "csv": partial(_csv, formulas=formulas),
        "parquet": _parquet,
    }
    _put(writers.get(form, _json)(rows), to)
    if to is not None:
        call.out.say(f"{len(rows):,} rows in {to}")
    return len(rows)


def _put(data: bytes, to: Path | None) -> None:
    if to is None:
        sys.stdout.flush()
        if sys.stdout.isatty():  # a pipe gets the bytes as they are
            data = harmless(data.decode("utf-8", "replace"), lines=True).encode()
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    from openallen.store.disk import write_whole

    write_whole(to, data)


def _csv(rows: Iterable[dict[str, Any]], *, formulas: bool = True) -> bytes:
    """Write CSV; without `formulas`, text that a spreadsheet would compute gets an apostrophe."""
    import json

    rows = list(rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    cell = _as_it_is if formulas else _disarmed
    writer.writerow({name: cell(name) for name in names})
    for row in rows:
        writer.writerow(
            {k: cell(json.dumps(v) if isinstance(v, (list, dict)) else v) for k, v in row.items()}
        )
    return text.getvalue().encode()


def _as_it_is(value: Any) -> Any:
    return value


def _disarmed(value: Any) -> Any:
    starts = isinstance(value, str) and value.lstrip(" ").startswith(_FORMULAS)
    return f"'{value}" if starts and not _NUMBER.fullmatch(value) else value


def _json(rows: Iterable[dict[str, Any]]) -> bytes:

    return "".join(json_text(row) + "\n" for row in rows).encode()


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    with requiring("a Parquet file", "tables"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data
