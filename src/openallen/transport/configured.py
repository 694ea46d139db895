"""An HTTP client configured by the settings."""

from __future__ import annotations

from openallen.settings import Settings
from openallen.transport.heard import listener
from openallen.transport.http import Http
from openallen.version import __version__

__all__ = ["http_for"]


def http_for(settings: Settings) -> Http:
    """Return a client configured by the settings."""
    return Http(
        connect_timeout_s=settings.connect_timeout_s,
        silence_timeout_s=settings.silence_timeout_s,
        head_timeout_s=settings.head_timeout_s,
        least_bytes_per_s=settings.least_bytes_per_s,
        offline=settings.offline,
        user_agent=f"openallen/{__version__}",
        told=listener(),
    )
