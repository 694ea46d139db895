"""Cached listings: offline, they tell whether what is here is complete."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from openallen.json_text import load_json
from openallen.sources.buckets.patterns import matches, static_prefix
from openallen.store.objects import CachedObjects
from openallen.transport.s3 import Listed

__all__ = ["CachedListings"]

_MOST: Final = 200_000


class CachedListings:
    """Listings cached in the store; in a store that cannot be written, nothing is cached.

    Parameters
    ----------
    store
        The store's folder.
    """

    def __init__(self, store: Path) -> None:
        self._cached = CachedObjects(store / "ranges" / "listings", limit_bytes=1 << 30)

    def put(self, url: str, pattern: str, found: Sequence[Listed]) -> None:
        """Store the listing of a prefix, unless it is one of the largest."""
        if len(found) > _MOST:
            return
        rows = [(entry.key, entry.size_bytes, entry.etag) for entry in found]
        body = gzip.compress(json.dumps(rows, separators=(",", ":")).encode(), 1)
        self._cached.put(f"{url} {pattern}", body)

    def get(self, url: str, prefix: str, pattern: str) -> list[Listed] | None:
        """Return the entries that match a pattern, of the last listing of it or of a parent folder.

        None without such a listing.
        """
        for wider in (pattern, *_around(pattern)):
            body = self._cached.get(f"{url} {wider}")
            if body is not None:
                rows = load_json(gzip.decompress(body))
                return [
                    Listed(*row) for row in rows if matches(row[0].removeprefix(prefix), pattern)
                ]
        return None


def _around(pattern: str) -> Iterator[str]:
    """Return the folders around a pattern, the nearest first; at last the whole."""
    parts = static_prefix(pattern).split("/")[:-1]
    for count in range(len(parts), -1, -1):
        yield "/".join(parts[:count])
