"""Things that pages show: opened once, a few at a time, by their address or their folder."""

from __future__ import annotations

import base64
import binascii
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from openallen import verbs
from openallen.address import Address
from openallen.errors import NotFoundError, OpenAllenError, UsageError
from openallen.settings import Settings
from openallen.sources.facts import Facts
from openallen.sources.opened import facts_of_opened
from openallen.viewer.compared import compared
from openallen.viewer.freshness import Stamp, folder_of
from openallen.viewer.pictures import visuals_of_picture
from openallen.visuals import Visual, visuals_of

__all__ = ["Item", "Items", "from_key", "to_key"]

_OPEN: Final = 10
_PLACE: Final = "place/"
_COMPARED: Final = "compare/"
_MOST_COMPARED: Final = 6


def to_key(what: str) -> str:
    """Return an address or the name of a place as one segment of a path."""
    return base64.urlsafe_b64encode(what.encode()).decode().rstrip("=")


def from_key(key: str) -> str:
    """Return what a key means.

    Raises
    ------
    NotFoundError
        If it means nothing.
    """
    try:
        return base64.b64decode(key + "=" * (-len(key) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise NotFoundError("no such thing", address=key[:80]) from None


@dataclass(frozen=True)
class Item:
    """One opened thing.

    Parameters
    ----------
    what
        Its address, or ``place/NAME``.
    thing
        The opened thing.
    visuals
        Its views.
    """

    what: str
    thing: Any
    visuals: tuple[Visual, ...]

    def visual(self, name: str) -> Visual:
        """Return the view of a name.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        for visual in self.visuals:
            if visual.name == name:
                return visual
        raise NotFoundError("no such view", address=f"{self.what} {name}"[:200])


class _Turn:
    """Who opens a thing, and how many wait for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting = 0


class Items:
    """What is open: the things looked at last.

    Parameters
    ----------
    settings
        Settings; with ``offline``, nothing is asked of any service.
    places
        Folders and files that may be looked at beside the store, by name.
    """

    def __init__(self, settings: Settings, places: Mapping[str, Path] | None = None) -> None:
        self.settings = settings
        self.places = dict(places or {})
        self.here = replace(settings, offline=True)
        self._open: OrderedDict[str, tuple[Item, Stamp]] = OrderedDict()
        self._locks: dict[str, _Turn] = {}
        self._lock = threading.Lock()
        self._forgotten = 0

    def get(self, what: str) -> Item:
        """Return a thing, opened; what the store has is opened without asking any service.

        It is opened anew where its files are others now: another process may have removed it, or
        have fetched it again at another size.

        Parameters
        ----------
        what
            An address, or ``place/NAME``.

        Raises
        ------
        OpenAllenError
            If it cannot be opened.
        """
        with self._turn(what):
            found = self.peek(what)
            if found is not None:
                return found
            with self._lock:
                forgotten = self._forgotten
            item, stamp = self._stamped(what)
            if not item.visuals:
                return item  # there may be more to see the next time: a stack that begins to come
            with self._lock:
                if forgotten == self._forgotten:
                    self._open[what] = (item, stamp)
                while len(self._open) > _OPEN:
                    self._open.popitem(last=False)
            return item

    def _stamped(self, what: str) -> tuple[Item, Stamp]:
        """Return a thing, opened, with the files it was opened from."""
        places = self._places(what)
        for _ in range(2):  # once more where files changed meanwhile, unless opening changes them
            stamp = Stamp(places)
            item = self._item(what)
            after = Stamp(places)
            if after == stamp:
                break
        return item, after

    def peek(self, what: str) -> Item | None:
        """Return a thing that is open, and whose files are still the same; without waiting.

        Parameters
        ----------
        what
            As for `get`.
        """
        with self._lock:
            found = self._open.get(what)
        if found is None:
            return None
        item, stamp = found
        same = stamp.holds()
        with self._lock:
            if same and what in self._open:
                self._open.move_to_end(what)
            elif self._open.get(what) is found:
                self._open.pop(what)
        return item if same else None

    @contextmanager
    def _turn(self, what: str) -> Iterator[None]:
        """Let one at a time open a thing; nothing is kept of what nobody waits for."""
        with self._lock:
            turn = self._locks.setdefault(what, _Turn())
            turn.waiting += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._lock:
                turn.waiting -= 1
                if not turn.waiting:
                    del self._locks[what]

    def _places(self, what: str) -> list[Path]:
        """Return where the files of a thing are."""
        each = what.removeprefix(_COMPARED).split(" ") if what.startswith(_COMPARED) else [what]
        found = [
            self.places.get(one.removeprefix(_PLACE))
            if one.startswith(_PLACE)
            else folder_of(one, self.here)
            for one in each[:_MOST_COMPARED]
        ]
        return [path for path in found if path is not None]

    def forget(self, what: str) -> None:
        """Forget a thing whose files have changed, and its parts: they are opened anew.

        Parameters
        ----------
        what
            As for `get`.
        """
        own = _thing(what)
        with self._lock:
            self._forgotten += 1  # what is being opened now may have seen files of before
            for other in [key for key in self._open if _thing(key) == own or _holds(key, own)]:
                self._open.pop(other)

    def named(self, what: str) -> Address | Path:
        """Return what may be looked at: an address of a scheme, or a place; no other path.

        Parameters
        ----------
        what
            As for `get`.

        Raises
        ------
        OpenAllenError
            If it is neither.
        """
        return self._path(what) if what.startswith(_PLACE) else _checked(what)

    def _item(self, what: str) -> Item:
        if what.startswith(_COMPARED):
            each = what.removeprefix(_COMPARED).split(" ")
            if what != self.together(each):
                raise NotFoundError("no such thing", address=what[:200])
            return Item(what, None, (compared([(one, self.get(one).visuals) for one in each]),))
        thing = self._opened(what)
        return Item(what, thing, visuals_of(thing) or visuals_of_picture(thing, what))

    @staticmethod
    def together(each: Sequence[str]) -> str:
        """Return what names several things that are compared.

        Parameters
        ----------
        each
            Their addresses.

        Raises
        ------
        UsageError
            If there are too few or too many.
        """
        if not 2 <= len(each) <= _MOST_COMPARED:
            raise UsageError(
                f"two to {_MOST_COMPARED} things are compared",
                why=f"{len(each)} given",
                hint="/compare?of=grid:69855739&of=grid:72109410",
            )
        return _COMPARED + " ".join(str(_checked(one)) for one in each)

    def _opened(self, what: str) -> Any:
        if what.startswith(_PLACE):
            return verbs.open(self._path(what), settings=self.here)
        address = _checked(what)
        return self._nearest(lambda settings: verbs.open(address, settings=settings))

    def facts(self, what: str) -> Facts:
        """Return what is known of a thing: by what is here, else by asking.

        Parameters
        ----------
        what
            As for `get`.

        Raises
        ------
        OpenAllenError
            If nothing is known of it.
        """
        if what.startswith(_PLACE):
            return facts_of_opened(self.get(what).thing, str(self._path(what)))
        address = _checked(what)
        found: Facts = self._nearest(lambda settings: verbs.show(address, settings=settings))
        return found

    def _path(self, what: str) -> Path:
        found = self.places.get(what.removeprefix(_PLACE))
        if found is None:
            raise NotFoundError(
                "no such place", address=what[:200], hint="start openallen view with that folder"
            )
        return found

    def _nearest(self, ask: Callable[[Settings], Any]) -> Any:
        """Return the answer by what is here; where that is not enough, the one of the service."""
        try:
            return ask(self.here)
        except OpenAllenError:
            if self.settings.offline:
                raise
        return ask(self.settings)


def _thing(what: str) -> str:
    """Return what an address is part of: ``release:NAME`` of ``release:NAME@1/table``."""
    if what.startswith(_PLACE):
        return what
    return what.partition("?")[0].partition("/")[0].partition("@")[0]


def _holds(what: str, own: str) -> bool:
    """Return whether what is compared holds a thing."""
    each = what.removeprefix(_COMPARED).split(" ") if what.startswith(_COMPARED) else ()
    return any(_thing(one) == own for one in each)


def _checked(what: str) -> Address:
    """Return an address; anything else, a path above all, is none."""
    return Address.parse(what)
