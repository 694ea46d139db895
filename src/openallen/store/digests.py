"""Digests as ``algorithm:hex``, the way the index, manifests and plans write them."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from pathlib import Path
from typing import Any, Final, Protocol

from openallen.errors import UsageError

__all__ = ["DEFAULT_ALGORITHM", "Hasher", "algorithm_of", "digest_of", "digest_text", "new_hasher"]

DEFAULT_ALGORITHM = "sha256"
_ALGORITHMS = frozenset({"sha256", "blake2b", "md5", "sha1", "sha512"})
_BLOCK_BYTES = 1 << 18
_LEAST_BYTES = 1 << 12
_WORTH_SODIUM_BYTES: Final = 32 << 20
"""Below this size loading libsodium takes longer than it saves."""


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


class SodiumBlake2b:
    """BLAKE2b by libsodium, with the digests of hashlib.

    Raises
    ------
    ImportError
        If PyNaCl, which has libsodium in its wheels, is not installed.
    """

    def __init__(self) -> None:
        from nacl.bindings import crypto_generichash

        self._sodium: Any = crypto_generichash
        self._state: Any = crypto_generichash.generichash_blake2b_init(digest_size=64)

    def update(self, data: memoryview | bytes, /) -> None:
        """Add bytes."""
        whole = data if isinstance(data, bytes) else bytes(data)
        self._sodium.generichash_blake2b_update(self._state, whole)

    def hexdigest(self) -> str:
        """Return the digest so far."""
        digest: bytes = self._sodium.generichash_blake2b_final(self._state.copy())
        return digest.hex()


@functools.cache
def _has_sodium() -> bool:
    # Only on x86-64 is libsodium's code for the processor known to be the quicker one.
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return False
    try:
        SodiumBlake2b()
    except (ImportError, OSError):
        return False
    return True


def new_hasher(algorithm: str, *, size_bytes: int = 0) -> Hasher:
    """Return a new hasher; the algorithms guard against damage, not against an attacker.

    Parameters
    ----------
    algorithm
        Its name. An empty one gives a hasher that ignores bytes.
    size_bytes
        About how much it will be given: for large files libsodium is used where it is installed
        (the extra ``fast``) and quicker.
    """
    if not algorithm:
        return _Unread()
    if algorithm == "blake2b" and size_bytes >= _WORTH_SODIUM_BYTES and _has_sodium():
        return SodiumBlake2b()
    return hashlib.new(algorithm, usedforsecurity=False)


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
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        hasher = new_hasher(algorithm, size_bytes=size)
        # Thousands of small files need no large block each.
        most = min(_BLOCK_BYTES, max(size + 1, _LEAST_BYTES))
        while block := file.read(most):
            hasher.update(block)
    return digest_text(algorithm, hasher)
