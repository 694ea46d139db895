"""A reconstruction: its SWC, and what counts its nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openallen.viewer.answers import Answer, Query, json_answer, no_such
from openallen.visuals import CellVisual

__all__ = ["CellKind"]


class CellKind:
    """Answers of reconstructions."""

    heavy = False

    def answer(
        self, visual: CellVisual, path: str, query: Query, gone: Callable[[], bool]
    ) -> Answer:
        """Return ``meta.json`` or ``cell.swc``; see `openallen.viewer.kinds.Kind.answer`."""
        del query, gone
        if path == "meta.json":
            return json_answer(
                {
                    "kind": visual.kind,
                    "title": visual.title,
                    "nodes": _nodes(visual.swc()),
                    "unit": "µm",
                }
            )
        if path == "cell.swc":
            return Answer(body=visual.swc().encode(), media="text/plain; charset=utf-8")
        raise no_such(path)

    def fallback(self, visual: CellVisual, base: str) -> dict[str, Any]:
        """Return the number of nodes, in words."""
        del base
        return {"text": f"{_nodes(visual.swc()):,} nodes"}

    def thumbnail(self, visual: CellVisual) -> Answer | None:
        """Return None: a reconstruction is drawn by the page."""
        del visual
        return None


def _nodes(swc: str) -> int:
    lines = (line.strip() for line in swc.splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)
