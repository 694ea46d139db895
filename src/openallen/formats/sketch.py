"""A reconstruction as a small drawing, seen from the front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

__all__ = ["sketch_svg"]

_COLOURS: Final = {1: "#222", 2: "#3a6ea5", 3: "#c0392b", 4: "#8e44ad"}


class Point(Protocol):
    """A node of a reconstruction."""

    @property
    def x_um(self) -> float: ...
    @property
    def y_um(self) -> float: ...
    @property
    def radius_um(self) -> float: ...
    @property
    def type(self) -> int: ...


def sketch_svg(
    segments: Sequence[tuple[Point, Point]],
    box_um: tuple[Sequence[float], Sequence[float]],
    soma: Point | None,
    height_px: int,
) -> str:
    """Return an SVG picture: x to the right, y down, a colour for each type.

    Parameters
    ----------
    segments
        Pairs of nodes: the one nearer to the root, and the other, whose type gives the colour.
    box_um
        The least and the greatest coordinates, in µm.
    soma
        The soma; None without one.
    height_px
        Height of the picture.
    """
    (x0, y0, _), (x1, y1, _) = box_um
    width, height = max(x1 - x0, 1.0), max(y1 - y0, 1.0)
    thin = height / 160
    paths: dict[int, list[str]] = {}
    for a, b in segments:
        text = f"M{a.x_um - x0:.1f} {a.y_um - y0:.1f}L{b.x_um - x0:.1f} {b.y_um - y0:.1f}"
        paths.setdefault(b.type, []).append(text)
    drawn = "".join(
        f'<path d="{"".join(lines)}" stroke="{_COLOURS.get(kind, "#555")}"'
        f' stroke-width="{thin:.2f}" fill="none"/>'
        for kind, lines in sorted(paths.items())
    )
    if soma is not None:
        drawn += (
            f'<circle cx="{soma.x_um - x0:.1f}" cy="{soma.y_um - y0:.1f}"'
            f' r="{max(soma.radius_um, 2 * thin):.1f}" fill="#222"/>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" height="{height_px}"'
        f' viewBox="0 0 {width:.1f} {height:.1f}">{drawn}</svg>'
    )
