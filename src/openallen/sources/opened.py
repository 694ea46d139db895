"""Facts of an opened object, whichever source opened it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from openallen.sources.facts import Facts, Field, Picture, Section, fields_of, plain

if TYPE_CHECKING:
    from openallen.sessions.base import NwbSession

__all__ = ["facts_of_opened"]


def facts_of_opened(opened: Any, address: str) -> Facts:
    """Return the facts of an opened object: of a session what it holds, else what its card shows.

    Parameters
    ----------
    opened
        The object; it stays open, as ``thing`` of the facts.
    address
        What names it: an address or a path.
    """
    # Asked by its method: importing sessions takes longer than most of what is opened.
    if hasattr(opened, "list_data_attributes_and_methods"):
        return _session_facts(opened, address)
    kind = type(opened).__name__
    shown = getattr(opened, "_facts", None)
    title = getattr(opened, "title", None)
    if shown is None and type(opened).__module__ == "numpy":
        return _array_facts(opened, address)
    text = Section("", "text", repr(opened), repr(opened))
    return Facts(
        address=address,
        title=title if shown is not None and isinstance(title, str) else _words(kind),
        kind=kind,
        fields=() if shown is None else fields_of(shown()),
        sections=(text,) if shown is None else (),
        ids=(address,),
        thing=opened,
    )


def _words(kind: str) -> str:
    """Return the name of a class as a title: ``ImageStack`` is an image stack."""
    if kind == "OmeZarr":
        return "OME-Zarr image"
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", kind).capitalize()


def _array_facts(array: Any, address: str) -> Facts:
    """Return the shape, type and range of an array: its values are of no use to a reader."""
    shape = [int(n) for n in array.shape]
    fields = [
        Field("shape", shape, " x ".join(f"{n:,}" for n in shape)),
        Field("type", str(array.dtype)),
    ]
    # JSON has neither NaN nor infinity; comparing leaves out both.
    known = array[abs(array) < float("inf")] if array.dtype.kind == "f" else array
    if known.size and array.dtype.kind in "biuf":
        fields += [Field("min", known.min().item()), Field("max", known.max().item())]
    return Facts(
        address=address,
        title="Array",
        kind=type(array).__name__,
        fields=tuple(fields),
        ids=(address,),
        thing=array,
    )


def _session_facts(session: NwbSession, address: str) -> Facts:
    """Return the facts of a session; of a remote one only what these need is read."""
    metadata: Mapping[str, Any] = getattr(session, "metadata", {})
    told: Callable[[], Mapping[str, object]] = getattr(session, "_told", dict)
    names = session.list_data_attributes_and_methods()
    plot = getattr(session, "plot_overview", None)
    label = type(session).__name__
    return Facts(
        address=address,
        title=label,
        kind=session.kind,
        fields=(
            Field("file", session.name),
            Field("here", session.path is not None, None if session.path else "no, read remotely"),
            *_unlike(fields_of(told(), skip=("file",))),
        ),
        sections=(
            Section("metadata", "metadata", plain(metadata), ""),
            Section("attributes", "attributes", names, _wrapped(names)),
        ),
        pictures=() if plot is None else (Picture("overview", plot),),
        ids=(address,),
        thing=session,
    )


_TAKEN = frozenset({"address", "title", "kind", "file", "here", "metadata", "attributes"})


def _unlike(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """Return fields none of which has a name that the document has already."""
    return tuple(replace(f, key=f"file_{f.name}") if f.name in _TAKEN else f for f in fields)


def _wrapped(names: list[str]) -> str:
    return textwrap.fill(", ".join(names), 96, initial_indent="  ", subsequent_indent="  ")
