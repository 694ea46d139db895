"""Bytes at rest: the layout of the store, its index, and leases on files being written."""

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
