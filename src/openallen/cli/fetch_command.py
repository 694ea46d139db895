"""``openallen fetch``: plan, ask above the size threshold, run, verify."""

from __future__ import annotations

import gc
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openallen import verbs
from openallen.address import Address
from openallen.cli.completion import addresses
from openallen.cli.options import Call, SourceCommand, common, same_command
from openallen.cli.schedulers import checked_scheduler, scheduler_option
from openallen.display import bytes_text
from openallen.errors import ExitCode, OpenAllenError, RefusedError, UsageError

if TYPE_CHECKING:
    from openallen.plans import Plan, Report
    from openallen.transfer import Cluster
    from openallen.verbs import Prepared

__all__ = ["command", "confirm", "read_addresses", "report_code", "run_prepared"]

EXAMPLES = (
    (
        "openallen fetch stack:313862022 --to cell --downsample 3 --source sample",
        "one cell's planes at an eighth of their size, with a manifest",
    ),
    (
        "openallen fetch stack:313862022 --to ends --planes ::25 --downsample 4 --source sample",
        "every 25th plane",
    ),
    ("openallen fetch 'image:321549654?downsample=5' --to . --source sample", "one image"),
    ("openallen fetch atlas:P56 grid:69855739 --source sample", "an atlas and a grid"),
)


@click.command(cls=SourceCommand, examples=EXAMPLES, kind="fetch_options")
@click.argument(
    "addresses", shell_complete=addresses, nargs=-1, required=True, metavar="ADDRESS..."
)
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="Destination folder; a folder of the store by default.",
)
@click.option(
    "--verify-later",
    is_flag=True,
    default=None,
    help="Check sizes only; check digests later with `openallen verify FOLDER`.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Worker processes; chosen by the size of the fetch and the processors by default.",
)
@scheduler_option("Share the files among the workers of a dask cluster.")
@click.option(
    "--own-disks",
    is_flag=True,
    help="Have each worker of the cluster fetch to DIR of --to on its own disk.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Print the plan and fetch nothing.")
@common
def command(
    call: Call,
    addresses: tuple[str, ...],
    to: Path | None,
    verify_later: bool | None,
    processes: int | None,
    scheduler: str | None,
    own_disks: bool,
    yes: bool,
    dry_run: bool,
    **options: Any,
) -> int:
    """Fetch each ADDRESS into a folder and verify every file.

    Only missing and damaged files are fetched; an interrupted run resumes when it is run again.
    With several addresses and --to, each has its own folder below it.
    """
    if verify_later:
        call = replace(call, settings=replace(call.settings, verify_later=True))
    if processes is not None:
        call = replace(call, settings=replace(call.settings, processes=processes))
    given = {name: value for name, value in options.items() if value is not None}
    from openallen.transfer import Cluster

    cluster = Cluster.chosen(checked_scheduler(call, scheduler), own_disks=own_disks, to=to)
    # Every address is read before anything is fetched.
    wanted = read_addresses(addresses)
    with _started(cluster, of_several=len(wanted) > 1 and not dry_run) as cluster:
        return _each(call, wanted, to, given, cluster, yes=yes, dry_run=dry_run)


@contextmanager
def _started(cluster: Cluster | None, *, of_several: bool) -> Iterator[Cluster | None]:
    """Start a cluster of this machine once for several addresses, not once for each."""
    count = cluster.local_workers if cluster is not None and of_several else None
    if cluster is None or count is None:
        yield cluster
        return
    from openallen.cluster.local import local_cluster

    with local_cluster(count) as address:
        yield replace(cluster, scheduler=address)


def _each(
    call: Call,
    wanted: Sequence[Address],
    to: Path | None,
    given: Mapping[str, Any],
    cluster: Cluster | None,
    *,
    yes: bool,
    dry_run: bool,
) -> int:
    worst = ExitCode.DONE
    documents: list[dict[str, Any]] = []
    elsewhere = cluster is not None and cluster.own_disks
    for address in wanted:
        folder = verbs.folder_of_one(address, to, several=len(wanted) > 1)
        own = verbs.options_of(address, given, several=len(wanted) > 1)
        with verbs.preparing(address, folder, settings=call.settings, **own) as work:
            if dry_run:
                documents.append(_planned(call, work))
                continue
            confirm(call, work.plan, yes=yes)
            report = run_prepared(call, work, cluster)
            documents.append(_done(call, work, report, elsewhere=elsewhere))
            worst = max(worst, report_code(call, report))
    if call.out.as_json:
        call.out.document({"plans" if dry_run else "reports": documents})
    return worst


def read_addresses(words: tuple[str, ...], verb: str = "fetch") -> list[Address]:
    """Read addresses; filters, which `list` takes as words of their own, are part of them here.

    Parameters
    ----------
    words
        What was typed.
    verb
        The command, for the hint.
    """
    filters = [word for word in words if "=" in word and ":" not in word.partition("=")[0]]
    named = [word for word in words if word not in filters]
    if filters and named:
        mark = "&" if "?" in named[0] else "?"
        whole = shlex.quote(f"{named[0]}{mark}{'&'.join(filters)}")
        raise UsageError(
            f"'{filters[0]}' is not an address",
            why="filters are part of the address",
            hint=f"openallen {verb} {whole}",
        )
    return [Address.parse(word) for word in words]


def _planned(call: Call, work: Prepared) -> dict[str, Any]:
    plan = work.plan
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
    if yes or not plan.needs_confirmation(call.settings.confirm_bytes):
        return
    size = plan.size_text
    if sys.stdin.isatty() and sys.stderr.isatty():
        if click.confirm(f"Fetch {size}?", err=True):
            return
        raise RefusedError("not fetched", address=plan.address, why="declined")
    raise RefusedError(
        f"fetching {size} needs a confirmation",
        address=plan.address,
        why=f"more than {bytes_text(call.settings.confirm_bytes)}; no terminal to ask on",
        hint=same_command("--yes"),
    )


def run_prepared(call: Call, work: Prepared, cluster: Cluster | None = None) -> Report:
    """Fetch with progress on stderr."""
    from openallen.cli.progress import progress_for

    # What was made until here (a plan of thousands of files) stays: no need to look through it
    # for garbage again and again.
    gc.freeze()
    observer = progress_for(quiet=call.out.quiet, verbose=call.out.verbose)
    try:
        return work.run(observer, cluster=cluster)
    finally:
        gc.unfreeze()  # what is frozen is never let go of: libraries complain of it at the end


def _done(call: Call, work: Prepared, report: Report, *, elsewhere: bool = False) -> dict[str, Any]:
    files = {} if elsewhere else work.written(report)
    written = {name: str(path) for name, path in files.items()}
    if not call.out.as_json:
        call.out.document({}, report.text(written), ids=(report.plan.to,))
    return report.to_dict() | written


def report_code(call: Call, report: Report) -> ExitCode:
    """Return how the command ends, having said what failed.

    Raises
    ------
    OpenAllenError
        Where nothing is there because of one reason.
    """
    try:
        report.raise_if_failed()
    except OpenAllenError as error:
        if error.exit_code is not ExitCode.INCOMPLETE:
            raise
        call.out.fail(str(error))
        return error.exit_code
    return ExitCode.DONE
