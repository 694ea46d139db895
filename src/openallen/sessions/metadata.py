"""Who, where, when and with what: the metadata of a session as dictionaries."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from openallen.errors import CorruptError
from openallen.formats.nwb.values import whole

if TYPE_CHECKING:
    from openallen.formats.nwb import Tree

__all__ = [
    "age_in_days",
    "behavior_metadata",
    "moment",
    "ophys_metadata",
    "task_parameters",
    "told_id",
]

_PLACE = "general/metadata"
_PLANE = "general/optophysiology"
_WORDS = {
    "stimulus": {"images", "grating"},
    "stimulus_distribution": {"geometric", "exponential"},
    "task": {"change detection"},
}


def told_id(tree: Tree, name: str) -> int:
    """Return an id among the metadata of a session.

    Raises
    ------
    CorruptError
        If it is not there, or no whole number.
    """
    return whole(tree.attrs(_PLACE).get(name), name, tree.name)


def behavior_metadata(tree: Tree) -> dict[str, Any]:
    """Read the metadata that every session has.

    Returns
    -------
    dict
        ``stimulus_frame_rate`` in Hz, ``age_in_days``, ``date_of_acquisition`` in UTC, names as
        the releases have them.
    """
    told = tree.attrs(_PLACE)
    subject = tree.attrs("general/subject")
    genotype = str(tree.value("general/subject/genotype"))
    uid = told.get("behavior_session_uuid", "None")
    reporter = subject.get("reporter_line")
    drivers = subject.get("driver_line")
    return {
        "equipment_name": told["equipment_name"],
        "sex": tree.value("general/subject/sex"),
        "age_in_days": age_in_days(tree),
        "stimulus_frame_rate": told["stimulus_frame_rate"],
        "session_type": told["session_type"],
        "date_of_acquisition": moment(str(tree.value("session_start_time"))),
        "reporter_line": None if reporter == "None" else reporter,
        "cre_line": _cre_line(genotype),
        "behavior_session_uuid": None if uid == "None" else uuid.UUID(uid),
        "driver_line": None if drivers is None else sorted(drivers),
        "mouse_id": str(tree.value("general/subject/subject_id")),
        "project_code": told.get("project_code", "Not Available"),
        "full_genotype": genotype,
        "behavior_session_id": told["behavior_session_id"],
    }


def age_in_days(tree: Tree) -> int | None:
    """Return the age of the subject, as ``P102D`` tells it; None where it does not."""
    if not tree.has("general/subject/age"):
        return None
    found = re.match(r"P\D*(\d+)", str(tree.value("general/subject/age")))
    return int(found[1]) if found else None


def moment(text: str) -> datetime:
    """Return a time in UTC; one without a zone is in UTC."""
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _cre_line(genotype: str) -> str | None:
    line, semicolon, _ = genotype.partition(";")
    return line.replace("/wt", "") if semicolon else None


def ophys_metadata(tree: Tree, *, allensdk_compatible: bool) -> dict[str, Any]:
    """Read the metadata of an imaging experiment, all of `behavior_metadata` first.

    Returns
    -------
    dict
        Wavelengths in nm, ``ophys_frame_rate`` in Hz, fields of view in px, depths in µm.
    """
    told = tree.attrs(_PLACE)
    planes = tree.names(_PLANE)
    plane = f"{_PLANE}/{planes[0]}"
    channels = [n for n in tree.names(plane) if tree.has(f"{plane}/{n}/emission_lambda")]
    found = behavior_metadata(tree)
    several = told.get("imaging_plane_group_count", 0) > 1
    container = told.get("ophys_container_id")
    if container is None and not allensdk_compatible:
        container = told.get("experiment_container_id")
    hidden = allensdk_compatible and told.get("ophys_container_id") is None
    return found | {
        "indicator": _indicator(found["reporter_line"]),
        "emission_lambda": tree.value(f"{plane}/{channels[0]}/emission_lambda"),
        "excitation_lambda": tree.value(f"{plane}/excitation_lambda"),
        "ophys_container_id": container,
        "field_of_view_height": told["field_of_view_height"],
        "field_of_view_width": told["field_of_view_width"],
        "imaging_depth": None if hidden else told.get("imaging_depth"),
        "targeted_imaging_depth": told.get("targeted_imaging_depth"),
        "imaging_plane_group": told["imaging_plane_group"] if several else None,
        "imaging_plane_group_count": told["imaging_plane_group_count"] if several else 0,
        "ophys_experiment_id": whole(tree.value("identifier"), "identifier", tree.name),
        "ophys_frame_rate": tree.value(f"{plane}/imaging_rate"),
        "ophys_session_id": told["ophys_session_id"],
        "targeted_structure": tree.value(f"{plane}/location"),
    }


def _indicator(reporter: str | None) -> str | None:
    text = reporter or ""
    if "GCaMP6f" in text or "GC6f" in text:
        return "GCaMP6f"
    return "GCaMP6s" if "GCaMP6s" in text else None


def task_parameters(tree: Tree) -> dict[str, Any]:
    """Read the parameters of the task.

    Returns
    -------
    dict
        Durations in s, volumes in mL; ``image_set`` follows from the type of the session.

    Raises
    ------
    CorruptError
        If a word is none the task knows.
    """
    told: Mapping[str, Any] = tree.attrs("general/task_parameters")
    for name, words in _WORDS.items():
        if told[name] not in words:
            raise CorruptError(
                f"unknown {name}", address=tree.name, why=f"{told[name]!r} is not in {words}"
            )
    return {
        "auto_reward_volume": told["auto_reward_volume"],
        "blank_duration_sec": [float(v) for v in told["blank_duration_sec"]],
        "image_set": _image_set(str(told["session_type"]), tree.name),
        "n_stimulus_frames": told["n_stimulus_frames"],
        "omitted_flash_fraction": told["omitted_flash_fraction"],
        "response_window_sec": [float(v) for v in told["response_window_sec"]],
        "reward_volume": told["reward_volume"],
        "session_type": told["session_type"],
        "stimulus": told["stimulus"],
        "stimulus_distribution": told["stimulus_distribution"],
        "stimulus_duration_sec": told["stimulus_duration_sec"],
        "stimulus_name": told.get("stimulus_name"),
        "task": told["task"],
    }


def _image_set(session_type: str, name: str) -> str:
    words = session_type.split("_")
    if len(words) > 3 and words[2] == "images":
        return f"images_{words[3]}"
    if len(words) > 2 and words[2] == "gratings":
        return "gratings"
    raise CorruptError("the type of the session names no image set", address=name, why=session_type)
