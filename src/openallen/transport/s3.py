"""Read public S3 buckets with unsigned requests: URLs, paged listings, versions of objects.

Buckets at S3 are addressed by virtual host name; buckets at another endpoint (MinIO, a mirror, a
test server) by path. Listings are checked: keys must ascend, a page must hold as many keys as it
announces, and a truncated page must say where the next one begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from urllib.parse import quote, unquote_plus
from xml.parsers import expat

from openallen.errors import AnswerError, NotFoundError, StatusError, UsageError
from openallen.transport.http import Http
from openallen.transport.retry import Retry
from openallen.web_address import WebAddress
from openallen.whole_numbers import whole_number

__all__ = ["Bucket", "Listed", "S3Location", "listed_in"]

_LIMIT_BYTES: Final = 64 << 20
_PAGE_BYTES: Final = 16 << 20
"""S3 lists a thousand keys of up to 1,024 bytes on a page: at most 4 MB."""
_PAGE_ELEMENTS: Final = 200_000
_PAGE_DEPTH: Final = 16


@dataclass(frozen=True, slots=True)
class S3Location:
    """One object, or one version of it.

    Parameters
    ----------
    bucket, key
        Bucket and key; the key not percent-encoded.
    version_id
        Version of the object; empty for the newest.
    """

    bucket: str
    key: str
    version_id: str = ""

    @classmethod
    def parse(cls, text: str) -> S3Location:
        """Read ``s3://bucket/key`` or an https address of S3, ``?versionId=`` included.

        Raises
        ------
        UsageError
            If it is not an S3 address.
        """
        plain = _PLAIN.fullmatch(text)
        if plain is not None:
            return cls(plain["bucket"], plain["key"])
        try:
            web = WebAddress.parse(text)
        except ValueError:
            web = None
        if web is not None and web.bucket:
            return cls(web.bucket, web.key, web.version_id)
        raise UsageError("not an S3 address", address=text, hint="s3://bucket/key")

    def __str__(self) -> str:
        version = f"?versionId={quote(self.version_id, safe='')}" if self.version_id else ""
        return f"s3://{self.bucket}/{quote(self.key, safe=_SAFE)}{version}"


_PLAIN: Final = re.compile(
    r"https://(?P<bucket>[a-z0-9-]+)\.s3\.[a-z0-9-]+\.amazonaws\.com"
    r"/(?P<key>[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*)"
)
"""Most objects are written so: a manifest of thousands need not be taken apart one by one."""
_SAFE: Final = "/-_.~!*'()=+,@:$;"


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a listing.

    Parameters
    ----------
    key
        Name of the object.
    size_bytes
        Size of the object.
    etag
        Entity tag, without quotes.
    modified
        Time of the last modification.
    version_id
        Version, where versions were listed.
    latest
        Whether that version is the newest.
    """

    key: str
    size_bytes: int
    etag: str = ""
    modified: datetime | None = None
    version_id: str = ""
    latest: bool = True


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """One bucket, read with unsigned requests.

    Parameters
    ----------
    http
        HTTP client.
    name
        Name of the bucket; empty for a plain web server, which lists nothing.
    endpoint
        Base URL of another S3-compatible service; empty for S3 itself.
    region
        Region of the bucket at S3.
    retry
        When a request is repeated.
    place
        What the service is called in messages; its address where it has no name.
    """

    http: Http
    name: str
    endpoint: str = ""
    region: str = "us-east-1"
    retry: Retry = field(default_factory=Retry)
    place: str = ""

    def url(self, key: str = "", version_id: str = "") -> str:
        """Return the URL of an object, or of the bucket itself."""
        version = f"?versionId={quote(version_id, safe='')}" if version_id else ""
        path = quote(key, safe=_SAFE)
        if self.endpoint:
            inside = f"{self.name}/" if self.name else ""
            return f"{self.endpoint.rstrip('/')}/{inside}{path}{version}"
        return f"https://{self.name}.s3.{self.region}.amazonaws.com/{path}{version}"

    def read(self, key: str, version_id: str = "", limit_bytes: int = _LIMIT_BYTES) -> bytes:
        """Return the bytes of a small object.

        Raises
        ------
        NotFoundError
            If it does not exist.
        ServiceError
            If it cannot be read.
        """

        def ask() -> bytes:
            with self.http.get(self.url(key, version_id)) as response:
                length = response.length_bytes
                body = response.read(limit_bytes)
            if length is not None and len(body) != length:
                raise AnswerError("truncated object", address=self.url(key), why=f"{len(body):,}")
            return body

        return self.retry.run(ask)

    def list(self, prefix: str = "", page_keys: int = 1000) -> Iterator[Listed]:
        """Iterate over the objects whose key begins with `prefix`, in the order of keys.

        Raises
        ------
        NotFoundError
            If the bucket does not exist.
        StatusError
            If it may not be listed.
        AnswerError
            If the listing contradicts itself.
        """
        asked = (
            f"list-type=2&encoding-type=url&max-keys={page_keys}&prefix={quote(prefix, safe='')}"
        )
        yield from self._pages(asked, ("continuation-token", "NextContinuationToken"))

    def level(
        self, prefix: str = "", page_keys: int = 1000
    ) -> tuple[tuple[Listed, ...], tuple[str, ...]]:
        """Return what is directly below `prefix`: objects, and folders with a trailing slash.

        Raises
        ------
        As `list` does.
        """
        pages = list(self._below(prefix, page_keys))
        entries = tuple(entry for page in pages for entry in page.entries)
        return entries, tuple(folder for page in pages for folder in page.folders)

    def folders(self, prefix: str = "", page_keys: int = 1000) -> Iterator[str]:
        """Iterate over the folders directly below `prefix`, by name, each with a trailing slash.

        Raises
        ------
        As `list` does.
        """
        last = ""
        for page in self._below(prefix, page_keys):
            for folder in page.folders:
                if folder <= last:
                    raise AnswerError(
                        "folders of a listing are not in ascending order",
                        address=self.url(),
                        why=folder,
                    )
                last = folder
                yield folder

    def versions(self, prefix: str = "", page_keys: int = 1000) -> Iterator[Listed]:
        """Iterate over the versions of all objects whose key begins with `prefix`.

        Raises
        ------
        As `list` does.
        """
        asked = f"versions=&encoding-type=url&max-keys={page_keys}&prefix={quote(prefix, safe='')}"
        yield from self._pages(
            asked,
            ("key-marker", "NextKeyMarker"),
            ("version-id-marker", "NextVersionIdMarker"),
        )

    def _pages(self, asked: str, *markers: tuple[str, str]) -> Iterator[Listed]:
        last = ""
        for url, page in self._turned(asked, *markers):
            for entry in page.entries:
                if entry.key < last:
                    raise AnswerError(
                        "keys of a listing are not in ascending order",
                        address=url,
                        why=f"{entry.key} < {last}",
                    )
                last = entry.key
                yield entry

    def _below(self, prefix: str, page_keys: int) -> Iterator[_Page]:
        """Iterate over the pages of what is directly below `prefix`."""
        asked = f"list-type=2&encoding-type=url&delimiter=%2F&max-keys={page_keys}"
        asked += f"&prefix={quote(prefix, safe='')}"
        marker = ("continuation-token", "NextContinuationToken")
        for _, page in self._turned(asked, marker):
            yield page

    def _turned(self, asked: str, *markers: tuple[str, str]) -> Iterator[tuple[str, _Page]]:
        """Iterate over the pages of a listing, each with its URL."""
        onward = ""
        seen: set[str] = set()
        while True:
            url = f"{self.url()}?{asked}{onward}"
            page = self.retry.run(lambda url=url: self._page(url))  # type: ignore[misc]
            yield url, page
            if not page.truncated:
                return
            given = {name: page.facts.get(tag, "") for name, tag in markers}
            onward = "".join(f"&{n}={quote(v, safe='')}" for n, v in given.items() if v)
            if not onward or onward in seen:
                raise AnswerError("a truncated listing without a continuation token", address=url)
            seen.add(onward)

    def _no_bucket(self, why: str) -> NotFoundError:
        where = self.endpoint.rstrip("/") or f"S3 ({self.region})"
        named = f"{self.place} has no bucket {self.name}"
        return NotFoundError(
            named if self.place else f"no bucket {self.name} at {where}",
            address=f"s3://{self.name}",
            why=why,
            hint="openallen config" if self.endpoint and not self.place else "",
        )

    def _page(self, url: str) -> _Page:
        try:
            with self.http.get(url, compressed=True) as response:
                body = response.read(_PAGE_BYTES)
        except NotFoundError as error:
            # S3 lists a prefix that holds nothing; only a bucket that is missing is a 404 with XML.
            if "XML" not in error.why:
                raise
            raise self._no_bucket(error.why) from error
        except StatusError as error:
            if error.status not in {401, 403}:
                raise
            raise StatusError(
                f"bucket {self.name} may not be listed",
                status=error.status,
                address=f"s3://{self.name}",
                why=error.why,
                hint="it is private, or its objects can be read by their full names only",
            ) from error
        page = _Page.read(body, url)
        found = len(page.entries) + len(page.folders)
        announced = page.facts.get("KeyCount", "").strip()
        if announced and whole_number(announced) != found:
            raise AnswerError(
                "a listing with another number of keys than announced",
                address=url,
                why=f"{announced[:20]} keys announced, {found} received",
            )
        return page


def listed_in(body: bytes, url: str) -> tuple[Listed, ...]:
    """Return the objects on one page of a listing.

    Parameters
    ----------
    body
        The page.
    url
        What it answers, for messages.

    Raises
    ------
    AnswerError
        If it is no listing.
    """
    return tuple(_Page.read(body, url).entries)


_FIELDS: Final = frozenset({"Key", "Size", "LastModified", "ETag", "VersionId", "IsLatest"})
_FACTS: Final = frozenset({
    "EncodingType", "IsTruncated", "KeyCount", "KeyMarker",
    "NextContinuationToken", "NextKeyMarker", "NextVersionIdMarker",
})  # fmt: skip


class _Page:
    """One page of a listing, filled by the handlers of expat."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.facts: dict[str, str] = {}
        self.entries: list[Listed] = []
        self.folders: list[str] = []
        self._path: list[str] = []
        self._text: list[str] = []
        self._fields: dict[str, str] = {}
        self._elements = 0

    @classmethod
    def read(cls, body: bytes, url: str) -> _Page:
        page = cls(url)
        parser = expat.ParserCreate("utf-8")  # S3 knows no other, whatever the text says
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = page._doctype
        parser.StartElementHandler = page._begin
        parser.EndElementHandler = page._end
        parser.CharacterDataHandler = page._text.append
        try:
            parser.Parse(body, True)
        except expat.ExpatError as error:
            raise page._no_listing(str(error)) from error
        if page.facts.get("root") not in {"ListBucketResult", "ListVersionsResult"}:
            raise page._no_listing(f"<{page.facts.get('root', '')[:80]}>")
        page._decode()
        return page

    def _decode(self) -> None:
        """Read keys as they are: XML cannot hold control characters, so they were asked for so."""
        if self.facts.get("EncodingType") != "url":
            return
        self.entries = [replace(entry, key=unquote_plus(entry.key)) for entry in self.entries]
        self.folders = [unquote_plus(folder) for folder in self.folders]
        for name in ("NextKeyMarker", "KeyMarker"):
            if name in self.facts:
                self.facts[name] = unquote_plus(self.facts[name])

    @property
    def truncated(self) -> bool:
        return self.facts.get("IsTruncated", "false").strip() == "true"

    def _no_listing(self, why: str) -> AnswerError:
        return AnswerError("not an S3 listing", address=self._url, why=why)

    def _doctype(self, *_: object) -> None:
        raise self._no_listing("it declares a document type, which S3 does not")

    def _begin(self, name: str, _: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        if not self._path:
            self.facts["root"] = local
        if len(self._path) >= _PAGE_DEPTH:
            raise self._no_listing("nested too deeply")
        self._elements += 1
        if self._elements > _PAGE_ELEMENTS:
            raise self._no_listing(f"more than {_PAGE_ELEMENTS:,} elements on a page")
        self._path.append(local)
        self._text.clear()
        if local in {"Contents", "Version"}:
            self._fields = {}

    def _end(self, _: str) -> None:
        local = self._path.pop()
        text = "".join(self._text)
        self._text.clear()
        inside = self._path[-1] if self._path else ""
        if inside in {"Contents", "Version"}:
            if local in _FIELDS:
                self._fields[local] = text
        elif local in {"Contents", "Version"}:
            self.entries.append(_listed(self._fields, self._url))
        elif inside == "CommonPrefixes":
            if local == "Prefix":
                self.folders.append(text)
        elif len(self._path) == 1 and local in _FACTS:
            self.facts[local] = text


def _listed(fields: dict[str, str], url: str) -> Listed:
    size = whole_number(fields.get("Size", "").strip())
    try:
        modified = fields.get("LastModified", "")
        when = datetime.fromisoformat(modified) if modified else None
        key = fields["Key"]
        if size is None:
            raise ValueError(f"a size of {fields.get('Size', 'nothing')[:20]}")
    except (KeyError, ValueError) as error:
        raise AnswerError(
            "an entry of a listing that cannot be read", address=url, why=repr(error)[:200]
        ) from error
    return Listed(
        key=key,
        size_bytes=size,
        etag=fields.get("ETag", "").strip('"'),
        modified=when,
        version_id=fields.get("VersionId", ""),
        latest=fields.get("IsLatest", "true") == "true",
    )
