"""Which views an opened thing has."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from openallen.visuals.base import Visual
from openallen.visuals.rows import TableVisual
from openallen.visuals.volumes import slices_of_volume

__all__ = ["look", "visuals_of"]


@runtime_checkable
class Seen(Protocol):
    """An opened thing that can be looked at."""

    def _visuals(self) -> tuple[Visual, ...]: ...


_LOOKS: dict[int, tuple[weakref.ref[Any], Callable[[Any], tuple[Visual, ...]]]] = {}


def look(opened: Any, how: Callable[[Any], tuple[Visual, ...]]) -> None:
    """Say what an object of another library looks like, which can have no ``_visuals``.

    Parameters
    ----------
    opened
        The object. It is not kept alive, so `how` must not hold it either.
    how
        Returns its views; called with the object.
    """
    number = id(opened)
    _LOOKS[number] = weakref.ref(opened, lambda _: _LOOKS.pop(number, None)), how


def visuals_of(opened: Any) -> tuple[Visual, ...]:
    """Return what an opened thing looks like.

    A table of pandas is a table, a labelled volume of xarray its slices; what else has not said
    what it looks like is nothing.

    Parameters
    ----------
    opened
        The opened thing.
    """
    if isinstance(opened, Seen) and not isinstance(opened, type):
        return opened._visuals()  # noqa: SLF001 - the protocol of this module
    known, how = _LOOKS.get(id(opened), (None, None))
    if known is not None and how is not None and known() is opened:
        return how(opened)
    library = type(opened).__module__.partition(".")[0]
    if library == "pandas" and hasattr(opened, "columns"):
        return (TableVisual(name="rows", title="Rows", table=lambda: opened),)
    if library == "xarray" and "spacing_um" in getattr(opened, "attrs", ()):
        return (slices_of_volume(opened),)
    return ()
