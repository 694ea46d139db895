"""``openallen diff``: what changed between two versions of a release."""

from __future__ import annotations

from dataclasses import replace

import click

from openallen.address import Address
from openallen.cli.app import ExampleCommand
from openallen.cli.completion import addresses
from openallen.cli.options import Call, common
from openallen.display import bytes_text
from openallen.errors import UsageError
from openallen.sources.context import Context

__all__ = ["command"]

EXAMPLES = (
    (
        "openallen diff release:visual-behavior-ophys@0.1.0 release:visual-behavior-ophys@0.2.0",
        "files added, removed, changed and renamed",
    ),
    ("openallen diff release:visual-behavior-ophys@0.1.0 1.0.0 --json", "as one document"),
)


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("older", shell_complete=addresses, metavar="ADDRESS@A")
@click.argument("newer", metavar="ADDRESS@B|B")
@common
def command(call: Call, older: str, newer: str) -> int:
    """List the changes between two versions of a release, and the size of the update."""
    where = Address.parse(older)
    other = Address.parse(newer) if ":" in newer else replace(where, version=newer)
    if (where.scheme, where.name) != (other.scheme, other.name):
        raise UsageError(
            "not two versions of one project",
            why=f"{older} and {newer}",
            hint="openallen diff release:visual-behavior-ophys@0.1.0 1.0.1",
        )
    if not where.version or not other.version:
        raise UsageError(
            "no version given",
            address=older if not where.version else newer,
            hint=f"openallen list {where.scheme}:{where.name}",
        )
    with Context(call.settings) as context:
        compare = getattr(context.source(where), "compare", None)
        if compare is None:
            raise UsageError("versions cannot be compared", address=str(where))
        compared = compare(where, other.version)
    call.out.document(
        compared.to_dict(), str(compared), ids=(change.path for change in compared.changes)
    )
    size = compared.fetch_bytes
    told = f"; {bytes_text(size)} to fetch" if size else ""
    if not call.out.as_json:
        call.out.say(compared.summary + told)
    return 0
