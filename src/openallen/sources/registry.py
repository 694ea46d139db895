"""Which class answers for which scheme: one line for each source.

Other packages add sources by entry points of the group ``openallen.sources``, with the scheme as
the name::

    [project.entry-points."openallen.sources"]
    mylab = "mylab.openallen_source:MyLabSource"

A source is imported when an address of its scheme is first read.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import OpenAllenError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from openallen.sources.base import Source

__all__ = ["GROUP", "SCHEMES", "find", "source_classes"]

GROUP: Final = "openallen.sources"
"""Entry point group in which other packages name their sources."""

_BUILT_IN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "stack": "openallen.sources.stacks.source:StackSource",
        "cell": "openallen.sources.cells.source:CellSource",
        "model": "openallen.sources.cells.model_source:ModelSource",
        "sections": "openallen.sources.sections.source:SectionsSource",
        "grid": "openallen.sources.atlases.grid_source:GridSource",
        "atlas": "openallen.sources.atlases.source:AtlasSource",
        "structures": "openallen.sources.atlases.structures_source:StructuresSource",
        "connectivity": "openallen.sources.connectivity.source:ConnectivitySource",
        "release": "openallen.sources.releases.source:ReleaseSource",
        "asset": "openallen.sources.assets.source:AssetSource",
        "recording": "openallen.sources.recordings.source:RecordingSource",
        "image": "openallen.sources.files.image_source:ImageSource",
        "file": "openallen.sources.files.source:FileSource",
        "rma": "openallen.sources.rows.source:RmaSource",
    }
)

_log = logging.getLogger(__name__)


@functools.cache
def _added() -> Mapping[str, EntryPoint]:
    """Return the entry points of other packages by scheme; a scheme of our own stays ours."""
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        if point.name in _BUILT_IN or point.name in found:
            _log.warning("the scheme '%s:' of %s is taken: it is left out", point.name, point.value)
            continue
        found[point.name] = point
    return MappingProxyType(found)


@functools.cache
def find(scheme: str) -> type[Source] | None:
    """Return the class that answers for a scheme; None where there is none.

    Parameters
    ----------
    scheme
        The scheme, without its colon.

    Raises
    ------
    OpenAllenError
        If a source of another package cannot be loaded.
    """
    place = _BUILT_IN.get(scheme)
    if place is not None:
        module, _, name = place.partition(":")
        found: type[Source] = getattr(import_module(module), name)
        return found
    point = _added().get(scheme)
    return None if point is None else _checked(point)


def _checked(point: EntryPoint) -> type[Source]:
    """Return the class of an entry point, if it is a source."""
    try:
        loaded: Any = point.load()
    except Exception as error:
        raise OpenAllenError(
            f"the source '{point.name}:' cannot be loaded",
            address=point.value,
            why=f"{type(error).__name__}: {error}",
        ) from error
    # Who defines a source has imported the contract; imported from here it would be a circle.
    contract = getattr(sys.modules.get("openallen.sources.base"), "Source", None)
    if contract is None or not (isinstance(loaded, type) and issubclass(loaded, contract)):
        raise OpenAllenError(f"the source '{point.name}:' is not a Source", address=point.value)
    found: type[Source] = loaded
    if found.scheme != point.name:
        raise OpenAllenError(
            f"the source '{point.name}:' calls itself '{found.scheme}:'", address=point.value
        )
    return found


def source_classes() -> Iterator[type[Source]]:
    """Return every source, ours first; one of another package that cannot be loaded is logged."""
    for scheme in SCHEMES:
        try:
            found = find(scheme)
        except OpenAllenError as error:
            _log.warning("%s", error)
            continue
        if found is not None:
            yield found


class _Schemes(Mapping[str, "type[Source]"]):
    """Sources by scheme, loaded when they are looked up."""

    def __getitem__(self, scheme: str) -> type[Source]:
        found = find(scheme)
        if found is None:
            raise KeyError(scheme)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter((*_BUILT_IN, *_added()))

    def __len__(self) -> int:
        return len(_BUILT_IN) + len(_added())

    def __contains__(self, scheme: object) -> bool:
        return scheme in _BUILT_IN or scheme in _added()


SCHEMES: Final[Mapping[str, type[Source]]] = _Schemes()
"""Every scheme of the grammar, with the source that answers for it."""
