"""What a folder of many files is: an image, a session, a recording; by what its root says."""

from __future__ import annotations

import re
from typing import Any, Final

from openallen.formats.objects import Objects
from openallen.json_text import load_json

__all__ = ["H5", "STORE", "kind_of"]

H5: Final = (".nwb", ".h5", ".hdf5")
"""How files of HDF5 end."""
STORE: Final = re.compile(r"\.(zarr|nwb|n5|precomputed)/?$", re.IGNORECASE)
"""How folders are called that hold one thing in thousands of objects."""
_SIGNS: Final = ("zarr.json", ".zattrs", ".zgroup", ".zarray", "binary.json", "cached.json")


def kind_of(place: Objects) -> str:
    """Return what a folder holds by what is written to its root; empty where that says nothing."""
    place.ready(_SIGNS)
    if place.get("binary.json") is not None or place.get("cached.json") is not None:
        return "recording"
    told = _attributes(place)
    if told is None:
        return ""
    if "sampling_frequency" in told and "num_segments" in told:
        return "recording"
    if "nwb_version" in told or told.get("neurodata_type") == "NWBFile":
        return "session"
    ome = told.get("ome")
    return (
        "image"
        if "multiscales" in told or (isinstance(ome, dict) and "multiscales" in ome)
        else "zarr"
    )


def _attributes(place: Objects) -> dict[str, Any] | None:
    """Return the attributes of a Zarr store; None where there is none."""
    if (root := place.get("zarr.json")) is not None:
        told = _document(root).get("attributes")
        return told if isinstance(told, dict) else {}
    body = place.get(".zattrs")
    if body is None and place.get(".zgroup") is None and place.get(".zarray") is None:
        return None
    return _document(body or b"{}")


def _document(body: bytes) -> dict[str, Any]:
    try:
        told = load_json(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
