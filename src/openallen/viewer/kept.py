"""What was made once and is looked at again: those used last, bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

__all__ = ["Kept"]

T = TypeVar("T")


class Kept:
    """Values by what they were made of; the ones used least recently go first.

    Parameters
    ----------
    most_bytes
        Memory that they may take together; one alone may take more.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._values: OrderedDict[Hashable, tuple[Any, Any, int]] = OrderedDict()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """Memory that they take."""
        return self._bytes

    def get(self, owner: Any, name: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return a value; made once, however many ask for it meanwhile.

        Parameters
        ----------
        owner
            The object it belongs to: the very same one, not one that is equal to it.
        name
            Which of the owner's.
        make
            Makes it.
        size
            Returns its bytes.
        """
        key = (id(owner), name)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            with self._lock:
                # The owner is held by its entry: its id cannot be that of another meanwhile.
                if key in self._values:
                    self._values.move_to_end(key)
                    found: T = self._values[key][1]
                    return found
            made = make()
            with self._lock:
                self._values[key] = (owner, made, size(made))
                self._bytes += self._values[key][2]
                while self._bytes > self._most and len(self._values) > 1:
                    old, (_, _, freed) = self._values.popitem(last=False)
                    self._locks.pop(old, None)
                    self._bytes -= freed
            return made
