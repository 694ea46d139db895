"""Read the metadata of an OME-Zarr image: axes, and the transformation of each level.

All published versions: 0.1 to 0.4 in ``.zattrs``, 0.5 under ``ome`` in ``zarr.json``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from openallen.errors import CorruptError

__all__ = ["Axis", "Level", "Multiscale", "read_multiscale"]

_UM: Final = {
    "angstrom": 1e-4, "nanometer": 1e-3, "nm": 1e-3, "micrometer": 1.0, "micron": 1.0, "um": 1.0,
    "µm": 1.0, "μm": 1.0, "millimeter": 1e3, "mm": 1e3, "centimeter": 1e4, "meter": 1e6, "m": 1e6,
}  # fmt: skip
_S: Final = {"second": 1.0, "s": 1.0, "millisecond": 1e-3, "ms": 1e-3, "minute": 60.0, "hour": 3600}
_SAMPLED: Final = ("subsample", "sample", "stride", "decimate")
"""Downsampling methods that keep every n-th pixel at its place."""
_NEAR: Final = 1e-3


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
    """

    path: str
    scale: tuple[float, ...]
    stored: tuple[float, ...]
    origin: tuple[float, ...]


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
    """

    name: str
    version: str
    axes: tuple[Axis, ...]
    levels: tuple[Level, ...]
    notes: tuple[str, ...]
    channels: tuple[str, ...]


def read_multiscale(attributes: Mapping[str, Any], where: str) -> Multiscale:
    """Read the first image in the attributes of a group.

    Raises
    ------
    CorruptError
        If there is none, or its metadata are invalid.
    """
    ome = attributes.get("ome")
    meta = ome if isinstance(ome, dict) else attributes
    try:
        first = meta["multiscales"][0]
        notes: list[str] = []
        axes = _axes(first.get("axes"), notes)
        levels = _levels(first, axes, notes)
        version = str(first.get("version") or meta.get("version") or "")
        name = str(first.get("name") or "")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise CorruptError("not an OME-Zarr image", address=where, why=repr(error)[:200]) from error
    return Multiscale(name, version, axes, levels, tuple(notes), _channels(meta.get("omero")))


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
    if unit in known:
        return Axis(name, kind, "µm" if kind == "space" else "s", known[unit])
    if kind == "space":
        said = f"unknown unit '{unit}'" if unit else "no unit"
        notes.append(f"{name}: {said}: assumed micrometres")
        return Axis(name, kind, "µm")
    return Axis(name, kind, "")


def _levels(meta: Mapping[str, Any], axes: Sequence[Axis], notes: list[str]) -> tuple[Level, ...]:
    datasets = meta["datasets"]
    if not datasets:
        raise ValueError("no levels")
    whole = meta.get("coordinateTransformations") or []
    found = []
    for dataset in datasets:
        steps = dataset.get("coordinateTransformations") or []
        if not steps and not whole:
            notes.append(f"level {dataset['path']}: no scale: assumed 1")
        scale, stored = _composed([*steps, *whole], len(axes))
        factors = [axis.factor for axis in axes]
        scale = tuple(s * f for s, f in zip(scale, factors, strict=True))
        stored = tuple(t * f for t, f in zip(stored, factors, strict=True))
        found.append(Level(str(dataset["path"]), scale, stored, stored))
    sampled = str(meta.get("type") or "").lower().startswith(_SAMPLED)
    return tuple(_placed(level, found[0], axes, sampled=sampled) for level in found)


def _composed(
    steps: Sequence[Mapping[str, Any]], count: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Combine consecutive scales and translations into one of each."""
    scale, shift = [1.0] * count, [0.0] * count
    for step in steps:
        kind = step["type"]
        if kind == "identity":
            continue
        values = [float(value) for value in step[kind]]
        if kind not in {"scale", "translation"} or len(values) != count:
            raise ValueError(f"a transformation that does not match {count} axes: {kind}")
        if not all(map(math.isfinite, values)) or (kind == "scale" and 0.0 in values):
            raise ValueError(f"{kind} {values}")
        if kind == "scale":
            scale = [a * b for a, b in zip(scale, values, strict=True)]
            shift = [a * b for a, b in zip(shift, values, strict=True)]
        else:
            shift = [a + b for a, b in zip(shift, values, strict=True)]
    return tuple(scale), tuple(shift)


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
    return Level(level.path, level.scale, level.stored, tuple(origin))


def _channels(omero: Any) -> tuple[str, ...]:
    meta = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(meta, list):
        return ()
    return tuple(str(one.get("label") or "") if isinstance(one, dict) else "" for one in meta)
