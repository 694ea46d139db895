"""Facts of an opened session, for every source that opens one."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from openallen.sources.facts import Facts, Field, Picture, Section, fields_of

if TYPE_CHECKING:
    from openallen.sessions.base import NwbSession

__all__ = ["is_session", "session_facts"]


def is_session(opened: object) -> bool:
    """Return whether an opened object is a session in NWB."""
    from openallen.sessions.base import NwbSession

    return isinstance(opened, NwbSession)


def session_facts(session: NwbSession, address: str) -> Facts:
    """Return the facts of a session; of a remote one only what these need is read.

    Parameters
    ----------
    session
        The session; it stays open, as ``thing`` of the facts.
    address
        What names it: an address or a path.
    """
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
            Section("metadata", "metadata", {k: _plain(v) for k, v in metadata.items()}, ""),
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


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if value is None or isinstance(value, (bool, int, float, str, list)):
        return value
    return str(value)
