"""Cells of a Visual Coding two-photon file: ids, masks, and rows of their traces."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, NotFoundError
from openallen.sessions.lengths import same_length
from openallen.sessions.visual_coding.ophys_metadata import PIPELINE, generation

if TYPE_CHECKING:
    import numpy as np

    from openallen.formats.nwb import Tree

__all__ = ["PROJECTION", "TRACES", "Cells", "RoiMask"]

_SEGMENTS: Final = f"{PIPELINE}/ImageSegmentation"
_PLANE: Final = f"{_SEGMENTS}/imaging_plane_1"
_FLUORESCENCE: Final = f"{PIPELINE}/Fluorescence/imaging_plane_1"
_DFF: Final = f"{PIPELINE}/DfOverF/imaging_plane_1"
_MOST_RUNS: Final = 8
_SPLIT: Final = 2
"""Demixed signals, and the neuropil in a group of its own, are there from this pipeline on."""

TRACES: Final = {
    "dff": "ΔF/F",
    "corrected_fluorescence": "fluorescence",
    "demixed": "fluorescence",
    "neuropil": "fluorescence",
    "fluorescence": "fluorescence",
}
"""Kinds of traces, with their units."""


@dataclass(frozen=True, eq=False)
class RoiMask:
    """The pixels of a cell: a box on the image, and which pixels of the box are the cell's.

    Parameters
    ----------
    x, y
        First column and first row of the box, in px.
    width, height
        Size of the box, in px; zero for a mask without pixels.
    img_rows, img_cols
        Size of the image, in px.
    mask
        The box, height x width, as stored.
    label
        Name of the region in the file.
    """

    x: int
    y: int
    width: int
    height: int
    img_rows: int
    img_cols: int
    mask: np.ndarray[Any, Any]
    label: str
    overlaps_motion_border: bool = False

    @classmethod
    def of(cls, plane: np.ndarray[Any, Any], label: str) -> RoiMask:
        """Return the mask of an image that is zero but for the cell."""
        import numpy as np

        rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
        y, below = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
        x, behind = (int(columns[0]), int(columns[-1]) + 1) if len(columns) else (0, 0)
        box = plane[y:below, x:behind]
        high, wide = plane.shape
        return cls(x, y, behind - x, below - y, high, wide, box, label)

    def get_mask_plane(self) -> np.ndarray[Any, Any]:
        """Return the mask on the whole image, rows x columns."""
        import numpy as np

        made = np.zeros((self.img_rows, self.img_cols), self.mask.dtype)
        made[self.y : self.y + self.height, self.x : self.x + self.width] = self.mask
        return made


class Cells:
    """The cells of a file; row i of every array is cell i.

    Parameters
    ----------
    tree
        The file.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    # --- ids --------------------------------------------------------------------------------------

    @functools.cached_property
    def ids(self) -> np.ndarray[Any, Any]:
        """Ids of the cells, which name them in all sessions of their container."""
        found: np.ndarray[Any, Any] = self._tree.array(f"{_SEGMENTS}/cell_specimen_ids")
        if found.ndim != 1:
            raise CorruptError(
                "ids of cells that are not one row", address=self._tree.name, why=f"{found.shape}"
            )
        return found

    @functools.cached_property
    def roi_ids(self) -> np.ndarray[Any, Any]:
        """Ids of the regions of this experiment."""
        found: np.ndarray[Any, Any] = self._tree.array(f"{_SEGMENTS}/roi_ids")
        self._together("roi_ids", found)
        return found

    @functools.cached_property
    def labels(self) -> list[str]:
        """Names of the regions in the file."""
        found = [str(name) for name in self._tree.array(f"{_PLANE}/roi_list").reshape(-1)]
        self._together("roi_list", found)
        return found

    def _together(self, name: str, found: Any) -> None:
        same_length(self._tree, f"{_SEGMENTS}/{name}", {"cells": self.ids, name: found})

    def rows(self, cell_specimen_ids: Sequence[int] | None) -> list[int]:
        """Return the row of each cell; all rows where None.

        Raises
        ------
        NotFoundError
            If there is no cell of an id.
        """
        if cell_specimen_ids is None:
            return list(range(len(self.ids)))
        known: dict[int, int] = {}
        for row, one in enumerate(self.ids):
            known.setdefault(int(one), row)
        for wanted in cell_specimen_ids:
            if wanted not in known:
                raise NotFoundError(
                    f"no cell {wanted}",
                    address=self._tree.name,
                    why=f"its {len(known)} cells begin {list(known)[:3]}",
                )
        return [known[int(wanted)] for wanted in cell_specimen_ids]

    # --- masks ------------------------------------------------------------------------------------

    @property
    def has_masks(self) -> bool:
        """Whether the file has the masks of its cells."""
        return self._tree.has(f"{_PLANE}/roi_list")

    def planes(self, rows: Sequence[int]) -> np.ndarray[Any, Any]:
        """Return masks as cell x row x column, as stored.

        Raises
        ------
        NotFoundError
            If the file has none.
        CorruptError
            If they are of several sizes.
        """
        import numpy as np

        places = [f"{_PLANE}/{self.labels[row]}/img_mask" for row in rows]
        self._tree.ready(places)
        found = [self._tree.array(place) for place in places]
        sizes = {plane.shape for plane in found}
        if len(sizes) > 1 or any(len(size) != 2 for size in sizes):
            raise CorruptError(
                "masks of several sizes",
                address=self._tree.name,
                why=", ".join(" x ".join(map(str, size)) for size in sorted(sizes)),
            )
        return np.stack(found) if found else np.empty((0, *self.image_shape), np.uint8)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Rows and columns of the image."""
        return self._tree.shape(PROJECTION)

    def masks(self, rows: Sequence[int]) -> list[RoiMask]:
        """Return masks with their boxes; raises as `planes`."""
        planes = self.planes(rows)
        return [RoiMask.of(p, self.labels[row]) for row, p in zip(rows, planes, strict=True)]

    # --- traces -----------------------------------------------------------------------------------

    @functools.cached_property
    def timestamps(self) -> np.ndarray[Any, Any]:
        """Time of each frame of the movie, in s."""
        found: np.ndarray[Any, Any] = self._tree.array(f"{_FLUORESCENCE}/timestamps")
        return found

    def times(self, kind: str) -> np.ndarray[Any, Any]:
        """Return the times of a kind of traces in s; those of ΔF/F are its own."""
        if kind != "dff":
            return self.timestamps
        found: np.ndarray[Any, Any] = self._tree.array(f"{_DFF}/timestamps")
        return found

    def place(self, kind: str) -> str:
        """Return where a kind of traces is in the file; empty for what is computed."""
        split = generation(self._tree) >= _SPLIT
        apart = f"{_FLUORESCENCE}_neuropil_response/data"
        return {
            "dff": f"{_DFF}/data",
            "fluorescence": f"{_FLUORESCENCE}/data",
            "demixed": f"{_FLUORESCENCE}_demixed_signal/data",
            "neuropil": apart if split else f"{_FLUORESCENCE}/neuropil_traces",
        }.get(kind, "")

    @property
    def _measured(self) -> str:
        """The kind of traces that neuropil is taken off of."""
        return "demixed" if generation(self._tree) >= _SPLIT else "fluorescence"

    def has(self, kind: str) -> bool:
        """Return whether the file has a kind of traces."""
        if kind == "corrected_fluorescence":
            return self.has("neuropil") and self.has(self._measured)
        return self._tree.has(self.place(kind))

    def neuropil_r(self, rows: Sequence[int]) -> np.ndarray[Any, Any]:
        """Return the share of the neuropil that is in the fluorescence of each cell."""
        split = generation(self._tree) >= _SPLIT
        group = f"{_FLUORESCENCE}_neuropil_response" if split else _FLUORESCENCE
        found: np.ndarray[Any, Any] = self._tree.array(f"{group}/r").reshape(-1)
        same_length(self._tree, f"{group}/r", {"cells": self.ids, "values": found})
        return found[list(rows)]

    def traces(self, kind: str, rows: Sequence[int]) -> np.ndarray[Any, Any]:
        """Return traces as cell x time, reading these rows only.

        Raises
        ------
        NotFoundError
            If the file has none of the kind.
        CorruptError
            If their number is not that of the cells or of the times.
        """
        if kind == "corrected_fluorescence":
            share = self.neuropil_r(rows)[:, None]
            around = self.traces("neuropil", rows)
            made: np.ndarray[Any, Any] = self.traces(self._measured, rows) - around * share
            return made
        place = self.place(kind)
        if not self._tree.has(place):
            raise NotFoundError(
                f"this file has no {kind} traces", address=self._tree.name, why=self._why(kind)
            )
        shape = self._tree.shape(place)
        if len(shape) != 2 or shape != (len(self.ids), len(self.times(kind))):
            raise CorruptError(
                "traces, cells and times do not go together",
                address=self._tree.name,
                why=f"{place}: {' x '.join(map(str, shape))}, "
                f"{len(self.ids)} cells, {len(self.times(kind)):,} times",
            )
        return _rows_of(self._tree, place, rows, shape[0])

    def _why(self, kind: str) -> str:
        place = self.place(kind)
        return f"no {place}" + ("; they begin with pipeline 2.0" if kind == "demixed" else "")

    def uneven(self, kind: str) -> str:
        """Return by how many samples a kind of traces differs from the movie; empty for none."""
        by = len(self.times(kind)) - len(self.timestamps)
        if not by:
            return ""
        samples = f"{abs(by):,} sample{'' if abs(by) == 1 else 's'}"
        return f"{kind} is {samples} {'longer' if by > 0 else 'shorter'} than the movie"


PROJECTION: Final = f"{_PLANE}/reference_images/maximum_intensity_projection_image/data"
"""Where the brightest value of each pixel is."""


def _rows_of(tree: Tree, place: str, rows: Sequence[int], count: int) -> np.ndarray[Any, Any]:
    """Return rows of an array in the order they are asked for, each read once."""
    import numpy as np

    wanted = np.asarray(rows, dtype=int)
    known = np.unique(wanted)
    runs = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1)
    if len(known) == count:
        found = tree.array(place)
    elif len(runs) <= _MOST_RUNS:  # what lies between distant rows is not read
        parts = [slice(int(run[0]), int(run[-1]) + 1) if len(run) else slice(0) for run in runs]
        found = np.concatenate([tree.part(place, part) for part in parts])
    else:  # HDF5 takes rows in ascending order, each once
        found = tree.part(place, known)
    made: np.ndarray[Any, Any] = found[np.searchsorted(known, wanted)]
    return made
