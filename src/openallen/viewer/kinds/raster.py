"""Spikes of many units: counts from afar, single spikes from close, a table of the units."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError, OpenAllenError, UsageError
from openallen.formats.png import gray_png
from openallen.sources.tables import cell_text
from openallen.viewer.aligned import counted, events_of
from openallen.viewer.answers import Answer, Query, json_answer, no_such, packed
from openallen.viewer.counts import BIN_S, Counts, counts_of, load_counts, save_counts
from openallen.viewer.culled import Stretches, stretches_drawn
from openallen.viewer.kept import Kept
from openallen.viewer.kinds.traces import Window, around, event_times, window_of
from openallen.visuals import IntervalTrack, RasterVisual

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["RasterKind"]

_SAVED_FROM: Final = 500_000
_MOST_SPIKES: Final = 120_000
_CLOSE_S: Final = 10.0
_FIRST: Final = 50


class RasterKind:
    """Answers of rasters."""

    heavy = True

    def __init__(self, cache: Path | None = None, kept: Kept | None = None) -> None:
        self._kept = kept or Kept()
        self._cache = cache

    def answer(
        self, visual: RasterVisual, path: str, query: Query, gone: Callable[[], bool]
    ) -> Answer:
        """Return ``meta.json``, ``view.bin``, …; see `openallen.viewer.kinds.Kind.answer`.

        Also ``spikes.json``, ``units.json``, ``aligned.json``, ``intervals/NAME.json`` and
        ``picture.png``.
        """
        del gone
        known: dict[str, Callable[[RasterVisual, Query], Answer]] = {
            "meta.json": self._meta,
            "view.bin": self._view,
            "spikes.json": self._spikes,
            "units.json": self._units,
            "aligned.json": self._aligned,
            "picture.png": self._picture,
        }
        if path in known:
            return known[path](visual, query)
        for track in visual.intervals:
            if path == f"intervals/{track.name}.json":
                found = self._stretches(visual, track)
                return json_answer(stretches_drawn(found, *window_of(visual, query)))
        raise no_such(path)

    # --- what is read, once -----------------------------------------------------------------------

    def counts(self, visual: RasterVisual) -> Counts:
        """Return the counts: from memory, from disk, or made of the spikes."""
        return self._kept.get(visual, "counts", lambda: self._made(visual), lambda c: c.bytes)

    def _made(self, visual: RasterVisual) -> Counts:
        if self._cache is not None and visual.source:
            found = load_counts(self._cache, visual.source)
            if found is not None:
                return found
        spikes = visual.spikes()
        made = counts_of(spikes, visual.from_s, visual.to_s)
        # A small raster is made faster than it is read.
        if self._cache is not None and visual.source and sum(map(len, spikes)) > _SAVED_FROM:
            save_counts(made, self._cache, visual.source)
        return made

    def rows(self, visual: RasterVisual) -> tuple[list[str], list[Mapping[str, Any]]]:
        """Return the columns of the units, and the units."""

        def made() -> tuple[list[str], list[Mapping[str, Any]]]:
            rows = list(visual.units())
            return list(dict.fromkeys(name for row in rows for name in row)), rows

        return self._kept.get(visual, "units", made, lambda v: 200 * len(v[0]) * len(v[1]))

    # --- answers ----------------------------------------------------------------------------------

    def _meta(self, visual: RasterVisual, _: Query) -> Answer:
        columns, rows = self.rows(visual)
        return json_answer(
            {
                "kind": visual.kind,
                "title": visual.title,
                "units": len(rows),
                "from_s": visual.from_s,
                "to_s": visual.to_s,
                "close_s": _CLOSE_S,
                "columns": [{"name": name, "numeric": _numeric(rows, name)} for name in columns],
                "intervals": [{"name": t.name, "title": t.title} for t in visual.intervals],
                "events": [{"name": t.name, "title": t.title} for t in visual.events],
            }
        )

    def _view(self, visual: RasterVisual, query: Query) -> Answer:
        import numpy as np

        window = window_of(visual, query)
        summed, begin, width = self._fine(visual, window).view(*window)
        most = int(summed.max(initial=0))
        scaled = summed if most <= 255 else np.rint(summed * (255 / most))
        head = {
            "units": summed.shape[0],
            "bins": summed.shape[1],
            "from_s": round(begin, 9),
            "bin_s": round(width, 9),
            # A value of the picture times this is the count.
            "scale": max(1.0, most / 255),
            "most": most,
        }
        told = json.dumps(head, separators=(",", ":")).encode()
        body = struct.pack("<I", len(told)) + told + scaled.astype(np.uint8).tobytes()
        return packed(Answer(body=body, media="application/octet-stream"), level=1)

    def _fine(self, visual: RasterVisual, window: Window) -> Counts:
        """Return counts fine enough for a window: of long recordings, those of it alone."""
        import numpy as np

        found = self.counts(visual)
        bin_s = BIN_S
        if found.bin_s <= max(bin_s, (window.to_s - window.from_s) / window.px):
            return found
        # Bins begin where those of all would, so that they stay in place while the window moves.
        begin = visual.from_s + bin_s * math.floor((window.from_s - visual.from_s) / bin_s)
        begin, end = max(begin, visual.from_s), min(window.to_s + bin_s, visual.to_s)
        if end <= begin:
            return found
        spikes = visual.spikes()
        cuts = [np.searchsorted(times, (begin, end)) for times in spikes]
        inside = [times[a:b] for times, (a, b) in zip(spikes, cuts, strict=True)]
        return counts_of(inside, begin, end)

    def _spikes(self, visual: RasterVisual, query: Query) -> Answer:
        import numpy as np

        from_s, to_s, _ = window_of(visual, query)
        if to_s - from_s > _CLOSE_S * 1.001:
            raise UsageError(
                f"spikes are for {_CLOSE_S:g} s at most",
                why=f"{to_s - from_s:g} s",
                hint="view.bin",
            )
        found, rows = [], []
        for row, times in enumerate(visual.spikes()):
            first, last = np.searchsorted(times, (from_s, to_s))
            found.append(times[first:last])
            rows.append(np.full(last - first, row))
        total = sum(map(len, found))
        if total > _MOST_SPIKES:
            return json_answer({"t": [], "row": [], "total": total, "many": True})
        times = np.concatenate([np.empty(0), *found])
        where = np.concatenate([np.empty(0, np.int64), *rows])
        return json_answer(
            {"t": times.round(5).tolist(), "row": where.tolist(), "total": total, "many": False}
        )

    def _units(self, visual: RasterVisual, _: Query) -> Answer:
        columns, rows = self.rows(visual)
        told = [{"name": name, "numeric": _numeric(rows, name)} for name in columns]
        cells = [[_plain(row.get(name)) for name in columns] for row in rows]
        return json_answer({"columns": told, "rows": cells})

    def _aligned(self, visual: RasterVisual, query: Query) -> Answer:
        _, rows = self.rows(visual)
        row = query.whole("row", 0, 0, max(0, len(rows) - 1))
        before, after = around(query)
        name = query.text("events")
        at = self._at(visual, name, query.text("label"))
        spikes = visual.spikes()
        if row >= len(spikes):
            raise NotFoundError("no such unit", address=str(row))
        bins = query.whole("bins", 60, 2, 1_000)
        told = counted(spikes[row], at, before, after, bins)
        return json_answer(told | {"unit": "spikes/s", "title": f"unit {rows[row].get('id', row)}"})

    def _at(self, visual: RasterVisual, name: str, label: str) -> NDArray[np.float64]:
        for event in visual.events:
            if event.name == name:
                return event_times(event)
        for interval in visual.intervals:
            if interval.name == name:
                return events_of(self._stretches(visual, interval), label)
        raise NotFoundError("no such events", address=name[:80])

    def _stretches(self, visual: RasterVisual, track: IntervalTrack) -> Stretches:
        name = ("intervals", track.name)
        return self._kept.get(visual, name, lambda: Stretches(*track.read()), lambda s: s.bytes)

    # --- pictures ---------------------------------------------------------------------------------

    def _picture(self, visual: RasterVisual, query: Query) -> Answer:
        import numpy as np

        window = window_of(visual, query)
        summed, _, _ = self.counts(visual).view(window.from_s, window.to_s, min(window.px, 1_200))
        if not summed.size:
            raise NotFoundError("no spikes to draw")
        # Bright where a unit fires as it seldom does; a square root, as counts are.
        top = np.percentile(summed, 99.5, axis=1, keepdims=True)
        shade = np.sqrt(np.clip(summed / np.maximum(top, 1), 0, 1))
        tall = max(1, round(240 / len(shade)))
        rows = [row.tobytes() for row in np.rint(255 * shade).astype(np.uint8)]
        return Answer(body=gray_png([r for r in rows for _ in range(tall)]), media="image/png")

    def fallback(self, visual: RasterVisual, base: str) -> dict[str, Any]:
        """Return a picture of all, and the first units as a table."""
        del base
        columns, rows = self.rows(visual)
        if not rows:
            return {"text": "no units"}
        cells = [[cell_text(_plain(row.get(name))) for name in columns] for row in rows[:_FIRST]]
        more = f"{len(cells)} of {len(rows):,} units" if len(rows) > len(cells) else ""
        span = f"{visual.from_s:,.0f} to {visual.to_s:,.0f} s"
        return {
            "pictures": [("picture.png", f"spikes of {len(rows):,} units, {span}, brighter: more")],
            "columns": columns,
            "rows": cells,
            "text": more,
        }

    def thumbnail(self, visual: RasterVisual) -> Answer | None:
        """Return the picture of all."""
        try:
            return self._picture(visual, Query({"px": "320"}))
        except OpenAllenError:
            return None


def _plain(value: Any) -> Any:
    """Return a value of a table as JSON has it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    item = getattr(value, "item", None)
    return item() if item is not None and getattr(value, "ndim", 1) == 0 else cell_text(value)


def _numeric(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    found = [value for row in rows if (value := _plain(row.get(name))) is not None]
    return bool(found) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) for v in found
    )
