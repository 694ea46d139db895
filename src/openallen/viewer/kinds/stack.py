"""Stacks of planes: small pictures of whole planes, tiles, projections, focus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openallen.errors import NotFoundError
from openallen.viewer.answers import Answer, Query, json_answer, no_such
from openallen.visuals import StackVisual

__all__ = ["StackKind"]


class StackKind:
    """Answers of stacks."""

    heavy = True

    def answer(
        self, visual: StackVisual, path: str, query: Query, gone: Callable[[], bool]
    ) -> Answer:
        """Return ``meta.json`` or ``plane/KEY.jpg``; see `openallen.viewer.kinds.Kind.answer`."""
        del query, gone
        if path == "meta.json":
            return json_answer(_meta(visual))
        first, _, rest = path.partition("/")
        if first == "plane" and rest.endswith(".jpg") and visual.jpeg is not None:
            return Answer(body=visual.jpeg(_position(visual, rest[:-4])), media="image/jpeg")
        raise no_such(path)

    def fallback(self, visual: StackVisual, base: str) -> dict[str, Any]:
        """Return a few planes as pictures."""
        del base
        here = [plane for plane in visual.planes() if plane.key]
        some = here[:: max(1, len(here) // 6)][:6]
        return {"pictures": [(f"plane/{plane.key}.jpg", plane.label) for plane in some]}

    def thumbnail(self, visual: StackVisual) -> Answer | None:
        """Return the plane in the middle."""
        here = [n for n, plane in enumerate(visual.planes()) if plane.key]
        if not here or visual.jpeg is None:
            return None
        return Answer(body=visual.jpeg(here[len(here) // 2]), media="image/jpeg")


def _position(visual: StackVisual, key: str) -> int:
    for n, plane in enumerate(visual.planes()):
        if plane.key == key:
            return n
    raise NotFoundError("no such plane", address=key[:80])


def _meta(visual: StackVisual) -> dict[str, Any]:
    planes = visual.planes()
    return {
        "kind": visual.kind,
        "title": visual.title,
        "simulated": visual.simulated,
        "width_px": visual.width_px,
        "height_px": visual.height_px,
        "pixel_um": visual.pixel_um,
        "planes": [{"label": p.label, "z_um": p.z_um, "key": p.key} for p in planes],
        "tile_px": 512,
        "overviews": [],
        "colour": visual.colour,
        "channels": [{"name": c.name, "window": c.window} for c in visual.channels],
        "cell": visual.cell,
        "complete": all(plane.key for plane in planes),
    }
