"""Series over time: extremes of each pixel, stretches, events, regions of interest, responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from openallen.errors import NotFoundError, OpenAllenError, UsageError
from openallen.formats.png import gray_png
from openallen.viewer.aligned import events_of, responses
from openallen.viewer.answers import Answer, Query, json_answer, no_such
from openallen.viewer.culled import Stretches, points_drawn, stretches_drawn
from openallen.viewer.kept import Kept
from openallen.viewer.pyramid import Pyramid, Seen, pyramid
from openallen.visuals import EventTrack, IntervalTrack, Rois, TracesVisual, Track

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["TracesKind", "Window", "event_times", "window_of"]

_MOST_PX: Final = 8_192
_LONGEST_AROUND_S: Final = 3_600.0
_DRAWN: Final = 12

T = TypeVar("T", Track, IntervalTrack, EventTrack)
M = TypeVar("M")


class Window(NamedTuple):
    """A stretch of time and its width on screen."""

    from_s: float
    to_s: float
    px: int


class TracesKind:
    """Answers of series over time."""

    heavy = True

    def __init__(self, kept: Kept | None = None) -> None:
        self._kept = kept or Kept()

    def answer(
        self, visual: TracesVisual, path: str, query: Query, gone: Callable[[], bool]
    ) -> Answer:
        """Return ``meta.json``, ``track/NAME.json``, …; see `openallen.viewer.kinds.Kind.answer`.

        Also ``intervals/NAME.json``, ``events/NAME.json``, ``aligned.json``, ``rois/image.png``,
        ``rois/labels.bin`` and ``plot.svg``.
        """
        del gone
        known: dict[str, Callable[[TracesVisual, Query], Answer]] = {
            "meta.json": self._meta,
            "aligned.json": self._aligned,
            "plot.svg": self._plot,
            "rois/image.png": self._image,
            "rois/labels.bin": self._labels,
        }
        if path in known:
            return known[path](visual, query)
        first, _, rest = path.partition("/")
        name = rest.removesuffix(".json")
        if name == rest or "/" in name:
            raise no_such(path)
        if first == "track":
            return self._track(visual, _named(visual.tracks, name), query)
        if first == "intervals":
            found = self.stretches(visual, _named(visual.intervals, name))
            return json_answer(stretches_drawn(found, *window_of(visual, query)))
        if first == "events":
            points = self.points(visual, _named(visual.events, name))
            return json_answer(points_drawn(points, *window_of(visual, query)))
        raise no_such(path)

    # --- what is read, once -----------------------------------------------------------------------

    def pyramid(self, visual: TracesVisual, track: Track, window: Window | None = None) -> Pyramid:
        """Return the pyramid of a track; of a window where it is too much to be read at once."""
        if track.part is not None:
            part = track.part
            at = (visual.from_s, visual.to_s) if window is None else window[:2]
            return pyramid(*part(*at))
        return self._once(visual, ("track", track.name), lambda: pyramid(*track.read()))

    def stretches(self, visual: Any, track: IntervalTrack) -> Stretches:
        """Return stretches of time."""
        return self._once(visual, ("intervals", track.name), lambda: Stretches(*track.read()))

    def points(self, visual: Any, track: EventTrack) -> NDArray[np.float64]:
        """Return times of events, ascending."""
        return self._once(visual, ("events", track.name), lambda: event_times(track))

    def _once(self, visual: Any, name: tuple[str, str], make: Callable[[], M]) -> M:
        return self._kept.get(
            visual, name, make, lambda v: int(getattr(v, "bytes", getattr(v, "nbytes", 64)))
        )

    # --- answers ----------------------------------------------------------------------------------

    def _meta(self, visual: TracesVisual, _: Query) -> Answer:
        told = {
            "kind": visual.kind,
            "title": visual.title,
            "from_s": visual.from_s,
            "to_s": visual.to_s,
            "axis": visual.axis,
            "longest_s": visual.longest_s,
            "tracks": [
                {"name": t.name, "title": t.title, "unit": t.unit, "group": t.group or t.name,
                 "shown": t.shown}
                for t in visual.tracks
            ],
            "intervals": [
                {"name": t.name, "title": t.title, "table": t.table} for t in visual.intervals
            ],
            "events": [{"name": t.name, "title": t.title} for t in visual.events],
            "rois": self._rois(visual),
        }  # fmt: skip
        return json_answer(told)

    def _rois(self, visual: TracesVisual) -> dict[str, Any] | None:
        if visual.rois is None:
            return None
        try:
            height, width = self._mask(visual, visual.rois).shape
        except OpenAllenError:  # masks that cannot be read do not cost the traces
            return None
        return {
            "width_px": width,
            "height_px": height,
            "ids": list(visual.rois.ids),
            "tracks": list(visual.rois.tracks),
        }

    def _track(self, visual: TracesVisual, track: Track, query: Query) -> Answer:
        window = window_of(visual, query)
        if visual.longest_s is not None and window.to_s - window.from_s > visual.longest_s * 1.001:
            raise UsageError(
                f"more than {visual.longest_s:g} s at once", address=track.name, hint="zoom in"
            )
        seen = self.pyramid(visual, track, window).seen(*window)
        return json_answer(_told(seen))

    def _aligned(self, visual: TracesVisual, query: Query) -> Answer:
        track = _named(visual.tracks, query.text("track"))
        at = self.aligned_to(visual, query)
        before, after = around(query)
        if track.part is not None:
            raise UsageError("too long to be aligned", address=track.name)
        whole = self.pyramid(visual, track)
        told = responses(whole.times_s, whole.lows[0], at, before, after)
        return json_answer(told | {"unit": track.unit, "title": track.title})

    def aligned_to(self, visual: Any, query: Query) -> NDArray[np.float64]:
        """Return the times of the events that a query names.

        Raises
        ------
        NotFoundError
            If there are no such events.
        """
        name = query.text("events")
        for track in visual.events:
            if track.name == name:
                return events_of(self.points(visual, track), "")
        stretches = self.stretches(visual, _named(visual.intervals, name))
        return events_of(stretches, query.text("label"))

    # --- pictures ---------------------------------------------------------------------------------

    def _mask(self, visual: TracesVisual, rois: Rois) -> NDArray[np.uint16]:
        import numpy as np

        def read() -> NDArray[np.uint16]:
            return np.ascontiguousarray(rois.labels(), dtype="<u2")

        return self._once(visual, ("rois", "labels"), read)

    def _labels(self, visual: TracesVisual, _: Query) -> Answer:
        if visual.rois is None:
            raise no_such("rois/labels.bin")
        body = self._mask(visual, visual.rois).tobytes()
        return Answer(body=body, media="application/octet-stream")

    def _image(self, visual: TracesVisual, _: Query) -> Answer:
        if visual.rois is None:
            raise no_such("rois/image.png")
        rois = visual.rois
        body = self._once(visual, ("rois", "image"), lambda: _gray(rois.image()))
        return Answer(body=body, media="image/png")

    def _plot(self, visual: TracesVisual, query: Query) -> Answer:
        return Answer(body=self._drawn(visual, query, (960, 0)), media="image/svg+xml")

    def _drawn(self, visual: TracesVisual, query: Query, size_px: tuple[int, int]) -> bytes:
        from openallen.viewer.plots import Row, drawing

        width, height = size_px
        window = _at_most(visual, window_of(visual, query))._replace(px=width)
        rows: list[Row] = []
        for track in [t for t in visual.tracks if t.shown][:_DRAWN]:
            try:
                seen = self.pyramid(visual, track, window).seen(*window)
            except OpenAllenError:
                continue
            rows.append(Row(track.title, track.unit, seen))
        stretches, ticks = [], []
        for interval in visual.intervals[:1]:
            try:
                stretches.append(stretches_drawn(self.stretches(visual, interval), *window))
            except OpenAllenError:
                continue
        for event in visual.events:
            try:
                ticks.append((event.title, points_drawn(self.points(visual, event), *window)["t"]))
            except OpenAllenError:
                continue
        return drawing(rows, stretches, ticks, window, visual.axis, small_px=height)

    def fallback(self, visual: TracesVisual, base: str) -> dict[str, Any]:
        """Return a plot of the first tracks, and the image of the regions."""
        del base
        pictures = []
        if visual.rois is not None:
            pictures.append(("rois/image.png", "maximum projection"))
        if visual.tracks or visual.events:
            pictures.append(("plot.svg", f"{visual.title}: {_listed(visual)}"))
        return {"pictures": pictures} if pictures else {"text": "nothing over time is stored"}

    def thumbnail(self, visual: TracesVisual) -> Answer | None:
        """Return the image of the regions, else a small plot."""
        try:
            if visual.rois is not None:
                return self._image(visual, Query())
            body = self._drawn(visual, Query(), (160, 120))
        except OpenAllenError:
            return None
        return Answer(body=body, media="image/svg+xml")


def _listed(visual: TracesVisual) -> str:
    groups = list(dict.fromkeys(t.group or t.title for t in visual.tracks if t.shown))
    return ", ".join([*groups, *(e.title for e in visual.events)][:8])


def _named(tracks: Sequence[T], name: str) -> T:
    for track in tracks:
        if track.name == name:
            return track
    raise NotFoundError("no such track", address=name[:80])


def event_times(track: EventTrack) -> NDArray[np.float64]:
    """Return the times of events in s, ascending; those without a time are left out."""
    import numpy as np

    times = np.asarray(track.read(), dtype=np.float64)
    found: NDArray[np.float64] = np.sort(times[np.isfinite(times)])
    return found


def window_of(visual: Any, query: Query) -> Window:
    """Return the window that a query asks for; by default all.

    Raises
    ------
    UsageError
        If it does not end after it begins, or its width is not one of a screen.
    """
    from_s, to_s = query.number("from", visual.from_s), query.number("to", visual.to_s)
    if query.text("from") == "" and query.text("to") == "" and to_s <= from_s:
        to_s = from_s + 1.0  # a thing without any duration has a page too
    if not from_s < to_s or to_s - from_s < 1e-9 * max(1.0, abs(from_s)):
        raise UsageError("the window ends before it begins", why=f"{from_s:g} to {to_s:g} s")
    if to_s - from_s > 1e12:
        raise UsageError("the window is too long", why=f"{from_s:g} to {to_s:g} s")
    return Window(from_s, to_s, query.whole("px", 1_000, 1, _MOST_PX))


def _at_most(visual: TracesVisual, window: Window) -> Window:
    longest = visual.longest_s
    if longest is None or window.to_s - window.from_s <= longest:
        return window
    return window._replace(to_s=window.from_s + longest)


def around(query: Query) -> tuple[float, float]:
    """Return how long before and after an event is looked at, in s.

    Raises
    ------
    UsageError
        If it is nothing, or more than an hour.
    """
    before, after = query.number("before", 1.0), query.number("after", 2.0)
    if not 0 < before + after <= _LONGEST_AROUND_S or abs(before) > _LONGEST_AROUND_S:
        raise UsageError("no such window around events", why=f"-{before:g} to {after:g} s")
    return before, after


def _told(seen: Seen) -> dict[str, Any]:
    times = seen.times_s.round(6).tolist()
    if seen.exact:
        return {"t": times, "y": seen.low.tolist()}
    return {"t": times, "lo": seen.low.tolist(), "hi": seen.high.tolist()}


def _gray(image: NDArray[Any]) -> bytes:
    """Return an image as a gray PNG, its brightest half percent cut off."""
    import numpy as np

    data = np.asarray(image, dtype=np.float64)
    if data.ndim != 2 or not data.size:
        raise NotFoundError("no image", why=f"its shape is {data.shape}")
    known = data[np.isfinite(data)]
    low, high = np.percentile(known, [1, 99.5]) if known.size else (0.0, 1.0)
    scaled = np.clip((data - low) / max(high - low, 1e-12), 0, 1) * 255
    return gray_png([row.tobytes() for row in np.nan_to_num(scaled).astype(np.uint8)])
