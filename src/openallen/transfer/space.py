"""Whether the disk can hold a plan, checked before the first byte."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from openallen.display import bytes_text
from openallen.errors import SpaceError
from openallen.plans import Plan
from openallen.store.disk import disk_error

__all__ = ["check_space", "prepare"]

_MARGIN_BYTES: Final = 32_000_000


def check_space(plan: Plan) -> None:
    """Refuse a plan that the disk cannot hold.

    Files that are here, also under another name, need no space. Sizes that are not known cannot
    be counted, so a full disk can still come later; the run then stops with the same error.

    Raises
    ------
    SpaceError
        With what is needed and what is free.
    """
    needed = plan.missing_bytes
    if not needed:
        return
    here = plan.to
    while not here.exists() and here != here.parent:
        here = here.parent
    free = shutil.disk_usage(here).free
    margin = min(_MARGIN_BYTES, needed // 10)
    if needed + margin > free:
        raise SpaceError(
            "not enough space",
            address=str(plan.to),
            why=f"{plan.size_text} to fetch, {bytes_text(free)} free",
            hint="choose a folder on another disk with --to DIR",
        )


def prepare(folder: Path) -> None:
    """Create the destination.

    Raises
    ------
    StoreError
        If it cannot be created, is not a folder, or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise disk_error(error, folder) from error
