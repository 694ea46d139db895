"""Making connections: names to sockets, TLS by the system's trust, proxies by the environment."""

from __future__ import annotations

import base64
import functools
import ipaddress
import os
import socket
import ssl
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from openallen.errors import StalledError, UnreachableError, UsageError

__all__ = ["Origin", "connect", "split"]


class Origin(NamedTuple):
    """Where connections go: protocol, host and port, and the proxy in between, if any."""

    protocol: str
    host: str
    port: int
    proxy: str = ""

    @property
    def authority(self) -> str:
        """The host as a Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.is_secure else 80
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def is_secure(self) -> bool:
        """Whether connections are encrypted."""
        return self.protocol == "https"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine."""
        return _is_loopback(self.host)


@functools.lru_cache(maxsize=256)
def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split(url: str) -> tuple[Origin, str]:
    """Part a URL into where to connect and what to ask for there.

    Raises
    ------
    UsageError
        If it is no absolute HTTP URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (KeyError, ValueError):
        raise UsageError("not an http or https URL", address=url) from None
    if not parts.hostname:
        raise UsageError("not an http or https URL", address=url)
    target = quote(parts.path or "/", safe="%/:=&?~+!$,;'@()*[]|")
    if parts.query:
        target += "?" + quote(parts.query, safe="%/:=&?~+!$,;'@()*[]|")
    origin = Origin(parts.scheme, parts.hostname, port)
    proxy = "" if origin.is_loopback else _proxy_for(parts.scheme, origin.host)
    if proxy and not origin.is_secure:
        target = f"http://{origin.authority}{target}"
    return origin._replace(proxy=proxy), target


def connect(origin: Origin, timeout_s: float) -> socket.socket:
    """Open a connection, through the proxy where there is one, with TLS where the scheme says so.

    Raises
    ------
    StalledError
        If it takes longer than `timeout_s`.
    UnreachableError
        If the name does not resolve, the connection is refused, or TLS does not agree.
    """
    host, port = (origin.host, origin.port) if not origin.proxy else _proxy_address(origin.proxy)
    try:
        sock = socket.create_connection((host, port), timeout_s)
    except TimeoutError as error:
        raise StalledError(
            "no connection", address=origin.authority, why=f"none within {timeout_s:g} s"
        ) from error
    except OSError as error:
        raise UnreachableError(
            "no connection", address=origin.authority, why=_plainly(error)
        ) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not origin.is_secure:
        return sock
    try:
        if origin.proxy:
            _tunnel(sock, origin)
        return _tls().wrap_socket(sock, server_hostname=origin.host)
    except TimeoutError as error:
        sock.close()
        raise StalledError("TLS handshake timed out", address=origin.authority) from error
    except (ssl.SSLError, OSError) as error:
        sock.close()
        raise UnreachableError(
            "TLS failed", address=origin.authority, why=_plainly(error)
        ) from error


@functools.cache
def _tls() -> ssl.SSLContext:
    import truststore

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _plainly(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the host name does not resolve; is there a network?"
    return error.strerror or str(error)


def _proxy_for(scheme: str, host: str) -> str:
    if os.name == "posix" and not any(name.lower().endswith("_proxy") for name in os.environ):
        return ""
    from urllib.request import getproxies, proxy_bypass

    if proxy_bypass(host):
        return ""
    proxies = getproxies()
    return proxies.get(scheme) or proxies.get("all") or ""


def _proxy_address(proxy: str) -> tuple[str, int]:
    parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    if parts[0].lower() not in {"", "http"} or not parts.hostname:
        raise UsageError("only http proxies are supported", address=proxy)
    return parts.hostname, parts.port or 80


def _tunnel(sock: socket.socket, origin: Origin) -> None:
    lines = [f"CONNECT {origin.host}:{origin.port} HTTP/1.1", f"Host: {origin.host}:{origin.port}"]
    parts = urlsplit(origin.proxy)
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append("Proxy-Authorization: Basic " + base64.b64encode(login.encode()).decode())
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = sock.recv(1)  # one at a time: what follows the head belongs to TLS
        if not piece or len(answer) > 65536:
            raise UnreachableError("the proxy closed the connection", address=origin.proxy)
        answer += piece
    status = answer.split(b" ", 2)[1:2]
    if status != [b"200"]:
        line = answer.split(b"\r\n")[0].decode("latin-1")
        raise UnreachableError("the proxy refused", address=origin.proxy, why=line)
