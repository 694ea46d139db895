"""Handles of libcurl: one set of options for every request, and its errors as ours.

What libcurl does is left to it: HTTP/1.1 and HTTP/2, kept connections, redirects, proxies, TLS,
limits on heads. Here is what the settings say, who may be connected to, and which error is whose.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol
from urllib.parse import quote, urlsplit

import pycurl

from openallen.errors import (
    AnswerError,
    OfflineError,
    OpenAllenError,
    StalledError,
    UnreachableError,
    UsageError,
)

__all__ = [
    "BUFFER_BYTES",
    "TRUST_VARIABLES",
    "Client",
    "aim",
    "close_multi",
    "error_of",
    "is_loopback",
    "new_handle",
    "new_multi",
    "safe_url",
    "trust_places",
    "wait_for",
]

BUFFER_BYTES: Final = 512 * 1024
_SAFE: Final = "%/:=&?~+!$,;'@()*[]|"
_IS_SAFE: Final = re.compile(
    r"https?://[a-z0-9.-]*[a-z0-9](:[0-9]{1,4})?/[A-Za-z0-9/._~=-]*(\?[A-Za-z0-9._~=&-]*)?"
).fullmatch
"""Most URLs are of these characters: thousands of them need not be taken apart."""
_MOST_REDIRECTS: Final = 5
_SUPPRESS_CONNECT_HEADERS: Final = 265
_DISALLOW_USERNAME_IN_URL: Final = 278
"""Options of libcurl that pycurl has no name for."""

guard: Callable[[str], bool] = lambda _: True  # noqa: E731 - replaced whole, by tests too
"""Whether an IP address may be connected to; asked before each connection is opened."""


def safe_url(url: str) -> str:
    """Return a URL with what is not allowed in one percent-encoded.

    Raises
    ------
    UsageError
        If it is not an http or https URL.
    """
    if _IS_SAFE(url):
        return url
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if not url.lower().startswith(("http://", "https://")) or not host:
            raise ValueError(url)
        named = host.encode("idna").decode() if not host.isascii() else host
    except (ValueError, UnicodeError):
        raise UsageError("not an http or https URL", address=url[:200]) from None
    where = f"[{named}]" if ":" in named else named
    where += f":{port}" if port is not None else ""
    query = f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
    return f"{parts.scheme}://{where}{quote(parts.path or '/', safe=_SAFE)}{query}"


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its name or address."""
    if host.lower() in {"localhost", "ip6-localhost"}:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Client(Protocol):
    """Whose options requests are sent with.

    Attributes
    ----------
    silence_timeout_s, head_timeout_s : float
        Longest wait for the next byte, and for the whole head of an answer, in seconds.
    closed : bool
        Whether requests under way are to be given up.
    """

    silence_timeout_s: float
    head_timeout_s: float
    closed: bool

    def handle(self) -> pycurl.Curl:
        """Make a handle with trust, proxies and timeouts set."""
        ...

    def refusal(self, url: str) -> OfflineError | None:
        """Return the error for what may not be asked for offline; None where it may."""
        ...


def new_handle(
    *,
    connect_timeout_s: float,
    least: tuple[int, int],
    offline: bool,
    user_agent: str,
    share: pycurl.CurlShare | None = None,
) -> pycurl.Curl:
    """Make a handle for GET requests; only its URL and callbacks are missing.

    `least` are bytes a second, and the seconds over which they are measured.
    """
    curl = pycurl.Curl()
    options: dict[int, object] = {
        pycurl.NOSIGNAL: 1,
        pycurl.BUFFERSIZE: BUFFER_BYTES,
        pycurl.CONNECTTIMEOUT_MS: max(1, round(connect_timeout_s * 1000)),
        pycurl.LOW_SPEED_LIMIT: least[0],
        pycurl.LOW_SPEED_TIME: least[1] if least[0] else 0,
        pycurl.FOLLOWLOCATION: 1,
        pycurl.MAXREDIRS: _MOST_REDIRECTS,
        pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
        _DISALLOW_USERNAME_IN_URL: 1,  # whatever a redirect says
        _SUPPRESS_CONNECT_HEADERS: 1,
        pycurl.USERAGENT: user_agent,
        pycurl.NOPROXY: _no_proxy(),
        pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_2TLS,
        pycurl.OPENSOCKETFUNCTION: functools.partial(_open_socket, offline),
    }
    for name, value in (options | _trust()).items():
        curl.setopt(name, value)
    if share is not None:
        curl.setopt(pycurl.SHARE, share)
    return curl


def new_multi() -> pycurl.CurlMulti:
    """Make a multi handle.

    Raises
    ------
    UnreachableError
        If the system allows this process no more open files.
    """
    try:
        return pycurl.CurlMulti()
    except pycurl.error as error:
        why = f"{error}: are too many files open? (ulimit -n)"
        raise UnreachableError("no connection", why=why) from error


def close_multi(multi: pycurl.CurlMulti, *, connected: bool) -> None:
    """Close a multi handle without waiting for a name that is still looked up.

    libcurl waits for the thread that asks the system, which takes it ten seconds and more to give
    up: neither a timeout nor a Ctrl-C should. (It has an option for that, pycurl has not.)
    """
    if connected:
        multi.close()
    else:
        threading.Thread(target=multi.close, name="resolver", daemon=True).start()


def aim(curl: pycurl.Curl, url: str) -> None:
    """Set what depends on the URL: where redirects may lead, and by which proxy it is reached.

    Raises
    ------
    UsageError
        If libcurl cannot take it.
    """
    try:
        curl.setopt(pycurl.URL, url)
    except (pycurl.error, UnicodeError) as error:
        raise UsageError("not an http or https URL", address=url, why=str(error)) from error
    curl.setopt(pycurl.REDIR_PROTOCOLS, redirects_of(url))
    # libcurl reads this one in lower case only, as a CGI script has a header under that name.
    told = os.environ.get("HTTP_PROXY") if "REQUEST_METHOD" not in os.environ else None
    if told and url.startswith("http:") and "http_proxy" not in os.environ:
        curl.setopt(pycurl.PROXY, told)
    else:
        curl.unsetopt(pycurl.PROXY)


def redirects_of(url: str) -> int:
    """Return the protocols a redirect from a URL may lead to: never from https to http."""
    secure: int = pycurl.PROTO_HTTPS
    return secure if url.startswith("https:") else secure | pycurl.PROTO_HTTP


def _open_socket(offline: bool, purpose: int, address: tuple[object, ...]) -> socket.socket | int:
    """Open the socket of a connection, if it may be made at all."""
    del purpose
    family, kind, protocol, where = address
    host = where[0] if isinstance(where, tuple) else str(where)
    if isinstance(host, bytes):
        host = host.decode()
    if (offline and not is_loopback(str(host))) or not guard(str(host)):
        return pycurl.SOCKET_BAD
    try:
        return _Socket(int(family), int(kind), int(protocol))  # type: ignore[call-overload]
    except OSError:  # no more descriptors; nothing may be raised into libcurl
        return pycurl.SOCKET_BAD


class _Socket(socket.socket):
    """A socket whose descriptor libcurl has copied: it closes quietly when it is dropped."""

    def __del__(self) -> None:
        with suppress(OSError, AttributeError):  # one that was never opened has nothing to close
            self.close()


def _no_proxy() -> str:
    told = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if "*" in told.split(","):
        return "*"  # means everybody to libcurl only where it stands alone
    return ",".join(filter(None, ("localhost,127.0.0.1,::1", told)))


TRUST_VARIABLES: Final = ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""Who names the certificates that are trusted; the first that is set counts."""


def trust_places() -> tuple[str, tuple[str, ...]]:
    """Return what says whom TLS trusts, and where: files and folders.

    Returns
    -------
    variable, places
        The variable of the environment, empty for the system's own certificates; no places where
        the operating system keeps them itself.
    """
    name = next((name for name in TRUST_VARIABLES if os.environ.get(name)), "")
    told = {key: value for key, value in _trust().items() if key != pycurl.SSL_OPTIONS}
    return name, tuple(str(place) for place in told.values())


def _trust() -> dict[int, object]:
    """Return whom TLS trusts: what the environment names, else the system's own certificates."""
    for name in TRUST_VARIABLES:
        path = os.environ.get(name)
        if path:
            return {pycurl.CAPATH if os.path.isdir(path) else pycurl.CAINFO: path}  # noqa: PTH112
    if sys.platform in {"win32", "darwin"}:
        native: int = getattr(pycurl, "SSLOPT_NATIVE_CA", 1 << 4)
        return {pycurl.SSL_OPTIONS: native}
    found = _system_trust()
    given = os.environ.get("SSL_CERT_DIR")
    return found | ({pycurl.CAPATH: given} if given else {})


@functools.cache
def _system_trust() -> dict[int, object]:
    import ssl

    told = ssl.get_default_verify_paths()
    files = (told.cafile, told.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt")
    found: dict[int, object] = {}
    file = next((f for f in files if f and os.path.exists(f)), None)  # noqa: PTH110
    if file:
        found[pycurl.CAINFO] = file
    if told.capath:
        found[pycurl.CAPATH] = told.capath
    return found


_NO_SOCKETS_S: Final = 0.005


def wait_for(multi: pycurl.CurlMulti, wait_s: float) -> None:
    """Wait until there is something to do for libcurl.

    Without a socket to wait for (a name is being resolved) `select` returns at once, and a loop
    around it would keep a processor busy.

    Parameters
    ----------
    multi
        The multi handle.
    wait_s
        Longest wait, in seconds.
    """
    begun_s = time.monotonic()
    if multi.select(wait_s) <= 0 and time.monotonic() - begun_s < min(wait_s, _NO_SOCKETS_S):
        time.sleep(min(wait_s, _NO_SOCKETS_S))


# --- errors ---------------------------------------------------------------------------------------

_TLS: Final = frozenset({35, 51, 53, 54, 58, 59, 60, 64, 66, 77, 80, 82, 83, 90, 91})
_BROKEN: Final = frozenset({16, 18, 52, 55, 56, 61, 92, 95})


def error_of(
    code: int, text: str, url: str, *, last_url: str = "", left_bytes: int | None = None
) -> OpenAllenError:
    """Return the error that a code of libcurl stands for.

    Parameters
    ----------
    code, text
        What libcurl said.
    url
        What was asked for.
    last_url
        Where redirects led to in the end.
    left_bytes
        Bytes of the body that did not come, where that is known.
    """
    text = text.strip() or f"libcurl error {code}"
    asked, host = _host(url), _host(last_url or url)
    led = "" if host == asked else f"; {asked} redirects there"
    if code in {5, 6}:
        which = "the proxy's name" if code == 5 else "the host name"
        why = f"{which} does not resolve; is there a network?"
        return UnreachableError("no connection", address=host, why=why + led)
    if code in {7, 45} or code in _TLS:
        what = "TLS failed" if code in _TLS else "no connection"
        return UnreachableError(what, address=host, why=text + led)
    if code == 28:
        slow = "slow" in text or "silence" in text  # else a name, a connection or TLS took too long
        return StalledError(
            "too slow" if slow else "no connection",
            address=url if slow else host,
            why=text if slow else text + led,
        )
    if code in _BROKEN:
        why = f"{left_bytes:,} bytes before the end" if left_bytes else text
        what = "connection lost" if code != 52 else "connection closed without a response"
        return UnreachableError(what, address=url, why=why)
    return _answer_error(code, text, url)


def _host(url: str) -> str:
    with suppress(ValueError):
        return urlsplit(url).netloc.rpartition("@")[2]
    return url


def _answer_error(code: int, text: str, url: str) -> OpenAllenError:
    if code == 47:
        return AnswerError("too many redirects", address=url, why=f"more than {_MOST_REDIRECTS}")
    if code == 67:
        text = "it holds a user name"
    if code == 67 or "redirect" in text:
        return AnswerError("a redirect that leads nowhere", address=url, why=text)
    if code == 100:
        text = "its head is too large"  # a code that older versions of libcurl have no text for
    if code == 63:
        return AnswerError("response too large", address=url, why=text)
    return UnreachableError("not an HTTP response", address=url, why=text)
