"""``openallen list``: rows of what there is."""

from __future__ import annotations

from typing import Any

import click

from openallen import verbs
from openallen.cli.completion import addresses
from openallen.cli.options import Call, SourceCommand, common, same_command, short_answers
from openallen.errors import NotFoundError

__all__ = ["command"]

EXAMPLES = (
    ("openallen list stack: --source sample", "cells that have an image stack"),
    ("openallen list stack: species='Homo Sapiens' --all --json --source sample", "as JSON lines"),
    ("openallen list grid: gene=Pdyn plane=coronal --source sample", "expression of a gene"),
    ("openallen list release:", "projects with versioned releases"),
    ("openallen list rma:", "the models of brain-map.org"),
    ("openallen list rma: --refresh --source sample", "the same, from the service"),
    ("openallen list rma:ProjectionImage specimen_id=313862022 --source sample", "rows of one"),
)
_FIRST = 50


@click.command(cls=SourceCommand, examples=EXAMPLES, kind="list_options")
@click.argument("address", shell_complete=addresses)
@click.argument("filters", nargs=-1, metavar="[FIELD=VALUE]...")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=_FIRST,
    show_default=True,
    help="Maximum rows.",
)
@click.option("--all", "everything", is_flag=True, help="All rows.")
@common
def command(
    call: Call,
    address: str,
    filters: tuple[str, ...],
    limit: int,
    everything: bool,
    **options: Any,
) -> int:
    """List the items of a scheme (stack:), or the contents of one item (release:NAME).

    Filters are FIELD=VALUE, or with an operator: width_px__gt=6000, line__like='Pvalb*'. FIELD
    alone selects the rows in which the field is set.
    """
    given = {name: value for name, value in options.items() if value is not None}
    with (
        short_answers(call),
        verbs.listing(
            address,
            *filters,
            limit=None if everything else limit,
            settings=call.settings,
            say=call.out.say,
            **given,
        ) as rows,
    ):
        shown = call.out.rows(rows, more=same_command("--all", without=("--limit",)))
        if not shown:
            raise rows.empty() if rows.empty else NotFoundError("nothing matches", address=address)
    return 0
