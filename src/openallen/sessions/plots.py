"""Pictures of a session, one line each; matplotlib draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import MissingExtraError, NotFoundError, UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from openallen.sessions.signals import Behaving

__all__ = ["Plots"]

_INK: Final = "#2b4c7e"
_MOST_NAMED: Final = 40


class Plots:
    """Draws a session.

    Parameters
    ----------
    session
        What to draw.
    """

    def __init__(self, session: Behaving) -> None:
        self._session = session

    def overview(self, window_s: tuple[float, float] | None = None, cells: int = 8) -> Figure:
        """Draw all there is on one axis of time; see `BehaviorSession.plot_overview`."""
        session = self._session
        panels = ["running", "pupil", "licks"]
        if hasattr(session, "dff_traces") and session.dff_traces is not None:
            panels.insert(0, "traces")
        if not len(session.eye_tracking):
            panels.remove("pupil")
        start, stop = window_s or self._first_minutes()
        heights = [3 if p == "traces" else 1 if p != "licks" else 0.6 for p in panels]
        figure: Figure
        figure, axes = _plt().subplots(
            len(panels),
            1,
            sharex=True,
            figsize=(10, 1.6 * sum(heights)),
            gridspec_kw={"height_ratios": heights},
            squeeze=False,
            layout="constrained",
        )
        for name, axis in zip(panels, axes[:, 0], strict=True):
            getattr(self, f"_{name}")(axis, start, stop, cells)
            axis.spines[["top", "right"]].set_visible(False)
        axes[-1, 0].set_xlim(start, stop)
        axes[-1, 0].set_xlabel("time (s)")
        return figure

    def _first_minutes(self) -> tuple[float, float]:
        trials = self._session.trials
        start = float(trials["start_time"].iloc[0]) if len(trials) else 0.0
        return start, start + 120.0

    def _traces(self, axis: Axes, start: float, stop: float, cells: int) -> None:
        import numpy as np

        found = self._session.traces  # type: ignore[attr-defined]
        found = found.isel(cell_specimen_id=slice(cells)).sel(time=slice(start, stop))
        values = found.to_numpy()
        step = float(np.nanpercentile(np.ptp(values, axis=1), 80)) if values.size else 1.0
        for row, trace in enumerate(values):
            axis.plot(found["time"], trace + row * step, color=_INK, linewidth=0.7)
        axis.set_yticks([row * step for row in range(len(values))])
        axis.set_yticklabels([str(i) for i in found["cell_specimen_id"].to_numpy()], fontsize=7)
        axis.set_ylabel("ΔF/F, one line a cell")

    def _running(self, axis: Axes, start: float, stop: float, cells: int) -> None:
        del cells
        table = self._session.running_speed
        inside = table["timestamps"].between(start, stop)
        axis.plot(table["timestamps"][inside], table["speed"][inside], color=_INK, linewidth=0.8)
        axis.set_ylabel("running (cm/s)")

    def _pupil(self, axis: Axes, start: float, stop: float, cells: int) -> None:
        del cells
        table = self._session.eye_tracking
        inside = table["timestamps"].between(start, stop)
        area = table["pupil_area"][inside]
        axis.plot(table["timestamps"][inside], area, color=_INK, linewidth=0.8)
        axis.set_ylabel("pupil (px²)")

    def _licks(self, axis: Axes, start: float, stop: float, cells: int) -> None:
        del start, stop, cells
        session = self._session
        axis.eventplot(
            [session.licks["timestamps"], session.rewards["timestamps"]],
            lineoffsets=[1, 0],
            linelengths=0.8,
            colors=[_INK, "#c8553d"],
        )
        axis.set_yticks([1, 0])
        axis.set_yticklabels(["licks", "rewards"])

    def max_projection(self, *, outlines: bool = True) -> Figure:
        """Draw the brightest value of each pixel, with the outlines of the cells."""
        import numpy as np

        session: Any = self._need("max_projection", "images")
        image = np.asarray(session.max_projection)
        figure: Figure
        figure, axis = _plt().subplots(figsize=(6, 6), layout="constrained")
        axis.imshow(image, cmap="gray", vmax=np.nanpercentile(image, 99.5))
        if outlines:
            for mask in session.cell_specimen_table["roi_mask"]:
                axis.contour(mask, levels=[0.5], colors="#f2b134", linewidths=0.8)
        told = session.metadata
        axis.set_title(
            f"{told['targeted_structure']}, {told['imaging_depth']} µm, "
            f"{len(session.cell_specimen_table)} cells"
        )
        axis.set_axis_off()
        return figure

    def raster(
        self, window_s: tuple[float, float] | None = None, units: Sequence[int] | None = None
    ) -> Figure:
        """Draw spikes or events, one row each; see `BehaviorSession.plot_raster`."""
        start, stop = window_s or self._first_minutes()
        rows = self._raster_rows(units)
        figure: Figure
        figure, axis = _plt().subplots(figsize=(10, 5), layout="constrained")
        inside = [times[(times >= start) & (times <= stop)] for times in rows.values()]
        axis.eventplot(inside, colors=_INK, linewidths=0.6, linelengths=0.8)
        axis.set_xlim(start, stop)
        axis.set_xlabel("time (s)")
        axis.set_ylabel(f"{len(rows)} units" if self._has_units else f"events of {len(rows)} cells")
        if len(rows) <= _MOST_NAMED:
            axis.set_yticks(range(len(rows)))
            axis.set_yticklabels([str(row) for row in rows], fontsize=7)
        axis.spines[["top", "right"]].set_visible(False)
        return figure

    @property
    def _has_units(self) -> bool:
        return hasattr(type(self._session), "spike_times")

    def _raster_rows(self, units: Sequence[int] | None) -> dict[Any, Any]:
        spikes = getattr(self._session, "spike_times", None)
        if spikes is None:
            session: Any = self._need("traces", "spikes or events")
            found = session.trace_array("events")
            times = found["time"].to_numpy()
            ids = found["cell_specimen_id"].to_numpy()
            spikes = {i: times[row > 0] for i, row in zip(ids, found.to_numpy(), strict=True)}
        missing = [unit for unit in units or () if unit not in spikes]
        if missing:
            raise NotFoundError(
                f"there is no unit or cell {missing[0]}",
                address=self._session.name,
                why=f"there are {len(spikes)}",
            )
        return spikes if units is None else {unit: spikes[unit] for unit in units}

    def _need(self, attribute: str, what: str) -> Any:
        if not hasattr(type(self._session), attribute):
            raise UsageError(f"a {self._session.kind} has no {what}", address=self._session.name)
        return self._session


def _plt() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise MissingExtraError("nwb", "pictures of sessions") from None
    return plt
