"""Small sessions of Visual Coding Neuropixels, in the layout of the published files; made-up numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from nwbfiles import h5, put_series, put_table

SESSION = 700000001
PROBES = {"probeA": 800000002, "probeB": 800000001}
"""Named against the order of their ids, so that either order shows."""
CHANNELS = {name: [probe_id * 10 + n for n in range(4)] for name, probe_id in PROBES.items()}
PLACES = ("VISp", "VISp", "CA1", "None")
UNITS = [900 + n for n in range(8)]
ROWS = 6
"""Channels of stored waveforms: more than the probe has in the table."""
SAMPLES = 5

_TEXT = h5py.string_dtype()


def text(values: Any) -> Any:
    return np.array(list(values), dtype=_TEXT)


def session_file(path: Path, *without: str) -> Path:
    """Write a session, and delete what it shall be without."""
    h5(path, _session)
    with h5py.File(path, "r+") as file:
        for place in without:
            del file[place]
    return path


def put(path: Path, place: str, values: Any) -> None:
    """Replace an array of a file."""
    with h5py.File(path, "r+") as file:
        if place in file:
            del file[place]
        file[place] = values


def _session(file: h5py.File) -> None:
    for name, value in {
        "identifier": str(SESSION),
        "session_start_time": "2019-01-08T00:26:20+00:00",
        "session_description": "made up",
        "general/stimulus": "brain_observatory_1.1",
        "general/subject/genotype": "wt/wt",
        "general/subject/sex": "F",
        "general/subject/age": "P120D",
        "general/subject/subject_id": "1",
        "general/subject/strain": "C57BL/6J",
        "general/subject/species": "Mus musculus",
    }.items():
        if name in file:
            del file[name]
        file[name] = value
    file["general/subject"].attrs.update(specimen_name="Made-1", age_in_days=120.0)
    _probes(file)
    _units(file)
    _shown(file)
    _rest(file)


def _probes(file: h5py.File) -> None:
    for name, probe_id in PROBES.items():
        device = file.create_group(f"general/devices/{name}")
        device.attrs.update(probe_id=probe_id, sampling_rate=30000.0)
        group = file.create_group(f"general/extracellular_ephys/{name}")
        has = name == "probeA"
        group.attrs.update(
            probe_id=probe_id, has_lfp_data=has, lfp_sampling_rate=1250.0 if has else np.nan,
            location="See electrode locations",
        )  # fmt: skip
    electrodes(file, [(name, i) for name in PROBES for i in range(4)])


def electrodes(file: h5py.File, which: list[tuple[str, int]]) -> None:
    """Write a table of electrodes: names of probes, and places on them."""
    at = np.array([i for _, i in which])
    put_table(
        file,
        "general/extracellular_ephys/electrodes",
        {
            "location": text(PLACES[i] for i in at),
            "group_name": text(name for name, _ in which),
            "probe_id": np.array([PROBES[name] for name, _ in which]),
            "probe_channel_number": at + 1,
            "probe_vertical_position": at * 20,
            "probe_horizontal_position": np.array([43, 11, 59, 27])[at],
            "valid_data": at != 1,
            "x": at * 10.0,
            "y": at * 20.0,
            "z": at * 30.0,
            "filtering": text("500 Hz high-pass" for _ in which),
        },
        ids=np.array([CHANNELS[name][i] for name, i in which]),
    )


def table(file: h5py.File, path: str, columns: dict[str, Any], **more: Any) -> None:
    """Write a table that names all its columns, those that end as an index does among them."""
    plain = [
        n for n in columns if not n.endswith("_index") or n.removesuffix("_index") not in columns
    ]
    put_table(file, path, columns, names=text(plain), **more)


def spikes_of(n: int) -> np.ndarray[Any, Any]:
    """Return the spikes of a unit: evenly, each at a pace of its own."""
    return np.arange(0.05 + n / 100, 40.0, 0.3 + n / 10)


def _units(file: h5py.File) -> None:
    spikes = [spikes_of(n) for n in range(len(UNITS))]
    ends = np.cumsum([len(s) for s in spikes]).astype("uint16")
    #            A top, A invalid, A CA1, A outside, B top, B noise, B CA1, B poor
    peaks = [*CHANNELS["probeA"], *(CHANNELS["probeB"][i] for i in (0, 0, 2, 2))]
    count = len(UNITS)
    waveforms = np.arange(count * ROWS * SAMPLES, dtype=float).reshape(count, ROWS, SAMPLES)
    table(
        file,
        "units",
        {
            "PT_ratio": np.linspace(0, 1, count),
            "amplitude": np.linspace(50, 90, count),
            "amplitude_cutoff": np.array([0.1, 0, 0, 0, 0, 0, 0.05, 0.2]),
            "cluster_id": np.arange(count),
            "firing_rate": np.linspace(1, 9, count),
            "isi_violations": np.full(count, 0.5),
            "l_ratio": np.linspace(0, 1, count),
            "local_index": np.arange(count),
            "peak_channel_id": np.array(peaks),
            "presence_ratio": np.full(count, 0.95),
            "quality": text(["good"] * 5 + ["noise"] + ["good"] * 2),
            "spread": np.linspace(10, 30, count),
            "waveform_duration": np.linspace(0.1, 0.4, count),
            "waveform_halfwidth": np.linspace(0.1, 0.2, count),
            "spike_times": np.concatenate(spikes),
            "spike_times_index": ends,
            "spike_amplitudes": np.concatenate(spikes) * 1e-6,
            "spike_amplitudes_index": ends,
            "waveform_mean": waveforms,
        },
        ids=np.array(UNITS),
    )


def presentations(file: h5py.File, name: str, start: Any, stop: Any, **more: Any) -> None:
    """Write the presentations of a stimulus."""
    count = len(start)
    columns = {
        "start_time": np.asarray(start, float),
        "stop_time": np.asarray(stop, float),
        "stimulus_name": text([name] * count),
        **{n: text(v) if isinstance(v[0], str) else np.asarray(v) for n, v in more.items()},
        "tags": text(["stimulus_time_interval"] * count),
        "tags_index": np.arange(1, count + 1, dtype="uint8"),
    }
    table(file, f"intervals/{name}_presentations", columns)


def _shown(file: h5py.File) -> None:
    presentations(file, "spontaneous", [1.0, 14.0], [2.0, 16.0])
    start = np.arange(2.0, 8.0, 1.0)
    presentations(
        file, "gabors", start, start + 1.0,
        stimulus_block=np.zeros(6), stimulus_index=np.ones(6),
        orientation=[0.0, 45.0, 0.0, 45.0, np.nan, 90.0], x_position=[10.0] * 6,
        size=["[20.0, 20.0]"] * 5 + ["N/A"], opacity=[1.0] * 6, units=["deg"] * 6,
    )  # fmt: skip
    start = np.arange(8.0, 12.0, 1.0)
    presentations(
        file, "flashes", start, start + 0.25,
        stimulus_block=np.full(4, 1.0), stimulus_index=np.full(4, 2.0),
        color=["1.0", "-1.0", "1.0", "-1.0"], contrast=[0.8] * 4,
    )  # fmt: skip
    start = np.arange(16.0, 18.0, 0.5)
    presentations(
        file, "natural_scenes", start, start + 0.5,
        stimulus_block=np.full(4, 2.0), frame=[3.0, -1.0, 3.0, 5.0],
    )  # fmt: skip


def invalid_times(file: h5py.File, *rows: tuple[float, float, list[str]]) -> None:
    """Write invalid times: from, to, tags."""
    put_table(
        file,
        "intervals/invalid_times",
        {
            "start_time": np.array([r[0] for r in rows]),
            "stop_time": np.array([r[1] for r in rows]),
            "tags": text(tag for r in rows for tag in r[2]),
            "tags_index": np.cumsum([len(r[2]) for r in rows]).astype("uint8"),
        },
    )


def _rest(file: h5py.File) -> None:
    times = np.arange(0.0, 20.0, 0.5)
    put_series(file, "processing/running/running_speed", times * 2, times)
    put_series(file, "processing/running/running_speed_end_times", times, times + 0.5)
    put_series(file, "processing/running/running_wheel_rotation", times / 10, times)
    for name in ("raw_running_wheel_rotation", "running_wheel_signal_voltage",
                 "running_wheel_supply_voltage"):  # fmt: skip
        put_series(file, f"acquisition/{name}", times / 5, times)
    for kind in ("raw", "filtered"):
        for name in ("eye_area", "pupil_area"):
            put_series(file, f"processing/{kind}_gaze_mapping/{name}", times + 1, times)
        for name in ("screen_coordinates", "screen_coordinates_spherical"):
            both = np.column_stack([times, times + 100])
            put_series(file, f"processing/{kind}_gaze_mapping/{name}", both, times)
    for name in ("cr", "pupil", "eye"):
        parts = {n: times + k for k, n in enumerate(("center_x", "center_y", "height", "width"))}
        put_table(file, f"processing/eye_tracking/{name}_ellipse_fits", {**parts, "phi": times})
    rig = "processing/eye_tracking_rig_metadata/eye_tracking_rig_metadata"
    for name in ("monitor_position", "camera_position", "led_position", "monitor_rotation",
                 "camera_rotation"):  # fmt: skip
        file[f"{rig}/{name}"] = np.array([1, 2, 3], dtype="float32")
    file[rig].attrs["equipment"] = "NP.1"
    put_table(
        file,
        "processing/optotagging/optogenetic_stimulation",
        {
            "start_time": np.array([18.0, 19.0]),
            "stop_time": np.array([18.01, 19.01]),
            "condition": text(["a single square pulse"] * 2),
            "level": np.array([1.3, 1.9]),
            "stimulus_name": text(["pulse"] * 2),
            "duration": np.array([0.01, 0.01]),
        },
    )


def lfp_file(path: Path, name: str = "probeA") -> Path:
    """Write the LFP file of a probe: two of its channels, 100 samples from 10 s on."""

    def fill(file: h5py.File) -> None:
        del file["identifier"]
        file["identifier"] = str(SESSION)
        probe_id = PROBES[name]
        electrodes(file, [(name, 0), (name, 2)])
        place = f"acquisition/probe_{probe_id}_lfp/probe_{probe_id}_lfp_data"
        data = np.arange(200, dtype="float32").reshape(100, 2)
        put_series(file, place, data, 10 + np.arange(100) / 100)
        file[f"{place}/electrodes"] = np.array([0, 1])
        csd = "processing/current_source_density/ecephys_csd"
        put_series(file, f"{csd}/current_source_density", np.ones((7, 3)), np.arange(7) / 100)
        file[f"{csd}/virtual_electrode_x_positions"] = np.full(3, 24.5)
        file[f"{csd}/virtual_electrode_y_positions"] = np.arange(3) * 20.0

    return h5(path, fill)


def channel_rows(only: slice = slice(None)) -> list[str]:
    """Return the lines of a table of channels, as ``channels.csv`` of AllenSDK's cache has them."""
    head = (
        "id,ecephys_probe_id,anterior_posterior_ccf_coordinate,dorsal_ventral_ccf_coordinate,"
        "left_right_ccf_coordinate,ecephys_structure_id,ecephys_structure_acronym"
    )
    rows = []
    for name, ids in CHANNELS.items():
        for at, i in enumerate(ids):
            place = ("385.0,VISp", "385.0,VISp", "382.0,CA1", ",")[at]
            rows.append(f"{i},{PROBES[name]},{7000.0 + at},{1000.0 + at},{8000.0 + at},{place}")
    return [head, *rows[only]]
