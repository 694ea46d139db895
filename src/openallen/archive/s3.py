"""S3's read calls for the buckets of an archive: what clients of S3 need to list and to read.

A bucket is addressed by path, below ``/s3`` or directly (``/s3/NAME/KEY``, ``/NAME/KEY``), or by
host (``http://NAME.localhost:PORT/KEY``). Signatures are not looked at: everything is public.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from openallen.archive import s3_xml
from openallen.archive.buckets import NO_VERSION, BucketFolder, Buckets, Stored, successor
from openallen.archive.parts import UnsatisfiableError, file_part, span
from openallen.archive.s3_xml import S3Error, Wanted
from openallen.errors import CorruptError
from openallen.serving import App, BusyError, Gate, GoneError
from openallen.serving.asgi import Receive, Scope, Send

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["bucket_of_host", "is_for_buckets", "s3_app"]

REGION: Final = "us-west-2"
_HOST: Final = re.compile(r"([a-z0-9][a-z0-9._-]*)\.localhost(:\d{1,5})?", re.IGNORECASE)
_PAGE_KEYS: Final = 1000
_IGNORED: Final = frozenset({"x-id", "allow-unordered", "fetch-owner"})
_LISTED: Final = frozenset({
    "list-type", "prefix", "delimiter", "max-keys", "encoding-type", "start-after",
    "continuation-token", "marker", "versions", "key-marker", "version-id-marker",
})  # fmt: skip


def is_for_buckets(scope: Scope, services: Collection[str]) -> bool:
    """Return whether a request is one of S3, not one of the institute's services.

    Parameters
    ----------
    scope
        The request.
    services
        The first parts of the paths of services: no bucket is called so.
    """
    if scope["type"] != "http":
        return False
    first = "".join(scope["path"].split("/")[1:2])
    return bool(bucket_of_host(scope)) or first not in services


def s3_app(buckets: Buckets) -> App:
    """Return the app that answers for buckets.

    Parameters
    ----------
    buckets
        What it answers from.
    """
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import Request
        from starlette.responses import Response

        request = Request(scope, receive)
        try:
            if _is_ready(buckets, scope):
                answer = _answer(buckets, request)
            else:
                answer = await gate.run(request, lambda _: _answer(buckets, request))
        except BusyError:
            busy = S3Error(503, "SlowDown", "Please reduce your request rate.")
            answer = _xml(s3_xml.error(busy), 503, {"retry-after": "2"})
        except GoneError:
            answer = Response(status_code=499)
        await answer(scope, receive, send)

    return app


def _is_ready(buckets: Buckets, scope: Scope) -> bool:
    """Return whether a request is of an object that is looked up at once.

    Another thread would take longer to take over, above all while others list long pages; only an
    index that has changed takes long to read.
    """
    name = bucket_of_host(scope)
    path = scope["path"].removeprefix("/")
    first, _, key = path.removeprefix("s3/").partition("/")
    bucket = buckets.find(name or first)
    return bucket is not None and bool(path if name else key) and bucket.is_current()


def _answer(buckets: Buckets, request: Request) -> Response:
    try:
        return _answered(buckets, request)
    except S3Error as refused:
        body = b"" if request.method == "HEAD" else s3_xml.error(refused)
        headers = {"x-amz-delete-marker": "true"} if refused.marked else {}
        if request.method not in {"GET", "HEAD"}:  # a body may come that nobody reads
            headers["connection"] = "close"
        return _xml(body, refused.status, headers)
    except CorruptError as error:
        return _xml(s3_xml.error(S3Error(500, "InternalError", buckets.said(error))), 500, {})


def _answered(buckets: Buckets, request: Request) -> Response:
    asked = _Asked.of(request)
    if request.method not in {"GET", "HEAD"}:
        raise S3Error(405, "MethodNotAllowed", "This archive is read only.", Method=request.method)
    if not asked.bucket:
        return _xml(s3_xml.bucket_names(buckets.names()), 200, {})
    bucket = buckets.find(asked.bucket)
    if bucket is None:
        held = ", ".join(buckets.names()) or "no buckets"
        raise S3Error(
            404, "NoSuchBucket", f"The specified bucket does not exist; this archive has {held}.",
            BucketName=asked.bucket,
        )  # fmt: skip
    if asked.key:
        return _object(bucket, asked)
    if request.method == "HEAD":
        return _xml(b"", 200, {})
    return _of_bucket(bucket, asked)


@dataclass(frozen=True)
class _Asked:
    """A request: bucket, key, parameters, headers."""

    bucket: str
    key: str
    method: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @classmethod
    def of(cls, request: Request) -> _Asked:
        path, bucket = request.scope["path"].removeprefix("/"), bucket_of_host(request.scope)
        if bucket:
            key = path
        else:
            path = path.removeprefix("s3/") if path != "s3" else ""
            bucket, _, key = path.partition("/")
        try:
            query = dict(parse_qsl(
                request.url.query, keep_blank_values=True, errors="strict", max_num_fields=50
            ))  # fmt: skip
        except ValueError as error:
            raise S3Error(400, "InvalidURI", "Couldn't parse the specified URI.") from error
        # Signed and anonymous requests are one: everything in an archive is public.
        kept = {k: v for k, v in query.items() if not k.lower().startswith("x-amz-")}
        kept = {k: v for k, v in kept.items() if k not in _IGNORED}
        return cls(bucket, key, request.method, kept, request.headers)


def bucket_of_host(scope: Scope) -> str:
    """Return the bucket that the host names; empty where it names none.

    Parameters
    ----------
    scope
        The request.
    """
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    return found[1].lower() if found else ""


# --- of a bucket ----------------------------------------------------------------------------------


def _of_bucket(bucket: BucketFolder, asked: _Asked) -> Response:
    query = asked.query
    if "location" in query:
        space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
        text = f"<LocationConstraint {space}>{REGION}</LocationConstraint>"
        return _xml(text.encode(), 200, {})
    if "versioning" in query:
        status = "<Status>Enabled</Status>" if bucket.versioned else ""
        text = f"<VersioningConfiguration>{status}</VersioningConfiguration>"
        return _xml(text.encode(), 200, {})
    fixed = s3_xml.about_bucket(query)
    if fixed:
        return _xml(fixed, 200, {})
    strange = sorted(set(query) - _LISTED)
    if strange:
        raise _not_there(strange[0])
    if "versions" in query:
        return _xml(_versions(bucket, query), 200, {})
    if query.get("list-type", "1") == "2":
        return _xml(_second(bucket, query), 200, {})
    if query.get("list-type", "1") != "1":
        raise _invalid("list-type", query["list-type"])
    return _xml(_first(bucket, query), 200, {})


def _second(bucket: BucketFolder, query: Mapping[str, str]) -> bytes:
    """List keys by the second version of the call."""
    facts, start = [], ""
    after = query.get("start-after", "")
    wanted = _wanted(query)
    if after:
        facts.append(("StartAfter", wanted.text(after)))
        start = after + "\0"
    if "continuation-token" in query:
        given = query["continuation-token"]
        facts.append(("ContinuationToken", given))
        start = _start_of(given)
    return s3_xml.keys(bucket, _wanted(query, start), facts)


def _first(bucket: BucketFolder, query: Mapping[str, str]) -> bytes:
    """List keys by the first version of the call."""
    marker = query.get("marker", "")
    wanted = _wanted(query, _behind(marker, query.get("delimiter", "")))
    return s3_xml.keys(bucket, wanted, [("Marker", wanted.text(marker))], marker="NextMarker")


def _versions(bucket: BucketFolder, query: Mapping[str, str]) -> bytes:
    marker, version = query.get("key-marker", ""), query.get("version-id-marker", "")
    if version and not marker:
        raise _invalid("version-id-marker", version)
    start = marker if version else _behind(marker, query.get("delimiter", ""))
    wanted = _wanted(query, start, version)
    facts = [("KeyMarker", wanted.text(marker)), ("VersionIdMarker", wanted.text(version))]
    return s3_xml.versions(bucket, wanted, facts)


def _wanted(query: Mapping[str, str], start: str = "", after_version: str = "") -> Wanted:
    text = query.get("max-keys", "") or str(_PAGE_KEYS)
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        raise _invalid("max-keys", text)
    encoding = query.get("encoding-type", "")
    if encoding not in {"", "url"}:
        raise _invalid("encoding-type", encoding)
    return Wanted(
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        start=start,
        most=min(int(text), _PAGE_KEYS),
        as_url=encoding == "url",
        after_version=after_version,
    )


def _behind(marker: str, delimiter: str) -> str:
    """Return the least key behind a marker; one that is a folder stands for all that is in it."""
    if not marker:
        return ""
    return successor(marker) if delimiter and marker.endswith(delimiter) else marker + "\0"


def _start_of(token: str) -> str:
    try:
        found = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        return found.decode("utf-8", "surrogatepass")
    except (ValueError, binascii.Error) as error:
        raise S3Error(
            400, "InvalidArgument", "The continuation token provided is incorrect",
            ArgumentName="continuation-token", ArgumentValue=token[:200],
        ) from error  # fmt: skip


# --- of an object ---------------------------------------------------------------------------------


def _object(bucket: BucketFolder, asked: _Asked) -> Response:
    # A presigned request may say how its answer is to be headed; it is data all the same.
    wanted = {name for name in asked.query if not name.startswith("response-")}
    strange = sorted(wanted - {"versionId", "partNumber", *s3_xml.ABOUT_OBJECT})
    if strange:
        raise _not_there(strange[0])
    stored = _version(bucket, asked.key, asked.query.get("versionId"))
    about = sorted(wanted & s3_xml.ABOUT_OBJECT)
    if about:
        return _xml(s3_xml.about_object(about[0], stored), 200, _told(bucket, stored))
    return _body(bucket, stored, asked)


def _body(bucket: BucketFolder, stored: Stored, asked: _Asked) -> Response:
    """Return an object, or the part of it that is asked for."""
    headers = _told(bucket, stored)
    headers |= {"etag": f'"{stored.etag}"', "accept-ranges": "bytes"}
    headers |= {"content-type": "binary/octet-stream", "x-amz-bucket-region": REGION}
    unchanged = _unchanged(asked.headers, stored)
    if unchanged:
        return _plain(unchanged, headers)
    part = _span(asked.headers, stored) or _part(asked.query.get("partNumber"), stored)
    begin, end = part or (0, stored.size_bytes)
    if part is not None:
        headers["content-range"] = f"bytes {begin}-{end - 1}/{stored.size_bytes}"
    status = 200 if part is None else 206
    headers["content-length"] = str(end - begin)
    if asked.method == "HEAD":
        return _plain(status, headers)
    try:
        return file_part(bucket.open(stored), begin, end, status, headers)
    except OSError as error:
        raise _no_key(asked.key) from error


def _told(bucket: BucketFolder, stored: Stored) -> dict[str, str]:
    told = {"last-modified": format_datetime(stored.modified, usegmt=True)}
    return told | ({"x-amz-version-id": stored.version_id} if bucket.versioned else {})


def _part(number: str | None, stored: Stored) -> tuple[int, int] | None:
    """Return the part of a number: the first is the whole; how it was uploaded is not known."""
    if number is None:
        return None
    if number != "1":
        raise S3Error(416, "InvalidPartNumber", "The requested partnumber is not satisfiable")
    return (0, stored.size_bytes) if stored.size_bytes else None


def _version(bucket: BucketFolder, key: str, wanted: str | None) -> Stored:
    """Return the version that is asked for, else the newest."""
    held = bucket.versions(key)
    if wanted is None:
        if not held or not held[0].latest:
            raise _no_key(key)
        if held[0].deleted:
            raise _no_key(key, marked=True)
        return held[0]
    found = next((one for one in held if one.version_id == wanted), None)
    if found is None and held and held[0].version_id == NO_VERSION == wanted:
        found = held[0]
    if found is None:
        raise S3Error(
            404, "NoSuchVersion", "The specified version does not exist.",
            Key=key, VersionId=wanted,
        )  # fmt: skip
    if found.deleted:
        refused = S3Error(405, "MethodNotAllowed", "This version is a delete marker.", Key=key)
        refused.marked = True
        raise refused
    return found


def _unchanged(headers: Mapping[str, str], stored: Stored) -> int:
    """Return the status where conditions say that no bytes are wanted; else 0."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is not None:
        if not _tagged(match, stored):
            raise _failed("If-Match")
    elif (since := _date(headers.get("if-unmodified-since"))) is not None and since < (
        stored.modified.replace(microsecond=0).timestamp()
    ):
        raise _failed("If-Unmodified-Since")
    if none_match is not None:
        return 304 if _tagged(none_match, stored) else 0
    since = _date(headers.get("if-modified-since"))
    whole = stored.modified.replace(microsecond=0).timestamp()
    return 304 if since is not None and whole <= since else 0


def _tagged(told: str, stored: Stored) -> bool:
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in told.split(",")}
    return "*" in tags or stored.etag in tags


def _date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, TypeError, OverflowError):
        return None


def _span(headers: Mapping[str, str], stored: Stored) -> tuple[int, int] | None:
    """Return where the bytes that are wanted begin and end; None for what is no range."""
    if not _still(headers, stored):
        return None
    try:
        return span(headers.get("range", ""), stored.size_bytes)
    except UnsatisfiableError as error:
        raise S3Error(
            416, "InvalidRange", "The requested range is not satisfiable",
            RangeRequested=headers["range"], ActualObjectSize=str(stored.size_bytes),
        ) from error  # fmt: skip


def _still(headers: Mapping[str, str], stored: Stored) -> bool:
    """Return whether a range is of the object that the client has parts of."""
    told = headers.get("if-range")
    if told is None:
        return True
    since = _date(told)
    whole = stored.modified.replace(microsecond=0).timestamp()
    return _tagged(told, stored) if since is None else whole <= since


# --- answers --------------------------------------------------------------------------------------


def _xml(body: bytes, status: int, headers: Mapping[str, str]) -> Response:
    from starlette.responses import Response

    told = {"x-amz-bucket-region": REGION, **headers}
    return Response(body, status, headers=told, media_type="application/xml")


def _plain(status: int, headers: Mapping[str, str]) -> Response:
    from starlette.responses import Response

    return Response(status_code=status, headers=dict(headers))


def _no_key(key: str, *, marked: bool = False) -> S3Error:
    found = S3Error(404, "NoSuchKey", "The specified key does not exist.", Key=key)
    found.marked = marked
    return found


def _not_there(what: str) -> S3Error:
    return S3Error(
        501, "NotImplemented", "This archive answers calls that list and read only.", Header=what
    )


def _invalid(name: str, value: str) -> S3Error:
    return S3Error(
        400, "InvalidArgument", f"The value of {name} is not allowed.",
        ArgumentName=name, ArgumentValue=value[:200],
    )  # fmt: skip


def _failed(condition: str) -> S3Error:
    return S3Error(
        412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold",
        Condition=condition,
    )  # fmt: skip
