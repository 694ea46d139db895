"""Views of rows, and of things that lead to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from openallen.visuals.base import Visual

__all__ = ["GraphVisual", "Link", "Node", "TableVisual"]


@dataclass(frozen=True, kw_only=True)
class TableVisual(Visual):
    """A table.

    Parameters
    ----------
    table
        Returns it: a DataFrame, or a sequence of mappings.
    address
        Returns the address of a row, where rows are things of their own.
    """

    kind: ClassVar[str] = "table"
    table: Callable[[], Any]
    address: Callable[[Mapping[str, Any]], str | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Node:
    """One thing of a graph.

    Parameters
    ----------
    id
        What tells it from the others.
    label
        What people read.
    kind
        What it is, in a word; nodes of a kind look alike.
    address
        Its address; None where it has none.
    """

    id: str
    label: str
    kind: str = ""
    address: str | None = None


@dataclass(frozen=True, kw_only=True)
class Link:
    """One link of a graph: `start` led to `end`.

    Parameters
    ----------
    start, end
        Ids of nodes.
    label
        What it says; empty for nothing.
    """

    start: str
    end: str
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class GraphVisual(Visual):
    """Things and what became of them: provenance.

    Parameters
    ----------
    nodes, links
        The graph.
    """

    kind: ClassVar[str] = "graph"
    nodes: tuple[Node, ...] = ()
    links: tuple[Link, ...] = field(default=())
