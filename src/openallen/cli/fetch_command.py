"""``openallen fetch``: plan, ask above the size threshold, run, verify."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openallen import verbs
from openallen.address import Address
from openallen.cli.app import ExampleCommand
from openallen.cli.options import Call, common
from openallen.display import bytes_text
from openallen.errors import ExitCode, OpenAllenError, RefusedError, UsageError

if TYPE_CHECKING:
    from openallen.brainmap import Client
    from openallen.plans import Plan, Report
    from openallen.transfer.job import Job

__all__ = ["command", "confirm", "run_job"]

EXAMPLES = (
    (
        "openallen fetch stack:313862022 --to cell --downsample 3 --source sample",
        "one cell's planes at an eighth of their size, with a manifest",
    ),
    (
        "openallen fetch stack:313862022 --to ends --planes ::25 --downsample 4 --source sample",
        "every 25th plane",
    ),
    ("openallen fetch image:321549654?downsample=5 --to . --source sample", "one image"),
    ("openallen fetch atlas:P56 grid:69855739 --source sample", "an atlas and a grid"),
)


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="Folder it goes to; a folder of the store if left out.",
)
@click.option(
    "--downsample", type=click.IntRange(0, 20), help="Halvings of both sides; 0 is full size."
)
@click.option("--planes", metavar="SLICE", help="Positions as a Python slice: 100:200:2, ::4, 7.")
@click.option("--quality", type=click.IntRange(0, 100), help="JPEG quality; the best if left out.")
@click.option("--projections/--no-projections", default=None, help="The service's projections too.")
@click.option("--morphology/--no-morphology", default=None, help="The reconstruction's files too.")
@click.option(
    "--format",
    "table",
    type=click.Choice(["json", "csv", "parquet"]),
    help="Also write the table of planes in this form.",
)
@click.option("--include", metavar="WORDS", help="Volumes of a grid: energy,density,intensity.")
@click.option("--resolution", type=int, help="Voxels of connectivity grids, in µm; 25 if left out.")
@click.option("--mirror", is_flag=True, default=None, help="Lay a release out as its bucket is.")
@click.option(
    "--verify-later",
    is_flag=True,
    default=None,
    help="Compare sizes now, digests with `store verify`.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask, however large.")
@click.option("--dry-run", is_flag=True, help="Print the plan and fetch nothing.")
@common
def command(
    call: Call, addresses: tuple[str, ...], to: Path | None, table: str | None, **options: Any
) -> int:
    """Fetch what ADDRESS names, verified, into a folder.

    What is there already and intact is left alone; what is missing or damaged is fetched. A run
    that was interrupted goes on where it stopped. Several addresses go to one folder each.
    """
    yes, dry_run = options.pop("yes"), options.pop("dry_run")
    if options.pop("verify_later"):
        call = replace(call, settings=replace(call.settings, verify_later=True))
    given = {name: value for name, value in options.items() if value is not None}
    grid_options = {name: given.pop(name, None) for name in ("include", "resolution")}
    # Every address is looked at before anything is fetched.
    wanted = [verbs.with_options(Address.parse(text), dict(grid_options)) for text in addresses]
    if table and any(address.scheme != "stack" for address in wanted):
        raise UsageError("--format goes with stacks only")
    worst = ExitCode.DONE
    documents: list[dict[str, Any]] = []
    with verbs.connected(call.settings) as client:
        for address in wanted:
            folder = _folder(address, to, call, several=len(wanted) > 1)
            work = verbs.job(client, address, folder, **given)
            if dry_run:
                documents.append(_planned(call, work))
                continue
            confirm(call, verbs_status(work), yes=yes)
            report = run_job(call, client, work)
            documents.append(_done(call, work, report, table))
            worst = max(worst, _code(call, report))
    if call.out.as_json:
        call.out.document({"plans" if dry_run else "reports": documents})
    return worst


def _folder(address: Address, to: Path | None, call: Call, *, several: bool) -> Path:
    if to is not None and several and address.scheme in {"stack", "grid", "atlas", "asset"}:
        to = to / address.name
    return verbs.destination(address, to, call.settings)


def verbs_status(work: Job) -> Plan:
    """Give the plan of a job with what is here already."""
    from openallen.transfer import with_status

    return with_status(work.plan)


def _planned(call: Call, work: Job) -> dict[str, Any]:
    plan = verbs_status(work)
    if not call.out.as_json:
        call.out.document({}, str(plan), ids=(f.path for f in plan.missing))
    return plan.to_dict()


def confirm(call: Call, plan: Plan, *, yes: bool) -> None:
    """Show the plan, and ask if it is large.

    Raises
    ------
    RefusedError
        If the answer is no, or there is nobody to ask.
    """
    if not call.out.as_json:
        call.out.say(str(plan))
    if yes or plan.missing_bytes <= call.settings.confirm_bytes:
        return
    size = ("" if plan.exact else "about ") + bytes_text(plan.missing_bytes)
    if sys.stdin.isatty() and sys.stderr.isatty():
        if click.confirm(f"Fetch {size}?", err=True):
            return
        raise RefusedError("not fetched", address=plan.address, why="the answer was no")
    raise RefusedError(
        f"{size} are not fetched unasked",
        address=plan.address,
        why="that is above the size threshold, and there is nobody to ask",
        hint="the same command with --yes",
    )


def run_job(call: Call, client: Client, work: Job) -> Report:
    """Run a job with progress on stderr."""
    from openallen.cli.progress import progress_for

    # What was made until here (a plan of thousands of files) stays: no need to look through it
    # for garbage again and again.
    gc.freeze()
    observer = progress_for(quiet=call.out.quiet, verbose=call.out.verbose)
    try:
        return verbs.run(client, work, call.settings, observer).report
    finally:
        gc.unfreeze()  # what is frozen is never let go of: libraries complain of it at the end


def _done(call: Call, work: Job, report: Report, table: str | None) -> dict[str, Any]:
    document = report.to_dict()
    lines = [str(report)]
    if report.plan.address.startswith("stack:") and (report.fetched or report.here):
        from openallen.sources.stacks.manifest import MANIFEST_NAME

        document["manifest"] = str(report.plan.to / MANIFEST_NAME)
        if table:
            from openallen.sources.stacks import ImageStack
            from openallen.sources.stacks.tables import write_table

            path = write_table(ImageStack(report.plan.to), table)  # type: ignore[arg-type]
            document["table"] = str(path)
            lines.append(f"  table         {path}")
    del work
    if not call.out.as_json:
        call.out.document({}, "\n".join(lines), ids=(report.plan.to,))
    return document


def _code(call: Call, report: Report) -> ExitCode:
    try:
        report.raise_if_failed()
    except OpenAllenError as error:
        if error.exit_code is not ExitCode.INCOMPLETE:
            raise
        call.out.warn(str(error))
        return error.exit_code
    return ExitCode.DONE
