"""Who, where, when and with what: metadata of Visual Coding two-photon files (NWB 1)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from openallen.formats.nwb.values import whole

if TYPE_CHECKING:
    from openallen.formats.nwb import Tree

__all__ = [
    "PIPELINE",
    "allen_metadata",
    "generation",
    "ophys_metadata",
    "pipeline_version",
    "pixel_um",
]

PIPELINE: Final = "processing/brain_observatory_pipeline"
"""The group that all data of the pipeline are in, and no other kind of file has."""
_PLANE: Final = "general/optophysiology/imaging_plane_1"
_PLACES: Final = {
    "sex": "general/subject/sex",
    "targeted_structure": f"{_PLANE}/location",
    "ophys_experiment_id": "general/session_id",
    "experiment_container_id": "general/experiment_container_id",
    "excitation_lambda": f"{_PLANE}/excitation_lambda",
    "indicator": f"{_PLANE}/indicator",
    "fov": "general/fov",
    "genotype": "general/subject/genotype",
    "session_start_time": "session_start_time",
    "session_type": "general/session_type",
    "specimen_name": "general/specimen_name",
}
_DESCRIPTION: Final = "session_description"
_IDS: Final = ("ophys_experiment_id", "experiment_container_id")
_ALWAYS: Final = (*_IDS, "imaging_depth_um")
"""What AllenSDK names with None where the file does not say it."""
_GENERATED_BY: Final = "general/generated_by"
_FIRST_VERSION: Final = "0.9"
_STARTED: Final = ("%a %b %d %H:%M:%S %Y", "%Y-%m-%d %H:%M:%S")


def pipeline_version(tree: Tree) -> str:
    """Return the version of the pipeline that wrote a file; 0.9 where it says none."""
    if not tree.has(_GENERATED_BY):
        return _FIRST_VERSION
    told = tree.array(_GENERATED_BY).reshape(-1)
    return str(told[-1]) if len(told) else _FIRST_VERSION


def generation(tree: Tree) -> int:
    """Return the first number of the version; that of the newest where it is none."""
    found = re.match(r"\d+", pipeline_version(tree))
    return int(found[0]) if found else 3


def allen_metadata(tree: Tree) -> dict[str, Any]:
    """Return the metadata under AllenSDK's names, in its order.

    Returns
    -------
    dict
        Ids as int, ``session_start_time`` as a datetime without time zone as the file has it,
        ``imaging_depth_um``, ``age_days``, ``cre_line``; texts as they are stored. What the file
        does not say, or not in the usual words, is left out, but for the two ids, depth and
        ``cre_line``, which are None.
    """
    found = {name: _text(tree, place) for name, place in _PLACES.items() if tree.has(place)}
    made: dict[str, Any] = dict(found)
    for name in _IDS:
        if name in made:
            made[name] = whole(made[name], name, tree.name)
    if "session_start_time" in made:
        made["session_start_time"] = _moment(found["session_start_time"])
    genotype = found.get("genotype", "")
    made["cre_line"] = genotype.partition(";")[0] or None
    made |= dict.fromkeys(name for name in _ALWAYS if name not in made)
    made |= _numbers(tree) | _device(tree)
    made["pipeline_version"] = pipeline_version(tree)
    return made


def _text(tree: Tree, place: str) -> str:
    return str(tree.value(place))


def _numbers(tree: Tree) -> dict[str, int]:
    """Return depth and age: numbers with their units in one text."""
    made = {}
    depth, age = f"{_PLANE}/imaging depth", "general/subject/age"
    if tree.has(depth) and (found := re.match(r"\s*(\d+)", _text(tree, depth))):
        made["imaging_depth_um"] = int(found[1])
    if tree.has(age) and (found := re.match(r"\s*(\d+) days", _text(tree, age))):
        made["age_days"] = int(found[1])
    return made


def _device(tree: Tree) -> dict[str, str]:
    """Return which microscope it was, and of what model: ``CAM2P.2. Nikon … Please see …``."""
    place = "general/devices/2-photon microscope"
    if not tree.has(place):
        return {}
    found = re.match(r"(.*?)\.\s(.*?)\sPlease", _text(tree, place))
    return {"device": found[1], "device_name": found[2]} if found else {}


def _moment(text: str) -> datetime | str:
    for form in _STARTED:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - the files name no time zone
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def ophys_metadata(tree: Tree) -> dict[str, Any]:
    """Return the metadata in the words of `BehaviorOphysExperiment`, and what is beyond these.

    Returns
    -------
    dict
        Depth in µm, wavelength in nm, age in days, ``date_of_acquisition`` in UTC (the files name
        no time zone); None for what the file does not say.
    """
    told = allen_metadata(tree)
    wavelength = re.match(r"\s*([\d.]+)", str(told.get("excitation_lambda", "")))
    started = told.get("session_start_time")
    begun = started.replace(tzinfo=UTC) if isinstance(started, datetime) else None
    same = ("ophys_experiment_id", "session_type", "targeted_structure", "sex", "indicator")
    return {
        **{name: told.get(name) for name in same},
        "ophys_container_id": told.get("experiment_container_id"),
        "date_of_acquisition": begun,
        "cre_line": told["cre_line"],
        "full_genotype": told.get("genotype"),
        "specimen_name": told.get("specimen_name"),
        "age_in_days": told.get("age_days"),
        "imaging_depth": told.get("imaging_depth_um"),
        "excitation_lambda": float(wavelength[1]) if wavelength else None,
        "field_of_view": told.get("fov"),
        "equipment_name": told.get("device"),
        "device_name": told.get("device_name"),
        "pipeline_version": told["pipeline_version"],
        "session_description": _text(tree, _DESCRIPTION) if tree.has(_DESCRIPTION) else None,
    }


def pixel_um(tree: Tree) -> tuple[float, float]:
    """Return the size of a pixel along rows and columns in µm; NaN where the file names none."""
    text = _text(tree, _PLACES["fov"]) if tree.has(_PLACES["fov"]) else ""
    found = re.match(r"\s*(\d+)\s*x\s*(\d+) microns \((\d+)\s*x\s*(\d+) pixels\)", text)
    if not found:
        return float("nan"), float("nan")
    width_um, height_um, columns, rows = (int(n) for n in found.groups())
    if not rows or not columns:
        return float("nan"), float("nan")
    return height_um / rows, width_um / columns
