"""``openallen serve``: a local server with the API of brain-map.org."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from openallen.cli.app import ExampleCommand
from openallen.cli.options import Call, common
from openallen.errors import UsageError

__all__ = ["command"]

EXAMPLES = (
    (
        "openallen serve --archive sample --port 8765",
        "then, in another terminal, any command with --source http://127.0.0.1:8765",
    ),
    ("openallen serve --archive sample --fault delay=0.08", "delay every response by 80 ms"),
)


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.option(
    "--archive", metavar="sample|DIR", help="Archive to serve: the embedded sample, or a folder."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port; 0 for any free port.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND[=VALUE][@PATH][/EVERY]",
    help="Inject a fault into responses, for tests: delay, hang, cut, html, error, slow-down, "
    "message, short, over, cap, repeat, corrupt, truncate. Repeatable.",
)
@common
def command(call: Call, archive: str | None, port: int, faults: tuple[str, ...]) -> int:
    """Run a local HTTP server with the API of brain-map.org, from a folder.

    For mirrors, courses without a network, and tests. Listens on 127.0.0.1 until Ctrl-C or SIGTERM.
    """
    if archive is None:
        raise UsageError("--archive is missing", hint="openallen serve --archive sample")
    from openallen.archive.app import archive_app
    from openallen.archive.faults import Fault
    from openallen.archive.server import serve

    wrong = tuple(Fault.parse(text) for text in faults)
    app = archive_app(archive if archive == "sample" else Path(archive), faults=wrong)

    def ready(url: str) -> None:
        call.out.document(
            {"url": url, "archive": archive}, f"serving {archive} at {url}", ids=(url,)
        )
        call.out.say(f"  use it with --source {url}; stop it with Ctrl-C")

    # uvicorn shuts down at either signal, then raises it again: here that is a normal exit.
    with suppress(KeyboardInterrupt):
        serve(app, port, ready)
    return 0
