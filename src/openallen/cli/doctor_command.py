"""``openallen doctor``: what works here and what does not, as a page for a bug report."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from openallen.cli.app import ExampleCommand
from openallen.cli.options import common_options
from openallen.cli.output import Output

__all__ = ["command"]

EXAMPLES = (
    ("openallen doctor --offline", "all but the services"),
    ("openallen doctor --offline --json", "the same as one document"),
    ("openallen doctor --source sample", "with the embedded sample as the service"),
)


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.option(
    "--imports", is_flag=True, help="Import every installed library, to see which are broken."
)
@common_options
def command(
    imports: bool,
    as_json: bool,
    ids: bool,
    quiet: bool,
    verbose: int,
    debug: bool,
    offline: bool | None,
    source: str | None,
    store: Path | None,
) -> int:
    """Check the installation, the settings, the store and the services.

    Each line is ok, a note, or a problem with what mends it. The page has no credentials, names of
    users or machines, or addresses behind a server: paste it into a bug report. Nothing is changed.
    The command ends with exit code 1 if there is a problem. With --ids it prints the names of
    checks that found one; with --quiet only notes and problems.
    """
    from openallen.checkup import Checkup, doctor

    del verbose, debug  # a log names files and addresses: this page does not
    found = doctor(source=source, store=store, offline=offline, imports=imports)
    # It has to be readable in the terminal that is the problem.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    shown = Checkup(found.problems + found.notes) if quiet else found
    names = dict.fromkeys(finding.check for finding in found.problems)
    Output(as_json=as_json, ids=ids).document(found.to_dict(), str(shown), ids=names)
    return found.exit_code
