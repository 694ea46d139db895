"""The plan of a stack: from its facts and options to the files to fetch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from openallen.brainmap.client import Client
from openallen.brainmap.files import WellKnownFile, morphology_paths
from openallen.brainmap.images import ImageRequest
from openallen.brainmap.plan import IMAGE_CONNECTIONS, picture_file, well_known
from openallen.display import bytes_text
from openallen.errors import NotFoundError, RefusedError
from openallen.manifests import refuse_other
from openallen.planes.selection import planes_text
from openallen.plans import Plan, RemoteFile, fetch_command
from openallen.sources.stacks.manifest import Manifest
from openallen.sources.stacks.models import Plane, Projection, StackFacts
from openallen.sources.stacks.options import Options

__all__ = [
    "morphology_files",
    "plan_stack",
    "planes_text",
    "selected",
    "stack_command",
]


def selected(facts: StackFacts, options: Options) -> list[Plane]:
    """Return the planes the options select, in the order of the stack.

    Raises
    ------
    NotFoundError
        If the slice selects none.
    """
    planes = sorted(facts.planes[options.planes], key=lambda plane: plane.position)
    if not planes:
        raise NotFoundError(
            "no plane is selected",
            address=f"stack:{facts.specimen_id}",
            why=f"the stack has planes 0 to {len(facts.planes) - 1}",
            hint=f"openallen fetch stack:{facts.specimen_id} --planes 0:{len(facts.planes)}",
        )
    return planes


def plan_stack(
    client: Client, facts: StackFacts, options: Options, to: Path, known: Manifest | None = None
) -> Plan:
    """Return the plan for a stack.

    Parameters
    ----------
    client
        The service it comes from.
    facts
        The facts of the stack.
    options
        The parts to fetch.
    to
        The destination folder.
    known
        The manifest already there, if any: its digests vouch for files.

    Raises
    ------
    RefusedError
        If the folder holds another stack, or this one at another size or quality.
    NotFoundError
        If no plane is selected.
    """
    _same(known, facts, options, to)
    digests = known.digests() if known else {}
    command = stack_command(facts.specimen_id, options, to, client.source)
    alone = replace(options, planes=slice(None), projections=False, morphology=False)
    one = stack_command(facts.specimen_id, alone, to, client.source)
    wanted = selected(facts, options)
    files = [_plane_file(client, plane, options, digests, one) for plane in wanted]
    if options.projections:
        files += (_projection_file(client, p, options, digests, command) for p in facts.projections)
    if options.morphology:
        files += (
            well_known(
                client,
                file,
                path,
                kind="morphology",
                retry=command,
                last_digest=digests.get(path, ""),
            )
            for file, path in morphology_files(facts)
        )
    sizes = known.sizes() if known else {}
    return Plan(
        address=f"stack:{facts.specimen_id}",
        title=f"Image stack of specimen {facts.specimen_id}",
        source=client.source,
        to=to,
        files=tuple(replace(f, last_bytes=sizes.get(f.path)) for f in files),
        notes=(_resolution(facts, options, len(wanted)), *facts.notes),
        connections=IMAGE_CONNECTIONS,
        command=command,
    )


def stack_command(specimen_id: int, options: Options, to: Path, source: str = "live") -> str:
    """Return the command that fetches a stack with these options, as typed in a shell."""
    return fetch_command(f"stack:{specimen_id}", to=to, source=source, options=_spelled(options))


def _same(known: Manifest | None, facts: StackFacts, options: Options, to: Path) -> None:
    stack, elsewhere = facts.specimen_id, to.with_name(f"{to.name}-{facts.specimen_id}")
    refuse_other(to, "stack", stack_command(stack, options, elsewhere, facts.source))
    if known is None:
        return
    if known.specimen_id != facts.specimen_id:
        why = f"it holds stack:{known.specimen_id}"
    elif {(p.downsample, p.quality) for p in known.planes if p.path} - {
        (options.downsample, options.quality)
    }:
        first = next(p for p in known.planes if p.path)
        quality = "best" if first.quality is None else first.quality
        why = f"it holds this stack at downsample {first.downsample}, quality {quality}"
        elsewhere = to.with_name(f"{to.name}-downsample-{options.downsample}")
    elif known.source != facts.source:
        why = f"it holds this stack from another source ({known.source}, not {facts.source})"
        elsewhere = to.with_name(f"{to.name}-{_word(facts.source)}")
    else:
        return
    raise RefusedError(
        "this folder holds something else",
        address=str(to),
        why=why,
        hint=stack_command(stack, options, elsewhere, facts.source),
    )


def _word(source: str) -> str:
    return "archive" if "/" in source else source


def _spelled(options: Options) -> str:
    """Return options as the command line takes them; defaults are left out."""
    parts = [f"--downsample {options.downsample}"] if options.downsample else []
    parts += [f"--quality {options.quality}"] if options.quality is not None else []
    planes = planes_text(options.planes)
    parts += [f"--planes={planes}"] if planes != ":" else []
    parts += [] if options.projections else ["--no-projections"]
    parts += [] if options.morphology else ["--no-morphology"]
    return " ".join(parts)


def _resolution(facts: StackFacts, options: Options, planes: int) -> str:
    size = facts.resolution_um_per_px * (1 << options.downsample)
    raw = (facts.raw_bytes >> (2 * options.downsample)) * planes // len(facts.planes)
    return f"{size:g} µm/px, planes {facts.z_step.um:g} µm apart; {bytes_text(raw)} when decoded"


def _plane_file(
    client: Client, plane: Plane, options: Options, digests: Mapping[str, str], command: str
) -> RemoteFile:
    path = f"planes/{plane.file_name}"
    return picture_file(
        client,
        plane_request(plane, options),
        (plane.width_px, plane.height_px),
        path,
        kind="planes",
        retry=f"{command} --planes {plane.position}",
        last_digest=digests.get(path, ""),
    )


def plane_request(plane: Plane, options: Options) -> ImageRequest:
    """Return the request for one plane."""
    return ImageRequest(
        image_id=plane.id, downsample=options.downsample or None, quality=options.quality
    )


def projection_request(projection: Projection, options: Options) -> ImageRequest:
    """Return the request for one projection."""
    return ImageRequest(
        image_id=projection.id,
        service="projection_image",
        downsample=options.downsample or None,
        quality=options.quality,
    )


def projection_path(projection: Projection) -> str:
    """Return the file name of a projection, relative to the folder of the stack."""
    return f"projections/{projection.function}_{projection.axes}.jpg"


def _projection_file(
    client: Client,
    projection: Projection,
    options: Options,
    digests: Mapping[str, str],
    command: str,
) -> RemoteFile:
    path = projection_path(projection)
    return picture_file(
        client,
        projection_request(projection, options),
        (projection.width_px, projection.height_px),
        path,
        kind="projections",
        retry=command,
        address=_image_address(projection.id, options),
        last_digest=digests.get(path, ""),
    )


def _image_address(image_id: int, options: Options) -> str:
    given = [f"downsample={options.downsample}"] if options.downsample else []
    given += [f"quality={options.quality}"] if options.quality is not None else []
    return f"image:{image_id}" + (f"?{'&'.join(given)}" if given else "")


def morphology_files(facts: StackFacts) -> list[tuple[WellKnownFile, str]]:
    """Return reconstruction, marker and thumbnail files with their paths, chosen by type."""
    return morphology_paths(reconstruction.files for reconstruction in facts.reconstructions)
