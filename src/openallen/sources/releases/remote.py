"""One version of one object of a bucket, as a place that is opened where it lies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from openallen.errors import CorruptError
from openallen.sources.place import Place
from openallen.sources.releases.cache import ReleaseCache
from openallen.sources.releases.models import ReleaseFile
from openallen.store.digests import algorithm_of, digest_text, new_hasher
from openallen.store.objects import CachedObjects
from openallen.transport.objects import RemoteObjects
from openallen.transport.s3 import Bucket

__all__ = ["OneObject", "remote_place"]


def remote_place(cache: ReleaseCache, file: ReleaseFile, name: str, ranges: Path) -> Place:
    """Return the place of a file of a version where it lies in its bucket.

    Parameters
    ----------
    cache, file
        The file, and the bucket it is in.
    name
        What it is called in messages.
    ranges
        Folder of the store that keeps what was read.
    """
    objects = OneObject(cache.bucket, file, ranges / "objects")
    url = cache.bucket.url(file.at.key, file.at.version_id)
    return Place(name, objects, objects.key, url=url, immutable=bool(file.at.version_id))


@dataclass(frozen=True, kw_only=True)
class _VersionBucket(Bucket):
    """A bucket that is asked for one version only."""

    version_id: str

    def url(self, key: str = "", version_id: str = "") -> str:
        """Return the address of the version of an object."""
        return super().url(key, version_id or self.version_id)


class OneObject:
    """One version of one object, as an `openallen.formats.objects.Objects` of a single key.

    Read whole, it is compared with its published digest.

    Parameters
    ----------
    bucket
        Where it is; asked as long as its client is open.
    file
        The file.
    kept
        Folder that keeps what was read of versions, which never change.
    """

    def __init__(self, bucket: Bucket, file: ReleaseFile, kept: Path) -> None:
        folder, _, self.key = file.at.key.rpartition("/")
        self._file = file
        versioned = _VersionBucket(
            http=bucket.http,
            name=bucket.name,
            endpoint=bucket.endpoint,
            region=bucket.region,
            retry=bucket.retry,
            version_id=file.at.version_id,
        )
        self._objects = RemoteObjects(
            versioned, f"{folder}/" if folder else "", CachedObjects(kept)
        )
        self.name = self._objects.name

    def get(
        self, key: str, start: int | None = None, stop: int | None = None, mark: str = ""
    ) -> bytes | None:
        """Return the object, or a part of it; None for every other key.

        Raises
        ------
        CorruptError
            If it was read whole and is not what was published.
        """
        del mark
        if key != self.key:
            return None
        body = self._objects.get(key, start, stop, self._file.at.version_id)
        if body is not None and start is None:
            self._check(body)
        return body

    def _check(self, body: bytes) -> None:
        if not self._file.digest:
            return
        algorithm = algorithm_of(self._file.digest)
        hasher = new_hasher(algorithm)
        hasher.update(body)
        if digest_text(algorithm, hasher) != self._file.digest:
            raise CorruptError(
                "not what was published",
                address=self._file.versioned_url(),
                why="its digest differs",
            )

    def stat(self, key: str) -> tuple[int, str] | None:
        """Return size in bytes (0 where it is not known) and version; None for other keys."""
        if key != self.key:
            return None
        return self._file.size_bytes or 0, self._file.at.version_id

    def ready(self, keys: Iterable[str], mark: str = "") -> None:
        """Do nothing: it is read when it is wanted."""

    def folders(self, path: str = "") -> tuple[str, ...]:
        """Return no folders: there is one object."""
        del path
        return ()

    def holds(self, path: str = "") -> bool:
        """Return false: there is one object, and no folder."""
        del path
        return False

    def within(self, path: str) -> OneObject:
        """Return the same object: there is nothing below it."""
        del path
        return self
