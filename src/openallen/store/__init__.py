"""Bytes at rest: where they lie, what is remembered of them, who is writing them."""

from openallen.store.digests import digest_of
from openallen.store.index import Index, Record
from openallen.store.layout import Store
from openallen.store.leases import Lease, Leases
from openallen.store.part import Leftovers, Part, Progress

__all__ = [
    "Lease",
    "Leases",
    "Index",
    "Leftovers",
    "Part",
    "Progress",
    "Record",
    "Store",
    "digest_of",
]
