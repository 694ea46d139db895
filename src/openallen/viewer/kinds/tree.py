"""Ontologies: all structures at once, for the page to search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from openallen.viewer.answers import Answer, Query, json_answer, no_such
from openallen.visuals import TreeVisual

__all__ = ["TreeKind"]

_ROWS: Final = 50


class TreeKind:
    """Answers of ontologies."""

    heavy = False

    def answer(
        self, visual: TreeVisual, path: str, query: Query, gone: Callable[[], bool]
    ) -> Answer:
        """Return ``meta.json``; see `openallen.viewer.kinds.Kind.answer`."""
        del query, gone
        if path != "meta.json":
            raise no_such(path)
        return json_answer(
            {
                "kind": visual.kind,
                "title": visual.title,
                "structures": [
                    {
                        "index": n,
                        "id": s.id,
                        "acronym": s.acronym,
                        "name": s.name,
                        "rgb": s.rgb,
                        "parent": s.parent,
                        "address": visual.address(s.id) if visual.address else None,
                    }
                    for n, s in enumerate(visual.structures())
                ],
            }
        )

    def fallback(self, visual: TreeVisual, base: str) -> dict[str, Any]:
        """Return how many structures there are."""
        del base
        return {"text": f"{len(visual.structures()):,} structures"}

    def thumbnail(self, visual: TreeVisual) -> Answer | None:
        """Return None: an ontology has no picture."""
        del visual
        return None
