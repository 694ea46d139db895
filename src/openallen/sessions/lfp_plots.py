"""A picture of a probe's LFP and its current source density."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openallen.display import new_figure
from openallen.errors import UsageError
from openallen.sessions.marks import plain, round_below, upright_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from openallen.sessions.lfp import ProbeLfp

__all__ = ["draw_lfp"]

_INK: Final = "#2b4c7e"
_TITLED: Final = ("ecephys_session_id", "mouse_id")


def draw_lfp(probe: ProbeLfp, window_s: tuple[float, float] | None, channels: int) -> Figure:
    """Draw some channels over time, and the current source density where there is one.

    Raises
    ------
    UsageError
        If the window holds no samples.
    """
    import numpy as np

    lfp = probe.lfp
    times = lfp["time"].to_numpy()
    start, stop = window_s or (float(times[0]), float(times[0]) + 1.0) if len(times) else (0, 0)
    first, last = np.searchsorted(times, [start, stop])
    if first >= last:
        raise UsageError(
            "no samples in this window", address=probe.name, why=f"{start} to {stop} s"
        )
    kept = np.unique(np.linspace(0, lfp.sizes["channel"] - 1, channels).round().astype(int))
    table = probe.channels.loc[lfp["channel"].to_numpy()[kept]]
    order = np.argsort(-table["probe_vertical_position"].to_numpy(), kind="stable")
    csd, height = probe.csd, max(2.0, 0.25 * len(kept))
    heights = [height] if csd is None else [height, 2.4]
    figure = new_figure(
        "nwb", "pictures of LFP", figsize=(10, sum(heights) + 1.3), layout="constrained"
    )
    axes = figure.subplots(len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[
        :, 0
    ]
    part = lfp.isel(time=slice(first, last), channel=kept).load().isel(channel=order)
    _traces(axes[0], part, table["structure_acronym"].to_numpy()[order])
    if csd is not None:
        _csd(figure, axes[1], csd)
    told = probe.metadata
    names = (f"{n.removesuffix('_id').replace('_', ' ')} {told[n]}" for n in _TITLED if told.get(n))
    title = f"LFP of {probe.probe_name or 'probe'} ({probe.probe_id})"
    figure.suptitle(" · ".join([title, *names]), fontsize=11)
    return figure


def _traces(axis: Axes, part: Any, structures: Any) -> None:
    import numpy as np

    values = np.ma.masked_invalid(part.transpose("channel", "time").to_numpy() * 1000)
    spans: Any = np.ma.compressed(np.ma.ptp(values, axis=1))
    step = (float(np.percentile(spans, 80)) if len(spans) else 0.0) or 1.0
    for row, trace in enumerate(values):
        axis.plot(part["time"], trace - row * step, color=_INK, linewidth=0.7)
    axis.set_yticks([-row * step for row in range(len(values))])
    axis.set_yticklabels([name if isinstance(name, str) else "none" for name in structures])
    axis.set_xlim(float(part["time"][0]), float(part["time"][-1]))
    axis.set_ylabel("LFP, one line per channel", fontsize=9)
    axis.set_xlabel("time (s)", fontsize=9)
    upright_bar(axis, round_below(step), "mV")
    plain(axis)


def _csd(figure: Figure, axis: Axes, csd: Any) -> None:
    import numpy as np

    times, depths = csd["time"].to_numpy(), csd["vertical_position"].to_numpy()
    most = float(np.nanpercentile(np.abs(csd.to_numpy()), 99)) or 1.0
    shown = axis.pcolormesh(
        times * 1000, depths, csd.to_numpy(), cmap="RdBu", vmin=-most, vmax=most, shading="nearest"
    )
    axis.set_ylabel("height on probe (µm)", fontsize=9)
    axis.set_xlabel("time from flash (ms)", fontsize=9)
    bar = figure.colorbar(shown, ax=axis, pad=0.01)
    bar.set_label("CSD (V/cm²)", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    plain(axis)
