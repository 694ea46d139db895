"""brain-map.org: the RMA language, the client, image services, well-known files."""

from openallen.brainmap.answers import Answer, Row
from openallen.brainmap.builder import Connect, Search
from openallen.brainmap.client import LIVE_URL, Client
from openallen.brainmap.language import Query
from openallen.brainmap.parser import parse
from openallen.brainmap.schema import Schema, schema

__all__ = [
    "LIVE_URL",
    "Answer",
    "Client",
    "Connect",
    "Query",
    "Row",
    "Schema",
    "Search",
    "parse",
    "schema",
]
