"""Graphs of what became of what: laid out here in layers, from left to right.

A node stands one layer behind the last of those it came from; within a layer, nodes stand near
the middle of those they are linked with, so that few lines cross.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from openallen.harmless import harmless
from openallen.viewer.answers import Answer, Query, json_answer, no_such
from openallen.viewer.links import item_path
from openallen.visuals import GraphVisual, Link, Node

__all__ = ["GraphKind", "Placed", "curve", "layers_of", "placed"]

_CHAR_PX: Final = 7.4
_WIDEST: Final = 44
_HEIGHT_PX: Final = 46
_GAP_X_PX: Final = 72
_GAP_Y_PX: Final = 16
_EDGE_PX: Final = 12
_SWEEPS: Final = 6


@dataclass(frozen=True)
class Placed:
    """A node with its place, in px from the top left corner."""

    node: Node
    layer: int
    x: float
    y: float
    width: float
    lines: tuple[str, ...]


class GraphKind:
    """Answers of graphs."""

    heavy = False

    def answer(
        self, visual: GraphVisual, path: str, query: Query, gone: Callable[[], bool]
    ) -> Answer:
        """Return ``graph.json`` or ``graph.svg``; see `openallen.viewer.kinds.Kind.answer`."""
        del query, gone
        if path == "graph.json":
            return json_answer(_document(visual))
        if path == "graph.svg":
            return Answer(body=_svg(visual).encode(), media="image/svg+xml")
        raise no_such(path)

    def fallback(self, visual: GraphVisual, base: str) -> dict[str, Any]:
        """Return the drawing, and the nodes as a table with links."""
        del base
        names = {node.id: node.label for node in visual.nodes}
        sources: dict[str, list[str]] = {}
        for link in visual.links:
            sources.setdefault(link.end, []).append(names.get(link.start, link.start))
        return {
            "pictures": [("graph.svg", f"{visual.title}: drawing")] if visual.nodes else [],
            "columns": ["name", "kind", "made from"],
            "numeric": [False, False, False],
            "rows": [[n.label, n.kind, ", ".join(sources.get(n.id, []))] for n in visual.nodes],
            "links": [item_path(n.address) if n.address else None for n in visual.nodes],
        }

    def thumbnail(self, visual: GraphVisual) -> Answer | None:
        """Return None: in small it says nothing."""
        del visual
        return None


def layers_of(nodes: Sequence[str], links: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Return the layer of each node: 0 for those that came from nothing.

    Links that close a circle are left out of account.

    Parameters
    ----------
    nodes
        Ids.
    links
        Ids of start and end.
    """
    known = set(nodes)
    after: dict[str, list[str]] = {node: [] for node in nodes}
    for start, end in links:
        if start in known and end in known and start != end:
            after[start].append(end)
    order = _order(nodes, after)
    rank = {node: n for n, node in enumerate(order)}
    found = dict.fromkeys(nodes, 0)
    for node in order:
        for end in after[node]:
            if rank[end] > rank[node]:
                found[end] = max(found[end], found[node] + 1)
    return found


def _order(nodes: Sequence[str], after: Mapping[str, Sequence[str]]) -> list[str]:
    """Return nodes so that links go forward, but those that close a circle; without recursion."""
    done: list[str] = []
    seen: set[str] = set()
    for first in nodes:
        if first in seen:
            continue
        seen.add(first)
        stack = [(first, iter(after[first]))]
        while stack:
            node, rest = stack[-1]
            following = next((end for end in rest if end not in seen), None)
            if following is None:
                done.append(node)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(after[following])))
    return done[::-1]


def placed(visual: GraphVisual) -> tuple[dict[str, Placed], float, float]:
    """Return nodes with their places by id, and the width and height of the drawing in px.

    Parameters
    ----------
    visual
        The graph.
    """
    by_id = {node.id: node for node in visual.nodes}
    pairs = [(link.start, link.end) for link in visual.links]
    layer = layers_of(list(by_id), pairs)
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for name in by_id:
        rows[layer[name]].append(name)
    _untangle(rows, pairs)
    tallest = max((len(row) for row in rows), default=0)
    height = tallest * (_HEIGHT_PX + _GAP_Y_PX) - _GAP_Y_PX + 2 * _EDGE_PX
    found: dict[str, Placed] = {}
    x = float(_EDGE_PX)
    for n, row in enumerate(rows):
        lines = {name: _lines(by_id[name]) for name in row}
        widest = max(len(line) for told in lines.values() for line in told)
        width = round(widest * _CHAR_PX + 24)
        top = (height - len(row) * (_HEIGHT_PX + _GAP_Y_PX) + _GAP_Y_PX) / 2
        for place, name in enumerate(row):
            y = top + place * (_HEIGHT_PX + _GAP_Y_PX)
            found[name] = Placed(by_id[name], n, x, y, width, lines[name])
        x += width + _GAP_X_PX
    return found, max(2.0 * _EDGE_PX, x - _GAP_X_PX + _EDGE_PX), max(2.0 * _EDGE_PX, height)


def _untangle(rows: list[list[str]], pairs: Sequence[tuple[str, str]]) -> None:
    """Move nodes of each layer towards the middle of their neighbours, forth and back."""
    near: dict[str, list[str]] = {}
    for start, end in pairs:
        near.setdefault(start, []).append(end)
        near.setdefault(end, []).append(start)
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            # Places as parts of the layer: layers of different sizes are compared.
            at = {name: (n + 0.5) / len(r) for r in rows for n, name in enumerate(r)}
            middle = {
                name: sum(at[o] for o in others) / len(others)
                if (others := [o for o in near.get(name, ()) if o in at])
                else at[name]
                for name in row
            }
            row.sort(key=lambda name, middle=middle: middle[name])  # type: ignore[misc]


def _lines(node: Node) -> tuple[str, ...]:
    """Return what stands in the box of a node, its kind in front."""
    text = harmless(node.label)
    short = text if len(text) <= _WIDEST else f"{text[: _WIDEST - 12]}…{text[-11:]}"
    return (harmless(node.kind)[:_WIDEST], short)


def _document(visual: GraphVisual) -> dict[str, Any]:
    found, width, height = placed(visual)
    return {
        "kind": visual.kind,
        "title": visual.title,
        "width": width,
        "height": height,
        "node_height": _HEIGHT_PX,
        "nodes": [
            {
                "id": one.node.id,
                "label": one.node.label,
                "short": one.lines[1],
                "kind": one.node.kind,
                "address": one.node.address,
                "path": item_path(one.node.address) if one.node.address else None,
                "x": one.x,
                "y": one.y,
                "width": one.width,
            }
            for one in found.values()
        ],
        "edges": [[link.start, link.end, link.label] for link in _drawn(visual.links, found)],
    }


def _drawn(links: Iterable[Link], found: Mapping[str, Placed]) -> list[Link]:
    return [link for link in links if link.start in found and link.end in found]


def curve(start: Placed, end: Placed) -> str:
    """Return the path of a link in SVG: from the right of a box to the left of another."""
    x1, y1 = start.x + start.width, start.y + _HEIGHT_PX / 2
    x2, y2 = end.x, end.y + _HEIGHT_PX / 2
    bend = max(30.0, abs(x2 - x1) / 2)
    return f"M{x1:g},{y1:g}C{x1 + bend:g},{y1:g} {x2 - bend:g},{y2:g} {x2:g},{y2:g}"


# A picture has no colours of the page: these can be read on light and on dark. They are attributes,
# since the policy of the pages allows no style inside a document.
_LINE: Final = 'fill="none" stroke="#7b8790" stroke-width="1.3"'
_KIND: Final = 'font-family="sans-serif" font-size="10" fill="#7b8790"'
_TEXT: Final = 'font-family="sans-serif" font-size="12" fill="#5f7f9f"'


def _svg(visual: GraphVisual) -> str:
    found, width, height = placed(visual)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}">'
    ]
    parts += [
        f'<path d="{curve(found[link.start], found[link.end])}" {_LINE}/>'
        for link in _drawn(visual.links, found)
    ]
    for one in found.values():
        x, y = one.x + 12, one.y
        parts.append(
            f'<rect x="{one.x:g}" y="{y:g}" width="{one.width:g}" height="{_HEIGHT_PX}" rx="7" '
            f"{_LINE}/>"
            f'<text x="{x:g}" y="{y + 17:g}" {_KIND}>{escape(one.lines[0])}</text>'
            f'<text x="{x:g}" y="{y + 34:g}" {_TEXT}>{escape(one.lines[1])}</text>'
        )
    return "".join([*parts, "</svg>"])
