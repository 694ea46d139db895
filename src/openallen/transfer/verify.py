"""Verifying bytes: their kind, their number, their digest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openallen.errors import AnswerError, CorruptError, TruncatedError
from openallen.plans import RemoteFile
from openallen.store.digests import algorithm_of
from openallen.transport.sniff import SNIFF_BYTES, describe, sniff

__all__ = ["algorithm_for", "recognise", "simulated", "verify_bytes"]


def algorithm_for(file: RemoteFile, *, verify: bool) -> str:
    """Return the digest algorithm to compute while a file comes; empty where that is deferred.

    A file without a published digest is always read: the digest recorded now is the only one it
    can be compared with later.
    """
    return algorithm_of(file.digest) if verify or not file.digest else ""


def simulated(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the note an archive sends with simulated bytes."""
    return {"simulated": True} if headers.get("openallen-simulated", "") == "true" else {}


def recognise(file: RemoteFile, beginning: memoryview) -> None:
    """Check the kind of the first bytes.

    Raises
    ------
    AnswerError
        If they are not of an expected kind.
    """
    if not file.expects:
        return
    kind = sniff(beginning[:SNIFF_BYTES])
    if kind not in file.expects:
        wanted = " or ".join(describe(k) for k in sorted(file.expects))  # type: ignore[arg-type]
        raise AnswerError(
            "unexpected response",
            address=file.address,
            why=f"{describe(kind)} instead of {wanted}",
        )


def verify_bytes(file: RemoteFile, digest: str, size: int) -> None:
    """Compare size and digest with the published ones; an empty digest was not computed.

    Raises
    ------
    TruncatedError, CorruptError
        If they differ, or the file is empty and was not published so.
    """
    published = file.size_bytes
    empty = size == 0 and published != 0 and not (digest and digest == file.digest)
    if empty or (published is not None and size < published):
        raise TruncatedError(
            "too few bytes",
            address=file.address,
            why=f"{size:,} of {published:,}" if published else "none received",
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
