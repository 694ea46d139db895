"""What workers do in tests: their path has this folder."""

from __future__ import annotations

import os
import time
from pathlib import Path


def note_and_wait(folder: str, number: int, wait_s: float = 0.2) -> int:
    """Leave a note that a task began here; return which process did it."""
    (Path(folder) / f"{number}-{os.getpid()}").touch()
    time.sleep(wait_s)
    return os.getpid()


def end_the_worker(shared: object, end: bool) -> bool:
    """End the worker's process in the middle of a task."""
    if end:
        os._exit(1)
    return True


def note_session(session: object, folder: Path, wait_s: float = 0.0) -> int:
    """Leave a note for each time a session was opened; return which process did it."""
    folder.mkdir(exist_ok=True)
    (folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()
    time.sleep(wait_s)
    assert session.cell_specimen_table is not None  # type: ignore[attr-defined]
    return os.getpid()


def slow_plane(path: Path, wait_s: float) -> bytes:
    """Return a JPEG after a while."""
    time.sleep(wait_s)
    return path.read_bytes()
