"""Eye tracking: three ellipses a frame, and which frames are blinks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from openallen.errors import CorruptError
from openallen.sessions.lengths import same_length

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from openallen.formats.nwb import Tree

__all__ = ["Coordinates", "eye_tracking", "rig_geometry"]

_PLACE: Final = "acquisition/EyeTracking"
_RIG: Final = "processing/eye_tracking_rig_metadata/eye_tracking_rig_metadata"
_ELLIPSES: Final = (
    ("cr", "corneal_reflection_tracking"),
    ("eye", "eye_tracking"),
    ("pupil", "pupil_tracking"),
)
_HIDDEN_IN_BLINKS: Final = (
    "eye_area",
    "pupil_area",
    "cr_area",
    "eye_width",
    "eye_height",
    "eye_phi",
    "pupil_width",
    "pupil_height",
    "pupil_phi",
)


class Coordinates(NamedTuple):
    """A position or rotation of a part of the rig."""

    x: float
    y: float
    z: float


def eye_tracking(tree: Tree, z_threshold: float, dilation_frames: int) -> pd.DataFrame:
    """Read the ellipses of eye, pupil and corneal reflection.

    Blinks are found anew: frames whose eye or pupil area lies more than `z_threshold` standard
    deviations from the mean or is missing, widened by `dilation_frames` on both sides. The unit
    attribute in the files says meters; the values are pixels of the camera.

    Returns
    -------
    DataFrame
        Index ``frame``; ``timestamps`` in s, areas in px², centres, widths and heights in px,
        ``phi`` in rad; ``likely_blink``. Empty where nothing was tracked.
    """
    import pandas as pd

    if not tree.has(_PLACE):
        return _empty()
    stored = ("data", "area_raw", "width", "height", "angle", "timestamps")
    tree.ready([f"{_PLACE}/{long}/{part}" for _, long in _ELLIPSES for part in stored])
    read = {short: _ellipse(tree, f"{_PLACE}/{long}") for short, long in _ELLIPSES}
    times = tree.array(f"{_PLACE}/eye_tracking/timestamps")
    every = {f"{s} {part}": v for s, parts in read.items() for part, v in parts.items()}
    same_length(tree, _PLACE, {"times": times, **every})
    blink = _blinks(read["eye"]["area"], read["pupil"]["area"], z_threshold, dilation_frames)
    found: dict[str, Any] = {"timestamps": times}
    found |= {f"{short}_area": read[short]["area"] for short in ("cr", "eye", "pupil")}
    found["likely_blink"] = blink
    found |= {f"{short}_area_raw": read[short]["area"] for short in ("pupil", "cr", "eye")}
    for short, _ in _ELLIPSES:
        parts = ("center_x", "center_y", "width", "height", "phi")
        found |= {f"{short}_{part}": read[short][part] for part in parts}
    for name in _HIDDEN_IN_BLINKS:
        found[name] = _without(found[name], blink)
    made = pd.DataFrame(found)
    made.index.name = "frame"
    return made


def _ellipse(tree: Tree, path: str) -> dict[str, np.ndarray[Any, Any]]:
    centre = tree.array(f"{path}/data")
    if centre.ndim != 2 or centre.shape[1] != 2:
        raise CorruptError(
            "centres that are not x and y", address=tree.name, why=f"{path}: {centre.shape}"
        )
    return {
        "area": tree.array(f"{path}/area_raw"),
        "center_x": centre[:, 0],
        "center_y": centre[:, 1],
        "width": tree.array(f"{path}/width"),
        "height": tree.array(f"{path}/height"),
        "phi": tree.array(f"{path}/angle"),
    }


def _without(values: np.ndarray[Any, Any], blink: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    made = values.astype("float64")
    made[blink] = np.nan
    return made


def _blinks(
    eye: np.ndarray[Any, Any], pupil: np.ndarray[Any, Any], z_threshold: float, dilation: int
) -> np.ndarray[Any, Any]:
    import numpy as np

    blink = np.isnan(eye) | np.isnan(pupil)
    for area in (eye, pupil):
        if not np.isnan(area).all():
            with np.errstate(invalid="ignore", divide="ignore"):
                z = (area - np.nanmean(area)) / np.nanstd(area)
                blink |= np.abs(z) > z_threshold
    wide: np.ndarray[Any, Any] = blink.copy()
    for step in range(1, dilation + 1):
        wide[step:] |= blink[:-step]
        wide[:-step] |= blink[step:]
    return wide


def _empty() -> pd.DataFrame:
    import pandas as pd

    areas = ["cr_area", "eye_area", "pupil_area", "likely_blink"]
    raw = ["pupil_area_raw", "cr_area_raw", "eye_area_raw"]
    parts = ("center_x", "center_y", "width", "height", "phi")
    rest = [f"{short}_{part}" for short, _ in _ELLIPSES for part in parts]
    made = pd.DataFrame(columns=["timestamps", *areas, *raw, *rest], dtype="float64")
    made.index = pd.Index([], dtype=object, name="frame")
    return made


def rig_geometry(tree: Tree) -> dict[str, Any]:
    """Read where monitor, camera and light stood, in mm and degrees.

    Returns
    -------
    dict
        ``camera_position_mm``, ``camera_rotation_deg``, ``equipment``, ``led_position`` (mm),
        ``monitor_position_mm``, ``monitor_rotation_deg``; empty where nothing was tracked. The
        vectors have ``x``, ``y`` and ``z``.
    """
    if not tree.has(_RIG):
        return {}

    def vector(name: str) -> Coordinates:
        return Coordinates(*(float(v) for v in tree.array(f"{_RIG}/{name}")))

    return {
        "camera_position_mm": vector("camera_position"),
        "camera_rotation_deg": vector("camera_rotation"),
        "equipment": tree.attrs(_RIG)["equipment"],
        "led_position": vector("led_position"),
        "monitor_position_mm": vector("monitor_position"),
        "monitor_rotation_deg": vector("monitor_rotation"),
    }
