"""Packaging a stack: the plan run, and the manifest written from what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openallen.brainmap.client import LIVE_URL, Client
from openallen.brainmap.files import WellKnownFile
from openallen.brainmap.parser import parse
from openallen.errors import IntegrityError, NotFoundError
from openallen.formats.jpeg import inspect
from openallen.plans import Outcome, Plan, Report
from openallen.sources.stacks.manifest import (
    Entry,
    FileEntry,
    Manifest,
    PlaneCount,
    PlaneEntry,
    ProjectionEntry,
    QueryEntry,
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
)
from openallen.sources.stacks.read import ImageStack
from openallen.transfer import Interrupted
from openallen.transfer.job import Means
from openallen.version import __version__

__all__ = ["StackJob"]


@dataclass(frozen=True)
class StackJob:
    """One stack to be packaged.

    Parameters
    ----------
    plan
        What it takes.
    facts
        What is known of the stack.
    options
        What of it is wanted.
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

    def run(self, means: Means) -> Report:
        """Fetch, then write the manifest of all that is here, also when something failed.

        Raises
        ------
        Interrupted
            On Ctrl-C; the manifest is written first.
        """
        try:
            report = means.run(self.plan)
        except Interrupted as interrupted:
            self._write(interrupted.report)
            raise
        self._write(report)
        return report

    def result(self) -> ImageStack:
        """Open the packaged stack."""
        return ImageStack(self.plan.to)

    def _write(self, report: Report) -> None:
        if report.fetched or report.here:
            draft = _Draft(self, report, _known(self.plan.to))
            write_manifest(draft.manifest(), self.plan.to)


def _known(to: Path) -> Manifest | None:
    try:
        return read_manifest(to)
    except NotFoundError:
        return None
    except IntegrityError:
        return None  # a damaged manifest vouches for nothing; it is written anew


class _Draft:
    """A manifest being put together."""

    def __init__(self, job: StackJob, report: Report, known: Manifest | None) -> None:
        self._job = job
        self._facts = job.facts
        self._to = job.plan.to
        self._came = {o.file.path: o for o in (*report.fetched, *report.here)}
        entries: tuple[Entry, ...] = (
            (*known.planes, *known.projections, *known.morphology) if known else ()
        )
        self._known = {e.path: e for e in entries if e.path}

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

    def _here(self, path: str) -> dict[str, Any]:
        """Give what every entry has of a file that is here; nothing for one that is not."""
        outcome, known = self._came.get(path), self._known.get(path)
        if outcome is None:
            # Not part of this run: what an earlier one fetched stays, while it is there.
            if known is None or not (self._to / path).exists():
                return {}
            names = ("path", "size_bytes", "sha256", "fetched_at", "simulated")
            return {name: getattr(known, name) for name in names}
        sha256 = outcome.digest.removeprefix("sha256:")
        same = known is not None and known.sha256 == sha256
        return {
            "path": path,
            "size_bytes": outcome.size_bytes,
            "sha256": sha256,
            "fetched_at": known.fetched_at if same and known else outcome.fetched_at,
            "simulated": self._is_simulated(outcome, known if same else None),
        }

    def _is_simulated(self, outcome: Outcome, known: Entry | None) -> bool:
        if outcome.status == "fetched":
            return outcome.facts.get("simulated") is True
        return known.simulated if known is not None else self._job.simulated

    def _size(self, path: str, here: Mapping[str, Any]) -> dict[str, Any]:
        if not here:
            return {}
        facts = self._came[path].facts if path in self._came else {}
        if "width_px" in facts:
            return {"file_width_px": facts["width_px"], "file_height_px": facts["height_px"]}
        known = self._known.get(path)
        if isinstance(known, PlaneEntry) and known.file_width_px and known.file_height_px:
            return {"file_width_px": known.file_width_px, "file_height_px": known.file_height_px}
        told = inspect((self._to / path).read_bytes())
        return {"file_width_px": told.width_px, "file_height_px": told.height_px}

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
