"""A stack that is still being fetched: what it will be, written down when its first plane comes.

The manifest is written when a fetch ends. Until then a draft of it lies beside, which names every
plane of the stack; those whose file is there are here. It is removed when the manifest is written,
and left behind by a run that was killed, as its ``.part`` files are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from openallen.errors import OpenAllenError
from openallen.sources.stacks.manifest import MANIFEST_NAME, Manifest, PlaneEntry
from openallen.sources.stacks.recorded import facts_of
from openallen.store.disk import write_whole

__all__ = ["DRAFT_NAME", "Coming", "is_coming", "read_draft", "with_arrived"]

DRAFT_NAME: Final = f"{MANIFEST_NAME}.part"
_QUIET_S: Final = 600
"""A fetch from which nothing came for this long has ended without a word."""


@dataclass
class Coming:
    """Writes the draft of a manifest, once.

    Parameters
    ----------
    folder
        The folder of the stack.
    manifest
        Returns the manifest of what is known so far.
    """

    folder: Path
    manifest: Callable[[], Manifest]
    _written: bool = field(default=False, init=False)

    def arrived(self) -> None:
        """Write the draft, if that was not done; where it cannot be written, there is none."""
        if self._written:
            return
        self._written = True
        with suppress(OpenAllenError, OSError):
            write_whole(self.folder / DRAFT_NAME, msgspec.json.encode(self.manifest()))

    def done(self) -> None:
        """Remove the draft, also one that an earlier run left."""
        with suppress(OSError):
            (self.folder / DRAFT_NAME).unlink(missing_ok=True)


def read_draft(folder: Path) -> Manifest | None:
    """Return the draft in a folder; None where there is none that can be read."""
    try:
        return msgspec.json.decode((folder / DRAFT_NAME).read_bytes(), type=Manifest)
    except (OSError, ValueError, RecursionError):
        return None


def is_coming(folder: Path) -> bool:
    """Return whether a fetch into a folder is under way, as far as the folder tells."""
    times = []
    for path in (folder / DRAFT_NAME, folder / "planes"):
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            return False
    return time.time() - max(times) < _QUIET_S


def with_arrived(draft: Manifest, folder: Path) -> Manifest:
    """Return a draft with the planes whose files are here.

    Parameters
    ----------
    draft
        The draft.
    folder
        The folder of the stack.
    """
    from openallen.formats.jpeg import inspect

    names = {plane.position: plane.file_name for plane in facts_of(draft).planes}
    size: dict[str, Any] = {}

    def entry(plane: PlaneEntry) -> PlaneEntry:
        path = folder / "planes" / names[plane.position]
        try:
            size_bytes = path.stat().st_size
            if not size:
                told = inspect(path.read_bytes())
                size.update(file_width_px=told.width_px, file_height_px=told.height_px)
        except (OSError, OpenAllenError):
            return plane
        if plane.path and plane.size_bytes == size_bytes:
            return plane
        here = {"path": f"planes/{path.name}", "size_bytes": size_bytes, "sha256": None, **size}
        return msgspec.structs.replace(plane, **here)

    planes = tuple(map(entry, draft.planes))
    count = msgspec.structs.replace(
        draft.plane_count, received=sum(plane.path is not None for plane in planes)
    )
    return msgspec.structs.replace(draft, planes=planes, plane_count=count)
