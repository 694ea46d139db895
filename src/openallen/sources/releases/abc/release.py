"""The opened ABC Atlas: tables by data set and name, genes of cells, matrices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen.address import Condition
from openallen.errors import NotFoundError, UsageError
from openallen.sources.releases.abc.names import AbcNames
from openallen.sources.releases.abc.tables import KeptTable
from openallen.sources.releases.data_sets import (
    MATRICES,
    directory_of,
    file_named,
    is_table,
    name_of,
    named,
    no_table,
    table_name,
    table_names,
)
from openallen.sources.releases.models import ReleaseFile

if TYPE_CHECKING:
    import pandas as pd

    from openallen.formats.h5ad import H5ad

__all__ = ["AbcRelease"]


class AbcRelease(AbcNames):
    """One version of the ABC Atlas.

    abc_atlas_access's names for its parts answer too.
    """

    # --- tables -----------------------------------------------------------------------------------

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables of metadata: ``WMB-10X/cell_metadata``."""
        return tuple(table_names(self.manifest))

    def table_named(self, path: Sequence[str]) -> str:
        """Return the table that the path of an address names; empty where it names none."""
        if tuple(path[:1]) == ("files",):
            file = self.manifest.by_path.get("/".join(path[1:]))
            found: tuple[ReleaseFile, ...] = () if file is None else (file,)
        else:
            try:
                found = named(self.manifest, path)
            except NotFoundError:
                return ""
        return table_name(found[0]) if len(found) == 1 and is_table(found[0]) else ""

    def _table_file(self, name: str) -> ReleaseFile:
        parts = tuple(part for part in str(name).split("/") if part)
        known = self.table_named(parts) if parts else ""
        if not known:
            raise no_table(self.manifest, str(name))
        return table_names(self.manifest)[known]

    def csv(self, name: str) -> Path:
        """Return the file of a table as it was published, fetched if it is not here.

        Raises
        ------
        NotFoundError
            If the version has no such table, with the nearest.
        """
        return self._fetched(self._table_file(name))

    def kept(self, name: str) -> KeptTable:
        """Return a table as it is read: from a copy in Parquet, made when it is first wanted.

        Raises
        ------
        NotFoundError
            If the version has no such table.
        """
        file = self._table_file(name)
        return KeptTable(
            lambda: self._fetched(file),
            file.digest,
            self.tables_folder,
            f"{self.address}/{table_name(file)}",
        )

    def table(
        self, name: str, *, columns: Sequence[str] | None = None, **filters: Any
    ) -> pd.DataFrame:
        """Return a table as `pandas.read_csv` reads it, ``cell_label`` as text.

        It is read once as CSV, and from then on from a copy in Parquet in the store, of which only
        the columns and rows asked for are taken.

        Parameters
        ----------
        name
            One of `tables`: ``WMB-10X/cell_metadata``.
        columns
            Which columns, in this order; all where None.
        **filters
            What rows have to match: ``feature_matrix_label="WMB-10Xv2-TH"``, ``x__lt=5``,
            ``cell_label=[…]``.

        Raises
        ------
        NotFoundError
            If the version has no such table.
        UsageError
            If there is no such column.
        CorruptError
            If the published table is damaged.
        MissingExtraError
            Without the extra ``tables``.
        """
        return self.kept(name).frame(columns, [_condition(n, v) for n, v in filters.items()])

    def rows(self, name: str, *conditions: Condition) -> Iterator[dict[str, Any]]:
        """Yield all rows of a table that match all conditions, as plain Python values."""
        yield from self.kept(name).rows(conditions)

    # --- matrices ---------------------------------------------------------------------------------

    def matrix(self, data_set: str, name: str) -> H5ad:
        """Open a matrix, here or by ranges: ``matrix("WMB-10Xv2", "WMB-10Xv2-TH/log2")``.

        Parameters
        ----------
        data_set, name
            As `list_directories` and `list_expression_matrix_files` have them.

        Raises
        ------
        NotFoundError
            If there is no such matrix.
        """
        return self.open_matrix(file_named(self.manifest, data_set, name, MATRICES))

    def open_matrix(self, file: ReleaseFile) -> H5ad:
        """Return the matrix in a file of it, opened here or by ranges."""
        found: H5ad = self._open(file.kind, *file.id.split("/"))
        return found

    def genes(
        self,
        genes: str | Iterable[str],
        cells: pd.DataFrame | Mapping[str, Any] | Iterable[str] | None = None,
        kind: str = "log2",
        *,
        data_sets: str | Iterable[str] | None = None,
        feature_matrices: str | Iterable[str] | None = None,
        sparse: bool = False,
    ) -> pd.DataFrame:
        """Return some genes of cells, out of as many matrices as these cells are in.

        Of a matrix only the values asked for are kept, and of a remote one only the ranges that
        have to be read are requested.

        Parameters
        ----------
        genes
            Symbols or identifiers.
        cells
            Labels of cells; a DataFrame of them as `table` returns it, or with ``cell_label`` as
            its index; filters of ``cell_metadata`` as a mapping. All cells of the data sets where
            None.
        kind
            ``log2`` or ``raw``.
        data_sets
            Which data sets: ``WMB-10X``, ``WMB-10Xv2``. May be left out where one has cells.
        feature_matrices
            Which matrices: ``WMB-10Xv2-TH``.
        sparse
            Whether columns hold only what is not zero (pandas' ``Sparse``).

        Returns
        -------
        DataFrame
            Cells x genes, by ``cell_label``, in the order of ``cell_metadata`` or in that of
            `cells`; columns are named as they were asked for. NaN where a matrix has no such gene
            or cell, which ``attrs["notes"]`` says.

        Raises
        ------
        NotFoundError
            If there is no such gene, cell, matrix or data set.
        UsageError
            If several genes have a symbol, or nothing says which data set is meant.
        CorruptError
            If a matrix is damaged.
        """
        from openallen.sources.releases.abc.genes import Wanted, genes_of

        wanted = Wanted.of(genes, kind, data_sets, feature_matrices)
        return genes_of(self, wanted, cells, sparse=sparse)

    def anndata(
        self,
        data_set: str,
        name: str,
        *,
        genes: Iterable[str] | None = None,
        cells: Iterable[str] | None = None,
        backed: bool = False,
    ) -> Any:
        """Return a matrix, or a part of it, as an ``anndata.AnnData``; needs anndata.

        Parameters
        ----------
        data_set, name
            As for `matrix`.
        genes, cells, backed
            As for `openallen.formats.h5ad.H5ad.to_anndata`.

        Raises
        ------
        MissingExtraError
            Without anndata.
        NotFoundError
            If there is no such matrix, gene or cell.
        """
        return self.matrix(data_set, name).to_anndata(genes, cells, backed=backed)

    def matrices(self) -> dict[str, dict[str, ReleaseFile]]:
        """Return the files of each matrix by label and kind: ``["WMB-10Xv2-TH"]["log2"]``."""
        found: dict[str, dict[str, ReleaseFile]] = {}
        for file in self.manifest.by_kind.get(MATRICES, {}).values():
            label, _, kind = name_of(file).partition("/")
            found.setdefault(label, {})[kind] = file
        return found

    def data_set_of(self, file: ReleaseFile) -> str:
        """Return the data set that a file belongs to."""
        return directory_of(file)


def _condition(name: str, value: Any) -> Condition:
    given = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(given, (set, frozenset)):
        given = sorted(given, key=str)
    if isinstance(given, dict):
        raise UsageError(f"a filter is a value or a list of them: {name}")
    return Condition.of(name, given)
