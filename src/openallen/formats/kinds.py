"""What a folder of many files is: an image, a session, a recording; by what its root says."""

from __future__ import annotations

import re
from typing import Any, Final

from openallen.formats.objects import Objects
from openallen.json_text import load_json

__all__ = ["H5", "SORTINGS", "STORE", "kind_of"]

H5: Final = (".nwb", ".h5", ".hdf5")
"""How files of HDF5 end."""
STORE: Final = re.compile(r"\.(zarr|nwb|n5|precomputed)/?$", re.IGNORECASE)
"""How folders are called that hold one thing in thousands of objects."""
SORTINGS: Final = {
    "numpysorting_info.json": "sorting",
    "sorting_cached.npz": "sorting",
    "spikeinterface_info.json": "analyzer",
}
"""What a folder of SpikeInterface holds, by a file at its root."""
_SIGNS: Final = ("zarr.json", ".zattrs", ".zgroup", ".zarray", "binary.json", "cached.json")


def kind_of(place: Objects) -> str:
    """Return what a folder holds by what is written to its root; empty where that says nothing."""
    place.ready(_SIGNS)
    if place.get("binary.json") is not None or place.get("cached.json") is not None:
        return "recording"
    told = _attributes(place)
    if told is None:
        return next((kind for name, kind in SORTINGS.items() if place.stat(name) is not None), "")
    about = told.get("spikeinterface_info")
    if isinstance(about, dict) and about.get("object") == "SortingAnalyzer":
        return "analyzer"
    if "sampling_frequency" in told and "num_segments" in told:
        return "sorting" if _is_sorting(place, told) else "recording"
    if "nwb_version" in told or told.get("neurodata_type") == "NWBFile":
        return "session"
    ome = told.get("ome")
    return (
        "image"
        if "multiscales" in told or (isinstance(ome, dict) and "multiscales" in ome)
        else "zarr"
    )


def _is_sorting(place: Objects, told: dict[str, Any]) -> bool:
    """Return whether a store has units, not traces; both say the same of their rate."""
    about = told.get("zarr_class_info")
    named = str(about.get("class") or "") if isinstance(about, dict) else ""
    if named:
        return "Sorting" in named
    return any(place.get(f"unit_ids/{name}") is not None for name in (".zarray", "zarr.json"))


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
