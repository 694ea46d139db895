"""``python -m openallen``: the command line."""

from openallen.cli import main

main()
