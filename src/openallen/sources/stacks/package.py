"""Packaging a stack: running its plan, and writing the manifest from the result."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from openallen.brainmap.client import LIVE_URL, Client
from openallen.brainmap.files import WellKnownFile
from openallen.brainmap.parser import parse
from openallen.errors import (
    IntegrityError,
    NotFoundError,
    OfflineError,
    SpaceError,
    StoreError,
    UnreachableError,
)
from openallen.formats.jpeg import JpegCheck, inspect
from openallen.manifests import Arrived, QueryEntry
from openallen.planes.overviews import KeepOverview, overviews_folder, plane_key, tidy
from openallen.plans import Plan, RemoteFile, Report
from openallen.sources.stacks.coming import Coming
from openallen.sources.stacks.manifest import (
    Entry,
    FileEntry,
    Manifest,
    PlaneCount,
    PlaneEntry,
    ProjectionEntry,
    ReconstructionEntry,
    ZStepEntry,
    read_manifest,
    write_manifest,
)
from openallen.sources.stacks.models import CITATION, TERMS, Plane, Projection, StackFacts
from openallen.sources.stacks.options import Options
from openallen.sources.stacks.plan import (
    morphology_files,
    plan_stack,
    plane_request,
    projection_path,
    projection_request,
    stack_command,
)
from openallen.sources.stacks.read import ImageStack
from openallen.sources.stacks.recorded import facts_of, options_of
from openallen.sources.stacks.search import describe
from openallen.transfer import Interrupted
from openallen.transfer.job import Means
from openallen.version import __version__

__all__ = ["StackJob", "repair_job"]

_LOG = logging.getLogger("openallen.store")


@dataclass(frozen=True)
class StackJob:
    """One stack to be packaged.

    Parameters
    ----------
    plan
        What it takes.
    facts
        The facts of the stack.
    options
        The parts to fetch.
    simulated
        Whether the source says that it draws pixels itself.
    """

    plan: Plan
    facts: StackFacts
    options: Options
    simulated: bool = False

    @classmethod
    def of(cls, client: Client, facts: StackFacts, options: Options, to: Path) -> StackJob:
        """Plan a stack into a folder.

        Raises
        ------
        RefusedError
            If the folder holds something else.
        """
        plan = plan_stack(client, facts, options, to, _known(to))
        return cls(plan, facts, options, client.simulated)

    @classmethod
    def prepare(cls, client: Client, specimen_id: int, options: Options, to: Path) -> StackJob:
        """Plan a stack into a folder: by the facts of the service, offline by the manifest there.

        Raises
        ------
        NotFoundError
            If there is no such stack.
        RefusedError
            If the folder holds something else.
        OfflineError
            Without a network, if the manifest does not cover what is asked for.
        UnreachableError
            If the service cannot be reached, and the manifest does not cover what is asked for.
        """
        if client.http.reaches(client.base_url):
            try:
                return cls.of(client, describe(client, specimen_id), options, to)
            except (OfflineError, UnreachableError):
                recorded = cls.from_manifest(client, to, options, specimen_id)
                if recorded is None:
                    raise
                return recorded
        recorded = cls.from_manifest(client, to, options, specimen_id)
        if recorded is not None:
            return recorded
        command = stack_command(specimen_id, options, to, client.source)
        raise OfflineError(
            "not here, and offline mode is on",
            address=f"stack:{specimen_id}",
            why=f"{to} does not hold all of it" if _known(to) else "",
            hint=command,
        )

    @classmethod
    def from_manifest(
        cls, client: Client, folder: Path, options: Options, specimen_id: int | None = None
    ) -> StackJob | None:
        """Plan a stack by the manifest in its folder, without asking the service.

        Parameters
        ----------
        client
            The service that damaged files would come from; no request is sent to it here.
        folder
            The folder of the stack.
        options
            The parts to fetch.
        specimen_id
            The cell; that of the manifest where None.

        Returns
        -------
        StackJob or None
            A job whose files are all in the manifest; None if there is no readable manifest, it is
            of another cell, or it lacks a file that the options ask for.

        Raises
        ------
        RefusedError
            If the folder holds the stack at another size or quality, or from another source.
        NotFoundError
            If no plane is selected.
        """
        known = _known(folder)
        if known is None or specimen_id not in {None, known.specimen_id}:
            return None
        facts = facts_of(known)
        asked = replace(facts, source=client.source)
        plan = plan_stack(client, asked, options, folder, known)
        recorded = known.digests()
        if not known.covers(options.projections, options.morphology) or any(
            f.path not in recorded for f in plan.files
        ):
            return None
        return cls(plan, facts, options, known.simulated)

    def run(self, means: Means) -> Report:
        """Fetch, then write the manifest of all that is here, also when something failed.

        Raises
        ------
        Interrupted
            On Ctrl-C; the manifest is written first.
        """
        to = self.plan.to
        nothing = Report(plan=self.plan, outcomes=())
        coming = Coming(to, lambda: _Draft(self, nothing, _known(to)).manifest())
        overviews = overviews_folder(means.index.root, to)
        try:
            report = means.run(self._watched(coming, overviews))
        except Interrupted as interrupted:
            self._write(interrupted.report)
            coming.done()
            raise
        self._write(report)
        coming.done()
        if report.fetched:
            tidy(overviews, _keys(to))
        return report

    def _watched(self, coming: Coming, overviews: Path) -> Plan:
        """Return the plan with checks that keep what they decode of planes."""
        places = {f"planes/{plane.file_name}": plane.position for plane in self.facts.planes}

        def watched(file: RemoteFile) -> RemoteFile:
            if file.path not in places or not isinstance(file.check, JpegCheck):
                return file
            keeper = KeepOverview(overviews, places[file.path], coming.arrived)
            return replace(file, check=replace(file.check, keeper=keeper))

        return replace(self.plan, files=tuple(map(watched, self.plan.files)))

    def result(self) -> ImageStack:
        """Open the packaged stack."""
        return ImageStack(self.plan.to)

    def _write(self, report: Report) -> None:
        if not (report.fetched or report.here):
            return
        draft = _Draft(self, report, _known(self.plan.to))
        try:
            write_manifest(draft.manifest(), self.plan.to)
        except (StoreError, SpaceError) as error:
            if report.fetched:
                raise
            _LOG.warning("the manifest is left as it is: %s", error)  # a read-only folder


def repair_job(client: Client, folder: Path) -> StackJob:
    """Return the job that fetches damaged and missing files of a packaged stack again.

    Size, quality, planes and other parts are those of its manifest. `client` has to be of the
    manifest's source: see `openallen.sources.stacks.recorded.repair_command`.

    Raises
    ------
    NotFoundError
        If there is no stack in the folder.
    CorruptError
        If its manifest cannot be read.
    RefusedError
        If it is from another source than the client's.
    """
    known = read_manifest(folder)
    options, facts = options_of(known), facts_of(known)
    plan = plan_stack(client, replace(facts, source=client.source), options, folder, known)
    recorded = known.digests()
    files = tuple(f for f in plan.files if f.path in recorded)
    return StackJob(replace(plan, files=files), facts, options, known.simulated)


def _known(to: Path) -> Manifest | None:
    try:
        return read_manifest(to)
    except NotFoundError:
        return None
    except IntegrityError:
        return None  # a damaged manifest vouches for nothing; it is replaced


def _keys(to: Path) -> list[str]:
    """Return the keys of the planes that are here."""
    known = _known(to)
    planes = known.planes if known else ()
    return [plane_key(p.position, p.sha256) for p in planes if p.path and p.sha256]


class _Draft:
    """A manifest being put together."""

    def __init__(self, job: StackJob, report: Report, known: Manifest | None) -> None:
        self._job = job
        self._facts = job.facts
        self._to = job.plan.to
        entries = known.entries if known else ()
        self._arrived = Arrived(self._to, report, entries, simulated=job.simulated)
        self._here = self._arrived.here

    def manifest(self) -> Manifest:
        facts = self._facts
        planes = tuple(self._plane(plane) for plane in facts.planes)
        projections = tuple(self._projection(p) for p in facts.projections)
        morphology = tuple(self._file(file, path) for file, path in morphology_files(facts))
        everything: tuple[Entry, ...] = (*planes, *projections, *morphology)
        return Manifest(
            address=f"stack:{facts.specimen_id}",
            made_by=f"openallen {__version__}",
            source=facts.source,
            simulated=any(entry.simulated for entry in everything),
            notes=facts.notes,
            specimen_id=facts.specimen_id,
            specimen=dict(facts.specimen),
            data_set_id=facts.data_set_id,
            resolution_um_per_px=facts.resolution_um_per_px,
            z_step=ZStepEntry(um=facts.z_step.um, source=facts.z_step.source),
            plane_count=PlaneCount(
                expected=facts.planes_expected,
                listed=len(planes),
                received=sum(plane.path is not None for plane in planes),
            ),
            citation=CITATION,
            terms=TERMS,
            queries=tuple(
                QueryEntry(wanted=name, rma=rma, url=parse(rma).url(LIVE_URL))
                for name, rma in facts.queries.items()
            ),
            planes=planes,
            projections=projections,
            reconstructions=tuple(
                ReconstructionEntry(id=r.id, kind=r.kind) for r in facts.reconstructions
            ),
            morphology=morphology,
        )

    def _size(self, path: str, here: Mapping[str, Any]) -> dict[str, Any]:
        if not here:
            return {}
        came = self._arrived.came.get(path)
        facts = came.facts if came is not None else {}
        if "width_px" in facts:
            return {"file_width_px": facts["width_px"], "file_height_px": facts["height_px"]}
        known = self._arrived.known.get(path)
        if isinstance(known, PlaneEntry) and known.file_width_px and known.file_height_px:
            return {"file_width_px": known.file_width_px, "file_height_px": known.file_height_px}
        found = inspect((self._to / path).read_bytes())
        return {"file_width_px": found.width_px, "file_height_px": found.height_px}

    def _plane(self, plane: Plane) -> PlaneEntry:
        path = f"planes/{plane.file_name}"
        here = self._here(path)
        return PlaneEntry(
            id=plane.id,
            position=plane.position,
            section_number=plane.section_number,
            z_um=plane.z_um,
            width_px=plane.width_px,
            height_px=plane.height_px,
            x_px=plane.x_px,
            y_px=plane.y_px,
            resolution_um_per_px=plane.resolution_um_per_px,
            tier_count=plane.tier_count,
            server_path=plane.server_path,
            downsample=self._job.options.downsample,
            quality=self._job.options.quality,
            url=plane_request(plane, self._job.options).url(LIVE_URL),
            **here,
            **self._size(path, here),
        )

    def _projection(self, projection: Projection) -> ProjectionEntry:
        return ProjectionEntry(
            id=projection.id,
            function=projection.function,
            axes=projection.axes,
            width_px=projection.width_px,
            height_px=projection.height_px,
            resolution_um_per_px=projection.resolution_um_per_px,
            server_path=projection.server_path,
            downsample=self._job.options.downsample,
            url=projection_request(projection, self._job.options).url(LIVE_URL),
            **self._here(projection_path(projection)),
        )

    def _file(self, file: WellKnownFile, path: str) -> FileEntry:
        return FileEntry(
            id=file.id,
            type_id=file.type_id,
            type=file.type_name,
            server_path=file.path,
            reconstruction_id=file.attached_to or 0,
            url=file.url(LIVE_URL),
            **self._here(path),
        )
