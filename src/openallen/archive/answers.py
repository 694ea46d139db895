"""Answers that an archive keeps as they came: what no table and no file can make again.

::

    answers/…        the bodies
    answers.jsonl    one line for each answer, the newest last

A line is an object with ``path`` and ``query`` of the request, ``file`` (where the body is,
relative to the archive), ``content_type``, ``size_bytes``, ``sha256`` and ``status``, and with
``simulated`` (true) where the service said that the answer is: so does the archive. Parameters
are compared by name and value: their order and the way they are quoted do not matter. Lines can be
added while the archive is served. A kept answer goes before one that could be made.

Nothing outside of the archive is read, links are not followed, and a body that is not the one that
was kept is not sent.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple
from urllib.parse import parse_qsl, unquote

from openallen.archive.buckets import Buckets
from openallen.archive.parts import looked_at, open_plain, sent_file
from openallen.archive.s3 import bucket_of_host
from openallen.errors import CorruptError
from openallen.json_text import load_json
from openallen.serving import App, BusyError, Gate, GoneError
from openallen.serving.asgi import Receive, Scope, Send

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["INDEX", "Answers", "Kept", "kept_first"]

INDEX: Final = "answers.jsonl"
_TYPE: Final = re.compile(r"[\x20-\x7e]{1,200}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_OTHERS: Final = ("/s3/", "/openallen/")
"""What is not the institute's: buckets, and the archive's own pages."""
_KINDS: Final = {
    "path": str, "query": str, "file": str, "content_type": str, "sha256": str,
    "size_bytes": int, "status": int, "simulated": bool,
}  # fmt: skip
_DEFAULTS: Final = {"query": "", "status": 200, "simulated": False}
_KIND_NAMES: Final[dict[type, str]] = {str: "text", int: "a number", bool: "true or false"}
_ODD: Final = frozenset("\\:\0")
_PIECE_BYTES: Final = 1 << 20
_END_BYTES: Final = 1 << 12
_SMALL_BYTES: Final = 1 << 18
_IMAGE: Final = re.compile(
    r"/api/v2/(?:section|projection|atlas)_image_download/([0-9]+)", re.ASCII
)
_Key = tuple[str, tuple[tuple[str, str], ...]]


def kept_first(answers: Answers, buckets: Buckets, app: App) -> App:
    """Return an app that sends what is kept, and hands all other requests on.

    Parameters
    ----------
    answers
        What is kept.
    buckets
        The buckets of the archive, whose objects no answer stands for.
    app
        What makes the other answers.
    """
    gate = Gate()

    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            await app(scope, receive, send)
            return
        from starlette.requests import Request
        from starlette.responses import PlainTextResponse, Response

        request, answer = Request(scope, receive), Response(status_code=499)
        try:
            kept = _asked(answers, buckets, request)
            if kept is None:
                await app(scope, receive, send)
                return
            made = functools.partial(answers.response, kept, request.method, request.headers)
            # What is small is read sooner than another thread has taken over.
            small = kept.size_bytes <= _SMALL_BYTES
            answer = made() if small else await gate.run(request, lambda _: made())
        except CorruptError as error:
            answer = PlainTextResponse(str(error), 500)
        except BusyError:
            answer = PlainTextResponse("busy", 503, headers={"retry-after": "2"})
        except GoneError:
            pass
        await answer(scope, receive, send)

    return first


def _asked(answers: Answers, buckets: Buckets, request: Request) -> Kept | None:
    path = request.scope["path"]
    if f"{path}/".startswith(_OTHERS):
        return None
    kept = answers.find(path, request.url.query)
    if kept is None or bucket_of_host(request.scope) or buckets.has(path.split("/")[1]):
        return None
    return kept


class Kept(NamedTuple):
    """An answer that is kept."""

    file: str
    content_type: str
    size_bytes: int
    sha256: str
    status: int
    simulated: bool


@dataclass(frozen=True)
class _State:
    """How far the index was read, and of which file."""

    inode: int = 0
    size_bytes: int = 0
    mtime_ns: int = 0
    whole_bytes: int = 0
    lines: int = 0
    end: bytes = b""

    def goes_on(self, file: BinaryIO) -> bool:
        """Return whether a file begins with what was read: one written anew ends otherwise."""
        file.seek(self.whole_bytes - len(self.end))
        return file.read(len(self.end)) == self.end


class Answers:
    """The kept answers of an archive.

    Parameters
    ----------
    root
        The folder of the archive.

    Raises
    ------
    CorruptError
        If the index cannot be read, or has a line that is none.
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.realpath(root))
        self._path = self._root / INDEX
        self._state = _State()
        self._kept: dict[_Key, Kept] = {}
        self._right: dict[str, tuple[int, int, int, str]] = {}
        self._lock = threading.Lock()
        self._refresh()

    def __len__(self) -> int:
        """Return the number of answers."""
        return len(self._kept)

    def find(self, path: str, query: str) -> Kept | None:
        """Return the answer to a request; None where none is kept.

        Parameters
        ----------
        path
            Path of the request, without quoting.
        query
            Its parameters as they came.

        Raises
        ------
        CorruptError
            If a line was added that is none.
        """
        with self._lock:
            self._refresh()
            if not self._kept:
                return None
            try:
                return self._kept.get(_key(path, query))
            except ValueError:  # more parameters than any request has
                return None

    def response(self, kept: Kept, method: str, headers: Mapping[str, str]) -> Response:
        """Return the response of an answer, or of a part of it.

        Parameters
        ----------
        kept
            The answer.
        method
            ``GET`` or ``HEAD``.
        headers
            The headers of the request, of which Range and If-None-Match are looked at.
        """
        opened = self._opened(kept)
        if not isinstance(opened, int):
            return opened
        told = {"etag": f'"{kept.sha256}"', "content-type": kept.content_type}
        if kept.simulated:
            told["openallen-simulated"] = "true"
        if kept.status != HTTPStatus.OK:  # what is no success has no parts, and is not remembered
            headers = {}
        return sent_file(opened, kept.size_bytes, told, method, headers, status=kept.status)

    def _opened(self, kept: Kept) -> int | Response:
        """Return the descriptor of a body that is the one that was kept; else why there is none."""
        from starlette.responses import PlainTextResponse

        path = self._root / kept.file
        what = f"the kept answer {kept.file}"
        told = looked_at(self._root, path)
        if told is None:
            status = 500 if os.path.lexists(path) else 404
            return PlainTextResponse(f"{what} is missing from the archive", status)
        try:
            file = open_plain(path, kept.size_bytes)
        except OSError:
            reason = f"{told.st_size} bytes are there, {kept.size_bytes} were kept"
            return PlainTextResponse(f"{what} is not whole: {reason}", 500)
        if self._is_right(file, kept):
            return file
        os.close(file)
        return PlainTextResponse(f"{what} is damaged: its SHA-256 differs", 500)

    def _is_right(self, file: int, kept: Kept) -> bool:
        """Return whether a file holds what was kept; it is read once for as long as it stays."""
        told = os.fstat(file)
        state = (told.st_ino, told.st_mtime_ns, told.st_size, kept.sha256)
        if self._right.get(kept.file) == state:
            return True
        digest = hashlib.sha256()
        with os.fdopen(os.dup(file), "rb") as body:
            while piece := body.read(_PIECE_BYTES):
                digest.update(piece)
        if digest.hexdigest() != kept.sha256:
            return False
        self._right[kept.file] = state
        return True

    def _refresh(self) -> None:
        """Read what was added to the index; all of it where it is another file."""
        try:
            told = os.lstat(self._path)
        except OSError:
            self._state, self._kept = _State(), {}
            return
        seen = self._state
        if (told.st_ino, told.st_size, told.st_mtime_ns) == (
            seen.inode, seen.size_bytes, seen.mtime_ns,
        ):  # fmt: skip
            return
        if not stat.S_ISREG(told.st_mode):
            raise CorruptError(f"{INDEX} is not a plain file", address=str(self._path))
        try:
            with self._path.open("rb") as file:
                if told.st_ino != seen.inode or not seen.goes_on(file):
                    seen, self._kept = _State(), {}
                file.seek(seen.whole_bytes)
                text = file.read()
        except OSError as error:
            why = error.strerror or str(error)
            raise CorruptError(
                "the index of kept answers cannot be read", address=str(self._path), why=why
            ) from error
        self._read(text, told, seen)

    def _read(self, text: bytes, told: os.stat_result, seen: _State) -> None:
        whole, _, rest = text.rpartition(b"\n")
        lines = whole.split(b"\n") if whole else []
        for number, line in enumerate(lines, seen.lines + 1):
            if line.strip():
                try:
                    key, kept = _line(load_json(line.decode("utf-8")))
                except ValueError as error:
                    self._state = _State()  # read anew at the next request, and refused again
                    raise CorruptError(
                        "the index of kept answers cannot be read",
                        address=str(self._path),
                        why=f"line {number}: {error}",
                    ) from error
                self._kept[key] = kept
        # What has no end is still being written, unless it is the last line of an editor.
        if rest.strip():
            try:
                key, kept = _line(load_json(rest.decode("utf-8")))
                self._kept[key] = kept
            except ValueError:
                pass
        self._state = _State(
            told.st_ino,
            told.st_size,
            told.st_mtime_ns,
            seen.whole_bytes + len(text) - len(rest),
            seen.lines + len(lines),
            (seen.end + text.removesuffix(rest))[-_END_BYTES:],
        )


def _key(path: str, query: str) -> _Key:
    """Return what a request is compared by. An image has one id, whichever service is asked."""
    path = _IMAGE.sub(r"/api/v2/image_download/\1", path)
    given = parse_qsl(query, keep_blank_values=True, max_num_fields=200)
    return path, tuple(sorted(given, key=lambda one: one[0]))


def _line(told: Any) -> tuple[_Key, Kept]:
    """Return the request and the answer of a line.

    Raises
    ------
    ValueError
        If it is none, or names a file that can lie outside.
    """
    if not isinstance(told, dict):
        raise ValueError("not an object")
    told = _DEFAULTS | told
    for name, kind in _KINDS.items():
        if type(told.get(name)) is not kind:
            raise ValueError(f"'{name}' is not {_KIND_NAMES[kind]}")
    path, file, status = unquote(told["path"]), told["file"], told["status"]
    inside = all(part not in {"", ".", ".."} and not set(part) & _ODD for part in file.split("/"))
    # Redirects are kept as what they led to; parts and empty answers are none.
    answers = status == HTTPStatus.OK or 400 <= status < 600
    for right, said in (
        (path.startswith("/") and not f"{path}/".startswith(_OTHERS),
         f"'{path[:80]}' is not a path of the institute's services"),
        (inside, f"'{file[:80]}' is not a path inside of the archive"),
        (_TYPE.fullmatch(told["content_type"]), "'content_type' is not a type of content"),
        (_SHA256.fullmatch(told["sha256"]), "'sha256' is not a digest"),
        (told["size_bytes"] >= 0, "'size_bytes' is less than zero"),
        (answers, f"'status' is {status}, which is not that of an answer"),
    ):  # fmt: skip
        if not right:
            raise ValueError(said)
    kept = Kept(
        file, told["content_type"], told["size_bytes"], told["sha256"], status, told["simulated"]
    )
    return _key(path, told["query"]), kept
