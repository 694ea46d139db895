"""Who may ask what of the web view: headers of every page, and the token that writes need."""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Final

from openallen.errors import RefusedError
from openallen.serving import Policy

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["Token", "policy"]

_CONTENT: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


def policy(allow_hosts: tuple[str, ...] = (), guest: tuple[str, str] | None = None) -> Policy:
    """Return the policy of the web view: its own scripts, no other site, this port of loopback.

    Parameters
    ----------
    allow_hosts
        Names of a proxy in front of it.
    guest
        As for `openallen.serving.Policy`.
    """
    return Policy(
        content=_CONTENT,
        headers=(
            # Not `no-referrer`: with it, browsers say `Origin: null` of our own forms.
            ("referrer-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
        ),
        hosts=allow_hosts,
        exact_port=True,
        guest=guest,
    )


class Token:
    """What a page of ours knows and no other site does; made anew by each server.

    Parameters
    ----------
    read_only
        Whether nothing may be written at all.
    """

    name: Final = "x-openallen-token"

    def __init__(self, *, read_only: bool) -> None:
        self.read_only = read_only
        self.value = "" if read_only else secrets.token_urlsafe(24)

    def check(self, request: Request, field: str = "") -> None:
        """Check that a request may write.

        Parameters
        ----------
        request
            The request.
        field
            The token in the form, where the request is one: pages without script send it there.

        Raises
        ------
        RefusedError
            If nothing may be written, or it does not come from a page of this server.
        """
        if self.read_only:
            raise RefusedError("this server is read-only", why="it was started with --read-only")
        given = request.headers.get(self.name, field)
        site = request.headers.get("sec-fetch-site", "same-origin")
        same = hmac.compare_digest(given.encode(), self.value.encode())
        if not same or site not in {"same-origin", "none"}:
            raise RefusedError("not a request of a page of this server", why="no valid token")
