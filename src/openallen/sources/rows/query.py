"""Queries of brain-map.org, begun by a model, RMA text, or a request URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.settings import Settings
from openallen.sources.context import connected

if TYPE_CHECKING:
    from openallen.brainmap import Search

__all__ = ["query"]


def query(model_or_rma: str, *, source: str | None = None) -> Search:
    """Begin a query of brain-map.org.

    Parameters
    ----------
    model_or_rma
        A model's name (``"ProjectionImage"``), RMA text, or a request URL.
    source
        ``live`` (the default), ``sample``, or the folder or URL of an archive.

    Returns
    -------
    Search
        Immutable; nothing is asked before rows are wanted.

    Raises
    ------
    QueryError
        If the text is not RMA.

    Examples
    --------
    >>> import openallen as oa
    >>> images = oa.query("ProjectionImage", source="sample").where(specimen_id=313862022)
    >>> images.count()
    4
    """
    from openallen.brainmap import Search

    chosen = Settings.load(source=source).source
    return Search.of(model_or_rma, connect=lambda: connected(source=chosen), source=chosen)
