"""``openallen show``: one thing, its facts and what fetching it would take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from openallen import verbs
from openallen.cli.completion import addresses
from openallen.cli.options import Call, SourceCommand, common
from openallen.errors import ExitCode

__all__ = ["command"]

EXAMPLES = (
    ("openallen show stack:313862022 --source sample", "a cell's stack: facts, sizes, a plan"),
    ("openallen show rma:Specimen", "fields and associations of a model"),
    ("openallen show image:321549654 --source sample", "the row of one image"),
    ("openallen show structures:1/VISp --source sample", "a structure and its parts"),
    ("openallen show grid:69855739 --picture energy.png --source sample", "slices of a grid"),
)


@click.command(cls=SourceCommand, examples=EXAMPLES, kind="show_options")
@click.argument("what", shell_complete=addresses, metavar="ADDRESS|FILE|FOLDER")
@click.option(
    "--picture",
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Save a picture of it to this file (png, svg, pdf).",
)
@common
def command(call: Call, what: str, picture: Path | None, **options: Any) -> int:
    """Show facts about an address, without fetching it, or about a file or folder."""
    given = {name: value for name, value in options.items() if value is not None}
    facts = verbs.show(what, picture=picture, settings=call.settings, say=call.out.say, **given)
    document = facts.to_dict()
    if picture is not None:
        document["picture"] = str(picture)
    call.out.document(document, str(facts), ids=facts.ids or (facts.address,))
    return ExitCode(facts.exit_code)
