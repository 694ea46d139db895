"""Look at a thing in a notebook: its card with a picture, and the live views of the web view.

The views ask the kernel over the notebook's own message channel. Nothing listens on a port, so
they work where the browser is on another machine than the kernel.
"""

from __future__ import annotations

import base64
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from openallen import verbs
from openallen.address import Address
from openallen.display import card
from openallen.errors import NotFoundError, OpenAllenError, UsageError, requiring
from openallen.settings import Settings
from openallen.sources.opened import facts_of_opened
from openallen.viewer.answers import Answer
from openallen.viewer.assets import assets
from openallen.viewer.kinds import Kinds
from openallen.visuals import Visual, visuals_of

if TYPE_CHECKING:
    from openallen.viewer.notebook import NotebookView

__all__ = ["static_card", "view"]


def view(what: Any, *, source: str | None = None, settings: Settings | None = None) -> NotebookView:
    """Return the live view of a thing, for the last line of a notebook's cell.

    Its output is a card with a picture, which stays in a saved or exported notebook, and below it
    the views of `openallen view`, which need a running kernel. They are answered between cells:
    while a cell runs, they wait.

    Parameters
    ----------
    what
        An address, the path of a file or folder, or a thing that `openallen.open` returned.
    source
        ``live`` (the default), ``sample``, or the folder or URL of an archive.
    settings
        Settings to use; loaded from the environment and files if None.

    Returns
    -------
    NotebookView
        A widget of anywidget.

    Raises
    ------
    MissingExtraError
        Without the extra ``widget``.
    NotFoundError
        If it is not here, with the command that fetches it.
    UsageError
        If there is nothing to look at.

    Examples
    --------
    ::

        import openallen as oa

        oa.view("stack:313862022")
    """
    with requiring("a live view in a notebook", "widget"):
        from openallen.viewer.notebook import NotebookView
    if "widget.js" not in assets().files:
        raise NotFoundError("the front end is not built", hint="npm run build, in web/")
    named = isinstance(what, (str, Path, Address))
    thing = verbs.open(what, source=source, settings=settings) if named else what
    visuals = visuals_of(thing)
    if not visuals:
        raise UsageError(
            "nothing to look at", address=str(what) if named else "", why=type(thing).__name__
        )
    name = uuid4().hex
    kinds = _kinds((settings or Settings.load()).store)
    shown = static_card(thing, visuals, kinds, str(what) if named else "")
    html = f'<div data-openallen="{name}">{shown}</div>'
    return NotebookView(visuals, kinds, name=name, html=html, text=repr(thing))


@cache
def _kinds(store: Path) -> Kinds:
    """Return what answers all views of this kernel: they share one pool of what is decoded."""
    return Kinds(store / "views")


def static_card(thing: Any, visuals: tuple[Visual, ...], kinds: Kinds, address: str = "") -> str:
    """Return a thing as HTML, with a small picture where one of its views has one.

    Parameters
    ----------
    thing
        The opened thing.
    visuals
        Its views.
    kinds
        What answers them.
    address
        Its address.
    """
    facts = facts_of_opened(thing, address)
    told = {field.label: field.words for field in facts.fields}
    return card(facts.title, told, image=_picture(visuals, kinds))


def _picture(visuals: tuple[Visual, ...], kinds: Kinds) -> str:
    """Return the first small picture as a ``data:`` URI; empty where there is none."""
    for visual in visuals:
        try:
            found = kinds[visual.kind].thumbnail(visual)
        except OpenAllenError:  # what is damaged says so in the live view
            continue
        if found is not None:
            return _data_uri(found)
    return ""


def _data_uri(answer: Answer) -> str:
    body = base64.b64encode(answer.body).decode()
    return f"data:{escape(answer.media)};base64,{body}"
