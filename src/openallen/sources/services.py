"""The public services that sources ask, with one small question for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from openallen.settings import Settings
from openallen.sources.service import bucket_endpoint, service_url

__all__ = ["DOCDB_URL", "VIEWS_BUCKET", "Service", "services"]

DOCDB_URL: Final = "https://api.allenneuraldynamics.org"
"""The document database of AIND's metadata."""
VIEWS_BUCKET: Final = "allen-data-views"
"""The bucket of the catalogue of AIND's assets."""
_ROW: Final = "/api/v2/data/query.json?criteria=model::Product,rma::options%5Bnum_rows$eq1%5D"
_KEY: Final = "list-type=2&encoding-type=url&max-keys=1"
_RECORD: Final = "/v2/metadata_index/data_assets/find?filter=%7B%7D&limit=1"


@dataclass(frozen=True, slots=True)
class Service:
    """A service, and a small question.

    Parameters
    ----------
    name
        What it is, in words.
    url
        The question.
    kind
        What the answer is made of.
    bucket
        The bucket that is asked for; empty where none is.
    """

    name: str
    url: str
    kind: Literal["json", "xml"]
    bucket: str = ""


def services(settings: Settings) -> tuple[Service, ...]:
    """Return the services that these settings name.

    Parameters
    ----------
    settings
        The settings.

    Raises
    ------
    UsageError
        If the source is neither a name nor a URL.
    MissingExtraError
        If it is the embedded sample, without the extra ``web``.
    """
    base, endpoint = service_url(settings.source), bucket_endpoint(settings)
    found = [Service("API of brain-map.org", f"{base}{_ROW}", "json")]
    for name, bucket in (
        ("buckets of releases", "allen-brain-observatory"),
        ("bucket of AIND's assets", "aind-open-data"),
        ("catalogue of AIND", VIEWS_BUCKET),
    ):
        place = (
            f"{endpoint}/{bucket}" if endpoint else f"https://{bucket}.s3.us-west-2.amazonaws.com"
        )
        found.append(Service(name, f"{place}/?{_KEY}", "xml", bucket))
    elsewhere = bool(settings.s3_endpoint) or settings.source != "live"
    database = settings.docdb_url or ("" if elsewhere else DOCDB_URL)
    if database:
        found.append(Service("metadata of AIND", f"{database.rstrip('/')}{_RECORD}", "json"))
    return tuple(found)
