"""A mirror in an S3-compatible store: the same layout below a prefix, the ledger written last.

Files are fetched into a folder of this machine in batches, uploaded, and removed from it, so that
a mirror may be larger than the disk. What the ledger in the bucket names and the bucket lists is
not fetched. Rows are merged with those that are there, so tables come from there first.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from openallen.errors import OpenAllenError, RefusedError, UnreachableError
from openallen.mirroring.awscalls import Prefix, aws_errors, client_for
from openallen.mirroring.ledger import LEDGER, Entry, Ledger
from openallen.plans import RemoteFile
from openallen.store import digest_of

__all__ = ["S3Home", "listed_sizes", "s3_home"]

_BATCH_BYTES: Final = 8 << 30
_BATCH_FILES: Final = 2000
_UNKNOWN_BYTES: Final = 64 << 20
"""What a file of unknown size is counted as."""
_UPLOADS: Final = 8
_SMALL: Final = ("archive.json", "answers.jsonl", LEDGER)
_TABLE: Final = re.compile(r"tables/[A-Za-z0-9_]{1,100}\.jsonl")
_SHA256: Final = "sha256"


@contextmanager
def s3_home(to: str, *, endpoint_url: str = "") -> Iterator[S3Home]:
    """Return a mirror below a prefix, with what is needed of it to go on.

    Parameters
    ----------
    to
        ``s3://BUCKET/PREFIX``.
    endpoint_url
        The server; that of the environment, or AWS, where empty.

    Raises
    ------
    RefusedError
        Without credentials or permission; if there are objects and no ledger.
    NotFoundError
        Without the bucket.
    UnreachableError
        If the server does not answer.
    """
    place = Prefix.parse(to)
    client = client_for(endpoint_url)
    with tempfile.TemporaryDirectory(prefix="openallen-mirror-") as folder:
        home = S3Home(client, place, Path(folder))
        home.load()
        yield home


def listed_sizes(client: Any, place: Prefix) -> dict[str, int]:
    """Return sizes in bytes of the objects below a prefix, by their names below it.

    Parameters
    ----------
    client, place
        Where.
    """
    found: dict[str, int] = {}
    with aws_errors(str(place)):
        pages = client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=place.bucket, Prefix=place.prefix):
            for entry in page.get("Contents", ()):
                found[entry["Key"].removeprefix(place.prefix)] = entry["Size"]
    return found


class S3Home:
    """A mirror below a prefix of a bucket.

    Parameters
    ----------
    client
        A client of boto3.
    place
        Where.
    root
        The folder in which files are until they are uploaded.
    """

    def __init__(self, client: Any, place: Prefix, root: Path) -> None:
        self.root = root
        self.name = str(place)
        self._client, self._place = client, place
        self._sizes: dict[str, int] = {}
        self._published: dict[str, str] = {}

    def load(self) -> None:
        """Bring what a run needs: ledger, tables, indexes.

        Raises
        ------
        RefusedError
            If there are objects and no ledger.
        """
        self._sizes = listed_sizes(self._client, self._place)
        if self._sizes and LEDGER not in self._sizes:
            raise RefusedError(
                "this prefix is no mirror, and not empty",
                address=self.name,
                why=f"it holds {next(iter(self._sizes))}, and no {LEDGER}",
                hint="choose another prefix with --to s3://BUCKET/PREFIX",
            )
        for name in self._sizes:
            if name in _SMALL or _TABLE.fullmatch(name):
                path = self.root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with aws_errors(f"{self.name}/{name}"):
                    self._client.download_file(self._place.bucket, self._key(name), str(path))
                self._published[name] = _digest(path)

    def _key(self, name: str) -> str:
        return self._place.prefix + name

    def holds(self, entry: Entry) -> bool:
        """Return whether a file is in the bucket, or waits to be uploaded, with its size."""
        if self._sizes.get(entry.file) == entry.size_bytes:
            return True
        try:
            return (self.root / entry.file).stat().st_size == entry.size_bytes
        except OSError:
            return False

    def obtain(self, entry: Entry, path: Path) -> None:
        """Download a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with aws_errors(f"{self.name}/{entry.file}"):
            self._client.download_file(self._place.bucket, self._key(entry.file), str(path))

    def batches(self, files: Sequence[RemoteFile]) -> Iterator[Sequence[RemoteFile]]:
        """Return files in groups that a disk can hold."""
        batch: list[RemoteFile] = []
        size = 0
        for file in files:
            more = _UNKNOWN_BYTES if file.likely_bytes is None else file.likely_bytes
            if batch and (size + more > _BATCH_BYTES or len(batch) >= _BATCH_FILES):
                yield batch
                batch, size = [], 0
            batch.append(file)
            size += more
        if batch:
            yield batch

    def deliver(self, entries: Iterable[Entry]) -> Mapping[str, OpenAllenError]:
        """Upload files that wait, and remove them here; return what failed, by file."""
        waiting = {e.file: e for e in entries if e.sha256 and (self.root / e.file).is_file()}
        failed: dict[str, OpenAllenError] = {}
        with ThreadPoolExecutor(_UPLOADS, thread_name_prefix="uploads") as pool:
            jobs = {
                file: pool.submit(self._upload, file, entry.sha256, entry.content_type)
                for file, entry in waiting.items()
            }
        for file, job in jobs.items():
            error = job.exception()
            if isinstance(error, OpenAllenError):
                failed[file] = error
            elif error is not None:
                raise error
            else:
                self._sizes[file] = waiting[file].size_bytes
                with suppress(OSError):
                    (self.root / file).unlink()
        return failed

    def _upload(self, name: str, sha256: str, content_type: str = "") -> None:
        more: dict[str, Any] = {"Metadata": {_SHA256: sha256}, "ChecksumAlgorithm": "SHA256"}
        if content_type:
            more["ContentType"] = content_type
        address = f"{self.name}/{name}"
        try:
            with aws_errors(address):
                path = str(self.root / name)
                self._client.upload_file(path, self._place.bucket, self._key(name), ExtraArgs=more)
        except OSError as error:
            if isinstance(error, OpenAllenError):
                raise
            raise UnreachableError("not uploaded", address=address, why=str(error)) from error

    def publish(self, ledger: Ledger) -> None:
        """Upload tables and indexes that have changed, and the ledger last.

        Raises
        ------
        ServiceError, RefusedError
            If the store does not take them; the ledger there is then the one before.
        """
        del ledger
        for name in (*self._made(), LEDGER):
            path = self.root / name
            digest = _digest(path)
            if self._published.get(name) != digest:
                self._upload(name, digest)
                self._published[name] = digest

    def _made(self) -> Iterator[str]:
        folders = ("tables", "buckets")
        for folder in folders:
            for path in sorted((self.root / folder).glob("*.jsonl")):
                yield path.relative_to(self.root).as_posix()
        for name in ("answers.jsonl", "archive.json"):
            if (self.root / name).is_file():
                yield name


def _digest(path: Path) -> str:
    return digest_of(path).partition(":")[2]
