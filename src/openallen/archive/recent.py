"""What was made lately and may be asked for again, within bounds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Recent"]

T = TypeVar("T")


class Recent(Generic[T]):
    """Keeps values until they are too large together; the ones that were not used longest go.

    Parameters
    ----------
    most_bytes
        How large they may be together. A value of more than an eighth of that is not kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> T | None:
        """Return a value; None where it is not kept."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def keep(self, key: Hashable, value: T, size_bytes: int) -> None:
        """Keep a value.

        Parameters
        ----------
        key
            What it is found by.
        value
            The value.
        size_bytes
            Its size.
        """
        if size_bytes > self._most // 8:
            return
        with self._lock:
            if key in self._kept:
                self._bytes -= self._kept.pop(key)[1]
            self._kept[key] = (value, size_bytes)
            self._bytes += size_bytes
            while self._bytes > self._most:
                self._bytes -= self._kept.popitem(last=False)[1][1]
