"""Small objects below a prefix of a bucket, read whole or in part where they lie.

Zarr stores, tables and documents on a server are read through this. What was read stays in memory
as far as a budget goes, what is not there is remembered too, and where a memory on disk is given,
objects marked as belonging to one version of a whole are kept between processes.
"""

from __future__ import annotations

import itertools
import logging
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from openallen.errors import AnswerError, NotFoundError, StatusError, UnreachableError
from openallen.formats.objects import DOCUMENTS
from openallen.transport.http import Response
from openallen.transport.s3 import Bucket, Listed
from openallen.transport.sniff import sniff

__all__ = ["Kept", "RemoteObjects"]

_LOG: Final = logging.getLogger("openallen.transport")
_BUDGET_BYTES: Final = 128 << 20
_PIECE_BYTES: Final = 4 << 20
_STREAMS: Final = 16
_LARGEST_BYTES: Final = 1 << 30

_Part = tuple[str, int | None, int | None]


class Kept(Protocol):
    """What keeps objects between processes."""

    def get(self, name: str) -> bytes | None:
        """Return what is cached under a name; None where nothing complete is."""
        ...

    def put(self, name: str, body: bytes) -> None:
        """Store it."""
        ...


@dataclass
class _Desk:
    """What all views of one bucket share: counts, memory, threads."""

    kept: Kept | None
    requests: int = 0
    bytes_received: int = 0
    memory: OrderedDict[_Part, bytes | None] = field(default_factory=OrderedDict)
    held_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    pool: ThreadPoolExecutor | None = None
    answered: bool = False
    denied: bool = False

    def threads(self) -> ThreadPoolExecutor:
        with self.lock:
            if self.pool is None:
                self.pool = ThreadPoolExecutor(_STREAMS, thread_name_prefix="objects")
            return self.pool

    def remember(self, part: _Part, body: bytes | None) -> None:
        size = len(body or b"")
        if size > _BUDGET_BYTES // 4:
            return
        with self.lock:
            before = self.memory.pop(part, b"")
            self.held_bytes += size - len(before or b"")
            self.memory[part] = body
            while self.held_bytes > _BUDGET_BYTES:
                _, old = self.memory.popitem(last=False)
                self.held_bytes -= len(old or b"")

    def count(self, requests: int, size_bytes: int) -> None:
        with self.lock:
            self.requests += requests
            self.bytes_received += size_bytes


class RemoteObjects:
    """Objects below a prefix of a bucket; an `openallen.formats.objects.Objects`.

    Parameters
    ----------
    bucket
        The bucket.
    prefix
        Where in it, with a slash at the end.
    kept
        Keeps objects between processes.

    Attributes
    ----------
    name : str
        Where this is, for messages.
    """

    def __init__(
        self, bucket: Bucket, prefix: str, kept: Kept | None = None, *, root: str = ""
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._desk = _Desk(kept)
        self._root = root or f"s3://{bucket.name}"
        self.name = f"{self._root}/{prefix.rstrip('/')}"

    @property
    def requests(self) -> int:
        """Requests so far, of every view."""
        return self._desk.requests

    @property
    def bytes_received(self) -> int:
        """Bytes of bodies so far, of every view."""
        return self._desk.bytes_received

    def within(self, path: str) -> RemoteObjects:
        """Return the objects below a folder; counts and memory are shared."""
        inner = RemoteObjects(self._bucket, f"{self._prefix}{path.strip('/')}/", root=self._root)
        inner._desk = self._desk
        return inner

    def also_close(self, close: Callable[[], object]) -> None:
        """Call this when the last view is gone."""
        weakref.finalize(self._desk, close)

    def url(self, key: str) -> str:
        """Return the address of an object."""
        return self._bucket.url(self._prefix + key)

    def get(
        self, key: str, start: int | None = None, stop: int | None = None, mark: str = ""
    ) -> bytes | None:
        """Return an object, or a part of it; None if there is none.

        Parameters
        ----------
        key
            Its name below the prefix.
        start, stop
            First byte and the one behind the last; from the end where `start` is negative.
        mark
            The version of the whole it belongs to; with it, it is kept on disk.

        Raises
        ------
        AnswerError
            If the service gives another part than was asked for, or the object changes meanwhile.
        StatusError
            If it is refused; documents of Zarr in a bucket that gave something are then missing.
        UnreachableError, StalledError
            If it cannot be had.
        """
        part = (self._prefix + key, start, stop)
        with self._desk.lock:
            if part in self._desk.memory:
                self._desk.memory.move_to_end(part)
                return self._desk.memory[part]
        kept, name = self._desk.kept, f"{self.url(key)} {start} {stop} {mark}"
        body = kept.get(name) if kept is not None and mark else None
        if body is None:
            body = self._asked(key, start, stop)
            if body is not None and sniff(body) == "html":
                return body  # what stands between us and the service may say this, once
            if kept is not None and mark and body is not None:
                kept.put(name, body)
        self._desk.remember(part, body)
        return body

    def ready(self, keys: Iterable[str], mark: str = "") -> None:
        """Have objects at hand, asked for all at once; what fails says so when it is read."""
        jobs = [self._desk.threads().submit(self.get, key, mark=mark) for key in keys]
        for job in jobs:
            job.exception()

    def stat(self, key: str) -> tuple[int, str] | None:
        """Return size in bytes of an object and its entity tag; None if there is none."""
        whole = self._prefix + key
        self._desk.count(1, 0)
        first = next(iter(self._bucket.list(whole, page_keys=1)), None)
        return (first.size_bytes, first.etag) if first is not None and first.key == whole else None

    def level(self, path: str = "") -> tuple[tuple[Listed, ...], tuple[str, ...]]:
        """Return objects directly below a folder, and folders by their names, in order.

        Raises
        ------
        AnswerError
            If the listing contradicts itself.
        """
        inside = f"{self._prefix}{path.strip('/')}/" if path.strip("/") else self._prefix
        entries, folders = self._bucket.level(inside)
        self._desk.count(1, 0)
        return entries, tuple(f.removeprefix(inside).rstrip("/") for f in folders)

    def folders(self, path: str = "") -> tuple[str, ...]:
        """Name the folders directly below a folder, in order."""
        return self.level(path)[1]

    def holds(self, path: str = "") -> bool:
        """Return whether anything lies below a folder but documents of Zarr."""
        entries, folders = self.level(path)
        names = (entry.key.rpartition("/")[2] for entry in entries)
        return bool(folders) or any(name not in DOCUMENTS for name in names)

    # --- asking -----------------------------------------------------------------------------------

    def _asked(self, key: str, start: int | None, stop: int | None) -> bytes | None:
        try:
            if start is None or start < 0 or stop is None or stop - start <= _PIECE_BYTES:
                return self._one(key, start, stop)[0]
            edges = [*range(start, stop, _PIECE_BYTES), stop]
            pool = self._desk.threads()
            jobs = [pool.submit(self._one, key, a, b) for a, b in itertools.pairwise(edges)]
            errors = [job.exception() for job in jobs]
        except NotFoundError:
            return None
        except StatusError as denied:
            if not self._is_missing(key, denied):
                raise
            return None
        for error in errors:
            if isinstance(error, NotFoundError):
                return None
            if error is not None:
                raise error
        found = [job.result() for job in jobs]
        if len({etag for _, etag in found}) > 1:
            raise AnswerError(
                "an object changed while it was read", address=self.url(key), hint="open it again"
            )
        return b"".join(body for body, _ in found)

    def _is_missing(self, key: str, error: StatusError) -> bool:
        """Return whether a refusal stands for a document of Zarr that is not there.

        Documents are asked for to find out what there is, and a bucket that may not be listed
        refuses those that do not exist. Of a chunk this could not be told from a loss, and where
        nothing was given before, all of it may be private.
        """
        if error.status != 403 or not self._desk.answered:
            return False
        if key.rpartition("/")[2] not in DOCUMENTS:
            return False
        if not self._desk.denied:
            self._desk.denied = True
            _LOG.warning("%s: documents that are refused (403) count as not there", self.name)
        return True

    def _one(self, key: str, start: int | None, stop: int | None) -> tuple[bytes, str]:
        """Ask once; give the bytes and the entity tag."""
        url = self.url(key)
        headers = {} if start is None else {"Range": _range(start, stop)}

        def ask() -> tuple[bytes, str]:
            self._desk.count(1, 0)
            with self._bucket.http.get(url, headers=headers) as response:
                body = _body(response, url)
                self._desk.count(0, len(body))
                self._desk.answered = True
                return _part(response, body, start, stop, url), response.headers.get("etag", "")

        return self._bucket.retry.run(ask)


def _range(start: int, stop: int | None) -> str:
    if start < 0:
        return f"bytes={start}"
    return f"bytes={start}-" + ("" if stop is None else str(stop - 1))


def _body(response: Response, url: str) -> bytes:
    told = response.length_bytes
    if told is None:
        return response.read(_LARGEST_BYTES)
    if told > _LARGEST_BYTES:
        raise AnswerError("an object is too large to be read whole", address=url, why=f"{told:,}")
    body = memoryview(bytearray(told))
    if (got := response.read_into(body)) != told:
        raise UnreachableError("truncated response", address=url, why=f"{got:,} of {told:,}")
    return bytes(body)


def _part(response: Response, body: bytes, start: int | None, stop: int | None, url: str) -> bytes:
    """Return the requested range; a service may send the whole object, but no other part."""
    if start is None:
        if response.status == 206:
            raise AnswerError("a part received where the whole was asked for", address=url)
        return body
    if response.status != 206:
        return body[start:stop]
    told = response.content_range
    total = told.total if told is not None else None
    if start < 0:
        wanted = None if total is None else (max(0, total + start), total)
    else:
        ends = [end for end in (stop, total) if end is not None]
        wanted = (start, min(ends)) if ends else None
    if told is None or wanted != (told.first, told.last + 1) or told.first + len(body) != wanted[1]:
        why = response.headers.get("content-range", "no Content-Range")
        raise AnswerError("wrong range received", address=url, why=why)
    return body
