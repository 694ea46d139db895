"""Simulated section images: the simulated brain, cut where the alignment of an image says.

What a picture shows lies where the data set's alignment leads, so that it fits the simulated atlas.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from openallen.archive import anatomy
from openallen.archive.holdings import Holdings
from openallen.brainmap.alignment import ImageAlignment
from openallen.errors import AnswerError, requiring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

__all__ = ["Sections"]

_SHAPE: Final = (134, 82, 116)
_VOXEL_UM: Final = 100.0
_PAPER: Final = (238, 236, 240)
_TISSUE: Final = (214, 205, 222)
_STAIN: Final = (74, 46, 120)
_GRAPH: Final = 1


class Sections:
    """Section images of an archive that simulates volumes.

    Parameters
    ----------
    holdings
        The archive.
    """

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._simulates = bool(holdings.about.get("simulated_volumes"))
        self._brain = functools.lru_cache(1)(self._annotate)
        self._stained = functools.lru_cache(2)(self._express)

    def alignment(self, row: Mapping[str, Any]) -> ImageAlignment | None:
        """Return where an image lies in the simulated brain; None where it is not of one.

        Parameters
        ----------
        row
            A row of the table ``sub_images``.
        """
        number = row.get("data_set_id")
        data_set = self._holdings.row("data_sets", "id", number) if self._simulates else None
        two = self._holdings.row("alignment2ds", "section_image_id", row["id"])
        three = self._holdings.row("alignment3ds", "aligned_id", number)
        if data_set is None or two is None or three is None:
            return None
        try:
            thickness = float(data_set.get("section_thickness") or 0)
            return ImageAlignment.of(two, three, int(row["section_number"]), thickness)
        except (AnswerError, TypeError, ValueError):
            return None

    def picture(
        self, where: ImageAlignment, row: Mapping[str, Any], downsample: int, *, expression: bool
    ) -> Image.Image:
        """Draw an image at a tier: stained tissue, or the expression that was segmented in it.

        Parameters
        ----------
        where
            Where it lies.
        row
            Its row.
        downsample
            Halvings of both sides.
        expression
            Whether segmented expression is drawn.

        Raises
        ------
        MissingExtraError
            Without the extra ``web``.
        """
        with requiring("drawing simulated pictures", "web"):
            import numpy as np
            from PIL import Image
        scale = 1 << downsample
        x = (np.arange(-(-row["width"] // scale)) + 0.5) * scale - 0.5
        y = (np.arange(-(-row["height"] // scale)) + 0.5) * scale - 0.5
        inside, level = self._cut(where, x, y, int(row["data_set_id"]))
        level = np.where(inside, level, 0)[..., None]
        if expression:
            shown = np.clip(level * np.array([255, 300, 90]) * (level > 0.25), 0, 255)
            return Image.fromarray(shown.astype(np.uint8))
        tissue = np.where(inside[..., None], np.array(_TISSUE), np.array(_PAPER))
        shown = tissue * (1 - level) + np.array(_STAIN) * level
        random = np.random.default_rng(int(row["id"]))
        shown += random.normal(0, 2.0, (*inside.shape, 1))
        return Image.fromarray(np.clip(shown, 0, 255).astype(np.uint8))

    def _cut(
        self, where: ImageAlignment, x: NDArray[Any], y: NDArray[Any], data_set_id: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Return whether each pixel is in the brain, and how much is expressed there, 0 to 1."""
        import numpy as np

        # The map is affine: three points tell it, and a picture needs no table of coordinates.
        start, right, down = where.to_reference([0.0, 1.0, 0.0], [0.0, 0.0, 1.0])
        index = []
        fits = np.ones((len(y), len(x)), bool)
        for axis, size in enumerate(_SHAPE):
            along = (
                start[axis] + (right - start)[axis] * x[None, :] + (down - start)[axis] * y[:, None]
            ) / _VOXEL_UM
            fits &= (along >= 0) & (along < size)
            index.append(np.clip(along, 0, size - 1).astype(np.intp))
        found = tuple(index)
        inside: NDArray[np.bool_] = fits & (self._brain()[found] > 0)
        level: NDArray[np.float32] = self._stained(data_set_id)[found]
        return inside, level

    def _annotate(self) -> NDArray[np.uint32]:
        return anatomy.annotate(_SHAPE, self._holdings.rows("structures", "graph_id", _GRAPH))

    def _express(self, data_set_id: int) -> NDArray[np.float32]:
        import numpy as np

        density = anatomy.express(self._brain(), data_set_id)["density"]
        found: NDArray[np.float32] = np.clip(density * 1.6, 0, 1)
        return found
