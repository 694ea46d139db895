"""How each kind of view answers: one module for each, none of which knows a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from openallen.errors import NotFoundError
from openallen.viewer.kept import Kept

if TYPE_CHECKING:
    from openallen.viewer.answers import Answer, Query

__all__ = ["Kind", "Kinds"]

_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "stack": "openallen.viewer.kinds.stack:StackKind",
        "cell": "openallen.viewer.kinds.cell:CellKind",
        "slices": "openallen.viewer.kinds.slices:SlicesKind",
        "traces": "openallen.viewer.kinds.traces:TracesKind",
        "raster": "openallen.viewer.kinds.raster:RasterKind",
        "table": "openallen.viewer.kinds.table:TableKind",
        "tree": "openallen.viewer.kinds.tree:TreeKind",
        "graph": "openallen.viewer.kinds.graph:GraphKind",
    }
)


class Kind(Protocol):
    """One kind of view.

    Attributes
    ----------
    heavy
        Whether its answers decode pictures, which is done for a few requests at once. A kind with a
        method ``weight(path)`` says so of each: ``light``, ``heavy``, or ``slow`` where it waits.
    """

    heavy: bool

    def answer(self, visual: Any, path: str, query: Query, gone: Callable[[], bool]) -> Answer:
        """Return what a view has at a path; needs nothing else, so that a notebook can ask too.

        Parameters
        ----------
        visual
            The view.
        path
            Below the view: ``meta.json``, ``tile/0/…``.
        query
            The query.
        gone
            Returns whether nobody waits for the answer any more.

        Raises
        ------
        OpenAllenError
            If there is nothing at that path, or it cannot be read.
        """

    def fallback(self, visual: Any, base: str) -> dict[str, Any]:
        """Return what the page shows without script: ``pictures``, ``table``, ``text``.

        Parameters
        ----------
        visual
            The view.
        base
            Where its answers are, with a slash at the end.

        Returns
        -------
        dict
            ``pictures``: list of (path below `base`, text); ``columns`` and ``rows``: a table;
            ``text``: a sentence; ``count``: how much there is, in words. Any may be left out.
        """

    def thumbnail(self, visual: Any) -> Answer | None:
        """Return a small picture; None where there is none without much work.

        Parameters
        ----------
        visual
            The view.
        """


class Kinds:
    """The kinds of views of one server: each keeps what it has decoded.

    Parameters
    ----------
    cache
        Folder for what takes long to be made again; None for memory only.

    Attributes
    ----------
    kept : Kept
        What all kinds have read, bounded together.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self._made: dict[str, Kind] = {}
        self._cache = cache
        self.kept = Kept()

    def __getitem__(self, name: str) -> Kind:
        """Return a kind.

        Raises
        ------
        NotFoundError
            If there is no such kind.
        """
        if name not in self._made:
            place = _KINDS.get(name)
            if place is None:
                raise NotFoundError(f"no kind of view '{name}'")
            module, _, found = place.partition(":")
            kind = getattr(import_module(module), found)
            offered = {"cache": self._cache, "kept": self.kept}
            takes = signature(kind).parameters
            self._made[name] = kind(**{k: v for k, v in offered.items() if k in takes})
        return self._made[name]
