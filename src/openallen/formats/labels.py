"""Labels of volumes: which occur, and whether they are running numbers and no ids."""

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


def few_ids(values: Any) -> np.ndarray[Any, Any]:
    """Return the labels of a volume, ascending; none where one is above 65,535.

    Ids of the Allen Institute's annotations go far above (that of the Common Coordinate Framework
    has 614454277), so that of these next to nothing is read.

    Parameters
    ----------
    values
        Array of whole numbers.
    """
    import numpy as np

    volume = np.asarray(values)
    some = volume[tuple(slice(None, None, _STEP) for _ in volume.shape)]
    if not volume.size or some.max() > _MOST or volume.max() > _MOST or volume.min() < 0:
        return np.empty(0, np.int64)
    seen = np.zeros(int(volume.max()) + 1, bool)
    for part in volume:  # an index of the size of the whole volume would be too much at once
        seen[part] = True
    return np.flatnonzero(seen)


def running_numbers(ids: Any, known: Container[int]) -> int:
    """Return n where labels are 1 to n, none left out, and not all ids of an ontology; else 0.

    Files made for programs that show labels number them so. In the ontology of the mouse nearly
    all small numbers are ids of some structure: each label would have a name, and a wrong one.

    Parameters
    ----------
    ids
        Array of the labels that occur, ascending; 0 is outside of all.
    known
        Ids of the ontology.
    """
    labels = ids[ids > 0]
    count = len(labels)
    if count < _LEAST or int(labels[-1]) != count:
        return 0
    return 0 if all(int(label) in known for label in labels) else count
