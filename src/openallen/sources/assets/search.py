"""Where the catalogue of assets comes from: four places, the best that answers.

The copy on this machine; the public Parquet catalogue, made anew each night; the document database
of metadata, version 2 and then 1; and the bucket itself, whose folders have telling names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from openallen.errors import (
    AnswerError,
    IntegrityError,
    MissingExtraError,
    NotFoundError,
    OfflineError,
    OpenAllenError,
    ServiceError,
    StatusError,
    UsageError,
    requiring,
)
from openallen.json_text import load_json
from openallen.sources.assets.catalogues import Catalogue, row_of_name
from openallen.sources.assets.names import parse_name
from openallen.sources.assets.record import PUBLIC_BUCKET, Record
from openallen.sources.services import DOCDB_URL
from openallen.transport import Http, Retry
from openallen.transport.s3 import Bucket

__all__ = ["DOCDB_URL", "SOURCES", "Places", "docdb_records", "load_catalogue"]

SOURCES: Final = ("parquet", "docdb", "bucket")
"""Where a catalogue can be asked for, best first."""

_AGE: Final = timedelta(days=7)
_CACHE: Final = "data-asset-cache/"
_PAGE_ROWS: Final = 1000
_LIMIT_BYTES: Final = 512 << 20
_PROJECTION: Final = {
    "name": 1, "location": 1, "subject.subject_id": 1, "session.session_start_time": 1,
    "acquisition.acquisition_start_time": 1, "acquisition.session_start_time": 1,
    **{
        f"data_description.{field}": 1
        for field in (
            "name", "data_level", "modality", "modalities", "platform", "experiment_type",
            "project_name", "input_data_name", "source_data", "related_data", "creation_time",
            "creation_date", "subject_id",
        )
    },
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Places:
    """What a catalogue is asked of.

    Parameters
    ----------
    assets, views
        The bucket of assets, and the bucket of the Parquet catalogue.
    http
        Who asks the document database.
    docdb_url
        Base URL of the document database; empty to leave it out.
    retry
        When to ask again.
    """

    assets: Bucket
    views: Bucket
    http: Http
    docdb_url: str = DOCDB_URL
    retry: Retry


def load_catalogue(
    places: Places,
    folder: Path,
    *,
    refresh: bool = False,
    sources: tuple[str, ...] = SOURCES,
    tell: Callable[[str], object] = lambda _: None,
) -> Catalogue:
    """Return the catalogue: the copy in `folder` if at most a week old, else a new one.

    Parameters
    ----------
    places
        What to ask.
    folder
        Where the copy is stored.
    refresh
        Download it even if the copy is recent.
    sources
        What may be asked, in this order.
    tell
        Called with the source that answered, and why others did not.

    Raises
    ------
    OfflineError
        If there is no copy, and no network.
    ServiceError
        If no source answers, with the reason of each.
    """
    kept: Catalogue | None = None
    try:
        kept = Catalogue(folder)
    except (NotFoundError, IntegrityError):
        refresh = True
    if kept is not None and kept.about.get("bucket") != places.assets.url():
        kept = None  # of another bucket: a mirror's, a test's
    if kept is not None and not refresh and _young(kept):
        return kept
    reasons: list[str] = []
    for source in sources:
        try:
            rows, about = _ASK[source](places)
            told = {"source": about, "bucket": places.assets.url()}
            found = Catalogue.write(folder, rows, told)
        except (OpenAllenError, ValueError, KeyError) as error:
            if isinstance(error, (MissingExtraError, UsageError)):
                raise
            reasons.append(f"{source}: {_short(error)}")
            continue
        unavailable = f" ({'; '.join(reasons)})" if reasons else ""
        tell(f"{len(found):,} assets from {about}{unavailable}")
        return found
    if kept is not None:
        tell(f"using the cached copy of {kept.about.get('asked')} ({'; '.join(reasons)})")
        return kept
    offline = any("offline" in reason for reason in reasons)
    kind = OfflineError if offline else ServiceError
    raise kind("no catalogue of assets available", address="asset:", why="; ".join(reasons))


def _short(error: Exception) -> str:
    what = error.what if isinstance(error, OpenAllenError) else repr(error)
    why = error.why if isinstance(error, OpenAllenError) else ""
    return f"{what} ({why[:80]})" if why else what


def _young(kept: Catalogue) -> bool:
    asked = kept.asked
    return asked is not None and datetime.now(UTC) - asked < _AGE


Rows = list[dict[str, Any]]


# --- the public Parquet catalogue -----------------------------------------------------------------


def _from_parquet(places: Places) -> tuple[Rows, str]:
    import io

    with requiring("the catalogue of assets", "tables"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    bucket = places.views
    folder = _newest(bucket)
    key = _place_of(bucket, folder, "asset_basics")
    body = bucket.read(key, limit_bytes=_LIMIT_BYTES)
    try:
        table = pq.read_table(io.BytesIO(body))
    except pa.ArrowException as error:
        raise AnswerError("not valid Parquet", address=bucket.url(key), why=str(error)) from error
    if "name" not in table.column_names:
        raise AnswerError("a catalogue without names", address=bucket.url(key))
    sources = _source_names(bucket, folder)
    rows = [_basic(row, sources) for row in table.to_pylist() if row.get("name")]
    return rows, f"the public catalogue {folder.rstrip('/')}"


def _newest(bucket: Bucket) -> str:
    """Find the newest folder: what the index of versions names, else what is listed."""
    named: set[str] = set()
    try:
        told = bucket.read(f"{_CACHE}cache_versions.json").decode("utf-8", "replace")
        named = set(re.findall(r"\b(?:bdc|zs)-v\d+(?:\.\d+)*", told))
    except OpenAllenError:
        pass
    if not named:
        listed = (folder.removeprefix(_CACHE).rstrip("/") for folder in bucket.folders(_CACHE))
        named = {folder for folder in listed if re.fullmatch(r"(bdc|zs)-v\d+(\.\d+)*", folder)}
    if not named:
        raise NotFoundError("no public catalogue", address=bucket.url(_CACHE))
    return _CACHE + max(named, key=_version) + "/"


def _version(folder: str) -> tuple[bool, list[int]]:
    kind, _, number = folder.partition("-v")
    return kind == "bdc", [int(part) for part in number.split(".")]


def _place_of(bucket: Bucket, folder: str, table: str) -> str:
    """Return the key of a table: by the registry, else the usual one."""
    try:
        told = load_json(bucket.read(f"{folder}cache_registry/{table}.json"))
        location = str(told["location"])
    except (OpenAllenError, ValueError, KeyError, TypeError):
        return f"{folder}{table}.pqt"
    key = re.sub(rf"^s3://{re.escape(bucket.name)}/", "", location)
    return key if key.startswith(_CACHE) else f"{folder}{key.rpartition('/')[2]}"


def _source_names(bucket: Bucket, folder: str) -> dict[str, list[str]]:
    """Read what was made from what; a catalogue without that table is a catalogue all the same."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        body = bucket.read(_place_of(bucket, folder, "source_data"), limit_bytes=_LIMIT_BYTES)
        rows = pq.read_table(io.BytesIO(body)).to_pylist()
    except (OpenAllenError, pa.ArrowException):
        return {}
    found: dict[str, list[str]] = {}
    for row in rows:
        told = _texts(row.get("source_data"))
        if row.get("name") and told:
            found[str(row["name"])] = told
    return found


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else []


def _basic(row: Mapping[str, Any], sources: Mapping[str, list[str]]) -> dict[str, Any]:
    """Make a row of ours from a row of ``asset_basics``; what it lacks, the name tells."""
    name, location = str(row["name"]), str(row.get("location") or "")
    made = row_of_name(name, location)
    modalities = _texts(row.get("modalities"))
    start = row.get("acquisition_start_time")
    told = {
        "level": row.get("data_level"),
        "modalities": modalities,
        "subject_id": row.get("subject_id"),
        "acquired": start,
        "created": row.get("process_date"),
        "project": row.get("project_name"),
        "sources": sources.get(name),
        "public": location.startswith(f"s3://{PUBLIC_BUCKET}/") if location else None,
    }
    return made | {key: value for key, value in told.items() if value not in (None, "", [])}


# --- the document database ------------------------------------------------------------------------


def docdb_records(
    http: Http,
    base_url: str,
    version: str = "v2",
    *,
    filter: Mapping[str, Any] | None = None,  # noqa: A002 - the service's own word
    projection: Mapping[str, int] | None = None,
    page_rows: int = _PAGE_ROWS,
    retry: Retry | None = None,
) -> Iterator[dict[str, Any]]:
    """Return records of the document database, in the order of their ids.

    Pages follow each other by id, so that nothing written meanwhile is passed over or comes twice.
    A page that is too large (413) is asked for in halves; one that is short says nothing about the
    end, only an empty one does.

    Raises
    ------
    AnswerError
        If an answer is no list of records.
    ServiceError
        If the service cannot be used.
    """
    last = ""
    rows = page_rows
    retry = retry or Retry()
    while True:
        wanted: dict[str, Any] = dict(filter or {})
        if last:
            wanted["_id"] = {"$gt": last}
        asked = {"filter": wanted, "projection": projection or {}, "sort": {"_id": 1}}
        text = "&".join(f"{k}={quote(json.dumps(v), safe='')}" for k, v in asked.items() if v)
        url = f"{base_url}/{version}/metadata_index/data_assets/find?{text}&limit={rows}"
        try:
            page = retry.run(lambda url=url: _page(http, url))  # type: ignore[misc]
        except StatusError as error:
            if error.status != 413 or rows == 1:
                raise
            rows = max(1, rows // 2)
            continue
        if not page:
            return
        ids = [str(record.get("_id") or "") for record in page]
        if min(ids) <= last:  # no ids, or the filter was not obeyed: it would never end
            raise AnswerError(
                "unexpected records",
                address=url,
                why=f"id '{min(ids)}' after '{last}'",
            )
        yield from page
        last = max(ids)


def _page(http: Http, url: str) -> list[dict[str, Any]]:
    with http.get(url, compressed=True) as response:
        body = response.read(_LIMIT_BYTES)
    try:
        told = load_json(body)
    except ValueError as error:
        raise AnswerError("not valid JSON", address=url, why=str(body[:60])) from error
    if not isinstance(told, list) or not all(isinstance(item, dict) for item in told):
        raise AnswerError("not a list of records", address=url, why=str(told)[:80])
    return told


def _from_docdb(places: Places) -> tuple[Rows, str]:
    if not places.docdb_url:
        raise NotFoundError("no document database")
    reasons = []
    for version in ("v2", "v1"):
        told = docdb_records(
            places.http,
            places.docdb_url,
            version,
            projection=_PROJECTION,
            retry=places.retry,
        )
        try:
            rows = [Record(raw).to_row() for raw in told if raw.get("name")]
        except ServiceError as error:
            reasons.append(f"{version}: {error.what}")
            continue
        if rows:
            return rows, f"the document database ({version})"
        reasons.append(f"{version}: no records")
    raise ServiceError("the document database does not respond", why="; ".join(reasons))


# --- the bucket -----------------------------------------------------------------------------------


def _from_bucket(places: Places) -> tuple[Rows, str]:
    bucket = places.assets
    rows = []
    for folder in bucket.folders():
        name = folder.rstrip("/")
        if parse_name(name).level == "unknown":
            continue  # folders that are no assets
        rows.append(row_of_name(name, f"s3://{bucket.name}/{name}", public=True))
    if not rows:
        raise NotFoundError("no assets", address=bucket.url())
    return rows, f"folder names in {bucket.name}"


_ASK: Final[Mapping[str, Callable[[Places], tuple[Rows, str]]]] = {
    "parquet": _from_parquet,
    "docdb": _from_docdb,
    "bucket": _from_bucket,
}
