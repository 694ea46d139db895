"""``openallen store``: what the local store holds; verify, repair, prune, adopt."""

from __future__ import annotations

import click

from openallen import maintenance
from openallen.cli.app import ExampleCommand
from openallen.cli.completion import addresses
from openallen.cli.options import Call, common, same_command
from openallen.cli.progress import counting
from openallen.cli.verifying import verified
from openallen.display import bytes_text, count_text
from openallen.errors import ExitCode, RefusedError, UsageError
from openallen.paths import existing, expanded

__all__ = ["command"]

EXAMPLES = (
    ("openallen store path", "its folder"),
    ("openallen store ls", "what is in it"),
    ("openallen store verify", "compare every file with its digest, on all cores"),
)
_WHAT = ("path", "ls", "verify", "repair", "prune", "adopt")


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("what", type=click.Choice(_WHAT))
@click.argument("given", shell_complete=addresses, nargs=-1, metavar="[ADDRESS|FOLDER]...")
@click.option("--in-place", is_flag=True, help="Adopt a folder without moving or copying it.")
@click.option("--dry-run", is_flag=True, help="Print what prune would remove.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@common
def command(
    call: Call, what: str, given: tuple[str, ...], in_place: bool, dry_run: bool, yes: bool
) -> int:
    """Manage the local store.

    path prints its folder, ls its contents. verify compares every file with its digest; repair
    fetches damaged and missing files again, with the options they were fetched with. prune removes
    an address, or one version of a release (release:NAME@VERSION) except for bytes that other
    versions share; prune ranges clears the cache of remote reads, prune overviews that of small
    pictures of planes, prune tables that of tables kept as Parquet. adopt imports a cache folder of
    AllenSDK without downloading anything.
    """
    if what == "path":
        root = call.settings.store
        call.out.document({"path": str(root)}, str(root), ids=(root,))
        return 0
    if what == "ls":
        held = maintenance.held(call.settings)
        if not call.out.rows(held):
            call.out.say(f"the store is empty: {call.settings.store}")
            for note in held.notes:  # an empty store may have a cache
                call.out.say(f"  {note}")
        return 0
    if what == "adopt":
        return _adopt(call, given, in_place=in_place)
    if what == "prune":
        return _prune(call, given, dry_run=dry_run, yes=yes)
    places = [existing(w) or w for w in given]
    return verified(call, places, repair=what == "repair")


def _prune(call: Call, given: tuple[str, ...], *, dry_run: bool, yes: bool) -> int:
    if len(given) == 1 and given[0] in maintenance.CACHES:
        cleared = maintenance.clear_cache(given[0], dry_run=dry_run, settings=call.settings)
        would = "would be " if dry_run else ""
        text = f"{bytes_text(cleared['freed_bytes'])} {would}freed"
        call.out.document(cleared, text, ids=(cleared["folder"],))
        return 0
    planned = maintenance.prune(given, dry_run=True, settings=call.settings)
    files = sum(row["files"] for row in planned)
    freed = sum(row["freed_bytes"] for row in planned)
    if not dry_run and not yes:
        raise RefusedError(
            f"removing {count_text(files, 'file')} needs a confirmation",
            why=f"{bytes_text(freed)} would be freed",
            hint=same_command("--yes"),
        )
    if not dry_run:
        maintenance.prune(given, dry_run=False, settings=call.settings)
    call.out.rows(planned)
    call.out.say(f"{bytes_text(freed)} {'would be ' if dry_run else ''}freed")
    return 0


def _adopt(call: Call, given: tuple[str, ...], *, in_place: bool) -> int:
    if len(given) != 1:
        raise UsageError("adopt takes one folder", hint="openallen store adopt DIR")
    quiet = call.out.quiet or call.out.as_json
    with counting(None, "file", quiet=quiet, every=1) as step:
        facts = maintenance.adopt(
            expanded(given[0]).absolute(),
            in_place=in_place,
            settings=call.settings,
            step=step,
        )
    call.out.document(facts.to_dict(), str(facts), ids=facts.ids)
    return ExitCode(facts.exit_code)
