"""The door of image stacks: ``stack:313862022``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from openallen.address import Address, AddressLike, Condition
from openallen.display import bytes_text
from openallen.errors import (
    NotFoundError,
    OfflineError,
    OpenAllenError,
    UnreachableError,
    UsageError,
)
from openallen.sources.base import SURE, Example, Facts, Field, Place, Rows, Source
from openallen.sources.stacks.options import ListOptions, Options, ShowOptions

if TYPE_CHECKING:
    from openallen.brainmap.paging import Short
    from openallen.plans import Report
    from openallen.sources.stacks.models import StackFacts
    from openallen.sources.stacks.read import ImageStack
    from openallen.sources.tables import Row
    from openallen.store.checked import Checked
    from openallen.transfer.job import Job
    from openallen.web_address import WebAddress

__all__ = ["StackSource", "facts"]

_MANIFEST = "manifest.json"


class StackSource(Source):
    """One cell's brightfield image stack: planes, projections, reconstruction."""

    scheme: ClassVar[str] = "stack"
    title: ClassVar[str] = "brightfield image stacks of single cells"
    numeric: ClassVar[bool] = True
    folder: ClassVar[str] = "stacks"
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "stack:313862022",
            "planes, projections and reconstruction of one cell",
            sample=True,
            web=(
                "https://celltypes.brain-map.org/mouse/experiment/morphology/313862022",
                "http://celltypes.brain-map.org/experiment/morphology/313862022",
            ),
        ),
    )
    list_options: ClassVar[type] = ListOptions
    fetch_options: ClassVar[type] = Options
    show_options: ClassVar[type] = ShowOptions
    columns: ClassVar[tuple[str, ...]] = (
        "specimen_id",
        "species",
        "line",
        "area",
        "layer",
        "dendrite_type",
        "reconstruction_type",
    )

    @classmethod
    def from_web(cls, web: WebAddress) -> Address | None:
        """Read a page of the Cell Types Database that shows a morphology."""
        parts = [part for part in web.path.split("/") if part not in {"", "mouse", "human"}]
        portal = web.host.endswith("brain-map.org")
        if (
            portal
            and parts[:2] == ["experiment", "morphology"]
            and parts[2:3]
            and parts[2].isdigit()
        ):
            return Address("stack", parts[2])
        return None

    # --- list -------------------------------------------------------------------------------------

    def rows(
        self,
        address: Address,
        conditions: Sequence[Condition],
        options: ListOptions,
        limit: int | None,
    ) -> Rows:
        """Return cells that have images, as `COLUMNS` name them."""
        from openallen.sources.stacks.search import cell_row, no_cells, planes_note, search_cells

        if address.name:
            raise self.cannot("listed", address, f"openallen show {address}")
        wanted = [*address.conditions, *conditions]
        asked = search_cells(wanted)
        client = self.context.client
        short: Short = "warn" if options.accept_short else "error"
        rows = Rows(
            map(cell_row, client.rows(asked, limit, short=short)),
            self.columns,
            id_column="specimen_id",
            noun="cell",
            total=None if limit is None else client.count(asked),
            notes=lambda: _some(planes_note(client, [row["specimen_id"] for row in rows])),
            empty=lambda: no_cells(client, wanted),
            address=lambda row: f"stack:{row['specimen_id']}",
        )
        return rows

    # --- show -------------------------------------------------------------------------------------

    def facts(self, address: Address, options: ShowOptions) -> Facts:
        """Return what is known of a stack, with a plan at the size that is here already."""
        from openallen.sources.stacks.package import StackJob
        from openallen.sources.stacks.search import describe

        self._one(address)
        folder = self.context.folder(address)
        here = _here(folder)
        downsample = options.downsample
        if downsample is None:
            downsample = _size_of(here) or 0
        try:
            found = describe(self.context.client, address.id)
        except (OfflineError, UnreachableError):
            if here is None:
                raise
            return self.facts_of(here, str(address))
        to = (
            folder
            if here is None or _size_of(here) in {None, downsample}
            else Path(f"{folder}-downsample-{downsample}")
        )
        job = StackJob.of(self.context.client, found, Options(downsample=downsample), to)
        notes = () if here is None else (f"here at downsample {_size_of(here)}: {folder}",)
        return _facts(found, str(address), self.context.plan(job), notes)

    def _one(self, address: Address) -> None:
        if not address.name:
            raise self.cannot("shown as a whole", address, f"openallen list {self.scheme}:")

    # --- fetch and open ---------------------------------------------------------------------------

    def job(self, address: Address, to: Path, options: Options) -> Job:
        """Return the job that packages a stack into a folder; offline by the manifest there."""
        from openallen.sources.stacks.package import StackJob

        return StackJob.prepare(self.context.client, address.id, options, to)

    def written(self, report: Report, options: Options) -> dict[str, Path]:
        """Return the manifest, and the table of planes where one was asked for."""
        if not (report.fetched or report.here):
            return {}
        found = {"manifest": report.plan.to / _MANIFEST}
        if options.format:
            from openallen.sources.stacks.read import ImageStack
            from openallen.sources.stacks.tables import write_table

            form = cast("Literal['json', 'csv', 'parquet']", options.format)
            found["table"] = write_table(ImageStack(report.plan.to), form)
        return found

    def open(self, address: Address, **options: Any) -> ImageStack:
        """Open a stack that was fetched into the store."""
        self.no_options(options, address)
        try:
            return self._opened(self.context.folder(address))
        except NotFoundError as error:
            raise self.not_here(address, error) from error

    @classmethod
    def recognise(cls, place: Place) -> int:
        """Recognise the folder of a stack, or its manifest, by the manifest."""
        folder = place.path.parent if place.path and place.file == _MANIFEST else place.path
        if folder is None or not (place.is_folder or place.file == _MANIFEST):
            return 0
        from openallen.sources.stacks.coming import read_draft
        from openallen.sources.stacks.manifest import looks_like_stack

        here = looks_like_stack(folder) or (place.is_folder and read_draft(folder) is not None)
        return SURE if here else 0

    def open_place(self, place: Place, **options: Any) -> ImageStack:
        """Open a folder that was fetched, whole or in part."""
        self.no_options(options, place.name)
        assert place.path is not None
        return self._opened(place.path.parent if place.file else place.path)

    def _opened(self, folder: Path) -> ImageStack:
        from openallen.planes.overviews import overviews_folder
        from openallen.sources.stacks.read import ImageStack

        return ImageStack(folder, overviews=overviews_folder(self.context.settings.store, folder))

    # --- what is here -----------------------------------------------------------------------------

    def verify(self, folder: Path) -> Iterator[Checked]:
        """Compare every file of a folder with its manifest, wherever it was moved or copied."""
        from openallen.sources.stacks.recorded import verify_stack

        return verify_stack(folder if folder.is_dir() else folder.parent)

    def repair_job(self, folder: Path) -> Job | None:
        """Return the job that fetches what is damaged or missing, as the manifest has it."""
        from openallen.sources.stacks.manifest import read_manifest
        from openallen.sources.stacks.package import repair_job

        source = read_manifest(folder).source
        return repair_job(self.context.client_of(source), folder)

    def prune(self, address: Address, *, dry_run: bool) -> Row:
        """Remove a stack from the store, and the small pictures of its planes."""
        from openallen.planes.overviews import forget_overviews

        folder = self.context.folder(address)
        found = super().prune(address, dry_run=dry_run)
        if not dry_run:
            forget_overviews(self.context.settings.store, folder)
        return found


def _some(note: str) -> tuple[str, ...]:
    return (note,) if note else ()


def _here(folder: Path) -> ImageStack | None:
    from openallen.sources.stacks.read import ImageStack

    try:
        return ImageStack(folder)
    except OpenAllenError:
        return None


def _size_of(stack: ImageStack | None) -> int | None:
    """Return the downsampling of the planes that are here."""
    planes = [] if stack is None else [p for p in stack.manifest.planes if p.path]
    return planes[0].downsample if planes else None


def _facts(found: StackFacts, address: str, plan: Any, notes: tuple[str, ...]) -> Facts:
    first, last = found.planes[0], found.planes[-1]
    res = found.resolution_um_per_px
    projections = [f"{p.function} {p.axes}" for p in found.projections]
    reconstructions = [{"id": r.id, "kind": r.kind} for r in found.reconstructions]
    fields = (
        Field("specimen", found.specimen_id, key="specimen_id"),
        Field("cell", dict(found.specimen), _cell(found.specimen), "specimen"),
        Field("data set", found.data_set_id, key="data_set_id"),
        Field(
            "planes",
            len(found.planes),
            f"{len(found.planes)}, sections {first.section_number} to {last.section_number}",
        ),
        Field(
            "width",
            first.width_px,
            f"{first.width_px:,} px, {first.width_px * res:.0f} µm",
            "width_px",
        ),
        Field(
            "height",
            first.height_px,
            f"{first.height_px:,} px, {first.height_px * res:.0f} µm",
            "height_px",
        ),
        Field("pixel", res, f"{res:g} µm (x, y)", "resolution_um_per_px"),
        Field("z step", found.z_step.um, f"{found.z_step.um:g} µm", "z_step_um"),
        Field("z step from", found.z_step.source, key="z_step_source"),
        Field("decoded", found.raw_bytes, bytes_text(found.raw_bytes), "decoded_bytes"),
        Field("projections", projections, ", ".join(projections) or "none"),
        Field(
            "reconstruction",
            reconstructions,
            ", ".join(f"{r.id} ({r.kind})" for r in found.reconstructions) or "none",
            "reconstructions",
        ),
        Field("queries", dict(found.queries), ""),
    )
    return Facts(
        address=address,
        title=f"Image stack of specimen {found.specimen_id}",
        kind="image stack",
        fields=fields,
        plan=plan,
        notes=(*notes, *found.notes),
        ids=tuple(plane.id for plane in found.planes),
    )


def _cell(specimen: Any) -> str | None:
    names = ("specimen__name", "donor__species", "structure__name", "line_name")
    return ", ".join(str(specimen[n]) for n in names if specimen.get(n)) or None


def facts(address: AddressLike, *, source: str | None = None) -> StackFacts:
    """Return all that is known of one stack, without fetching any of it; see also `openallen.show`.

    Raises
    ------
    NotFoundError
        If there is no such cell, or it has no stack.
    UsageError
        If the address is of something else.
    """
    from openallen.sources.context import Context
    from openallen.sources.stacks.search import describe

    where = Address.parse(address)
    if where.scheme != StackSource.scheme:
        raise UsageError(
            "this is not a stack",
            address=str(where),
            hint=StackSource.show_command(),
        )
    with Context(source=source) as context:
        return describe(context.client, where.id)
