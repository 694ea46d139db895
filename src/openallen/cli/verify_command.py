"""``openallen verify``: every file of a folder or an address, compared with its digest."""

from __future__ import annotations

import click

from openallen.cli.app import ExampleCommand
from openallen.cli.completion import addresses
from openallen.cli.options import Call, common
from openallen.cli.verifying import verified
from openallen.paths import existing

__all__ = ["command"]

EXAMPLES = (
    ("openallen verify cell", "a folder that was fetched with --to, moved or copied"),
    ("openallen verify cell --json", "the same as one document"),
)


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument(
    "what", shell_complete=addresses, nargs=-1, required=True, metavar="FOLDER|ADDRESS..."
)
@common
def command(call: Call, what: tuple[str, ...]) -> int:
    """Compare every file with its digest, without a network.

    A folder is verified by its own manifest, wherever it was moved or copied to. The command ends
    with exit code 7 if a file is damaged or missing.
    """
    return verified(call, [existing(w) or w for w in what], repair=False)
