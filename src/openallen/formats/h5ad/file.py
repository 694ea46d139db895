"""An ``.h5ad``: a matrix of cells x genes with a table for each, opened where it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from openallen.display import card, facts_text
from openallen.errors import CorruptError, MissingExtraError, NotFoundError, UsageError, requiring
from openallen.formats.h5ad.frames import read_frame, read_index, read_mapping
from openallen.formats.h5ad.genes import SYMBOLS, GeneNames
from openallen.formats.h5ad.matrix import Matrix, open_matrix
from openallen.formats.nwb.tree import Tree

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.visuals import Visual

    Array = np.ndarray[Any, Any]

__all__ = ["H5ad", "open_h5ad"]

_NAMED: Final = 5
_SHOWN: Final = 200


def open_h5ad(path: Path) -> H5ad:
    """Open an ``.h5ad`` of this machine.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    NotFoundError
        If there is no such file, or it has no table of cells or genes.
    TruncatedError, CorruptError
        If it is not a whole HDF5 file, or not such a matrix.
    """
    from openallen.formats.nwb import open_h5

    if not path.is_file():
        raise NotFoundError("no such file", address=str(path))
    return H5ad(lambda: open_h5(path, str(path)), str(path), path)


class H5ad:
    """A matrix of cells x genes, of which only what is asked for is read.

    Parameters
    ----------
    opener
        Opens the file.
    name
        What it is called in messages.
    path
        Where it is on this machine; None for a remote one.

    Raises
    ------
    NotFoundError
        If it has no table of cells or genes.
    CorruptError
        If it is not a matrix as anndata writes them.
    """

    def __init__(self, opener: Callable[[], Tree], name: str, path: Path | None = None) -> None:
        self.name = name
        self.path = path
        self.tree = opener()
        try:
            kind = self.tree.attrs("/").get("encoding-type", "anndata")
            if kind != "anndata" or not (self.tree.has("obs") and self.tree.has("var")):
                raise CorruptError(
                    "not an .h5ad",
                    address=name,
                    why=f"encoding-type {kind}"
                    if kind != "anndata"
                    else "it has no tables obs and var",
                )
        except BaseException:
            self.tree.close()
            raise

    # --- tables -----------------------------------------------------------------------------------

    @cached_property
    def obs_names(self) -> pd.Index[Any]:
        """The labels of the cells, in order."""
        with requiring("a table of cells", "tables"):
            import pandas as pd
        return pd.Index(read_index(self.tree, "obs"), dtype=object)

    @cached_property
    def var_names(self) -> pd.Index[Any]:
        """The identifiers of the genes, in order."""
        with requiring("a table of genes", "tables"):
            import pandas as pd
        return pd.Index(read_index(self.tree, "var"), dtype=object)

    @cached_property
    def obs(self) -> pd.DataFrame:
        """The table of cells, by label; columns of categories as pandas' own."""
        with requiring("a table of cells", "tables"):
            return read_frame(self.tree, "obs")

    @cached_property
    def var(self) -> pd.DataFrame:
        """The table of genes, by identifier."""
        with requiring("a table of genes", "tables"):
            return read_frame(self.tree, "var")

    @cached_property
    def uns(self) -> dict[str, Any]:
        """What belongs to neither cells nor genes: text, numbers, arrays, tables."""
        return read_mapping(self.tree, "uns")

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of further matrices of the same shape."""
        return tuple(self.tree.names("layers"))

    @property
    def shape(self) -> tuple[int, int]:
        """How many cells and genes there are."""
        return len(self.obs_names), len(self.var_names)

    @cached_property
    def X(self) -> Matrix:  # noqa: N802 - anndata's name
        """The matrix; a sparse one has ``data``, ``indices``, ``indptr`` and ``nnz``."""
        return self.matrix()

    def matrix(self, layer: str = "") -> Matrix:
        """Return the matrix, or one of `layers`.

        Parameters
        ----------
        layer
            The name of the layer; the matrix itself where empty.

        Raises
        ------
        NotFoundError
            If there is none.
        CorruptError
            If it does not fit the tables, or is of an unknown encoding.
        """
        if layer and layer not in self.layers:
            raise NotFoundError(
                f"no layer '{layer}'",
                address=self.name,
                why=f"it has {', '.join(self.layers)}" if self.layers else "it has no layers",
            )
        return open_matrix(self.tree, f"layers/{layer}" if layer else "X", self.shape)

    # --- values -----------------------------------------------------------------------------------

    @cached_property
    def gene_names(self) -> GeneNames:
        """The genes by identifier and by symbol."""
        frame = self.var
        column = next((name for name in SYMBOLS if name in frame.columns), None)
        symbols = [] if column is None else frame[column].astype(object).tolist()
        return GeneNames(self.var_names.tolist(), symbols, self.name)

    def genes(
        self,
        names: str | Iterable[str],
        cells: Iterable[str] | None = None,
        *,
        layer: str = "",
        sparse: bool = False,
    ) -> pd.DataFrame:
        """Return some genes in all cells, or in some; nothing else of the matrix is kept.

        Parameters
        ----------
        names
            Symbols or identifiers.
        cells
            Labels of cells; all, in the order of the file, where None.
        layer
            One of `layers`; the matrix itself where empty.
        sparse
            Whether columns hold only what is not zero (pandas' ``Sparse``).

        Returns
        -------
        DataFrame
            Cells x genes, by ``cell_label``; columns are named as they were asked for.

        Raises
        ------
        NotFoundError
            If there is no such gene or cell.
        UsageError
            If several genes have one of the symbols.
        CorruptError
            If the matrix is damaged.
        """
        wanted = _texts(names, "genes", self.name)
        places = self.gene_names.places(wanted)
        rows = None if cells is None else self.rows_of(_texts(cells, "cells", self.name))
        return self._frame(rows, places, wanted, layer, sparse)

    def cells(
        self, labels: str | Iterable[str], *, layer: str = "", sparse: bool = False
    ) -> pd.DataFrame:
        """Return all genes of some cells: cells x genes, columns by identifier.

        Parameters
        ----------
        labels
            Labels of cells.
        layer, sparse
            As for `genes`.

        Raises
        ------
        NotFoundError
            If there is no such cell.
        CorruptError
            If the matrix is damaged.
        """
        rows = self.rows_of(_texts(labels, "cells", self.name))
        return self._frame(rows, None, self.var_names, layer, sparse)

    def rows_of(self, labels: Sequence[str], *, known: bool = True) -> Array:
        """Return the row of each cell.

        Parameters
        ----------
        labels
            Labels of cells.
        known
            Whether a label that is not there is an error; else its row is -1.

        Raises
        ------
        NotFoundError
            If there is no such cell.
        CorruptError
            If labels repeat in the file.
        """
        import numpy as np

        if not self.obs_names.is_unique:
            twice = self.obs_names[self.obs_names.duplicated()][0]
            raise CorruptError("labels of cells repeat", address=self.name, why=str(twice))
        found = np.asarray(self.obs_names.get_indexer(labels), dtype=np.int64)
        lacking = np.flatnonzero(found < 0)
        if known and lacking.size:
            names = ", ".join(f"'{labels[int(at)]}'" for at in lacking[:_NAMED])
            more = f" and {lacking.size - _NAMED:,} more" if lacking.size > _NAMED else ""
            raise NotFoundError(
                f"no cell {names}{more}",
                address=self.name,
                why=f"it has {len(self.obs_names):,} cells, as {self.obs_names[0]}"
                if len(self.obs_names)
                else "it has no cells",
            )
        return found

    def values(self, rows: Array | None, columns: Sequence[int] | None, layer: str = "") -> Array:
        """Return part of the matrix as an array: rows x columns.

        Parameters
        ----------
        rows, columns
            Which of them, in any order; all where None.
        layer
            One of `layers`; the matrix itself where empty.

        Raises
        ------
        CorruptError
            If the matrix is damaged.
        UsageError
            If it does not fit into memory.
        """
        import numpy as np

        matrix = self.matrix(layer)
        row_set, row_back = _once(rows)
        column_set, column_back = _once(columns)
        shape = (
            matrix.shape[0] if row_set is None else len(row_set),
            matrix.shape[1] if column_set is None else len(column_set),
        )
        dtype = matrix.dtype
        try:
            made = np.zeros(shape, dtype)
        except (MemoryError, ValueError) as error:
            raise UsageError(
                f"{shape[0]:,} cells x {shape[1]:,} genes do not fit into memory",
                address=self.name,
                hint="ask for fewer, or with sparse=True",
            ) from error
        for row, column, values in matrix.entries(row_set, column_set):
            place = (_among(row_set, row), _among(column_set, column))
            np.add.at(made, place, values)  # what is there twice is added, as scipy does
        made = made if row_back is None else made[row_back]
        return made if column_back is None else made[:, column_back]

    def _frame(
        self,
        rows: Array | None,
        columns: Sequence[int] | None,
        names: Iterable[str],
        layer: str,
        sparse: bool,
    ) -> pd.DataFrame:
        import pandas as pd

        labels = self.obs_names if rows is None else self.obs_names[rows]
        index = labels.rename(self._label())
        titles = pd.Index(list(names), dtype=object)
        if not sparse:
            return pd.DataFrame(self.values(rows, columns, layer), index=index, columns=titles)
        made = self._sparse(rows, columns, layer)
        frame = pd.DataFrame(dict(enumerate(made)), index=index)
        frame.columns = titles
        return frame

    def _label(self) -> str | None:
        name = self.tree.attrs("obs").get("_index")
        return None if name == "_index" else str(name)

    def _sparse(self, rows: Array | None, columns: Sequence[int] | None, layer: str) -> list[Any]:
        """Return columns that hold only what is not zero; one at a time is dense meanwhile."""
        import numpy as np
        import pandas as pd

        matrix = self.matrix(layer)
        row_set, row_back = _once(rows)
        column_set, column_back = _once(columns)
        parts = list(matrix.entries(row_set, column_set))
        joined = [
            np.concatenate([part[i] for part in parts]) if parts else np.empty(0, np.int64)
            for i in range(3)
        ]
        order = np.argsort(joined[1], kind="stable")
        row, column, values = (one[order] for one in joined)
        row = _among(row_set, row)
        count = matrix.shape[0] if row_set is None else len(row_set)
        made = []
        for place in range(matrix.shape[1]) if column_set is None else column_set:
            first, last = np.searchsorted(column, [place, place + 1])
            dense = np.zeros(count, matrix.dtype)
            np.add.at(dense, row[first:last], values[first:last])
            dense = dense if row_back is None else dense[row_back]
            made.append(pd.arrays.SparseArray(dense, fill_value=dense.dtype.type(0)))
        return made if column_back is None else [made[at] for at in column_back]

    def to_anndata(
        self,
        genes: str | Iterable[str] | None = None,
        cells: Iterable[str] | None = None,
        *,
        backed: bool = False,
    ) -> Any:
        """Return it as an ``anndata.AnnData``; needs anndata, which no extra brings.

        Parameters
        ----------
        genes, cells
            Which genes and cells, by name; all where None.
        backed
            Whether values stay in the file, which is on this machine.

        Raises
        ------
        MissingExtraError
            Without anndata.
        NotFoundError
            If there is no such gene or cell.
        UsageError
            If a remote file, or a part of one, is to stay in its file.
        """
        try:
            import anndata  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            raise MissingExtraError("anndata", "an AnnData", hint="pip install anndata") from None
        whole = genes is None and cells is None
        if backed and (self.path is None or not whole):
            raise UsageError(
                "only a whole file of this machine stays in its file",
                address=self.name,
                hint="fetch it first, or leave out backed",
            )
        if whole and self.path is not None:
            return anndata.read_h5ad(self.path, backed="r" if backed else None)
        rows = None if cells is None else self.rows_of(_texts(cells, "cells", self.name))
        places = (
            None if genes is None else self.gene_names.places(_texts(genes, "genes", self.name))
        )
        obs = self.obs if rows is None else self.obs.iloc[rows]
        var = self.var if places is None else self.var.iloc[places]
        return anndata.AnnData(
            X=_scipy_of(self.values(rows, places)), obs=obs.copy(), var=var.copy(), uns=self.uns
        )

    # --- for people -------------------------------------------------------------------------------

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.visuals import TableVisual

        return (
            TableVisual(name="cells", title="Cells", table=lambda: self.obs.iloc[:_SHOWN]),
            TableVisual(name="genes", title="Genes", table=lambda: self.var.iloc[:_SHOWN]),
        )

    def _facts(self) -> Mapping[str, object]:
        cells, genes = self.shape
        matrix = self.X
        stored = getattr(matrix, "nnz", None)
        return {
            "file": self.name,
            "cells": f"{cells:,}",
            "genes": f"{genes:,}",
            "matrix": f"{matrix.format}, {matrix.dtype}"
            + ("" if stored is None else f", {stored:,} values stored"),
            "layers": ", ".join(self.layers) or None,
            "columns of cells": ", ".join(map(str, self.obs.columns)) or None,
            "columns of genes": ", ".join(map(str, self.var.columns)) or None,
        }

    def __repr__(self) -> str:
        return facts_text("Cells x genes", self._facts())

    def _repr_html_(self) -> str:
        return card("Cells x genes", self._facts())

    def close(self) -> None:
        """Close the file."""
        self.tree.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _scipy_of(values: Array) -> Any:
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped,unused-ignore]

    return csr_matrix(values)  # anndata brings scipy


def _once(places: Any) -> tuple[Array | None, Array | None]:
    """Return places in order, each once, and where each of those asked for is among them."""
    import numpy as np

    if places is None:
        return None, None
    found, back = np.unique(np.asarray(places, dtype=np.int64), return_inverse=True)
    same = len(found) == len(back) and bool(np.all(back == np.arange(len(back))))
    return found, None if same else back


def _among(chosen: Array | None, places: Array) -> Array:
    """Return where places are among those chosen; as they are where all are."""
    import numpy as np

    return places if chosen is None else np.searchsorted(chosen, places)


def _texts(names: str | Iterable[str], what: str, where: str) -> list[str]:
    """Return names as a list, each once."""
    given = [names] if isinstance(names, str) else list(names)
    strange = next((name for name in given if not isinstance(name, str)), None)
    if strange is not None:
        raise UsageError(f"{what} are named by text, not {type(strange).__name__}", address=where)
    return list(dict.fromkeys(given))
