"""Grids summed up by structure: one number for each structure and volume, parts included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openallen.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.atlases.structures import Structures

__all__ = ["Unionizer"]


class Unionizer:
    """Sums volumes up over the structures of an annotation; made once, used for many volumes.

    Parameters
    ----------
    annotation
        Structure id of each voxel, 0 where there is none.
    structures
        The ontology the ids are of.

    Raises
    ------
    UsageError
        If the annotation holds an id the ontology does not have.
    """

    def __init__(self, annotation: Any, structures: Structures) -> None:
        import numpy as np

        labels = np.asarray(annotation)
        self.shape = labels.shape
        self.structures = structures
        ids, where = np.unique(labels.ravel(), return_inverse=True)
        unknown = [int(i) for i in ids if i and int(i) not in structures.by_id]
        if unknown:
            raise UsageError(
                "the annotation holds structures the ontology does not have",
                why=", ".join(map(str, unknown[:8])),
            )
        # Sorted by label, each structure's voxels lie in one piece: a sum is a difference of two.
        self._order = np.argsort(where, kind="stable")
        self._starts = np.searchsorted(where[self._order], np.arange(len(ids)))
        rows = {s.id: row for row, s in enumerate(structures)}
        self._member = np.zeros((len(structures), len(ids)), dtype="float64")
        for column, number in enumerate(ids.tolist()):
            if number:
                self._member[rows[number], column] = 1.0
                for above in structures.ancestors(number):
                    self._member[rows[above.id], column] = 1.0

    def _sums(self, volumes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        by_label = np.add.reduceat(volumes[:, self._order], self._starts, axis=1)
        found: np.ndarray[Any, Any] = by_label @ self._member.T
        return found

    def __call__(self, volumes: Any) -> pd.DataFrame:
        """Sum one volume up, or several.

        Parameters
        ----------
        volumes
            One of the annotation's shape, or several along a first axis; NaN and -1 are missing.

        Returns
        -------
        DataFrame
            For each structure (index ``id``; for several volumes ``volume`` before it) ``mean`` and
            ``sum`` of the values that are there, ``voxels`` that have one, and ``share`` of the
            structure's voxels that have one. NaN where there is none.
        """
        import numpy as np
        import pandas as pd

        data = np.asarray(volumes, dtype="float64")
        several = data.shape[1:] == self.shape
        if not several and data.shape != self.shape:
            raise UsageError(
                "volume and annotation differ in shape", why=f"{data.shape}, not {self.shape}"
            )
        flat = data.reshape(len(data) if several else 1, -1)
        there = ~np.isnan(flat) & (flat != -1)
        sums = self._sums(np.where(there, flat, 0.0))
        counts = self._sums(there.astype("float64"))
        whole = self._sums(np.ones((1, flat.shape[1])))
        with np.errstate(invalid="ignore", divide="ignore"):
            made = {
                "mean": (sums / counts).ravel(),
                "sum": np.where(counts > 0, sums, np.nan).ravel(),
                "voxels": counts.astype("int64").ravel(),
                "share": (counts / whole).ravel(),
            }
        ids = pd.Index([s.id for s in self.structures], name="id")
        index: Any = ids
        if several:
            index = pd.MultiIndex.from_product([range(len(data)), ids], names=["volume", "id"])
        return pd.DataFrame(made, index=index)
