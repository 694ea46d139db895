"""Whether bytes are what was asked for: their kind, their number, their digest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openallen.errors import AnswerError, CorruptError, TruncatedError
from openallen.plans import RemoteFile
from openallen.store.digests import algorithm_of
from openallen.transport.sniff import SNIFF_BYTES, describe, sniff

__all__ = ["algorithm_for", "recognise", "simulated", "verify_bytes"]


def algorithm_for(file: RemoteFile, *, verify: bool) -> str:
    """Give the digest to compute of a file as it comes; empty where that is put off.

    A file without a published digest is always read: what is written down of it is all there
    will ever be to compare with.
    """
    return algorithm_of(file.digest) if verify or not file.digest else ""


def simulated(headers: Mapping[str, str]) -> dict[str, Any]:
    """Give what an archive says of bytes it made up."""
    return {"simulated": True} if headers.get("openallen-simulated", "") == "true" else {}


def recognise(file: RemoteFile, beginning: memoryview) -> None:
    """Look at the first bytes.

    Raises
    ------
    AnswerError
        If they are not of a kind that was expected.
    """
    if not file.expects:
        return
    kind = sniff(beginning[:SNIFF_BYTES])
    if kind not in file.expects:
        wanted = " or ".join(describe(k) for k in sorted(file.expects))  # type: ignore[arg-type]
        raise AnswerError(
            "the service sent something else",
            address=file.address,
            why=f"{describe(kind)} instead of {wanted}",
        )


def verify_bytes(file: RemoteFile, digest: str, size: int) -> None:
    """Compare size and digest with what was published; an empty digest was not computed.

    Raises
    ------
    TruncatedError, CorruptError
        If they differ, or nothing came.
    """
    published = file.size_bytes
    if size == 0 or (published is not None and size < published):
        raise TruncatedError(
            "too few bytes",
            address=file.address,
            why=f"{size:,} of {published:,}" if published else "none came",
        )
    if published is not None and size > published:
        raise CorruptError(
            "too many bytes", address=file.address, why=f"{size:,}, not {published:,}"
        )
    if file.digest and digest and digest != file.digest:
        raise CorruptError(
            "wrong digest",
            address=file.address,
            why=f"{digest[:24]}…, not {file.digest[:24]}…",
        )
