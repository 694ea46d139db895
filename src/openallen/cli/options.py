"""Options that commands share, those of the sources, and the call they make up."""

from __future__ import annotations

import functools
import logging
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from openallen.cli.app import ExampleCommand, log_to_stderr
from openallen.cli.completion import services
from openallen.cli.output import Output
from openallen.errors import OpenAllenError, ShortAnswerError, ShortAnswerWarning, UsageError
from openallen.settings import Settings

if TYPE_CHECKING:
    from openallen.sources.base import Source
    from openallen.sources.options import Described

__all__ = ["Call", "SourceCommand", "common", "common_options", "same_command", "short_answers"]


@dataclass(frozen=True)
class Call:
    """One call of the command line: its settings and how it speaks."""

    settings: Settings
    out: Output


def same_command(*more: str, without: Sequence[str] = (), without_flags: Sequence[str] = ()) -> str:
    """Return the command that was typed, with more options, and without some (and their value)."""
    kept: list[str] = []
    skip = False
    for word in sys.argv[1:]:
        name, equals, _ = word.partition("=")
        if skip:
            skip = False
        elif name in without:
            skip = not equals
        elif name in without_flags:
            continue
        else:
            kept.append(word)
    return shlex.join(["openallen", *kept, *more])


@contextmanager
def short_answers(call: Call) -> Iterator[None]:
    """Print the warning about missing rows as one line, and the command that accepts them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", ShortAnswerWarning)
        warnings.showwarning = lambda message, *_: call.out.warn(str(message))
        try:
            yield
        except ShortAnswerError as error:
            error.hint = same_command("--accept-short")
            raise


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options every command has."""
    for option in reversed(_COMMON):
        function = option(function)
    return function


_COMMON: Final = (
    click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout."),
    click.option("--ids", is_flag=True, help="Print only ids, addresses or paths, one per line."),
    click.option("-q", "--quiet", is_flag=True, help="Print results only, no progress, no notes."),
    click.option(
        "-v", "--verbose", count=True, help="Print more details; -vv prints requests, too."
    ),
    click.option("--debug", is_flag=True, help="Log everything and print tracebacks."),
    click.option(
        "--offline", is_flag=True, default=None, help="Use no network beyond this machine."
    ),
    click.option(
        "--source",
        metavar="live|sample|DIR|URL",
        shell_complete=services,
        help="Service to use: live, the embedded sample, or the folder or URL of an archive.",
    ),
    click.option(
        "--store",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of the local store.",
    ),
)


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options every command has, and hand over the `Call` they make."""

    @common_options
    @functools.wraps(function)
    def wrapped(
        as_json: bool,
        ids: bool,
        quiet: bool,
        verbose: int,
        debug: bool,
        offline: bool | None,
        source: str | None,
        store: Path | None,
        **rest: Any,
    ) -> Any:
        if verbose and not debug:
            level = logging.INFO if verbose == 1 else logging.DEBUG
            log_to_stderr(level)
        settings = Settings.load(offline=offline, source=source, store=store)
        out = Output(as_json=as_json, ids=ids, quiet=quiet, verbose=verbose + (2 if debug else 0))
        return function(Call(settings, out), **rest)

    return wrapped


class SourceCommand(ExampleCommand):
    """A command that also takes the options of the sources its addresses are of.

    Parameters
    ----------
    kind
        Which options of a source: ``list_options``, ``show_options`` or ``fetch_options``.
    """

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Find out which sources are meant, and read the arguments with their options."""
        ctx.meta[_MEANT] = tuple(_meant(args))
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise self._elsewhere(error, str(ctx.info_name)) or error from None

    def _elsewhere(self, error: click.NoSuchOption, command: str) -> UsageError | None:
        """Return the error that names the sources an option is for; None if no source has it."""
        from openallen.sources.registry import source_classes

        name = error.option_name
        takers = [
            source.scheme
            for source in source_classes()
            if any(name in _spellings(d) for d in _described(source, self.kind))
        ]
        if not takers:
            return None
        told = " and ".join(f"{taker}:" for taker in takers)
        return UsageError(
            f"{name} is for {told} addresses only",
            hint=f"openallen {command} {takers[0]}: --help",
        )

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own options, and those of the sources that are meant."""
        own = super().get_params(ctx)
        taken = {param.name for param in own}
        more: dict[str, click.Parameter] = {}
        for source in ctx.meta.get(_MEANT, ()):
            for described in _described(source, self.kind):
                if described.name not in taken:
                    more.setdefault(described.name, _click_option(described))
        return [*own[:-1], *more.values(), own[-1]] if more else own

    def examples_of(self, ctx: click.Context) -> tuple[tuple[str, str], ...]:
        """Return the examples of the sources that were named; of each that has none, its own."""
        meant = ctx.meta.get(_MEANT, ())
        found: list[tuple[str, str]] = []
        for source in meant:
            own = [e for e in self.examples if f" {source.scheme}:" in e[0].replace("'", "")]
            found += own or [_example(ctx.command_path, source)]
        return tuple(dict.fromkeys(found)) if meant else self.examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the schemes with their own options, unless one was named."""
        if not ctx.meta.get(_MEANT):
            from openallen.sources.registry import source_classes

            told = []
            for source in source_classes():
                flags = ", ".join(d.flag for d in _described(source, self.kind))
                told.append((f"{source.scheme}:", source.title + (f"; {flags}" if flags else "")))
            with formatter.section(
                f"Addresses and their own options ({ctx.command_path} SCHEME: --help)"
            ):
                formatter.write_dl(told)
        super().format_epilog(ctx, formatter)


_MEANT = "openallen.sources"


def _example(command: str, source: type[Source]) -> tuple[str, str]:
    if command.endswith(" list"):
        return source.way_in(), source.title
    return f"{command} {shlex.quote(source.example())}", source.examples[0].meaning


def _described(source: type[Source], kind: str) -> tuple[Described, ...]:
    from openallen.sources.options import describe

    return describe(getattr(source, kind))


def _spellings(described: Described) -> tuple[str, ...]:
    off = (described.flag.replace("--", "--no-", 1),) if described.is_switch else ()
    return (described.flag, *described.option.flags, *off)


def _meant(args: Sequence[str]) -> Iterator[type[Source]]:
    """Return the sources of addresses, files and folders among arguments, each once."""
    found: dict[str, type[Source]] = {}
    for word in args:
        if word.startswith("-"):
            continue
        source = _source_of(word)
        if source is not None:
            found.setdefault(source.scheme, source)
    yield from found.values()


def _source_of(word: str) -> type[Source] | None:
    from openallen.address import Address
    from openallen.paths import existing
    from openallen.sources.registry import SCHEMES
    from openallen.web_address import is_web

    scheme, colon, _ = word.partition(":")
    try:
        if colon and scheme.lower() in SCHEMES:
            return SCHEMES[scheme.lower()]
        if is_web(word):
            return SCHEMES[Address.parse(word).scheme]
        path = existing(word)
        return _source_of_path(path) if path is not None else None
    except (OpenAllenError, OSError):
        return None


def _source_of_path(path: Path) -> type[Source] | None:
    from openallen.sources.context import Context
    from openallen.sources.place import Place

    with Context() as context:
        found = context.recognise(Place.here(path))
        return type(found) if found is not None else None


def _click_option(described: Described) -> click.Option:
    told = described.option
    kwargs: dict[str, Any] = {"help": told.help, "default": None}
    names = [described.name, described.flag, *told.flags]
    if described.is_switch and described.default is True:
        names[1:] = [f"{described.flag}/--no-{described.flag.removeprefix('--')}"]
        return click.Option(names, **kwargs)
    if described.is_switch:
        return click.Option(names, is_flag=True, **kwargs)
    kwargs["type"] = _click_type(described)
    if told.metavar:
        kwargs["metavar"] = told.metavar
    return click.Option(names, **kwargs)


def _number(described: Described) -> click.ParamType[Any]:
    whole, low, high = described.kind is int, described.option.minimum, described.option.maximum
    if low is None and high is None:  # a range without bounds is "x<=None" in the help
        return click.INT if whole else click.FLOAT
    if not whole:
        return click.FloatRange(low, high)
    return click.IntRange(None if low is None else int(low), None if high is None else int(high))


def _click_type(described: Described) -> click.ParamType[Any]:
    told = described.option
    if told.parse is not None:
        return click.STRING
    if told.choices and described.kind is str:
        return click.Choice(told.choices)
    if described.kind in {int, float}:
        return _number(described)
    if described.kind is Path:
        return click.Path(path_type=Path, dir_okay=False)
    return click.STRING
