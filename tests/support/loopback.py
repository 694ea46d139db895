"""A raw HTTP server on loopback that answers exactly as told, byte by byte, well or badly."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    number: int  # how many requests for this target came before, plus one


class Reply:
    """What a handler answers with."""

    def __init__(self, sock: socket.socket, server: Loopback) -> None:
        self._sock = sock
        self._server = server
        self.open = True

    def raw(self, data: bytes) -> None:
        self._sock.sendall(data)

    def send(
        self, body: bytes = b"", status: str = "200 OK", headers: dict[str, str] | None = None
    ) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
        lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
        self.raw(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)

    def chunked(self, pieces: Iterable[bytes], *, end: bool = True, headers: str = "") -> None:
        self.raw(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{headers}\r\n".encode())
        for piece in pieces:
            self.raw(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if end:
            self.raw(b"0\r\n\r\n")

    def cut(self) -> None:
        """Break the connection off."""
        self.open = False

    def stall(self) -> None:
        """Say nothing more until the server closes: nothing but the client's own limits ends it."""
        self._server.closing.wait()
        self.open = False


Handler = Callable[[Request, Reply], None]


@dataclass
class Loopback:
    """Serve `routes` (by path without its query) until closed.

    Attributes
    ----------
    seen : list[Request]
        Every request, in order of arrival.
    connections : int
        Connections accepted.
    busy_most : int
        Most requests under way at the same moment.
    """

    routes: dict[str, Handler] = field(default_factory=dict)
    seen: list[Request] = field(default_factory=list)
    connections: int = 0
    busy: int = 0
    busy_most: int = 0
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._socks: set[socket.socket] = set()
        self._listener = socket.create_server((self.host, 0), backlog=256)
        self.url = f"http://{self.host}:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._socks.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        if self.tls is not None:
            try:
                sock = self.tls.wrap_socket(sock, server_side=True)
            except OSError:
                return
        reply = Reply(sock, self)
        with sock, sock.makefile("rb") as file:
            try:
                while reply.open and not self.closing.is_set():
                    line = file.readline().decode("latin-1").split()
                    if len(line) < 2:
                        return
                    headers: dict[str, str] = {}
                    while text := file.readline().decode("latin-1").strip():
                        name, _, value = text.partition(":")
                        headers[name.lower()] = value.strip()
                    with self._lock:
                        number = 1 + sum(r.target == line[1] for r in self.seen)
                        request = Request(line[0], line[1], headers, number)
                        self.seen.append(request)
                        self.busy += 1
                        self.busy_most = max(self.busy_most, self.busy)
                    handler = self.routes.get(line[1].partition("?")[0], _not_found)
                    try:
                        handler(request, reply)
                    finally:
                        with self._lock:
                            self.busy -= 1
            except OSError:
                pass
            finally:
                with self._lock:
                    self._socks.discard(sock)

    def close(self) -> None:
        self.closing.set()
        # Closing alone does not wake a blocked accept.
        for sock in [self._listener, *self._socks]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


def _not_found(request: Request, reply: Reply) -> None:
    reply.send(b"no such thing", "404 Not Found")


def file_handler(
    body: bytes, *, ranges: bool = True, etag: str = '"v1"', delay_s: float = 0.0
) -> Handler:
    """Serve bytes as object stores do, with ETag and ranges."""

    def handle(request: Request, reply: Reply) -> None:
        time.sleep(delay_s)
        wanted = request.headers.get("range", "")
        headers = {"ETag": etag} if etag else {}
        condition = request.headers.get("if-range")
        if not (ranges and wanted) or (condition is not None and condition != etag):
            reply.send(body, headers=headers)
            return
        first_text, _, last_text = wanted.removeprefix("bytes=").partition("-")
        if not first_text:  # the last bytes, however many there are
            first_text, last_text = str(max(0, len(body) - int(last_text))), ""
        first = int(first_text)
        last = min(int(last_text) if last_text else len(body) - 1, len(body) - 1)
        if first >= len(body):
            reply.send(b"", "416 Range Not Satisfiable", headers)
            return
        headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
        reply.send(body[first : last + 1], "206 Partial Content", headers)

    return handle
