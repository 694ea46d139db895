"""Calls of boto3, with errors as ours: no credentials, no bucket, denied, unreachable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from openallen.errors import (
    NotFoundError,
    OpenAllenError,
    RefusedError,
    ServiceError,
    UnreachableError,
    UsageError,
    requiring,
)

__all__ = ["Prefix", "aws_errors", "client_for"]

_DENIED: Final = frozenset({
    "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken",
    "AllAccessDisabled", "Forbidden",
})  # fmt: skip
_MISSING: Final = frozenset({"NoSuchBucket", "404"})


@dataclass(frozen=True, slots=True)
class Prefix:
    """Where in an S3-compatible store a mirror is.

    Parameters
    ----------
    bucket
        The bucket.
    prefix
        What keys begin with: empty, or with a slash at its end.
    """

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Prefix:
        """Read ``s3://BUCKET/PREFIX``.

        Raises
        ------
        UsageError
            If it is none.
        """
        bucket, _, inside = text[5:].partition("/")
        parts = [part for part in inside.split("/") if part]
        if not text.lower().startswith("s3://") or not bucket or "?" in text or ".." in parts:
            raise UsageError("not a place in S3", address=text, hint="--to s3://BUCKET/PREFIX")
        return cls(bucket, "".join(f"{part}/" for part in parts))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def client_for(endpoint_url: str = "") -> Any:
    """Return a client of S3: credentials, profile and endpoint are those of the environment.

    Parameters
    ----------
    endpoint_url
        The server; that of the environment, or AWS, where empty.

    Raises
    ------
    MissingExtraError
        Without the extra ``s3``.
    """
    with requiring("a mirror in S3", "s3"):
        import boto3
        from botocore.config import Config
    # Names of buckets become hosts only at AWS: elsewhere nobody resolves them.
    with aws_errors(endpoint_url or "S3"):
        # A session of its own: the one that boto3 shares keeps credentials that were changed since.
        session = boto3.session.Session()
        found = session.client("s3", endpoint_url=endpoint_url or None)
        plain = found.meta.endpoint_url.endswith(".amazonaws.com")
        style = "auto" if plain else "path"
        config = Config(
            s3={"addressing_style": style}, retries={"mode": "standard", "max_attempts": 4},
            connect_timeout=10, read_timeout=60, max_pool_connections=16,
        )  # fmt: skip
        return session.client("s3", endpoint_url=endpoint_url or None, config=config)


@contextmanager
def aws_errors(address: str) -> Iterator[None]:
    """Raise errors of botocore as ours.

    Parameters
    ----------
    address
        What was asked for.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error, ValueError) as error:
        raise _ours(error, address) from error


def _ours(error: Exception, address: str) -> OpenAllenError:
    from botocore import exceptions as aws

    why = " ".join(str(error).split())[:300]
    inner = error.__context__
    if not isinstance(error, aws.ClientError) and isinstance(inner, aws.ClientError):
        error = inner  # boto3 wraps what an upload failed with
    credentials = (aws.NoCredentialsError, aws.PartialCredentialsError, aws.ProfileNotFound)
    if isinstance(error, (*credentials, aws.CredentialRetrievalError)):
        return RefusedError(
            "no credentials for S3",
            address=address,
            why=why,
            hint="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if isinstance(error, aws.ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _MISSING:
            return NotFoundError(
                "no such bucket", address=address, why=why, hint="make the bucket first"
            )
        if code in _DENIED:
            return RefusedError(
                "denied", address=address, why=why, hint="ask the owner of the bucket for access"
            )
        return ServiceError("the store refuses", address=address, why=why)
    if isinstance(error, ValueError):
        hint = "--endpoint-url http://HOST:PORT"
        return UsageError("not an S3 endpoint", address=address, why=why, hint=hint)
    return UnreachableError("the store cannot be reached", address=address, why=why)
