"""The door of patched cells: ``cell:464212183``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from openallen.address import Address, Condition
from openallen.errors import NotFoundError, OfflineError, RefusedError, UnreachableError
from openallen.sources.base import SURE, Example, Facts, Place, Rows, Source, View
from openallen.sources.cells.options import PARTS, ListOptions, Options

if TYPE_CHECKING:
    from openallen.brainmap.paging import Short
    from openallen.plans import Report
    from openallen.sources.cells.manifest import Manifest
    from openallen.sources.cells.read import Cell
    from openallen.sources.cells.record import CellRecord
    from openallen.store.checked import Checked
    from openallen.transfer.job import Job
    from openallen.web_address import WebAddress

__all__ = ["CellSource"]

_MANIFEST = "manifest.json"


class CellSource(Source):
    """One cell of the Cell Types Database: recordings, reconstruction, models, features."""

    scheme: ClassVar[str] = "cell"
    title: ClassVar[str] = "patched cells: recordings, reconstructions, models"
    numeric: ClassVar[bool] = True
    folder: ClassVar[str] = "cells"
    draws: ClassVar[bool] = True
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "cell:313862022",
            "recordings, reconstruction and features of one cell",
            sample=True,
            web=(
                "https://celltypes.brain-map.org/experiment/electrophysiology/313862022",
                "http://celltypes.brain-map.org/mouse/experiment/electrophysiology/313862022",
            ),
        ),
    )
    list_options: ClassVar[type] = ListOptions
    fetch_options: ClassVar[type] = Options
    columns: ClassVar[tuple[str, ...]] = (
        "specimen_id",
        "species",
        "line",
        "area",
        "layer",
        "dendrite_type",
        "has_reconstruction",
        "has_images",
        "has_models",
    )

    @classmethod
    def from_web(cls, web: WebAddress) -> Address | None:
        """Read a page of the Cell Types Database that shows recordings."""
        parts = [part for part in web.path.split("/") if part not in {"", "mouse", "human"}]
        shown = parts[:2] == ["experiment", "electrophysiology"] and len(parts) == 3
        if shown and web.host.endswith("brain-map.org") and parts[2].isdigit():
            return Address(cls.scheme, parts[2])
        return None

    # --- list -------------------------------------------------------------------------------------

    def rows(
        self,
        address: Address,
        conditions: Sequence[Condition],
        options: ListOptions,
        limit: int | None,
    ) -> Rows:
        """Return cells, by short names or by those of the service."""
        from openallen.sources.cells.columns import asked, short_row
        from openallen.sources.cells.search import no_cells, rows_of

        if address.name:
            raise self.cannot("listed", address, f"openallen show {address}")
        given = [*address.conditions, *conditions]
        wanted = asked(given)
        client = self.context.client
        short: Short = "warn" if options.accept_short else "error"
        found, total = rows_of(client, wanted, limit, short)
        by_service = options.service_names
        id_column = "specimen__id" if by_service else "specimen_id"
        return Rows(
            found if by_service else map(short_row, found),
            (id_column, "donor__species", "line_name", "structure__acronym", "tag__dendrite_type")
            if by_service
            else self.columns,
            id_column=id_column,
            noun="cell",
            total=total,
            empty=lambda: no_cells(client, wanted, given),
            address=lambda row: f"cell:{row[id_column]}",
        )

    # --- show -------------------------------------------------------------------------------------

    def facts(self, address: Address, options: Any) -> Facts:
        """Return what is known of a cell, with what fetching it would take."""
        from openallen.sources.cells.shown import cell_facts

        del options
        self._one(address)
        cell = self._cell(address, fresh=True)
        plan, notes = self._planned(cell, self.context.folder(address), Options())
        return cell_facts(cell, plan=plan, notes=notes, draw=cell.plot)

    def _planned(self, cell: Cell, folder: Path, options: Options) -> tuple[Any, tuple[str, ...]]:
        """Return the plan of a cell; why there is none, where it has no files."""
        from openallen.sources.cells.package import CellJob

        try:
            job = CellJob.of(self.context.client, cell.record, options, folder)
        except NotFoundError as error:
            return None, (f"nothing to fetch: {error.why}",)
        except RefusedError as error:
            return None, (f"{error.what}: {error.why}",)
        return self.context.plan(job), ()

    def place_facts(self, place: Place, options: Any) -> Facts:
        """Return what is known of the folder of a cell, without the service."""
        from openallen.sources.cells.read import CellModel
        from openallen.sources.cells.shown import cell_facts, model_facts

        del options
        opened = self.open_place(place)
        if isinstance(opened, CellModel):
            return model_facts(opened, plan=None)
        return cell_facts(opened, plan=None, draw=opened.plot)

    def views(self, address: Address) -> list[View]:
        """Return the pages of the portal that show a cell."""
        from openallen.sources.cells.shown import links_of

        self._one(address)
        record = self._cell(address).record
        return [View(title="Allen Cell Types Database", url=url) for url in links_of(record)]

    def _one(self, address: Address, done: str = "shown") -> None:
        if not address.name:
            raise self.cannot(f"{done} as a whole", address, f"openallen list {self.scheme}:")

    # --- fetch and open ---------------------------------------------------------------------------

    def job(self, address: Address, to: Path, options: Options) -> Job:
        """Return the job that fetches a cell into a folder; offline by the manifest there."""
        from openallen.sources.cells.package import CellJob

        self._one(address, "fetched")
        client = self.context.client
        return CellJob.prepare(client, str(address), lambda: self._asked(address), options, to)

    def written(self, report: Report, options: Options) -> dict[str, Path]:
        """Return the manifest."""
        del options
        return {"manifest": report.plan.to / _MANIFEST} if report.fetched or report.here else {}

    def open(self, address: Address, **options: Any) -> Cell:
        """Open a cell: what was fetched of it, the rest where it lies."""
        self.no_options(options, address)
        self._one(address, "opened")
        return self._cell(address)

    def _cell(self, address: Address, *, fresh: bool = False) -> Cell:
        """Return a cell with what is in the store of it.

        Parameters
        ----------
        address
            The cell.
        fresh
            Whether the service is asked where it can be, also of one that was fetched.

        Raises
        ------
        CorruptError
            If the manifest in the store is damaged; where `fresh`, the service is asked instead.
        """
        from openallen.sources.cells.read import Cell
        from openallen.sources.cells.recorded import known_manifest, record_of

        folder, settings = self.context.folder(address), self.context.settings
        manifest = known_manifest(folder) if fresh else _manifest_in(folder)
        if manifest is not None and manifest.address != str(address):
            manifest = None
        kept = None if manifest is None else record_of(manifest)
        record = kept
        if kept is None or fresh:
            try:
                record = self._asked(address)
            except (OfflineError, UnreachableError):
                if kept is None:
                    raise
        assert record is not None
        return Cell(record, folder=folder, manifest=manifest, settings=settings)

    def _asked(self, address: Address) -> CellRecord:
        """Return what the service says of a cell."""
        from openallen.sources.cells.search import describe

        return describe(self.context.client, address.id)

    @classmethod
    def recognise(cls, place: Place) -> int:
        """Recognise the folder of a cell, or its manifest, by the manifest."""
        if place.path is None or not (place.is_folder or place.file == _MANIFEST):
            return 0
        from openallen.sources.cells.manifest import looks_like_cell

        return SURE if looks_like_cell(place.path.parent if place.file else place.path) else 0

    def open_place(self, place: Place, **options: Any) -> Any:
        """Open a folder that was fetched: a cell, or one model of it."""
        from openallen.sources.cells.read import open_cell

        self.no_options(options, place.name)
        assert place.path is not None
        folder = place.path.parent if place.file else place.path
        cell = open_cell(folder, self.context.settings)
        return cell if cell.record.model_id is None else cell.models[0]

    # --- what is here -----------------------------------------------------------------------------

    def verify(self, folder: Path) -> Iterator[Checked]:
        """Compare every file of a folder with its manifest, wherever it was moved or copied."""
        from openallen.manifests import verified
        from openallen.sources.cells.manifest import read_manifest
        from openallen.sources.cells.package import repair_command

        folder = folder if folder.is_dir() else folder.parent
        manifest = read_manifest(folder)
        repair = repair_command(manifest, folder)
        return verified(folder, manifest.files, PARTS, address=manifest.address, repair=repair)

    def repair_job(self, folder: Path) -> Job | None:
        """Return the job that fetches what is damaged or missing, as the manifest has it."""
        from openallen.sources.cells.manifest import read_manifest
        from openallen.sources.cells.package import repair_job

        folder = folder if folder.is_dir() else folder.parent
        return repair_job(self.context.client_of(read_manifest(folder).source), folder)


def _manifest_in(folder: Path) -> Manifest | None:
    """Return the manifest in a folder; None where there is none."""
    from openallen.sources.cells.manifest import read_manifest

    try:
        return read_manifest(folder)
    except NotFoundError:
        return None
