"""What URLs ask for, whatever host answers: an object of a bucket, or a path of the services.

A mirror is served under another address than the one it was made from, so what it keeps is named
by what was asked: ``s3://BUCKET/KEY?versionId=V``, or ``/PATH?QUERY`` of brain-map.org, with the
parameters in the order of their names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from openallen.errors import OpenAllenError
from openallen.web_address import WebAddress

__all__ = ["Asked", "Origin", "canonical_query"]

_HOSTS: Final = ("brain-map.org", "alleninstitute.org")
_LISTINGS: Final = frozenset({"list-type", "versions", "prefix", "delimiter", "location"})


def canonical_query(query: str) -> str:
    """Return the parameters of a URL decoded, encoded again, and in the order of their names.

    Parameters
    ----------
    query
        What follows the question mark.
    """
    pairs = sorted(parse_qsl(query, keep_blank_values=True), key=lambda pair: pair[0])
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one URL asks for.

    Parameters
    ----------
    bucket, key, version_id
        The object, or what is listed, where it is of a bucket.
    path, query
        Of the services, where it is not: the path decoded, the parameters as `canonical_query`
        has them.
    listing
        Whether it asks a bucket for a listing.
    """

    bucket: str = ""
    key: str = ""
    version_id: str = ""
    path: str = ""
    query: str = ""
    listing: bool = False

    @property
    def name(self) -> str:
        """What it is called in the ledger."""
        if self.bucket:
            version = f"?versionId={quote(self.version_id, safe='')}" if self.version_id else ""
            return f"s3://{self.bucket}/{quote(self.key)}{version}"
        return quote(self.path) + (f"?{self.query}" if self.query else "")


class Origin:
    """The services that a mirror is made from.

    Parameters
    ----------
    base
        Base URL of the services.
    endpoint
        Base URL of the server that has the buckets; empty for S3 itself.
    """

    def __init__(self, base: str, endpoint: str) -> None:
        self.base = base.rstrip("/")
        self._endpoint = endpoint.rstrip("/")

    def asked(self, url: str) -> Asked | None:
        """Return what a URL asks for; None for a host that is neither S3 nor the institute's."""
        if self._endpoint and url.startswith(f"{self._endpoint}/"):
            return _of_bucket(url.removeprefix(f"{self._endpoint}/"))
        if url.startswith(f"{self.base}/"):
            return _of_services(url)
        try:
            web = WebAddress.parse(url)
        except OpenAllenError:
            return None
        if web.bucket:
            listing = bool(_LISTINGS & {name for name, _ in web.query})
            return Asked(web.bucket, web.key, web.version_id, listing=listing)
        ours = any(web.host == host or web.host.endswith(f".{host}") for host in _HOSTS)
        return _of_services(url) if ours else None


def _of_services(url: str) -> Asked:
    parts = urlsplit(url)
    return Asked(path=unquote(parts.path), query=canonical_query(parts.query))


def _of_bucket(text: str) -> Asked:
    path, _, query = text.partition("?")
    bucket, _, key = path.partition("/")
    given = dict(parse_qsl(query, keep_blank_values=True))
    listing = not key and bool(_LISTINGS & given.keys())
    return Asked(bucket, unquote(key), given.get("versionId", ""), listing=listing)
