"""Fetching section images: the job, and the manifest written from its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openallen import manifests
from openallen.brainmap.client import LIVE_URL, Client
from openallen.brainmap.parser import parse
from openallen.brainmap.synchronisation import image_of_structure, structure_id
from openallen.errors import OfflineError, UnreachableError, UsageError
from openallen.formats.jpeg import inspect
from openallen.manifests import Arrived, QueryEntry
from openallen.plans import Plan, Report
from openallen.sources.sections.manifest import (
    DrawnEntry,
    ImageEntry,
    Manifest,
    known_manifest,
    read_manifest,
    record_of,
)
from openallen.sources.sections.options import Options
from openallen.sources.sections.plan import (
    VIEWS,
    drawing_request,
    image_path,
    image_request,
    plan_sections,
    sections_command,
    view_path,
    views_of,
)
from openallen.sources.sections.record import CITATION, TERMS, Section, SectionRecord
from openallen.transfer.job import Means
from openallen.version import __version__

if TYPE_CHECKING:
    from openallen.sources.sections.read import SectionSet

__all__ = ["SectionsJob", "repair_command", "repair_job"]


@dataclass(frozen=True)
class SectionsJob:
    """A set of section images to be fetched.

    Parameters
    ----------
    plan
        What it takes.
    record
        What the service says of it.
    options
        What is wanted of it.
    simulated
        Whether the source says that it draws pixels itself.
    """

    plan: Plan
    record: SectionRecord
    options: Options
    simulated: bool = False

    @classmethod
    def of(cls, client: Client, record: SectionRecord, options: Options, to: Path) -> SectionsJob:
        """Plan a data set into a folder.

        Raises
        ------
        NotFoundError
            If no image is selected, or none has what is asked for beside it.
        RefusedError
            If the folder holds something else.
        """
        shown = None
        if options.structure is not None:
            if record.is_atlas:
                raise UsageError(
                    "plates are not chosen by structure",
                    address=record.address,
                    hint=sections_command(record, Options(svg=True), to),
                )
            number = structure_id(client, options.structure)
            shown = image_of_structure(client, int(record.name), number)
        plan = plan_sections(client, record, options, to, known=known_manifest(to), shown=shown)
        return cls(plan, record, options, client.simulated)

    @classmethod
    def prepare(
        cls,
        client: Client,
        address: str,
        ask: Callable[[], SectionRecord],
        options: Options,
        to: Path,
    ) -> SectionsJob:
        """Plan a data set: by the rows of the service, offline by the manifest in the folder.

        Parameters
        ----------
        client
            The service.
        address
            What names the data set.
        ask
            Asks the service for its rows.
        options
            What is wanted.
        to
            The folder.

        Raises
        ------
        NotFoundError
            If there is no such data set, it has no images, or none of those wanted.
        RefusedError
            If the folder holds something else.
        OfflineError, UnreachableError
            If the service cannot be asked, and the folder does not hold what is asked for.
        """
        if client.http.reaches(client.base_url):
            try:
                return cls.of(client, ask(), options, to)
            except (OfflineError, UnreachableError):
                recorded = cls.from_manifest(client, to, options, address)
                if recorded is None:
                    raise
                return recorded
        recorded = cls.from_manifest(client, to, options, address)
        if recorded is not None:
            return recorded
        named = SectionRecord(
            name=address.partition(":")[2], data_set={}, images=(), source=client.source
        )
        raise OfflineError(
            "not here, and offline mode is on",
            address=address,
            why=f"{to} does not hold all of it" if known_manifest(to) else "",
            hint=sections_command(named, options, to),
        )

    @classmethod
    def from_manifest(
        cls, client: Client, folder: Path, options: Options, address: str
    ) -> SectionsJob | None:
        """Plan a data set by the manifest in its folder, without asking the service.

        Returns
        -------
        SectionsJob or None
            None if there is no readable manifest, it is of another data set, or it lacks a file
            that the options ask for.
        """
        known = known_manifest(folder)
        if known is None or known.address != address or options.structure is not None:
            return None
        record = replace(record_of(known), source=client.source)
        plan = plan_sections(client, record, options, folder, known=known)
        recorded = manifests.digests_of(known.entries)
        if any(file.path not in recorded for file in plan.files):
            return None
        return cls(plan, record_of(known), options, known.simulated)

    def run(self, means: Means) -> Report:
        """Fetch, then write the manifest of all that is here, also when something failed.

        Raises
        ------
        Interrupted
            On Ctrl-C; the manifest is written first.
        """
        return manifests.run(self.plan, means, self._manifest)

    def result(self) -> SectionSet:
        """Open the images that were fetched."""
        from openallen.sources.sections.read import SectionSet

        return SectionSet(self.plan.to)

    def _manifest(self, report: Report) -> Manifest:
        known = known_manifest(self.plan.to)
        before = known.entries if known else ()
        arrived = Arrived(self.plan.to, report, before, simulated=self.simulated)
        record = self.record
        images = tuple(self._image(section, arrived) for section in record.sections)
        views = {*views_of(self.options), *(known.views() if known else ())}
        drawn = tuple(
            self._view(section, view, arrived)
            for view in VIEWS
            if view in views
            for section in record.sections
            if arrived.here(view_path(section, view))
        )
        return Manifest(
            address=record.address,
            made_by=f"openallen {__version__}",
            source=record.source,
            simulated=any(entry.simulated for entry in (*images, *drawn)),
            notes=record.notes,
            data_set=dict(record.data_set),
            section_thickness_um=record.thickness_um,
            citation=CITATION,
            terms=TERMS,
            queries=tuple(
                QueryEntry(wanted=name, rma=rma, url=parse(rma).url(LIVE_URL))
                for name, rma in record.queries.items()
            ),
            images=images,
            drawn=drawn,
        )

    def _image(self, section: Section, arrived: Arrived) -> ImageEntry:
        plane, options, path = section.plane, self.options, image_path(section)
        here = arrived.here(path)
        return ImageEntry(
            id=plane.id,
            position=plane.position,
            section_number=plane.section_number,
            z_um=self.record.z_um(section),
            width_px=plane.width_px,
            height_px=plane.height_px,
            x_px=plane.x_px,
            y_px=plane.y_px,
            resolution_um_per_px=plane.resolution_um_per_px,
            tier_count=plane.tier_count,
            server_path=plane.server_path,
            image_type=section.row.get("image_type"),
            failed=section.failed,
            annotated=section.annotated,
            expression_path=section.row.get("expression_path"),
            alignment2d=section.alignment2d,
            downsample=options.downsample,
            quality=options.quality,
            intensity_range=tuple(options.intensity_range) if options.intensity_range else None,
            url=image_request(self.record, section, options).url(LIVE_URL),
            **here,
            **(self._size(path, arrived) if here else {}),
        )

    def _size(self, path: str, arrived: Arrived) -> dict[str, Any]:
        came = arrived.came.get(path)
        facts = came.facts if came is not None else {}
        if "width_px" in facts:
            return {"file_width_px": facts["width_px"], "file_height_px": facts["height_px"]}
        known = arrived.known.get(path)
        if isinstance(known, ImageEntry) and known.file_width_px and known.file_height_px:
            return {"file_width_px": known.file_width_px, "file_height_px": known.file_height_px}
        found = inspect((self.plan.to / path).read_bytes())
        return {"file_width_px": found.width_px, "file_height_px": found.height_px}

    def _view(self, section: Section, view: str, arrived: Arrived) -> DrawnEntry:
        if view == "svg":
            url = drawing_request(section, self.options).url(LIVE_URL)
        else:
            url = image_request(self.record, section, self.options, view).url(LIVE_URL)
        return DrawnEntry(
            image_id=section.plane.id,
            view=view,
            section_number=section.plane.section_number,
            url=url,
            **arrived.here(view_path(section, view)),
        )


def _fetched(known: Manifest) -> Options:
    """Return options that ask for all that a manifest has, and maybe for more."""
    first, views = known.first, known.views()
    positions = [image.position for image in known.images if image.path]
    one = slice(min(positions), max(positions) + 1) if positions else slice(None)
    return Options(
        downsample=first.downsample if first else 0,
        quality=first.quality if first else None,
        intensity_range=first.intensity_range if first else None,
        planes=slice(None) if len(positions) == len(known.images) else one,
        failed=any(image.failed for image in known.images if image.path),
        expression="expression" in views,
        projection="projection" in views,
        svg="svg" in views,
    )


def repair_command(manifest: Manifest, folder: Path) -> str:
    """Return the command that fetches what is damaged or missing of a set in a folder."""
    return sections_command(record_of(manifest), _fetched(manifest), folder.absolute())


def repair_job(client: Client, folder: Path) -> SectionsJob:
    """Return the job that fetches damaged and missing files again, as the manifest has them.

    Raises
    ------
    NotFoundError
        If there are no section images in the folder.
    CorruptError
        If its manifest cannot be read.
    """
    known = read_manifest(folder)
    record, options = record_of(known), _fetched(known)
    asked = replace(record, source=client.source)
    plan = plan_sections(client, asked, options, folder, known=known)
    recorded = manifests.digests_of(known.entries)
    files = tuple(file for file in plan.files if file.path in recorded)
    return SectionsJob(replace(plan, files=files), record, options, known.simulated)
