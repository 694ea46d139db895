"""A picture of what codecs did, beside what was published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import MissingExtraError
from openallen.sources.recordings.published import CITATION

if TYPE_CHECKING:
    from openallen.sources.recordings.compress import Measured

__all__ = ["plot_compression"]

_COLOURS: Final = {"NP1": "#d95f02", "NP2": "#7570b3"}
_OURS: Final = "#1b9e77"


def plot_compression(found: Sequence[Measured], title: str = "") -> Any:
    """Draw ratios as bars with the published medians on them, speeds, and what lossy ways lose.

    Parameters
    ----------
    found
        What was measured.
    title
        What was packed.

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
        raise MissingExtraError("atlas", "a picture") from None
    lossless = [one for one in found if not one.settings.lossy]
    lossy = [one for one in found if one.settings.lossy]
    panels = (2 if lossless else 0) + (1 if lossy else 0)
    height = 1.5 + 0.32 * max(len(lossless), 8 if lossy else 3)
    figure = Figure(figsize=(4.2 * panels + 1, height), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    if lossless:
        _bars(axes.pop(0), lossless)
        _speeds(axes.pop(0), lossless)
    if lossy:
        _losses(axes.pop(0), lossy)
    figure.suptitle(title, fontsize=10)
    figure.supxlabel(f"published: {CITATION}; medians of October 2022", fontsize=6)
    return figure


def _bars(ax: Any, found: Sequence[Measured]) -> None:
    places = range(len(found))
    ax.barh(places, [one.ratio for one in found], color=_OURS, height=0.7, label="here")
    for probe, colour in _COLOURS.items():
        told = [
            (n, one.published[probe][0]) for n, one in enumerate(found) if probe in one.published
        ]
        if told:
            ax.plot(
                [ratio for _, ratio in told], [n for n, _ in told], "D", ms=4, color=colour,
                mec="white", mew=0.5, label=f"published, {probe}",
            )  # fmt: skip
    _rows(ax, found)
    ax.set_xlabel("compression ratio")
    ax.axvline(1, lw=0.5, color="0.6")
    _legend(ax)


def _speeds(ax: Any, found: Sequence[Measured]) -> None:
    places = range(len(found))
    ax.plot([one.pack_x_realtime for one in found], places, "o", color=_OURS, ms=5, label="packing")
    ax.plot(
        [one.unpack_x_realtime for one in found], places, "o", mfc="white", mec=_OURS, ms=5,
        label="unpacking",
    )  # fmt: skip
    _rows(ax, found)
    ax.set_xscale("log")
    ax.axvline(1, lw=0.5, color="0.6")
    ax.set_xlabel("times real time, one thread")
    ax.grid(axis="x", lw=0.3)
    _legend(ax)


def _legend(ax: Any) -> None:
    """Put the legend above: inside it would cover the last row."""
    ax.legend(fontsize=6, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)


def _rows(ax: Any, found: Sequence[Measured]) -> None:
    ax.set_yticks(range(len(found)), [one.codec for one in found], fontsize=7)
    ax.set_ylim(len(found) - 0.4, -0.6)
    ax.spines[["top", "right"]].set_visible(False)


def _losses(ax: Any, found: Sequence[Measured]) -> None:
    marks = {"truncate": ("s-", "bits off"), "wavpack": ("o-", "WavPack, bits left")}
    for way, (mark, label) in marks.items():
        chosen = sorted((m for m in found if m.settings.lossy == way), key=lambda m: m.ratio)
        known = [m for m in chosen if m.rmse_uv]  # nothing lost has no place on these axes
        colour = _OURS if way == "wavpack" else "0.35"
        ax.plot(
            [m.ratio for m in known], [m.rmse_uv for m in known], mark, color=colour, ms=4,
            lw=1, label=f"{label}, here",
        )  # fmt: skip
        for one in known:
            ax.annotate(f"{one.settings.factor:g}", (one.ratio, one.rmse_uv), (3, 3),
                        textcoords="offset points", fontsize=6, color=colour)  # fmt: skip
        for probe, tint in _COLOURS.items():
            told = sorted(m.published[probe][:2] for m in chosen if probe in m.published)
            told = [pair for pair in told if pair[1] > 0]
            if told:
                ax.plot(
                    *zip(*told, strict=True), mark, mfc="white", color=tint, ms=3, lw=0.6,
                    label=f"{label}, published, {probe}",
                )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("compression ratio")
    ax.set_ylabel("error at 300 to 6000 Hz, µV")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=6)
