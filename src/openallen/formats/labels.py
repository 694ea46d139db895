"""Labels of volumes: which occur, and whether they are running numbers, not ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Container

    import numpy as np

__all__ = ["few_ids", "running_numbers"]

_LEAST: Final = 50
"""Fewer labels than this may be 1, 2, 3 … by chance, or in somebody's own small ontology."""
_MOST: Final = 65_535
_STEP: Final = 8
_MOST_LACKING: Final = 0.05
"""Of real annotations the ontology lacks none; of the positions of structures in it, 13 %."""


def few_ids(values: Any) -> np.ndarray[Any, Any]:
    """Return the labels of a volume, ascending; none where one is above 65,535.

    Ids of the Allen Institute's annotations go far above (that of the Common Coordinate Framework
    has 614454277), so that of these next to nothing is read.

    Parameters
    ----------
    values
        Array of numbers, on one axis or more; fractions are cut off, as where a label is looked up.
    """
    import numpy as np

    volume = np.asarray(values)
    none = np.empty(0, np.int64)
    if volume.dtype.kind not in "iuf" or not volume.size:
        return none
    some = volume[tuple(slice(None, None, _STEP) for _ in volume.shape)]
    # Written so that NaN is no label, either.
    if not some.max() <= _MOST or not volume.max() <= _MOST or not volume.min() >= 0:
        return none
    seen = np.zeros(int(volume.max()) + 1, bool)
    for part in volume:  # an index of the size of the whole volume would be too much at once
        seen[part.astype(np.intp)] = True
    return np.flatnonzero(seen)


def running_numbers(ids: Any, known: Container[int]) -> tuple[int, ...]:
    """Return the labels that an ontology lacks, where that tells that labels are running numbers.

    Files made for programs that show labels number structures in some order. In the ontology of
    the mouse most small numbers are ids of some structure: most labels would have a name, and a
    wrong one. Labels are taken for such numbers if there are 50 or more, none is above 65,535, and
    the ontology lacks one in twenty of them; or one at all, where they are 1 to n, none left out.

    Parameters
    ----------
    ids
        Array of the labels that occur, ascending; 0 is outside of all.
    known
        Ids of the ontology.
    """
    labels = ids[ids > 0]
    if len(labels) < _LEAST or int(labels[-1]) > _MOST:
        return ()
    lacking = tuple(int(label) for label in labels if int(label) not in known)
    dense = int(labels[-1]) == len(labels)
    return lacking if dense or len(lacking) > _MOST_LACKING * len(labels) else ()
