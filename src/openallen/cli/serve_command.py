"""``openallen serve``: the web view, or a local server with the API of brain-map.org."""

from __future__ import annotations

import re
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import click

from openallen.cli.app import ExampleCommand
from openallen.cli.options import Call, common, same_command
from openallen.errors import UsageError
from openallen.paths import expanded

__all__ = ["command", "serve_viewer"]

_IPV6: Final = 6
_HAS_PORT: Final = re.compile(r":\d{1,5}$")

EXAMPLES = (
    ("openallen serve", "look at what the store holds, in a browser"),
    ("openallen serve --source sample --port 8766", "the same, with the embedded sample"),
    (
        "openallen serve --archive sample --port 8765",
        "then, in another terminal, any command with --source http://127.0.0.1:8765",
    ),
    (
        "openallen serve --archive sample --port 8765 --host 0.0.0.0 --allow-host classroom.local",
        "for a classroom: other machines read it at http://classroom.local:8765",
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
@click.option(
    "--host",
    metavar="ADDRESS",
    help="With --archive: listen at this address of the machine, or at all (0.0.0.0), so that "
    "other machines can read the archive. Without it only this machine can.",
)
@click.option("--open", "in_browser", is_flag=True, help="Open the page in a browser.")
@click.option("--read-only", is_flag=True, help="Fetch and remove nothing from pages.")
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME[:PORT]",
    help="Answer under this name too: of a proxy in front of the server, or of this machine in its "
    "network (with --host). Repeatable.",
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
    host: str | None,
    in_browser: bool,
    read_only: bool,
    hosts: tuple[str, ...],
    faults: tuple[str, ...],
) -> int:
    """Look at the store in a browser; with --archive, serve the API of brain-map.org.

    Listens on 127.0.0.1 until Ctrl-C or SIGTERM. The archive is for mirrors, courses without a
    network, and tests; with --host other machines can read it.
    """
    if archive is None:
        for name, value in {"--fault": faults, "--host": host}.items():
            if value:
                raise UsageError(
                    f"{name} goes with --archive", hint=same_command("--archive", "sample")
                )
        return serve_viewer(
            call, port=port, in_browser=in_browser, read_only=read_only, hosts=hosts
        )
    given = {"--open": in_browser, "--read-only": read_only}
    for name in (name for name, value in given.items() if value):
        hint = same_command(without=("--archive", "--fault"))
        raise UsageError(f"{name} does not go with --archive", hint=hint)
    return _serve_archive(call, archive, port, faults, _Listening.of(host, hosts))


@dataclass(frozen=True)
class _Listening:
    """Where an archive listens, and the names it answers to beside those of loopback."""

    address: str = "127.0.0.1"
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, host: str | None, names: tuple[str, ...]) -> _Listening:
        """Return where to listen; refuses what nobody could reach, and what is no address."""
        if host is None:
            return cls(names=names)
        try:
            address = ip_address("127.0.0.1" if host == "localhost" else host)
        except ValueError:
            raise UsageError(
                f"--host {host} is not an address",
                why="it is where the server listens, not what it is called",
                hint=f"--host 0.0.0.0 --allow-host {host}",
            ) from None
        if address.is_unspecified and not names:
            raise UsageError(
                f"--host {host} needs --allow-host",
                why="requests are answered only under names that are known",
                hint=f"--host {host} --allow-host NAME, the name or address that clients use",
            )
        own = (f"[{address}]" if address.version == _IPV6 else str(address),)
        known = address.is_unspecified or address.is_loopback
        return cls(str(address), names if known else (*own, *names))

    def urls(self, port: str) -> list[str]:
        """Return where other machines find the server."""
        return [
            f"http://{name}" if _HAS_PORT.search(name) else f"http://{name}:{port}"
            for name in self.names
        ]


def _serve_archive(
    call: Call, archive: str, port: int, faults: tuple[str, ...], where: _Listening
) -> int:
    from openallen.archive.app import archive_app
    from openallen.archive.faults import Fault
    from openallen.serving import serve

    wrong = tuple(Fault.parse(text) for text in faults)
    root = archive if archive == "sample" else expanded(archive)
    app = archive_app(root, faults=wrong, hosts=where.names)

    def ready(url: str) -> None:
        more = where.urls(url.rpartition(":")[2])
        url = more[0] if more else url
        told = {"url": url, "archive": archive} | ({"urls": more} if more else {})
        call.out.document(told, f"serving {archive} at {url}", ids=(url,))
        call.out.say(f"  use it with --source {url}; stop it with Ctrl-C")
        if not ip_address(where.address).is_loopback:
            call.out.warn(
                "every machine that reaches this one can read the archive: there is no password, "
                "and nothing is encrypted"
            )

    # uvicorn shuts down at either signal, then raises it again: here that is a normal exit.
    with suppress(KeyboardInterrupt):
        serve(app, port, ready, host=where.address)
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
