"""``openallen completion``: the script by which a shell completes commands."""

from __future__ import annotations

import click

from openallen.cli.app import ExampleCommand
from openallen.cli.completion import SHELLS, script

__all__ = ["command"]

EXAMPLES = (
    ("openallen completion bash", "for ~/.local/share/bash-completion/completions/openallen"),
    ("openallen completion zsh", "for a file _openallen in a folder of $fpath"),
    ("openallen completion fish", "for ~/.config/fish/completions/openallen.fish"),
)


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
def command(shell: str) -> int:
    """Print the script by which a shell completes commands, options and schemes.

    Write it where your shell looks for completions; new shells have it.
    """
    click.echo(script(shell), nl=False)
    return 0
