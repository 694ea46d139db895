"""Read the metadata of an OME-Zarr image: axes, and the transformation of each level.

Versions 0.1 to 0.4 in ``.zattrs``, 0.5 and 0.6 under ``ome`` in ``zarr.json``. Of 0.6, images whose
levels are scaled and moved along axes of one coordinate system; whatever else it can say of a
place is refused, as ignoring it would give wrong coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from openallen.errors import CorruptError

__all__ = ["Axis", "Level", "Multiscale", "read_multiscale", "scaled_by_sizes"]

_UM: Final = {
    "angstrom": 1e-4, "attometer": 1e-12, "femtometer": 1e-9, "picometer": 1e-6, "nanometer": 1e-3,
    "nm": 1e-3, "micrometer": 1.0, "micron": 1.0, "um": 1.0, "µm": 1.0, "μm": 1.0,
    "millimeter": 1e3, "mm": 1e3, "centimeter": 1e4, "cm": 1e4, "decimeter": 1e5, "meter": 1e6,
    "m": 1e6, "hectometer": 1e8, "kilometer": 1e9, "inch": 25_400.0, "foot": 304_800.0,
    "yard": 914_400.0,
}  # fmt: skip
_S: Final = {
    "picosecond": 1e-12, "nanosecond": 1e-9, "ns": 1e-9, "microsecond": 1e-6, "us": 1e-6,
    "µs": 1e-6, "μs": 1e-6, "millisecond": 1e-3, "ms": 1e-3, "second": 1.0, "s": 1.0,
    "minute": 60.0, "hour": 3600.0, "day": 86_400.0,
}  # fmt: skip
_SAMPLED: Final = ("subsample", "sample", "stride", "decimate")
"""Downsampling methods that keep every n-th pixel at its place."""
_NEAR: Final = 1e-3
_NEWEST: Final = [0, 6]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis.

    Parameters
    ----------
    name
        ``t``, ``c``, ``z``, ``y``, ``x``, or another name.
    kind
        ``space``, ``time`` or ``channel``; empty where unknown.
    unit
        Unit of the coordinates: ``µm``, ``s``, or empty.
    factor
        Factor from stored values to that unit.
    """

    name: str
    kind: str
    unit: str
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a pyramid.

    Parameters
    ----------
    path
        Path of its array.
    scale
        Pixel size along each axis, in the unit of the axis.
    stored
        Position of its first pixel, as in the metadata.
    origin
        Centre of its first pixel, in a frame common to all levels.
    told
        Whether the metadata give a scale for this level.
    """

    path: str
    scale: tuple[float, ...]
    stored: tuple[float, ...]
    origin: tuple[float, ...]
    told: bool = True


@dataclass(frozen=True, slots=True)
class Multiscale:
    """One image in several resolutions.

    Parameters
    ----------
    name
        Name of the image.
    version
        Version of OME-Zarr; empty where unknown.
    axes
        Axes in the order of the arrays.
    levels
        Levels, largest first.
    notes
        Assumptions made about missing metadata.
    channels
        Names of channels, where known.
    sampled
        Whether pixels of smaller levels are some of the first one's, not means of them.
    """

    name: str
    version: str
    axes: tuple[Axis, ...]
    levels: tuple[Level, ...]
    notes: tuple[str, ...]
    channels: tuple[str, ...]
    sampled: bool = False


def read_multiscale(attributes: Mapping[str, Any], where: str) -> Multiscale:
    """Read the first image in the attributes of a group.

    Raises
    ------
    CorruptError
        If there is none, or its metadata are invalid.
    """
    ome = attributes.get("ome")
    meta = ome if isinstance(ome, dict) else attributes
    version = ""
    try:
        first = meta["multiscales"][0]
        version = str(first.get("version") or meta.get("version") or "")
        _refuse_newer(version, where)
        notes = _others(meta["multiscales"])
        if "coordinateSystems" in first:
            first = _of_system(first, notes)
        axes = _axes(first.get("axes"), notes)
        sampled = str(first.get("type") or "").lower().startswith(_SAMPLED)
        levels = _levels(first, axes, notes, sampled=sampled)
        name = str(first.get("name") or "")
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = f"not an OME-Zarr image{f' of version {version[:20]} as read here' * bool(version)}"
        why = str(error) if type(error) is ValueError else repr(error)
        raise CorruptError(said, address=where, why=why[:200]) from error
    channels = _channels(meta.get("omero"))
    return Multiscale(name, version, axes, levels, tuple(notes), channels, sampled)


def _refuse_newer(version: str, where: str) -> None:
    parts = version.split(".")
    numbers = [int(part) for part in parts[:2] if part.isascii() and part.isdigit()]
    if numbers and numbers > _NEWEST:
        raise CorruptError(
            f"OME-Zarr of version {version[:20]} is not supported", address=where, why="0.1 to 0.6"
        )


def _others(images: Sequence[Mapping[str, Any]]) -> list[str]:
    """Tell that there are several images, of which the first is read."""
    if len(images) < 2:
        return []
    names = ", ".join(str(image.get("name") or n) for n, image in enumerate(images))
    return [f"{len(images)} images ({names[:80]}): the first is read"]


def _of_system(meta: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return an image of version 0.6 as one of 0.5: axes, and the steps of each level.

    Raises
    ------
    ValueError
        If its levels are not in one coordinate system.
    """
    systems = {str(system["name"]): system for system in meta["coordinateSystems"]}
    found, leads = [], set()
    for dataset in meta["datasets"]:
        (step,) = dataset["coordinateTransformations"]
        end = step.get("output")
        leads.add(str(end.get("name") if isinstance(end, dict) else end))
        found.append({**dataset, "coordinateTransformations": list(_flat(step))})
    if len(leads) != 1 or not leads <= systems.keys():
        named = ", ".join(map(_called, sorted(leads)))
        raise ValueError(f"levels in several or unknown coordinate systems: {named}")
    name = leads.pop()
    others = meta.get("coordinateTransformations") or []
    if len(systems) > 1 or others:
        unread = ", ".join(dict.fromkeys(_called(step.get("type")) for step in others))
        said = f"{len(systems)} coordinate systems: '{name}' is read"
        notes.append(said + (f", {unread} to others is not applied" if unread else ""))
    kept = {k: v for k, v in meta.items() if k != "coordinateTransformations"}
    return {**kept, "axes": systems[name]["axes"], "datasets": found}


def _flat(step: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if step["type"] != "sequence":
        yield step
        return
    for inner in step["transformations"]:
        if inner["type"] == "sequence":
            raise ValueError("a sequence in a sequence")
        yield inner


def scaled_by_sizes(found: Multiscale, shapes: Sequence[Sequence[int]]) -> Multiscale:
    """Return an image whose levels without a scale have the one that their sizes tell.

    A level of half the size, rounded up or down, has pixels of twice the size. Versions 0.1 to 0.3
    have no scales at all.

    Parameters
    ----------
    found
        The image by its metadata.
    shapes
        The shape of each level.
    """
    if all(level.told for level in found.levels[1:]):
        return found
    levels, notes = [found.levels[0]], list(found.notes)
    for n, level in enumerate(found.levels[1:], 1):
        if level.told:
            levels.append(level)
            continue
        factors = [
            _factor(big, small) if axis.kind == "space" else 1.0
            for axis, big, small in zip(found.axes, shapes[n - 1], shapes[n], strict=True)
        ]
        scale = tuple(s * f for s, f in zip(levels[-1].scale, factors, strict=True))
        stored = levels[0].stored
        made = Level(level.path, scale, stored, stored, told=False)
        levels.append(_placed(made, levels[0], found.axes, sampled=found.sampled))
        notes.append(f"level {level.path}: no scale: taken from the sizes of the levels")
    return replace(found, levels=tuple(levels), notes=tuple(notes))


def _factor(big: int, small: int) -> float:
    whole = max(1, round(big / small)) if small else 1
    return float(whole) if small in {big // whole, -(-big // whole)} else big / small


def _axes(meta: Any, notes: list[str]) -> tuple[Axis, ...]:
    if meta is None:
        notes.append("no axes: assumed t c z y x")
        meta = list("tczyx")
    return tuple(_axis(one, notes) for one in meta)


def _axis(meta: Any, notes: list[str]) -> Axis:
    if isinstance(meta, str):
        meta = {"name": meta}
    name = str(meta["name"])
    kind = str(meta.get("type") or {"t": "time", "c": "channel"}.get(name) or "")
    kind = kind or ("space" if name in {"z", "y", "x"} else "")
    unit = str(meta.get("unit") or "").lower().replace("metre", "meter")
    known = _UM if kind == "space" else _S if kind == "time" else {}
    unit = unit if unit in known else unit.removesuffix("s")
    if unit in known:
        return Axis(name, kind, "µm" if kind == "space" else "s", known[unit])
    if kind == "space":
        said = f"unknown unit '{unit}'" if unit else "no unit"
        notes.append(f"{name}: {said}: assumed micrometres")
        return Axis(name, kind, "µm")
    return Axis(name, kind, "")


def _levels(
    meta: Mapping[str, Any], axes: Sequence[Axis], notes: list[str], *, sampled: bool
) -> tuple[Level, ...]:
    datasets = meta["datasets"]
    if not datasets:
        raise ValueError("no levels")
    whole = meta.get("coordinateTransformations") or []
    found: list[Level] = []
    for dataset in datasets:
        steps = dataset.get("coordinateTransformations") or []
        told = bool(steps)
        if not found and not told and not whole:
            notes.append(f"level {dataset['path']}: no scale: assumed 1")
        scale, stored = _composed([*steps, *whole], axes, notes)
        factors = [axis.factor for axis in axes]
        scale = tuple(s * f for s, f in zip(scale, factors, strict=True))
        stored = tuple(t * f for t, f in zip(stored, factors, strict=True))
        found.append(Level(str(dataset["path"]), scale, stored, stored, told=told))
    return tuple(_placed(level, found[0], axes, sampled=sampled) for level in found)


def _composed(
    steps: Sequence[Mapping[str, Any]], axes: Sequence[Axis], notes: list[str]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Combine consecutive scales and translations into one of each."""
    count = len(axes)
    scale, shift = [1.0] * count, [0.0] * count
    for step in steps:
        kind = step["type"]
        if kind == "identity":
            continue
        if kind not in {"scale", "translation"}:
            said = f"levels placed by {_called(kind)}: only scale and translation are read"
            raise ValueError(said)
        if kind not in step and "path" in step:
            raise ValueError(f"a {kind} kept in an array of its own is not read")
        values = [float(value) for value in step[kind]]
        if len(values) != count:
            raise ValueError(f"a {kind} of {len(values)} numbers for {count} axes")
        if kind == "scale":
            values = [_step(value, axis, notes) for value, axis in zip(values, axes, strict=True)]
        if not all(map(math.isfinite, values)) or (kind == "scale" and 0.0 in values):
            raise ValueError(f"{kind} {values}")
        if kind == "scale":
            scale = [a * b for a, b in zip(scale, values, strict=True)]
            shift = [a * b for a, b in zip(shift, values, strict=True)]
        else:
            shift = [a + b for a, b in zip(shift, values, strict=True)]
    return tuple(scale), tuple(shift)


def _called(kind: object) -> str:
    return f"'{str(kind)[:40]}'"


def _step(value: float, axis: Axis, notes: list[str]) -> float:
    """Return a scale; 1 for a 0 along time or channels, as some writers put for a single one."""
    if value or axis.kind == "space":
        return value
    said = f"{axis.name}: a scale of 0: assumed 1"
    if said not in notes:
        notes.append(said)
    return 1.0


def _placed(level: Level, first: Level, axes: Sequence[Axis], *, sampled: bool) -> Level:
    """Return a level with the centre of its first pixel in the frame of the first level.

    The centre of a pixel that is the mean of n pixels is shifted by (n - 1) / 2 of them. Metadata
    that contain this shift are used as they are; where all levels have the same origin, it is that
    of the first pixel's edge, and the shift is added.
    """
    origin = []
    for n, axis in enumerate(axes):
        stored, moved = level.stored[n], level.stored[n] - first.stored[n]
        shift = (level.scale[n] - first.scale[n]) / 2
        same = abs(moved) <= _NEAR * abs(level.scale[n])
        add = axis.kind == "space" and same and not sampled
        origin.append(stored + shift if add else stored)
    return replace(level, origin=tuple(origin))


def _channels(omero: Any) -> tuple[str, ...]:
    meta = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(meta, list):
        return ()
    return tuple(str(one.get("label") or "") if isinstance(one, dict) else "" for one in meta)
