"""The service that answers: brain-map.org, or an archive that stands for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from openallen.errors import NotFoundError, UsageError
from openallen.near import closest
from openallen.paths import existing
from openallen.settings import Settings, service_name

if TYPE_CHECKING:
    from openallen.brainmap import Client
    from openallen.transport import Http

__all__ = ["bucket_endpoint", "client_for", "connected", "service_url"]

_KINDS: Final = "live, sample, or the folder or URL of an archive"


@contextmanager
def connected(settings: Settings | None = None, *, source: str | None = None) -> Iterator[Client]:
    """Open a client for the service that the settings name, while the context lasts.

    Parameters
    ----------
    settings
        Settings to use; loaded from the environment and files if None.
    source
        Goes before the settings: ``live``, ``sample``, or the folder or URL of an archive.

    Raises
    ------
    UsageError, NotFoundError
        If the source is none of these.
    """
    from openallen.transport.configured import http_for

    settings = settings or Settings.load(source=source)
    with http_for(settings) as http:
        yield client_for(http, settings, source or settings.source)


def client_for(http: Http, settings: Settings, source: str) -> Client:
    """Return a client of a service.

    Parameters
    ----------
    http
        Sends the requests.
    settings
        Attempts and connections.
    source
        The service: ``live``, ``sample``, or the folder or URL of an archive.

    Raises
    ------
    UsageError, NotFoundError
        If the source is none of these.
    """
    from openallen.brainmap.client import connect
    from openallen.transport import Retry

    return connect(
        http,
        service_url(source),
        service_name(source),
        typed=source,
        retry=Retry(attempts=settings.attempts),
        connections=settings.connections or 8,
    )


def bucket_endpoint(settings: Settings) -> str:
    """Return the base URL of the server that has the buckets; empty for S3 itself.

    An archive stands for every service: what it does not have is not asked of S3 either.

    Parameters
    ----------
    settings
        The settings.
    """
    if settings.s3_endpoint or settings.source == "live":
        return settings.s3_endpoint
    return f"{service_url(settings.source)}/s3"


def service_url(source: str) -> str:
    """Return the base URL of the service that a source names.

    Parameters
    ----------
    source
        ``live``, ``sample``, or the folder or URL of an archive.

    Raises
    ------
    UsageError, NotFoundError
        If the source is none of these.
    """
    from openallen.brainmap.client import LIVE_URL

    if source == "live":
        return LIVE_URL
    if source.startswith(("http://", "https://")):
        return source.rstrip("/")
    from openallen.archive.embedded import folder_url, sample_url

    if source == "sample":
        return sample_url()
    found = existing(source)
    if found is not None and found.is_dir():
        return folder_url(found, source)
    if found is not None:
        raise NotFoundError("not an archive", address=source, why="it is a file", hint=_KINDS)
    if service_name(source) != source or source.startswith("/"):
        raise NotFoundError("no such folder", address=source, hint=_KINDS)
    near = closest(source, ("live", "sample"), 1)
    hint = f"--source {near[0]}" if near else _KINDS
    raise UsageError(f"unknown source '{source}'", why="there is no such folder", hint=hint)
