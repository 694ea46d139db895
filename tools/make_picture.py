"""Draw docs/images/stack.png, the picture of the README, from the embedded sample.

Run ``python tools/make_picture.py`` in an environment with the extra ``all``; no network is used.
"""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import openallen as oa

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from openallen.sources.stacks import ImageStack

PICTURE: Final = Path(__file__).parents[1] / "docs" / "images" / "stack.png"
MOST_BYTES: Final = 150_000

_POSITION: Final = 21  # of the plane that is drawn, among those of the sample
_MARGIN_UM: Final = 22.0
_SCALE_BAR_UM: Final = 100.0
_INK, _PAPER, _NIGHT = "#24292f", "#ffffff", "#0d1117"
_SOMA, _MONO = 1, {"family": "DejaVu Sans Mono", "size": 9.5}


def draw(stack: ImageStack) -> Figure:
    """Draw a plane, the minimum projection and the reconstruction side by side."""
    from matplotlib.figure import Figure

    low, high = stack.morphology.bounding_box_um
    left, right = low[0] - _MARGIN_UM, high[0] + _MARGIN_UM
    top, bottom = low[1] - _MARGIN_UM, high[1] + _MARGIN_UM
    figure = Figure(figsize=(10.4, 3.65), facecolor=_PAPER)
    panels = figure.subplots(
        1,
        3,
        gridspec_kw={
            "left": 0.004,
            "right": 0.996,
            "top": 0.905,
            "bottom": 0.065,
            "wspace": 0.018,
        },
    )
    plane = stack.planes[0]
    _image(panels[0], plane.read(gray=True), stack)
    _image(panels[1], stack.projection("min", "xy"), stack)
    _neuron(panels[2], stack, figure)
    captions = (
        f"stack.planes[{_POSITION}].read()",
        'stack.projection("min", "xy")',
        "stack.morphology",
    )
    for axes, caption in zip(panels, captions, strict=True):
        axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
        axes.set_title(caption, loc="left", color=_INK, pad=6, fontdict=_MONO)
        axes.spines[:].set_visible(False)
    _scale_bar(panels[0], left, bottom, _INK)
    note = f"{stack.address}, from the embedded sample: pixels simulated from a real reconstruction"
    figure.text(0.0065, 0.012, note, color="#6e7781", size=8.5)
    return figure


def _image(axes: Axes, pixels: NDArray[np.uint8], stack: ImageStack) -> None:
    pixel_um = stack.resolution_um_per_px
    height, width = pixels.shape[:2]
    frame = (0.0, width * pixel_um, height * pixel_um, 0.0)
    axes.imshow(pixels, cmap="gray", extent=frame, vmin=20, vmax=225, interpolation="antialiased")


def _neuron(axes: Axes, stack: ImageStack, figure: Figure) -> None:
    """Draw the reconstruction, coloured by depth, as thick as it was traced."""
    from matplotlib.collections import LineCollection

    axes.set_facecolor(_NIGHT)
    cell = stack.morphology
    parts = [(a, b) for a, b in cell.segments() if b.type != _SOMA]
    lines = [[(a.x_um, a.y_um), (b.x_um, b.y_um)] for a, b in parts]
    depths = [b.z_um for _, b in parts]
    thick = [0.6 + 1.2 * b.radius_um for _, b in parts]
    glow = LineCollection(lines, cmap="plasma", linewidths=[5 * w for w in thick], alpha=0.06)
    core = LineCollection(lines, cmap="plasma", linewidths=thick, capstyle="round")
    for collection in (glow, core):
        collection.set_array(depths)
        collection.set_clim(min(depths) - 12, max(depths))
        axes.add_collection(collection)
    soma = cell.soma
    assert soma is not None
    axes.scatter([soma.x_um], [soma.y_um], s=36, color="white", linewidths=0, zorder=3)
    inset = axes.inset_axes((0.04, 0.055, 0.25, 0.022))
    bar = figure.colorbar(core, cax=inset, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.ax.set_xlim(min(depths), max(depths))
    bar.set_ticks([])
    bar.ax.set_title(
        f"depth {min(depths):.0f} to {max(depths):.0f} µm",
        color="#c9d1d9",
        size=9,
        loc="left",
        pad=4,
    )


def _scale_bar(axes: Axes, left: float, bottom: float, colour: str) -> None:
    x, y = left + 18.0, bottom - 22.0
    axes.plot([x, x + _SCALE_BAR_UM], [y, y], color=colour, lw=3, solid_capstyle="butt")
    axes.text(
        x + _SCALE_BAR_UM / 2,
        y - 8,
        f"{_SCALE_BAR_UM:g} µm",
        color=colour,
        ha="center",
        va="bottom",
        size=9,
    )


def small(figure: Figure) -> bytes:
    """Return the figure as a PNG of 256 colours."""
    from PIL import Image

    full, reduced = BytesIO(), BytesIO()
    figure.savefig(full, dpi=148, facecolor=figure.get_facecolor())
    picture = Image.open(full).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(reduced, "PNG", optimize=True)
    return reduced.getvalue()


def main() -> int:
    """Write the picture; return 1 if it is too large for a README."""
    with tempfile.TemporaryDirectory() as folder:
        stack = oa.fetch(
            "stack:313862022",
            to=folder,
            downsample=2,
            planes=f"{_POSITION}:{_POSITION + 1}",
            source="sample",
        )
        picture = small(draw(stack))
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(picture)
    print(f"{PICTURE}: {len(picture):,} bytes")
    return int(len(picture) > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
