"""Pages as HTML, and the same as JSON: each is made of one document.

Templates escape everything; control characters from elsewhere are spelled out, as in a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import OpenAllenError, requiring
from openallen.harmless import harmless
from openallen.sources.registry import source_classes
from openallen.sources.tables import Rows, cell_text
from openallen.viewer.assets import assets
from openallen.viewer.items import Item, to_key
from openallen.viewer.kinds import Kinds
from openallen.viewer.links import address_of_row, data_path, item_path, linked, list_path
from openallen.viewer.security import Token

if TYPE_CHECKING:
    from jinja2 import Environment

    from openallen.sources.facts import Facts

__all__ = [
    "Document",
    "compare_page",
    "error_page",
    "home_page",
    "item_page",
    "list_page",
    "rendered",
]

_TEMPLATES: Final = Path(__file__).parent / "templates"
_SIDE: Final = frozenset({"cell"})


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
def _environment() -> Environment:
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
    made.filters |= {"cell": cell_text, "item_path": item_path, "linked": linked}
    made.globals |= {"asset": assets().address}
    return made


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
    template = _environment().get_template(document.template)
    return template.render(
        title=document.title,
        token=token.value,
        read_only=token.read_only,
        json_path=f"{path.removesuffix('.html')}.json" if path else "",
        data=document.data,
        **document.shown,
    )


def home_page(held: Sequence[Mapping[str, Any]], notes: Sequence[str], query: str) -> Document:
    """Return the front page: what the store holds, and what else there is.

    Parameters
    ----------
    held
        A row for each thing in the store.
    notes
        Sentences to read beside them.
    query
        What is searched for among them; empty for all.
    """
    words = query.casefold().split()
    found = [row for row in held if all(w in str(row["address"]).casefold() for w in words)]
    schemes = [
        {"scheme": kind.scheme, "title": kind.title, "path": list_path(kind.scheme)}
        for kind in source_classes()
    ]
    systems = []
    for scheme in schemes:
        rows = [r for r in found if str(r["address"]).partition(":")[0] == scheme["scheme"]]
        cards = [
            {**row, "path": item_path(row["address"]), "thumb": f"/thumb/{to_key(row['address'])}"}
            for row in rows
        ]
        if cards:
            systems.append({**scheme, "cards": cards})
    data = {"held": found, "notes": list(notes), "schemes": schemes}
    shown = {"systems": systems, "schemes": schemes, "query": query, "total": len(held)}
    return Document(template="home.html", title="openallen", data=data, shown=shown)


def list_page(scheme: str, rows: Rows, filters: Mapping[str, str], more: str) -> Document:
    """Return a page of rows.

    Parameters
    ----------
    scheme
        What is listed.
    rows
        The rows.
    filters
        The filters that are set.
    more
        The path of the page with more of them; empty where all are here.
    """
    columns = list(rows.shown)
    lines = []
    for row in rows:
        address = address_of_row(scheme, row, rows.id_column)
        cells = [cell_text(row.get(name)) for name in columns]
        lines.append({"path": item_path(address) if address else "", "cells": cells})
    data = {
        "scheme": scheme,
        "total": rows.total,
        "rows": rows.to_dicts(),
        "notes": list(rows.notes),
    }
    shown = {
        "scheme": scheme,
        "columns": columns,
        "lines": lines,
        "filters": filters,
        "counted": rows.counted,
        "more": more,
    }
    return Document(template="list.html", title=f"{scheme}:", data=data, shown=shown)


def item_page(what: str, facts: Facts, item: Item | None, why: str, kinds: Kinds) -> Document:
    """Return the page of one thing.

    Parameters
    ----------
    what
        Its address, or ``place/NAME``.
    facts
        What is known of it.
    item
        The opened thing; None where it cannot be opened.
    why
        Why it cannot be opened.
    kinds
        The kinds of views.
    """
    views = list(_views(what, item, kinds)) if item is not None else []
    main = [view for view in views if view["kind"] not in _SIDE or len(views) == 1]
    data = facts.to_dict() | {
        "visuals": [{k: view[k] for k in ("kind", "name", "title", "base")} for view in views]
    }
    told = facts.labelled
    shown = {
        "what": what,
        "facts": facts,
        "fields": [(label, str(words), linked(str(words))) for label, words in told.items()],
        "sections": [s for s in facts.sections if s.text],
        "main": main,
        "side": [view for view in views if view not in main],
        "why": why,
        "here": item is not None,
    }
    return Document(template="item.html", title=facts.address, data=data, shown=shown)


def compare_page(what: str, each: Sequence[str], item: Item, kinds: Kinds) -> Document:
    """Return the page of several things side by side.

    Parameters
    ----------
    what
        What names them together.
    each
        Their addresses.
    item
        Them, opened.
    kinds
        The kinds of views.
    """
    views = list(_views(what, item, kinds))
    data = {
        "of": list(each),
        "visuals": [{k: view[k] for k in ("kind", "name", "title", "base")} for view in views],
    }
    shown = {"views": views, "each": [(one, item_path(one)) for one in each]}
    return Document(template="compare.html", title=" and ".join(each), data=data, shown=shown)


def _views(what: str, item: Item, kinds: Kinds) -> Iterator[dict[str, Any]]:
    for visual in item.visuals:
        base = data_path(to_key(what), visual.name)
        view = {"kind": visual.kind, "name": visual.name, "title": visual.title, "base": base}
        try:
            told = kinds[visual.kind].fallback(visual, base)
        except OpenAllenError as error:  # one view that cannot be drawn does not cost the page
            told = {"text": str(error)}
        yield {"pictures": [], "columns": [], "rows": [], "text": "", **told, **view}


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
        shown={"error": error, "status": status},
        status=status,
    )
