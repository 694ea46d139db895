"""What a server on loopback owes the machine it runs on: bounds, and no answers to strangers.

Any web page can make a browser ask 127.0.0.1, and a name of its own can be made to mean that
address. So requests are answered only where they name this machine and do not come from another
site; numbers are bounded; clients that do not read are let go; no answer is executed by a browser
beyond what the policy of the app allows.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus

from openallen.serving.asgi import App, Message, Receive, Scope, Send

__all__ = ["Policy", "guarded"]

_OWN: Final = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_BELOW: Final = re.compile(r"[a-z0-9][a-z0-9._-]*\.localhost(:\d{1,5})?", re.IGNORECASE)
_PORT: Final = re.compile(r":\d{1,5}$")
_TOO_LONG: Final = re.compile(r"\d{19}")
_PIECE_BYTES: Final = 1 << 18
_SEND_S: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What an app lets browsers do with its answers, and who may ask.

    Parameters
    ----------
    content
        The Content-Security-Policy of every answer.
    headers
        More headers of every answer.
    hosts
        Names of this server beside those of loopback: of a proxy in front of it, or of this
        machine in its network.
    any_port
        Whether a name in `hosts` without a port stands for every port.
    exact_port
        Whether the port in Host and Origin must be the one the request came to.
    guest
        A path and the origin of another site, which may read what is below that path.
    below_localhost
        Whether names below ``localhost``, which mean this machine everywhere, are its own too.
    long_numbers
        Whether paths and queries may hold numbers of any length, as names do.
    """

    content: str = "default-src 'none'; sandbox"
    headers: tuple[tuple[str, str], ...] = ()
    hosts: tuple[str, ...] = ()
    any_port: bool = False
    exact_port: bool = False
    guest: tuple[str, str] | None = None
    below_localhost: bool = False
    long_numbers: bool = False

    def lines(self) -> list[tuple[bytes, bytes]]:
        """Return the headers of every answer."""
        told = (
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", self.content),
            *self.headers,
        )
        return [(name.encode(), value.encode()) for name, value in told]

    def own(self, host: str, port: int | None) -> bool:
        """Return whether a Host names this server.

        Parameters
        ----------
        host
            Name or address, with or without a port.
        port
            The port that the request came to; None where it is not known.
        """
        named = {name.lower() for name in self.hosts}
        bare = _PORT.sub("", host.lower()) if self.any_port else host.lower()
        if host.lower() in named or bare in named:
            return True
        if self.below_localhost and not self.exact_port and _BELOW.fullmatch(host):
            return True
        found = _OWN.fullmatch(host)
        if found is None:
            return False
        return not self.exact_port or port is None or found[2] == f":{port}"

    def welcome(self, method: str, path: str, origins: list[bytes]) -> bool:
        """Return whether a request comes from the guest, and asks for no more than it may read.

        Parameters
        ----------
        method, path
            What is asked for.
        origins
            The values of the header Origin.
        """
        if self.guest is None or method not in {"GET", "HEAD", "OPTIONS"}:
            return False
        below, origin = self.guest
        return path.startswith(below) and origins == [origin.encode()]


def guarded(app: App, policy: Policy = Policy()) -> App:
    """Return an app that answers only requests of this machine, with bounded numbers.

    Parameters
    ----------
    app
        The app.
    policy
        What it lets browsers do.
    """
    lines = policy.lines()

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        refused = _refused(scope, policy)
        if refused:
            await _say(send, lines, *refused)
            return
        await app(scope, receive, _bounded(send, lines))

    return guard


def _refused(scope: Scope, policy: Policy) -> tuple[int, str] | None:
    """Return status and reason where a request is not answered."""
    given: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        given.setdefault(name.lower(), []).append(value)
    port = (scope.get("server") or (None, None))[1]
    host = [value.decode("latin-1") for value in given.get(b"host", [])]
    if len(host) != 1 or not policy.own(host[0], port):
        names = ", ".join(("127.0.0.1", "localhost", *policy.hosts))
        return 421, f"this server answers to {names} only"
    origins = given.get(b"origin", [])
    welcome = policy.welcome(scope["method"], scope["path"], origins)
    for origin in () if welcome else origins:
        protocol, _, rest = origin.decode("latin-1").partition("://")
        if protocol not in {"http", "https"} or not policy.own(rest, port):
            return 403, "requests of other sites are not answered"
    if b"cross-site" in given.get(b"sec-fetch-site", []) and not welcome:
        return 403, "requests of other sites are not answered"
    query = scope.get("query_string", b"").decode("latin-1")
    if not policy.long_numbers and _TOO_LONG.search(f"{scope['path']} {unquote_plus(query)}"):
        return 400, "a number of too many digits"
    return None


async def _say(send: Send, lines: list[tuple[bytes, bytes]], status: int, text: str) -> None:
    body = text.encode()
    length = str(len(body)).encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *lines]})
    await send({"type": "http.response.body", "body": body})


def _bounded(send: Send, lines: list[tuple[bytes, bytes]]) -> Send:
    """Return what sends pieces, each within a time, so that a client that does not read ends."""

    async def bounded(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *lines]}
        body = message.get("body", b"")
        if message["type"] != "http.response.body" or len(body) <= _PIECE_BYTES:
            await asyncio.wait_for(send(message), _SEND_S)
            return
        more = message.get("more_body", False)
        for at in range(0, len(body), _PIECE_BYTES):
            last = at + _PIECE_BYTES >= len(body)
            piece = {**message, "body": body[at : at + _PIECE_BYTES], "more_body": more or not last}
            await asyncio.wait_for(send(piece), _SEND_S)

    return bounded
