"""Views of volumes on a grid, and of the structures that their labels mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from openallen.visuals.base import Visual

if TYPE_CHECKING:
    from numpy.typing import NDArray


__all__ = ["SlicesVisual", "Structure", "TreeVisual", "Volume", "is_labels", "slices_of_volume"]

_AXES: Final = ("AP", "DV", "ML")


@dataclass(frozen=True, kw_only=True)
class Structure:
    """One structure of an ontology, as labels show it.

    Parameters
    ----------
    id, acronym, name
        As in the ontology.
    rgb
        Its colour, 0 to 255 each.
    parent
        Id of what it is part of; None for a root.
    """

    id: int
    acronym: str
    name: str
    rgb: tuple[int, int, int]
    parent: int | None = None


@dataclass(frozen=True, kw_only=True)
class Volume:
    """One volume on the grid of its `SlicesVisual`.

    Parameters
    ----------
    name, title
        Its name in addresses, and for people.
    labels
        Whether its values are ids of structures.
    unit
        Unit of the values; empty for none.
    read
        Returns the values, shape (AP, DV, ML): ids, or floats with NaN where there is none. Asked
        anew each time, so that nothing large is held for a page that was closed.
    stamp
        What changes when the values do; empty where that is not known, and nothing is cached on
        disk.
    """

    name: str
    title: str
    labels: bool
    unit: str = ""
    read: Callable[[], NDArray[Any]]
    stamp: str = ""


@dataclass(frozen=True, kw_only=True)
class SlicesVisual(Visual):
    """Volumes on one grid, cut along three axes.

    Parameters
    ----------
    shape
        Voxels along AP, DV, ML.
    voxel_um
        Size of a voxel along each, in µm.
    volumes
        The volumes.
    structures
        Returns the structures that labels mean; labels that it leaves out are shown by their id.
    first
        Names of the volumes that are shown before anybody chooses; the first one where empty.
    cache
        Folder where numbered labels are cached; None for memory only.
    simulated
        Whether the values are made up.
    """

    kind: ClassVar[str] = "slices"
    shape: tuple[int, int, int]
    voxel_um: tuple[float, float, float]
    volumes: tuple[Volume, ...]
    structures: Callable[[], Sequence[Structure]] = tuple
    first: tuple[str, ...] = ()
    cache: Path | None = None
    simulated: bool = False


@dataclass(frozen=True, kw_only=True)
class TreeVisual(Visual):
    """An ontology: structures, and what is part of what.

    Parameters
    ----------
    structures
        Returns the structures.
    address
        Returns the address of a structure by its id, where it has one.
    """

    kind: ClassVar[str] = "tree"
    structures: Callable[[], Sequence[Structure]]
    address: Callable[[int], str | None] | None = None


def slices_of_volume(volume: Any, structures: Callable[[], Sequence[Structure]] = tuple) -> Visual:
    """Return the slices of one labelled volume.

    Parameters
    ----------
    volume
        A DataArray with the axes AP, DV, ML, and ``spacing_um`` among its attributes.
    structures
        Returns the structures that its labels mean.
    """
    whole = volume.transpose(*_AXES)
    steps = [float(step) for step in volume.attrs["spacing_um"]]
    told = volume.attrs.get("units")
    name = str(volume.name or "volume")
    one = Volume(
        name="volume",
        title=str(volume.attrs.get("long_name") or name),
        labels=is_labels(whole.dtype, name, told),
        unit="" if told is None else str(told),
        read=whole.to_numpy,
    )
    return SlicesVisual(
        name="slices",
        title=name,
        shape=(whole.shape[0], whole.shape[1], whole.shape[2]),
        voxel_um=(steps[0], steps[1], steps[2]),
        volumes=(one,),
        structures=structures,
        simulated=bool(volume.attrs.get("simulated")),
    )


def is_labels(dtype: Any, name: str, units: str | None) -> bool:
    """Return whether values are ids of structures: said so, or whole numbers called so.

    Whole numbers of 32 bits are ids too: no camera has as many grey levels.

    Parameters
    ----------
    dtype
        Type of the values.
    name
        What the volume is called.
    units
        Their unit; None where it is not said.
    """
    if dtype.kind not in "iu":
        return False
    if units is not None:
        return str(units) == "structure id"
    return "annotation" in name.casefold() or int(dtype.itemsize) >= 4
