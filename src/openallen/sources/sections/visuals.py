"""What section images look like: a stack of them, of what goes with them, and their table."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import NotFoundError
from openallen.planes.overviews import plane_key
from openallen.visuals import PlaneKey, StackVisual, TableVisual, Visual

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from openallen.manifests import Entry
    from openallen.sources.sections.manifest import ImageEntry
    from openallen.sources.sections.read import SectionSet

__all__ = ["visuals_of_sections"]

_PICTURES: Final = (("expression", "Segmented expression"), ("projection", "Segmented projection"))
_KEPT: Final = 4
_SHOWN: Final = ("position", "section_number", "width_px", "height_px", "size_bytes", "path", "id")


def visuals_of_sections(found: SectionSet) -> tuple[Visual, ...]:
    """Return the views of section images: none of what is not here.

    Parameters
    ----------
    found
        The images.
    """
    views: list[Visual] = []
    images = _stack(found, "images", "Section images", _Planes(found, _own))
    views += [images] if images else []
    for view, title in _PICTURES:
        one = _stack(found, view, title, _Planes(found, _drawn(found, view)))
        views += [one] if one else []
    rows = [{name: row[name] for name in _SHOWN} for row in found.rows()]
    views.append(TableVisual(name="table", title="Table of images", table=lambda: rows))
    return tuple(views)


def _own(image: ImageEntry) -> Entry | None:
    return image if image.path else None


def _drawn(found: SectionSet, view: str) -> Callable[[ImageEntry], Entry | None]:
    entries = {e.image_id: e for e in found.manifest.drawn if e.view == view and e.path}
    return lambda image: entries.get(image.id)


def _stack(found: SectionSet, name: str, title: str, planes: _Planes) -> StackVisual | None:
    if planes.first is None:
        return None
    image = planes.first
    um = image.resolution_um_per_px * (1 << image.downsample)
    same = len(planes.sizes) == 1
    width, height = planes.canvas
    return StackVisual(
        name=name,
        title=title,
        address=found.address,
        z_label="section",
        width_px=width,
        height_px=height,
        pixel_um=(um, um),
        planes=planes.keys,
        jpeg=planes.jpeg if same else None,
        region=None if same else planes.region,
        colour=True,
        simulated=found.manifest.simulated,
        overviews=found.overviews / name if found.overviews is not None else None,
    )


class _Planes:
    """Pictures of sections, one for each image; images of one data set differ in size.

    Those that are smaller than the largest lie in its middle, on white: sections are cut out of a
    slide around the tissue.

    Parameters
    ----------
    found
        The images.
    entry_of
        Returns the file of an image; None where it is not here.
    """

    def __init__(self, found: SectionSet, entry_of: Callable[[ImageEntry], Entry | None]) -> None:
        self._found = found
        self._images = found.manifest.images
        self._entries = [entry_of(image) for image in self._images]
        here = [image for image, entry in zip(self._images, self._entries, strict=True) if entry]
        self.first: ImageEntry | None = here[0] if here else None
        self.sizes = {_size(image) for image in here}
        self.canvas = tuple(max(axis) for axis in zip(*self.sizes, strict=True)) or (1, 1)
        self._lock = threading.Lock()
        self._read: dict[tuple[int, int], Any] = {}

    def keys(self) -> Sequence[PlaneKey]:
        """Return all images of the data set; those not here have no key."""
        step = self._found.section_thickness_um or 1.0
        first = self._images[0].section_number if self._images else 0
        return [
            PlaneKey(
                label=f"section {image.section_number}",
                z_um=(image.section_number - first) * step,
                key=None if entry is None else plane_key(image.position, entry.sha256 or ""),
            )
            for image, entry in zip(self._images, self._entries, strict=True)
        ]

    def jpeg(self, index: int) -> bytes:
        """Return the JPEG of an image by its place."""
        entry = self._entries[index]
        try:
            path = None if entry is None else self._found._path(entry)  # noqa: SLF001
            if path is None or not path.resolve().is_relative_to(self._found.folder.resolve()):
                raise NotFoundError("an image is missing", address=self._found.address)
            return path.read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError("an image is missing", address=self._found.address) from error

    def region(
        self, index: int, channel: int, level: int, box: tuple[int, int, int, int]
    ) -> NDArray[Any]:
        """Return pixels of an image within a box of a level, in the middle of the canvas."""
        import numpy as np

        del channel
        pixels = self._level(index, level)
        wide, high = (-(-side // 2**level) for side in self.canvas)
        left = max(0, (wide - pixels.shape[1]) // 2)
        top = max(0, (high - pixels.shape[0]) // 2)
        y0, x0, y1, x1 = box
        found = np.full((y1 - y0, x1 - x0, 3), 255, np.uint8)
        rows = slice(max(y0, top), min(y1, top + pixels.shape[0]))
        columns = slice(max(x0, left), min(x1, left + pixels.shape[1]))
        if rows.start < rows.stop and columns.start < columns.stop:
            part = pixels[
                rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
            ]
            found[rows.start - y0 :, columns.start - x0 :][: part.shape[0], : part.shape[1]] = part
        return found

    def _level(self, index: int, level: int) -> NDArray[Any]:
        from openallen.formats.overview import scaled_jpeg

        with self._lock:
            kept = self._read.get((index, level))
        if kept is not None:
            return kept  # type: ignore[no-any-return]
        pixels = scaled_jpeg(self.jpeg(index), 2**level, gray=False)
        with self._lock:
            while len(self._read) >= _KEPT:
                self._read.pop(next(iter(self._read)))
            self._read[index, level] = pixels
        return pixels


def _size(image: ImageEntry) -> tuple[int, int]:
    """Return width and height of an image as it is here."""
    width, height = image.file_width_px, image.file_height_px
    scale = 1 << image.downsample
    return (
        width or -(-image.width_px // scale),
        height or -(-image.height_px // scale),
    )
