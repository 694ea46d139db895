"""Completion by the shell: what its script asks, and the scripts of bash, zsh and fish.

A script hands over the line up to the cursor. click's own scripts do not fit here: bash parts words
at colons, so that ``stack:1`` would come as three words, and all three add a blank behind a scheme.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar, Final

import click
from click.shell_completion import CompletionItem, ShellComplete, split_arg_string

from openallen.errors import OpenAllenError

__all__ = ["SHELLS", "VARIABLE", "Completion", "addresses", "register", "script", "services"]

VARIABLE: Final = "_OPENALLEN_COMPLETE"
"""Set by the scripts: the shell, and that completions are wanted (``bash_complete``)."""

_BASH = """\
# Completion of openallen for bash 4.4 or newer.
%(complete_func)s() {
    local kind value
    while IFS=',' read -r kind value; do
        case $kind in
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
            open) compopt -o nospace; COMPREPLY+=("$value") ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_WORDS="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s
# Completion of openallen for zsh.
%(complete_func)s() {
    local -a values shown opened
    local line kind value help
    for line in "${(@f)$(COMP_WORDS="${(j: :)words[1,CURRENT-1]} $PREFIX" \
%(complete_var)s=zsh_complete ${words[1]} 2>/dev/null)}"; do
        kind=${line%%%%,*} value=${line#*,}
        help=${value#*$'\\t'} value=${value%%%%$'\\t'*}
        case $kind in
            file) _path_files -f ;;
            dir) _path_files -/ ;;
            open) opened+=("$value") ;;
            plain) values+=("$value"); shown+=("$value  $help") ;;
        esac
    done
    (( $#opened )) && compadd -V schemes -S '' -a opened
    (( $#values )) && compadd -V values -l -d shown -a values
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = """\
# Completion of openallen for fish.
function %(complete_func)s
    set -l line (commandline -cp)
    for answer in (COMP_WORDS="$line" %(complete_var)s=fish_complete %(prog_name)s 2>/dev/null)
        set -l parts (string split -m 1 , -- $answer)
        switch $parts[1]
            case file
                __fish_complete_path (commandline -ct)
            case dir
                __fish_complete_directories (commandline -ct)
            case '*'
                echo $parts[2]
        end
    end
end
complete --no-files --command %(prog_name)s --arguments '(%(complete_func)s)'
"""


class Completion(ShellComplete):
    """What the scripts have in common: one line of words in, one line an answer out."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one at the cursor, and what is there of that one."""
        line = os.environ.get("COMP_WORDS", "")
        words = split_arg_string(line)
        incomplete = words.pop() if words[1:] and not line[-1:].isspace() else ""
        return words[1:], incomplete

    def complete(self) -> str:
        """Return the answers; none where the line makes no sense so far."""
        try:
            return super().complete()
        except (OpenAllenError, click.ClickException, OSError):
            return ""

    def format_completion(self, item: CompletionItem) -> str:
        """Return an answer as its script reads it: kind, value and what it is."""
        kind = "open" if item.type == "plain" and item.value.endswith(":") else item.type
        return f"{kind},{item.value}\t{' '.join((item.help or '').split())}".rstrip()


class _Bash(Completion):
    name: ClassVar[str] = "bash"
    source_template: ClassVar[str] = _BASH

    def format_completion(self, item: CompletionItem) -> str:
        return super().format_completion(item).partition("\t")[0]  # bash has no place for more


class _Zsh(Completion):
    name: ClassVar[str] = "zsh"
    source_template: ClassVar[str] = _ZSH


class _Fish(Completion):
    name: ClassVar[str] = "fish"
    source_template: ClassVar[str] = _FISH


SHELLS: Final[dict[str, type[Completion]]] = {c.name: c for c in (_Bash, _Zsh, _Fish)}
"""The shells that there are scripts for."""


def register() -> None:
    """Have click answer in the way that our scripts ask."""
    from click.shell_completion import add_completion_class

    for shell in SHELLS.values():
        add_completion_class(shell)


def script(shell: str) -> str:
    """Return the script of a shell.

    Parameters
    ----------
    shell
        One of `SHELLS`.
    """
    nothing = click.Command("openallen")
    return SHELLS[shell](nothing, {}, "openallen", VARIABLE).source()


def addresses(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the schemes that begin so; files where none does.

    Parameters
    ----------
    context
        The call so far.
    parameter
        The argument.
    incomplete
        What is typed of it.
    """
    from openallen.sources.registry import SCHEMES

    del context, parameter
    found = [CompletionItem(f"{name}:") for name in SCHEMES if name.startswith(incomplete)]
    return found or ([] if ":" in incomplete else [CompletionItem(incomplete, type="file")])


def services(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the services that have a name; folders where none begins so.

    Parameters
    ----------
    context
        The call so far.
    parameter
        The option.
    incomplete
        What is typed of it.
    """
    del context, parameter
    named = [CompletionItem(name) for name in ("live", "sample") if name.startswith(incomplete)]
    return named or [CompletionItem(incomplete, type="dir")]


def commands(group: dict[str, str], incomplete: str) -> list[Any]:
    """Return the commands that begin so, with what each does.

    Parameters
    ----------
    group
        Commands with what each does.
    incomplete
        What is typed.
    """
    return [
        CompletionItem(name, help=told)
        for name, told in group.items()
        if name.startswith(incomplete)
    ]
