"""The verbs: search, plan, fetch, open. Each takes an address; all faces call these.

This is where an address meets the room that knows it, and a source (``live``, ``sample``, a URL)
the service it stands for.
"""

from openallen.verbs.asset import recordings_of, views_of
from openallen.verbs.atlas import alignment, grids
from openallen.verbs.fetching import fetch, job, plan, with_options
from openallen.verbs.opening import open  # noqa: A004 - the verb of the house
from openallen.verbs.parts import open_asset, open_part
from openallen.verbs.place import destination, folder_for
from openallen.verbs.release import cache
from openallen.verbs.rows import facts, open_structures, query, search, set_query
from openallen.verbs.running import Fetched, run
from openallen.verbs.session import KINDS, open_release, open_session
from openallen.verbs.source import connected

__all__ = [
    "KINDS",
    "Fetched",
    "alignment",
    "connected",
    "destination",
    "facts",
    "fetch",
    "folder_for",
    "grids",
    "job",
    "open",
    "open_asset",
    "open_part",
    "open_release",
    "open_session",
    "open_structures",
    "plan",
    "query",
    "run",
    "recordings_of",
    "search",
    "set_query",
    "cache",
    "views_of",
    "with_options",
]
