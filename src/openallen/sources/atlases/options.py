"""What of grids and atlases is wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from openallen.address import Address, Condition
from openallen.errors import UsageError
from openallen.sources.options import option

__all__ = [
    "AtlasShowOptions",
    "GridOptions",
    "GridShowOptions",
    "StructuresOptions",
    "asked_for",
    "parse_point",
]

_POINT = "6000,3000,5700"


def parse_point(text: str) -> tuple[float, ...]:
    """Read ``6000,3000,5700`` as AP, DV, ML in µm.

    Raises
    ------
    UsageError
        If it is not three numbers.
    """
    try:
        return _point(tuple(float(word) for word in text.replace(",", " ").split()))
    except ValueError:
        raise _no_point(text) from None


def _point(numbers: tuple[float, ...]) -> tuple[float, ...]:
    try:
        if len(numbers) == 3 and all(math.isfinite(number) for number in numbers):
            return numbers
    except TypeError:
        pass
    raise _no_point(numbers)


def _no_point(given: object) -> UsageError:
    return UsageError(
        "a point is AP,DV,ML in µm",
        why=f"three coordinates, not {given!r}",
        hint=f"--at {_POINT}",
    )


@dataclass(frozen=True, kw_only=True)
class GridOptions:
    """What of a grid is wanted.

    Parameters
    ----------
    include
        Volumes, by their name.
    resolution
        Size of a voxel of connectivity grids in µm: 10, 25, 50 or 100.
    """

    include: tuple[str, ...] | None = option(
        None,
        "Volumes: energy, density, intensity; for connectivity projection_density and others.",
        metavar="WORDS",
        example="energy,density",
    )
    resolution: int | None = option(
        None, "Voxel size of connectivity grids, in µm; 25 by default.", metavar="UM", example="100"
    )

    def __post_init__(self) -> None:
        if self.include is not None and not self.include:
            raise UsageError("include= is empty", hint="include=energy")


@dataclass(frozen=True, kw_only=True)
class AtlasShowOptions:
    """What of an atlas is shown.

    Parameters
    ----------
    at
        The point that slices go through: AP, DV, ML in µm.
    """

    at: tuple[float, ...] | None = option(
        None,
        "Point shown by the slices of a picture, in µm.",
        metavar="AP,DV,ML",
        parse=parse_point,
        example=_POINT,
    )

    def __post_init__(self) -> None:
        if self.at is not None:
            _point(self.at)


@dataclass(frozen=True, kw_only=True)
class StructuresOptions:
    """What of an ontology is wanted.

    Parameters
    ----------
    set
        A structure set, by its id, name or short name: only its structures.
    """

    set: str | None = option(
        None,
        "Structures of one structure set, by id or name.",
        metavar="SET",
        parse=str,
        example="summary",
    )

    def __post_init__(self) -> None:
        if self.set is not None:  # an id may come as a number
            object.__setattr__(self, "set", str(self.set))


@dataclass(frozen=True, kw_only=True)
class GridShowOptions(AtlasShowOptions, GridOptions):
    """What of a grid is shown: which volumes, and where slices go through them."""

    def __post_init__(self) -> None:
        GridOptions.__post_init__(self)
        AtlasShowOptions.__post_init__(self)


def asked_for(address: Address, options: GridOptions) -> Address:
    """Return the address of a grid with its options in it, as plans and messages name it."""
    told = []
    if options.include is not None:
        told.append(Condition("include", "eq", ",".join(map(str, options.include))))
    if options.resolution is not None:
        told.append(Condition("resolution", "eq", str(options.resolution)))
    return replace(address, conditions=tuple(told))
