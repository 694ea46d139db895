"""HTTP/1.1 over one socket: send a request, read a head, read a body by its framing.

Bodies with a known length are received straight into the caller's buffer; that, and asking the
kernel for whole buffers on plain sockets, is what keeps many threads cheap (each read hands the
interpreter lock over once).
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from openallen.errors import StalledError, UnreachableError, UsageError
from openallen.transport.head import HEAD_LIMIT_BYTES, Head, parse_head, parse_headers

__all__ = ["Wire", "WireClosedError", "request_text"]

_BUFFER_BYTES: Final = 64 * 1024
_UNTIL_CLOSE: Final = -1


class WireClosedError(UnreachableError):
    """The other side closed before the first byte of an answer; safe to send again."""


class Wire:
    """One connection and the answer being read from it.

    Parameters
    ----------
    sock
        A connected socket; plain or TLS.
    peer
        Name of the other side for messages, ``host:port``.
    silence_timeout_s
        Longest wait for the next byte, in seconds.
    """

    def __init__(self, sock: socket.socket, peer: str, silence_timeout_s: float) -> None:
        self._sock = sock
        self._peer = peer
        self._silence_timeout_s = silence_timeout_s
        self._whole = _kernel_timeout(sock, silence_timeout_s)
        self._buffer = bytearray(_BUFFER_BYTES)
        self._start = self._end = 0
        self._left = 0  # body bytes to come in this frame; _UNTIL_CLOSE where only the end tells
        self._chunked = False
        self._keep_alive = True
        self._broken: UnreachableError | StalledError | None = None

    @property
    def idle(self) -> bool:
        """Whether the last answer was read to its end and the connection may carry another."""
        return self._keep_alive and self._left == 0 and not self._chunked

    @property
    def gone(self) -> bool:
        """Whether an idle connection was closed by the other side (or says something unasked)."""
        try:
            return bool(select.select([self._sock], [], [], 0)[0])
        except (OSError, ValueError):
            return True

    def send(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        """Send a request without a body."""
        try:
            self._sock.sendall(request_text(method, target, headers))
        except (TimeoutError, BlockingIOError) as error:
            raise self._stalled() from error
        except OSError as error:
            raise WireClosedError(
                "connection closed while asking", address=self._peer, why=str(error)
            ) from error

    def head(self, method: str) -> Head:
        """Read the head of the answer and learn how its body is framed."""
        head = parse_head(self._lines(first=True), self._peer)
        while head.status in {100, 102, 103}:
            head = parse_head(self._lines(), self._peer)
        self._keep_alive = head.keep_alive
        self._frame(method, head)
        return Head(head.status, head.reason, head.headers, self._keep_alive)

    def _lines(self, *, first: bool = False) -> list[str]:
        """Read lines up to an empty one, which is left out."""
        lines: list[str] = []
        size = 0
        while line := self._line(first=first and not lines):
            size += len(line)
            if size > HEAD_LIMIT_BYTES:
                raise UnreachableError("HTTP head too long", address=self._peer)
            lines.append(line)
        return lines

    def _frame(self, method: str, head: Head) -> None:
        self._chunked = False
        if method == "HEAD" or head.status in {204, 304}:
            self._left = 0
        elif head.chunked:
            self._chunked = True
            self._left = 0
        else:
            length = head.length_bytes(self._peer)
            self._left = _UNTIL_CLOSE if length is None else length
            self._keep_alive = self._keep_alive and length is not None

    def read_into(self, view: memoryview) -> int:
        """Read body bytes into `view`; fills it unless the body ends. Gives 0 at the end.

        Bytes that came before a break are given first; the next call raises what broke.
        """
        if self._broken is not None:
            raise self._broken
        filled = 0
        while filled < len(view):
            try:
                got = self._body_into(view[filled:])
            except (UnreachableError, StalledError) as error:
                self._broken = error
                if not filled:
                    raise
                break
            if got == 0:
                break
            filled += got
        return filled

    def _body_into(self, view: memoryview) -> int:
        if self._chunked and self._left == 0:
            self._next_chunk()
        if self._left == 0:
            return 0
        if self._left != _UNTIL_CLOSE:
            view = view[: self._left]
        got = self._take(view) or self._pull(view)
        if got == 0:
            self._ended_early()
        elif self._left != _UNTIL_CLOSE:
            self._left -= got
            if self._chunked and self._left == 0:
                self._line()  # the line break behind each chunk
        return got

    def _ended_early(self) -> None:
        if self._left == _UNTIL_CLOSE:
            self._left = 0
            return
        why = (
            "in the middle of a chunk" if self._chunked else f"{self._left:,} bytes before the end"
        )
        self._chunked, self._left, self._keep_alive = False, 0, False
        raise UnreachableError("connection lost", address=self._peer, why=why)

    def _next_chunk(self) -> None:
        line = self._line().partition(";")[0].strip()
        try:
            self._left = int(line, 16)
        except ValueError:
            raise UnreachableError(
                "invalid chunk size", address=self._peer, why=repr(line[:40])
            ) from None
        if self._left < 0:
            raise UnreachableError("invalid chunk size", address=self._peer, why=line[:40])
        if self._left == 0:
            parse_headers(self._lines(), self._peer)  # trailers
            self._chunked = False

    def _line(self, *, first: bool = False) -> str:
        parts = bytearray()
        while True:
            stop = self._buffer.find(b"\n", self._start, self._end)
            if stop >= 0:
                parts += self._buffer[self._start : stop]
                self._start = stop + 1
                return parts.rstrip(b"\r").decode("latin-1")
            parts += self._buffer[self._start : self._end]
            self._start = self._end = 0
            if len(parts) > HEAD_LIMIT_BYTES:
                raise UnreachableError("line too long in HTTP head", address=self._peer)
            unasked = first and not parts
            self._end = self._pull(memoryview(self._buffer), some=True, unasked=unasked)
            if self._end == 0:
                self._keep_alive = False
                kind = WireClosedError if unasked else UnreachableError
                raise kind("connection closed before the answer was whole", address=self._peer)

    def _take(self, view: memoryview) -> int:
        # Chunked bodies come in small pieces: read ahead into the buffer, so that a chunk and the
        # line behind it cost one system call, not three.
        if self._start == self._end and self._chunked and len(view) < _BUFFER_BYTES:
            self._start, self._end = 0, self._pull(memoryview(self._buffer), some=True)
        take = min(self._end - self._start, len(view))
        view[:take] = memoryview(self._buffer)[self._start : self._start + take]
        self._start += take
        return take

    def _pull(self, view: memoryview, *, some: bool = False, unasked: bool = False) -> int:
        flags = socket.MSG_WAITALL if self._whole and not some else 0
        try:
            return self._sock.recv_into(view, 0, flags) if flags else self._sock.recv_into(view)
        except (TimeoutError, BlockingIOError) as error:
            raise self._stalled() from error
        except (OSError, ValueError) as error:
            self._keep_alive = False
            kind = WireClosedError if unasked else UnreachableError
            raise kind("connection lost", address=self._peer, why=str(error)) from error

    def _stalled(self) -> StalledError:
        self._keep_alive = False
        return StalledError(
            "timed out", address=self._peer, why=f"no data for {self._silence_timeout_s:g} s"
        )

    def drain(self, limit_bytes: int) -> bool:
        """Read the rest of a short body so that the connection can be used again."""
        scratch = memoryview(bytearray(min(limit_bytes, _BUFFER_BYTES)))
        try:
            while limit_bytes > 0 and not self.idle:
                got = self.read_into(scratch)
                limit_bytes -= got
                if got == 0:
                    break
        except (UnreachableError, StalledError):
            return False
        return self.idle

    def close(self) -> None:
        """Close the socket; a thread that reads from it wakes up with an error."""
        self._keep_alive = False
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


def request_text(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Write a request without a body.

    Raises
    ------
    UsageError
        If anything in it holds a line break.
    """
    lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    text = "\r\n".join(lines)
    if "\0" in text or text.count("\r") != len(headers) or text.count("\n") != len(headers):
        raise UsageError("request holds a line break", address=target)
    return (text + "\r\n\r\n").encode("latin-1")


def _kernel_timeout(sock: socket.socket, timeout_s: float) -> bool:
    """Let the kernel keep the time where it can, and tell whether it does.

    A Python timeout makes the socket non-blocking, and then MSG_WAITALL hands over whatever is
    there. With the timeout in the kernel a read fills the buffer or ends at the first silence.
    """
    if isinstance(sock, ssl.SSLSocket) or sys.platform == "win32":
        sock.settimeout(timeout_s)
        return False
    whole_s, part_s = divmod(timeout_s, 1)
    limit = struct.pack("@ll", int(whole_s), int(part_s * 1_000_000))
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    return True
