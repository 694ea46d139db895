"""AllenSDK's ``GridDataApi``: expression and projection grids as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from openallen import verbs
from openallen.compat.allensdk.api.queries.rma_api import RmaApi
from openallen.compat.asking import placed, rows_of
from openallen.errors import NotFoundError

__all__ = ["GridDataApi"]


class GridDataApi(RmaApi):
    """Fetches grids of section data sets to the paths it is told.

    Parameters
    ----------
    resolution
        Size of a voxel in µm of projection grids: 10, 25, 50 or 100.
    base_uri
        As for `RmaApi`.
    """

    INJECTION_DENSITY: ClassVar[str] = "injection_density"
    PROJECTION_DENSITY: ClassVar[str] = "projection_density"
    INJECTION_FRACTION: ClassVar[str] = "injection_fraction"
    INJECTION_ENERGY: ClassVar[str] = "injection_energy"
    PROJECTION_ENERGY: ClassVar[str] = "projection_energy"
    DATA_MASK: ClassVar[str] = "data_mask"
    ENERGY: ClassVar[str] = "energy"
    DENSITY: ClassVar[str] = "density"
    INTENSITY: ClassVar[str] = "intensity"

    def __init__(self, resolution: int | None = None, base_uri: str | None = None) -> None:
        super().__init__(base_uri)
        self.resolution = 25 if resolution is None else resolution

    def download_expression_grid_data(
        self,
        section_data_set_id: int,
        include: Sequence[str] | None = None,
        path: str | Path | None = None,
    ) -> None:
        """Fetch the expression grids of a data set, unpacked into a folder.

        Parameters
        ----------
        section_data_set_id
            The data set.
        include
            ``energy``, ``density``, ``intensity``; the first where None.
        path
            The folder, with or without ``.zip`` at its end; the id's where None.
        """
        folder = Path(path or str(section_data_set_id))
        self._fetch(section_data_set_id, include or (self.ENERGY,), folder.with_suffix(""))

    def download_gene_expression_grid_data(
        self, section_data_set_id: int, volume_type: str, path: str | Path
    ) -> None:
        """Fetch one expression grid of a data set, unpacked into a folder."""
        self._fetch(section_data_set_id, (volume_type,), Path(path))

    def _fetch(self, data_set: int, kinds: Sequence[str], folder: Path) -> None:
        verbs.fetch(f"grid:{int(data_set)}", to=folder, source=self._source, include=list(kinds))

    def download_projection_grid_data(
        self,
        section_data_set_id: int,
        image: Sequence[str] | str | None = None,
        resolution: int | None = None,
        save_file_path: str | Path | None = None,
    ) -> None:
        """Fetch one projection grid of a data set as NRRD.

        Parameters
        ----------
        section_data_set_id
            The data set.
        image
            ``projection_density`` and others; one.
        resolution
            Size of a voxel in µm; that of the class where None.
        save_file_path
            Where to; ``ID.nrrd`` where None.
        """
        given = (image,) if isinstance(image, str) else tuple(image or ())
        kind = given[0] if given else self.PROJECTION_DENSITY
        size = resolution or self.resolution
        wanted = Path(save_file_path or f"{section_data_set_id}.nrrd")
        if wanted.exists():
            return
        where = f"grid:{int(section_data_set_id)}"
        grid = verbs.fetch(where, source=self._source, include=[kind], resolution=size)
        wanted.parent.mkdir(parents=True, exist_ok=True)
        wanted.write_bytes(grid.places[kind, int(size)].read_bytes())

    def download_alignment3d(
        self,
        section_data_set_id: int,
        num_rows: Any = "all",
        count: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the affine alignment of a data set, as the service has it.

        Raises
        ------
        NotFoundError
            If it is not aligned.
        """
        del num_rows, count, kwargs
        number = int(section_data_set_id)
        query = f"model::SectionDataSet,rma::criteria,[id$eq{number}],rma::include,alignment3d"
        row = next(iter(rows_of(query, self._source)), {})
        if not row.get("alignment3d"):
            raise NotFoundError("no alignment", address=f"grid:{number}")
        return dict(row["alignment3d"])

    def download_deformation_field(
        self,
        section_data_set_id: int,
        header_path: str | Path | None = None,
        voxel_path: str | Path | None = None,
        voxel_type: str = "DeformationFieldVoxels",
        header_type: str = "DeformationFieldHeader",
    ) -> None:
        """Fetch the two files of a deformation field.

        Raises
        ------
        NotFoundError
            If the data set has none.
        """
        number = int(section_data_set_id)
        query = (
            f"model::WellKnownFile,rma::criteria,[attachable_id$eq{number}],"
            f"well_known_file_type[name$in'{header_type}','{voxel_type}'],"
            "rma::include,well_known_file_type"
        )
        rows = rows_of(query, self._source)
        ids = {row["well_known_file_type"]["name"]: row["id"] for row in rows}
        for kind, path, ending in (
            (header_type, header_path, "mhd"),
            (voxel_type, voxel_path, "raw"),
        ):
            if kind not in ids:
                raise NotFoundError("no deformation field", address=f"connectivity:{number}")
            placed(f"file:{ids[kind]}", path or f"{number}_dfmfld.{ending}", self._source)
