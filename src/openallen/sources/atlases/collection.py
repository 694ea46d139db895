"""Many grids as one array that is read on access."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import UsageError, requiring
from openallen.formats.parallel import cores, ordered_map
from openallen.sources.atlases.frames import AXES, label, oriented
from openallen.sources.atlases.grids import ExpressionGrid
from openallen.sources.atlases.models import EXPRESSION

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["Bring", "stack_grids"]

_FEW: Final = 8  # not worth threads
# More find the interpreter lock taken: it is held for two fifths of the time a grid takes.
_READERS: Final = 4


Bring = Callable[[Path], object]
"""Fetches the grid that belongs at a place; small when it is pickled."""


@dataclass(frozen=True)
class _Volumes:
    """Gives any part of the stack, reading the grids it touches; small enough to be sent about."""

    places: tuple[Path, ...]
    kind: str
    bring: Bring | None = None

    def take(self, key: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        import numpy as np

        first, *rest = key
        if isinstance(first, (int, np.integer)):
            return self._one(int(first), rest)
        chosen = range(len(self.places))[first] if isinstance(first, slice) else first
        numbers = [int(number) for number in chosen]
        if not numbers:
            return np.stack([self._one(0, rest)])[:0]
        if len(numbers) < _FEW:
            return np.stack([self._one(number, rest) for number in numbers])
        return self._many(numbers, rest)

    def _many(self, numbers: list[int], rest: list[Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        one = self._one(numbers[0], rest)
        found = np.empty((len(numbers), *one.shape), one.dtype)
        found[0] = one

        def put(place: int) -> None:
            found[place] = self._one(numbers[place], rest)

        for _ in ordered_map(put, range(1, len(numbers)), workers=min(cores(), _READERS)):
            pass
        return found

    def _one(self, number: int, rest: list[Any]) -> np.ndarray[Any, Any]:
        place = self.places[number]
        if self.bring is not None and not place.exists():
            self.bring(place)  # a machine with another disk than the one that made the array
        values = oriented(ExpressionGrid(place).volume(self.kind))
        found: np.ndarray[Any, Any] = values.isel(dict(zip(AXES, rest, strict=True))).to_numpy()
        return found


def stack_grids(
    places: Sequence[Path],
    kind: str = "energy",
    *,
    chunks: Any = None,
    bring: Bring | None = None,
) -> xr.DataArray:
    """Return one volume of many grids as one lazy array.

    Parameters
    ----------
    places
        Folders or zips of expression grids.
    kind
        ``energy``, ``density`` or ``intensity``.
    chunks
        Data sets in a dask chunk (needs the extra ``dask``); without dask where None: still
        nothing is read before it is accessed.
    bring
        Fetches the grid of a place that is not there, as on a worker with a disk of its own.

    Returns
    -------
    DataArray
        float32, ``data_set`` x ``AP`` x ``DV`` x ``ML``, µm, NaN where there are no data; ``gene``,
        ``plane_of_section``, ``product`` and ``reference_space_id`` along ``data_set``. All in the
        frame of the coronal space (PIR): axes that run from right to left are reversed.

    Raises
    ------
    UsageError
        If there are none, or they differ in shape or voxel size.
    NotFoundError
        If one does not hold that volume.
    MissingExtraError
        Without the extra ``atlas``; or ``dask``, where chunks are wanted.
    """
    with requiring("a stack of grids", "atlas"):
        import numpy as np

        from openallen.formats.lazy import in_chunks, lazy_array
    if not places:
        raise UsageError("no grids to be stacked")
    grids = [ExpressionGrid(place) for place in places]
    shape, spacing = _common(grids, kind)
    volumes = _Volumes(tuple(places), kind, bring)

    known = EXPRESSION.get(kind)
    about: dict[str, Any] = {"orientation": "PIR", "long_name": known.title if known else None}
    about |= {"units": known.units if known else None}
    frame = label(np.broadcast_to(np.float32(0), shape), spacing, name=kind, attrs=about)
    told = [grid.data_set for grid in grids]
    coordinates: dict[str, Any] = {name: frame.coords[name] for name in AXES}
    coordinates["data_set"] = [grid.data_set_id or 0 for grid in grids]
    for name in ("gene", "plane", "product"):
        values = [str(getattr(known, name, None) or "") for known in told]
        coordinates["plane_of_section" if name == "plane" else name] = ("data_set", values)
    spaces = [getattr(one, "reference_space_id", None) or 0 for one in told]
    coordinates["reference_space_id"] = ("data_set", spaces)
    if any(grid.simulated for grid in grids):
        frame.attrs["simulated"] = True
    found = lazy_array(
        volumes.take,
        (len(grids), *shape),
        "float32",
        ("data_set", *AXES),
        coordinates,
        name=kind,
        attrs=frame.attrs,
        outer=True,
    )
    return found if chunks is None else in_chunks(found, chunks, "data_set", "data sets")


def _common(grids: list[ExpressionGrid], kind: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return shape and spacing that all of them have; reads headers only."""
    first: tuple[tuple[int, ...], tuple[float, ...]] | None = None
    for grid in grids:
        found = grid.frame(kind)
        first = first or found
        if found != first:
            raise UsageError(
                "grids of different frames cannot be stacked",
                address=str(grid.files[0]),
                why=f"{found[0]} voxels of {found[1]} µm, others {first[0]} of {first[1]}",
                hint="choose one age: age=P56",
            )
    assert first is not None
    return first
