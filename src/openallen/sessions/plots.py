"""Pictures of a session, one line each; matplotlib draws them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.display import count_text, new_figure
from openallen.errors import NotFoundError, OpenAllenError, UsageError
from openallen.sessions.marks import flat_bar, plain, round_below, upright_bar
from openallen.sessions.rasters import (
    cell_rows,
    draw_rows,
    good_units,
    name_groups,
    row_name,
    unit_rows,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from openallen.sessions.signals import Behaving

__all__ = ["Plots"]

_INK: Final = "#2b4c7e"
_ACCENT: Final = "#c8553d"
_GRAY: Final = "#8a8f98"
_COLOURS: Final = ("#3b7a57", "#7a4988", "#b07d2b", "#3f7d8c", "#c8553d", "#2b4c7e")
_BLANK: Final = "spontaneous"
_WIDTH_CHARACTERS: Final = 130
"""How many characters of a label fit beside each other in the width of a picture."""
_MOST_NAMED: Final = 40
_PT_PER_IN: Final = 72.0

Panel = tuple[float, Callable[["Axes"], None]]
"""Height in inches, and what draws it."""


class Plots:
    """Draws a session.

    Parameters
    ----------
    session
        What to draw.
    """

    def __init__(self, session: Behaving) -> None:
        self._session = session

    # --- overview -------------------------------------------------------------------------------

    def overview(
        self, window_s: tuple[float, float] | None = None, cells: int = 8, units: int = 60
    ) -> Figure:
        """Draw all there is on one axis of time; see `BehaviorSession.plot_overview`."""
        start, stop = self._window(window_s)
        made = (
            self._shown(start, stop),
            self._traces(start, stop, cells),
            self._spikes(start, stop, units),
            self._running(start, stop),
            self._pupil(start, stop),
            self._licks(start, stop),
        )
        panels = [panel for panel in made if panel is not None]
        if not panels:
            raise NotFoundError(
                "nothing to draw",
                address=self._session.name,
                why="no stimuli, traces, spikes, running, pupil, licks or rewards in it",
            )
        heights = [height for height, _ in panels]
        figure = _figure((10, sum(heights) + 0.9))
        axes = figure.subplots(
            len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
        )[:, 0]
        for axis, (_, draw) in zip(axes, panels, strict=True):
            draw(axis)
            plain(axis)
        axes[-1].set_xlim(start, stop)
        axes[-1].set_xlabel("time (s)", fontsize=9)
        figure.align_ylabels(list(axes))
        figure.suptitle(self._title(), fontsize=11)
        return figure

    def _window(self, window_s: tuple[float, float] | None) -> tuple[float, float]:
        if window_s is not None:
            start, stop = window_s
            if not start < stop:
                raise UsageError("the window ends before it begins", why=f"{start} to {stop} s")
            return start, stop
        trials = self._there("trials")
        start = float(trials["start_time"].iloc[0]) if trials is not None else 0.0
        return start, start + 120.0

    def _there(self, attribute: str) -> pd.DataFrame | None:
        """Return a table of the session; None where it is missing or empty."""
        try:
            found: pd.DataFrame | None = getattr(self._session, attribute, None)
        except NotFoundError:
            return None
        return found if found is not None and len(found) else None

    def _shown(self, start: float, stop: float) -> Panel | None:
        """Blocks of stimuli, of sessions that say them; each stimulus has a colour."""
        table = self._there("stimulus_epochs")
        if table is None:
            return None
        names = list(dict.fromkeys(name for name in table["stimulus_name"] if name != _BLANK))
        ends = "stop_time" if "stop_time" in table else "end_time"

        def draw(axis: Axes) -> None:
            rows = zip(table["stimulus_name"], table["start_time"], table[ends], strict=True)
            for name, begin, end in rows:
                first, last = max(float(begin), start), min(float(end), stop)
                if not first < last:
                    continue
                colour = _GRAY if name == _BLANK else _COLOURS[names.index(name) % len(_COLOURS)]
                axis.axvspan(first, last, color=colour, linewidth=0)
                if (last - first) / (stop - start) * _WIDTH_CHARACTERS >= len(name):
                    place = (first + last) / 2
                    axis.text(place, 0.5, name, ha="center", va="center", color="w", fontsize=8)
            axis.set_ylim(0, 1)
            axis.set_yticks([0.5], ["stimuli"])
            axis.tick_params(axis="y", length=0)

        return 0.3, draw

    def _traces(self, start: float, stop: float, cells: int) -> Panel | None:
        if cells < 1 or self._there("dff_traces") is None:
            return None
        session: Any = self._session
        found = session.traces.isel(cell_specimen_id=slice(cells)).sel(time=slice(start, stop))

        def draw(axis: Axes) -> None:
            import numpy as np

            values = np.ma.masked_invalid(found.to_numpy())
            spans: Any = np.ma.compressed(np.ma.ptp(values, axis=1)) if values.size else []
            step = float(np.percentile(spans, 80)) if len(spans) else 0.0
            step = step or 1.0
            for row, trace in enumerate(values):
                axis.plot(found["time"], trace - row * step, color=_INK, linewidth=0.7)
            axis.set_yticks([-row * step for row in range(len(values))])
            axis.set_yticklabels([row_name(i) for i in found["cell_specimen_id"].to_numpy()])
            axis.set_ylabel("ΔF/F, one line per cell", fontsize=9)
            upright_bar(axis, round_below(step), "ΔF/F")

        return max(1.6, 0.35 * found.sizes["cell_specimen_id"]), draw

    def _spikes(self, start: float, stop: float, units: int) -> Panel | None:
        if units < 1 or not self._has_units or self._there("units") is None:
            return None
        session: Any = self._session
        good = good_units(session)
        rows = unit_rows(session, good, units)
        height = min(4.5, max(1.6, 0.12 * len(rows)))

        def draw(axis: Axes) -> None:
            draw_rows(axis, rows, start, stop)
            name_groups(axis, rows, height * _PT_PER_IN, structures=True)
            shown = f"{len(rows)} of " if len(rows) < len(good) else ""
            noun = "unit" if len(good) == len(session.units) else "good unit"
            axis.set_ylabel(f"spikes, {shown}{count_text(len(good), noun)}", fontsize=9)

        return height, draw

    def _running(self, start: float, stop: float) -> Panel | None:
        return self._line("running_speed", "speed", "running (cm/s)", start, stop)

    def _pupil(self, start: float, stop: float) -> Panel | None:
        table = self._there("eye_tracking")
        unit = "px²" if table is None else table.attrs.get("pupil_area", "px²")
        return self._line("eye_tracking", "pupil_area", f"pupil ({unit})", start, stop)

    def _line(
        self, attribute: str, column: str, label: str, start: float, stop: float
    ) -> Panel | None:
        table = self._there(attribute)
        if table is None or table[column].isna().all():
            return None
        inside = table[table["timestamps"].between(start, stop)]

        def draw(axis: Axes) -> None:
            axis.plot(inside["timestamps"], inside[column], color=_INK, linewidth=0.8)
            axis.set_ylabel(label, fontsize=9)

        return 1.2, draw

    def _licks(self, start: float, stop: float) -> Panel | None:
        found = {name: self._there(name) for name in ("licks", "rewards")}
        rows = {name: table["timestamps"] for name, table in found.items() if table is not None}
        if not rows:
            return None
        inside = [times[times.between(start, stop)].to_numpy() for times in rows.values()]
        colours = [_INK if name == "licks" else _ACCENT for name in rows]

        def draw(axis: Axes) -> None:
            axis.eventplot(inside, linelengths=0.8, colors=colours)
            axis.set_yticks(range(len(rows)))
            axis.set_yticklabels(list(rows))
            axis.set_ylim(len(rows) - 0.5, -0.5)
            axis.tick_params(axis="y", length=0)

        return 0.35 * len(rows) + 0.1, draw

    # --- one picture each -----------------------------------------------------------------------

    def max_projection(self, *, outlines: bool = True) -> Figure:
        """Draw the brightest value of each pixel, with the outlines of the cells."""
        import numpy as np

        session: Any = self._need("max_projection", "images")
        picture = session.max_projection
        image = np.asarray(picture)
        cells = self._there("cell_specimen_table")
        figure = _figure((6, 6.4))
        axis = figure.subplots()
        axis.imshow(image, cmap="gray", vmax=np.nanpercentile(image, 99.5))
        for mask in cells["roi_mask"] if outlines and cells is not None else ():
            axis.contour(mask, levels=[0.5], colors="#f2b134", linewidths=0.8)
        told = session.metadata
        facts = (told["targeted_structure"], _depth(told), _cells(cells))
        text = ", ".join(fact for fact in facts if fact)
        axis.set_title(f"{self._title(short=True)}\n{text}", fontsize=11)
        axis.set_axis_off()
        if picture.unit == "mm" and picture.spacing[1] > 0:
            flat_bar(axis, image.shape, picture.spacing[1] * 1000)
        return figure

    def raster(
        self, window_s: tuple[float, float] | None = None, units: Sequence[int] | None = None
    ) -> Figure:
        """Draw spikes or events, one row each; see `BehaviorSession.plot_raster`."""
        start, stop = self._window(window_s)
        if self._has_units:
            session: Any = self._session
            rows = unit_rows(
                session, session.tree.array("units/id").tolist() if units is None else units
            )
        else:
            rows = cell_rows(self._need("traces", "spikes or events"), units)
        height = min(9.0, max(2.5, 0.17 * len(rows)))
        figure = _figure((10, height + 0.9))
        axis = figure.subplots()
        draw_rows(axis, rows, start, stop)
        named = len(rows) <= _MOST_NAMED
        if self._has_units:
            name_groups(axis, rows, height * _PT_PER_IN, structures=not named)
        if named:
            axis.set_yticks(range(len(rows)))
            axis.set_yticklabels([row_name(row.id, row.structure) for row in rows])
        axis.set_xlim(start, stop)
        axis.set_xlabel("time (s)", fontsize=9)
        what = ("spikes", "unit") if self._has_units else ("events", "cell")
        axis.set_ylabel(f"{what[0]}, {count_text(len(rows), what[1])}", fontsize=9)
        plain(axis)
        figure.suptitle(self._title(), fontsize=11)
        return figure

    # --- words ----------------------------------------------------------------------------------

    def _title(self, *, short: bool = False) -> str:
        """Return which session this is: its kind and id, then what tells it from others."""
        session: Any = self._session
        text = f"{session.kind.replace('_', ' ')} {getattr(session, f'{session.kind}_id')}"
        if short:
            return f"{text} · simulated" if self._is_simulated else text
        try:
            told = session.metadata
        except OpenAllenError:
            return text
        place = (told.get("targeted_structure"), _depth(told))
        where = ", ".join(str(part) for part in place if part)
        mouse = f"mouse {told['mouse_id']}" if told.get("mouse_id") else None
        note = "simulated" if self._is_simulated else None
        parts = (text, where, told.get("cre_line"), mouse, told.get("session_type"), note)
        return " · ".join(str(part) for part in parts if part)

    @property
    def _is_simulated(self) -> bool:
        """Whether the file says that its signals were made up, as those of the sample do."""
        session: Any = self._session
        place, tree = "session_description", session.tree
        return tree.has(place) and "simulated" in str(tree.value(place)).lower()

    @property
    def _has_units(self) -> bool:
        return hasattr(type(self._session), "spike_times")

    def _need(self, attribute: str, what: str) -> Any:
        if not hasattr(type(self._session), attribute):
            raise UsageError(f"a {self._session.kind} has no {what}", address=self._session.name)
        return self._session


def _depth(told: Any) -> str | None:
    depth = told.get("imaging_depth")
    return None if depth is None else f"{depth} µm"


def _cells(table: pd.DataFrame | None) -> str | None:
    return None if table is None else count_text(len(table), "cell")


def _figure(size_in: tuple[float, float]) -> Figure:
    return new_figure("nwb", "pictures of sessions", figsize=size_in, layout="constrained")
