"""States of neuroglancer that show an OME-Zarr image upright, whole, and in the middle.

Without ``displayDimensions`` neuroglancer shows the first axes that are stored: z against y. An
axis of time stays an axis of the state; one of channels is called ``c'`` there, or ``c^`` where a
shader reads all channels of a pixel.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from openallen.formats.omezarr.multiscale import Axis

if TYPE_CHECKING:
    from openallen.formats.omezarr.reader import OmeZarr

__all__ = ["VIEWER", "state_link", "state_of"]

VIEWER: Final = "https://neuroglancer-demo.appspot.com"
"""The public viewer of neuroglancer; states, and URLs of states, follow ``#!``."""

_PANEL_PX: Final = (1000, 700)
"""Room that a plane has in a usual window."""
_RGB: Final = ("red", "green", "blue")
_COLOURS: Final = (
    "void main() { emitRGB(vec3(toNormalized(getDataValue(0)), toNormalized(getDataValue(1)), "
    "toNormalized(getDataValue(2)))); }"
)


def state_of(image: OmeZarr, source: str, name: str) -> dict[str, Any]:
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
    layer: dict[str, Any] = {"type": "image", "name": name, "source": f"zarr://{source}"}
    colours = [channel.lower() for channel in image.multiscale.channels]
    if tuple(colours) == _RGB:
        outputs = {one.output: one.dimension for one in axes}
        layer["source"] = {"url": layer["source"], "transform": {"outputDimensions": outputs}}
        layer["shader"] = _COLOURS
    return {
        "dimensions": {one.axis.name: one.dimension for one in ordered},
        "displayDimensions": [one.axis.name for one in shown],
        "position": [one.position for one in ordered],
        "crossSectionScale": _fitting(shown),
        "layers": [layer],
        "selectedLayer": {"layer": name},
        "layout": "xy",
    }


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

    @property
    def output(self) -> str:
        return f"{self.axis.name}^" if self.axis.kind == "channel" else self.axis.name


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
