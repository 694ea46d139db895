"""Convert section images to OME-Zarr: each moved into the volume of its data set, as it is aligned.

The store holds the data set's volume: x and y are the plane of section, z is section number times
thickness, in µm, as scale and translation of OME-Zarr 0.5. From there one affine map leads to
reference space. Version 0.5 has no such maps, so it lies beside the image, in the form that later
versions have, under ``openallen``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError, UsageError, requiring
from openallen.formats.omezarr import Geometry
from openallen.planes.convert import Conversion, ConvertOptions
from openallen.planes.images import PlaneImage
from openallen.sources.sections.manifest import ImageEntry
from openallen.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from openallen.brainmap.alignment import ImageAlignment
    from openallen.formats.omezarr.writer import PlaneSource
    from openallen.sources.sections.read import SectionSet

__all__ = ["conversion", "to_reference_document"]

_MOST_GROWN: Final = 8
"""Alignments that need a canvas so many times larger than an image contradict it."""

Image = PlaneImage[ImageEntry]


def conversion(found: SectionSet, to: Path, options: ConvertOptions) -> Conversion:
    """Prepare a conversion.

    Parameters
    ----------
    found
        The section images.
    to
        Folder for ``<data set>.ome.zarr``, or the store itself if its name ends in ``.zarr``.
    options
        Options; JPEGs cannot be kept, since images are moved.

    Raises
    ------
    NotFoundError
        If no image that is here is aligned.
    UsageError
        If JPEGs are to be kept, or the alignment contradicts the images.
    """
    if options.keep_jpeg:
        raise UsageError(
            "JPEGs cannot be kept",
            address=found.address,
            why="each image is moved to where it lies in the data set's volume",
            hint=f"openallen convert {found.folder}",
        )
    images = _one_each(found)
    canvas = _Canvas.around(found, images)
    numbers = [image.section_number for image in images]
    steps = [number - numbers[0] for number in numbers]
    every = math.gcd(*steps) or 1
    sources: list[PlaneSource | None] = [None] * (steps[-1] // every + 1)
    for image, step in zip(images, steps, strict=True):
        where = found.alignment.image(image.entry.id)
        sources[step // every] = canvas.source(image, where)
    thickness = found.section_thickness_um or 0.0
    geometry = Geometry(
        width_px=canvas.width_px,
        height_px=canvas.height_px,
        planes=len(sources),
        channels=1 if options.gray else 3,
        x_um=canvas.pixel_um,
        y_um=canvas.pixel_um,
        z_um=thickness * every,
        first_z_um=thickness * numbers[0],
        first_x_um=canvas.left_um,
        first_y_um=canvas.top_um,
        chunk_px=options.chunk_px,
    )
    store = to if to.suffix == ".zarr" else to / f"{found.record.name}.ome.zarr"
    return Conversion(
        address=found.address,
        name=found.record.title,
        attributes=_attributes(found, images),
        here_bytes=sum(image.entry.size_bytes or 0 for image in images),
        geometry=geometry,
        sources=tuple(sources),
        to=store,
        options=options,
    )


def _one_each(found: SectionSet) -> list[Image]:
    """Return the images that are here and aligned, the first of each section number."""
    by_number: dict[int, Image] = {}
    for image in found.planes:
        if image.entry.alignment2d is not None and found.record.is_aligned:
            by_number.setdefault(image.section_number, image)
    if not by_number:
        raise NotFoundError(
            "no image that is here is aligned to reference space",
            address=found.address,
            hint=f"openallen fetch {found.address}",
        )
    return list(by_number.values())


@dataclass(frozen=True)
class _Canvas:
    """The plane that all images of a data set are moved into: x to the right, y down, in µm."""

    left_um: float
    top_um: float
    pixel_um: float
    width_px: int
    height_px: int

    @classmethod
    def around(cls, found: SectionSet, images: Sequence[Image]) -> _Canvas:
        """Return the smallest one that holds all of some images.

        Raises
        ------
        UsageError
            If it would be much larger than the images.
        """
        with requiring("moving section images", "images"):
            import numpy as np
        corners = []
        for image in images:
            factors, shift = found.alignment.image(image.entry.id).plane
            wide, high = image.entry.width_px - 0.5, image.entry.height_px - 0.5
            edges = np.array([(x, y) for x in (-0.5, wide) for y in (-0.5, high)])
            corners.append(edges @ factors.T + shift)
        points = np.concatenate(corners)
        low, high_um = points.min(axis=0), points.max(axis=0)
        pixel_um = images[0].entry.resolution_um_per_px * (1 << images[0].entry.downsample)
        width, height = (max(1, math.ceil(side / pixel_um - 1e-6)) for side in high_um - low)
        largest = max(max(_size(image)) for image in images)
        if max(width, height) > _MOST_GROWN * largest:
            raise UsageError(
                "the alignment contradicts the images",
                address=found.address,
                why=f"{width} x {height} pixels would be needed for images of {largest}",
            )
        left, top = (float(value) + pixel_um / 2 for value in low)
        return cls(left, top, pixel_um, width, height)

    def source(self, image: Image, where: ImageAlignment) -> Callable[[], NDArray[np.uint8]]:
        """Return what reads an image and moves it into the canvas."""

        def moved() -> NDArray[np.uint8]:
            import numpy as np
            from PIL import Image as Pictures

            pixels = image.read()
            if pixels.ndim == 2:
                pixels = np.stack([pixels] * 3, axis=-1)
            edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
            # What lies around an image looks as its edge does: white slides, black fluorescence.
            fill = tuple(int(value) for value in np.median(edge, axis=0))
            found = Pictures.fromarray(pixels).transform(
                (self.width_px, self.height_px),
                Pictures.Transform.AFFINE,
                self._map(image.entry, where),
                resample=Pictures.Resampling.BILINEAR,
                fillcolor=fill,
            )
            return np.asarray(found)

        return moved

    def _map(self, entry: ImageEntry, where: ImageAlignment) -> tuple[float, ...]:
        """Return the affine map of the canvas to an image, both counted from their corner."""
        import numpy as np

        back, shift = where.plane_back
        scale = 1 << entry.downsample
        factors = back * self.pixel_um / scale
        start = np.array([self.left_um, self.top_um]) - self.pixel_um / 2
        offset = (back @ start + shift + 0.5) / scale
        return (*factors[0], offset[0], *factors[1], offset[1])


def _size(image: Image) -> tuple[int, int]:
    scale = 1 << image.entry.downsample
    return -(-image.entry.width_px // scale), -(-image.entry.height_px // scale)


def to_reference_document(where: ImageAlignment) -> dict[str, Any]:
    """Return the affine map of a data set's volume to reference space, as OME-Zarr writes one.

    Parameters
    ----------
    where
        Any image of the data set.
    """
    factors, shift = where.volume
    # The volume's axes are stored as z, y, x: its columns change places.
    rows = [
        [*(float(v) for v in row[::-1]), float(s)] for row, s in zip(factors, shift, strict=True)
    ]
    unit = {"type": "space", "unit": "micrometer"}
    return {
        "coordinateSystems": [
            {"name": "volume", "axes": [{"name": name, **unit} for name in "zyx"]},
            {
                "name": "reference",
                "axes": [{"name": name, **unit} for name in ("AP", "DV", "ML")],
            },
        ],
        "coordinateTransformations": [
            {"type": "affine", "input": "volume", "output": "reference", "affine": rows}
        ],
    }


def _attributes(found: SectionSet, images: Sequence[Image]) -> dict[str, Any]:
    used = {image.entry.id for image in images}
    manifest = found.manifest
    return {
        "made_by": f"openallen {__version__}",
        "address": found.address,
        "source": manifest.source,
        "simulated": manifest.simulated,
        "reference_space_id": manifest.data_set.get("reference_space_id"),
        "sections": [image.section_number for image in images],
        "left_out": [plane.entry.id for plane in found.planes if plane.entry.id not in used],
        "to_reference": to_reference_document(found.alignment.images[0]),
        "citation": manifest.citation,
        "terms": manifest.terms,
    }
