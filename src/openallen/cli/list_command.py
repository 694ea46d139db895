"""``openallen list``: rows of what there is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import click

from openallen import verbs
from openallen.address import Address, Condition
from openallen.cli.app import ExampleCommand
from openallen.cli.options import Call, common, same_command
from openallen.errors import NotFoundError, UsageError

__all__ = ["command", "show_rows"]

EXAMPLES = (
    ("openallen list stack: --source sample", "cells that have an image stack"),
    ("openallen list stack: species='Homo Sapiens' --all --json --source sample", "as JSON lines"),
    ("openallen list grid: gene=Pdyn plane=coronal --source sample", "expression of a gene"),
    ("openallen list release:", "projects with versioned releases"),
    ("openallen list rma:", "the models of brain-map.org"),
    ("openallen list rma: --refresh --source sample", "the same, asked anew"),
    ("openallen list rma:ProjectionImage specimen_id=313862022 --source sample", "rows of one"),
)
_CELLS = ("specimen_id", "species", "line", "area", "layer", "dendrite_type", "reconstruction_type")
_DATA_SETS = ("id", "gene", "plane", "product", "age", "reference_space_id", "specimen_id")
_FIRST = 50


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("address")
@click.argument("filters", nargs=-1, metavar="[FIELD=VALUE]...")
@click.option(
    "--limit", type=click.IntRange(1), default=_FIRST, show_default=True, help="Rows at most."
)
@click.option("--all", "everything", is_flag=True, help="Every row.")
@click.option("--refresh", is_flag=True, help="Ask anew for models (rma:) or assets (asset:).")
@common
def command(
    call: Call,
    address: str,
    filters: tuple[str, ...],
    limit: int,
    everything: bool,
    refresh: bool,
) -> int:
    """List what ADDRESS names.

    stack: for cells with images, grid: for section data sets, atlas: for atlases, rma: for models,
    rma:MODEL for rows, release: for projects, release:PROJECT for versions,
    release:PROJECT/TABLE for rows of a table, release:PROJECT/files for files, asset: for assets of
    aind-open-data, asset:NAME for files, recording: and recording:KIND for those of the compression
    benchmark.

    Filters are FIELD=VALUE, or with an operator: width_px__gt=6000, line__like='Pvalb*'. FIELD
    alone means that it has one.
    """
    where = Address.parse(address)
    conditions = [Condition.parse(text) for text in filters]
    if where.scheme == "rma" and not where.name:
        return _models(call, conditions, refresh=refresh)
    if where.scheme == "release":
        from openallen.cli.release_lists import list_releases

        return list_releases(call, where, conditions, None if everything else limit)
    if where.scheme == "asset":
        from openallen.cli.asset_show import list_assets

        most = None if everything else limit
        return list_assets(call, where, conditions, most, refresh=refresh)
    if where.scheme == "recording" and not where.path and not conditions:
        from openallen.cli.asset_show import list_recordings

        return list_recordings(call, where)
    if where.scheme == "atlas":
        from openallen.cli.atlas_show import list_atlases

        return list_atlases(call, conditions)
    if refresh:
        raise UsageError("only models are refreshed", hint="openallen list rma: --refresh")
    asked, shown = verbs.set_query(where, conditions)
    with verbs.connected(call.settings) as client:
        total = None if everything else client.count(asked)
        rows = client.rows(asked, None if everything else limit)
        columns = {"stack": _CELLS, "grid": _DATA_SETS}.get(where.scheme)
        id_column = "specimen_id" if where.scheme == "stack" else "id"
        count = show_rows(
            call,
            (shown(row) for row in rows),
            columns,
            id_column=id_column,
            total=total,
            more=same_command("--all"),
        )
    if not count:
        raise NotFoundError(
            "nothing matches", address=address, hint=f"openallen list {where.scheme}:"
        )
    return 0


def show_rows(
    call: Call,
    rows: Any,
    columns: Sequence[str] | None,
    *,
    id_column: str = "id",
    total: int | None = None,
    more: str = "",
) -> int:
    """Print rows; without columns to show, those that say something in the first rows."""
    if columns is None and not (call.out.as_json or call.out.quiet):
        rows = list(rows)
        columns = _telling(rows)
    return call.out.rows(rows, columns or (), id_column=id_column, total=total, more=more)


def _telling(rows: list[dict[str, Any]]) -> list[str]:
    """Choose columns for people: ids first, then those that are not empty all the way."""
    names = list(dict.fromkeys(name for row in islice(rows, 50) for name in row))
    full = [n for n in names if any(row.get(n) not in {None, ""} for row in _plain(rows, n))]
    nested = [n for n in full if any(isinstance(row.get(n), (list, dict)) for row in rows[:50])]
    plain = [n for n in full if n not in nested]
    first = [n for n in plain if n == "id"]
    return (first + [n for n in plain if n not in first])[:9] + nested


def _plain(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [r for r in rows[:50] if not isinstance(r.get(name), (list, dict))] or [{name: "…"}]


def _models(call: Call, conditions: Sequence[Condition], *, refresh: bool) -> int:
    from openallen.brainmap import schema
    from openallen.brainmap.refresh import refresh as ask

    if conditions:
        raise UsageError(
            "models are listed all", why=str(conditions[0]), hint="openallen list rma:MODEL"
        )
    if refresh:
        with verbs.connected(call.settings) as client:
            told = ask(client, call.settings.store)
        call.out.say(f"{len(told.models)} models described by {call.settings.source}")
    rows = [
        {
            "model": model.name,
            "table": model.table,
            "fields": len(model.fields),
            "associations": len(model.associations),
        }
        for model in schema().models.values()
    ]
    call.out.rows(
        rows, ("model", "table", "fields", "associations"), id_column="model", noun="model"
    )
    call.out.say(
        "  known here; the service may have more. One of them: openallen show rma:Specimen"
    )
    return 0
