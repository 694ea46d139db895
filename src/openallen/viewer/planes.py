"""The pool of decoded planes: two or three for all stacks together, and each decoded once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from openallen.formats.overview import reduced
from openallen.serving import GoneError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PlanePool"]

_MOST_BYTES: Final = 136 << 20
_MOST: Final = 3


@dataclass
class _Held:
    """A plane at some levels; the lock is held while it is decoded."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    levels: dict[int, NDArray[Any]] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return sum(int(pixels.nbytes) for pixels in list(self.levels.values()))


class PlanePool:
    """Planes decoded last, of whatever stack.

    Parameters
    ----------
    most_bytes, most
        What is kept at most; a plane that is larger than that is kept alone.

    Attributes
    ----------
    decoded : int
        Planes that were decoded.
    dropped : int
        Requests for planes whose browser was gone before these were decoded.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES, most: int = _MOST) -> None:
        self._most_bytes = most_bytes
        self._most = most
        self._planes: OrderedDict[Hashable, _Held] = OrderedDict()
        self._lock = threading.Lock()
        self.decoded = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._planes)

    @property
    def size_bytes(self) -> int:
        """Bytes of the pixels that are kept."""
        with self._lock:
            return sum(held.size_bytes for held in self._planes.values())

    def plane(
        self,
        key: Hashable,
        level: int,
        size_bytes: int,
        decode: Callable[[], NDArray[Any]],
        gone: Callable[[], bool],
    ) -> NDArray[Any]:
        """Return a plane at a level.

        A level is made of a larger one that is kept, as that takes a fraction of decoding; else it
        is decoded at its own size. Whoever asks for a plane that is being decoded waits for it.

        Parameters
        ----------
        key
            What names the plane and its bytes.
        level
            How often its size is halved.
        size_bytes
            What it takes at that level, about: room is made before.
        decode
            Returns it at that level.
        gone
            Returns whether nobody waits for it any more.

        Raises
        ------
        GoneError
            If nobody waits for it any more; nothing is decoded then.
        """
        held = self._held(key)
        with held.lock:
            if level not in held.levels:
                larger = max((n for n in held.levels if n < level), default=None)
                if larger is not None:
                    held.levels[level] = reduced(held.levels[larger], 2 ** (level - larger))
                else:
                    self._may_begin(gone)
                    self._make_room(key, size_bytes)
                    held.levels[level] = decode()
            found = held.levels[level]
        self._make_room(key, 0)
        return found

    def _may_begin(self, gone: Callable[[], bool]) -> None:
        with self._lock:
            if gone():
                self.dropped += 1
                raise GoneError
            self.decoded += 1

    def _held(self, key: Hashable) -> _Held:
        with self._lock:
            held = self._planes.setdefault(key, _Held())
            self._planes.move_to_end(key)
            return held

    def _make_room(self, key: Hashable, more_bytes: int) -> None:
        """Let go of the planes looked at longest ago, never of this one."""
        with self._lock:
            for old in list(self._planes):
                total = sum(held.size_bytes for held in self._planes.values())
                fits = total + more_bytes <= self._most_bytes and len(self._planes) <= self._most
                if fits:
                    return
                if old != key and not self._planes[old].lock.locked():
                    del self._planes[old]
