"""An opened cell: its recordings, reconstruction, models and features, here or where they lie."""

from __future__ import annotations

import base64
import functools
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from openallen.brainmap.files import EPHYS_TYPE, MARKER_TYPE, RECONSTRUCTION_TYPE
from openallen.brainmap.plan import expected
from openallen.display import card, count_text, facts_text
from openallen.errors import (
    AnswerError,
    CorruptError,
    NotFoundError,
    OpenAllenError,
    RefusedError,
    hint_line,
    requiring,
)
from openallen.json_text import load_json
from openallen.plans import safe_path
from openallen.settings import Settings
from openallen.sources.cells.columns import short_row
from openallen.sources.cells.manifest import Manifest, read_manifest
from openallen.sources.cells.record import CITATION, CellFile, CellRecord
from openallen.sources.cells.recorded import record_of, why_none

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from openallen.formats.marker import Marker
    from openallen.formats.swc import Morphology
    from openallen.visuals import Visual

__all__ = ["Cell", "CellModel", "open_cell"]

_MOST_BYTES = 64 << 20
"""Far more than any reconstruction or set of parameters takes."""


def open_cell(folder: Path, settings: Settings | None = None) -> Cell:
    """Open the folder of a cell that was fetched.

    Raises
    ------
    NotFoundError
        If there is no cell in it.
    CorruptError
        If its manifest cannot be read.
    """
    manifest = read_manifest(folder)
    return Cell(record_of(manifest), folder=folder, manifest=manifest, settings=settings)


@dataclass(frozen=True, repr=False)
class CellModel:
    """A model of a cell: a row of the model NeuronalModel, and its files.

    Parameters
    ----------
    id
        Id of the model.
    name
        Its name.
    template
        What kind of model it is: ``Biophysical - perisomatic``, ``… (LIF)``; empty if not told.
    row
        Its row, as the service sent it.
    files
        Its files; the last is the package (zip) of all that running it takes.
    cell
        The cell.
    """

    id: int
    name: str
    template: str
    row: dict[str, Any]
    files: tuple[CellFile, ...]
    cell: Cell

    @property
    def parameters(self) -> Any:
        """The parameters of the model, as its JSON file has them.

        Raises
        ------
        NotFoundError
            If the service names no file of parameters.
        CorruptError
            If it is not JSON.
        """
        file = next((f for f in self.files if f.type == "NeuronalModelParameters"), None)
        if file is None:
            raise NotFoundError(
                "no file of parameters",
                address=self.cell.address,
                why=f"the service names none of model {self.id}",
            )
        try:
            return load_json(self.cell.read_bytes(file))
        except ValueError as error:
            raise CorruptError("this is not JSON", address=file.path, why=str(error)) from error

    def path(self, kind: str = "zip") -> Path:
        """Return the path of one of its files that was fetched, by type.

        Parameters
        ----------
        kind
            ``zip``, ``NeuronalModelParameters``, ``BiophysicalModelDescription``.

        Raises
        ------
        NotFoundError
            If it was not fetched, or there is none.
        """
        file = next((f for f in self.files if f.type == kind), None)
        found = None if file is None else self.cell.path_of(file)
        if found is None:
            raise NotFoundError(
                f"no {kind} of model {self.id} here",
                address=self.cell.address,
                why="it was not fetched" if file is not None else "the service names none",
                hint=f"openallen fetch {self.cell.address} --include models",
            )
        return found

    @property
    def address(self) -> str:
        """Address of the model: ``model:472451419``."""
        return f"model:{self.id}"

    def __repr__(self) -> str:
        return f"model {self.id}, {self.template or self.name}"


class Cell:
    """One cell of the Allen Cell Types Database.

    What was fetched is read from its folder, what was not from the service: recordings by ranges,
    small files whole. Each part is read when it is asked for; one that cannot be had raises and
    says why, and the others still work.

    Parameters
    ----------
    record
        What the service says of it.
    folder, manifest
        Where it was fetched to, and the manifest there; None where it was not.
    settings
        Settings to use; loaded from the environment and files if None.
    """

    def __init__(
        self,
        record: CellRecord,
        *,
        folder: Path | None = None,
        manifest: Manifest | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.record = record
        self.folder = folder
        self.manifest = manifest
        self._settings = settings

    @property
    def address(self) -> str:
        """Address of the cell: ``cell:464212183``."""
        return self.record.address

    @property
    def specimen_id(self) -> int:
        """Id of the cell."""
        return self.record.specimen_id

    @property
    def facts(self) -> dict[str, Any]:
        """Facts of the cell by the short names that lists have: species, line, area, layer."""
        return short_row(self.record.specimen)

    @property
    def is_simulated(self) -> bool:
        """Whether signals of it are made up: the manifest says so, or without one the source."""
        return self.record.simulated if self.manifest is None else self.manifest.simulated

    # --- what the service computed ----------------------------------------------------------------

    @property
    def features(self) -> pd.Series:
        """The precomputed features of its recordings: the row of EphysFeature, by its own names.

        Units are those of the service: mV, ms for ``tau`` and ``avg_isi``, MΩ for ``ri``, pA for
        ``threshold_i_…``, s for ``…_t_…`` and ``latency``.

        Raises
        ------
        NotFoundError
            If the service has none of it.
        """
        return self._series(self.record.features, "features of recordings", "EphysFeature")

    @property
    def morphology_features(self) -> pd.Series:
        """The precomputed features of its reconstruction: the row of NeuronReconstruction.

        Lengths are in µm. Of several reconstructions it is the one that lists name.

        Raises
        ------
        NotFoundError
            If it was not reconstructed.
        """
        row = {k: v for k, v in self.record.reconstruction.items() if k != "well_known_files"}
        return self._series(row, "features of a reconstruction", "NeuronReconstruction")

    def _series(self, row: Any, what: str, model: str) -> pd.Series:
        with requiring("a table of pandas", "tables"):
            import pandas as pd
        if not row:
            raise NotFoundError(
                f"no {what}", address=self.address, why=f"the service has no row of {model}"
            )
        return pd.Series(dict(row), name=self.specimen_id, dtype=object)

    @property
    def ephys_sweeps(self) -> pd.DataFrame:
        """The service's rows of its sweeps (EphysSweep), index ``sweep_number``; units in names.

        Raises
        ------
        NotFoundError
            If the service has none of it.
        """
        with requiring("a table of pandas", "tables"):
            import pandas as pd
        rows = self.record.sweeps
        if not rows:
            raise NotFoundError(
                "no sweeps", address=self.address, why="the service has no rows of EphysSweep"
            )
        return pd.DataFrame(list(rows)).set_index("sweep_number")

    # --- recordings -------------------------------------------------------------------------------

    @functools.cached_property
    def session(self) -> Any:
        """Its recordings as an opened session: the file that was fetched, else read by ranges.

        Raises
        ------
        NotFoundError
            If the service names no file of them, or has none where it says.
        OfflineError
            If it was not fetched, and there is no network.
        TruncatedError, CorruptError
            If the file is damaged, or no NWB.
        """
        from openallen.sources.context import Context

        file = self._file(EPHYS_TYPE.name, "ephys", "recordings")
        path = self.path_of(file)
        with Context(self._settings) as context:
            url = file.url(context.client_of(self.record.source).base_url)
            return context.open_place(context.place(url if path is None else path))

    @property
    def sweeps(self) -> pd.DataFrame:
        """Its sweeps, as the file of its recordings tells; see the session's own."""
        found: pd.DataFrame = self.session.sweeps
        return found

    def sweep(self, number: int) -> Any:
        """Return stimulus and response of a sweep, in A, V and s.

        Parameters
        ----------
        number
            Number of the sweep.
        """
        return self.session.sweep(number)

    def spike_times(self, number: int) -> NDArray[np.float64]:
        """Return the spike times of a sweep in s, as the institute found them.

        Parameters
        ----------
        number
            Number of the sweep.
        """
        found: NDArray[np.float64] = self.session.spike_times(number)
        return found

    def get_sweep(self, sweep_number: int) -> Any:
        """Return a sweep as AllenSDK's NwbDataSet does.

        Parameters
        ----------
        sweep_number
            Number of the sweep.
        """
        return self.session.get_sweep(sweep_number)

    def get_sweep_numbers(self) -> Any:
        """Return the numbers of all sweeps."""
        return self.session.get_sweep_numbers()

    def get_experiment_sweep_numbers(self) -> Any:
        """Return the numbers of sweeps that have an experiment."""
        return self.session.get_experiment_sweep_numbers()

    def get_spike_times(self, sweep_number: int) -> Any:
        """Return the spike times of a sweep in s.

        Parameters
        ----------
        sweep_number
            Number of the sweep.
        """
        return self.session.get_spike_times(sweep_number)

    def get_sweep_metadata(self, sweep_number: int) -> Any:
        """Return what the file tells of a sweep.

        Parameters
        ----------
        sweep_number
            Number of the sweep.
        """
        return self.session.get_sweep_metadata(sweep_number)

    # --- reconstruction and models ----------------------------------------------------------------

    @functools.cached_property
    def morphology(self) -> Morphology:
        """The reconstruction of the cell; coordinates in µm.

        Raises
        ------
        NotFoundError
            If it was not reconstructed, or the service has no file of it.
        CorruptError
            If the file is damaged.
        """
        from openallen.formats.swc import read_swc

        file = self._file(RECONSTRUCTION_TYPE.name, "morphology", "reconstruction")
        path = self.path_of(file)
        return read_swc(path if path is not None else self.read_bytes(file))

    @functools.cached_property
    def markers(self) -> list[Marker]:
        """The markers of the reconstruction: cut dendrites and others, in µm.

        Raises
        ------
        NotFoundError
            If there are none.
        CorruptError
            If the file is damaged.
        """
        from openallen.formats.marker import read_markers

        file = self._file(MARKER_TYPE.name, "morphology", "markers")
        return read_markers(self.read_bytes(file))

    @property
    def models(self) -> tuple[CellModel, ...]:
        """The models of the cell, GLIF and biophysical ones; empty where it has none."""
        found = []
        for row in self.record.models:
            told = row.get("neuronal_model_template")
            template = told if isinstance(told, dict) else {}
            found.append(
                CellModel(
                    id=row["id"],
                    name=str(row.get("name") or ""),
                    template=str(template.get("name") or ""),
                    row=dict(row),
                    files=tuple(
                        f for f in self.record.of("models") if f.attached_to == row.get("id")
                    ),
                    cell=self,
                )
            )
        return tuple(found)

    # --- files ------------------------------------------------------------------------------------

    def _file(self, kind: str, part: str, what: str) -> CellFile:
        file = self.record.file(kind)
        if file is None:
            why = why_none(self.record, part)
            if what == "markers" and self.record.of(part):
                why = "its reconstruction has none"
            raise NotFoundError(
                f"no {what}", address=self.address, why=why, hint=f"openallen show {self.address}"
            )
        return file

    def path_of(self, file: CellFile) -> Path | None:
        """Return where a file of it is on this machine; None where it was not fetched.

        Parameters
        ----------
        file
            One of ``record.files``.

        Raises
        ------
        RefusedError
            If a link leads out of the folder.
        """
        if self.folder is None or self.manifest is None:
            return None
        entry = next((e for e in self.manifest.files if e.path == file.path), None)
        if entry is None:
            return None
        path = self.folder / safe_path(file.path)  # a manifest may come from anybody
        if not path.exists():
            return None
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise RefusedError("a link that leads out of the cell", address=str(path))
        return path

    def read_bytes(self, file: CellFile) -> bytes:
        """Return what a small file of it holds: from its folder, else from the service.

        Parameters
        ----------
        file
            One of ``record.files``.

        Raises
        ------
        NotFoundError
            If the service does not have it.
        AnswerError
            If the service sends something else in its place.
        """
        from openallen.formats.files import read_file

        path = self.path_of(file)
        return read_file(path) if path is not None else self._got(file)

    def _got(self, file: CellFile) -> bytes:
        from openallen.sources.context import Context
        from openallen.transport.sniff import describe, sniff

        with Context(self._settings) as context:
            client = context.client_of(self.record.source)

            def ask() -> bytes:
                with client.http.get(file.url(client.base_url)) as response:
                    return response.read(_MOST_BYTES)

            body = client.retry.run(ask)
        kinds = expected(file.known)
        if kinds and sniff(body) not in kinds:
            raise AnswerError(
                "unexpected response",
                address=f"file:{file.known.id}",
                why=f"{describe(sniff(body))} instead of a {file.type}",
            )
        return body

    # --- what it looks like -----------------------------------------------------------------------

    def plot(self) -> Figure:
        """Draw the reconstruction, the sweeps over each other, and firing rate over current.

        Raises
        ------
        NotFoundError
            If it has neither recordings nor a reconstruction.
        MissingExtraError
            Without matplotlib.
        """
        from openallen.sources.cells.plots import draw_cell

        return draw_cell(self)

    def _visuals(self) -> tuple[Visual, ...]:
        from openallen.sources.cells.visuals import visuals_of_cell

        return visuals_of_cell(self)

    def thumbnail(self) -> str:
        """Return the reconstruction as a small picture, a ``data:`` URI.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        picture = base64.b64encode(self.morphology.to_svg().encode()).decode()
        return f"data:image/svg+xml;base64,{picture}"

    def __getattr__(self, name: str) -> Any:
        # Called only for names that nothing else answers: some are those of its session.
        text = f"'{type(self).__name__}' object has no attribute '{name}'"
        if not name.startswith("_"):
            from openallen.sessions.patch_clamp.session import PatchClampSession

            if hasattr(PatchClampSession, name):
                text += f"\n  {hint_line(f'session.{name}')}"
        raise AttributeError(text)

    def _here(self) -> list[CellFile]:
        with suppress(OpenAllenError):
            return [file for file in self.record.files if self.path_of(file) is not None]
        return []

    def _facts(self) -> dict[str, object]:
        told, record = self.facts, self.record
        here = self._here()
        simulated = ", some simulated" if self.is_simulated else ""
        names = ("species", "line", "structure", "dendrite_type")
        return {
            "name": told["name"],
            "cell": ", ".join(str(told[n]) for n in names if told[n]) or None,
            "sweeps": len(record.sweeps) or None,
            "reconstruction": record.reconstruction.get("neuron_reconstruction_type"),
            "models": len(record.models) or None,
            "here": count_text(len(here), "file") + simulated
            if here
            else "nothing, read from the service",
            "folder": self.folder if here else None,
            "source": record.source,
            "note": "; ".join(record.notes) or None,
        }

    def __repr__(self) -> str:
        return facts_text(f"Cell {self.specimen_id}", self._facts())

    def _repr_html_(self) -> str:
        image = ""
        if any(file.type == RECONSTRUCTION_TYPE.name for file in self._here()):
            with suppress(OpenAllenError):
                image = self.thumbnail()
        return card(f"Cell {self.specimen_id}", self._facts(), image=image, note=CITATION)

    def close(self) -> None:
        """Close the file of its recordings; what was read already stays."""
        opened = self.__dict__.pop("session", None)
        if opened is not None:
            opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # Settings are those of the process it comes to; files are opened there anew.
        return _again, (self.record, self.folder, self.manifest)


def _again(record: CellRecord, folder: Path | None, manifest: Manifest | None) -> Cell:
    return Cell(record, folder=folder, manifest=manifest)
