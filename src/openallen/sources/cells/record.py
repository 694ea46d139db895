"""What the service says of one cell: its rows, and the files they name.

The rows are kept as they came, in the manifest too, so that what is here says the same without
the service.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from openallen.brainmap.files import (
    EPHYS_TYPE,
    MODEL_DESCRIPTION_TYPE,
    MODEL_PARAMETERS_TYPE,
    WellKnownFile,
    model_url,
    morphology_paths,
    of_type,
)
from openallen.plans import safe_name
from openallen.sources.cells.options import Part

__all__ = [
    "CITATION",
    "PORTAL",
    "TERMS",
    "CellFile",
    "CellRecord",
    "Row",
]

Row = Mapping[str, Any]
CITATION: Final = (
    "Allen Institute for Brain Science. Allen Cell Types Database. https://celltypes.brain-map.org"
)
TERMS: Final = "Allen Institute Terms of Use: https://alleninstitute.org/terms-of-use"
PORTAL: Final = "https://celltypes.brain-map.org/experiment"
_NOTHING: Final[Row] = {}


@dataclass(frozen=True, kw_only=True)
class CellFile:
    """One file of a cell.

    Parameters
    ----------
    part
        The part it belongs to.
    known
        The well-known file; for the zip of a model, one with the id of the model.
    path
        Where it goes, relative to the folder of the cell.
    type
        Its type, as the service names it; ``zip`` for the package of a model.
    attached_to
        Id of the reconstruction or model it is of; None for the recordings.
    """

    part: Part
    known: WellKnownFile
    path: str
    type: str
    attached_to: int | None = None

    @property
    def is_zip(self) -> bool:
        """Whether it is the package of a model."""
        return self.type == "zip"

    def url(self, base: str) -> str:
        """Return where it is, at the service with base URL `base`."""
        return model_url(base, self.known.id) if self.is_zip else self.known.url(base)


@dataclass(frozen=True, kw_only=True)
class CellRecord:
    """Rows of one cell.

    Parameters
    ----------
    specimen_id
        Id of the cell.
    rows
        Rows by what they were asked for: ``specimen``, ``features``, ``sweeps``,
        ``reconstructions``, ``models``, ``ephys``; as the service sent them.
    queries
        RMA queries, by the same names.
    source
        ``live``, ``sample``, or the folder or URL of an archive.
    notes
        Notes of the service (an archive that has only a part).
    simulated
        Whether the source says that it makes up what it sends.
    model_id
        The one model of the cell that is meant; None for the cell.
    """

    specimen_id: int
    rows: Mapping[str, Sequence[Row]]
    queries: Mapping[str, str]
    source: str = "live"
    notes: tuple[str, ...] = ()
    simulated: bool = False
    model_id: int | None = None

    @property
    def address(self) -> str:
        """Address of the cell, or of its one model."""
        if self.model_id is not None:
            return f"model:{self.model_id}"
        return f"cell:{self.specimen_id}"

    def all(self, name: str) -> Sequence[Row]:
        """Return the rows of one query; none where it was not asked."""
        return self.rows.get(name, ())

    def _first(self, name: str) -> Row:
        return next(iter(self.all(name)), _NOTHING)

    @property
    def specimen(self) -> Row:
        """Row of the model ApiCellTypesSpecimenDetail."""
        return self._first("specimen")

    @property
    def features(self) -> Row:
        """Row of the model EphysFeature; empty where there is none."""
        return self._first("features")

    @property
    def sweeps(self) -> Sequence[Row]:
        """Rows of the model EphysSweep, by their numbers."""
        return sorted(self.all("sweeps"), key=lambda row: _number(row.get("sweep_number")))

    @functools.cached_property
    def reconstruction(self) -> Row:
        """Row of the reconstruction that the cell's own row names; else the first; else empty."""
        rows = sorted(self.all("reconstructions"), key=lambda row: _number(row.get("id")))
        named = self.specimen.get("nrwkf__id")
        for row in rows:
            if named is not None and any(f.id == named for f in _files(row)):
                return row
        current = [row for row in rows if not row.get("superseded")]
        return next(iter(current or rows), _NOTHING)

    @property
    def models(self) -> Sequence[Row]:
        """Rows of the model NeuronalModel, by their ids; of the one that is meant alone."""
        rows = sorted(self.all("models"), key=lambda row: _number(row.get("id")))
        meant = [row for row in rows if self.model_id in {None, row.get("id")}]
        return [row for row in meant if isinstance(row.get("id"), int)]

    @functools.cached_property
    def files(self) -> tuple[CellFile, ...]:
        """Every file the rows name, chosen by type: recordings, reconstruction, models."""
        found = [] if self.model_id is not None else [*self._ephys(), *self._morphology()]
        for row in self.models:
            found += _model_files(row)
        return tuple(found)

    def of(self, *parts: str) -> tuple[CellFile, ...]:
        """Return the files of some parts."""
        return tuple(file for file in self.files if file.part in parts)

    def file(self, kind: str) -> CellFile | None:
        """Return the file of a type; of several that of the reconstruction that counts."""
        own = self.reconstruction.get("id")
        found = [file for file in self.files if file.type == kind]
        return next((f for f in found if f.attached_to == own), next(iter(found), None))

    def _ephys(self) -> Iterator[CellFile]:
        result = self._first("ephys").get("ephys_result")
        files = of_type(_files(result if isinstance(result, Mapping) else {}), EPHYS_TYPE)
        named = self.specimen.get("erwkf__id")
        if not files and isinstance(named, int):
            # The cell's own row names the file too, by its id alone.
            files = [WellKnownFile(id=named, type_id=EPHYS_TYPE.id, type_name=EPHYS_TYPE.name)]
        for n, known in enumerate(files):
            name = safe_name(known.path, f"{self.specimen_id}_ephys.nwb")
            path = f"ephys/{name}" if n == 0 else f"ephys/{known.id}_{name}"
            yield CellFile(part="ephys", known=known, path=path, type=EPHYS_TYPE.name)

    def _morphology(self) -> Iterator[CellFile]:
        rows = sorted(self.all("reconstructions"), key=lambda row: _number(row.get("id")))
        for known, path in morphology_paths(_files(row) for row in rows):
            yield CellFile(
                part="morphology",
                known=known,
                path=path,
                type=known.type_name,
                attached_to=known.attached_to,
            )


def _model_files(row: Row) -> Iterator[CellFile]:
    """Return the files of a model: its parameters, what its template describes, the package."""
    number: int = row["id"]
    template = row.get("neuronal_model_template")
    described = _files(template if isinstance(template, Mapping) else {})
    taken: set[str] = set()
    files = [*of_type(_files(row), MODEL_PARAMETERS_TYPE)]
    files += of_type([*_files(row), *described], MODEL_DESCRIPTION_TYPE)
    for known in {file.id: file for file in files}.values():
        name = safe_name(known.path, str(known.id))
        name = f"{known.id}_{name}" if name.casefold() in taken else name
        taken.add(name.casefold())
        yield CellFile(
            part="models",
            known=known,
            path=f"models/{number}/{name}",
            type=known.type_name,
            attached_to=number,
        )
    package = WellKnownFile(id=number, type_id=None, type_name="zip")
    path = f"models/{number}/neuronal_model_{number}.zip"
    yield CellFile(part="models", known=package, path=path, type="zip", attached_to=number)


def _files(row: Row) -> list[WellKnownFile]:
    found = row.get("well_known_files")
    rows = found if isinstance(found, list) else []
    return [WellKnownFile.from_row(file) for file in rows if isinstance(file, Mapping)]


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1
