"""``openallen serve``: the web view, or a local server with the API of brain-map.org."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click

from openallen.cli.app import ExampleCommand
from openallen.cli.options import Call, common, same_command
from openallen.errors import UsageError

__all__ = ["command", "serve_viewer"]

EXAMPLES = (
    ("openallen serve", "look at what the store holds, in a browser"),
    ("openallen serve --source sample --port 8766", "the same, with the embedded sample"),
    (
        "openallen serve --archive sample --port 8765",
        "then, in another terminal, any command with --source http://127.0.0.1:8765",
    ),
    ("openallen serve --archive sample --fault delay=0.08", "delay every response by 80 ms"),
)


@click.command(cls=ExampleCommand, examples=EXAMPLES)
@click.option(
    "--archive",
    metavar="sample|DIR",
    help="Serve the API of brain-map.org instead, from the embedded sample or a folder.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port; 0 for any free port.",
)
@click.option("--open", "in_browser", is_flag=True, help="Open the page in a browser.")
@click.option("--read-only", is_flag=True, help="Fetch and remove nothing from pages.")
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME[:PORT]",
    help="Answer under this name too: of a proxy in front of the server. Repeatable.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND[=VALUE][@PATH][/EVERY]",
    help="With --archive: inject a fault into responses, for tests: delay, hang, cut, html, error, "
    "slow-down, message, short, over, cap, repeat, corrupt, truncate. Repeatable.",
)
@common
def command(
    call: Call,
    archive: str | None,
    port: int,
    in_browser: bool,
    read_only: bool,
    hosts: tuple[str, ...],
    faults: tuple[str, ...],
) -> int:
    """Look at the store in a browser; with --archive, serve the API of brain-map.org.

    Listens on 127.0.0.1 until Ctrl-C or SIGTERM. The archive is for mirrors, courses without a
    network, and tests.
    """
    if archive is None:
        if faults:
            raise UsageError(
                "--fault goes with --archive", hint=same_command("--archive", "sample")
            )
        return serve_viewer(
            call, port=port, in_browser=in_browser, read_only=read_only, hosts=hosts
        )
    given = {"--open": in_browser, "--read-only": read_only, "--allow-host": hosts}
    for name in (name for name, value in given.items() if value):
        hint = same_command(without=("--archive", "--fault"))
        raise UsageError(f"{name} does not go with --archive", hint=hint)
    return _serve_archive(call, archive, port, faults)


def _serve_archive(call: Call, archive: str, port: int, faults: tuple[str, ...]) -> int:
    from openallen.archive.app import archive_app
    from openallen.archive.faults import Fault
    from openallen.serving import serve

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


def serve_viewer(
    call: Call,
    *,
    port: int = 0,
    path: str = "/",
    places: dict[str, Path] | None = None,
    in_browser: bool = False,
    read_only: bool = False,
    hosts: tuple[str, ...] = (),
    neuroglancer: str = "",
    links: Callable[[str], dict[str, str]] | None = None,
) -> int:
    """Serve the web view until Ctrl-C or SIGTERM.

    Parameters
    ----------
    call
        The call.
    port
        Where; 0 for any free one.
    path
        The page that is printed, and opened.
    places
        Folders and files that may be looked at beside the store, by name.
    in_browser
        Whether to open the page.
    read_only, hosts, neuroglancer
        As for `openallen.viewer.ViewerOptions`.
    links
        Returns what else to print, by name: URLs of other viewers, from the one of the server.
    """
    from openallen.serving import serve
    from openallen.viewer import ViewerOptions, viewer_app

    options = ViewerOptions(
        places=places or {}, read_only=read_only, allow_hosts=hosts, neuroglancer=neuroglancer
    )
    app = viewer_app(call.settings, options)

    def ready(url: str) -> None:
        page = f"{url}{path}"
        more = links(url) if links is not None else {}
        text = "\n".join([page, *(f"{name}: {link}" for name, link in more.items())])
        call.out.document({"url": page, **more}, text, ids=(page, *more.values()))
        call.out.say("  stop it with Ctrl-C")
        if in_browser and not webbrowser.open(page):
            call.out.warn("no web browser found")

    with suppress(KeyboardInterrupt):
        serve(app, port, ready, lifespan=True)
    return 0
