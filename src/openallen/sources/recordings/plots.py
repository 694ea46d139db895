"""Plot measured compression beside the published results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import MissingExtraError
from openallen.sources.recordings.published import CITATION, LOSSLESS_SOURCE, LOSSY_SOURCE

if TYPE_CHECKING:
    from openallen.sources.recordings.compress import Measured

__all__ = ["plot_compression"]

_COLOURS: Final = {"NP1": "#d95f02", "NP2": "#7570b3"}
_OURS: Final = "#1b9e77"
_LOSSY: Final = {
    "truncate": ("s-", "bits truncated", "0.35", (-9, 4)),
    "wavpack": ("o-", "WavPack, bits per sample", _OURS, (5, -7)),
}
_SMALL_PT: Final = 8.0


def plot_compression(found: Sequence[Measured], title: str = "") -> Any:
    """Plot compression ratios and speeds of lossless codecs, and ratio against error of lossy ones.

    Parameters
    ----------
    found
        Results.
    title
        Title of the figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("atlas", "plotting") from None
    lossless = [one for one in found if not one.settings.lossy]
    lossy = [one for one in found if one.settings.lossy]
    panels = (2 if lossless else 0) + (1 if lossy else 0)
    height = 2.2 + 0.34 * max(len(lossless), 8 if lossy else 3)
    figure = Figure(figsize=(4.6 * panels + 1, height), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    if lossless:
        _ratios(axes.pop(0), lossless)
        _speeds(axes.pop(0), lossless)
    if lossy:
        _losses(axes.pop(0), lossy)
    figure.suptitle(title, fontsize=11)
    source = _source(lossless, lossy)
    if source:
        figure.supxlabel(source, fontsize=_SMALL_PT)
    return figure


def _source(lossless: Sequence[Measured], lossy: Sequence[Measured]) -> str:
    """Return where the published values that are drawn come from."""
    parts = [LOSSLESS_SOURCE] if any(one.published for one in lossless) else []
    if any(one.published for one in lossy):
        parts.append(f"lossy: {LOSSY_SOURCE}" if parts else LOSSY_SOURCE)
    return f"published: {CITATION}; {'; '.join(parts)}" if parts else ""


def _ratios(ax: Any, found: Sequence[Measured]) -> None:
    rows = range(len(found))
    ax.barh(
        rows, [one.compression_ratio for one in found], color=_OURS, height=0.7, label="measured"
    )
    for probe, colour in _COLOURS.items():
        known = [
            (n, one.published[probe][0]) for n, one in enumerate(found) if probe in one.published
        ]
        if known:
            ax.plot(
                [ratio for _, ratio in known], [n for n, _ in known], "D", ms=5, color=colour,
                mec="white", mew=0.5, label=f"published {probe}",
            )  # fmt: skip
    _rows(ax, found)
    ax.set_xlabel("compression ratio")
    ax.axvline(1, lw=0.5, color="0.6")
    _legend(ax)


def _speeds(ax: Any, found: Sequence[Measured]) -> None:
    rows = range(len(found))
    packing = [one.compression_speed_x_real_time for one in found]
    unpacking = [one.decompression_speed_x_real_time for one in found]
    ax.plot(packing, rows, "o", color=_OURS, ms=6, label="compression")
    ax.plot(unpacking, rows, "o", mfc="white", mec=_OURS, ms=6, label="decompression")
    _rows(ax, found)
    ax.set_xscale("log")
    ax.axvline(1, lw=0.5, color="0.6")
    ax.set_xlabel("speed (x real time, one thread)")
    ax.grid(axis="x", lw=0.3)
    _legend(ax)


def _legend(ax: Any) -> None:
    """Put the legend above the axes: inside it would cover the last row."""
    ax.legend(
        fontsize=_SMALL_PT, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False,
        handletextpad=0.4, columnspacing=1.0,
    )  # fmt: skip


def _rows(ax: Any, found: Sequence[Measured]) -> None:
    ax.set_yticks(range(len(found)), [one.codec for one in found], fontsize=_SMALL_PT)
    ax.set_ylim(len(found) - 0.4, -0.6)
    ax.spines[["top", "right"]].set_visible(False)


def _losses(ax: Any, found: Sequence[Measured]) -> None:
    for method, (mark, label, colour, offset) in _LOSSY.items():
        chosen = sorted(
            (m for m in found if m.settings.lossy == method), key=lambda m: m.compression_ratio
        )
        known = [m for m in chosen if m.rmse_uv]  # an error of 0 has no place on a log axis
        if known:
            ax.plot(
                [m.compression_ratio for m in known], [m.rmse_uv for m in known], mark,
                color=colour, ms=5, lw=1, label=label,
            )  # fmt: skip
        for one in known:
            ax.annotate(
                f"{one.settings.factor:g}", (one.compression_ratio, one.rmse_uv), offset,
                textcoords="offset points", fontsize=_SMALL_PT, color=colour,
            )  # fmt: skip
        _published_losses(ax, chosen, mark, label)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("compression ratio")
    ax.set_ylabel("RMSE, 300 to 6000 Hz (µV)")
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_legend_handles_labels()[0]:
        # Curves rise to the right: the lower right is free.
        ax.legend(fontsize=_SMALL_PT, loc="lower right", frameon=False)


def _published_losses(ax: Any, chosen: Sequence[Measured], mark: str, label: str) -> None:
    for probe, colour in _COLOURS.items():
        known = sorted(m.published[probe][:2] for m in chosen if probe in m.published)
        known = [pair for pair in known if pair[1] > 0]
        if known:
            ax.plot(
                *zip(*known, strict=True), mark, mfc="white", color=colour, ms=4, lw=0.6,
                label=f"published {probe}, {label}",
            )  # fmt: skip
