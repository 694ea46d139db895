"""AllenSDK's ``CellTypesCache``: the cells of the Allen Cell Types Database."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from openallen import verbs
from openallen.compat.allensdk.core.nwb_data_set import NwbDataSet
from openallen.compat.allensdk.core.swc import (
    Marker,
    Morphology,
    mirrored,
    mirrored_markers,
    read_marker_file,
    read_swc,
)
from openallen.compat.asking import placed, rows_of, source_of
from openallen.compat.elsewhere import Mirrored
from openallen.errors import NotFoundError, requiring

__all__ = ["CellTypesCache", "ReporterStatus"]

Row = dict[str, Any]
_CELLS: Final = "model::ApiCellTypesSpecimenDetail"
_COLUMNS: Final = {
    "reporter_status": "cell_reporter_status",
    "cell_soma_location": ("csl__x", "csl__y", "csl__z"),
    "species": "donor__species",
    "id": "specimen__id",
    "name": "specimen__name",
    "structure_layer_name": "structure__layer",
    "structure_area_id": "structure_parent__id",
    "structure_area_abbrev": "structure_parent__acronym",
    "transgenic_line": "line_name",
    "dendrite_type": "tag__dendrite_type",
    "apical": "tag__apical",
    "reconstruction_type": "nr__reconstruction_type",
    "disease_state": "donor__disease_state",
    "donor_id": "donor__id",
    "structure_hemisphere": "specimen__hemisphere",
    "normalized_depth": "csl__normalized_depth",
}


class ReporterStatus:
    """Values of ``reporter_status``."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NA = None
    INDETERMINATE = None


class CellTypesCache(Mirrored):
    """The cells of the Cell Types Database, under AllenSDK's names.

    Parameters
    ----------
    cache, manifest_file
        Taken, not used: files are in openallen's store.
    base_uri
        Another service than brain-map.org: ``sample``, or the folder or URL of an archive.
    """

    def __init__(
        self,
        cache: bool = True,
        manifest_file: str | Path | None = None,
        base_uri: str | None = None,
    ) -> None:
        del cache, manifest_file
        self._source = source_of(base_uri)

    # --- rows -------------------------------------------------------------------------------------

    def get_cells(
        self,
        file_name: str | None = None,
        require_morphology: bool = False,
        require_reconstruction: bool = False,
        reporter_status: Sequence[str] | str | None = None,
        species: Sequence[str] | None = None,
        simple: bool = True,
    ) -> list[Row]:
        """Return cells as a list of dicts.

        Parameters
        ----------
        file_name
            Taken, not used.
        require_morphology, require_reconstruction
            Whether only cells with a reconstruction are returned.
        reporter_status, species
            Only these; species in any case.
        simple
            Whether the columns have short names; else the service's.
        """
        del file_name
        rows = rows_of(_CELLS, self._source)
        if require_morphology or require_reconstruction:
            rows = [row for row in rows if row.get("nr__reconstruction_type") is not None]
        if reporter_status:
            one = isinstance(reporter_status, str)
            statuses = [reporter_status] if one else list(reporter_status)
            rows = [row for row in rows if row.get("cell_reporter_status") in statuses]
        if species:
            wanted = {name.lower() for name in species}
            rows = [row for row in rows if (row.get("donor__species") or "").lower() in wanted]
        return [_simple(row) for row in rows] if simple else rows

    def get_ephys_sweeps(self, specimen_id: int, file_name: str | None = None) -> list[Row]:
        """Return the service's rows of a cell's sweeps, by their numbers.

        Parameters
        ----------
        specimen_id
            The cell.
        file_name
            Taken, not used.
        """
        del file_name
        query = f"model::EphysSweep,rma::criteria,[specimen_id$eq{int(specimen_id)}]"
        return sorted(rows_of(query, self._source), key=lambda row: int(row["sweep_number"]))

    def get_ephys_features(self, dataframe: bool = False, file_name: str | None = None) -> Any:
        """Return the published features of recordings, of all cells.

        Parameters
        ----------
        dataframe
            Whether a DataFrame is returned; else a list of dicts.
        file_name
            Taken, not used.
        """
        del file_name
        return _as_told(self._frame("model::EphysFeature"), dataframe)

    def get_morphology_features(self, dataframe: bool = False, file_name: str | None = None) -> Any:
        """Return the published features of reconstructions, of all cells.

        Parameters
        ----------
        dataframe, file_name
            As for `get_ephys_features`.
        """
        del file_name
        return _as_told(self._frame("model::NeuronReconstruction"), dataframe)

    def get_all_features(self, dataframe: bool = False, require_reconstruction: bool = True) -> Any:
        """Return both kinds of features, joined by cell.

        Parameters
        ----------
        dataframe
            As for `get_ephys_features`.
        require_reconstruction
            Whether cells without a reconstruction are left out.
        """
        ephys = self._frame("model::EphysFeature")
        shape = self._frame("model::NeuronReconstruction")
        how: Any = "inner" if require_reconstruction else "left"
        return _as_told(ephys.merge(shape, how=how, on="specimen_id"), dataframe)

    def _frame(self, query: str) -> Any:
        with requiring("tables of features", "tables"):
            import pandas as pd
        # AllenSDK reads them back from a CSV file, so that types are those pandas finds in text.
        rows = rows_of(query, self._source)
        return pd.read_csv(io.StringIO(pd.DataFrame(rows).to_csv(index=False)))

    # --- files ------------------------------------------------------------------------------------

    def get_ephys_data(self, specimen_id: int, file_name: str | None = None) -> NwbDataSet:
        """Return a cell's sweeps.

        Parameters
        ----------
        specimen_id
            The cell.
        file_name
            Where its file is, or is fetched to; where None and not here, it is read by ranges.
        """
        if file_name is None:
            return NwbDataSet(self._cell(specimen_id).session)
        return NwbDataSet(self._file(specimen_id, "NWBDownload", file_name))

    def get_reconstruction(self, specimen_id: int, file_name: str | None = None) -> Morphology:
        """Return a cell's reconstruction.

        Parameters
        ----------
        specimen_id, file_name
            As for `get_ephys_data`.
        """
        if file_name is None:
            return mirrored(self._cell(specimen_id).morphology)
        return read_swc(self._file(specimen_id, "3DNeuronReconstruction", file_name))

    def get_reconstruction_markers(
        self, specimen_id: int, file_name: str | None = None
    ) -> list[Marker]:
        """Return the markers of a cell's reconstruction; empty where it has none.

        Parameters
        ----------
        specimen_id, file_name
            As for `get_ephys_data`.
        """
        if file_name is not None:
            return read_marker_file(self._file(specimen_id, "3DNeuronMarker", file_name))
        cell = self._cell(specimen_id)
        return [] if cell.record.file("3DNeuronMarker") is None else mirrored_markers(cell.markers)

    def _cell(self, specimen_id: int) -> Any:
        return verbs.open(f"cell:{int(specimen_id)}", source=self._source)

    def _file(self, specimen_id: int, kind: str, path: str) -> Path:
        """Return where a file of a cell is: where it is told, fetched if it is not there yet."""
        if Path(path).exists():
            return Path(path)
        cell = self._cell(specimen_id)
        file = cell.record.file(kind)
        if file is None:
            raise NotFoundError(
                f"no {kind} of this cell",
                address=cell.address,
                hint=f"openallen show {cell.address}",
            )
        return placed(f"file:{file.known.id}", path, self._source)


def _simple(row: Mapping[str, Any]) -> Row:
    return {
        name: row.get(column) if isinstance(column, str) else [row.get(c) for c in column]
        for name, column in _COLUMNS.items()
    }


def _as_told(frame: Any, dataframe: bool) -> Any:
    return frame if dataframe else frame.to_dict("records")
