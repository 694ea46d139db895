"""Small Visual Coding two-photon files for tests, as three generations of the pipeline wrote them.

All numbers are made up; what is where, and of what kind, is as in the published files.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

PIPELINE = "processing/brain_observatory_pipeline"
FIRST_S = 8.25
STEP_S = 1 / 32
"""Frames are so far apart, which doubles hold without rounding."""
IDS = (517464716, 517413197, 517488064, 517400001, 517400002, 517400003)
SHOWN = {
    "three_session_A": ("drifting_gratings", "natural_movie_three", "spontaneous",
                        "natural_movie_one", "drifting_gratings"),
    "three_session_B": ("static_gratings", "natural_scenes", "spontaneous", "natural_movie_one",
                        "static_gratings"),
    "three_session_C": ("locally_sparse_noise", "spontaneous", "natural_movie_one",
                        "natural_movie_two", "locally_sparse_noise"),
    "three_session_C2": ("locally_sparse_noise_4deg", "natural_movie_one", "spontaneous",
                         "locally_sparse_noise_8deg", "natural_movie_two",
                         "locally_sparse_noise_4deg"),
}  # fmt: skip
"""Which stimuli follow each other in a session of a type, one epoch each."""
IMAGES = {
    "locally_sparse_noise": (6, 16, 28),
    "locally_sparse_noise_4deg": (6, 16, 28),
    "locally_sparse_noise_8deg": (6, 8, 14),
    "natural_scenes": (5, 4, 6),
    "natural_movie_one": (4, 3, 5),
    "natural_movie_two": (4, 3, 5),
    "natural_movie_three": (4, 3, 5),
}
FEATURES = {
    "drifting_gratings": ("temporal_frequency", "orientation", "blank_sweep"),
    "static_gratings": ("orientation", "spatial_frequency", "phase"),
}
_PAUSE = 50  # frames between epochs, more than any gap within one


def write_ophys(
    path: Path,
    *,
    pipeline: str = "2.0",
    session_type: str = "three_session_A",
    cells: int = 3,
    frames: int = 900,
    eye: bool = True,
    dff_more: int = 0,
    seed: int = 1,
    chunk_rows: int | None = None,
) -> Path:
    """Write a file; `pipeline` 0.9 says nothing of itself, and has its running as N x 1."""
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        _about(file, pipeline, session_type)
        times = FIRST_S + np.arange(frames) * STEP_S
        _traces(file, rng, pipeline, cells, times, dff_more, chunk_rows)
        _segmentation(file, rng, cells)
        _behavior(file, rng, pipeline, times, eye)
        _stimuli(file, rng, pipeline, session_type)
    return path


def _about(file: h5py.File, pipeline: str, session_type: str) -> None:
    texts = {
        "nwb_version": "NWB-1.0.6",
        "identifier": "made up",
        "session_description": "made up",
        "session_start_time": "Wed Sep 02 10:00:00 2015",
        "general/session_id": "501940850",
        "general/experiment_container_id": "511510736",
        "general/session_type": session_type,
        "general/fov": "400x200 microns (40 x 20 pixels)",
        "general/specimen_name": "Made-Up-200301",
        "general/devices/2-photon microscope": "CAM2P.2. Nikon A1R-MP Please see the white paper",
        "general/optophysiology/imaging_plane_1/imaging depth": "175 microns",
        "general/optophysiology/imaging_plane_1/location": "VISl",
        "general/optophysiology/imaging_plane_1/excitation_lambda": "910 nm",
        "general/optophysiology/imaging_plane_1/indicator": "GCaMP6f",
        "general/subject/age": "111 days",
        "general/subject/sex": "male",
        "general/subject/genotype": "Cux2-CreERT2/wt;Camk2a-tTA/wt",
    }
    for place, text in texts.items():
        file[place] = np.bytes_(text)
    for name in ("acquisition/images", "analysis", "epochs"):
        file.create_group(name)
    if pipeline != "0.9":
        file["general/generated_by"] = np.array([b"pipeline", b"x", b"version", pipeline.encode()])


def _traces(  # noqa: PLR0917 - the parts of one file
    file: h5py.File,
    rng: np.random.Generator,
    pipeline: str,
    cells: int,
    times: np.ndarray,
    dff_more: int,
    chunk_rows: int | None,
) -> None:
    def trace(count: int) -> np.ndarray:
        return rng.integers(-64, 512, (cells, count)).astype("float32") / 4

    def put(place: str, data: np.ndarray) -> None:
        chunks = None if chunk_rows is None else (chunk_rows, data.shape[1])
        file.create_dataset(place, data=data, chunks=chunks)

    plane = f"{PIPELINE}/Fluorescence/imaging_plane_1"
    put(f"{plane}/data", trace(len(times)))
    file[f"{plane}/timestamps"] = times
    split = pipeline >= "2.0"
    around = f"{plane}_neuropil_response/data" if split else f"{plane}/neuropil_traces"
    put(around, trace(len(times)))
    file[f"{around.rpartition('/')[0]}/r"] = rng.integers(1, 64, cells) / 64
    if split:
        put(f"{plane}_demixed_signal/data", trace(len(times)))
        for name in ("demixed_signal", "neuropil_response"):
            file[f"{plane}_{name}/timestamps"] = times
    longer = FIRST_S + np.arange(len(times) + dff_more) * STEP_S
    put(f"{PIPELINE}/DfOverF/imaging_plane_1/data", trace(len(longer)) / 64)
    file[f"{PIPELINE}/DfOverF/imaging_plane_1/timestamps"] = longer


def _segmentation(file: h5py.File, rng: np.random.Generator, cells: int) -> None:
    group = file.create_group(f"{PIPELINE}/ImageSegmentation")
    ids = np.array([IDS[n % 6] + 10_000 * (n // 6) for n in range(cells)])
    group["cell_specimen_ids"], group["roi_ids"] = ids, ids - 1000
    names = [f"roi_{2 + 7 * n:03}" for n in range(cells)]
    group["imaging_plane_1/roi_list"] = np.array(names, "S")
    for n, name in enumerate(names):
        mask = np.zeros((20, 40), "uint8")
        row, column = 2 * (n % 8), 3 * (n % 10)
        mask[row : row + 4, column : column + 5] = 1
        mask[row, column + 1] = 0
        group[f"imaging_plane_1/{name}/img_mask"] = mask
    place = "imaging_plane_1/reference_images/maximum_intensity_projection_image/data"
    group[place] = rng.integers(0, 255, (20, 40)).astype("uint8")


def _behavior(
    file: h5py.File, rng: np.random.Generator, pipeline: str, times: np.ndarray, eye: bool
) -> None:
    group = file[PIPELINE]
    speed = rng.integers(0, 640, len(times) - 7) / 64
    speed[5] = np.nan
    running = "BehavioralTimeSeries/running_speed"
    group[f"{running}/data"] = speed[:, None] if pipeline == "0.9" else speed
    group[f"{running}/timestamps"] = times[3:-4]
    name = "xy_translations" if pipeline == "0.9" else "xy_translation"
    moved = f"MotionCorrection/2p_image_series/{name}"
    group[f"{moved}/data"] = rng.integers(-6, 6, (len(times), 2)).astype(float)
    group[f"{moved}/timestamps"] = times
    group[f"{moved}/feature_description"] = np.array([b"x_motion", b"y_motion"])
    if eye:
        filmed = times[::4] + 1 / 256
        places = {"EyeTracking/pupil_location_spherical": 2, "EyeTracking/pupil_location": 2,
                  "PupilTracking/pupil_size": 0}  # fmt: skip
        for place, width in places.items():
            shape = (len(filmed), width) if width else (len(filmed),)
            data = rng.integers(0, 640, shape) / 16
            data[2:4] = np.nan
            group[f"{place}/data"], group[f"{place}/timestamps"] = data, filmed


def _stimuli(file: h5py.File, rng: np.random.Generator, pipeline: str, session_type: str) -> None:
    rows: dict[str, list[np.ndarray]] = {}
    data: dict[str, list[np.ndarray]] = {}
    at = 40
    for name in SHOWN[session_type]:
        made, frames = _epoch(name, at, rng)
        rows.setdefault(name, []).append(frames)
        data.setdefault(name, []).append(made)
        at = int(frames.max()) + _PAUSE
    ending = "" if pipeline == "0.9" else "_stimulus"
    file.create_group("stimulus/presentation")
    for name, parts in rows.items():
        group = file.create_group(f"stimulus/presentation/{name}{ending}")
        group["frame_duration"] = np.concatenate(parts)
        group["data"] = np.concatenate(data[name])
        if name in FEATURES:
            group["features"] = np.array(FEATURES[name], "S")
        if name in IMAGES:
            images = rng.integers(0, 255, IMAGES[name]).astype("uint8")
            file[f"stimulus/templates/{name}_image_stack/data"] = images


def _epoch(name: str, at: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One epoch: what was shown, and from which frame to which."""
    if name == "spontaneous":
        return np.array([1, -1]), np.array([[at, at], [at + 60, at + 60]])
    if name == "drifting_gratings":
        starts = at + 24 * np.arange(4)
        values = np.array([[2.0, 90.0, 0.0], [8.0, 45.0, 0.0], [np.nan, np.nan, 1.0],
                           [1.0, 0.0, 0.0]])  # fmt: skip
        return values, np.column_stack([starts, starts + 16])
    if name.startswith("natural_movie"):
        starts = at + np.arange(2 * IMAGES[name][0])
        return np.tile(np.arange(IMAGES[name][0]), 2), np.column_stack([starts, starts + 1])
    starts = at + 7 * np.arange(6)
    frames = np.column_stack([starts, starts + 7])
    if name == "static_gratings":
        return rng.integers(0, 4, (6, 3)) / 4, frames
    images = np.array([3, 0, -1, 4, 2, 1]) if name == "natural_scenes" else np.arange(6)
    return images, frames


# --- what is published beside them ----------------------------------------------------------------


def write_frame(
    file: h5py.File, path: str, columns: Mapping[str, np.ndarray], *, protocol: int = 5
) -> None:
    """Write a table as pandas does in its fixed format, objects as one pickle."""
    group = file.create_group(path)
    group.attrs["pandas_type"], group.attrs["ndim"] = np.bytes_(b"frame"), 2
    rows = len(next(iter(columns.values())))
    _axis(group, "axis0", np.array(list(columns), "S"), b"string")
    _axis(group, "axis1", np.arange(rows), b"integer")
    blocks: dict[str, list[str]] = {}
    for name, values in columns.items():
        blocks.setdefault(values.dtype.str, []).append(name)
    group.attrs["nblocks"] = len(blocks)
    for number, names in enumerate(blocks.values()):
        _axis(group, f"block{number}_items", np.array(names, "S"), b"string")
        values = np.stack([columns[name] for name in names], axis=1)
        place = f"block{number}_values"
        if values.dtype == object:
            made = group.create_dataset(place, (1,), h5py.vlen_dtype(np.uint8))
            made[0] = np.frombuffer(pickle.dumps(values, protocol), np.uint8)
            made.attrs["CLASS"] = np.bytes_(b"VLARRAY")
        elif values.dtype.kind == "M":
            made = group.create_dataset(place, data=values.view("int64"))
            made.attrs["value_type"] = np.bytes_(str(values.dtype).encode())
        else:
            made = group.create_dataset(place, data=values)
        made.attrs["transposed"] = np.uint8(1)


def _axis(group: h5py.Group, name: str, values: np.ndarray, kind: bytes) -> None:
    made = group.create_dataset(name, data=values)
    made.attrs["kind"], made.attrs["transposed"] = np.bytes_(kind), np.uint8(1)
    made.attrs["name"] = np.bytes_(b"N.")


def write_analysis(path: Path, **more: Any) -> Path:
    """Write an analysis of a session of type A: arrays, and tables with and without objects."""
    cells = np.empty((3, 2), dtype=object)
    for n in range(6):
        cells[divmod(n, 2)] = np.arange(n + 2) / 4
    with h5py.File(path, "w") as file:
        file["analysis/response_dg"] = np.arange(24.0).reshape(2, 3, 4)
        file["analysis/binned_dx_sp"] = np.array([[0.5, 0.25]])
        starts = np.array([40, 64, 88])
        table = {"orientation": np.array([90.0, 45.0, np.nan]), "start": starts, "end": starts + 16}
        write_frame(file, "analysis/stim_table_dg", table)
        response = {"0": cells[:, 0], "dx": cells[:, 1]}
        write_frame(file, "analysis/sweep_response_dg", response, **more)
        peak = {
            "cell_specimen_id": np.array(IDS[:2]),
            "targeted_structure": np.array(["VISl", "VISl"], dtype=object),
            "ptest_dg": np.array([0.5, np.nan], dtype=object),
            "session_start_time": np.array(["2015-09-02T10:00:00"] * 2, "M8[us]"),
        }
        write_frame(file, "analysis/peak", peak, **more)
    return path
