"""A picture of the sweeps of a cell, by stimulus, and of its FI curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.display import count_text, new_figure
from openallen.errors import IntegrityError, NotFoundError
from openallen.sessions.marks import plain
from openallen.sessions.patch_clamp.visuals import drawn, stimulus_groups

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from openallen.sessions.patch_clamp.session import PatchClampSession

__all__ = ["draw_sweeps", "small_picture"]

_MOST_SWEEPS: Final = 12
_MOST_POINTS: Final = 4_000
_COLUMNS: Final = 2
_INK: Final = "#2b4c7e"
_PICTURE_PX: Final = (320, 160)


def draw_sweeps(session: PatchClampSession, stimuli: Sequence[str] | None, most: int) -> Figure:
    """Draw sweeps over each other, a panel for each stimulus, and the FI curve beside them.

    Raises
    ------
    NotFoundError
        If there is no sweep of these stimuli.
    """
    groups = stimulus_groups(session.sweeps, most=10**6)
    wanted = sorted(groups, key=lambda name: -len(groups[name]))[:most] if stimuli is None else [
        name for name in stimuli if name in groups]  # fmt: skip
    if not wanted:
        raise NotFoundError(
            "no sweeps of these stimuli",
            address=session.name,
            why=f"there are {', '.join(filter(None, groups)) or 'sweeps without names'}",
        )
    curve = _curve(session)
    rows, across = -(-len(wanted) // _COLUMNS), min(len(wanted), _COLUMNS)
    widths = [4.6 * across, *([3.4] if curve is not None else [])]
    figure = new_figure(
        "nwb",
        "pictures of sweeps",
        figsize=(sum(widths), 3.2 * rows + 0.2),
        layout="constrained",
    )
    parts = figure.subfigures(1, len(widths), squeeze=False, width_ratios=widths)[0]
    grid = parts[0].add_gridspec(2 * rows, across, height_ratios=[3, 1] * rows)
    for n, name in enumerate(wanted):
        row, column = divmod(n, across)
        upper = parts[0].add_subplot(grid[2 * row, column])
        lower = parts[0].add_subplot(grid[2 * row + 1, column], sharex=upper)
        _panel(session, groups[name], name, (upper, lower))
    if curve is not None:
        _fi(parts[1].subplots(rows, squeeze=False)[0, 0], curve)
        for axis in parts[1].axes[1:]:
            axis.set_axis_off()
    return figure


def _curve(session: PatchClampSession) -> pd.DataFrame | None:
    try:
        found = session.fi_curve
    except (NotFoundError, IntegrityError):
        return None
    return found if found["current_pa"].nunique() > 1 else None


def _some(rows: list[int], most: int) -> list[int]:
    import numpy as np

    at = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int))
    return [rows[n] for n in at.tolist()]


def _panel(session: PatchClampSession, rows: list[int], name: str, axes: tuple[Axes, Axes]) -> None:
    from matplotlib import colormaps

    shown = _some(rows, _MOST_SWEEPS)
    colours = colormaps["viridis"]([n / max(1, len(shown)) for n in range(len(shown))])
    units = ["mV", "pA"]
    for row, colour in zip(shown, colours, strict=True):
        if session.sweeps["clamp_mode"].iloc[row] == "voltage_clamp":
            units = ["pA", "mV"]
        for axis, role in zip(axes, ("response", "stimulus"), strict=True):
            try:
                times, values = drawn(session, session.places[row], role)
            except (NotFoundError, IntegrityError):  # the others are drawn all the same
                continue
            axis.plot(*_thinned(times, values), color=colour, linewidth=0.7)
    title = f"{name or 'sweeps'} ({count_text(len(rows), 'sweep')}"
    axes[0].set_title(f"{title}{', some shown' if len(shown) < len(rows) else ''})", fontsize=9)
    axes[0].set_ylabel(f"response ({units[0]})", fontsize=8)
    axes[0].tick_params(labelbottom=False)
    axes[1].set_ylabel(units[1], fontsize=8)
    axes[1].set_xlabel("time in the sweep (s)", fontsize=8)
    for axis in axes:
        plain(axis)


def _thinned(times: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Return the lowest and highest of stretches of samples, so that no spike is lost."""
    import numpy as np

    length = len(values) * 2 // _MOST_POINTS
    if length < 2:
        return times, values
    count = len(values) // length
    folded = np.nan_to_num(values[: count * length].reshape(count, length))
    ends = np.sort(np.stack([folded.argmin(axis=1), folded.argmax(axis=1)], axis=1), axis=1)
    at = (ends + np.arange(count)[:, None] * length).reshape(-1)
    return times[at], values[at]


def _fi(axis: Axes, curve: pd.DataFrame) -> None:
    ordered = curve.sort_values("current_pa")
    axis.plot(ordered["current_pa"], ordered["rate_hz"], "o-", color=_INK, markersize=3,
              linewidth=0.8)  # fmt: skip
    axis.set_title("firing rate over current", fontsize=9)
    axis.set_xlabel("current (pA)", fontsize=8)
    axis.set_ylabel("spikes/s", fontsize=8)
    plain(axis)


def small_picture(session: PatchClampSession) -> str:
    """Return a small picture of the stimulus with the most sweeps, as a ``data:`` URI."""
    import base64
    import io

    from openallen.errors import MissingExtraError

    try:
        figure = draw_sweeps(session, None, 1)
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except (MissingExtraError, NotFoundError):
        return ""
    FigureCanvasAgg(figure)
    figure.set_size_inches(_PICTURE_PX[0] / 50, _PICTURE_PX[1] / 50)
    made = io.BytesIO()
    figure.savefig(made, dpi=50, format="png")
    return "data:image/png;base64," + base64.b64encode(made.getvalue()).decode()
