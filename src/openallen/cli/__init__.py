"""The command line: verbs on addresses."""

from openallen.cli.app import main

__all__ = ["main"]
