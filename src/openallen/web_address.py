"""Web addresses taken apart: hosts, paths, buckets and keys, in every spelling people paste.

S3 objects are named as ``s3://bucket/key``, by the host of a bucket, or by path; neuroglancer and
Zarr tools put the format in front (``zarr://s3://…``, ``zarr2://…``) or behind (``…/|zarr2:``).
All of them come out as one `WebAddress`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from openallen.errors import AddressError

__all__ = ["WebAddress", "is_web"]

_FORMAT: Final = re.compile(r"(?:zarr[23]?|n5|precomputed|ome-zarr)://(?=\w+://)", re.IGNORECASE)
_PIPELINE: Final = re.compile(r"\|[\w-]+:.*$")
_SCHEME: Final = re.compile(r"(?:https?|s3)://", re.IGNORECASE)
_VIRTUAL: Final = re.compile(r"(?P<bucket>[a-z0-9.-]+?)\.s3[.-](?:[a-z0-9-]+\.)*amazonaws\.com")
_BY_PATH: Final = re.compile(r"s3[.-](?:[a-z0-9-]+\.)*amazonaws\.com")
_REGION: Final = re.compile(
    r"s3[.-](?:dualstack\.)?(?P<region>[a-z]{2}-[a-z-]+-\d)\.amazonaws\.com$"
)


def is_web(text: str) -> bool:
    """Return whether a text is a web address: http, https or s3, with or without a format."""
    return _SCHEME.match(_FORMAT.sub("", text.strip(), count=1)) is not None


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A web address, taken apart.

    Parameters
    ----------
    text
        The address without the marks of a format.
    scheme, host
        In lower case.
    path
        Percent-decoded, with single slashes, beginning with one.
    query
        Names and values, in order.
    bucket, key, version_id
        The S3 object it names; `bucket` is empty where it names none. A key that ends with a
        slash is a prefix.
    region
        The AWS region in the host; empty where it names none.
    """

    text: str
    scheme: str
    host: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    bucket: str = ""
    key: str = ""
    version_id: str = ""
    region: str = ""

    @classmethod
    def parse(cls, text: str) -> WebAddress:
        """Read a web address.

        Raises
        ------
        AddressError
            If it is not one.
        """
        plain = _PIPELINE.sub("", _FORMAT.sub("", text.strip(), count=1))
        if _SCHEME.match(plain) is None:
            raise AddressError(f"'{text}' is not a web address")
        try:
            plain.encode()
            url = urlsplit(plain)
            _ = url.port
        except ValueError as error:
            raise AddressError("not a web address", address=text, why=str(error)) from None
        scheme, host = url.scheme.lower(), (url.hostname or "").lower()
        path = unquote(url.path)
        query = tuple(parse_qsl(url.query, keep_blank_values=True))
        bucket, key, region = _bucket(scheme, host, url.netloc, path)
        if bucket and url.fragment and not query and not url.fragment.startswith("!"):
            # In a key a number sign is a character like any other: S3 knows no fragments.
            more = f"#{unquote(url.fragment)}"
            path, key = path + more, key + more
        return cls(
            text=plain,
            scheme=scheme,
            host=host,
            path=re.sub("/{2,}", "/", path) or "/",
            query=query,
            bucket=bucket,
            key=key,
            version_id=dict(query).get("versionId", ""),
            region=region,
        )

    @property
    def is_s3(self) -> bool:
        """Whether it is an ``s3://`` address, which no HTTP client reads as it stands."""
        return self.text.lower().startswith("s3://")

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the key, without empty ones."""
        return tuple(part for part in self.key.split("/") if part)


def _bucket(protocol: str, host: str, netloc: str, path: str) -> tuple[str, str, str]:
    """Return bucket, key and region; empty texts where the address is not of S3."""
    key = path.removeprefix("/")
    region = found["region"] if (found := _REGION.search(host)) else ""
    if protocol == "s3":
        return netloc, key, ""
    virtual = _VIRTUAL.fullmatch(host)
    if virtual:
        return virtual["bucket"], key, region
    if _BY_PATH.fullmatch(host):
        bucket, _, key = key.partition("/")
        return bucket, key, region
    return "", "", ""
