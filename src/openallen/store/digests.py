"""Digests as ``algorithm:hex``, the way the index, manifests and plans write them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Protocol

from openallen.errors import UsageError

__all__ = ["DEFAULT_ALGORITHM", "Hasher", "algorithm_of", "digest_of", "digest_text", "new_hasher"]

DEFAULT_ALGORITHM = "sha256"
_ALGORITHMS = frozenset({"sha256", "blake2b", "md5", "sha1", "sha512"})
_BLOCK_BYTES = 1 << 20
_LEAST_BYTES = 1 << 12


class Hasher(Protocol):
    """The interface of hashlib objects."""

    def update(self, data: memoryview | bytes, /) -> None:
        """Add bytes."""

    def hexdigest(self) -> str:
        """Return the digest so far."""
        ...


def algorithm_of(digest: str) -> str:
    """Return the algorithm of a digest text; the default where the text is empty.

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
    """Takes the place of a hasher where no digest is computed."""

    def update(self, data: memoryview | bytes, /) -> None:
        """Ignore the bytes."""

    def hexdigest(self) -> str:
        """Return the empty text."""
        return ""


def new_hasher(algorithm: str) -> Hasher:
    """Return a new hasher; the algorithms guard against damage, not against an attacker.

    An empty algorithm gives a hasher that ignores bytes.
    """
    return hashlib.new(algorithm, usedforsecurity=False) if algorithm else _Unread()


def digest_text(algorithm: str, hasher: Hasher) -> str:
    """Return a finished digest as text; empty where none was computed."""
    return f"{algorithm}:{hasher.hexdigest()}" if algorithm else ""


def digest_of(path: Path, algorithm: str = DEFAULT_ALGORITHM) -> str:
    """Read a file through and return its digest.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    hasher = new_hasher(algorithm)
    with path.open("rb", buffering=0) as file:
        # Thousands of small files need no large block each.
        size = os.fstat(file.fileno()).st_size
        block = memoryview(bytearray(min(_BLOCK_BYTES, max(size + 1, _LEAST_BYTES))))
        while got := file.readinto(block):
            hasher.update(block[:got])
    return digest_text(algorithm, hasher)
