"""The image services of an archive: by id, by path, any part, at any tier."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.archive.holdings import Holdings
from openallen.archive.relations import Refusal
from openallen.archive.render import Scene, encode, render
from openallen.archive.sections import Sections
from openallen.errors import CorruptError
from openallen.formats.swc import read_swc

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Picture", "Pictures", "View"]

_CACHE_BYTES: Final = 96_000_000


@dataclass(frozen=True, slots=True)
class View:
    """A part of a picture, as requested from the image server.

    Parameters
    ----------
    downsample
        Halvings of both sides.
    left_px, top_px
        Corner, in pixels of the full picture.
    width_px, height_px
        Size, in pixels of the downsampled picture; None for the rest.
    quality
        JPEG quality; None for the best.
    """

    downsample: int = 0
    left_px: int = 0
    top_px: int = 0
    width_px: int | None = None
    height_px: int | None = None
    quality: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture, and whether its pixels are simulated."""

    jpeg: bytes
    simulated: bool


class Pictures:
    """The pictures of an archive, stored or simulated; the last ones are cached.

    Parameters
    ----------
    holdings
        The archive.
    """

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._cached: OrderedDict[tuple[str, View], Picture] = OrderedDict()
        self._cached_bytes = 0
        self._lock = threading.Lock()
        self._scenes = _scenes(holdings)
        self._sections = Sections(holdings)

    def row(self, image_id: int) -> dict[str, Any]:
        """Return the row of an image.

        Raises
        ------
        Refusal
            If there is none.
        """
        row = self._holdings.row("sub_images", "id", image_id)
        if row is None:
            raise Refusal(f"no image {image_id}")
        return row

    def by_path(self, path: str, view: View, gone: Callable[[], bool] = lambda: False) -> Picture:
        """Return a picture by the path its row names.

        Parameters
        ----------
        path
            The path.
        view
            The part of it.
        gone
            Returns whether nobody waits for it any more.

        Raises
        ------
        Refusal
            If there is no such picture, or no such part of it, or nobody waits for it.
        """
        row = self._holdings.row("sub_images", "path", path)
        expression = row is None
        if row is None:  # segmented expression has a path of its own
            row = self._holdings.row("sub_images", "expression_path", path)
        if row is None:
            raise Refusal(f"no image at {path}")
        key = (path, view)
        with self._lock:
            if key in self._cached:
                self._cached.move_to_end(key)
                return self._cached[key]
        picture = self._make(row, view, gone, expression=expression)
        with self._lock:
            if key not in self._cached:
                self._cached_bytes += len(picture.jpeg)
            self._cached[key] = picture
            while self._cached_bytes > _CACHE_BYTES and len(self._cached) > 1:
                self._cached_bytes -= len(self._cached.popitem(last=False)[1].jpeg)
        return picture

    def _make(
        self, row: dict[str, Any], view: View, gone: Callable[[], bool], *, expression: bool
    ) -> Picture:
        name = f"{row['id']}_expression" if expression else str(row["id"])
        stored = self._holdings.picture(name)
        if stored is not None:
            whole = View() == View(
                view.downsample, view.left_px, view.top_px, view.width_px, view.height_px
            )
            if whole and view.quality is None:
                return Picture(stored.read_bytes(), simulated=False)
            return Picture(
                encode(_part(_open(stored, view.downsample), view), view.quality), simulated=False
            )
        where = self._sections.alignment(row)
        if where is not None:
            drawn = self._sections.picture(where, row, view.downsample, expression=expression)
            return Picture(encode(_part(drawn, view), view.quality), simulated=True)
        scene = self._scenes.get(("specimen_id", row.get("specimen_id"))) or self._scenes.get(
            ("data_set_id", row.get("data_set_id"))
        )
        if scene is None or expression:
            raise Refusal(f"this archive has no pixels of image {row['id']}")
        image = _part(render(scene, row, view.downsample, gone), view)
        return Picture(encode(image, view.quality), simulated=True)


def _open(path: Any, downsample: int) -> Image.Image:
    from PIL import Image

    image = Image.open(path)
    image.load()
    return image.reduce(1 << downsample) if downsample else image


def _part(image: Image.Image, view: View) -> Image.Image:
    left, top = view.left_px >> view.downsample, view.top_px >> view.downsample
    right = image.width if view.width_px is None else min(image.width, left + view.width_px)
    bottom = image.height if view.height_px is None else min(image.height, top + view.height_px)
    if left >= right or top >= bottom:
        raise Refusal("the image has no such part")
    return image.crop((left, top, right, bottom))


def _scenes(holdings: Holdings) -> dict[tuple[str, Any], Scene]:
    """Read the recipes of ``archive.json``: which reconstruction represents which cell."""
    scenes: dict[tuple[str, Any], Scene] = {}
    for recipe in holdings.about.get("simulated", []):
        try:
            morphology = read_swc(holdings.root / recipe["swc"])
            scene = Scene(
                morphology,
                float(recipe["z_offset_um"]),
                float(recipe["z_step_um"]),
                int(recipe["first_section"]),
            )
            scenes["specimen_id", recipe["specimen_id"]] = scene
            scenes["data_set_id", recipe["data_set_id"]] = scene
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise CorruptError(
                "a recipe in archive.json is wrong",
                address=str(holdings.root),
                why=repr(error),
            ) from error
    return scenes
