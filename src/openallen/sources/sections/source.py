"""The door of section images: ``sections:71717084``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from openallen.address import Address, Condition
from openallen.errors import (
    NotFoundError,
    OfflineError,
    OpenAllenError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from openallen.sources.base import SURE, Example, Facts, Place, Rows, Source, View
from openallen.sources.sections.options import ListOptions, Options

if TYPE_CHECKING:
    from openallen.brainmap.paging import Short
    from openallen.plans import Plan, Report
    from openallen.sources.sections.read import SectionSet
    from openallen.sources.sections.record import SectionRecord
    from openallen.sources.tables import Row
    from openallen.store.checked import Checked
    from openallen.transfer.job import Job
    from openallen.web_address import WebAddress

__all__ = ["SectionsSource"]

_MANIFEST: Final = "manifest.json"
_FOLDERS: Final = ("images", "expression", "projection", "svg")
_NAME: Final = re.compile(r"(?:atlas-)?[0-9]{1,18}")


class SectionsSource(Source):
    """All section images of a data set, or all plates of an atlas."""

    scheme: ClassVar[str] = "sections"
    title: ClassVar[str] = "section images of a data set, or plates of an atlas"
    folder: ClassVar[str] = "sections"
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            "sections:69855739",
            "section images of one data set",
            sample=True,
            web=(
                "https://mouse.brain-map.org/experiment/siv?id=69855739&imageId=69838062",
                "http://human.brain-map.org/ish/experiment/show/69855739",
            ),
        ),
        Example(
            "sections:atlas-1",
            "plates of an atlas, with the structures drawn on them",
            web=("http://atlas.brain-map.org/atlas?atlas=1&plate=100960033",),
        ),
    )
    list_options: ClassVar[type] = ListOptions
    fetch_options: ClassVar[type] = Options
    columns: ClassVar[tuple[str, ...]] = (
        "id",
        "gene",
        "plane",
        "product",
        "treatment",
        "age",
        "injection",
        "specimen_id",
    )

    @classmethod
    def from_web(cls, web: WebAddress) -> Address | None:
        """Read a page of a portal that shows the images of one data set, or an atlas."""
        from openallen.sources.sections.web import sections_address

        return sections_address(web)

    def check(self, address: Address) -> None:
        """Check that a name is the id of a data set, or ``atlas-`` and the id of an atlas.

        Raises
        ------
        UsageError
            If it is neither.
        """
        super().check(address)
        if address.name and not _NAME.fullmatch(address.name):
            raise UsageError(
                f"'{address.name}' names no section images",
                address=str(address),
                why="the id of a section data set does, or atlas- and the id of an atlas",
                hint=self.way_in(),
            )

    # --- list -------------------------------------------------------------------------------------

    def rows(
        self,
        address: Address,
        conditions: Sequence[Condition],
        options: ListOptions,
        limit: int | None,
    ) -> Rows:
        """Return data sets (failed ones only if asked for), or the images of one."""
        from openallen.sources.sections.search import (
            data_set_row,
            no_data_sets,
            search_data_sets,
        )

        wanted = [*address.conditions, *conditions]
        if address.name:
            return self._images(address, wanted, limit)
        asked = search_data_sets(wanted)
        client = self.context.client
        short: Short = "warn" if options.accept_short else "error"
        return Rows(
            map(data_set_row, client.rows(asked, limit, short=short)),
            self.columns,
            noun="section data set",
            total=None if limit is None else client.count(asked),
            empty=lambda: no_data_sets(client, wanted),
            address=lambda row: f"sections:{row['id']}",
        )

    def _images(self, address: Address, wanted: Sequence[Condition], limit: int | None) -> Rows:
        """Return the images of one data set."""
        from openallen.sources.filters import check_columns, matches, no_rows
        from openallen.sources.sections.shown import image_rows

        record, here = self._known(address)
        every = image_rows(record, here)
        command = f"openallen list {Address(self.scheme, address.name)}"
        check_columns(tuple(every[0]), wanted, str(address), command)
        rows = [row for row in every if matches(row, wanted)]
        if not rows:
            raise no_rows(every, wanted, str(address), command)
        return Rows(
            rows[:limit],
            ("id", "section_number", "z_um", "width_px", "height_px", "failed", "here"),
            noun="image",
            total=len(rows),
            address=lambda row: f"image:{row['id']}",
        )

    @classmethod
    def lists(cls, address: Address) -> tuple[Address, ...]:
        """Return what can be listed of an address: data sets, or the images of one."""
        return (Address(address.scheme, address.name),)

    # --- show -------------------------------------------------------------------------------------

    def facts(self, address: Address, options: Any) -> Facts:
        """Return what is known of a data set, with what fetching it at the size here would take."""
        from openallen.sources.sections.shown import sections_facts

        del options
        self._one(address, "shown")
        record, here = self._known(address)
        plan, notes = self._planned(record, self.context.folder(address), here)
        return sections_facts(record, plan=plan, here=here, notes=notes)

    def _planned(
        self, record: SectionRecord, folder: Path, here: SectionSet | None
    ) -> tuple[Plan | None, tuple[str, ...]]:
        """Return the plan of a data set; why there is none, where the folder is taken."""
        from openallen.sources.sections.package import SectionsJob

        first = None if here is None else here.manifest.first
        told = Options()
        if first is not None:
            told = Options(
                downsample=first.downsample,
                quality=first.quality,
                intensity_range=first.intensity_range,
            )
        try:
            job = SectionsJob.of(self.context.client, record, told, folder)
        except (NotFoundError, RefusedError) as error:
            return None, (f"no plan: {error.what}" + (f" ({error.why})" if error.why else ""),)
        return self.context.plan(job), ()

    def _one(self, address: Address, done: str) -> None:
        if not address.name:
            raise self.cannot(f"{done} as a whole", address, f"openallen list {self.scheme}:")

    def _known(self, address: Address) -> tuple[SectionRecord, SectionSet | None]:
        """Return what the service says of a data set, and what is in the store of it.

        Raises
        ------
        NotFoundError
            If there is no such data set.
        OfflineError, UnreachableError
            If the service cannot be asked, and nothing is in the store.
        """
        from openallen.sources.sections.search import describe

        here = self._here(address)
        try:
            return describe(self.context.client, address.name), here
        except (OfflineError, UnreachableError):
            if here is None:
                raise
            return here.record, here

    def _here(self, address: Address) -> SectionSet | None:
        try:
            found = self._opened(self.context.folder(address))
        except OpenAllenError:
            return None
        return found if found.address == str(Address(self.scheme, address.name)) else None

    def place_facts(self, place: Place, options: Any) -> Facts:
        """Return what is known of a folder of section images, without the service."""
        from openallen.sources.sections.shown import sections_facts

        del options
        found = self.open_place(place)
        return sections_facts(found.record, plan=None, here=found)

    def views(self, address: Address) -> list[View]:
        """Return the pages of portals that show a data set."""
        from openallen.sources.sections.shown import links_of

        self._one(address, "viewed")
        record, _ = self._known(address)
        return [View(title="Allen Brain Atlas", url=url) for url in links_of(record)]

    # --- fetch and open ---------------------------------------------------------------------------

    def job(self, address: Address, to: Path, options: Options) -> Job:
        """Return the job that fetches section images; offline by the manifest there."""
        from openallen.sources.sections.package import SectionsJob
        from openallen.sources.sections.search import describe

        self._one(address, "fetched")
        options.check(str(address))
        client = self.context.client
        return SectionsJob.prepare(
            client, str(address), lambda: describe(client, address.name), options, to
        )

    def written(self, report: Report, options: Options) -> dict[str, Path]:
        """Return the manifest."""
        del options
        return {"manifest": report.plan.to / _MANIFEST} if report.fetched or report.here else {}

    def open(self, address: Address, **options: Any) -> SectionSet:
        """Open section images that were fetched into the store."""
        self.no_options(options, address)
        self._one(address, "opened")
        try:
            return self._opened(self.context.folder(address))
        except NotFoundError as error:
            raise self.not_here(address, error) from error

    @classmethod
    def recognise(cls, place: Place) -> int:
        """Recognise a folder of section images, or its manifest, by the manifest."""
        if place.path is None or not (place.is_folder or place.file == _MANIFEST):
            return 0
        from openallen.sources.sections.manifest import looks_like_sections

        return SURE if looks_like_sections(place.path.parent if place.file else place.path) else 0

    def open_place(self, place: Place, **options: Any) -> SectionSet:
        """Open a folder that was fetched."""
        self.no_options(options, place.name)
        assert place.path is not None
        return self._opened(place.path.parent if place.file else place.path)

    def _opened(self, folder: Path) -> SectionSet:
        from openallen.planes.overviews import overviews_folder
        from openallen.sources.sections.read import SectionSet

        return SectionSet(folder, overviews=overviews_folder(self.context.settings.store, folder))

    # --- what is here -----------------------------------------------------------------------------

    def verify(self, folder: Path) -> Iterator[Checked]:
        """Compare every file of a folder with its manifest, wherever it was moved or copied."""
        from openallen.manifests import verified
        from openallen.sources.sections.manifest import read_manifest
        from openallen.sources.sections.package import repair_command

        folder = folder if folder.is_dir() else folder.parent
        manifest = read_manifest(folder)
        repair = repair_command(manifest, folder)
        return verified(folder, manifest.entries, _FOLDERS, address=manifest.address, repair=repair)

    def repair_job(self, folder: Path) -> Job | None:
        """Return the job that fetches what is damaged or missing, as the manifest has it."""
        from openallen.sources.sections.manifest import read_manifest
        from openallen.sources.sections.package import repair_job

        folder = folder if folder.is_dir() else folder.parent
        return repair_job(self.context.client_of(read_manifest(folder).source), folder)

    def prune(self, address: Address, *, dry_run: bool) -> Row:
        """Remove section images from the store, and the small pictures of them."""
        from openallen.planes.overviews import forget_overviews

        folder = self.context.folder(address)
        found = super().prune(address, dry_run=dry_run)
        if not dry_run:
            forget_overviews(self.context.settings.store, folder)
        return found
