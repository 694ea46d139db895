"""The matrix of an ``.h5ad``, by rows (CSR), by columns (CSC) or dense: read in blocks.

A block is some millions of entries, whatever the size of the matrix, so that files of many
gigabytes are read in little memory, here or by ranges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Protocol

from openallen.errors import CorruptError, NotFoundError
from openallen.formats.nwb.tree import Tree

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]
    Entries = tuple[Array, Array, Array]

__all__ = ["BLOCK_ENTRIES", "Matrix", "open_matrix"]

BLOCK_ENTRIES: Final = 1 << 21
"""How many entries are read at a time."""
_NEAR: Final = 1 << 14
"""Entries between rows that are read along rather than jumped over."""
_FEW: Final = 64
_OLD: Final = {"csr": "csr_matrix", "csc": "csc_matrix"}


class Matrix(Protocol):
    """Values by row and column."""

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows and columns there are."""
        ...

    @property
    def format(self) -> str:
        """How it is stored: ``csr``, ``csc`` or ``array``."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        ...

    def entries(self, rows: Array | None, columns: Array | None) -> Iterator[Entries]:
        """Yield rows, columns and values of what is not zero, a block at a time.

        Parameters
        ----------
        rows, columns
            Which of them, in ascending order, each once; all where None.
        """
        ...


def open_matrix(tree: Tree, path: str, shape: tuple[int, int]) -> Matrix:
    """Return the matrix at a path; of its values nothing is read yet.

    Parameters
    ----------
    tree, path
        The file, and the matrix in it: ``X``, or ``layers/NAME``.
    shape
        How many cells and genes the tables beside it have.

    Raises
    ------
    NotFoundError
        If there is none.
    CorruptError
        If it is of another shape, or of no encoding that is known.
    """
    if not tree.has(path):
        raise NotFoundError(f"no matrix '{path}' in this file", address=tree.name)
    told = tree.attrs(path)
    kind = str(told.get("encoding-type") or _OLD.get(str(told.get("h5sparse_format", "")), ""))
    if tree.names(path) or kind in {"csr_matrix", "csc_matrix"}:
        return _compressed(tree, path, shape, kind, told)
    if kind not in {"", "array"}:
        raise _unknown(tree, path, kind)
    found = tree.shape(path)
    _same(tree, path, found, shape)
    return Dense(tree, path, shape)


def _compressed(tree: Tree, path: str, shape: tuple[int, int], kind: str, told: Any) -> Compressed:
    import numpy as np

    if kind not in {"csr_matrix", "csc_matrix"}:
        raise _unknown(tree, path, kind)
    for part in ("data", "indices", "indptr"):
        if not tree.has(f"{path}/{part}") or len(tree.shape(f"{path}/{part}")) != 1:
            why = f"no list {path}/{part}"
            raise CorruptError("part of the matrix is missing", address=tree.name, why=why)
    claimed = told.get("shape", told.get("h5sparse_shape"))
    _same(tree, path, tuple(np.asarray(claimed).reshape(-1).tolist()), shape)
    return Compressed(tree, path, shape, kind[:3])


def _unknown(tree: Tree, path: str, kind: str) -> CorruptError:
    return CorruptError(
        "a matrix of an unknown encoding",
        address=tree.name,
        why=f"{path}: encoding-type {kind or 'is missing'}; csr_matrix, csc_matrix, array are read",
    )


def _same(tree: Tree, path: str, found: tuple[Any, ...], shape: tuple[int, int]) -> None:
    if tuple(found) != shape:
        raise CorruptError(
            "the matrix does not fit its tables",
            address=tree.name,
            why=f"{path} is {found}; {shape[0]:,} cells and {shape[1]:,} genes are named",
        )


def _number_type(tree: Tree, path: str) -> np.dtype[Any]:
    import numpy as np

    made: np.dtype[Any] = np.dtype(tree.part(path, slice(0, 0)).dtype)
    if made.kind not in "iufb":
        raise CorruptError("the matrix holds no numbers", address=tree.name, why=f"{path}: {made}")
    return made


@dataclass(frozen=True)
class Compressed:
    """A sparse matrix: for each row (CSR) or column (CSC) the places of what is not zero.

    Parameters
    ----------
    tree, path, shape
        The file, the path of the matrix, and how many rows and columns it has.
    format
        ``csr`` or ``csc``.
    """

    tree: Tree
    path: str
    shape: tuple[int, int]
    format: str

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        return _number_type(self.tree, f"{self.path}/data")

    @property
    def nnz(self) -> int:
        """How many values are stored."""
        return int(self.tree.shape(f"{self.path}/data")[0])

    @property
    def data(self) -> Array:
        """The values, whole."""
        return self.tree.array(f"{self.path}/data")

    @property
    def indices(self) -> Array:
        """The column (CSR) or row (CSC) of each value, whole."""
        return self.tree.array(f"{self.path}/indices")

    @cached_property
    def indptr(self) -> Array:
        """Where each row (CSR) or column (CSC) begins among the values, and the end of the last.

        Raises
        ------
        CorruptError
            If it does not ascend, or does not fit the values.
        """
        import numpy as np

        count = self.shape[0] if self.format == "csr" else self.shape[1]
        path = f"{self.path}/indptr"
        if self.tree.shape(path) != (count + 1,):
            raise self._damaged(f"{path} has {self.tree.shape(path)[0]:,} items for {count:,}")
        found = self.tree.array(path)
        held = self.tree.shape(f"{self.path}/indices")[0]
        if found.dtype.kind not in "iu":
            raise self._damaged(f"{path} holds no whole numbers")
        if held != self.nnz:
            raise self._damaged(f"{held:,} places for {self.nnz:,} values")
        if int(found[0]) != 0 or int(found[-1]) != self.nnz:
            raise self._damaged(f"{path} runs from {found[0]} to {found[-1]}, not 0 to {self.nnz}")
        if np.any(found[1:] < found[:-1]):
            raise self._damaged(f"{path} does not ascend")
        return found

    def _damaged(self, why: str) -> CorruptError:
        return CorruptError("the sparse matrix is damaged", address=self.tree.name, why=why)

    def entries(self, rows: Array | None, columns: Array | None) -> Iterator[Entries]:
        """Yield rows, columns and values of what is stored, a block at a time."""
        if self.format == "csr":
            yield from self._entries(rows, columns, self.shape[1])
        else:
            for column, row, values in self._entries(columns, rows, self.shape[0]):
                yield row, column, values

    def _entries(self, majors: Array | None, minors: Array | None, width: int) -> Iterator[Entries]:
        """Yield entries by the axis they lie in order of (`majors`), and the other."""
        import numpy as np

        starts = self.indptr.astype(np.int64)
        wanted = _marks(minors, width)
        chosen = _marks(majors, len(starts) - 1)
        for begin, end in self._spans(majors, starts):
            places = self.tree.part(f"{self.path}/indices", slice(begin, end))
            if places.size and not 0 <= int(places.min()) <= int(places.max()) < width:
                raise self._damaged(f"{self.path}/indices beyond {width:,}")
            hits = np.arange(end - begin) if wanted is None else np.flatnonzero(wanted[places])
            if not hits.size:
                continue
            major = np.searchsorted(starts, hits + begin, side="right") - 1
            if chosen is not None:
                kept = chosen[major]
                hits, major = hits[kept], major[kept]
                if not hits.size:
                    continue
            first = int(hits[0])
            span = slice(begin + first, begin + int(hits[-1]) + 1)
            values = self.tree.part(f"{self.path}/data", span)
            yield major, places[hits].astype(np.int64), values[hits - first]

    def _spans(self, majors: Array | None, starts: Array) -> Iterator[tuple[int, int]]:
        """Yield from where to where entries are read: runs of rows, cut into blocks."""
        import numpy as np

        if majors is None:
            runs = [(0, int(starts[-1]))]
        else:
            begins, ends = starts[majors], starts[majors + 1]
            filled = ends > begins
            begins, ends = begins[filled], ends[filled]
            breaks = np.flatnonzero(begins[1:] - ends[:-1] > _NEAR) + 1
            cuts = [0, *breaks.tolist(), len(begins)]
            runs = [(int(begins[a]), int(ends[b - 1])) for a, b in pairwise(cuts) if b > a]
        step = self._step()
        for begin, end in runs:
            # Blocks end where chunks do, so that no chunk is unpacked twice.
            ends = [*range((begin // step + 1) * step, end, step), end]
            yield from pairwise([begin, *ends])

    def _step(self) -> int:
        chunks = getattr(self.tree.lazy(f"{self.path}/indices"), "chunks", None)
        size = int(chunks[0]) if chunks else 1
        return max(1, BLOCK_ENTRIES // size) * size


@dataclass(frozen=True)
class Dense:
    """A matrix with every value written down; parameters as for `Compressed`."""

    tree: Tree
    path: str
    shape: tuple[int, int]
    format: str = "array"

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        return _number_type(self.tree, self.path)

    def entries(self, rows: Array | None, columns: Array | None) -> Iterator[Entries]:
        """Yield rows, columns and values of what is not zero, some rows at a time."""
        import numpy as np

        few = columns is not None and len(columns) <= _FEW
        step = self._step(len(columns) if few and columns is not None else self.shape[1])
        chosen = _marks(rows, self.shape[0])
        for begin in range(0, self.shape[0], step):
            stop = min(begin + step, self.shape[0])
            if chosen is not None and not chosen[begin:stop].any():
                continue
            key = (slice(begin, stop), columns if few else slice(None))
            block = self.tree.part(self.path, key)
            if columns is not None and not few:
                block = block[:, columns]
            if chosen is not None:
                block = np.where(chosen[begin:stop, None], block, np.zeros(1, block.dtype))
            row, column = np.nonzero(block)
            if row.size:
                yield (
                    row + begin,
                    column if columns is None else columns[column],
                    block[row, column],
                )

    def _step(self, width: int) -> int:
        chunks = getattr(self.tree.lazy(self.path), "chunks", None)
        size = int(chunks[0]) if chunks else 1
        return max(1, BLOCK_ENTRIES // max(1, width) // size) * size


def _marks(chosen: Array | None, count: int) -> Array | None:
    """Return for each place whether it is chosen; None where all are."""
    import numpy as np

    if chosen is None:
        return None
    marks = np.zeros(count, dtype=bool)
    marks[chosen] = True
    return marks
