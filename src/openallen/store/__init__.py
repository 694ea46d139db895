"""Bytes at rest: where they lie, what is remembered of them, who is writing them."""

from openallen.store.claims import Claim, Claims
from openallen.store.digests import digest_of
from openallen.store.index import Index, Record
from openallen.store.layout import Store
from openallen.store.part import Leftovers, Part, Progress

__all__ = [
    "Claim",
    "Claims",
    "Index",
    "Leftovers",
    "Part",
    "Progress",
    "Record",
    "Store",
    "digest_of",
]
