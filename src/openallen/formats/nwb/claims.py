"""How much memory an array of HDF5 claims, compared with what the file holds of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError

if TYPE_CHECKING:
    import h5py

__all__ = ["check_claim"]

_FREE_BYTES: Final = 64 << 20
"""What an array may come to whatever lies in the file: parts never written are read as zeros."""
_MOST_RATIO: Final = 10_000
"""The most that a filter makes of a byte: ten times what gzip can."""


def check_claim(data: h5py.Dataset, key: Any, where: str) -> None:
    """Compare what an array, or part of it, comes to with the bytes there are of it.

    A shape is a few bytes that may be damaged; HDF5 takes the memory first, and fills it.

    Parameters
    ----------
    data
        The array.
    key
        Which part is to be read; the whole where it is an empty tuple.
    where
        The name of the file, for messages.

    Raises
    ------
    CorruptError
        If it claims far more than is there.
    """
    claimed = math.prod(_counts(key, data.shape)) * data.id.get_type().get_size()
    if claimed <= _FREE_BYTES:
        return
    there = data.id.get_storage_size()
    if claimed > _FREE_BYTES + _MOST_RATIO * there:
        raise CorruptError(
            "an array claims more than the file holds",
            address=where,
            why=f"{data.name}: {claimed:,} bytes of {there:,}",
        )


def _counts(key: Any, shape: tuple[int, ...]) -> list[int]:
    """Return how many items a key reaches along each axis, at most."""
    keys = key if isinstance(key, tuple) else (key,)
    if any(one is Ellipsis for one in keys):
        return list(shape)
    found = list(shape)
    for axis, one in enumerate(keys[: len(shape)]):
        if isinstance(one, slice):
            found[axis] = len(range(*one.indices(shape[axis])))
        elif isinstance(one, int):
            found[axis] = 1
    return found
