"""What a packaged stack looks like: its planes, and the reconstruction in their frame."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from openallen.errors import NotFoundError, OpenAllenError, RefusedError, StoreError
from openallen.planes.images import PlaneImage
from openallen.planes.overviews import kept_keys, plane_key
from openallen.sources.stacks.coming import DRAFT_NAME, is_coming, read_draft
from openallen.sources.stacks.manifest import MANIFEST_NAME, Manifest, PlaneEntry, read_manifest
from openallen.sources.stacks.recorded import facts_of
from openallen.visuals import CellVisual, PlaneKey, StackVisual, Visual

if TYPE_CHECKING:
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
    here = _Here(stack)
    if not any(plane.key for plane in here.planes()):
        return None
    first = here.first()
    um = stack.resolution_um_per_px
    return StackVisual(
        name="planes",
        title="Planes",
        address=stack.address,
        z_label="section",
        width_px=first.entry.file_width_px or first.entry.width_px,
        height_px=first.entry.file_height_px or first.entry.height_px,
        pixel_um=(um, um),
        planes=here.planes,
        jpeg=here.jpeg,
        colour=_in_colour(first),
        cell=cell.name if cell else None,
        simulated=stack.manifest.simulated,
        overviews=stack.overviews,
        coming=lambda: is_coming(stack.folder),
    )


def _in_colour(plane: PlaneImage[PlaneEntry]) -> bool:
    """Return whether planes show colour: the services store gray ones in three channels too."""
    from openallen.formats.jpeg import inspect
    from openallen.formats.overview import is_coloured, scaled_jpeg

    try:
        data = plane.jpeg()
        return inspect(data).components == 3 and is_coloured(scaled_jpeg(data, 8, gray=False))
    except OpenAllenError:
        return False  # said where it is looked at


class _Here:
    """The planes that are here, looked up anew where the folder has changed.

    Parameters
    ----------
    stack
        The stack.
    """

    def __init__(self, stack: ImageStack) -> None:
        self._stack = stack
        self._folder = stack.folder
        self._lock = threading.Lock()
        self._seen: object = None
        self._planes: list[PlaneKey] = []
        self._images: dict[int, PlaneImage[PlaneEntry]] = {}

    def planes(self) -> Sequence[PlaneKey]:
        """Return all planes of the stack; those not here have no key."""
        with self._lock:
            seen = self._times()
            if seen != self._seen:
                self._look()
                self._seen = seen
            return self._planes

    def jpeg(self, index: int) -> bytes:
        """Return the JPEG of a plane by its index."""
        return self._image(index).jpeg()

    def first(self) -> PlaneImage[PlaneEntry]:
        """Return the first plane that is here."""
        with self._lock:
            return self._images[min(self._images)]

    def _image(self, index: int) -> PlaneImage[PlaneEntry]:
        self.planes()
        with self._lock:
            if index not in self._images:
                raise NotFoundError("a plane is missing", address=self._stack.address)
            return self._images[index]

    def _times(self) -> object:
        """Return what changes when a file of the folder comes or goes."""
        found: list[int] = []
        for name in (MANIFEST_NAME, DRAFT_NAME, "planes"):
            try:
                found.append((self._folder / name).stat().st_mtime_ns)
            except OSError:
                found.append(0)
        return found

    def _look(self) -> None:
        manifest = self._manifest()
        names = {plane.position: plane.file_name for plane in facts_of(manifest).planes}
        entries = sorted(manifest.planes, key=lambda entry: entry.position)
        present = _files(self._folder / "planes")
        unsure = any(e.path is None and names[e.position] in present for e in entries)
        kept = kept_keys(self._stack.overviews) if unsure and self._stack.overviews else {}
        self._planes, self._images = [], {}
        for index, entry in enumerate(entries):
            name = (entry.path or "").removeprefix("planes/") or names[entry.position]
            key = _key(entry, present.get(name), kept.get(entry.position))
            if key is not None:
                self._images[index] = self._opened(entry, name)
            label = f"section {entry.section_number}"
            self._planes.append(PlaneKey(label=label, z_um=entry.z_um, key=key))

    def _manifest(self) -> Manifest:
        """Return the draft of a fetch that is under way, else the manifest, else the one opened."""
        draft = read_draft(self._folder)
        if draft is not None:
            return draft
        with suppress(OpenAllenError):
            return read_manifest(self._folder)
        return self._stack.manifest

    def _opened(self, entry: PlaneEntry, name: str) -> PlaneImage[PlaneEntry]:
        from openallen.plans import safe_path

        path = safe_path(entry.path or f"planes/{name}")
        known = [p.entry for p in self._stack.planes[:1]]
        if known and not entry.file_width_px:
            from msgspec.structs import replace

            size = known[0]
            entry = replace(
                entry, file_width_px=size.file_width_px, file_height_px=size.file_height_px
            )
        return PlaneImage(entry, self._folder / path)


def _files(folder: Path) -> Mapping[str, os.stat_result]:
    try:
        with os.scandir(folder) as found:
            return {entry.name: entry.stat() for entry in found if entry.is_file()}
    except OSError:
        return {}


def _key(entry: PlaneEntry, found: os.stat_result | None, kept: str | None) -> str | None:
    """Return what names a plane and its bytes; None where it is not here."""
    if found is None:
        return None
    if entry.path and entry.sha256:
        return plane_key(entry.position, entry.sha256)
    if entry.path is None and kept is not None:
        return kept  # the digest of a plane that has just come is known by its overview only
    return f"{entry.position}-{found.st_size:x}-{found.st_mtime_ns:x}"


def _cell(stack: ImageStack) -> CellVisual | None:
    try:
        path = stack.file(_KIND)
    except NotFoundError:
        return None

    def swc() -> str:
        # A store handed on may hold a link to any file of this machine.
        if not path.resolve().is_relative_to(stack.folder.resolve()):
            raise RefusedError("a link that leads out of the stack", address=str(path))
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise StoreError("cannot be read", address=str(path), why=str(error)) from error

    return CellVisual(name="cell", title="Reconstruction", swc=swc)
