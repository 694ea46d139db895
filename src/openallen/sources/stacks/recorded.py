"""What the manifest of a packaged stack is enough for: its facts, its options, verifying it.

None of this needs a network or an index: a folder that was moved or copied is verified as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from openallen.brainmap.files import WellKnownFile
from openallen.manifests import verified
from openallen.sources.stacks.manifest import Manifest, PlaneEntry, read_manifest
from openallen.sources.stacks.models import Plane, Projection, Reconstruction, StackFacts, ZStep
from openallen.sources.stacks.options import Options
from openallen.sources.stacks.plan import stack_command
from openallen.store.checked import Checked

__all__ = ["facts_of", "options_of", "repair_command", "verify_stack"]

_FOLDERS = ("planes", "projections", "morphology")


def facts_of(manifest: Manifest) -> StackFacts:
    """Return the facts of a stack that its manifest records."""
    files = [
        WellKnownFile(
            id=f.id,
            type_id=f.type_id,
            type_name=f.type,
            path=f.server_path,
            attached_to=f.reconstruction_id or None,
        )
        for f in manifest.morphology
    ]
    return StackFacts(
        specimen_id=manifest.specimen_id,
        specimen=dict(manifest.specimen),
        data_set_id=manifest.data_set_id,
        planes=_planes(manifest.planes),
        planes_expected=manifest.plane_count.expected,
        projections=tuple(
            Projection(
                id=p.id,
                function=p.function,
                axes=p.axes,
                width_px=p.width_px,
                height_px=p.height_px,
                resolution_um_per_px=p.resolution_um_per_px,
                server_path=p.server_path,
            )
            for p in manifest.projections
        ),
        reconstructions=tuple(
            Reconstruction(
                id=r.id,
                kind=r.kind,
                scale_factor_z_um=None,
                files=tuple(f for f in files if f.attached_to == r.id),
            )
            for r in manifest.reconstructions
        ),
        z_step=ZStep(manifest.z_step.um, manifest.z_step.source),
        queries={q.wanted: q.rma for q in manifest.queries},
        source=manifest.source,
        notes=manifest.notes,
    )


def _planes(entries: Sequence[PlaneEntry]) -> tuple[Plane, ...]:
    found: list[Plane] = []
    for entry in sorted(entries, key=lambda e: e.position):
        again = bool(found) and found[-1].section_number == entry.section_number
        number = f"{entry.section_number:04}"
        found.append(
            Plane(
                id=entry.id,
                position=entry.position,
                section_number=entry.section_number,
                file_name=f"{number}_{entry.id}.jpg" if again else f"{number}.jpg",
                z_um=entry.z_um,
                width_px=entry.width_px,
                height_px=entry.height_px,
                x_px=entry.x_px,
                y_px=entry.y_px,
                resolution_um_per_px=entry.resolution_um_per_px,
                tier_count=entry.tier_count,
                server_path=entry.server_path,
            )
        )
    return tuple(found)


def options_of(manifest: Manifest) -> Options:
    """Return the options a stack was fetched with, as far as its files tell.

    The planes are a slice that holds all that are here; where they are not evenly spaced, it holds
    more.
    """
    positions = [plane.position for plane in manifest.planes if plane.path]
    return Options(
        downsample=manifest.downsample,
        quality=manifest.quality,
        planes=_slice_of(positions, len(manifest.planes)),
        projections=any(p.path for p in manifest.projections),
        morphology=any(f.path for f in manifest.morphology),
    )


def _slice_of(positions: Sequence[int], count: int) -> slice:
    if not positions or len(positions) == count:
        return slice(None)
    first, last = min(positions), max(positions)
    steps = {b - a for a, b in zip(sorted(positions), sorted(positions)[1:], strict=False)}
    return slice(first, last + 1, steps.pop() if len(steps) == 1 and steps != {1} else None)


def repair_command(folder: Path) -> str:
    """Return the command that repairs the stack packaged in a folder, as typed in a shell.

    Raises
    ------
    NotFoundError
        If there is no stack in the folder.
    CorruptError
        If its manifest cannot be read.
    """
    manifest = read_manifest(folder)
    return stack_command(
        manifest.specimen_id, options_of(manifest), folder.absolute(), manifest.source
    )


def verify_stack(folder: Path) -> Iterator[Checked]:
    """Read every file of a packaged stack through, and compare it with the manifest.

    Works offline, and for folders that were moved or copied.

    Parameters
    ----------
    folder
        The folder of the stack.

    Returns
    -------
    iterator of Checked
        One for each file the manifest records, in its order: ``intact``, ``damaged`` (another
        size or SHA-256), ``missing`` or ``unreadable``; then the other files in the stack's own
        folders as ``unknown``.

    Raises
    ------
    NotFoundError
        If there is no stack in the folder.
    CorruptError
        If its manifest cannot be read.
    IntegrityError
        If the manifest names a file outside the folder.
    """
    manifest = read_manifest(folder)
    repair = repair_command(folder)
    return verified(folder, manifest.entries, _FOLDERS, address=manifest.address, repair=repair)
