"""What a packaged stack looks like: its planes, and the reconstruction in their frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openallen.errors import NotFoundError, StoreError
from openallen.visuals import CellVisual, PlaneKey, StackVisual, Visual

if TYPE_CHECKING:
    from openallen.sources.stacks.manifest import PlaneEntry
    from openallen.sources.stacks.read import ImageStack

__all__ = ["visuals_of_stack"]

_KIND = "3DNeuronReconstruction"


def visuals_of_stack(stack: ImageStack) -> tuple[Visual, ...]:
    """Return the views of a stack: none of what is not here.

    Parameters
    ----------
    stack
        The stack.
    """
    cell = _cell(stack)
    planes = _planes(stack, cell)
    return tuple(v for v in (planes, cell) if v is not None)


def _planes(stack: ImageStack, cell: CellVisual | None) -> StackVisual | None:
    here = list(stack.planes)
    if not here:
        return None
    first = here[0].entry
    um = stack.resolution_um_per_px
    by_position = {image.entry.position: image for image in here}
    return StackVisual(
        name="planes",
        title="Planes",
        width_px=first.file_width_px or first.width_px,
        height_px=first.file_height_px or first.height_px,
        pixel_um=(um, um),
        planes=lambda: [_key(e, e.position in by_position) for e in stack.manifest.planes],
        jpeg=lambda position: by_position[position].jpeg(),
        cell=cell.name if cell else None,
        simulated=stack.manifest.simulated,
        overviews=stack.folder / "overviews",
    )


def _key(entry: PlaneEntry, here: bool) -> PlaneKey:
    key = f"{entry.position}-{(entry.sha256 or '')[:16]}" if here else None
    return PlaneKey(label=f"section {entry.section_number}", z_um=entry.z_um, key=key)


def _cell(stack: ImageStack) -> CellVisual | None:
    try:
        path = stack.file(_KIND)
    except NotFoundError:
        return None

    def swc() -> str:
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise StoreError("cannot be read", address=str(path), why=str(error)) from error

    return CellVisual(name="cell", title="Reconstruction", swc=swc)
