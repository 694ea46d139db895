"""The plan of a set of section images: which are wanted, and the files to fetch of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final, cast

from openallen import manifests
from openallen.brainmap.client import Client
from openallen.brainmap.images import DrawingRequest, ImageRequest, ImageService, View
from openallen.brainmap.plan import IMAGE_CONNECTIONS, picture_file
from openallen.display import count_text
from openallen.errors import NotFoundError, RefusedError
from openallen.formats.svg import SvgCheck
from openallen.plans import Plan, RemoteFile, fetch_command
from openallen.sources.sections.manifest import Manifest
from openallen.sources.sections.options import Options
from openallen.sources.sections.record import Section, SectionRecord

__all__ = [
    "VIEWS",
    "drawing_request",
    "image_path",
    "image_request",
    "plan_sections",
    "sections_command",
    "selected",
    "view_path",
    "views_of",
]

VIEWS: Final = ("expression", "projection", "svg")
"""What the service has of an image beside itself; each goes to a folder of its own."""
_FAR: Final = 1.5
"""A point is off a data set where it is further from its nearest section than this many steps."""


def sections_command(record: SectionRecord, options: Options, to: Path | None) -> str:
    """Return the command that fetches a data set with these options, as typed in a shell."""
    return fetch_command(record.address, to=to, source=record.source, options=options.spelled)


def selected(
    record: SectionRecord, options: Options, shown: int | None = None
) -> tuple[list[Section], tuple[str, ...]]:
    """Return the images the options select, in the order of the sections, and notes on that.

    Parameters
    ----------
    record
        What the service says of the data set.
    options
        What is wanted.
    shown
        The image that shows the structure asked for; None where none was.

    Raises
    ------
    NotFoundError
        If they select none, or the point asked for is off the data set.
    """
    count = len(record.sections)
    positions = set(range(count)[options.planes])
    found = [
        s for n, s in enumerate(record.sections) if n in positions and _in(options.sections, s)
    ]
    if not found:
        all_ = slice(None)
        numbers = [section.plane.section_number for section in record.sections]
        raise NotFoundError(
            "no image is selected",
            address=record.address,
            why=f"there are images 0 to {count - 1}, of sections {numbers[0]} to {numbers[-1]}",
            hint=sections_command(record, replace(options, planes=all_, sections=all_), None),
        )
    whole = [section for section in found if options.failed or not section.failed]
    left = len(found) - len(whole)
    if not whole:
        raise NotFoundError(
            "every image that is selected failed quality control",
            address=record.address,
            hint=sections_command(record, replace(options, failed=True), None),
        )
    notes = [f"{count_text(left, 'image')} left out: failed quality control"] if left else []
    if shown is not None:
        whole = [section for section in whole if section.plane.id == shown]
        if not whole:
            raise NotFoundError(
                f"image {shown}, which shows the structure, is not among those selected",
                address=record.address,
            )
        notes.append(f"{options.structure} is on section {whole[0].plane.section_number}")
    if options.near is not None:
        whole, note = _near(record, whole, options)
        notes.append(note)
    return whole, tuple(notes)


def _in(wanted: slice, section: Section) -> bool:
    number = section.plane.section_number
    first = wanted.start or 0
    step = wanted.step or 1
    return (
        number >= first
        and (wanted.stop is None or number < wanted.stop)
        and (step == 1 or (number - first) % step == 0)
    )


def _near(
    record: SectionRecord, sections: Sequence[Section], options: Options
) -> tuple[list[Section], str]:
    """Return the images nearest to a point of reference space, and where it is on them."""
    assert options.near is not None
    point = tuple(float(value) for value in options.near)
    alignment = record.alignment
    aligned = [section for section in sections if section.alignment2d]
    away: list[tuple[float, float, float, Section]] = []
    for section in aligned:
        x, y, off = alignment.image(section.plane.id).from_reference(point)
        away.append((abs(float(off)), float(x), float(y), section))
    away.sort(key=lambda one: one[0])
    text = ", ".join(f"{value:g}" for value in point)
    if not away:
        raise NotFoundError("no image that is selected is aligned", address=record.address)
    distance, x, y, nearest = away[0]
    most = _step_um(record) * _FAR if options.within_um is None else options.within_um
    if distance > most:
        raise NotFoundError(
            f"no section near ({text})",
            address=record.address,
            why=f"the nearest, section {nearest.plane.section_number}, is {distance:.0f} µm away",
            hint=sections_command(record, replace(options, within_um=distance // 1 + 1), None),
        )
    inside = 0 <= x < nearest.plane.width_px and 0 <= y < nearest.plane.height_px
    note = (
        f"({text}) is {distance:.0f} µm from section {nearest.plane.section_number}, at"
        f" x {x:.0f}, y {y:.0f} px" + ("" if inside else ", outside the picture")
    )
    if options.within_um is None:
        return [nearest], note
    chosen = {s.plane.id for far, _, _, s in away if far <= options.within_um}
    return [section for section in aligned if section.plane.id in chosen], note


def _step_um(record: SectionRecord) -> float:
    """Return the largest usual distance between images of a data set, in µm."""
    numbers = sorted({section.plane.section_number for section in record.sections})
    steps = sorted(b - a for a, b in pairwise(numbers)) or [1]
    return steps[len(steps) // 2] * (record.thickness_um or 0.0)


def plan_sections(
    client: Client,
    record: SectionRecord,
    options: Options,
    to: Path,
    *,
    known: Manifest | None = None,
    shown: int | None = None,
) -> Plan:
    """Return the plan for a data set.

    Parameters
    ----------
    client
        The service it comes from.
    record
        What the service says of it.
    options
        What is wanted.
    to
        The destination folder.
    known
        The manifest already there, if any: its digests vouch for files.
    shown
        As for `selected`.

    Raises
    ------
    RefusedError
        If the folder holds another data set, or this one at another size, quality or range.
    NotFoundError
        If no image is selected, or none has what is asked for beside it.
    """
    _same(known, record, options, to)
    sections, notes = selected(record, options, shown)
    digests = manifests.digests_of(known.entries) if known else {}
    sizes = manifests.sizes_of(known.entries) if known else {}
    make = _Files(client, record, options, to)
    files = [make.picture(section) for section in sections]
    for view in views_of(options):
        having = [section for section in sections if _has(section, view)]
        if not having:
            raise _lacking(record, view)
        lacks = len(sections) - len(having)
        notes += (f"{count_text(lacks, 'image')} without {_SAID[view]}",) if lacks else ()
        files += (make.drawing(s) if view == "svg" else make.picture(s, view) for s in having)
    return Plan(
        address=record.address,
        title=record.title,
        source=client.source,
        to=to,
        files=tuple(
            replace(f, last_digest=digests.get(f.path, ""), last_bytes=sizes.get(f.path))
            for f in files
        ),
        notes=(*_told(record, sections, options), *notes, *record.notes),
        connections=IMAGE_CONNECTIONS,
        command=sections_command(record, options, to),
    )


def _told(record: SectionRecord, sections: Sequence[Section], options: Options) -> tuple[str, ...]:
    plane = sections[0].plane
    size = plane.resolution_um_per_px * (1 << options.downsample)
    found = [f"{size:g} µm/px, {len(sections)} of {count_text(len(record.sections), 'image')}"]
    if record.data_set.get("failed"):
        found.append("this data set failed quality control")
    return tuple(found)


_SAID: Final = {
    "expression": "segmented expression",
    "projection": "segmented projection",
    "svg": "structures drawn on them",
}


def _lacking(record: SectionRecord, view: str) -> NotFoundError:
    return NotFoundError(
        f"no image that is selected has {_SAID[view]}",
        address=record.address,
        hint=sections_command(record, Options(), None),
    )


def views_of(options: Options) -> list[str]:
    """Return what is wanted of images beside themselves, in the order of `VIEWS`."""
    return [view for view in VIEWS if getattr(options, view)]


def _has(section: Section, view: str) -> bool:
    if view == "svg":
        return section.annotated
    # Which images have segmented projection no row tells: all of a connectivity experiment do.
    return view == "projection" or section.has_expression


def image_path(section: Section) -> str:
    """Return the file of an image, relative to the folder of its data set."""
    return f"images/{section.plane.file_name}"


def view_path(section: Section, view: str) -> str:
    """Return the file of what the service has of an image beside itself."""
    name = section.plane.file_name
    return f"{view}/{name.removesuffix('.jpg')}.svg" if view == "svg" else f"{view}/{name}"


def image_request(
    record: SectionRecord, section: Section, options: Options, view: str = ""
) -> ImageRequest:
    """Return the request for one image, or for a view of it."""
    service: ImageService = "atlas_image" if record.is_atlas else "section_image"
    given = tuple(options.intensity_range) if options.intensity_range and not view else None
    return ImageRequest(
        image_id=section.plane.id,
        service=service,
        downsample=options.downsample or None,
        quality=options.quality,
        intensity_range=cast("tuple[int, int, int, int, int, int] | None", given),
        view=cast("View | None", view or None),
    )


def drawing_request(section: Section, options: Options) -> DrawingRequest:
    """Return the request for the structures drawn on an image."""
    return DrawingRequest(image_id=section.plane.id, downsample=options.downsample or None)


@dataclass(frozen=True)
class _Files:
    """Makes the files of a plan."""

    client: Client
    record: SectionRecord
    options: Options
    to: Path

    def _retry(self, section: Section) -> str:
        position = section.plane.position
        one = Options(
            downsample=self.options.downsample,
            quality=self.options.quality,
            intensity_range=self.options.intensity_range,
            planes=slice(position, position + 1),
            expression=self.options.expression,
            projection=self.options.projection,
            svg=self.options.svg,
            failed=section.failed,
        )
        return sections_command(self.record, one, self.to)

    def picture(self, section: Section, view: str = "") -> RemoteFile:
        """Return an image, or a view of it."""
        return picture_file(
            self.client,
            image_request(self.record, section, self.options, view),
            (section.plane.width_px, section.plane.height_px),
            view_path(section, view) if view else image_path(section),
            kind=view or "images",
            retry=self._retry(section),
        )

    def drawing(self, section: Section) -> RemoteFile:
        """Return the structures drawn on an image."""
        request = drawing_request(section, self.options)
        told = "".join(f"&{name}={text}" for name, text in request.options.items())
        return RemoteFile(
            address=f"image:{section.plane.id}?service=svg{told}",
            url=request.url(self.client.base_url),
            path=view_path(section, "svg"),
            kind="svg",
            expects=frozenset({"xml"}),
            ranges=False,
            check=SvgCheck(),
            retry=self._retry(section),
        )


def _same(known: Manifest | None, record: SectionRecord, options: Options, to: Path) -> None:
    """Check that a folder holds this data set, at this size, from this source.

    Raises
    ------
    RefusedError
        If it does not.
    """
    elsewhere = to.with_name(f"{to.name}-{record.name}")
    manifests.refuse_other(to, "sections", sections_command(record, options, elsewhere))
    if known is None:
        return
    first = known.first
    asked = (options.downsample, options.quality, _range(options.intensity_range))
    if known.address != record.address:
        why = f"it holds {known.address}"
    elif first and (first.downsample, first.quality, _range(first.intensity_range)) != asked:
        quality = "best" if first.quality is None else first.quality
        why = f"it holds this data set at downsample {first.downsample}, quality {quality}"
        if _range(first.intensity_range) is not None:
            why += f", intensity range {','.join(map(str, first.intensity_range or ()))}"
        elsewhere = to.with_name(f"{to.name}-downsample-{options.downsample}")
    elif known.source != record.source:
        why = f"it holds this data set from another source ({known.source}, not {record.source})"
        word = "archive" if "/" in record.source else record.source
        elsewhere = to.with_name(f"{to.name}-{word}")
    else:
        return
    raise RefusedError(
        "this folder holds something else",
        address=str(to),
        why=why,
        hint=sections_command(record, options, elsewhere),
    )


def _range(given: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if given is None else tuple(given)
