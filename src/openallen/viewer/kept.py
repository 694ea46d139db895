"""What was made once and is looked at again: those used last, bounded in bytes."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

__all__ = ["SHARED_BYTES", "Kept"]

T = TypeVar("T")

SHARED_BYTES: Final = 128_000_000
"""What all kinds of views of a server may take together, beside decoded planes and overviews."""


class Kept:
    """Values by what they were made of; the ones used least recently go first.

    Values go with their owners, which are not held: a thing that nobody looks at any more takes
    its memory along.

    Parameters
    ----------
    most_bytes
        Memory that they may take together; one alone may take more.
    """

    def __init__(self, most_bytes: int = SHARED_BYTES) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._values: OrderedDict[Hashable, tuple[weakref.ref[Any], Any, int]] = OrderedDict()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()
        # Owners go at any moment, in the middle of a change of ours too: only noted there.
        self._gone: deque[Hashable] = deque()

    @property
    def bytes(self) -> int:
        """Memory that they take."""
        with self._lock:
            self._forget_gone()
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
            self._forget_gone()
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            found: T | None = self.peek(owner, name)
            if found is not None:
                return found
            made = make()
            self.put(owner, name, made, size(made))
            return made

    def peek(self, owner: Any, name: Hashable) -> Any:
        """Return a value that is there, as the one used last; None where there is none.

        Parameters
        ----------
        owner, name
            As for `get`.
        """
        key = (id(owner), name)
        with self._lock:
            self._forget_gone()
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][1]

    def put(self, owner: Any, name: Hashable, value: Any, size_bytes: int) -> None:
        """Keep a value.

        Parameters
        ----------
        owner, name
            As for `get`.
        value
            The value.
        size_bytes
            Its bytes.
        """
        key = (id(owner), name)
        with self._lock:
            self._forget_gone()
            self._drop(key)
            self._values[key] = (
                weakref.ref(owner, lambda _: self._gone.append(key)),
                value,
                size_bytes,
            )
            self._bytes += size_bytes
            while self._bytes > self._most and len(self._values) > 1:
                oldest = next(iter(self._values))
                self._drop(oldest)
                self._locks.pop(oldest, None)

    def _drop(self, key: Hashable) -> None:
        _, _, freed = self._values.pop(key, (None, None, 0))
        self._bytes -= freed

    def _forget_gone(self) -> None:
        while self._gone:
            key = self._gone.popleft()
            held = self._values.get(key)
            # Another object may have the id by now, and have put a value of its own.
            if held is not None and held[0]() is None:
                self._drop(key)
                self._locks.pop(key, None)
