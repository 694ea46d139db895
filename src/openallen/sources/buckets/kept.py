"""Listings as they were last seen, so that what is complete here can be told so offline."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from openallen.sources.buckets.patterns import matches, static_prefix
from openallen.store.objects import KeptObjects
from openallen.transport.s3 import Listed

__all__ = ["KeptListings"]

_MOST: Final = 200_000


class KeptListings:
    """Listings kept below the store; where it cannot be written to, nothing is.

    Parameters
    ----------
    store
        The store's folder.
    """

    def __init__(self, store: Path) -> None:
        self._kept = KeptObjects(store / "ranges" / "listings", limit_bytes=1 << 30)

    def put(self, url: str, pattern: str, found: Sequence[Listed]) -> None:
        """Keep what was listed below a prefix; not the largest listings."""
        if len(found) > _MOST:
            return
        rows = [(entry.key, entry.size_bytes, entry.etag) for entry in found]
        body = gzip.compress(json.dumps(rows, separators=(",", ":")).encode(), 1)
        self._kept.put(f"{url} {pattern}", body)

    def get(self, url: str, prefix: str, pattern: str) -> list[Listed] | None:
        """Return what a pattern means of what was listed last, for it or for a folder around it.

        None where that was not kept.
        """
        for wider in (pattern, *_around(pattern)):
            body = self._kept.get(f"{url} {wider}")
            if body is not None:
                rows = json.loads(gzip.decompress(body))
                return [
                    Listed(*row) for row in rows if matches(row[0].removeprefix(prefix), pattern)
                ]
        return None


def _around(pattern: str) -> Iterator[str]:
    """Return the folders around a pattern, the nearest first; at last the whole."""
    parts = static_prefix(pattern).split("/")[:-1]
    for count in range(len(parts), -1, -1):
        yield "/".join(parts[:count])
