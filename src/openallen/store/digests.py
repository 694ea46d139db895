"""Digests as ``algorithm:hex``, the way the index, manifests and plans write them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

from openallen.errors import UsageError

__all__ = ["DEFAULT_ALGORITHM", "Hasher", "algorithm_of", "digest_of", "digest_text", "new_hasher"]

DEFAULT_ALGORITHM = "sha256"
_ALGORITHMS = frozenset({"sha256", "blake2b", "md5", "sha1", "sha512"})
_BLOCK_BYTES = 1 << 20


class Hasher(Protocol):
    """What hashlib objects do."""

    def update(self, data: memoryview | bytes, /) -> None:
        """Take more bytes in."""

    def hexdigest(self) -> str:
        """Give the digest so far."""
        ...


def algorithm_of(digest: str) -> str:
    """Give the algorithm of a digest text; the default where the text is empty.

    Raises
    ------
    UsageError
        If the algorithm is not one that Allen's services publish.
    """
    name = digest.partition(":")[0] if digest else DEFAULT_ALGORITHM
    if name not in _ALGORITHMS:
        raise UsageError(f"unknown digest algorithm '{name}'", hint=", ".join(sorted(_ALGORITHMS)))
    return name


class _Unread:
    """Stands where no digest is wanted now."""

    def update(self, data: memoryview | bytes, /) -> None:
        """Let the bytes pass."""

    def hexdigest(self) -> str:
        """Give nothing."""
        return ""


def new_hasher(algorithm: str) -> Hasher:
    """Start a digest; the algorithms guard against damage, not against an attacker.

    An empty algorithm gives a hasher that lets bytes pass.
    """
    return hashlib.new(algorithm, usedforsecurity=False) if algorithm else _Unread()


def digest_text(algorithm: str, hasher: Hasher) -> str:
    """Write a finished digest; empty where none was wanted."""
    return f"{algorithm}:{hasher.hexdigest()}" if algorithm else ""


def digest_of(path: Path, algorithm: str = DEFAULT_ALGORITHM) -> str:
    """Read a file through and give its digest.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    hasher = new_hasher(algorithm)
    with path.open("rb", buffering=0) as file:
        block = memoryview(bytearray(_BLOCK_BYTES))
        while got := file.readinto(block):
            hasher.update(block[:got])
    return digest_text(algorithm, hasher)
