"""Where things come from: a source (``live``, ``sample``, a URL) and the client for it."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from openallen.errors import UsageError
from openallen.settings import Settings

if TYPE_CHECKING:
    from openallen.brainmap import Client

__all__ = ["connected"]


@contextmanager
def connected(settings: Settings | None = None, *, source: str | None = None) -> Iterator[Client]:
    """Open a client for the source the settings name, while the context lasts.

    Parameters
    ----------
    settings
        What to go by; read afresh where None.
    source
        Goes before the settings: ``live``, ``sample``, or the URL of an archive.

    Raises
    ------
    UsageError
        If the source is none of these.
    """
    from openallen.brainmap.client import connect
    from openallen.transport import Retry
    from openallen.transport.configured import http_for

    settings = settings or Settings.load(source=source)
    chosen = source or settings.source
    with http_for(settings) as http:
        yield connect(
            http,
            _base_url(chosen),
            chosen.rstrip("/"),
            retry=Retry(attempts=settings.attempts),
            connections=settings.connections or 8,
        )


def _base_url(source: str) -> str:
    from openallen.brainmap.client import LIVE_URL

    if source == "live":
        return LIVE_URL
    if source == "sample":
        return _sample_url()
    if source.startswith(("http://", "https://")):
        return source.rstrip("/")
    raise UsageError(f"unknown source '{source}'", hint="live, sample, or the URL of an archive")


_sample = ExitStack()
_sample_started: list[str] = []
_sample_lock = threading.Lock()


def _sample_url() -> str:
    """Serve the sample archive from this process, once, until it ends; gives its URL."""
    with _sample_lock:
        if not _sample_started:
            from openallen.archive.app import archive_app
            from openallen.archive.server import serving

            _sample_started.append(_sample.enter_context(serving(archive_app("sample"))))
            atexit.register(_sample.close)
        return _sample_started[0]
