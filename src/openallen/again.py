"""Things that are sent to other processes as what opens them there, not as what they hold."""

from __future__ import annotations

import pickle
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

__all__ = ["Again", "Handle", "opened_once"]

_MOST_KEPT: Final = 8
_KEPT_S: Final = 60.0


T = TypeVar("T")
Opened = tuple[Callable[..., Any], tuple[Any, ...]]


class Again:
    """Something opened by an address, which its pickle holds instead of data."""

    _again: Opened | None = None

    def opened_by(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Say how this is opened in another process.

        Parameters
        ----------
        function
            A function of a module.
        *arguments
            What it is called with: addresses, options.
        """
        object.__setattr__(self, "_again", (function, arguments))  # also of frozen classes

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._again is None:
            return super().__reduce_ex__(protocol)
        return opened_once, self._again


class Handle(Generic[T]):
    """A thing here, and in other processes what opens it there, when it is first used.

    The scheduler of a cluster unpickles tasks, too: it must not open what they name.

    Parameters
    ----------
    thing
        The thing; None where it is opened by `again`.
    again
        What opens it.
    """

    def __init__(self, thing: T | None, again: Opened | None = None) -> None:
        self._thing = thing
        self._again = again

    def get(self) -> T:
        """Return the thing; raises what opening it raises."""
        if self._thing is None:
            assert self._again is not None
            self._thing = opened_once(*self._again)
        found: T = self._thing
        return found

    def __reduce__(self) -> Any:
        again = self._again or getattr(self._thing, "_again", None)
        return Handle, (self._thing, None) if again is None else (None, again)


def opened_once(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Open a thing, or return the one this process opened a moment ago.

    Tasks of one array come one after the other, each with what opens it: a worker opens it once.

    Parameters
    ----------
    function
        What opens it.
    arguments
        What it is called with.
    """
    key = pickle.dumps((function, arguments))
    now = time.monotonic()
    with _LOCK:
        for old in [k for k, (_, opened_s) in _KEPT.items() if now - opened_s > _KEPT_S]:
            del _KEPT[old]  # what it was opened from may be another by now
        if key in _KEPT:
            _KEPT.move_to_end(key)
            return _KEPT[key][0]
        found = function(*arguments)
        _KEPT[key] = found, time.monotonic()
        while len(_KEPT) > _MOST_KEPT:
            _KEPT.popitem(last=False)
        return found


_KEPT: Final[OrderedDict[bytes, tuple[Any, float]]] = OrderedDict()
_LOCK: Final = threading.RLock()
