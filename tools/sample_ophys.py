"""One simulated two-photon session in the layout of Visual Coding's files (NWB 1.0)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

EXPERIMENT: Final = 900000001
CONTAINER: Final = 900000011
CELLS: Final = tuple(range(900000101, 900000121))
RATE_HZ: Final = 30.0
FIRST_S: Final = 8.25
FRAMES: Final = 4000
SIDE_PX: Final = 512
DIRECTIONS: Final = tuple(range(0, 360, 45))
_SIMULATED: Final = (
    "SIMULATED session of the openallen sample: no recording, every signal is made up"
)
_STEP: Final = 1 / 128
"""Values are multiples of this: they compress, and do not depend on how a machine rounds."""

Array = NDArray[Any]


class Session:
    """What is made up: stimuli by frame, how cells answer, how the mouse runs.

    Parameters
    ----------
    seed
        Of the generator, whose numbers are the same with every version of numpy.
    """

    def __init__(self, seed: int = 20261) -> None:
        self.random = np.random.RandomState(seed)
        self.gratings, self.movies, self.spontaneous = _stimuli(self.random)
        self.preferred = self.random.randint(0, len(DIRECTIONS), len(CELLS)) * 45.0
        self.speed = _running(self.random)
        self.dff = self._dff()

    def _dff(self) -> Array:
        """Return responses, cells x frames: tuned to direction, time-locked to movies, noisy."""
        random, shape = self.random, (len(CELLS), FRAMES)
        drive = np.zeros(shape)
        strength = 0.25 + 0.75 * random.rand(len(CELLS))
        for begin, end, _, direction, blank in self.gratings:
            if blank:
                continue
            away = np.deg2rad(direction - self.preferred)
            # Half of the answer to the preferred direction goes to the opposite one.
            tuned = np.exp(3 * (np.cos(away) - 1)) + 0.5 * np.exp(3 * (-np.cos(away) - 1))
            jitter = 0.6 + 0.8 * random.rand(len(CELLS))
            drive[:, begin + 4 : end + 4] += (strength * tuned * jitter)[:, None]
        for frames in self.movies.values():
            liked = random.randint(0, max(f for _, f in frames) + 1, len(CELLS))
            for at, shown in frames:
                near = np.abs(shown - liked) < 4
                drive[near, at] += 0.7 * strength[near]
        events = random.rand(*shape) < 0.004
        drive += events * (0.5 + random.rand(*shape))
        drive *= 1 + 0.3 * np.clip(self.speed / 30, 0, 1)[None]
        kernel = np.exp(-np.arange(60) / 12.0) - np.exp(-np.arange(60) / 2.0)
        smooth = np.stack([np.convolve(row, kernel)[:FRAMES] for row in drive]) / kernel.sum()
        return _stepped(1.5 * smooth + 0.04 * random.randn(*shape))


def write(path: Path) -> None:
    """Write the session.

    Parameters
    ----------
    path
        The file.
    """
    made = Session()
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        _general(file)
        pipeline = file.create_group("processing/brain_observatory_pipeline")
        times = FIRST_S + np.arange(FRAMES) / RATE_HZ
        _traces(pipeline, made, times)
        _segmentation(pipeline.create_group("ImageSegmentation"), made.random)
        _behavior(pipeline, made, times)
        _presentations(file, made)
        for name in ("acquisition", "analysis", "epochs"):
            file.create_group(name)


def _stimuli(
    random: np.random.RandomState,
) -> tuple[list[tuple[int, int, float, float, bool]], dict[str, list[tuple[int, int]]], Any]:
    """Return gratings, frames of movies, and the span without any stimulus, by frame.

    As in three_session_A: two blocks of gratings of 2 s with 1 s between, movies, spontaneous.
    """
    trials = [(2.0, float(d), False) for d in DIRECTIONS] * 3
    trials += [(8.0, float(d), False) for d in DIRECTIONS] + [(0.0, 0.0, True)] * 3
    order = random.permutation(len(trials))
    gratings, at = [], 30
    movies: dict[str, list[tuple[int, int]]] = {}
    for number, index in enumerate(order):
        if number == 18:
            at = _movie(movies, "natural_movie_three", at + 30, 60, 2) + 60
        frequency, direction, blank = trials[index]
        gratings.append((at, at + 60, frequency, direction, blank))
        at += 90
    spontaneous = (at + 10, at + 260)
    end = _movie(movies, "natural_movie_one", at + 290, 80, 3)
    assert end < FRAMES
    return gratings, movies, spontaneous


def _movie(movies: dict[str, Any], name: str, at: int, frames: int, repeats: int) -> int:
    movies[name] = [(at + n, n % frames) for n in range(frames * repeats)]
    return at + frames * repeats


def _running(random: np.random.RandomState) -> Array:
    """Return the speed at each frame: some bouts, still between them."""
    speed = np.zeros(FRAMES)
    for begin in random.randint(0, FRAMES - 400, 7):
        long = random.randint(120, 400)
        speed[begin : begin + long] += (20 + 15 * random.rand()) * np.hanning(long)
    return np.asarray(np.round(speed * 8 + random.randint(-3, 4, FRAMES)) / 8)


def _stepped(values: Array) -> Array:
    return np.asarray(np.round(values / _STEP) * _STEP, "float32")


def _put(place: h5py.Group, name: str, values: Any) -> h5py.Dataset:
    values = np.asarray(values)
    if values.dtype.kind == "U":
        values = values.astype("S")
    if values.size < 200:
        return place.create_dataset(name, data=values)
    return place.create_dataset(
        name, data=values, chunks=_chunks(values), compression="gzip", compression_opts=9,
        shuffle=values.dtype.itemsize > 1,
    )  # fmt: skip


def _chunks(values: Array) -> tuple[int, ...]:
    if values.ndim == 2 and values.shape[1] == FRAMES:
        return (1, FRAMES)  # a trace is read alone
    return values.shape


def _general(file: h5py.File) -> None:
    told = {
        "nwb_version": "NWB-1.0.6",
        "identifier": f"simulated {EXPERIMENT}.nwb",
        "session_description": _SIMULATED,
        "session_start_time": "Thu Jan 01 10:00:00 2026",
        "file_create_date": ["2026-01-01"],
        "general/notes": _SIMULATED,
        "general/session_id": str(EXPERIMENT),
        "general/experiment_container_id": str(CONTAINER),
        "general/session_type": "three_session_A",
        "general/fov": "400x400 microns (512 x 512 pixels)",
        "general/specimen_name": "Simulated-900000031",
        "general/generated_by": ["pipeline", "simulated", "version", "2.0"],
        "general/devices/2-photon microscope": (
            "CAM2P.0. Simulated multiphoton microscope Please see general/notes"
        ),
        "general/optophysiology/imaging_plane_1/imaging depth": "175 microns",
        "general/optophysiology/imaging_plane_1/location": "VISp",
        "general/optophysiology/imaging_plane_1/excitation_lambda": "910 nm",
        "general/optophysiology/imaging_plane_1/indicator": "GCaMP6f",
        "general/subject/age": "100 days",
        "general/subject/sex": "male",
        "general/subject/genotype": "Cux2-CreERT2/wt;Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/Ai93",
    }
    for name, value in told.items():
        _put(file, name, value)


def _traces(pipeline: h5py.Group, made: Session, times: Array) -> None:
    random = made.random
    baseline = np.round(100 + 80 * random.rand(len(CELLS)))[:, None]
    slow = np.cumsum(random.randint(-1, 2, FRAMES)) / 16
    neuropil = np.round(60 + slow - slow.mean() + 12 * made.dff.mean(0)) + np.zeros_like(made.dff)
    r = np.round((0.3 + 0.5 * random.rand(len(CELLS))) * 32) / 32
    # What is left of raw - r * neuropil is the baseline with the cell's own signal.
    raw = np.round((baseline * (1 + made.dff) + r[:, None] * neuropil) * 2) / 2
    place = pipeline.create_group("Fluorescence/imaging_plane_1")
    place["data"] = _put(pipeline, "Fluorescence/once", raw.astype("float32"))
    place["timestamps"] = clock = _put(pipeline, "Fluorescence/clock", times)
    for name in ("demixed_signal", "neuropil_response"):
        other = pipeline.create_group(f"Fluorescence/imaging_plane_1_{name}")
        other["timestamps"] = clock
        # No cells overlap here: demixed traces are the raw ones, stored once.
        if name == "demixed_signal":
            other["data"] = place["data"]
        else:
            _put(other, "data", neuropil.astype("float32"))
            _put(other, "r", r)
    del pipeline["Fluorescence/once"], pipeline["Fluorescence/clock"]
    place = pipeline.create_group("DfOverF/imaging_plane_1")
    _put(place, "data", made.dff)
    place["timestamps"] = clock


def _segmentation(place: h5py.Group, random: np.random.RandomState) -> None:
    names = [f"roi_{n:03}" for n in range(len(CELLS))]
    _put(place, "cell_specimen_ids", np.array(CELLS))
    _put(place, "roi_ids", np.array(CELLS) + 100)
    plane = place.create_group("imaging_plane_1")
    _put(plane, "roi_list", names)
    masks = _masks(random)
    for name, mask in zip(names, masks, strict=True):
        _put(plane, f"{name}/img_mask", mask.astype("uint8"))
        _put(plane, f"{name}/roi_description", "simulated cell")
    at = "reference_images/maximum_intensity_projection_image/data"
    _put(plane, at, _projection(masks, random))


def _masks(random: np.random.RandomState) -> list[Array]:
    """Return masks of cells about 12 µm wide, none of which touch."""
    down, right = np.mgrid[:SIDE_PX, :SIDE_PX]
    taken: list[tuple[int, int]] = []
    masks: list[Array] = []
    while len(masks) < len(CELLS):
        y, x = random.randint(30, SIDE_PX - 30, 2)
        if any(abs(y - a) + abs(x - b) < 44 for a, b in taken):
            continue
        taken.append((y, x))
        wide, tall = random.randint(6, 10, 2)
        masks.append(((down - y) / tall) ** 2 + ((right - x) / wide) ** 2 <= 1)
    return masks


def _projection(masks: list[Array], random: np.random.RandomState) -> Array:
    """Return a projection with the cells as rings, as an indicator outside of the nucleus shows."""
    coarse = random.randint(2, 6, (16, 16))
    image = np.kron(coarse, np.ones((SIDE_PX // 16, SIDE_PX // 16), int)) * 8
    for mask in masks:
        inner = mask & np.roll(mask, 4, 0) & np.roll(mask, -4, 0)
        inner &= np.roll(mask, 4, 1) & np.roll(mask, -4, 1)
        bright = 120 + 16 * random.randint(0, 7)
        image[mask] = bright
        image[inner] = bright // 2
    return image.astype("uint8")


def _behavior(pipeline: h5py.Group, made: Session, times: Array) -> None:
    random = made.random
    # Running has no value for the first and last frames, as in the published files.
    series = {"BehavioralTimeSeries/running_speed": (made.speed[3:-5], times[3:-5])}
    wander = np.cumsum(random.randint(-1, 2, (FRAMES // 2, 2)), 0) / 8
    gaze = np.round((wander - wander.mean(0)) * 8) / 8
    area = np.round(900 + 12 * made.speed[::2] + random.randint(-8, 9, FRAMES // 2))
    seen = times[::2] + 1 / 256
    series |= {
        "EyeTracking/pupil_location_spherical": (gaze, seen),
        "EyeTracking/pupil_location": (gaze / 4, seen),
        "PupilTracking/pupil_size": (area, seen),
    }
    for name, (data, when) in series.items():
        _put(pipeline, f"{name}/data", data)
        _put(pipeline, f"{name}/timestamps", when)
    moved = pipeline.create_group("MotionCorrection/2p_image_series/xy_translation")
    _put(moved, "data", random.randint(-4, 5, (FRAMES, 2)).astype(float))
    _put(moved, "feature_description", ["x_motion", "y_motion"])
    moved["timestamps"] = pipeline["DfOverF/imaging_plane_1/timestamps"]


def _presentations(file: h5py.File, made: Session) -> None:
    shown = file.create_group("stimulus/presentation")
    place = shown.create_group("drifting_gratings_stimulus")
    rows = [(f, d, float(b)) if not b else (np.nan, np.nan, 1.0) for *_, f, d, b in made.gratings]
    _put(place, "data", rows)
    _put(place, "features", ["temporal_frequency", "orientation", "blank_sweep"])
    _put(place, "frame_duration", [(begin, end) for begin, end, *_ in made.gratings])
    place = shown.create_group("spontaneous_stimulus")
    begin, end = made.spontaneous
    _put(place, "data", [1, -1])
    _put(place, "frame_duration", [(begin, begin), (end, end)])
    for name, frames in made.movies.items():
        place = shown.create_group(f"{name}_stimulus")
        _put(place, "data", [frame for _, frame in frames])
        _put(place, "frame_duration", [(at, at + 1) for at, _ in frames])
        count = max(frame for _, frame in frames) + 1
        _put(file, f"stimulus/templates/{name}_image_stack/data", _film(count, made.random))


def _film(count: int, random: np.random.RandomState) -> Array:
    """Return a movie of a bright disc that moves over stripes."""
    down, right = np.mgrid[:38, :76]
    film = np.empty((count, 38, 76), "uint8")
    phase = random.randint(0, 8)
    for number in range(count):
        film[number] = 64 + 48 * (((right + phase + number // 2) // 8) % 2)
        away = (down - 19) ** 2 + (right - 76 * number / count) ** 2
        film[number][away < 64] = 240
    return film
