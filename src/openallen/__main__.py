"""``python -m openallen``: the command line."""

from openallen.cli.app import main

main()
