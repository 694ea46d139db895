"""Some genes of cells, out of as many matrices as the cells are in."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from openallen.display import count_text
from openallen.errors import CorruptError, NotFoundError, UsageError, requiring
from openallen.formats.h5ad.genes import GeneNames
from openallen.sources.releases.data_sets import directories, directory_of, some

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.formats.h5ad import H5ad
    from openallen.sources.releases.abc.release import AbcRelease

    Array = np.ndarray[Any, Any]

__all__ = ["Wanted", "genes_of"]

_LOG: Final = logging.getLogger("openallen.releases")
_LABEL: Final = "cell_label"
_MATRIX: Final = "feature_matrix_label"
_CELLS: Final = "cell_metadata"
_NAMED: Final = 5


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Parameters
    ----------
    genes
        Symbols or identifiers, each once.
    kind
        ``log2`` or ``raw``.
    data_sets, matrices
        Which of them; empty where that is left open.
    """

    genes: tuple[str, ...]
    kind: str
    data_sets: tuple[str, ...]
    matrices: tuple[str, ...]

    @classmethod
    def of(cls, genes: Any, kind: str, data_sets: Any, matrices: Any) -> Wanted:
        """Read it from what a caller gave: a name, or several.

        Raises
        ------
        UsageError
            If no gene is named, or a name is no text.
        """
        made = cls(_texts(genes, "genes"), kind, _texts(data_sets, "data sets"),
                   _texts(matrices, "matrices"))  # fmt: skip
        if not made.genes:
            raise UsageError("no gene named", hint="release.genes(['Pdyn'])")
        return made


def _texts(given: Any, what: str) -> tuple[str, ...]:
    names = () if given is None else (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"{what} are named by text, not {type(name).__name__}")
    return tuple(dict.fromkeys(names))


def genes_of(release: AbcRelease, wanted: Wanted, cells: Any, *, sparse: bool) -> pd.DataFrame:
    """Return cells x genes; parameters, result and errors as `AbcRelease.genes` has them."""
    with requiring("genes of cells", "nwb"):
        import h5py
        import pandas as pd

        del h5py, pd
    with ExitStack() as files:
        places = _Places(release, wanted, files)
        frame = _cells(places, cells)
        groups = list(_groups(places, frame))
        places.check(label for label, _ in groups)
        return _Gathering(places, frame, sparse).of(groups)


class _Places:
    """The matrices of a release, opened when they are wanted, and which of them are asked for."""

    def __init__(self, release: AbcRelease, wanted: Wanted, files: ExitStack) -> None:
        self.release = release
        self.wanted = wanted
        self._files = files
        self._open: dict[str, H5ad] = {}
        self.known = release.matrices()
        for label in wanted.matrices:
            if label not in self.known:
                raise self._no_matrix(label)
        every = directories(release.manifest)
        for name in wanted.data_sets:
            if name not in every:
                raise _unlike("data set", name, every, release.address)

    @property
    def address(self) -> str:
        """The address of the release."""
        return self.release.address

    def chosen(self) -> set[str]:
        """Return the labels of the matrices that are asked for; empty where that is left open.

        Raises
        ------
        UsageError
            If none of the matrices is in one of the data sets.
        """
        inside = {
            label
            for label, kinds in self.known.items()
            if directory_of(next(iter(kinds.values()))) in self.wanted.data_sets
        }
        named = set(self.wanted.matrices)
        if not (named and inside):
            return named or inside
        if named.isdisjoint(inside):
            label = self.wanted.matrices[0]
            own = directory_of(next(iter(self.known[label].values())))
            raise UsageError(
                f"the matrix '{label}' is not in {some(self.wanted.data_sets)}",
                address=self.address,
                why=f"its data set is '{own}'",
                hint=f"data_sets='{own}'",
            )
        return named & inside

    def tables(self) -> list[str]:
        """Return the tables that list the cells asked for.

        Cells of ``WMB-10Xv2`` are listed in ``WMB-10X``: where a data set has no table of cells,
        the one whose name its own begins with has.

        Raises
        ------
        UsageError
            If nothing says which data set is meant.
        """
        ending = f"/{_CELLS}"
        every = [t.removesuffix(ending) for t in self.release.tables if t.endswith(ending)]
        named = dict.fromkeys(self.wanted.data_sets)
        named |= dict.fromkeys(
            directory_of(next(iter(self.known[label].values()))) for label in self.wanted.matrices
        )
        if not named:
            if len(every) > 1:
                raise UsageError(
                    "which data set is not said",
                    address=self.address,
                    why=f"cells of {some(every)}",
                    hint=f"data_sets='{every[0]}'",
                )
            return [f"{name}{ending}" for name in every]
        found: dict[str, None] = {}
        for name in named:
            near = [one for one in every if name == one or name.startswith(one)]
            if near:
                found[f"{max(near, key=len)}{ending}"] = None
        return list(found)

    def file_kinds(self, label: str) -> Mapping[str, Any]:
        """Return the files of a matrix by kind.

        Raises
        ------
        NotFoundError
            If there is no such matrix.
        """
        if label not in self.known:
            raise self._no_matrix(label)
        return self.known[label]

    def _no_matrix(self, label: str) -> NotFoundError:
        return _unlike("matrix", label, list(self.known), self.address)

    def opened(self, label: str) -> H5ad:
        """Return a matrix, opened.

        Raises
        ------
        NotFoundError
            If there is none of that label, or it was not published in that kind.
        """
        if label in self._open:
            return self._open[label]
        kinds = self.file_kinds(label)
        kind = self.wanted.kind
        file = kinds.get(kind) or (kinds.get("") if len(kinds) == 1 else None)
        if file is None:
            raise NotFoundError(
                f"the matrix '{label}' was not published as '{kind}'",
                address=self.address,
                why=f"there is {', '.join(kinds)}",
                hint=f"kind='{next(iter(kinds))}'",
            )
        opened = self.release.open_matrix(file)
        self._files.callback(opened.close)
        self._open[label] = opened
        return opened

    def check(self, labels: Iterable[str]) -> None:
        """Look for the genes in every matrix before values of any are read.

        Raises
        ------
        NotFoundError
            If no matrix has one of them.
        UsageError
            If several genes of a matrix have one of the symbols.
        """
        lacking = set(self.wanted.genes)
        first: GeneNames | None = None
        for label in labels:
            names = self.names(label)
            first = first or names
            here = [name for name in self.wanted.genes if names.has(name)]
            names.places(here)
            lacking -= set(here)
        if lacking and first is not None:
            first.places([name for name in self.wanted.genes if name in lacking])

    def names(self, label: str) -> GeneNames:
        """Return the genes of a matrix; symbols from the table of genes where it has none."""
        opened = self.opened(label)
        if opened.gene_names.by_symbol:
            return opened.gene_names
        for table in self.tables():
            genes = f"{table.rpartition('/')[0]}/gene"
            if genes not in self.release.tables:
                continue
            told = self.release.table(genes)
            if {"gene_identifier", "gene_symbol"} <= set(told.columns):
                known = dict(zip(told["gene_identifier"], told["gene_symbol"], strict=True))
                identifiers = opened.var_names.tolist()
                return GeneNames(identifiers, [known.get(n) for n in identifiers], opened.name)
        return opened.gene_names


def _unlike(what: str, name: str, known: Sequence[str], address: str) -> NotFoundError:
    near = get_close_matches(name, known, 1)
    return NotFoundError(
        f"no {what} '{name}'",
        address=address,
        why=f"there is {some(known)}" if known else "there is none",
        hint=f"'{near[0]}'" if near else f"openallen list {address}",
    )


# --- which cells ----------------------------------------------------------------------------------


def _cells(places: _Places, cells: Any) -> pd.DataFrame:
    """Return the cells in order: their label, and that of the matrix each is in."""
    import pandas as pd

    if isinstance(cells, pd.DataFrame):
        frame = cells.reset_index() if _LABEL not in cells.columns else cells
        if _LABEL not in frame.columns:
            frame = frame.rename(columns={frame.columns[0]: _LABEL})
        if _MATRIX in frame.columns:
            frame = frame[[_LABEL, _MATRIX]]
            # Labels that are numbers, as a table has them that pandas read by itself.
            return _chosen(places, frame.assign(**{_LABEL: frame[_LABEL].astype(str)}))
        cells = frame[_LABEL].astype(str).tolist()
    if isinstance(cells, Mapping):
        return _listed(places, dict(cells))
    if cells is None:
        return _listed(places, {})
    labels = _texts(cells, "cells")
    found = _listed(places, {_LABEL: list(labels)})
    if found[_LABEL].duplicated().any():
        twice = found[found[_LABEL] == found.loc[found[_LABEL].duplicated(), _LABEL].iloc[0]]
        raise UsageError(
            f"several matrices have a cell '{twice[_LABEL].iloc[0]}'",
            address=places.address,
            why=some(sorted(set(twice[_MATRIX].astype(str)))),
            hint=f"feature_matrices='{twice[_MATRIX].iloc[0]}'",
        )
    order = pd.Index(found[_LABEL]).get_indexer(list(labels))
    lacking = [label for label, at in zip(labels, order, strict=True) if at < 0]
    if lacking:
        names = ", ".join(f"'{label}'" for label in lacking[:_NAMED])
        more = f" and {len(lacking) - _NAMED:,} more" if len(lacking) > _NAMED else ""
        raise NotFoundError(
            f"no cell {names}{more}", address=places.address, why="no table of cells lists it"
        )
    return found.iloc[order]


def _chosen(places: _Places, frame: pd.DataFrame) -> pd.DataFrame:
    labels = places.chosen()
    kept = frame[frame[_MATRIX].isin(labels)] if labels else frame
    if len(kept) < len(frame):
        _LOG.warning(
            "%s: %s cells are in other matrices and left out",
            places.address,
            f"{len(frame) - len(kept):,} of {len(frame):,}",
        )
    return kept


def _listed(places: _Places, filters: dict[str, Any]) -> pd.DataFrame:
    """Return the cells that tables list; those of the matrices themselves where none does."""
    import pandas as pd

    labels = places.chosen()
    if labels and _MATRIX not in filters:
        filters = {**filters, f"{_MATRIX}__in": sorted(labels)}
    release = places.release
    found = [
        release.table(table, columns=[_LABEL, _MATRIX], **filters)
        for table in places.tables()
        if _MATRIX in release.kept(table).columns()
    ]
    frame = pd.concat(found, ignore_index=True) if found else None
    if frame is not None and (len(frame) or set(filters) - {f"{_MATRIX}__in"}):
        return frame
    if not labels:
        raise NotFoundError(
            "no table says which matrix a cell is in",
            address=places.address,
            why=f"matrices: {some(places.known)}",
            hint=f"feature_matrices='{next(iter(places.known), '')}'",
        )
    wanted = filters.get(_LABEL)
    made = [_own(places.opened(label), label, wanted) for label in sorted(labels)]
    return pd.concat(made, ignore_index=True)


def _own(opened: H5ad, label: str, wanted: Any) -> pd.DataFrame:
    import pandas as pd

    names = opened.obs_names
    frame = pd.DataFrame({_LABEL: names.to_numpy(dtype=object), _MATRIX: label})
    return frame if wanted is None else frame[frame[_LABEL].isin(wanted)]


def _groups(places: _Places, frame: pd.DataFrame) -> Iterator[tuple[str, Array]]:
    """Yield each matrix with the places of its cells in the order they are wanted in."""
    import numpy as np

    codes, labels = frame[_MATRIX].factorize()
    if (codes < 0).any():
        lost = frame[_LABEL].iloc[int(np.flatnonzero(codes < 0)[0])]
        raise CorruptError(
            "the table of cells does not say which matrix a cell is in",
            address=places.address,
            why=f"no {_MATRIX} of {lost}",
        )
    for number, label in enumerate(labels):
        places.file_kinds(str(label))
        yield str(label), np.flatnonzero(codes == number)


# --- values ---------------------------------------------------------------------------------------


class _Gathering:
    """Values of several matrices, put in the order of the cells."""

    def __init__(self, places: _Places, frame: pd.DataFrame, sparse: bool) -> None:
        self._places = places
        self._labels = frame[_LABEL].to_numpy(dtype=object)
        self._sparse = sparse
        self._notes: list[str] = []

    def of(self, groups: Sequence[tuple[str, Array]]) -> pd.DataFrame:
        """Return cells x genes."""
        import numpy as np
        import pandas as pd

        genes = self._places.wanted.genes
        kinds = [self._places.opened(label).X.dtype for label, _ in groups]
        dtype = np.result_type(*kinds) if kinds else np.dtype("float32")
        try:
            made = np.zeros((len(self._labels), len(genes)), dtype)
        except (MemoryError, ValueError) as error:
            raise UsageError(
                f"{len(self._labels):,} cells x {len(genes):,} genes do not fit into memory",
                address=self._places.address,
                hint="ask for fewer genes, or for the cells of one matrix",
            ) from error
        for label, cells in groups:
            made = self._add(made, label, cells)
        index = pd.Index(self._labels, dtype=object, name=_LABEL)
        frame = self._frame(made, index, genes)
        if self._notes:
            frame.attrs["notes"] = self._notes
            for note in self._notes:
                _LOG.warning("%s: %s", self._places.address, note)
        return frame

    def _add(self, made: Array, label: str, cells: Array) -> Array:
        """Put the values of one matrix into their places; NaN where it has none."""
        import numpy as np

        opened, names = self._places.opened(label), self._places.names(label)
        genes = self._places.wanted.genes
        here = [at for at, name in enumerate(genes) if names.has(name)]
        rows = opened.rows_of(self._labels[cells], known=False)
        there = rows >= 0
        lacking = int((~there).sum())
        if len(here) < len(genes) or lacking:
            made = made if made.dtype.kind == "f" else made.astype("float64")
            made[cells] = np.nan
            self._note(label, [name for name in genes if not names.has(name)], lacking)
        values = opened.values(rows[there], names.places(genes[at] for at in here))
        made[cells[there][:, None], here] = values
        return made

    def _note(self, label: str, genes: Sequence[str], cells: int) -> None:
        if genes:
            self._notes.append(f"the matrix '{label}' has no gene {some(genes)}")
        if cells:
            self._notes.append(f"{count_text(cells, 'cell')} not in the matrix '{label}'")

    def _frame(self, made: Array, index: pd.Index[Any], genes: Sequence[str]) -> pd.DataFrame:
        import pandas as pd

        columns = pd.Index(list(genes), dtype=object)
        if not self._sparse:
            return pd.DataFrame(made, index=index, columns=columns)
        zero = made.dtype.type(0)
        packed = {
            at: pd.arrays.SparseArray(made[:, at], fill_value=zero) for at in range(len(genes))
        }
        frame = pd.DataFrame(packed, index=index)
        frame.columns = columns
        return frame
