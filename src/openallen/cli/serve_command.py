"""``openallen serve``: an archive on loopback."""

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
        "then, elsewhere: --source http://127.0.0.1:8765",
    ),
    ("openallen serve --archive sample --fault delay=0.08", "every answer 80 ms late"),
)


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.option("--archive", metavar="sample|DIR", help="The archive to serve.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 for any free one.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND[=VALUE][@PATH][/EVERY]",
    help="Misbehave on purpose: delay, hang, cut, html, error, slow-down, message, short, over, "
    "cap, repeat, corrupt, truncate.",
)
@common
def command(call: Call, archive: str | None, port: int, faults: tuple[str, ...]) -> int:
    """Serve an archive: brain-map.org's services over HTTP, from a folder, on this machine.

    Stops with Ctrl-C or SIGTERM.
    """
    if archive is None:
        raise UsageError("what to serve?", hint="openallen serve --archive sample")
    from openallen.archive.app import archive_app
    from openallen.archive.faults import Fault
    from openallen.archive.server import serve

    wrong = tuple(Fault.parse(text) for text in faults)
    app = archive_app(archive if archive == "sample" else Path(archive), faults=wrong)

    def ready(url: str) -> None:
        call.out.document(
            {"url": url, "archive": archive}, f"serving {archive} at {url}", ids=(url,)
        )
        call.out.say(f"  use it: --source {url}    stop it: Ctrl-C")

    # uvicorn stops in order at either signal, then raises it again: for a server that is the end.
    with suppress(KeyboardInterrupt):
        serve(app, port, ready)
    return 0
