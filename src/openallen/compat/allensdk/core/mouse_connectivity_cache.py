"""AllenSDK's ``MouseConnectivityCache``: the Mouse Brain Connectivity Atlas."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen import verbs
from openallen.compat.allensdk.core.reference_space_cache import ReferenceSpaceCache, Volume

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["MouseConnectivityCache"]

_NO_DATA = -1
"""What the service's files hold where there are no data."""


class MouseConnectivityCache(ReferenceSpaceCache):
    """Experiments of connectivity, their unionizes and grids, under AllenSDK's names.

    Parameters
    ----------
    resolution
        Size of a voxel in µm; 25 where None.
    cache, manifest_file, version
        Taken, not used: what is fetched is in openallen's store.
    ccf_version
        ``annotation/ccf_2017`` where None.
    base_uri
        Another service than brain-map.org: ``sample``, or the folder or URL of an archive.
    """

    SUMMARY_STRUCTURE_SET_ID: ClassVar[int] = 167587189
    DEFAULT_STRUCTURE_SET_IDS: ClassVar[tuple[int, ...]] = (167587189,)
    DFMFLD_RESOLUTIONS: ClassVar[tuple[int, ...]] = (25,)

    def __init__(
        self,
        resolution: int | None = None,
        cache: bool = True,
        manifest_file: str | Path | None = None,
        ccf_version: str | None = None,
        base_uri: str | None = None,
        version: str | None = None,
    ) -> None:
        del cache, manifest_file, version
        super().__init__(
            25 if resolution is None else resolution,
            ccf_version or self.CCF_VERSION_DEFAULT,
            base_uri=base_uri,
        )

    @functools.cached_property
    def _connectivity(self) -> Any:
        return verbs.open("connectivity:", source=self._source)

    @property
    def default_structure_ids(self) -> list[int]:
        """The summary structures."""
        return list(self._connectivity.default_structure_ids)

    # --- experiments ------------------------------------------------------------------------------

    def get_experiments(
        self,
        dataframe: bool = False,
        file_name: str | Path | None = None,
        cre: bool | Sequence[str] | None = None,
        injection_structure_ids: Sequence[int] | None = None,
    ) -> Any:
        """Return experiments.

        Parameters
        ----------
        dataframe
            Whether a DataFrame is returned; else a list of dicts.
        file_name
            Taken, not used.
        cre
            True: those with a Cre line. False: those without. Names: those of these lines.
        injection_structure_ids
            Where the injection is, or in a part of it.
        """
        del file_name
        return self._connectivity.get_experiments(dataframe, cre, injection_structure_ids)

    def filter_experiments(
        self,
        experiments: Sequence[Any],
        cre: bool | Sequence[str] | None = None,
        injection_structure_ids: Sequence[int] | None = None,
    ) -> list[Any]:
        """Return those of some experiments that are wanted; see `get_experiments`."""
        found: list[Any] = self._connectivity.filter_experiments(
            experiments, cre, injection_structure_ids
        )
        return found

    # --- unionizes --------------------------------------------------------------------------------

    def get_structure_unionizes(
        self,
        experiment_ids: Sequence[int],
        is_injection: bool | None = None,
        structure_ids: Sequence[int] | None = None,
        include_descendants: bool = False,
        hemisphere_ids: Collection[int] | None = None,
    ) -> pd.DataFrame:
        """Return what was measured in each structure, for several experiments."""
        found: pd.DataFrame = self._connectivity.get_structure_unionizes(
            experiment_ids, is_injection, structure_ids, include_descendants, hemisphere_ids
        )
        return found

    def get_experiment_structure_unionizes(
        self,
        experiment_id: int,
        file_name: str | Path | None = None,
        is_injection: bool | None = None,
        structure_ids: Sequence[int] | None = None,
        include_descendants: bool = False,
        hemisphere_ids: Collection[int] | None = None,
    ) -> pd.DataFrame:
        """Return what was measured in each structure, for one experiment."""
        del file_name
        found: pd.DataFrame = self._connectivity.get_experiment_structure_unionizes(
            experiment_id, is_injection, structure_ids, include_descendants, hemisphere_ids
        )
        return found

    def filter_structure_unionizes(
        self,
        unionizes: pd.DataFrame,
        is_injection: bool | None = None,
        structure_ids: Sequence[int] | None = None,
        include_descendants: bool = False,
        hemisphere_ids: Collection[int] | None = None,
    ) -> pd.DataFrame:
        """Return the rows of a table of unionizes that are wanted."""
        found: pd.DataFrame = self._connectivity.filter_structure_unionizes(
            unionizes, is_injection, structure_ids, include_descendants, hemisphere_ids
        )
        return found

    def get_projection_matrix(
        self,
        experiment_ids: Sequence[int],
        projection_structure_ids: Sequence[int] | None = None,
        hemisphere_ids: Collection[int] | None = None,
        parameter: str = "projection_volume",
        dataframe: bool = False,
    ) -> dict[str, Any]:
        """Return experiments x structures: ``matrix``, ``rows``, ``columns``."""
        found: dict[str, Any] = self._connectivity.get_projection_matrix(
            experiment_ids, projection_structure_ids, hemisphere_ids, parameter, dataframe
        )
        return found

    def rank_structures(
        self,
        experiment_ids: Sequence[int],
        is_injection: bool,
        structure_ids: Sequence[int] | None = None,
        hemisphere_ids: Collection[int] | None = None,
        rank_on: str = "normalized_projection_volume",
        n: int = 5,
        threshold: float = 0.01,
    ) -> list[list[dict[str, Any]]]:
        """Return the structures with the highest values of each experiment."""
        found: list[list[dict[str, Any]]] = self._connectivity.rank_structures(
            experiment_ids, is_injection, structure_ids, hemisphere_ids, rank_on, n, threshold
        )
        return found

    # --- volumes ----------------------------------------------------------------------------------

    def _grid(self, experiment_id: int, kind: str, file_name: str | Path | None) -> Volume:
        import numpy as np

        if file_name is not None and Path(file_name).exists():
            grid: Any = verbs.open(Path(file_name))
        else:
            where = f"grid:{int(experiment_id)}"
            fetched = verbs.fetch(
                where, source=self._source, include=[kind], resolution=self.resolution
            )
            grid = fetched.volume(kind, self.resolution)
        values = grid.to_numpy()
        values = np.where(np.isnan(values), np.asarray(_NO_DATA, values.dtype), values)
        return values, {**grid.attrs, "sizes": list(values.shape)}

    def get_projection_density(
        self, experiment_id: int, file_name: str | Path | None = None
    ) -> Volume:
        """Return the projection density of an experiment, and facts of the volume.

        Parameters
        ----------
        experiment_id
            The experiment.
        file_name
            A file that is read instead, where it is there.
        """
        return self._grid(experiment_id, "projection_density", file_name)

    def get_injection_density(
        self, experiment_id: int, file_name: str | Path | None = None
    ) -> Volume:
        """Return the injection density of an experiment; see `get_projection_density`."""
        return self._grid(experiment_id, "injection_density", file_name)

    def get_injection_fraction(
        self, experiment_id: int, file_name: str | Path | None = None
    ) -> Volume:
        """Return the injection fraction of an experiment; see `get_projection_density`."""
        return self._grid(experiment_id, "injection_fraction", file_name)

    def get_data_mask(self, experiment_id: int, file_name: str | Path | None = None) -> Volume:
        """Return where there are data of an experiment; see `get_projection_density`."""
        return self._grid(experiment_id, "data_mask", file_name)

    def get_deformation_field(
        self,
        section_data_set_id: int,
        header_path: str | Path | None = None,
        voxel_path: str | Path | None = None,
    ) -> np.ndarray[Any, Any]:
        """Return the deformation field of a data set: AP x DV x ML x 3, in µm."""
        del header_path, voxel_path
        field = self._connectivity.get_deformation_field(section_data_set_id)
        found: np.ndarray[Any, Any] = field.to_numpy()
        return found

    def get_affine_parameters(
        self,
        section_data_set_id: int,
        direction: str = "trv",
        file_name: str | Path | None = None,
    ) -> np.ndarray[Any, Any]:
        """Return the affine alignment of a data set: 4 x 3, the shift last."""
        del file_name
        found: np.ndarray[Any, Any] = self._connectivity.get_affine_parameters(
            section_data_set_id, direction
        )
        return found
