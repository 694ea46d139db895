"""Pages of one thing: its views, what is known of it, and what can be done with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from openallen.address import Address
from openallen.display import bytes_text, count_text
from openallen.errors import OpenAllenError
from openallen.sources.base import Source
from openallen.sources.registry import SCHEMES
from openallen.viewer.forms import fields_of_options
from openallen.viewer.items import Item, to_key
from openallen.viewer.kinds import Kinds
from openallen.viewer.links import data_path, item_path, linked, list_path, outside
from openallen.viewer.lists import parents_of
from openallen.viewer.pages import Document

if TYPE_CHECKING:
    from openallen.plans import Plan
    from openallen.sources.facts import Facts, Field

__all__ = ["Around", "compare_page", "item_page", "plan_page", "remove_page"]

_SIDE: Final = frozenset({"cell"})
_TIME: Final = ("traces", "raster")
_PLACE: Final = "place/"


@dataclass(frozen=True, kw_only=True)
class Around:
    """What surrounds a thing: what of it is in the store, and what is done with it now.

    Parameters
    ----------
    held
        Rows of the store that are of it.
    jobs
        States of its jobs.
    """

    held: Sequence[Mapping[str, Any]] = ()
    jobs: Sequence[Mapping[str, Any]] = field(default=())


def item_page(
    what: str,
    facts: Facts,
    opened: Item | OpenAllenError,
    kinds: Kinds,
    around: Around,
) -> Document:
    """Return the page of one thing.

    Parameters
    ----------
    what
        Its address, or ``place/NAME``.
    facts
        What is known of it.
    opened
        The opened thing, or why it cannot be opened.
    kinds
        The kinds of views.
    around
        What surrounds it.
    """
    item = opened if isinstance(opened, Item) else None
    views = list(_views(what, item, kinds)) if item is not None else []
    main, folded = _arranged([v for v in views if v["kind"] not in _SIDE or len(views) == 1])
    data = facts.to_dict() | {
        "visuals": [{k: view[k] for k in ("kind", "name", "title", "base")} for view in views]
    }
    address = None if what.startswith(_PLACE) else Address.parse(what)
    source = SCHEMES[address.scheme] if address is not None else None
    fetchable = source is not None and source.job is not Source.job
    shown = {
        "what": what,
        "facts": facts,
        "fields": [_field(one) for one in facts.fields if one.words],
        "sections": [s for s in facts.sections if s.text],
        "pictures": _pictures(what, facts) if item is not None else [],
        "main": main,
        "folded": folded,
        "side": [view for view in views if view not in main and view not in folded],
        "why": None if isinstance(opened, Item) else opened,
        "here": item is not None,
        "held": [{**row, "size": bytes_text(int(row["size_bytes"]))} for row in around.held],
        "jobs": around.jobs,
        "fetchable": fetchable,
        "options": fields_of_options(source.fetch_options, {}) if source and fetchable else [],
        "plan": str(facts.plan) if facts.plan is not None else "",
        "lists": _lists(source, address) if source and address else [],
        "parents": parents_of(address) if address else [],
        "name": facts.address if address is None else str(address).partition(":")[2],
    }
    return Document(template="item.html", title=facts.address, data=data, shown=shown)


def _field(one: Field) -> tuple[str, list[tuple[str, str, str]]]:
    """Return a label, and its words with the pages they link to, here or elsewhere."""
    several = one.text is None and isinstance(one.value, (list, tuple))
    texts = [str(v) for v in one.value] if several else [one.words or ""]
    if several and not any(linked(text) or outside(text) for text in texts):
        texts = [one.words or ""]
    return one.label, [(text, linked(text) or "", outside(text) or "") for text in texts]


def _arranged(views: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return views in the order of a page, and those that are folded below them.

    Beside series and spikes, tables are for looking things up: each opens when it is wanted.
    """
    times = [view for kind in _TIME for view in views if view["kind"] == kind]
    if not times:
        return views, []
    others = [view for view in views if view not in times]
    folded = [view for view in others if view["kind"] == "table"]
    return times + [view for view in others if view not in folded], folded


def _pictures(what: str, facts: Facts) -> list[tuple[str, str]]:
    if what.startswith(_PLACE):
        return []
    base = f"/picture/{to_key(what)}/"
    return [(p.name, f"{base}{quote(p.name, safe='')}.png") for p in facts.pictures]


def _lists(source: type[Source], address: Address) -> list[tuple[str, str]]:
    return [(str(a), list_path(str(a))) for a in source.lists(address) if a.name]


def _views(what: str, item: Item, kinds: Kinds) -> Iterator[dict[str, Any]]:
    empty: dict[str, Any] = {
        "pictures": [], "columns": [], "numeric": [], "rows": [], "links": [], "text": "",
        "count": "",
    }  # fmt: skip
    for visual in item.visuals:
        base = data_path(to_key(what), visual.name)
        view = {"kind": visual.kind, "name": visual.name, "title": visual.title, "base": base}
        try:
            told = kinds[visual.kind].fallback(visual, base)
        except OpenAllenError as error:  # one view that cannot be drawn does not cost the page
            told = {"text": str(error)}
        yield {**empty, **told, **view}


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


def plan_page(address: str, plan: Plan, options: Mapping[str, str], limit_bytes: int) -> Document:
    """Return the page that says what a fetch takes, and asks whether to begin it.

    Parameters
    ----------
    address
        What is fetched.
    plan
        What it takes.
    options
        Its options, as text.
    limit_bytes
        Above this, the page says that it is large.
    """
    kind = SCHEMES[Address.parse(address).scheme].fetch_options
    shown = {
        "address": address,
        "path": item_path(address),
        "plan": plan,
        "text": str(plan),
        "missing": count_text(len(plan.missing), "file"),
        "size": plan.size_text,
        "large": plan.needs_confirmation(limit_bytes),
        "limit": bytes_text(limit_bytes),
        "given": list(options.items()),
        "options": fields_of_options(kind, options),
    }
    return Document(
        template="plan.html", title=f"Fetch {address}", data=plan.to_dict(), shown=shown
    )


def remove_page(address: str, row: Mapping[str, Any]) -> Document:
    """Return the page that asks whether to remove a thing from the store.

    Parameters
    ----------
    address
        The thing.
    row
        What would be removed: ``files`` and ``freed_bytes``.
    """
    shown = {
        "address": address,
        "path": item_path(address),
        "files": count_text(int(row["files"]), "file"),
        "size": bytes_text(int(row["freed_bytes"])),
    }
    return Document(template="remove.html", title=f"Remove {address}", data=dict(row), shown=shown)
