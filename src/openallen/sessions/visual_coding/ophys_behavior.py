"""Running, pupil and motion of the image in a Visual Coding two-photon file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openallen.errors import CorruptError, NotFoundError
from openallen.sessions.lengths import same_length
from openallen.sessions.visual_coding.ophys_metadata import PIPELINE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.formats.nwb import Tree

__all__ = ["PUPIL_SIZE", "RUNNING", "eye_tracking", "motion", "pupil_location", "pupil_size",
           "running"]  # fmt: skip

RUNNING: Final = f"{PIPELINE}/BehavioralTimeSeries/running_speed"
PUPIL_SIZE: Final = f"{PIPELINE}/PupilTracking/pupil_size"
_LOCATIONS: Final = {True: f"{PIPELINE}/EyeTracking/pupil_location_spherical",
                     False: f"{PIPELINE}/EyeTracking/pupil_location"}  # fmt: skip
_MOTION: Final = f"{PIPELINE}/MotionCorrection/2p_image_series"

Series = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]


def running(tree: Tree, frames: np.ndarray[Any, Any]) -> Series:
    """Return running speed in cm/s and its times in s, one for each frame of the movie.

    Frames before the first and behind the last sample have NaN.

    Parameters
    ----------
    tree
        The file.
    frames
        Time of each frame, in s.

    Raises
    ------
    NotFoundError
        If the file has none.
    CorruptError
        If it begins at no frame, or does not go with its times.
    """
    import numpy as np

    speed, times = _series(tree, RUNNING, "running speed")
    if speed.ndim == 2 and speed.shape[1] == 1:  # as the first pipeline stored it
        speed = speed[:, 0]
    if speed.ndim != 1:
        raise CorruptError(
            "running speed that is not one row", address=tree.name, why=f"{speed.shape}"
        )
    before = np.flatnonzero(frames == times[0]) if len(times) else np.array([len(frames)])
    if not len(before):
        raise CorruptError(
            "running speed that begins at no frame of the movie",
            address=tree.name,
            why=f"{RUNNING}: from {times[0]:g} s",
        )
    ahead = int(before[0])
    behind = max(0, len(frames) - ahead - len(times))
    made = np.concatenate([np.full(ahead, np.nan), speed, np.full(behind, np.nan)])
    return made, np.concatenate([frames[:ahead], times, frames[len(frames) - behind :]])


def _series(tree: Tree, place: str, what: str, why: str = "") -> Series:
    if not tree.has(f"{place}/data"):
        raise NotFoundError(f"no {what}", address=tree.name, why=why or f"no {place}")
    values, times = tree.array(f"{place}/data"), tree.array(f"{place}/timestamps")
    same_length(tree, place, {"times": times, "values": values})
    return values, times


def pupil_location(tree: Tree, *, as_spherical: bool) -> Series:
    """Return times in s, and where the pupil points: n x 2, in degrees or in cm on the screen.

    Raises
    ------
    NotFoundError
        If the file has no eye tracking.
    """
    values, times = _series(
        tree, _LOCATIONS[as_spherical], "eye tracking", "the eye was not filmed, or not tracked"
    )
    if values.ndim != 2 or values.shape[1] != 2:
        raise CorruptError(
            "places of the pupil that are not two numbers", address=tree.name, why=f"{values.shape}"
        )
    return times, values


def pupil_size(tree: Tree) -> Series:
    """Return times in s, and the area of the pupil in px².

    Raises
    ------
    NotFoundError
        If the file has none.
    """
    values, times = _series(
        tree, PUPIL_SIZE, "pupil tracking", "the eye was not filmed, or not tracked"
    )
    return times, values


def eye_tracking(tree: Tree) -> pd.DataFrame:
    """Return all that the file has of the pupil, by time; NaN where it was not found.

    Raises
    ------
    NotFoundError
        If the file has no eye tracking.
    """
    import pandas as pd

    made: pd.DataFrame | None = None
    if tree.has(PUPIL_SIZE):
        times, area = pupil_size(tree)
        made = pd.DataFrame({"timestamps": times, "pupil_area": area})
    for spherical, unit in ((True, "deg"), (False, "cm")):
        if tree.has(_LOCATIONS[spherical]):
            times, places = pupil_location(tree, as_spherical=spherical)
            columns = {f"pupil_x_{unit}": places[:, 0], f"pupil_y_{unit}": places[:, 1]}
            part = pd.DataFrame({"timestamps": times, **columns})
            made = part if made is None else _joined(made, part)
    if made is None:
        raise NotFoundError(
            "no eye tracking", address=tree.name, why="the eye was not filmed, or not tracked"
        )
    made.index.name = "frame"
    return made


def _joined(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """Put columns beside each other; by their times where these differ."""
    if left["timestamps"].equals(right["timestamps"]):
        return left.join(right.drop(columns="timestamps"))
    return left.merge(right, on="timestamps", how="outer")


def motion(tree: Tree) -> pd.DataFrame:
    """Return by how many px each frame was shifted: ``x_motion``, ``y_motion``, ``timestamp``.

    Raises
    ------
    NotFoundError
        If the file has none.
    CorruptError
        If the columns and their names differ in number.
    """
    import pandas as pd

    names = ("xy_translations", "xy_translation")  # the first where both are there, as in AllenSDK
    place = next((f"{_MOTION}/{n}" for n in names if tree.has(f"{_MOTION}/{n}/data")), "")
    shifts, times = _series(tree, place or f"{_MOTION}/{names[-1]}", "motion correction")
    columns = [str(name) for name in tree.array(f"{place}/feature_description").reshape(-1)]
    if shifts.ndim != 2 or shifts.shape[1] != len(columns):
        raise CorruptError(
            "shifts and their names do not go together",
            address=tree.name,
            why=f"{place}: data {shifts.shape}, feature_description {', '.join(columns)}",
        )
    made = pd.DataFrame(shifts, columns=columns)
    made["timestamp"] = times
    return made
