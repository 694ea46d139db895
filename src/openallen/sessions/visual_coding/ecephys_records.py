"""Running, eyes, the rig and invalid times of a Visual Coding Neuropixels session."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError
from openallen.formats.nwb import frame
from openallen.formats.nwb.values import number
from openallen.sessions.lengths import number_columns, numbers, same_length
from openallen.sessions.metadata import age_in_days

if TYPE_CHECKING:
    import pandas as pd

    from openallen.formats.nwb import Tree

__all__ = [
    "EYES",
    "LIGHT",
    "RIG",
    "RUNNING",
    "description",
    "gaze_table",
    "invalid_spans",
    "invalid_table",
    "light_table",
    "pupil_table",
    "raw_running_table",
    "rig_table",
    "running_table",
    "subject",
]

RUNNING: Final = "processing/running/running_speed"
EYES: Final = "processing/eye_tracking"
RIG: Final = "processing/eye_tracking_rig_metadata/eye_tracking_rig_metadata"
LIGHT: Final = "processing/optotagging/optogenetic_stimulation"
INVALID: Final = "intervals/invalid_times"
_CLOCK: Final = "processing/raw_gaze_mapping/eye_area/timestamps"
_TIME: Final = "Time (s)"
_ELLIPSES: Final = (("cr", "corneal_reflection"), ("pupil", "pupil"), ("eye", "eye"))
_SCREEN: Final = (("screen_coordinates", "cm"), ("screen_coordinates_spherical", "deg"))


def subject(tree: Tree, session_type: str | None) -> dict[str, Any]:
    """Read what a file says of the animal; None for what it does not say.

    Parameters
    ----------
    tree
        The file.
    session_type
        Which stimuli were shown; AllenSDK has it among these, as ``stimulus_name``.
    """
    told = tree.attrs("general/subject") if tree.has("general/subject") else {}

    def text(name: str) -> str | None:
        place = f"general/subject/{name}"
        return str(tree.value(place)) if tree.has(place) else None

    days = told.get("age_in_days", age_in_days(tree))
    return {
        "specimen_name": told.get("specimen_name"),
        "age_in_days": None if days is None else number(days, "age_in_days", tree.name),
        "full_genotype": text("genotype"),
        "strain": text("strain"),
        "sex": text("sex"),
        "stimulus_name": session_type,
        "subject_id": text("subject_id"),
        "age": text("age"),
        "species": text("species"),
    }


def running_table(tree: Tree, *, rotation: bool = False) -> pd.DataFrame:
    """Read running.

    Parameters
    ----------
    tree
        The file.
    rotation
        Also how far the wheel turned.

    Returns
    -------
    DataFrame
        ``start_time`` and ``end_time`` in s, ``velocity`` in cm/s; ``net_rotation`` in rad.
    """
    import pandas as pd

    found = {
        "start_time": numbers(tree, f"{RUNNING}/timestamps"),
        "end_time": numbers(tree, f"{RUNNING}_end_times/timestamps"),
        "velocity": numbers(tree, f"{RUNNING}/data"),
    }
    if rotation:
        found["net_rotation"] = numbers(tree, "processing/running/running_wheel_rotation/data")
    same_length(tree, RUNNING, found)
    return pd.DataFrame(found)


def raw_running_table(tree: Tree) -> pd.DataFrame:
    """Read what the wheel was measured with.

    Returns
    -------
    DataFrame
        ``frame_time`` in s, ``net_rotation`` in rad, ``signal_voltage`` and ``supply_voltage`` in
        V.
    """
    import pandas as pd

    rotation = "acquisition/raw_running_wheel_rotation"
    found = {
        "frame_time": numbers(tree, f"{rotation}/timestamps"),
        "net_rotation": numbers(tree, f"{rotation}/data"),
        "signal_voltage": numbers(tree, "acquisition/running_wheel_signal_voltage/data"),
        "supply_voltage": numbers(tree, "acquisition/running_wheel_supply_voltage/data"),
    }
    same_length(tree, rotation, found)
    return pd.DataFrame(found)


# --- eyes -----------------------------------------------------------------------------------------


def gaze_table(tree: Tree, *, filtered: bool) -> pd.DataFrame | None:
    """Read where the animal looked; None where the file has no such.

    Parameters
    ----------
    tree
        The file.
    filtered
        Also without what is no likely measurement.

    Returns
    -------
    DataFrame or None
        Index time in s; areas in cm², places on the screen in cm and degrees. Files hold y before
        x.
    """
    import pandas as pd

    kinds = ("raw", "filtered") if filtered else ("raw",)
    if not all(tree.has(f"processing/{kind}_gaze_mapping") for kind in kinds):
        return None
    times = numbers(tree, _CLOCK)
    found: dict[str, Any] = {}
    for kind in kinds:
        place = f"processing/{kind}_gaze_mapping"
        for name in ("eye_area", "pupil_area"):
            found[f"{kind}_{name}"] = numbers(tree, f"{place}/{name}/data")
        for name, unit in _SCREEN:
            y_and_x = tree.array(f"{place}/{name}/data")
            if y_and_x.ndim != 2 or y_and_x.shape[1] != 2:
                why = f"{place}/{name}: {y_and_x.shape}"
                raise CorruptError("places that are not y and x", address=tree.name, why=why)
            found[f"{kind}_{name}_x_{unit}"] = y_and_x[:, 1]
            found[f"{kind}_{name}_y_{unit}"] = y_and_x[:, 0]
    same_length(tree, "processing/raw_gaze_mapping", {"times": times, **found})
    return pd.DataFrame(found, index=pd.Index(times, name=_TIME))


def pupil_table(tree: Tree) -> pd.DataFrame | None:
    """Read the ellipses of reflection, pupil and eye; None where nothing was tracked.

    Returns
    -------
    DataFrame or None
        Index time in s; centres, heights and widths in px (files hold half of these), ``phi`` in
        rad.
    """
    import pandas as pd

    if not tree.has(EYES) or not tree.has(_CLOCK):
        return None
    times = numbers(tree, _CLOCK)
    found: dict[str, Any] = {}
    for short, long in _ELLIPSES:
        table = frame(tree, f"{EYES}/{short}_ellipse_fits")
        parts = ("center_x", "center_y", "height", "width", "phi")
        number_columns(tree, f"{EYES}/{short}_ellipse_fits", table, parts)
        for name in parts:
            factor = 2 if name in {"height", "width"} else 1
            found[f"{long}_{name}"] = table[name].to_numpy() * factor
    same_length(tree, EYES, {"times": times, **found})
    return pd.DataFrame(found, index=pd.Index(times, name=_TIME))


def rig_table(tree: Tree) -> pd.DataFrame | None:
    """Read where monitor, camera and light stood; None where the file does not say it.

    Returns
    -------
    DataFrame or None
        Index ``x``, ``y``, ``z``; positions in mm, rotations in degrees.
    """
    import pandas as pd

    if not tree.has(RIG):
        return None
    found = {
        f"{name}_{unit}": numbers(tree, f"{RIG}/{name}")
        for name, unit in (
            ("monitor_position", "mm"),
            ("camera_position", "mm"),
            ("led_position", "mm"),
            ("monitor_rotation", "deg"),
            ("camera_rotation", "deg"),
        )
    }
    same_length(tree, RIG, {"axes": "xyz", **found})
    return pd.DataFrame(found, index=pd.Index(list("xyz"), dtype=object))


# --- invalid times --------------------------------------------------------------------------------


def invalid_table(tree: Tree) -> pd.DataFrame:
    """Read the times in which something was wrong; empty where the file has none.

    Returns
    -------
    DataFrame
        Index ``id``; ``start_time`` and ``stop_time`` in s, ``tags``: a list of words that say what
        is invalid: the name and id of a probe, ``all_probes``, ``stimulus``.
    """
    import pandas as pd

    if not tree.has(INVALID):
        return pd.DataFrame()
    made = frame(tree, INVALID, ("timeseries",), "id")
    number_columns(tree, INVALID, made, ("start_time", "stop_time"))
    if "tags" in made:
        made["tags"] = pd.Series([_words(t) for t in made["tags"]], made.index, dtype=object)
    return made


def _words(tags: Any) -> list[str]:
    return [tags] if isinstance(tags, str) else [str(tag) for tag in tags]


def light_table(tree: Tree) -> pd.DataFrame:
    """Read the pulses of light: times and ``duration`` in s, ``level`` in V; index ``id``."""
    made = frame(tree, LIGHT, ("tags", "timeseries"), "id")
    number_columns(tree, LIGHT, made, ("start_time", "stop_time"))
    return made


def invalid_spans(made: pd.DataFrame, tags: Collection[str]) -> list[tuple[float, float]]:
    """Return from and to, in s, of the invalid times that carry one of some tags."""
    if not len(made) or "tags" not in made:
        return []
    rows = zip(made["start_time"], made["stop_time"], made["tags"], strict=True)
    return [(float(a), float(b)) for a, b, words in rows if set(words) & set(tags)]


def description(tree: Tree) -> str | None:
    """Return what a file says of itself, where that is more than that it is a session.

    Parameters
    ----------
    tree
        The file.
    """
    place = "session_description"
    text = str(tree.value(place)) if tree.has(place) else ""
    return text if len(text.split()) > 3 else None
