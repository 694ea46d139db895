"""The ``zarr.json`` documents of an OME-Zarr 0.5 store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openallen.formats.omezarr.geometry import Geometry

__all__ = ["array_document", "group_document", "image_attributes", "jpeg_codecs", "sharded"]

_COLOURS = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))


def group_document(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``zarr.json`` of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


def array_document(
    shape: Sequence[int], chunk: Sequence[int], codecs: Sequence[Any], axes: Sequence[str]
) -> dict[str, Any]:
    """Return the ``zarr.json`` of an array of uint8 with fill value 0.

    Parameters
    ----------
    shape
        Shape of the array.
    chunk
        Shape of a stored chunk; of a shard, if the codecs are sharded.
    codecs
        Metadata of the codecs, outermost first.
    axes
        Names of the axes.
    """
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": list(codecs),
        "dimension_names": list(axes),
        "attributes": {},
    }


def sharded(inner: Sequence[int], codecs: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the sharding codec, with its index at the end."""
    return [
        {
            "name": "sharding_indexed",
            "configuration": {
                "chunk_shape": list(inner),
                "codecs": list(codecs),
                "index_codecs": [
                    {"name": "bytes", "configuration": {"endian": "little"}},
                    {"name": "crc32c"},
                ],
                "index_location": "end",
            },
        }
    ]


def zstd_codecs(level: int) -> list[dict[str, Any]]:
    """Return the codecs of a chunk compressed with zstd."""
    return [
        {"name": "bytes"},
        {"name": "zstd", "configuration": {"level": level, "checksum": False}},
    ]


def jpeg_codecs(chunk: Sequence[int], quality: int) -> list[dict[str, Any]]:
    """Return the codecs of a chunk stored as one JPEG.

    As proposed for the zarr-extensions registry, ``jpeg`` takes (y, x) or (y, x, 3): other axes are
    transposed and removed by a reshape first.
    """
    height, width = chunk[-2:]
    if len(chunk) == 3:
        return [
            {"name": "reshape", "configuration": {"shape": [height, width]}},
            {"name": "jpeg", "configuration": {"quality": quality}},
        ]
    colour = {"encoded_color_space": "ycbcr", "subsampling": [[2, 2], [1, 1], [1, 1]]}
    return [
        {"name": "transpose", "configuration": {"order": [1, 2, 3, 0]}},
        {"name": "reshape", "configuration": {"shape": [height, width, 3]}},
        {"name": "jpeg", "configuration": {"quality": quality, **colour}},
    ]


def image_attributes(
    name: str, geometry: Geometry, *, projections: bool, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the attributes of the image group.

    Parameters
    ----------
    name
        Name shown by viewers.
    geometry
        Size of the stack.
    projections
        Whether the group ``projections`` exists.
    extra
        Attributes under the key ``openallen``.
    """
    datasets = [
        _dataset(str(level), geometry.scale_um(level), geometry.translation_um(level))
        for level in range(len(geometry.levels))
    ]
    ome = _multiscale(name, geometry.axes, datasets)
    ome["omero"] = {"name": name, "channels": _channels(geometry.channels)}
    own = {**extra, **({"projections": "projections"} if projections else {})}
    return {"ome": ome, "openallen": own}


def projection_attributes(name: str, axes: str, scale_um: Sequence[float]) -> dict[str, Any]:
    """Return the attributes of one projection, an image with one level.

    Parameters
    ----------
    name
        Name shown by viewers.
    axes
        Its two axes, as stored: ``yx``, ``zx`` or ``yz``.
    scale_um
        Size of a pixel along them, in µm.
    """
    # OME-Zarr wants space axes named in the order z, y, x; "yz" is stored with y first.
    datasets = [_dataset("0", scale_um, (0.0,) * len(axes))]
    ome = _multiscale(name, tuple(axes), datasets)
    ome["omero"] = {"name": name, "channels": _channels(1)}
    return {"ome": ome}


def _multiscale(name: str, axes: Sequence[str], datasets: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": name,
                "axes": [_axis(axis) for axis in axes],
                "datasets": datasets,
                "type": "mean",
                "metadata": {"description": "two by two pixels averaged, rounded to the nearest"},
            }
        ],
    }


def _axis(name: str) -> dict[str, str]:
    if name == "c":
        return {"name": "c", "type": "channel"}
    return {"name": name, "type": "space", "unit": "micrometer"}


def _dataset(path: str, scale: Sequence[float], translation: Sequence[float]) -> dict[str, Any]:
    return {
        "path": path,
        "coordinateTransformations": [
            {"type": "scale", "scale": list(scale)},
            {"type": "translation", "translation": list(translation)},
        ],
    }


def _channels(count: int) -> list[dict[str, Any]]:
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    named = _COLOURS if count == 3 else (("brightfield", "FFFFFF"),)
    return [
        {"label": label, "color": colour, "active": True, "window": window}
        for label, colour in named
    ]
