"""Pages as HTML, and the same as JSON: each is made of one document.

Templates escape everything; control characters from elsewhere are spelled out, as in a terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from openallen.address import Address
from openallen.display import bytes_text
from openallen.errors import OpenAllenError, requiring
from openallen.harmless import harmless
from openallen.sources.registry import SCHEMES, source_classes
from openallen.sources.tables import cell_text
from openallen.viewer.assets import assets
from openallen.viewer.items import to_key
from openallen.viewer.links import item_path, linked, list_path, outside
from openallen.viewer.security import Token

if TYPE_CHECKING:
    from jinja2 import Environment

    from openallen.sources.base import Source

__all__ = ["Document", "Held", "error_page", "home_page", "jobs_page", "rendered", "templates"]

_TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Document:
    """What a page shows.

    Parameters
    ----------
    template
        The template.
    title
        Its title.
    data
        What programs get: the same page as JSON.
    shown
        What the template gets beside that.
    status
        The status of the answer.
    """

    template: str
    title: str
    data: Mapping[str, Any]
    shown: Mapping[str, Any]
    status: int = 200


@cache
def templates() -> Environment:
    """Return the templates of all pages, with what they escape by; made once."""
    with requiring("the web view", "web"):
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

    def plain(value: Any) -> Any:
        if value is None:
            return ""
        return harmless(value, lines=True) if type(value) is str else value

    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=plain,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "cell": cell_text,
        "item_path": item_path,
        "linked": linked,
        "outside": outside,
        "sentence": _sentence,
        "bytes": bytes_text,
    }
    made.globals |= {"asset": assets().address, "needed": assets().needed}
    return made


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def rendered(document: Document, *, token: Token, path: str) -> str:
    """Return a page as HTML.

    Parameters
    ----------
    document
        What it shows.
    token
        What its script sends along with what it writes.
    path
        Its own path, for the link to its JSON; empty where it has none.
    """
    template = templates().get_template(document.template)
    return template.render(
        title=document.title,
        token=token.value,
        read_only=token.read_only,
        json_path=json_path(path),
        data=document.data,
        **document.shown,
    )


def json_path(path: str) -> str:
    """Return where the JSON of a page is; empty where it has none.

    Parameters
    ----------
    path
        The path of the page; one that is of JSON already stays as it is.
    """
    if not path or path.partition("?")[0].endswith(".json"):
        return path
    return f"{path.removesuffix('.html')}.json"


def home_page(store: Held, query: str, jobs: Sequence[Mapping[str, Any]]) -> Document:
    """Return the front page: what the store holds, what is being fetched, what else there is.

    Parameters
    ----------
    store
        What the store holds.
    query
        What is searched for among it; empty for all.
    jobs
        The jobs of this server.
    """
    words = query.casefold().split()
    found = [row for row in store.rows if _has(row, words)]
    schemes = [_scheme(kind) for kind in source_classes()]
    systems = []
    for system in schemes:
        rows = [r for r in found if str(r["address"]).partition(":")[0] == system["scheme"]]
        size = bytes_text(sum(int(r["size_bytes"]) for r in rows))
        if rows:
            systems.append({**system, "cards": [_card(row) for row in rows], "size": size})
    total_bytes = sum(int(row["size_bytes"]) for row in store.rows)
    data = {
        "held": found,
        "total_bytes": total_bytes,
        "folder": store.folder,
        "jobs": list(jobs),
        "elsewhere": list(store.elsewhere),
        "notes": list(store.notes),
        "schemes": schemes,
    }
    shown = {
        "systems": systems,
        "schemes": schemes,
        "query": query,
        "total": len(store.rows),
        "size": bytes_text(total_bytes),
        "files": sum(int(row["files"]) for row in store.rows),
        "jobs": jobs,
        "elsewhere": store.elsewhere,
        "folder": store.folder,
        "source": store.source,
    }
    return Document(template="home.html", title="openallen", data=data, shown=shown)


@dataclass(frozen=True, kw_only=True)
class Held:
    """What the store holds.

    Parameters
    ----------
    rows
        A row for each thing.
    notes
        Sentences to read beside them.
    elsewhere
        What other processes are fetching.
    folder
        The folder of the store.
    source
        Where more comes from, in words.
    """

    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = ()
    elsewhere: Sequence[Mapping[str, Any]] = ()
    folder: str = ""
    source: str = ""


def _has(row: Mapping[str, Any], words: Sequence[str]) -> bool:
    scheme = str(row["address"]).partition(":")[0]
    known = SCHEMES.get(scheme)
    title = known.title if known is not None else ""
    text = f"{row['address']} {row.get('version', '')} {title}".casefold()
    return all(word in text for word in words)


def _scheme(kind: type[Source]) -> dict[str, str]:
    path = list_path(f"{kind.scheme}:") if kind.lists(Address(kind.scheme)) else ""
    return {
        "scheme": kind.scheme,
        "title": kind.title,
        "path": path,
        "example": kind.example(),
        "example_path": item_path(kind.example()),
    }


def _card(row: Mapping[str, Any]) -> dict[str, Any]:
    address = str(row["address"])
    plain, _, version = address.partition("@")
    return {
        **row,
        "name": unquote(plain),
        "version": version,
        "path": item_path(address),
        "thumb": f"/thumb/{to_key(address)}",
    }


def error_page(error: OpenAllenError, status: int) -> Document:
    """Return the page that says what went wrong.

    Parameters
    ----------
    error
        The error.
    status
        The status of the answer.
    """
    told = {
        "kind": type(error).__name__,
        "what": error.what,
        "address": error.address,
        "why": error.why,
        "hint": error.hint,
    }
    return Document(
        template="error.html",
        title=error.what,
        data={"error": told},
        # What only has to be fetched has a page that does it.
        shown={
            "error": error,
            "status": status,
            "path": linked(error.address) if error.what == "not in the store" else None,
        },
        status=status,
    )


def jobs_page(jobs: Sequence[Mapping[str, Any]], one: str = "") -> Document:
    """Return the page of jobs, or of one.

    Parameters
    ----------
    jobs
        Their states.
    one
        The id of the one in question; empty for all.
    """
    title = f"{jobs[0]['kind']} {jobs[0]['address']}" if one and jobs else "Jobs"
    data = dict(jobs[0]) if one and jobs else {"jobs": list(jobs)}
    return Document(template="jobs.html", title=title, data=data, shown={"jobs": jobs, "one": one})
