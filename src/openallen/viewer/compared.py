"""Grids of several things as one: on one grid of voxels, with one crosshair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from openallen.errors import UsageError
from openallen.visuals import SlicesVisual, Visual, Volume

__all__ = ["compared"]


def compared(each: Sequence[tuple[str, Sequence[Visual]]]) -> SlicesVisual:
    """Return the volumes of several things as one view, the usual volume of each shown.

    Parameters
    ----------
    each
        Their addresses, and their views.

    Raises
    ------
    UsageError
        If one has no volumes, or they lie on different grids.
    """
    first = _slices(*each[0])
    chosen = [_like(first, address, views) for address, views in each]
    volumes = [v for n, (address, one) in enumerate(chosen) for v in _values(n, address, one)]
    labelled = next((one for _, one in chosen if any(v.labels for v in one.volumes)), first)
    return replace(
        first,
        name="slices",
        title=", ".join(address for address, _ in chosen),
        volumes=(*volumes, *(v for v in labelled.volumes if v.labels)),
        structures=labelled.structures,
        first=tuple(f"{n}-{_usual(one).name}" for n, (_, one) in enumerate(chosen)),
        simulated=any(one.simulated for _, one in chosen),
    )


def _slices(address: str, views: Sequence[Visual]) -> SlicesVisual:
    found = next((view for view in views if isinstance(view, SlicesVisual)), None)
    if found is None or all(volume.labels for volume in found.volumes):
        raise UsageError("nothing of it can be compared: it has no grid of values", address=address)
    return found


def _like(first: SlicesVisual, address: str, views: Sequence[Visual]) -> tuple[str, SlicesVisual]:
    """Return the view of a thing that is on the same grid as the first."""
    frame = (first.shape, first.voxel_um)
    for view in views:
        if isinstance(view, SlicesVisual) and (view.shape, view.voxel_um) == frame:
            return address, _slices(address, [view])
    other = _slices(address, views)
    raise UsageError(
        "these lie on different grids",
        address=address,
        why=f"{other.shape} voxels of {other.voxel_um} µm, not {frame[0]} of {frame[1]} µm",
    )


def _usual(one: SlicesVisual) -> Volume:
    values = [volume for volume in one.volumes if not volume.labels]
    return next((volume for volume in values if volume.name in one.first), values[0])


def _values(n: int, address: str, one: SlicesVisual) -> Iterator[Volume]:
    for volume in one.volumes:
        if not volume.labels:
            yield replace(volume, name=f"{n}-{volume.name}", title=f"{volume.title}, {address}")
