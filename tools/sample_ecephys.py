"""One simulated Neuropixels session in the layout of Visual Coding's files (NWB 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray
from sample_nwb2 import File, Ragged

SESSION: Final = 900000002
SPECIMEN: Final = 900000061
SESSION_TYPE: Final = "brain_observatory_1.1"
STARTED: Final = "2026-01-02T10:00:00+00:00"
GENOTYPE: Final = "Pvalb-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt"
LFP_HZ: Final = 250.0
DIRECTIONS: Final = tuple(float(d) for d in range(0, 360, 45))
PLACES_DEG: Final = tuple(float(p) for p in range(-40, 50, 10))
CHANNELS: Final = 20
UNITS: Final = 20
_END_S: Final = 262.0
_LFP_S: Final = 100.0
_SAMPLES: Final = 82
_SIMULATED: Final = (
    "SIMULATED session of the openallen sample: no recording, every signal is made up"
)
_TICK_S: Final = 2.0**-15
_VOLTS: Final = 2.0**-18
"""Values are multiples of powers of two: these compress, and are the same on every machine."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Probe:
    """One probe.

    Parameters
    ----------
    id
        Its id.
    name
        Its name.
    areas
        Acronym and id of what its channels are in, from the tip up; each has a quarter.
    has_lfp
        Whether there is a file with its LFP.
    """

    id: int
    name: str
    areas: tuple[tuple[str, int], ...]
    has_lfp: bool

    @property
    def first(self) -> int:
        """The id of its first channel."""
        return 900001000 + 100 * (self.id % 2)

    def area(self, channel: int) -> tuple[str, int]:
        """Return acronym and id of the structure a channel is in."""
        return self.areas[channel * len(self.areas) // CHANNELS]


PROBES: Final = (
    Probe(900000051, "probeA", (("LP", 218), ("CA1", 382), ("VISp", 385), ("VISp", 385)), True),
    Probe(900000052, "probeC", (("LGd", 170), ("DG", 726), ("VISl", 409), ("VISl", 409)), False),
)


class Session:
    """What is made up: presentations, running, units and their spikes.

    Parameters
    ----------
    seed
        Of the generator, whose numbers are the same with every version of numpy.
    """

    def __init__(self, seed: int = 20262) -> None:
        self.random = np.random.RandomState(seed)
        self.shown = _presentations(self.random)
        self.run_s = np.arange(1.0, _END_S, 0.1)
        self.speed = _running(self.random, len(self.run_s))
        self.units = self._units()
        self.spikes = [self._spikes(n) for n in range(len(self.units["id"]))]
        counts = [len(times) for times in self.spikes]
        self.units["firing_rate"] = np.round(np.array(counts) / _END_S, 3)

    def _units(self) -> dict[str, Any]:
        random, count = self.random, UNITS * len(PROBES)
        channels = np.sort(random.randint(0, CHANNELS, (len(PROBES), UNITS)), 1)
        return {
            "id": 900002000 + np.arange(count),
            "probe": np.repeat(np.arange(len(PROBES)), UNITS),
            "channel": channels.ravel(),
            "direction": random.choice(DIRECTIONS, count),
            "frequency": random.choice([2.0, 8.0], count),
            "x": random.choice(PLACES_DEG[1:-1], count),
            "y": random.choice(PLACES_DEG[1:-1], count),
            "on": random.choice([-1.0, 1.0], count),
            "base_hz": np.round(0.5 + 2.5 * random.rand(count), 2),
            "gain_hz": np.round(8 + 14 * random.rand(count), 1),
            "inhibitory": random.rand(count) < 0.2,
        }

    def _spikes(self, number: int) -> Array:
        """Return spike times (s) by thinning: rates as told, then a refractory time of 2 ms."""
        unit = {name: values[number] for name, values in self.units.items()}
        step = 0.005
        grid = np.arange(0.5, _END_S, step)
        rate = np.full(len(grid), unit["base_hz"])
        for name, rows in self.shown.items():
            answer = _ANSWERS.get(name)
            for row in zip(*rows.values(), strict=True) if answer is not None else ():
                told = dict(zip(rows, row, strict=True))
                late = 0.005 if name == "optotagging" else 0.04
                span = np.array([told["start_time"], told["stop_time"]]) + late
                first, last = np.searchsorted(grid, span)
                since = grid[first:last] - span[0]
                if answer is not None:
                    rate[first:last] += unit["gain_hz"] * answer(unit, told, since)
        rate *= 1 + 0.4 * np.clip(np.interp(grid, self.run_s, self.speed) / 30, 0, 1)
        found = self.random.rand(len(grid)) < rate * step
        times = grid[found] + step * self.random.rand(int(found.sum()))
        kept = times[np.concatenate([[True], np.diff(times) > 0.002])]
        return np.asarray(np.round(kept / _TICK_S) * _TICK_S)


def _grating(unit: Mapping[str, Any], told: Mapping[str, Any], since: Array) -> Array:
    if np.isnan(told["orientation"]):
        return np.zeros(len(since))
    away = np.deg2rad(told["orientation"] - unit["direction"])
    tuned = np.exp(2.5 * (np.cos(away) - 1)) + 0.4 * np.exp(2.5 * (-np.cos(away) - 1))
    tuned *= 1.0 if told["temporal_frequency"] == unit["frequency"] else 0.4
    turning = 1 + 0.6 * np.sin(2 * np.pi * told["temporal_frequency"] * since)
    return np.asarray(tuned * turning)


def _gabor(unit: Mapping[str, Any], told: Mapping[str, Any], since: Array) -> Array:
    away = (told["x_position"] - unit["x"]) ** 2 + (told["y_position"] - unit["y"]) ** 2
    return np.asarray(1.6 * np.exp(-away / 300.0) * np.exp(-since / 0.12))


def _flash(unit: Mapping[str, Any], told: Mapping[str, Any], since: Array) -> Array:
    liked = float(told["color"]) == unit["on"]
    return np.asarray((2.2 if liked else 0.6) * np.exp(-since / 0.05))


def _light(unit: Mapping[str, Any], told: Mapping[str, Any], since: Array) -> Array:
    del told
    return np.full(len(since), 12.0 if unit["inhibitory"] else -0.02)


_ANSWERS: Final = {
    "drifting_gratings": _grating, "gabors": _gabor, "flashes": _flash, "optotagging": _light,
}  # fmt: skip


def _presentations(random: np.random.RandomState) -> dict[str, dict[str, Any]]:
    """Return tables of presentations by stimulus, in the order of time."""
    places = [(x, y) for x in PLACES_DEG for y in PLACES_DEG] * 2
    places = [places[n] for n in random.permutation(len(places))]
    begin = 15 + 0.25 * np.arange(len(places))
    gabors = _timed(begin, 0.25, "gabors", 0) | {
        "x_position": [x for x, _ in places],
        "y_position": [y for _, y in places],
        "orientation": random.choice([0.0, 45.0, 90.0], len(places)),
        "contrast": [0.8] * len(places),
        "spatial_frequency": [0.08] * len(places),
        "temporal_frequency": [4.0] * len(places),
        "phase": ["[3644.93333333, 3644.93333333]"] * len(places),
        "size": ["[20.0, 20.0]"] * len(places),
    }
    begin = begin[-1] + 4 + 2.0 * np.arange(20)
    flashes = _timed(begin, 0.25, "flashes", 1) | {
        "color": [str(c) for c in random.choice([-1.0, 1.0], 20)],
        "contrast": [0.8] * 20,
        "size": ["[300.0, 300.0]"] * 20,
        "phase": ["[0.0, 0.0]"] * 20,
    }
    trials = [(d, f) for d in DIRECTIONS for f in (2.0, 8.0)] * 2 + [(np.nan, np.nan)] * 2
    trials = [trials[n] for n in random.permutation(len(trials))]
    begin = begin[-1] + 5 + 3.0 * np.arange(len(trials))
    gratings = _timed(begin, 2.0, "drifting_gratings", 2) | {
        "orientation": [d for d, _ in trials],
        "temporal_frequency": [f for _, f in trials],
        "contrast": [np.nan if np.isnan(d) else 0.8 for d, _ in trials],
        "spatial_frequency": [np.nan if np.isnan(d) else 0.04 for d, _ in trials],
        "phase": ["null" if np.isnan(d) else "[21211.93, 21211.93]" for d, _ in trials],
        "size": ["null" if np.isnan(d) else "[250.0, 250.0]" for d, _ in trials],
    }
    pulses = begin[-1] + 12 + 1.0 * np.arange(20)
    # Between two stimuli there is grey, as before the first and behind the last.
    edges = [(5.0, 15.0)]
    for one, other in ((gabors, flashes), (flashes, gratings)):
        edges.append((float(one["stop_time"][-1]), float(other["start_time"][0])))
    edges.append((float(gratings["stop_time"][-1]), float(gratings["stop_time"][-1]) + 8))
    first, last = np.array(edges).T
    assert pulses[-1] + 2 < _END_S
    return {
        "gabors": gabors,
        "flashes": flashes,
        "drifting_gratings": gratings,
        "spontaneous": {
            "start_time": first, "stop_time": last, "stimulus_name": ["spontaneous"] * len(first),
        },
        "optotagging": {
            "start_time": pulses,
            "stop_time": pulses + 0.01,
            "condition": ["a single square pulse"] * len(pulses),
            "level": random.choice([1.3, 1.6, 1.9], len(pulses)),
            "stimulus_name": ["pulse"] * len(pulses),
            "duration": np.full(len(pulses), 0.01),
        },
    }  # fmt: skip


def _timed(begin: Array, long_s: float, name: str, block: int) -> dict[str, Any]:
    return {
        "start_time": begin,
        "stop_time": begin + long_s,
        "stimulus_name": [name] * len(begin),
        "stimulus_block": np.full(len(begin), float(block)),
        "stimulus_index": np.full(len(begin), float(block)),
    }


def _running(random: np.random.RandomState, count: int) -> Array:
    speed = np.zeros(count)
    for begin in random.randint(0, count - 300, 8):
        long = random.randint(100, 300)
        speed[begin : begin + long] += (15 + 20 * random.rand()) * np.hanning(long)
    return np.asarray(np.round(speed * 8 + random.randint(-3, 4, count)) / 8)


# --- the session ----------------------------------------------------------------------------------


def write(path: Path, made: Session) -> None:
    """Write the session.

    Parameters
    ----------
    path
        The file.
    made
        What was made up.
    """
    with h5py.File(path, "w", libver=("v110", "v110")) as h5:
        file = _begun(h5, _SIMULATED, PROBES)
        clock = np.arange(0, _END_S, 1.0)
        file.module("stimulus")
        times = file.series("processing/stimulus/timestamps", clock, clock, "s")
        for name, rows in made.shown.items():
            if name != "optotagging":
                file.intervals(f"intervals/{name}_presentations", rows, times)
        file.module("optotagging")
        rows = made.shown["optotagging"]
        at = "processing/optotagging/"
        light = file.series(f"{at}optotagging", rows["duration"], rows["start_time"], "seconds")
        file.intervals(f"{at}optogenetic_stimulation", rows, light)
        _units(file, made)
        _behavior(file, made)


def _begun(h5: h5py.File, description: str, probes: tuple[Probe, ...], every: int = 1) -> File:
    told = {
        "identifier": str(SESSION),
        "session_description": description,
        "session_start_time": STARTED,
        "timestamps_reference_time": STARTED,
        "general/notes": _SIMULATED,
        "general/stimulus": SESSION_TYPE,
        "general/institution": "none: simulated",
    }
    file = File(h5, told)
    file.group(
        "general/subject", "ndx-aibs-ecephys", "EcephysSpecimen",
        age_in_days=120.0, specimen_name=f"Simulated-{SPECIMEN}",
    )  # fmt: skip
    subject = {
        "age": "P120D", "genotype": GENOTYPE, "sex": "M", "species": "Mus musculus",
        "strain": "C57BL/6J", "subject_id": str(SPECIMEN),
    }  # fmt: skip
    for name, value in subject.items():
        file.put(f"general/subject/{name}", value)
    h5["general/subject/age"].attrs["reference"] = "birth"
    for probe in probes:
        device = file.group(
            f"general/devices/{probe.name}", "ndx-aibs-ecephys", "EcephysProbe",
            description="simulated", manufacturer="none", probe_id=probe.id, sampling_rate=30000.0,
        )  # fmt: skip
        group = file.group(
            f"general/extracellular_ephys/{probe.name}", "ndx-aibs-ecephys",
            "EcephysElectrodeGroup", description="simulated", location="See electrode locations",
            has_lfp_data=probe.has_lfp, probe_id=probe.id,
            lfp_sampling_rate=LFP_HZ if probe.has_lfp else np.nan,
        )  # fmt: skip
        group["device"] = h5py.SoftLink(device.name)
    _electrodes(file, probes, every)
    return file


def channels_of(probe: Probe) -> list[dict[str, Any]]:
    """Return one row for each channel of a probe.

    Parameters
    ----------
    probe
        The probe.
    """
    side = PROBES.index(probe)
    return [
        {
            "id": probe.first + n,
            "probe_channel_number": n,
            "probe_vertical_position": 200 * (n + 1),
            "probe_horizontal_position": (43, 11, 59, 27)[n % 4],
            "location": probe.area(n)[0],
            "structure_id": probe.area(n)[1],
            "x": 8200.0 - 20 * n + 300 * side,
            "y": 4000.0 - 170 * n,
            "z": 7600.0 + 40 * n + 500 * side,
        }
        for n in range(CHANNELS)
    ]


def _electrodes(file: File, probes: tuple[Probe, ...], every: int) -> None:
    rows = [(p, row) for p in probes for row in channels_of(p)[::every]]
    groups = [file.file[f"general/extracellular_ephys/{p.name}"].ref for p, _ in rows]

    def of(name: str) -> Array:
        return np.array([row[name] for _, row in rows])

    names = ("probe_channel_number", "probe_horizontal_position", "probe_vertical_position")
    file.table(
        "general/extracellular_ephys/electrodes",
        of("id"),
        {
            "location": of("location"),
            "group": groups,
            "group_name": [p.name for p, _ in rows],
            "probe_id": [p.id for p, _ in rows],
            **{name: of(name) for name in names},
            "valid_data": np.ones(len(rows), bool),
            **{name: of(name) for name in "xyz"},
            "imp": np.full(len(rows), np.nan),
            "filtering": ["AP band: 500 Hz high-pass; LFP band: 1000 Hz low-pass"] * len(rows),
        },
    )


QUALITY: Final = {
    "PT_ratio": (0.3, 0.9), "amplitude": (60.0, 250.0), "amplitude_cutoff": (0.0, 0.09),
    "cumulative_drift": (50.0, 400.0), "d_prime": (3.0, 7.0), "isi_violations": (0.0, 0.3),
    "isolation_distance": (20.0, 140.0), "l_ratio": (0.0, 0.1), "max_drift": (10.0, 60.0),
    "nn_hit_rate": (0.6, 1.0), "nn_miss_rate": (0.0, 0.05), "presence_ratio": (0.96, 1.0),
    "recovery_slope": (-0.3, -0.02), "repolarization_slope": (0.2, 1.2),
    "silhouette_score": (0.0, 0.3), "snr": (1.5, 6.0), "spread": (20.0, 120.0),
    "velocity_above": (-1.0, 1.0), "velocity_below": (-1.0, 1.0),
    "waveform_duration": (0.2, 0.9), "waveform_halfwidth": (0.1, 0.4),
}  # fmt: skip
"""Least and greatest value of each metric of units, as AllenSDK's filters let through."""


def metrics(made: Session) -> dict[str, Array]:
    """Return the metrics of all units; the last unit of each probe is one that filters leave out.

    Parameters
    ----------
    made
        What was made up.
    """
    random, count = np.random.RandomState(7), len(made.units["id"])
    found = {
        name: np.round(low + (high - low) * random.rand(count), 4)
        for name, (low, high) in QUALITY.items()
    }
    fast = made.units["inhibitory"]  # spikes of these are narrow
    found["waveform_duration"] = np.where(fast, 0.25, 0.4 + found["waveform_duration"] / 2)
    found["isi_violations"][UNITS - 1 :: UNITS] = 0.9
    found["firing_rate"] = made.units["firing_rate"]
    return found


def peak_channels(made: Session) -> Array:
    """Return the id of the channel that shows most of each unit.

    Parameters
    ----------
    made
        What was made up.
    """
    firsts = np.array([probe.first for probe in PROBES])
    return np.asarray(firsts[made.units["probe"]] + made.units["channel"])


def _units(file: File, made: Session) -> None:
    count = len(made.units["id"])
    told = metrics(made)
    amplitudes = [
        _VOLTS * (np.round(told["amplitude"][n] / 4) + made.random.randint(-1, 2, len(times)))
        for n, times in enumerate(made.spikes)
    ]
    place = file.table(
        "units",
        made.units["id"],
        {
            **told,
            "local_index": np.tile(np.arange(UNITS), len(PROBES)),
            "cluster_id": np.tile(np.arange(UNITS), len(PROBES)),
            "peak_channel_id": peak_channels(made),
            "quality": ["good"] * count,
            "spike_amplitudes": Ragged(amplitudes),
            "spike_times": Ragged(made.spikes),
            "waveform_mean": _waveforms(made, told),
        },
        ("core", "Units"),
    )
    place["waveform_mean"].attrs["unit"] = "volts"


def _waveforms(made: Session, told: Mapping[str, Array]) -> Array:
    """Return mean waveforms (µV), units x channels x samples: a trough, then a peak, near one."""
    at_ms = (np.arange(_SAMPLES) - 20) / 30
    found = np.zeros((len(made.units["id"]), CHANNELS, _SAMPLES))
    for n, channel in enumerate(made.units["channel"]):
        peak_ms = told["waveform_duration"][n]
        shape = -np.exp(-((at_ms / 0.1) ** 2)) + 0.4 * np.exp(-(((at_ms - peak_ms) / 0.25) ** 2))
        near = np.exp(-(((np.arange(CHANNELS) - channel) / 1.2) ** 2))
        found[n] = told["amplitude"][n] * near[:, None] * shape
    return np.asarray(np.round(found / 2) * 2)


def _behavior(file: File, made: Session) -> None:
    random, times = made.random, made.run_s
    at = f"{file.module('running')}/"
    clock = file.series(f"{at}running_speed", made.speed, times, "cm/s")["timestamps"]
    file.series(f"{at}running_speed_end_times", made.speed, times + 0.1, "cm/s")
    file.series(f"{at}running_wheel_rotation", made.speed / 8, clock, "radians")
    raw_s = np.arange(0.5, _END_S, 0.2)
    turned = np.round(np.cumsum(np.interp(raw_s, times, made.speed)) / 16) / 16 % 5
    file.series("acquisition/raw_running_wheel_rotation", turned, raw_s, "V")
    for name in ("signal", "supply"):
        file.series(
            f"acquisition/running_wheel_{name}_voltage",
            turned if name == "signal" else np.full(len(raw_s), 5.0), raw_s, "V",
        )  # fmt: skip
    seen = np.arange(0.25, _END_S, 0.2)
    speed = np.interp(seen, times, made.speed)
    wander = np.cumsum(random.randint(-1, 2, (len(seen), 2)), 0) / 8
    wander = np.round((wander - wander.mean(0)) * 8) / 8
    width = np.round((30 + speed / 4 + random.randint(-2, 3, len(seen))) * 4) / 4
    _eye(file, seen, wander, width)


def _eye(file: File, seen: Array, wander: Array, width: Array) -> None:
    at = file.module("eye_tracking")
    still = np.ones(len(seen))
    for name, size, moved in (
        ("pupil", width, 1.0),
        ("cr", 8 * still, 0.0),
        ("eye", 90 * still, 0),
    ):
        columns = {
            "center_x": 300 + 4 * moved * wander[:, 1], "center_y": 220 + 4 * moved * wander[:, 0],
            "height": size, "width": size + 2 * still, "phi": 0.25 * still,
        }  # fmt: skip
        file.table(f"{at}/{name}_ellipse_fits", np.arange(len(seen)), columns)
    clock: Any = seen
    for module in ("raw_gaze_mapping", "filtered_gaze_mapping"):
        at = file.module(module)
        series = {
            "eye_area": (0.05 * still, "cm^2"),
            "pupil_area": (np.round(np.pi * (width / 400) ** 2 * 4096) / 4096, "cm^2"),
            "screen_coordinates": (wander / 2, "cm"),
            "screen_coordinates_spherical": (wander, "degrees"),
        }
        for name, (data, unit) in series.items():
            clock = file.series(f"{at}/{name}", data, clock, unit)["timestamps"]
    at = f"{file.module('eye_tracking_rig_metadata')}/eye_tracking_rig_metadata"
    rig = "EcephysEyeTrackingRigMetadata"
    file.group(at, "ndx-aibs-ecephys", rig, equipment="simulated")
    for name, values, unit in (
        ("monitor_position", (118.5, 86.25, 31.5), "mm"), ("monitor_rotation", (0, 0, 0), "deg"),
        ("camera_position", (102.75, 74.75, 31.5), "mm"), ("camera_rotation", (0, 0, 2.75), "deg"),
        ("led_position", (246.0, 92.25, 52.5), "mm"),
    ):  # fmt: skip
        file.put(f"{at}/{name}", np.array(values, "float32")).attrs["unit"] = unit


# --- LFP ------------------------------------------------------------------------------------------


def write_lfp(path: Path, made: Session, probe: Probe) -> None:
    """Write the LFP of a probe: every fourth channel, from the first gabors to the last flashes.

    Parameters
    ----------
    path
        The file.
    made
        What was made up.
    probe
        The probe.
    """
    with h5py.File(path, "w", libver=("v110", "v110")) as h5:
        file = _begun(h5, f"LFP of {probe.name}. {_SIMULATED}", (probe,), every=4)
        name = f"probe_{probe.id}_lfp"
        file.group(f"acquisition/{name}", "core", "LFP")
        times = np.round(np.arange(10.0, 10.0 + _LFP_S, 1 / LFP_HZ), 3)
        channels = channels_of(probe)[::4]
        at = f"acquisition/{name}/{name}_data"
        data = _lfp(made, times, len(channels)).astype("float32")
        file.series(at, data, times, "volts", kind="ElectricalSeries")
        region = file.put(f"{at}/electrodes", np.arange(len(channels)))
        electrodes = h5["general/extracellular_ephys/electrodes"]
        file.tag(
            region, "hdmf-common", "DynamicTableRegion",
            table=electrodes.ref, description=f"channels of {probe.name}",
        )  # fmt: skip
        at = f"{file.module('current_source_density')}/ecephys_csd"
        file.group(at, "ndx-aibs-ecephys", "EcephysCSD")
        since, density = _source_density()
        file.series(f"{at}/current_source_density", density, since, "V/cm^2")
        for axis, values in (("x", [24.0] * 8), ("y", np.arange(8) * 500.0)):
            place = file.put(f"{at}/virtual_electrode_{axis}_positions", np.array(values))
            place.attrs["unit"] = "microns"


def _lfp(made: Session, times: Array, channels: int) -> Array:
    """Return potentials (V), time x channel: slow waves, and an answer to flashes by depth."""
    random = made.random
    depth = np.linspace(-1, 1, channels)
    slow = 60 * np.sin(2 * np.pi * 6.5 * times + 2 * np.sin(2 * np.pi * 0.3 * times))
    found = slow[:, None] * (1 - 0.3 * np.abs(depth)) + 15 * random.randn(len(times), channels)
    for begin in made.shown["flashes"]["start_time"]:
        since = times - begin - 0.04
        answer = np.where(since > 0, np.exp(-np.clip(since, 0, 1) / 0.06), 0) * (since < 1)
        found += -180 * np.sin(2 * np.pi * 9 * since)[:, None] * answer[:, None] * depth
    return np.asarray(np.round(found / 4) * _VOLTS)


def _source_density() -> tuple[Array, Array]:
    """Return times (s) around a flash and densities, time x depth: a sink between two sources."""
    since = np.round(np.arange(-0.1, 0.25, 1 / LFP_HZ), 3)
    answer = np.where(since > 0.04, np.exp(-np.clip(since - 0.04, 0, 1) / 0.05), 0)
    layers = np.array([0, 500, 1500, -2500, 700, 300, 0, 0])
    return since, np.asarray(np.round(answer[:, None] * layers))
