"""Plots for pages without script: a small SVG of lines, bars and ticks, right in light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Final

from openallen.harmless import harmless

if TYPE_CHECKING:
    from openallen.viewer.pyramid import Seen

__all__ = ["Row", "drawing", "round_steps"]

# Of middling brightness: they are read on black and on white.
_LINES: Final = ("#4c8dd6", "#d9822b", "#2fa36b", "#a76bd1", "#d1566b", "#8a8f3c")
_TEXT: Final = "#808890"
_BAR: Final = "#808890"
_ROW_PX: Final = 54
_TICKS_PX: Final = 18
_LEFT_PX: Final = 120
_AXIS_PX: Final = 34
_GAP_PX: Final = 6


@dataclass(frozen=True)
class Row:
    """One line of a plot.

    Parameters
    ----------
    title, unit
        What it is.
    seen
        What is drawn of it.
    """

    title: str
    unit: str
    seen: Seen


@dataclass(frozen=True)
class _Frame:
    """Where times lie on the picture."""

    from_s: float
    to_s: float
    left: float
    right: float

    def x(self, time_s: float) -> float:
        part = (time_s - self.from_s) / (self.to_s - self.from_s)
        return self.left + part * (self.right - self.left)


def drawing(
    rows: Sequence[Row],
    stretches: Sequence[Mapping[str, Any]],
    ticks: Sequence[tuple[str, Sequence[float]]],
    window: tuple[float, float, int],
    axis: str,
    *,
    small_px: int = 0,
) -> bytes:
    """Return a plot as SVG.

    Parameters
    ----------
    rows
        Lines, one below the other.
    stretches
        What `openallen.viewer.culled.stretches_drawn` returns, drawn behind all.
    ticks
        Names and times of events.
    window
        From and to, in s, and the width of the picture in px.
    axis
        What the axis is.
    small_px
        Height of a picture without any words; 0 for one with them.
    """
    from_s, to_s, width = window
    named = not small_px
    frame = _Frame(from_s, to_s, _LEFT_PX if named else 2, width - 6)
    room = len(rows) * _ROW_PX + len(ticks) * _TICKS_PX + 2 * _GAP_PX
    height = room + _AXIS_PX if named else small_px
    scale = 1.0 if named else (small_px - 4) / max(1, room)
    parts = [*_bars(stretches, frame, height - (_AXIS_PX if named else 0))]
    y = _GAP_PX * scale
    for n, row in enumerate(rows):
        parts += _line(row, frame, y, (_ROW_PX - _GAP_PX) * scale, _LINES[n % len(_LINES)])
        parts += _name(row.title, row.unit, y + _ROW_PX / 2) if named else []
        y += _ROW_PX * scale
    for title, times in ticks:
        parts += _marks(times, frame, y, _TICKS_PX * scale)
        parts += _name(title, "", y + _TICKS_PX / 2) if named else []
        y += _TICKS_PX * scale
    parts += _axis(frame, height, axis) if named else []
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" '
        f'width="{width}" height="{height:g}" font-family="system-ui,sans-serif" font-size="11">'
    )
    return (head + "".join(parts) + "</svg>").encode()


def _bars(stretches: Iterable[Mapping[str, Any]], frame: _Frame, height: float) -> Iterable[str]:
    for found in stretches:
        for start, stop in zip(found["start"], found["stop"], strict=True):
            left = max(frame.left, frame.x(start))
            wide = max(0.5, min(frame.right, frame.x(stop)) - left)
            yield (
                f'<rect x="{left:.1f}" y="0" width="{wide:.1f}" height="{height:.0f}" '
                f'fill="{_BAR}" fill-opacity="0.16"/>'
            )


def _line(row: Row, frame: _Frame, top: float, height: float, colour: str) -> Iterable[str]:
    import numpy as np

    seen = row.seen
    lows, highs = seen.low.astype(float), seen.high.astype(float)
    known = np.isfinite(lows)
    if not known.any():
        return
    least, most = float(lows[known].min()), float(highs[known].max())
    span = (most - least) or 1.0

    def y(value: float) -> float:
        return top + height - (value - least) / span * height

    path, pen = [], "M"
    for time, low, high, drawn in zip(seen.times_s, lows, highs, known, strict=True):
        x = min(frame.right, max(frame.left, frame.x(float(time))))
        if not drawn:
            pen = "M"
            continue
        path.append(f"{pen}{x:.1f} {y(low):.1f}")
        pen = "L"
        if high > low:
            path.append(f"L{x:.1f} {y(high):.1f}")
    yield f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-linejoin="round"/>'


def _marks(times: Sequence[float], frame: _Frame, top: float, height: float) -> Iterable[str]:
    path = "".join(f"M{frame.x(t):.1f} {top + 2:.1f}v{height - 4:.1f}" for t in times)
    if path:
        yield f'<path d="{path}" stroke="{_TEXT}" fill="none"/>'


def _name(title: str, unit: str, y: float) -> Iterable[str]:
    text = escape(harmless(f"{title} ({unit})" if unit else title)[:22])
    yield f'<text x="{_LEFT_PX - 8}" y="{y + 3:.0f}" text-anchor="end" fill="{_TEXT}">{text}</text>'


def round_steps(from_: float, to: float, most: int = 8) -> list[float]:
    """Return round values between two, no more than about so many.

    Parameters
    ----------
    from_, to
        The ends.
    most
        How many.
    """
    from math import ceil, floor, log10

    raw = (to - from_) / max(1, most)
    size = 10.0 ** floor(log10(raw))
    step = next(size * n for n in (1, 2, 5, 10) if size * n >= raw)
    first = ceil(from_ / step - 1e-9)
    return [step * n for n in range(first, floor(to / step + 1e-9) + 1)]


def _axis(frame: _Frame, height: float, title: str) -> Iterable[str]:
    y = height - _AXIS_PX
    yield f'<path d="M{frame.left} {y}H{frame.right}" stroke="{_TEXT}"/>'
    for value in round_steps(frame.from_s, frame.to_s):
        x = frame.x(value)
        yield f'<path d="M{x:.1f} {y}v4" stroke="{_TEXT}"/>'
        yield f'<text x="{x:.1f}" y="{y + 15}" text-anchor="middle" fill="{_TEXT}">{value:g}</text>'
    yield (
        f'<text x="{(frame.left + frame.right) / 2:.0f}" y="{y + 30}" text-anchor="middle" '
        f'fill="{_TEXT}">{escape(harmless(title))}</text>'
    )
