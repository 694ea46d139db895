"""``openallen mirror``: part of any source into a folder or an S3-compatible store."""

from __future__ import annotations

import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openallen.cli.fetch_command import confirm, read_addresses, report_code
from openallen.cli.options import Call, SourceCommand, common, short_answers
from openallen.display import count_text
from openallen.errors import ExitCode

if TYPE_CHECKING:
    from openallen.mirroring.copying import Copy
    from openallen.mirroring.run import Mirror
    from openallen.plans import Plan, Report

__all__ = ["command"]

EXAMPLES = (
    (
        "openallen mirror cell:313862022 --to museum --source sample",
        "one cell, its rows and its files; `openallen serve --archive museum` answers with them",
    ),
    (
        "openallen mirror stack:313862022 --to museum --downsample 5 --dry-run --source sample",
        "what mirroring an image stack at one size would fetch",
    ),
    ("openallen mirror cell: --to museum --limit 20 --source sample", "the rows of a list"),
    ("openallen mirror --to museum --source sample", "bring all of it up to date"),
)


@click.command(cls=SourceCommand, examples=EXAMPLES, kind="fetch_options")
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
@click.option("--to", required=True, metavar="DIR|s3://BUCKET/PREFIX", help="Where the mirror is.")
@click.option("--files", is_flag=True, help="Of a list: also the files of each row.")
@click.option("--limit", type=click.IntRange(1), help="Of a list: maximum rows.")
@click.option(
    "--refresh",
    is_flag=True,
    help="Fetch files again that have neither version, digest nor tag to tell changes by.",
)
@click.option("--endpoint-url", metavar="URL", help="S3-compatible server; AWS by default.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Print the plan and fetch nothing.")
@common
def command(
    call: Call,
    addresses: tuple[str, ...],
    to: str,
    files: bool,
    limit: int | None,
    refresh: bool,
    endpoint_url: str | None,
    yes: bool,
    dry_run: bool,
    **options: Any,
) -> int:
    """Mirror each ADDRESS into a folder or an S3-compatible store, rows and files.

    `openallen serve --archive DIR` answers from a mirror as the institute does. Files that have not
    changed are not fetched again; without an ADDRESS, all that was mirrored is brought up to date.
    An ADDRESS that lists (cell:) is mirrored as its rows; with --files, with the files of each. A
    mirror itself (s3://BUCKET/PREFIX, or its folder) is copied.
    """
    from openallen.mirroring.face import mirroring

    given = {name: value for name, value in options.items() if value is not None}
    wanted = _wanted(addresses)
    with (
        warnings.catch_warnings(),
        short_answers(call),
        mirroring(
            wanted,
            to if to.lower().startswith("s3://") else Path(to),
            settings=call.settings,
            files=files,
            limit=limit,
            refresh=refresh,
            dry_run=dry_run,
            endpoint_url=endpoint_url or "",
            say=(lambda _: None) if call.out.as_json else call.out.say,
            options=given,
        ) as run,
    ):
        plan = run.plan
        if dry_run:
            _planned(call, run, plan)
            return ExitCode.DONE
        confirm(call, plan, yes=yes)
        report = _run(call, run)
        _done(call, run, report)
        return report_code(call, report)


def _wanted(words: tuple[str, ...]) -> tuple[str, ...]:
    if len(words) == 1 and (words[0].lower().startswith("s3://") or Path(words[0]).is_dir()):
        return words
    return tuple(str(address) for address in read_addresses(words, "mirror"))


def _planned(call: Call, run: Mirror | Copy, plan: Plan) -> None:
    text = "\n".join([str(plan), f"  {count_text(run.rows, 'row')} of tables"])
    document = plan.to_dict() | {"rows": run.rows}
    call.out.document(document, text, ids=(f.path for f in plan.missing))


def _run(call: Call, run: Mirror | Copy) -> Report:
    from openallen.cli.progress import progress_for

    return run.run(progress_for(quiet=call.out.quiet, verbose=call.out.verbose))


def _done(call: Call, run: Mirror | Copy, report: Report) -> None:
    text = report.text({"rows": f"{run.rows:,} in tables"} if run.rows else {})
    call.out.document(report.to_dict() | {"rows": run.rows}, text, ids=(report.plan.to,))
    if report.ok and not report.plan.title.startswith("Copy") and (report.plan.to).is_dir():
        served = shlex.quote(str(report.plan.to))
        call.out.say(f"  serve it: openallen serve --archive {served}")
