"""One fast, typed, verified client for everything the Allen Institute publishes.

::

    import openallen as oa

    oa.list("stack:")                                what is there
    oa.show("stack:313862022")                       what is this
    oa.plan("stack:313862022")                       what would it take
    oa.fetch("stack:313862022", to="cell")           give me
    oa.open("cell")                                  let me use it
    oa.view("cell")                                  let me look at it, in a notebook
    oa.doctor()                                      what works here, what does not

Every name below loads its room when it is first used; importing costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from openallen.version import __version__

_ROOMS = {
    "Address": "openallen.address",
    "Condition": "openallen.address",
    "ImageStack": "openallen.sources.stacks",
    "IncompleteError": "openallen.plans",
    "Morphology": "openallen.formats.swc",
    "OpenAllenError": "openallen.errors",
    "Outcome": "openallen.plans",
    "Plan": "openallen.plans",
    "Query": "openallen.brainmap",
    "RemoteFile": "openallen.plans",
    "Report": "openallen.plans",
    "Search": "openallen.brainmap",
    "Facts": "openallen.sources.base",
    "Rows": "openallen.sources.base",
    "Settings": "openallen.settings",
    "StackFacts": "openallen.sources.stacks",
    "alignment": "openallen.sources.atlases.many",
    "doctor": "openallen.checkup",
    "facts": "openallen.sources.stacks.source",
    "fetch": "openallen.verbs",
    "grids": "openallen.sources.atlases.many",
    "human_microarray": "openallen.sources.atlases.human",
    "list": "openallen.verbs",
    "mirror": "openallen.mirroring.face",
    "open": "openallen.verbs",
    "plan": "openallen.verbs",
    "query": "openallen.sources.rows.query",
    "read_swc": "openallen.formats.swc",
    "search": "openallen.verbs",
    "show": "openallen.verbs",
    "view": "openallen.viewer.widget",
}

__all__ = [
    "Address",
    "Condition",
    "Facts",
    "ImageStack",
    "IncompleteError",
    "Morphology",
    "OpenAllenError",
    "Outcome",
    "Plan",
    "Query",
    "RemoteFile",
    "Report",
    "Rows",
    "Search",
    "Settings",
    "StackFacts",
    "__version__",
    "alignment",
    "assets",
    "doctor",
    "facts",
    "fetch",
    "grids",
    "human_microarray",
    "list",
    "mirror",
    "open",
    "plan",
    "query",
    "read_swc",
    "search",
    "show",
    "view",
]

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openallen.address import Address, Condition
    from openallen.brainmap import Query, Search
    from openallen.checkup import doctor
    from openallen.errors import OpenAllenError
    from openallen.formats.swc import Morphology, read_swc
    from openallen.mirroring.face import mirror
    from openallen.plans import IncompleteError, Outcome, Plan, RemoteFile, Report
    from openallen.settings import Settings
    from openallen.sources import assets
    from openallen.sources.atlases.human import human_microarray
    from openallen.sources.atlases.many import alignment, grids
    from openallen.sources.base import Facts, Rows
    from openallen.sources.rows.query import query
    from openallen.sources.stacks import ImageStack, StackFacts
    from openallen.sources.stacks.source import facts
    from openallen.verbs import fetch, list, open, plan, search, show  # noqa: A004
    from openallen.viewer.widget import view


def __getattr__(name: str) -> Any:
    room = _ROOMS.get(name)
    if name == "assets":  # a room with verbs of its own: oa.assets.sql(...)
        return import_module("openallen.sources.assets")
    if room is None:
        raise AttributeError(f"module 'openallen' has no attribute '{name}'")
    value = getattr(import_module(room), name)
    globals()[name] = value
    return value


def __dir__() -> Iterable[str]:
    return sorted(__all__)
