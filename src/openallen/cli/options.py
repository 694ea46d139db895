"""Options that several commands share, and the call they make up."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from openallen.cli.output import Output
from openallen.settings import Settings

__all__ = ["Call", "common", "same_command"]


@dataclass(frozen=True)
class Call:
    """One call of the command line: its settings and how it speaks."""

    settings: Settings
    out: Output


def same_command(*more: str) -> str:
    """Give the command that was typed, with more options."""
    return shlex.join(["openallen", *sys.argv[1:], *more])


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options every command has, and hand over the `Call` they make."""

    @click.option("--json", "as_json", is_flag=True, help="Machine output on stdout.")
    @click.option("-q", "--quiet", is_flag=True, help="Ids only.")
    @click.option("-v", "--verbose", count=True, help="Say more.")
    @click.option("--debug", is_flag=True, help="Say everything, with traces.")
    @click.option(
        "--offline", is_flag=True, default=None, help="Use no network beyond this machine."
    )
    @click.option(
        "--source", metavar="live|sample|URL", help="Where to ask; sample is embedded and offline."
    )
    @click.option(
        "--store",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder that keeps what was fetched.",
    )
    @functools.wraps(function)
    def wrapped(
        as_json: bool,
        quiet: bool,
        verbose: int,
        debug: bool,
        offline: bool | None,
        source: str | None,
        store: Path | None,
        **rest: Any,
    ) -> Any:
        settings = Settings.load(offline=offline, source=source, store=store)
        out = Output(as_json=as_json, quiet=quiet, verbose=verbose + (2 if debug else 0))
        return function(Call(settings, out), **rest)

    return wrapped
