"""Answers of S3 as XML: listings, versions, errors."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

from openallen.archive.buckets import BucketFolder, Stored, successor

__all__ = ["S3Error", "Wanted", "bucket_names", "error", "keys", "versions"]

_SPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NO_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class S3Error(Exception):
    """An error of S3.

    Attributes
    ----------
    marked : bool
        Whether a delete marker is the reason.

    Parameters
    ----------
    status
        The status.
    code
        S3's name of the error.
    message
        What is wrong, in a sentence.
    **more
        More elements of the answer.
    """

    def __init__(self, status: int, code: str, message: str, **more: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.more = status, code, message, more
        self.marked = False


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a listing is asked for.

    Parameters
    ----------
    prefix, delimiter
        As in S3.
    start
        The least key that may be listed.
    most
        How many keys and folders a page has at most.
    as_url
        Whether keys are written percent-encoded.
    after_version
        The version of the first key behind which versions go on; empty for its first.
    """

    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    most: int = 1000
    as_url: bool = False
    after_version: str = ""

    def text(self, key: str) -> str:
        """Return a key as it is written."""
        return quote_plus(key, safe="/") if self.as_url else _text(key)


@dataclass
class _Page:
    found: list[list[Stored]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    count: int = 0
    onward: str = ""
    """The least key of the next page; empty on the last one."""
    last: tuple[str, str] = ("", "")
    """The last key and version of this page."""


def _page(bucket: BucketFolder, wanted: Wanted, *, every: bool) -> _Page:
    """Return one page of keys; where `every` version counts, of their versions."""
    page = _Page()
    if not wanted.most:
        return page
    cursor = bucket.cursor(wanted.prefix, wanted.start)
    folders: dict[str, bool] = {}
    for key in cursor:
        found = bucket.versions(key, folders) if every else [bucket.newest(key, folders)]
        held = [one for one in found if one is not None]
        if every and key == wanted.start and wanted.after_version:
            ids = [one.version_id for one in held]
            held = (
                held[ids.index(wanted.after_version) + 1 :] if wanted.after_version in ids else []
            )
        if not held:
            continue
        if page.count == wanted.most:
            page.onward = key
            break
        cut = key.find(wanted.delimiter, len(wanted.prefix)) if wanted.delimiter else -1
        if cut >= 0:
            folder = key[: cut + len(wanted.delimiter)]
            page.folders.append(folder)
            page.count, page.last = page.count + 1, (folder, "")
            cursor.start = successor(folder)
            continue
        kept = held[: wanted.most - page.count]
        page.found.append(kept)
        page.count += len(kept)
        page.last = (key, kept[-1].version_id)
        if len(kept) < len(held):
            page.onward = key
            break
    return page


def keys(
    bucket: BucketFolder, wanted: Wanted, facts: Sequence[tuple[str, str]], *, marker: str = ""
) -> bytes:
    """Return a page of a listing of keys.

    Parameters
    ----------
    bucket
        The bucket.
    wanted
        What is asked for.
    facts
        Elements that repeat what was asked.
    marker
        Of the first version of the call, what names the next page: ``NextMarker``; else empty.
    """
    page = _page(bucket, wanted, every=False)
    told = [("Name", bucket.name), *_repeated(wanted), *facts]
    if not marker:
        told.append(("KeyCount", str(page.count)))
    told.append(("IsTruncated", _bool(bool(page.onward))))
    if page.onward and marker:
        told.append((marker, wanted.text(page.last[0])))
    elif page.onward:
        told.append(("NextContinuationToken", token(page.onward)))
    entries = (_entry("Contents", one, wanted) for (one,) in page.found)
    return _document("ListBucketResult", told, [*entries, *_folders(page, wanted)])


def versions(bucket: BucketFolder, wanted: Wanted, facts: Sequence[tuple[str, str]]) -> bytes:
    """Return a page of a listing of versions; parameters as for `keys`."""
    page = _page(bucket, wanted, every=True)
    told = [("Name", bucket.name), *_repeated(wanted), *facts]
    told.append(("IsTruncated", _bool(bool(page.onward))))
    if page.onward:
        told.append(("NextKeyMarker", wanted.text(page.last[0])))
        if page.last[1]:
            told.append(("NextVersionIdMarker", _text(page.last[1])))
    entries = (
        _entry("DeleteMarker" if one.deleted else "Version", one, wanted)
        for held in page.found
        for one in held
    )
    return _document("ListVersionsResult", told, [*entries, *_folders(page, wanted)])


def bucket_names(names: Iterable[str]) -> bytes:
    """Return the answer that lists buckets."""
    when = "<CreationDate>2006-03-01T00:00:00.000Z</CreationDate>"
    inner = "".join(f"<Bucket><Name>{_text(name)}</Name>{when}</Bucket>" for name in names)
    owner = "<Owner><ID>openallen</ID></Owner>"
    body = f"{owner}<Buckets>{inner}</Buckets>"
    return _document("ListAllMyBucketsResult", (), [body])


ABOUT_OBJECT: Final = frozenset({"acl", "attributes", "tagging"})
"""What is answered of an object beside its bytes."""
_ACL: Final = (
    "<Owner><ID>openallen</ID></Owner><AccessControlList><Grant>"
    '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group">'
    "<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee>"
    "<Permission>READ</Permission></Grant></AccessControlList>"
)


def about_bucket(query: Collection[str]) -> bytes:
    """Return what is the same of every bucket; nothing where something else is asked.

    Parameters
    ----------
    query
        Names of the parameters.
    """
    if "acl" in query:
        return _document("AccessControlPolicy", (), [_ACL])
    if "requestPayment" in query:
        return _document("RequestPaymentConfiguration", [("Payer", "BucketOwner")], ())
    return b""


def about_object(what: str, stored: Stored) -> bytes:
    """Return what is asked of an object beside its bytes.

    Parameters
    ----------
    what
        One of `ABOUT_OBJECT`.
    stored
        The object.
    """
    if what == "acl":
        return _document("AccessControlPolicy", (), [_ACL])
    if what == "tagging":
        return _document("Tagging", (), ["<TagSet></TagSet>"])
    told = [("ETag", _text(stored.etag)), ("StorageClass", "STANDARD")]
    told.append(("ObjectSize", str(stored.size_bytes)))
    return _document("GetObjectAttributesResponse", told, ())


def error(refused: S3Error) -> bytes:
    """Return the body of an error."""
    told = [("Code", refused.code), ("Message", refused.message), *refused.more.items()]
    inner = "".join(f"<{name}>{_text(_NO_XML.sub('�', value))}</{name}>" for name, value in told)
    return f"{_HEAD}<Error>{inner}<RequestId>openallen</RequestId></Error>".encode()


def token(start: str) -> str:
    """Return a continuation token: the least key of the next page, so that no state is kept."""
    import base64

    return base64.urlsafe_b64encode(start.encode("utf-8", "surrogatepass")).decode()


def _repeated(wanted: Wanted) -> list[tuple[str, str]]:
    told = [("Prefix", wanted.text(wanted.prefix)), ("MaxKeys", str(wanted.most))]
    if wanted.delimiter:
        told.append(("Delimiter", wanted.text(wanted.delimiter)))
    if wanted.as_url:
        told.append(("EncodingType", "url"))
    return told


def _entry(tag: str, one: Stored, wanted: Wanted) -> str:
    told = [("Key", wanted.text(one.key))]
    if tag != "Contents":
        told += [("VersionId", _text(one.version_id)), ("IsLatest", _bool(one.latest))]
    told.append(("LastModified", _time(one.modified)))
    if not one.deleted:
        told += [("ETag", f"&quot;{_text(one.etag)}&quot;"), ("Size", str(one.size_bytes))]
        told.append(("StorageClass", "STANDARD"))
    return f"<{tag}>{_elements(told)}</{tag}>"


def _folders(page: _Page, wanted: Wanted) -> list[str]:
    return [
        f"<CommonPrefixes><Prefix>{wanted.text(folder)}</Prefix></CommonPrefixes>"
        for folder in page.folders
    ]


def _document(root: str, told: Sequence[tuple[str, str]], inner: Iterable[str]) -> bytes:
    """Return a document; the values in `told` are escaped already."""
    return f'{_HEAD}<{root} xmlns="{_SPACE}">{_elements(told)}{"".join(inner)}</{root}>'.encode()


def _elements(told: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<{name}>{value}</{name}>" for name, value in told)


def _text(value: str) -> str:
    """Write control characters by number, as S3 does; XML 1.0 itself cannot hold them."""
    escaped = escape(value)
    return _CONTROL.sub(lambda found: f"&#{ord(found[0])};", escaped)


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _time(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"
