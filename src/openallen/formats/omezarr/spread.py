"""Planes of a stack converted by the workers of a cluster, a few in each task.

A task converts its planes in a folder of its own, and moves finished files to the draft of the
store: so one that is done twice, or by a worker that was thought lost, can put nothing but whole
files there. Projections of its planes wait in a file until they are merged here.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from openallen.cluster import each
from openallen.errors import StoreError

if TYPE_CHECKING:
    from openallen.formats.omezarr.projections import Projections

__all__ = ["Converter", "convert_on"]

_MOST_PLANES: Final = 16
"""In one task: what a lost worker costs, while each task costs the projections of a plane."""
_PER_WORKER: Final = 4
_ATTEMPTS: Final = ".attempts"


class Converter(Protocol):
    """Converts planes to files below its root."""

    root: Path
    projections: Projections

    def folders(self) -> None:
        """Make the folders of the levels."""

    def plane(self, item: tuple[int, Any]) -> int:
        """Convert one plane and return its z."""


Make = Callable[[Path], Converter]


def convert_on(
    client: Any,
    make: Make,
    work: Converter,
    sources: Sequence[tuple[int, Any]],
    done: Callable[[int], object],
) -> None:
    """Convert planes on a cluster, and gather their projections.

    Parameters
    ----------
    client
        The client, connected.
    make
        Makes a converter with a root; picklable.
    work
        The converter whose root is the draft of the store, prepared.
    sources
        z and source of each plane.
    done
        Called with the z of each plane that is finished.

    Raises
    ------
    StoreError
        If a worker does not see the draft.
    OpenAllenError
        As converting a plane does, or if the cluster is lost.
    """
    count = max(1, len(client.nthreads()))
    size = max(1, min(_MOST_PLANES, len(sources) // (_PER_WORKER * count)))
    tasks = {at: (sources[at : at + size],) for at in range(0, len(sources), size)}
    attempts = work.root / _ATTEMPTS
    attempts.mkdir(parents=True)
    shared = (make, work.root)
    with closing(each(client, convert_some, tasks, shared=shared, label="planes")) as found:
        for _, name, error in found:
            if error is not None:
                raise error
            planes, file = name
            _merge(work, planes, attempts / file)
            for z in planes:
                done(z)
    shutil.rmtree(attempts, ignore_errors=True)


def _merge(work: Converter, planes: Sequence[int], file: Path) -> None:
    import numpy as np

    with np.load(file) as parts:
        work.projections.merge(planes, parts)
    file.unlink(missing_ok=True)


def convert_some(
    shared: tuple[Make, Path], sources: Sequence[tuple[int, Any]]
) -> tuple[list[int], str]:
    """Convert some planes on a worker; return their z, and the file with their projections."""
    import numpy as np

    make, draft = shared
    attempts = draft / _ATTEMPTS
    if not attempts.is_dir():
        raise StoreError(
            "a worker does not see the folder of the store",
            address=str(draft.parent),
            why="workers write planes there themselves",
            hint="choose a folder that all machines share with --to DIR",
        )
    name = uuid.uuid4().hex
    own = attempts / name
    own.mkdir()  # fails where the conversion has been given up meanwhile
    work = make(own)
    try:
        work.folders()
        planes = [work.plane(source) for source in sources]
        with (attempts / f"{name}.npz").open("wb") as file:
            parts: dict[str, Any] = work.projections.parts(planes)
            np.savez(file, **parts)
        for path in sorted(own.rglob("*")):
            if path.is_file():
                target = draft / path.relative_to(own)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    return planes, f"{name}.npz"
