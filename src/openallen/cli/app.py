"""The group of commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import json
import logging
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final

import click

from openallen.errors import ExitCode, OpenAllenError, StoreError, UsageError, requiring
from openallen.harmless import harmless, harmless_json
from openallen.version import __version__

__all__ = ["COMMANDS", "ExampleCommand", "main", "root"]

COMMANDS = {
    "demo": "Tour the main commands on sample data, offline, in under a minute",
    "list": "List cells, data sets, releases, assets, recordings, models",
    "show": "Show facts about one item, and what a fetch would download",
    "fetch": "Download and verify files; resumes where it stopped",
    "mirror": "Mirror part of any source into a folder or an S3-compatible store",
    "view": "Look at one thing in a browser",
    "verify": "Verify files against their digests, offline",
    "diff": "Compare two versions of a release",
    "query": "Query brain-map.org by model and filters, or in RMA",
    "convert": "Convert a fetched image stack to OME-Zarr 0.5",
    "bench": "Measure compression codecs on an ephys recording",
    "cluster": "Run a command on a SLURM cluster, on many workers",
    "serve": "Look at the store in a browser; serve the API of brain-map.org locally",
    "store": "Manage the local store: ls, verify, repair, prune, adopt",
    "config": "Show all settings and their origins",
    "doctor": "Check installation, store and services; a page for bug reports",
    "completion": "Print the completion script of bash, zsh or fish",
}
"""The commands, in the order help shows them."""


_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})


class _HarmlessFormatter(logging.Formatter):
    """Spells out what a terminal would act on: messages hold names from elsewhere."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record), lines=True)


def log_to_stderr(level: int, *, named: bool = False) -> None:
    """Write messages of a level and above to stderr.

    Parameters
    ----------
    level
        A level of `logging`.
    named
        Write who says it, too.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_HarmlessFormatter("%(name)s: %(message)s" if named else "%(message)s"))
    everything = logging.getLogger()
    for former in [h for h in everything.handlers if isinstance(h.formatter, _HarmlessFormatter)]:
        everything.removeHandler(former)
    everything.addHandler(handler)
    everything.setLevel(level)


class ExampleCommand(click.Command):
    """A command whose examples stand in its help, and are run by a test.

    Parameters
    ----------
    examples
        Command lines with what each does.
    """

    def __init__(
        self, *args: Any, examples: tuple[tuple[str, str], ...] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def examples_of(self, ctx: click.Context) -> tuple[tuple[str, str], ...]:
        """Return the examples that go with what was typed; here all of them.

        Parameters
        ----------
        ctx
            The call.
        """
        del ctx
        return self.examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples below the options."""
        examples = self.examples_of(ctx)
        if examples:
            with formatter.section("Examples"):
                for line, meaning in examples:
                    formatter.write(f"  {line}\n      {meaning}\n")
        super().format_epilog(ctx, formatter)


class _Root(click.Group):
    """Loads a command when it is called, and knows what was meant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"openallen.cli.{cmd_name}_command").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            near = get_close_matches(args[0], COMMANDS, n=1)
            rest = shlex.join(args[1:]) or "--help"
            meant = f"openallen {near[0]} {rest}" if near else "openallen --help"
            raise UsageError(f"no such command '{args[0]}'", hint=meant)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        # From the table, as help is: click would import every command.
        from openallen.cli.completion import commands

        return commands(COMMANDS, incomplete) + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # Said from the table above: help must not import every command to print a line of each.
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Root,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="openallen %(version)s")
@click.pass_context
def root(context: click.Context) -> None:
    """Find, fetch and open the open data of the Allen Institute.

    \b
    list     openallen list stack:
    show     openallen show stack:313862022
    fetch    openallen fetch stack:313862022 --to DIR --downsample 3
    open     python -c "import openallen as oa; print(oa.open('DIR'))"
    """  # noqa: D301 - the backspace is click's mark for lines kept as they are
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    code = run(sys.argv[1:] if arguments is None else arguments)
    if code == ExitCode.INTERRUPTED:
        # Everything of ours is settled. Threads of libraries may be in the middle of something:
        # waiting for them delays the end, and tearing them down covers the message with theirs.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    _open_closed_streams()
    debug = "--debug" in arguments
    if "_OPENALLEN_COMPLETE" in os.environ:
        from openallen.cli.completion import register

        register()
    # Where a connection to the sample ends early, asyncio says so in words that help nobody.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    log_to_stderr(logging.DEBUG if debug else logging.WARNING, named=debug)
    as_json = "--json" in arguments
    return _guarded(
        lambda: root.main(arguments, "openallen", standalone_mode=False), as_json, debug
    )


def _guarded(work: Callable[[], Any], as_json: bool, debug: bool) -> int:
    try:
        return _translated(work, as_json, debug)
    except BrokenPipeError:
        return ExitCode.DONE
    except OSError as error:
        if error.errno not in _FULL or error.filename:
            raise
        return _output_lost(error)


def _translated(work: Callable[[], Any], as_json: bool, debug: bool) -> int:
    try:
        with requiring("this command"):
            result = work()
    except KeyboardInterrupt as interrupt:
        return _interrupted(interrupt)
    except click.exceptions.Abort as abort:
        return _aborted(abort.__cause__, as_json=as_json, debug=debug)
    except click.ClickException as error:
        text = f"{error.format_message()}"
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path} --help" if context else "openallen --help"
        return _fail(UsageError(text.rstrip("."), hint=hint), as_json=as_json, debug=False)
    except OpenAllenError as error:
        return _fail(error, as_json=as_json, debug=debug)
    return int(result) if isinstance(result, int) else ExitCode.DONE


def _open_closed_streams() -> None:
    """Open streams that were closed by the shell (``>&-``): what is written there is dropped."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def _output_lost(error: OSError) -> int:
    """End a command whose results could not be written: a full disk behind ``> file``."""
    # What is still buffered cannot be written either; at exit it would be tried once more.
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    lost = StoreError("the output cannot be written", why=error.strerror or str(error))
    return _fail(lost, as_json=False, debug=False)


def _aborted(cause: BaseException | None, *, as_json: bool, debug: bool) -> int:
    """Separate what click merges: Ctrl-C, and any EOFError, as of truncated bytes."""
    if isinstance(cause, OpenAllenError):
        return _fail(cause, as_json=as_json, debug=debug)
    return _interrupted(cause)


def _interrupt(number: int, frame: object) -> None:
    del number, frame
    raise KeyboardInterrupt


def _interrupted(interrupt: BaseException | None) -> int:
    report = getattr(interrupt, "report", None)
    if report is None:
        return _say("interrupted", ExitCode.INTERRUPTED)
    done, whole = len(report.fetched) + len(report.here), len(report.outcomes)
    plan = report.plan
    return _say(
        f"interrupted: {done:,} of {whole:,} files are here and verified\n"
        f"  resume: {_same_command(plan)}",
        ExitCode.INTERRUPTED,
    )


def _same_command(plan: Any) -> str:
    """Return the command that was typed; run again, it resumes."""
    if {"fetch", "mirror"} & set(sys.argv[1:]):
        return shlex.join(["openallen", *sys.argv[1:]])
    return f"openallen fetch {plan.address} --to {shlex.quote(str(plan.to))}"


def _say(text: str, code: ExitCode) -> int:
    sys.stderr.write(harmless(text, lines=True) + "\n")
    return code


def _as_typed(hint: str) -> str:
    """Return a command with the service, the store and the folder that were named when typed."""
    words = sys.argv[1:]
    if not hint.startswith("openallen ") or words[:1] == ["serve"] or hint.endswith(" --help"):
        return hint
    flags = ["--source", "--store"]
    command = hint.split()
    if words[:1] == command[1:2] == ["fetch"] and command[2:3] and command[2] in words:
        flags.insert(0, "--to")  # the same thing again
    for flag in flags:
        given = [w.partition("=")[2] for w in words if w.startswith(f"{flag}=")]
        given += [words[at + 1] for at, w in enumerate(words[:-1]) if w == flag]
        if given and flag not in hint:
            hint += f" {flag} {shlex.quote(given[-1])}"
    return hint


def _fail(error: OpenAllenError, *, as_json: bool, debug: bool) -> int:
    error.hint = _as_typed(error.hint)
    if debug:
        sys.stderr.write(harmless("".join(traceback.format_exception(error)), lines=True))
    if error.exit_code == ExitCode.INCOMPLETE:
        # The report, printed already, names each failure: the summary need not.
        return _say(f"error: {error.what}", error.exit_code)
    if as_json:
        document = {
            "kind": type(error).__name__,
            "what": error.what,
            "address": error.address or None,
            "why": error.why or None,
            "hint": error.hint or None,
            "exit_code": int(error.exit_code),
        }
        sys.stdout.write(harmless_json(json.dumps({"error": document}, ensure_ascii=False)) + "\n")
    return _say(f"error: {error}", error.exit_code)
