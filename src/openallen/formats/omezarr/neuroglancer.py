"""States of neuroglancer that show an OME-Zarr image upright, whole, and in the middle.

Without ``displayDimensions`` neuroglancer shows the first axes that are stored: z against y. An
axis of time stays an axis of the state; one of channels is an axis of the layer, which is called
``c'``. A picture in colour has a layer for each of red, green and blue: one shader could read all
(from ``c^``) only where each chunk holds all three.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from openallen.formats.omezarr.multiscale import Axis

__all__ = ["VIEWER", "state_link", "state_of"]

# Images are `OmeZarr`, whose module imports this one: named here, they would be a circle.

VIEWER: Final = "https://neuroglancer-demo.appspot.com"
"""The public viewer of neuroglancer; states, and URLs of states, follow ``#!``."""

_PANEL_PX: Final = (1000, 700)
"""Room that a plane has in a usual window."""
_RGB: Final = ("red", "green", "blue")
_SHADER: Final = (
    "void main() {{ emitRGB(vec3({}) * toNormalized(getDataValue())); }}"  # of one colour
)


def state_of(image: Any, source: str, name: str) -> dict[str, Any]:
    """Return a state that shows an image.

    Parameters
    ----------
    image
        The image.
    source
        Where the viewer finds it: ``s3://…``, ``https://…``.
    name
        Name of the layer.
    """
    first = image.multiscale.levels[0]
    # As the viewer names them, with the size of a voxel, where the image starts, and its size.
    axes = [
        _Along(axis, scale, start, size)
        for axis, scale, start, size in zip(
            image.multiscale.axes, first.scale, first.stored, image.sizes, strict=True
        )
    ]
    shown = _displayed(axes)
    ordered = shown + [one for one in axes if one not in shown and one.axis.kind != "channel"]
    layers = _layers(image, axes, f"zarr://{source}", name)
    return {
        "dimensions": {one.axis.name: one.dimension for one in ordered},
        "displayDimensions": [one.axis.name for one in shown],
        "position": [one.position for one in ordered],
        "crossSectionScale": _fitting(shown),
        "crossSectionBackgroundColor": "#000000",
        "layers": layers,
        "selectedLayer": {"layer": layers[0]["name"]},
        "layout": "xy",
    }


def _layers(image: Any, axes: list[_Along], source: str, name: str) -> list[dict[str, Any]]:
    layer: dict[str, Any] = {"type": "image", "name": name, "source": source, "opacity": 1}
    channels = [one for one in axes if one.axis.kind == "channel"]
    if not channels:
        return [layer]
    layer["localDimensions"] = {f"{one.axis.name}'": [1, ""] for one in channels}
    layer["localPosition"] = [0] * len(channels)
    if tuple(channel.lower() for channel in image.multiscale.channels) != _RGB:
        return [layer]
    return [
        {
            **layer,
            "name": f"{name} {colour}",
            "localPosition": [n],
            "shader": _SHADER.format(", ".join("1" if n == m else "0" for m in range(3))),
            "blend": "additive" if n else "default",
        }
        for n, colour in enumerate(_RGB)
    ]


def state_link(state: Mapping[str, Any], viewer: str = VIEWER) -> str:
    """Return the URL that opens a state.

    Parameters
    ----------
    state
        The state.
    viewer
        Where neuroglancer is served.
    """
    text = quote(json.dumps(state, separators=(",", ":")), safe="")
    return f"{viewer.rstrip('/')}/#!{text}"


class _Along:
    """One axis of an image, in the words of neuroglancer."""

    def __init__(self, axis: Axis, scale: float, start: float, size: int) -> None:
        self.axis = axis
        self.scale = abs(scale) or 1.0
        self.start = start
        self.size = size

    @property
    def dimension(self) -> list[Any]:
        unit = {"µm": (1e-6, "m"), "s": (1.0, "s")}.get(self.axis.unit)
        return [self.scale * unit[0], unit[1]] if unit else [1, ""]

    @property
    def position(self) -> float:
        """The middle of space, the first point of anything else."""
        size = self.size // 2 if self.axis.kind == "space" else 0
        return self.start / self.scale + size + 0.5


def _displayed(axes: list[_Along]) -> list[_Along]:
    """Return x, y, z: to the right, down, away."""
    space = [one for one in axes if one.axis.kind == "space"][::-1]
    names = [one.axis.name for one in space]
    if {"x", "y"} <= set(names):
        space.sort(key=lambda one: one.axis.name)
    return space[:3]


def _fitting(shown: list[_Along]) -> float:
    """Return how many of the smallest voxels a pixel of the screen covers, to show the plane."""
    smallest = min((one.scale for one in shown), default=1.0)
    covered = [
        one.size * one.scale / smallest / room
        for one, room in zip(shown[:2], _PANEL_PX, strict=False)
    ]
    return float(f"{max(covered, default=1.0):.4g}")
