"""Parts of files as they are sent: which bytes are wanted, and those bytes piece by piece."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openallen.serving.asgi import SEND_FILE, Receive, Scope, Send

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = [
    "UnsatisfiableError",
    "file_part",
    "file_tag",
    "looked_at",
    "open_plain",
    "sent_file",
    "span",
]

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_PIECE_BYTES: Final = 1 << 18
_LOOK_PIECES: Final = 16


class UnsatisfiableError(Exception):
    """A range of which a file has no byte."""


def span(text: str, size_bytes: int) -> tuple[int, int] | None:
    """Return where the bytes that are wanted begin and end; None for what is no range.

    Parameters
    ----------
    text
        The header Range; empty where there is none.
    size_bytes
        Size of the whole.

    Raises
    ------
    UnsatisfiableError
        If the whole has none of these bytes.
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        begin, end = max(0, size_bytes - int(found[2])), size_bytes
        satisfied = int(found[2]) > 0 and size_bytes > 0
    else:
        begin = int(found[1])
        end = min(size_bytes, int(found[2]) + 1) if found[2] else size_bytes
        if found[2] and int(found[2]) < begin:
            return None
        satisfied = begin < size_bytes
    if not satisfied:
        raise UnsatisfiableError(text)
    return begin, end


def looked_at(
    root: Path, path: Path, folders: MutableMapping[str, bool] | None = None
) -> os.stat_result | None:
    """Return what a file is; None unless it is a plain one, inside, reached by no link.

    Parameters
    ----------
    root
        The folder it must be in, without links in its path.
    path
        The file, below `root` as it is written.
    folders
        Remembers which folders are reached by no link, for one listing.
    """
    folders = {} if folders is None else folders
    text = str(path)
    folder, _, name = text.rpartition(os.sep)
    try:
        if folder not in folders:
            inside = path.parent.is_relative_to(root)
            folders[folder] = inside and os.path.realpath(folder) == folder
        if not folders[folder] or name in {"", "..", "."}:
            return None
        told = os.lstat(text)
    except (OSError, ValueError):  # a name no disk takes
        return None
    return told if stat.S_ISREG(told.st_mode) else None


def file_tag(told: os.stat_result) -> str:
    """Return a tag that changes with the file; a dash, as in those that are not an MD5.

    Parameters
    ----------
    told
        What the file is.
    """
    state = f"{told.st_size} {told.st_mtime_ns} {told.st_ino}"
    return hashlib.md5(state.encode(), usedforsecurity=False).hexdigest() + "-1"


def open_plain(path: Path, size_bytes: int) -> int:
    """Open a file that was looked at; return its descriptor.

    Parameters
    ----------
    path
        The file.
    size_bytes
        Its size when it was looked at.

    Raises
    ------
    OSError
        If it is no longer there, or has been replaced by something else.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    found = os.open(path, flags | getattr(os, "O_BINARY", 0))
    told = os.fstat(found)
    if not stat.S_ISREG(told.st_mode) or told.st_size != size_bytes:
        os.close(found)
        raise OSError("replaced meanwhile")
    return found


def sent_file(
    file: int,
    size_bytes: int,
    told: Mapping[str, str],
    method: str,
    asked: Mapping[str, str],
    *,
    status: int = 200,
) -> Response:
    """Return the response with an open file, or with the part of it that is asked for.

    Parameters
    ----------
    file
        Its descriptor, which is closed once nothing more is sent.
    size_bytes
        Its size.
    told
        Headers of the answer; among them its tag, which conditions are about.
    method
        ``GET`` or ``HEAD``.
    asked
        The headers of the request.
    status
        Of an answer that is sent whole.
    """
    from starlette.responses import Response

    sent = _Sent.of(size_bytes, told, asked, status)
    if sent.begin is None or method == "HEAD":
        os.close(file)
        return Response(status_code=sent.status, headers=dict(sent.headers))
    return file_part(file, sent.begin, sent.end, sent.status, sent.headers)


@dataclass(frozen=True)
class _Sent:
    """What is sent of a file; `begin` is None where that is none of its bytes."""

    status: int
    headers: Mapping[str, str]
    begin: int | None = None
    end: int = 0

    @classmethod
    def of(cls, size: int, told: Mapping[str, str], asked: Mapping[str, str], status: int) -> _Sent:
        headers, tag = {**told, "accept-ranges": "bytes"}, told["etag"]
        named = asked.get("if-none-match", "").split(",")
        if {one.strip().removeprefix("W/") for one in named} & {tag, "*"}:
            return cls(304, headers)
        try:
            part = span(asked.get("range", ""), size) if asked.get("if-range", tag) == tag else None
        except UnsatisfiableError:
            return cls(416, headers | {"content-range": f"bytes */{size}"})
        begin, end = part or (0, size)
        if part is not None:
            status, headers["content-range"] = 206, f"bytes {begin}-{end - 1}/{size}"
        headers["content-length"] = str(end - begin)
        return cls(status, headers, begin, end)


def file_part(file: int, begin: int, end: int, status: int, headers: Mapping[str, str]) -> Response:
    """Return a response with a part of a file, which is closed once nothing more is sent.

    What is small is read at once; what is not is sent by the system where the server offers it,
    else piece by piece.

    Parameters
    ----------
    file
        Descriptor of the open file.
    begin, end
        The first byte, and the one behind the last.
    status, headers
        Of the response; the headers say its length.
    """
    from starlette.requests import Request
    from starlette.responses import Response

    if end - begin <= _PIECE_BYTES:
        try:
            body = _read(file, begin, end - begin)
        finally:
            os.close(file)
        return Response(body, status_code=status, headers=dict(headers))

    class Part(Response):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            head = {"type": "http.response.start", "status": status, "headers": self.raw_headers}
            send_file = scope.get("extensions", {}).get(SEND_FILE)
            try:
                await send(head)
                if send_file is not None:
                    await send_file(file, begin, end)
                    await send({"type": "http.response.body", "body": b""})
                else:
                    await _send_pieces(file, begin, end, Request(scope, receive), send)
            finally:
                os.close(file)

    return Part(status_code=status, headers=dict(headers))


async def _send_pieces(file: int, begin: int, end: int, client: Request, send: Send) -> None:
    for number, at in enumerate(range(begin, end, _PIECE_BYTES)):
        if number % _LOOK_PIECES == _LOOK_PIECES - 1 and await client.is_disconnected():
            return
        count = min(_PIECE_BYTES, end - at)
        piece = await asyncio.to_thread(_read, file, at, count)
        more = at + count < end
        await send({"type": "http.response.body", "body": piece, "more_body": more})


def _read(file: int, at: int, count: int) -> bytes:
    """Return bytes of a file.

    Raises
    ------
    ConnectionAbortedError
        If it has become shorter: the connection ends, so that the client sees a cut body.
    """
    pieces = []
    while count:
        if hasattr(os, "pread"):
            pieces.append(os.pread(file, count, at))
        else:
            os.lseek(file, at, os.SEEK_SET)
            pieces.append(os.read(file, count))
        if not pieces[-1]:
            raise ConnectionAbortedError("a file became shorter while it was read")
        at, count = at + len(pieces[-1]), count - len(pieces[-1])
    return b"".join(pieces)
