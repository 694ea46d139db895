"""What the pictures of sessions share: plain axes and scale bars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["flat_bar", "plain", "round_below", "upright_bar"]

_LABEL_PT: Final = 8


def plain(axis: Axes) -> None:
    """Leave out the frame above and on the right; labels that can be read."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=_LABEL_PT)


def round_below(value: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not above a value."""
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{max(n for n in (1, 2, 5) if n * power <= value * (1 + 1e-9)) * power:g}")


def upright_bar(axis: Axes, length: float, unit: str) -> None:
    """Draw a scale bar on the right of an axis."""
    low, high = axis.get_ylim()
    middle, place = (low + high) / 2, axis.get_yaxis_transform()
    ends = [middle - length / 2, middle + length / 2]
    style: dict[str, Any] = {"transform": place, "clip_on": False}
    axis.plot([1.01, 1.01], ends, color="black", linewidth=2, solid_capstyle="butt", **style)
    axis.text(
        1.018, middle, f"{length:g} {unit}", fontsize=_LABEL_PT, va="center", rotation=90, **style
    )
    axis.set_ylim(low, high)


def flat_bar(axis: Axes, shape: tuple[int, ...], um_per_px: float) -> None:
    """Draw a scale bar in the lower right of an image, with its length in µm."""
    rows, columns = shape[:2]
    length_um = round_below(columns * um_per_px / 4)
    right, bottom = columns * 0.96, rows * 0.95
    left = right - length_um / um_per_px
    axis.plot([left, right], [bottom, bottom], color="white", linewidth=3, solid_capstyle="butt")
    axis.text(
        (left + right) / 2, bottom - rows * 0.015, f"{length_um:g} µm",
        color="white", fontsize=9, ha="center", va="bottom",
        bbox={"facecolor": "black", "alpha": 0.6, "linewidth": 0, "pad": 1.5},
    )  # fmt: skip
