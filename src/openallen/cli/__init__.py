"""The command line: verbs on addresses."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]

_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with its exit code.

    Ctrl-C while its modules are still being loaded ends it as quietly as later.
    """
    try:
        from openallen.cli.app import main as run

        run(arguments)
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("interrupted\n")
            sys.stderr.flush()
        os._exit(_INTERRUPTED)
