"""Grids summed up by structure: one number for each structure and volume, parts included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openallen.display import card, count_text, facts_text
from openallen.errors import UsageError
from openallen.sources.atlases.frames import AXES, oriented
from openallen.sources.atlases.numbering import check_numbers

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.sources.atlases.structures import Structures

__all__ = ["Labels", "Unionizer"]

_PIECE_VALUES: Final = 4_000_000
"""Voxels summed up at a time: pieces that stay near the processor."""


class Labels:
    """An annotation volume, its ids numbered from 0 on.

    Parameters
    ----------
    annotation
        Structure id of each voxel, 0 where there is none; a DataArray or an array.

    Attributes
    ----------
    shape : tuple of int
        Of the annotation.
    dims : tuple of str
        Its axes, empty for a plain array.
    spacing_um : tuple of float
        Size of a voxel along each axis, empty for a plain array.
    ids : array
        The ids that occur, ascending.
    codes : array
        For each voxel, in the order they lie in memory, the position of its id in `ids`.
    """

    def __init__(self, annotation: Any) -> None:
        import numpy as np
        import pandas as pd

        self.dims = tuple(map(str, getattr(annotation, "dims", ())))
        about = getattr(annotation, "attrs", {})
        self.orientation = str(about.get("orientation", ""))
        self.spacing_um = tuple(float(step) for step in about.get("spacing_um", ()))
        self._places = {axis: annotation[axis].to_numpy() for axis in AXES if axis in self.dims}
        values = np.asarray(annotation)
        self.shape = values.shape
        if values.dtype.kind not in "iu":
            raise UsageError("an annotation holds whole numbers", why=f"this holds {values.dtype}")
        self._backwards = bool(values.flags.f_contiguous and not values.flags.c_contiguous)
        flat = values.ravel(order="F" if self._backwards else "C")
        # Hashed, not sorted: a volume of 77 million voxels has some 700 ids.
        codes, found = pd.factorize(flat)
        order = np.argsort(found)
        rank = np.empty(len(order), dtype=np.uint16 if len(order) < 65_536 else np.int64)
        rank[order] = np.arange(len(order))
        self.ids = np.asarray(found)[order]
        self.codes = rank[codes]

    def like(self, volumes: Any) -> Any:
        """Return labelled volumes in the frame of the annotation: same order, same direction.

        Raises
        ------
        UsageError
            If their voxels lie elsewhere.
        """
        import numpy as np

        lead = [dim for dim in volumes.dims if dim not in AXES]
        volumes = volumes.transpose(*lead, *self.dims)
        for axis, places in self._places.items():
            here = volumes[axis].to_numpy()
            if len(here) == len(places) and np.allclose(here[::-1], places) and len(here) > 1:
                volumes = volumes.isel({axis: slice(None, None, -1)})
            elif len(here) != len(places) or not np.allclose(here, places):
                raise UsageError(
                    "volume and annotation differ in shape or place",
                    why=f"{len(here)} voxels along {axis} from {here[0]:g} µm,"
                    f" not {len(places)} from {places[0]:g}",
                )
        return oriented(volumes, self.orientation) if self.orientation else volumes

    def flat(self, volumes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return volumes (first axis) as rows of voxels in the order of `codes`."""
        if self._backwards:
            volumes = volumes.transpose(0, *range(volumes.ndim - 1, 0, -1))
        found: np.ndarray[Any, Any] = volumes.reshape(len(volumes), -1)
        return found

    def mask(self, ids: Any) -> np.ndarray[Any, Any]:
        """Return where the annotation is one of some ids, in its own shape."""
        import numpy as np

        wanted = np.isin(self.ids, np.asarray(list(ids)))[self.codes]
        found: np.ndarray[Any, Any] = wanted.reshape(
            self.shape, order="F" if self._backwards else "C"
        )
        return found


class Unionizer:
    """Sums volumes up over the structures of an annotation; made once, used for many volumes.

    Parameters
    ----------
    annotation
        Structure id of each voxel, 0 where there is none.
    structures
        The ontology the ids are of.
    strict
        Refuse ids the ontology does not have; else their voxels count for nothing, and the ids are
        in `unknown`.

    Raises
    ------
    UsageError
        If the annotation holds no whole numbers, or running numbers, or an id the ontology does
        not have.

    Attributes
    ----------
    unknown : tuple of int
        Ids the ontology does not have.
    """

    def __init__(self, annotation: Any, structures: Structures, *, strict: bool = True) -> None:
        import numpy as np

        self._labels = annotation if isinstance(annotation, Labels) else Labels(annotation)
        self.structures = structures
        labels = self._labels
        check_numbers(labels.ids, structures.by_id)
        known = [bool(i) and int(i) in structures.by_id for i in labels.ids]
        self.unknown = tuple(
            int(i) for i, here in zip(labels.ids, known, strict=True) if i and not here
        )
        if self.unknown and strict:
            raise UsageError(
                "the annotation holds structures the ontology does not have",
                why=", ".join(map(str, self.unknown[:8])),
                hint="strict=False ignores them",
            )
        # Sorted by label, each structure's voxels lie in one piece: a sum for each piece.
        order = np.argsort(labels.codes, kind="stable")
        sorted_codes = labels.codes[order]
        starts = np.searchsorted(sorted_codes, np.arange(len(labels.ids) + 1))
        pieces = [order[starts[n] : starts[n + 1]] for n, here in enumerate(known) if here]
        self._order = np.concatenate(pieces) if pieces else order[:0]
        sizes = [len(piece) for piece in pieces]
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        ids = [int(i) for i, here in zip(labels.ids, known, strict=True) if here]
        self._member = _membership(structures, ids)
        self._voxels = self._member @ np.array(sizes, float) if sizes else np.zeros(len(structures))

    def _sums(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        if not len(self._order):
            return np.zeros((len(values), len(self.structures)))
        by_label = np.add.reduceat(values, self._starts, axis=1, dtype=np.float64)
        found: np.ndarray[Any, Any] = by_label @ self._member.T
        return found

    def _facts(self) -> dict[str, object]:
        labels = self._labels
        size = " x ".join(map(str, labels.shape)) + " voxels"
        steps = " x ".join(f"{step:g}" for step in dict.fromkeys(labels.spacing_um))
        held = count_text(int((self._voxels > 0).sum()), "structure")
        return {
            "annotation": f"{size} of {steps} µm" if steps else size,
            "structures": f"{held} with voxels, of {len(self.structures):,} in the ontology",
            "unknown ids": len(self.unknown) or None,
        }

    def __repr__(self) -> str:
        return facts_text("Unionizer", self._facts())

    def _repr_html_(self) -> str:
        return card(
            "Unionizer", self._facts(), note="call it with volumes: mean and sum by structure"
        )

    def __call__(self, volumes: Any) -> pd.DataFrame:
        """Return mean and sum of one volume, or of several, by structure.

        Parameters
        ----------
        volumes
            One of the annotation's shape, or several along a first axis (`openallen.grids` gives
            them so); NaN and -1 are missing.

        Returns
        -------
        DataFrame
            For each structure (index ``id``; for several volumes the first axis before it)
            ``mean`` and ``sum`` of the values that are there, ``name`` and ``acronym``, ``voxels``
            that have a value, and the ``share`` of the structure's voxels that have one. NaN if
            there is none. Parts count for what they are part of.

        Raises
        ------
        UsageError
            If volumes and annotation differ in shape.
        """
        import numpy as np
        import pandas as pd

        data, index = self._several(volumes)
        step = max(1, _PIECE_VALUES // max(len(self._order), 1))
        sums, counts = (np.empty((len(data), len(self.structures))) for _ in range(2))
        for at in range(0, len(data), step):
            rows = self._labels.flat(np.asarray(data[at : at + step]))[:, self._order]
            missing = np.isnan(rows) | (rows == -1)
            sums[at : at + step] = self._sums(np.where(missing, 0, rows))
            counts[at : at + step] = self._sums(~missing)
        with np.errstate(invalid="ignore", divide="ignore"):
            made = {
                "mean": (sums / counts).ravel(),
                "sum": np.where(counts > 0, sums, np.nan).ravel(),
                "voxels": np.rint(counts).astype("int64").ravel(),
                "share": (counts / self._voxels).ravel(),
            }
        ids = pd.Index([s.id for s in self.structures], name="id")
        codes = np.tile(np.arange(len(ids)), len(data))
        named = {
            what: pd.Categorical.from_codes(
                codes, _distinct([getattr(s, what) for s in self.structures])
            )
            for what in ("acronym", "name")
        }
        rows = ids if index is None else pd.MultiIndex.from_product([index, ids])
        # Printed 80 characters wide, pandas leaves out the columns in the middle: the long name.
        order = ("mean", "sum", "name", "share", "voxels", "acronym")
        return pd.DataFrame({what: (made | named)[what] for what in order}, index=rows)

    def _several(self, volumes: Any) -> tuple[Any, Any]:
        """Return volumes along a first axis, and that axis's index; None if there was only one."""
        import pandas as pd

        labels = self._labels
        if not hasattr(volumes, "dims"):
            volumes = _array(volumes)
        dims = tuple(map(str, getattr(volumes, "dims", ())))
        shape = tuple(getattr(volumes, "shape", ()))
        index: Any = None
        if dims and labels.dims and set(AXES) <= set(dims):
            lead = [dim for dim in dims if dim not in AXES]
            volumes = labels.like(volumes)
            shape = volumes.shape
            if len(lead) == 1:
                index = pd.Index(volumes[lead[0]].to_numpy(), name=lead[0])
        if shape == labels.shape:
            return volumes.expand_dims("volume") if dims else _array(volumes)[None], None
        if shape[1:] != labels.shape:
            raise UsageError(
                "volume and annotation differ in shape", why=f"{shape}, not {labels.shape}"
            )
        if index is None:
            index = pd.RangeIndex(shape[0], name="volume")
        return volumes if dims else _array(volumes), index


def _distinct(words: list[str]) -> list[str]:
    """Return words that all differ, as categories must; a second one of the same gets a number."""
    seen: dict[str, int] = {}
    found = []
    for word in words:
        seen[word] = seen.get(word, 0) + 1
        found.append(word if seen[word] == 1 else f"{word} ({seen[word]})")
    return found


def _array(volumes: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.asarray(volumes)


def _membership(structures: Structures, ids: list[int]) -> np.ndarray[Any, Any]:
    """Return structures x labels: 1 where a label is the structure, or a part of it."""
    import numpy as np

    rows = {s.id: row for row, s in enumerate(structures)}
    member = np.zeros((len(structures), len(ids)))
    for column, number in enumerate(ids):
        member[rows[number], column] = 1.0
        for above in structures.ancestors(number):
            member[rows[above.id], column] = 1.0
    return member
