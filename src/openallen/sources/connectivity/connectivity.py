"""All experiments: tables, matrices, and searches of the service by name."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from openallen.address import Address
from openallen.display import card, facts_text
from openallen.errors import UsageError, requiring
from openallen.sources.connectivity.experiment import Experiment
from openallen.sources.connectivity.frames import (
    check_hemispheres,
    chosen_unionizes,
    matrix_of,
    unionizes_frame,
)
from openallen.sources.connectivity.records import Chosen, below
from openallen.sources.connectivity.searches import Searches

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from openallen.visuals import Visual

__all__ = ["Connectivity"]

_RANKED: Final = 0.01
_ATLAS: Final = "ccf-2017"


class Connectivity(Searches):
    """The experiments of the Mouse Brain Connectivity Atlas.

    Parameters
    ----------
    tables
        Where rows come from.
    """

    title = "Mouse connectivity"

    # --- experiments ------------------------------------------------------------------------------

    def get_experiments(
        self,
        dataframe: bool = False,
        cre: bool | Sequence[str] | None = None,
        injection_structure_ids: Sequence[int | str] | None = None,
    ) -> Any:
        """Return experiments as AllenSDK's method of this name does; see `experiments`.

        Parameters
        ----------
        dataframe
            Whether a DataFrame is returned; else a list of dicts.
        cre, injection_structure_ids
            As for `experiments`.
        """
        found = self._chosen(cre, injection_structure_ids)
        return self._frame(found) if dataframe else found

    def experiments(
        self,
        cre: bool | Sequence[str] | None = None,
        injection_structures: Sequence[int | str] | int | str | None = None,
        *,
        primary_only: bool = True,
        hemisphere: str | None = None,
        product_ids: Collection[int] | None = None,
    ) -> pd.DataFrame:
        """Return experiments as a table.

        Parameters
        ----------
        cre
            True: those with a transgenic line. False: those without. Names: those of these lines,
            in any case.
        injection_structures
            Ids, acronyms or names; an injection in a part of one is in it.
        primary_only
            Whether that must be the main structure of the injection; else any it reached.
        hemisphere
            ``left`` or ``right``: the side of the injection.
        product_ids
            5 and 31 are those of connectivity.

        Returns
        -------
        DataFrame
            AllenSDK's columns; index ``id``. Coordinates in µm, volumes in mm³.

        Raises
        ------
        NotFoundError
            If a structure is none of the adult mouse.
        """
        found = self._chosen(
            cre,
            injection_structures,
            primary_only=primary_only,
            hemisphere=hemisphere,
            product_ids=product_ids,
        )
        return self._frame(found)

    def _chosen(
        self,
        cre: bool | Sequence[str] | None,
        structures: Sequence[int | str] | int | str | None,
        **others: Any,
    ) -> list[dict[str, Any]]:
        rows = [dict(row) for row in self._tables.experiments()]
        return self.filter_experiments(rows, cre, structures, **others)

    def filter_experiments(
        self,
        experiments: Sequence[Mapping[str, Any]],
        cre: bool | Sequence[str] | None = None,
        injection_structure_ids: Sequence[int | str] | int | str | None = None,
        **others: Any,
    ) -> list[Any]:
        """Return those of some experiments that are wanted.

        Parameters
        ----------
        experiments
            Rows, as `get_experiments` returns them.
        cre, injection_structure_ids, **others
            As for `experiments`.
        """
        ids = None
        if injection_structure_ids is not None:
            named = self._tables.ids_of(injection_structure_ids)
            ids = below(self._tables.structures, named)
        wanted = Chosen(cre=cre, structure_ids=ids, **others)
        return [row for row in experiments if wanted.takes(row)]

    @staticmethod
    @requiring("a DataFrame", "tables")
    def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        import pandas as pd

        from openallen.sources.connectivity.records import COLUMNS

        found = pd.DataFrame(list(rows), columns=None if rows else list(COLUMNS))
        return found.set_index(["id"], drop=False)

    def experiment(self, number: int) -> Experiment:
        """Return one experiment.

        Raises
        ------
        NotFoundError
            If there is no such experiment.
        """
        return Experiment(self._tables.experiment(number), self._tables)

    @property
    def structures(self) -> Any:
        """The ontology of the adult mouse, ``structures:1``."""
        return self._tables.structures

    @functools.cached_property
    def default_structure_ids(self) -> list[int]:
        """The ids of the summary structures: mid-level, without overlap."""
        return list(self._tables.summary_structures)

    # --- what they project to ---------------------------------------------------------------------

    @requiring("a DataFrame", "tables")
    def unionizes(
        self,
        experiment_ids: Sequence[int] | int,
        structures: Sequence[int | str] | int | str | None = None,
        *,
        include_descendants: bool = False,
        hemisphere_ids: Collection[int] | None = None,
        is_injection: bool | None = None,
        threshold: float | None = None,
    ) -> pd.DataFrame:
        """Return what was measured in each structure, for several experiments.

        Experiments that are not kept are asked for together.

        Parameters
        ----------
        experiment_ids
            The experiments; their rows come in this order.
        structures, include_descendants, hemisphere_ids, is_injection, threshold
            As for `Experiment.unionizes`.

        Returns
        -------
        DataFrame
            Columns in the order of their names.

        Raises
        ------
        NotFoundError
            If an experiment or a structure is none.
        """
        import pandas as pd

        numbers = _experiments(experiment_ids)
        ids = None
        if structures is not None:
            ids = self._tables.ids_of(structures, descendants=include_descendants)
        rows = self._tables.unionizes(numbers)
        chosen = [
            chosen_unionizes(
                unionizes_frame(rows[number]),
                structure_ids=ids,
                hemisphere_ids=hemisphere_ids,
                is_injection=is_injection,
                threshold=threshold,
            )
            for number in numbers
        ]
        found = pd.concat(chosen, ignore_index=True, sort=True)
        return found[sorted(found.columns)]

    def get_structure_unionizes(
        self,
        experiment_ids: Sequence[int],
        is_injection: bool | None = None,
        structure_ids: Sequence[int] | None = None,
        include_descendants: bool = False,
        hemisphere_ids: Collection[int] | None = None,
    ) -> pd.DataFrame:
        """Return `unionizes`, with AllenSDK's order of arguments."""
        return self.unionizes(
            experiment_ids,
            structure_ids,
            include_descendants=include_descendants,
            hemisphere_ids=hemisphere_ids,
            is_injection=is_injection,
        )

    def get_experiment_structure_unionizes(
        self,
        experiment_id: int,
        is_injection: bool | None = None,
        structure_ids: Sequence[int] | None = None,
        include_descendants: bool = False,
        hemisphere_ids: Collection[int] | None = None,
    ) -> pd.DataFrame:
        """Return `Experiment.unionizes`, with AllenSDK's order of arguments."""
        return self.experiment(experiment_id).unionizes(
            structure_ids,
            include_descendants=include_descendants,
            hemisphere_ids=hemisphere_ids,
            is_injection=is_injection,
        )

    def filter_structure_unionizes(
        self,
        unionizes: pd.DataFrame,
        is_injection: bool | None = None,
        structure_ids: Sequence[int] | None = None,
        include_descendants: bool = False,
        hemisphere_ids: Collection[int] | None = None,
    ) -> pd.DataFrame:
        """Return the rows of a table of unionizes that are wanted; see `Experiment.unionizes`."""
        ids = None
        if structure_ids is not None:
            ids = self._tables.ids_of(structure_ids, descendants=include_descendants)
        return chosen_unionizes(
            unionizes, structure_ids=ids, hemisphere_ids=hemisphere_ids, is_injection=is_injection
        )

    def projection_matrix(
        self,
        experiment_ids: Sequence[int] | int,
        structures: Sequence[int | str] | int | str | None = None,
        hemisphere_ids: Collection[int] | None = None,
        parameter: str = "projection_volume",
    ) -> xr.DataArray:
        """Return a matrix of experiments and the structures they project to.

        Parameters
        ----------
        experiment_ids
            The rows, in this order.
        structures
            The columns, in this order: ids, acronyms or names; the summary structures where None.
        hemisphere_ids
            1 left, 2 right, 3 both; those there are rows of where None.
        parameter
            ``projection_volume`` (mm³), ``normalized_projection_volume``, ``projection_density``,
            ``projection_energy`` and others.

        Returns
        -------
        DataArray
            ``experiment`` x ``target``, as `openallen.sources.connectivity.frames.matrix_of` says;
            values, order and labels are AllenSDK's. Pixels of the injection site do not count.

        Raises
        ------
        NotFoundError
            If an experiment or a structure is none.
        UsageError
            If one is named twice, or there is no such parameter.
        """
        numbers = _experiments(experiment_ids)
        known = self._tables.structures
        ids = self.default_structure_ids if structures is None else self._tables.ids_of(structures)
        _once(ids, "structure")
        table = self.unionizes(numbers, ids, hemisphere_ids=hemisphere_ids, is_injection=False)
        return matrix_of(table, numbers, {i: known.find(i).acronym for i in ids}, parameter)

    def get_projection_matrix(
        self,
        experiment_ids: Sequence[int],
        projection_structure_ids: Sequence[int] | None = None,
        hemisphere_ids: Collection[int] | None = None,
        parameter: str = "projection_volume",
        dataframe: bool = False,
    ) -> dict[str, Any]:
        """Return `projection_matrix` in AllenSDK's form: ``matrix``, ``rows``, ``columns``.

        Parameters
        ----------
        experiment_ids, projection_structure_ids, hemisphere_ids, parameter
            As for `projection_matrix`.
        dataframe
            Whether ``rows`` and ``columns`` are DataFrames.
        """
        found = self.projection_matrix(
            experiment_ids, projection_structure_ids, hemisphere_ids, parameter
        )
        columns = [
            {"hemisphere_id": int(side), "structure_id": int(number), "label": str(label)}
            for side, number, label in zip(
                found["hemisphere_id"].values,
                found["structure_id"].values,
                found["target"].values,
                strict=True,
            )
        ]
        rows: Any = list(experiment_ids)
        told: Any = columns
        if dataframe:
            import pandas as pd

            rows, told = self.experiments().loc[rows], pd.DataFrame(columns)
        return {"matrix": found.to_numpy(), "rows": rows, "columns": told}

    def rank_structures(  # noqa: PLR0917 - AllenSDK's order of arguments
        self,
        experiment_ids: Sequence[int],
        is_injection: bool,
        structure_ids: Sequence[int | str] | None = None,
        hemisphere_ids: Collection[int] | None = None,
        rank_on: str = "normalized_projection_volume",
        n: int = 5,
        threshold: float = _RANKED,
    ) -> list[list[dict[str, Any]]]:
        """Return the structures with the highest values of each experiment, highest first.

        Parameters
        ----------
        experiment_ids
            The experiments.
        is_injection
            Whether pixels of the injection site count, or all but those.
        structure_ids
            Only these; the summary structures where None.
        hemisphere_ids
            1 left, 2 right, 3 both; left and right where None.
        rank_on
            The column whose values are compared.
        n
            Structures at most.
        threshold
            Only values above it.

        Raises
        ------
        UsageError
            If there is no such column.
        """
        sides = [1, 2] if hemisphere_ids is None else check_hemispheres(hemisphere_ids)
        ids = self.default_structure_ids if structure_ids is None else list(structure_ids)
        table = self.unionizes(experiment_ids, ids, hemisphere_ids=sides, is_injection=is_injection)
        if rank_on not in table.columns:
            raise UsageError(f"no column '{rank_on}'", why=", ".join(table.columns))
        table = table[table[rank_on] > threshold]
        shown = ["experiment_id", rank_on, "hemisphere_id", "structure_id"]
        found: list[list[dict[str, Any]]] = []
        for number in _experiments(experiment_ids):
            own = table[table["experiment_id"] == number].sort_values(rank_on, ascending=False)
            found.append(own[shown].head(n).to_dict("records"))
        return found

    # --- volumes, under AllenSDK's names ----------------------------------------------------------

    def get_projection_density(self, experiment_id: int, resolution_um: int = 25) -> xr.DataArray:
        """Return `Experiment.grid` of ``projection_density``."""
        return self.experiment(experiment_id).grid("projection_density", resolution_um)

    def get_injection_density(self, experiment_id: int, resolution_um: int = 25) -> xr.DataArray:
        """Return `Experiment.grid` of ``injection_density``."""
        return self.experiment(experiment_id).grid("injection_density", resolution_um)

    def get_injection_fraction(self, experiment_id: int, resolution_um: int = 25) -> xr.DataArray:
        """Return `Experiment.grid` of ``injection_fraction``."""
        return self.experiment(experiment_id).grid("injection_fraction", resolution_um)

    def get_data_mask(self, experiment_id: int, resolution_um: int = 25) -> xr.DataArray:
        """Return `Experiment.grid` of ``data_mask``."""
        return self.experiment(experiment_id).grid("data_mask", resolution_um)

    def get_deformation_field(self, section_data_set_id: int) -> xr.DataArray:
        """Return `Experiment.deformation_field`."""
        return self.experiment(section_data_set_id).deformation_field

    def get_affine_parameters(self, section_data_set_id: int, direction: str = "trv") -> Any:
        """Return `Experiment.affine`."""
        return self.experiment(section_data_set_id).affine(direction)

    # --- volumes of the reference space -----------------------------------------------------------

    def structure_mask(self, structure: int | str, resolution_um: int = 25) -> xr.DataArray:
        """Return where a structure is, fetched where it is not here: ``atlas:ccf-2017/mask/…``."""
        known = self.structures.find(structure)
        where = Address("atlas", _ATLAS, path=("mask", str(known.id), str(resolution_um)))
        found: xr.DataArray = self._tables.opened(where)
        return found

    def structure_mesh(self, structure: int | str) -> Any:
        """Return the surface of a structure, fetched where it is not here: vertices in µm."""
        known = self.structures.find(structure)
        return self._tables.opened(Address("atlas", _ATLAS, path=("mesh", str(known.id))))

    # --- looks ------------------------------------------------------------------------------------

    def _facts(self) -> dict[str, object]:
        rows = self._tables.experiments()
        with_line = sum(bool(row.get("transgenic_line")) for row in rows)
        return {
            "experiments": f"{len(rows):,}",
            "with a transgenic line": f"{with_line:,}",
            "service": self._tables.source,
        }

    def __repr__(self) -> str:
        return facts_text(self.title, self._facts())

    def _repr_html_(self) -> str:
        return card(self.title, self._facts())

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.visuals import TableVisual

        table = TableVisual(
            name="experiments",
            title="Experiments",
            table=self._tables.experiments,
            address=lambda row: f"connectivity:{row['id']}",
        )
        return (table,)


def _experiments(given: Sequence[int] | int) -> list[int]:
    """Return ids of experiments as a list, each there once.

    Raises
    ------
    UsageError
        If there are none, one stands twice, or one is no id.
    """
    from operator import index

    try:
        found = [index(number) for number in ([given] if not hasattr(given, "__iter__") else given)]
    except TypeError:
        why = f"not {repr(given)[:60]}"
        raise UsageError("experiments are named by their ids", why=why) from None
    if not found:
        raise UsageError("no experiments", why="the list of ids is empty")
    _once(found, "experiment")
    return found


def _once(ids: Sequence[int], noun: str) -> None:
    twice = next((number for number in ids if ids.count(number) > 1), None)
    if twice is not None:
        raise UsageError(f"{noun} {twice} is named twice")
