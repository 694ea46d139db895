"""The head of an HTTP answer: status line and headers, and how its body is framed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from openallen.errors import UnreachableError

__all__ = ["HEAD_LIMIT_BYTES", "Head", "parse_head", "parse_headers"]

HEAD_LIMIT_BYTES: Final = 256 * 1024
"""No service's head is larger; what is, is no answer."""


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers of an answer; names in lower case, repeats joined by commas."""

    status: int
    reason: str
    headers: Mapping[str, str]
    keep_alive: bool

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return "chunked" in self.headers.get("transfer-encoding", "").lower()

    def length_bytes(self, peer: str) -> int | None:
        """Return the length of the body; None where the head has none.

        Raises
        ------
        UnreachableError
            If it is told, but is no number.
        """
        length = self.headers.get("content-length", "").split(",")[0].strip()
        if not length:
            return None
        if not (length.isascii() and length.isdigit()):
            raise UnreachableError("invalid Content-Length", address=peer, why=length)
        return int(length)


def parse_head(lines: Sequence[str], peer: str) -> Head:
    """Read the lines of a head, the empty one at its end left out.

    Raises
    ------
    UnreachableError
        If it is no HTTP/1 head.
    """
    line = lines[0] if lines else ""
    version, _, rest = line.partition(" ")
    code, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/1.") or not (code.isdigit() and len(code) == 3):
        raise UnreachableError("not an HTTP response", address=peer, why=repr(line[:60]))
    headers = parse_headers(lines[1:], peer)
    connection = headers.get("connection", "").lower()
    keep_alive = "close" not in connection and (version == "HTTP/1.1" or "keep-alive" in connection)
    return Head(int(code), reason.strip(), headers, keep_alive)


def parse_headers(lines: Sequence[str], peer: str) -> dict[str, str]:
    """Read header lines (or trailers).

    Raises
    ------
    UnreachableError
        If a line has no colon.
    """
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise UnreachableError("invalid HTTP head", address=peer, why=repr(line[:60]))
        key = name.strip().lower()
        value = value.strip()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers
