"""Pictures of a reconstruction as a bright-field microscope would roughly show it.

This is not data: planes and projections are drawn from a real reconstruction at the size and
tier asked for, so that a stack can be fetched, checked, converted and looked at without the
service. The server marks them with a header (``openallen-simulated: true``).
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.archive.relations import Refusal
from openallen.errors import requiring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from openallen.formats.swc import Morphology

__all__ = ["Scene", "encode", "render"]

_TILE_PX: Final = 512
_PAPER: Final = 206
# How dark a neurite is, and how much wider it looks, by its distance from the focal plane in µm.
_FOCUS: Final = ((12.0, 196, 3.0), (5.0, 178, 2.2), (2.0, 138, 1.5), (0.8, 62, 1.0))


@dataclass(frozen=True)
class Scene:
    """A cell under the microscope.

    Parameters
    ----------
    morphology
        Its reconstruction, in µm.
    z_offset_um
        Depth of the first plane in the reconstruction's frame.
    z_step_um
        Distance between planes.
    first_section
        Section number of the first plane.
    """

    morphology: Morphology
    z_offset_um: float
    z_step_um: float
    first_section: int


def render(
    scene: Scene,
    row: Mapping[str, Any],
    downsample: int,
    gone: Callable[[], bool] = lambda: False,
) -> Image.Image:
    """Draw the image of one row at a tier.

    Parameters
    ----------
    scene
        What is under the microscope.
    row
        A row of the table ``sub_images``: a plane, or a projection.
    downsample
        Halvings of both sides.
    gone
        Returns whether nobody waits for it any more; looked at between the steps.

    Returns
    -------
    PIL.Image.Image
        RGB for a plane, gray for a projection.

    Raises
    ------
    Refusal
        If nobody waits for it.
    MissingExtraError
        Without the extra ``web``.
    """
    with requiring("drawing simulated pictures", "web"):
        from PIL import Image, ImageFilter
    scale = 1 << downsample
    size = (max(1, -(-row["width"] // scale)), max(1, -(-row["height"] // scale)))
    px_per_um = 1 / (row["resolution"] * scale)
    function = row.get("projection_function")
    paper = 255 if function == "max" else _PAPER
    image = Image.new("L", size, paper)
    if function:
        _draw(image, scene, px_per_um, axes=row.get("axes") or "xy", faint=function == "max")
        return image
    z_um = scene.z_offset_um + (row["section_number"] - scene.first_section) * scene.z_step_um
    _draw(image, scene, px_per_um, z_um=z_um)
    _still(gone)
    blurred = image.filter(ImageFilter.GaussianBlur(0.7))
    _still(gone)
    return _grained(blurred, seed=int(row["id"]))


def _still(gone: Callable[[], bool]) -> None:
    if gone():
        raise Refusal("the client is gone")


def _draw(
    image: Image.Image,
    scene: Scene,
    px_per_um: float,
    *,
    axes: str = "xy",
    z_um: float | None = None,
    faint: bool = False,
) -> None:
    """Draw segments, far ones first; without a focal plane all are in focus."""
    from PIL import ImageDraw

    pen = ImageDraw.Draw(image)
    first, second = {"xy": (2, 3), "yz": (4, 3), "xz": (2, 4)}.get(axes, (2, 3))
    layers: list[list[tuple[float, float, float, float, int]]] = [[] for _ in _FOCUS]
    for a, b in scene.morphology.segments():
        away = 0.0 if z_um is None else abs((a.z_um + b.z_um) / 2 - z_um)
        layer = sum(away < limit for limit, _, _ in _FOCUS) - 1
        if layer < 0:
            continue
        width = max(1, round(2 * max(b.radius_um, 0.25) * px_per_um * _FOCUS[layer][2]))
        ends = (a[first], a[second], b[first], b[second])
        layers[layer].append((*(px_per_um * v for v in ends), width))  # type: ignore[arg-type]
    for layer, (_, shade, _) in enumerate(_FOCUS):
        for x0, y0, x1, y1, width in layers[layer]:
            pen.line((x0, y0, x1, y1), fill=240 if faint else shade, width=width)
    soma = scene.morphology.soma
    if soma is not None and (z_um is None or abs(soma.z_um - z_um) < 3 * soma.radius_um):
        x, y = soma[first] * px_per_um, soma[second] * px_per_um
        r = max(1.0, soma.radius_um * px_per_um)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=240 if faint else 50)


def _grained(image: Image.Image, *, seed: int) -> Image.Image:
    """Return paper its grain and its tint: a picture without noise compresses like no real one."""
    import numpy as np
    from PIL import Image as Pictures

    width, height = image.size
    grain = _grain()
    shift = (seed * 97 % _TILE_PX, seed * 57 % _TILE_PX)
    tile = np.roll(grain, shift, axis=(0, 1))
    noise = np.tile(tile, (height // _TILE_PX + 1, width // _TILE_PX + 1))[:height, :width]
    gray = np.asarray(image, dtype=np.int16) + noise
    channels = [np.clip(gray - drop, 0, 255).astype(np.uint8) for drop in (0, 4, 12)]
    return Pictures.fromarray(np.stack(channels, axis=-1))


@functools.cache
def _grain() -> NDArray[np.int16]:
    import numpy as np

    noise = np.random.default_rng(313862022).normal(0, 1.3, (_TILE_PX, _TILE_PX))
    smooth = (
        noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (0, 1))
    ) / 2
    return smooth.astype(np.int16)


def encode(image: Image.Image, quality: int | None) -> bytes:
    """Encode as JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=min(95, 90 if quality is None else max(1, quality)))
    return file.getvalue()
