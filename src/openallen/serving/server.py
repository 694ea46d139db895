"""Running an app on loopback: in a thread of this process, or as a server of its own."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from openallen.errors import StoreError, requiring
from openallen.serving.asgi import App

if TYPE_CHECKING:
    import uvicorn

__all__ = ["serve", "serving"]

_CONNECTIONS: Final = 8000
_BACKLOG: Final = 4096
_FILES: Final = 65_536
_SWITCH_S: Final = 0.0005
_LOOPBACK: Final = "127.0.0.1"


def _server(app: App, *, lifespan: bool) -> uvicorn.Server:
    with requiring("a local server", "web"):
        import uvicorn
    from openallen.serving.timed import Timed

    config = uvicorn.Config(
        app,
        http=Timed,
        ws="none",
        limit_concurrency=_CONNECTIONS,
        log_config=None,
        log_level="critical",
        access_log=False,
        timeout_keep_alive=30,
        lifespan="on" if lifespan else "off",
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config)


def _listen(port: int, host: str = _LOOPBACK) -> socket.socket:
    # asyncio turns Nagle's algorithm off only where the protocol is named: without it every
    # answer of more than one piece waits 40 ms for an acknowledgement.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise StoreError(
                f"address {host} is not one of this machine",
                hint="--host 0.0.0.0 for all of its addresses",
            ) from error
        raise StoreError(
            f"port {port} cannot be used",
            why=error.strerror or str(error),
            hint="--port 0 for any free port",
        ) from error
    return listener


def _allow_many_files() -> None:
    """Let this process have as many open connections as the system allows it, not its default."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def serving(app: App, port: int = 0, *, lifespan: bool = False) -> Iterator[str]:
    """Serve an app on loopback while the context lasts; yields its base URL.

    Parameters
    ----------
    app
        What to serve.
    port
        Where; 0 for any free one.
    lifespan
        Whether the app wants to know when it starts and ends.

    Raises
    ------
    StoreError
        If the port cannot be used.
    """
    server = _server(app, lifespan=lifespan)
    listener = _listen(port)
    thread = threading.Thread(target=server.run, args=([listener],), name="server", daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        # A server that is forced to exit does not tell its app: one that wants to know is waited
        # for, as long as what it does then may take.
        server.force_exit = not lifespan
        thread.join(20)
        server.force_exit = True
        listener.close()


def serve(
    app: App,
    port: int,
    ready: Callable[[str], object],
    *,
    lifespan: bool = False,
    host: str = _LOOPBACK,
) -> None:
    """Serve an app until Ctrl-C or SIGTERM.

    Parameters
    ----------
    app
        What to serve.
    port
        Where; 0 for any free one.
    ready
        Called with the base URL as soon as connections are accepted.
    lifespan
        Whether the app wants to know when it starts and ends.
    host
        The address to listen at: loopback, another one of this machine, or ``0.0.0.0``.

    Raises
    ------
    StoreError
        If the port cannot be used, or the address is not one of this machine.
    """
    _allow_many_files()
    # A thread that computes gives way sooner to the many that only hand bytes on.
    sys.setswitchinterval(_SWITCH_S)
    server = _server(app, lifespan=lifespan)
    with _listen(port, host) as listener:
        ready(f"http://{_LOOPBACK}:{listener.getsockname()[1]}")
        server.run([listener])
