"""Patch-clamp files for tests, with made-up numbers: as Cell Types lays them out, and as MIES does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

RATE_HZ = 5_000.0
COUNT = 6_000
PULSE = (100, 150)
STEP = (2_000, 4_500)
EPOCH = (1_000, 4_800)
"""First sample of the experiment, and how many."""


@dataclass
class Made:
    """One sweep: a step of current after a test pulse, and a cell that fires in it."""

    number: int
    pa: float = 50.0
    spikes: int = 0
    name: str | None = "Long Square"
    epoch: tuple[int, int] | None = EPOCH
    voltage_clamp: bool = False
    skip: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def stimulus(self) -> np.ndarray[Any, Any]:
        """In pA (mV in voltage clamp)."""
        values = np.zeros(COUNT, "f4")
        values[slice(*PULSE)] = 20
        values[slice(*STEP)] = self.pa
        return values

    @property
    def spike_samples(self) -> np.ndarray[Any, Any]:
        return np.linspace(STEP[0] + 60, STEP[1] - 60, self.spikes).round().astype(int)

    @property
    def response(self) -> np.ndarray[Any, Any]:
        """In mV (pA in voltage clamp)."""
        values = np.full(COUNT, -70.0, "f4")
        values[slice(*STEP)] += self.pa / 10
        for at in self.spike_samples:
            values[at - 2 : at + 6] = [-40, -5, 35, 20, -10, -50, -78, -74]
        return values


SWEEPS = (Made(4, 0, name="Test", epoch=None), Made(5, -50), Made(6, 100, 5), Made(10, 150, 9))


def cell_types(
    path: Path,
    sweeps: Iterable[Made] = SWEEPS,
    *,
    version: str | None = "1.1.0",
    spikes: str | None = "spike_times",
    stop: bool = False,
    change: Callable[[h5py.File], object] | None = None,
    **storage: Any,
) -> Path:
    """Write a file as the Cell Types Database has them.

    Parameters
    ----------
    path
        Where.
    sweeps
        What is in it.
    version
        Of the pipeline: below 1.1 values are in SI, and the conversions wrong.
    spikes
        Name of the group of spike times; None for none.
    stop
        Write ``idx_stop``, not ``count``.
    change
        Changes the file before it is closed.
    **storage
        How samples are stored, as for h5py.
    """
    si = version is None or tuple(map(int, version.split(".")[:2])) < (1, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["nwb_version"] = np.bytes_("NWB-1.0.5")
        file["identifier"] = np.bytes_("made up")
        file["session_start_time"] = np.bytes_("Thu Jan 01 09:30:00 2015")
        file["general/aibs_specimen_id"] = 42
        if version is not None:
            words = ("pipeline", "IVSCC", "version", version, "provenance", "made up")
            file["general/generated_by"] = np.array([w.encode() for w in words])
        for sweep in sweeps:
            _cell_types_sweep(file, sweep, si, stop, storage)
            if spikes is not None and "spikes" not in sweep.skip:
                file[f"analysis/{spikes}/Sweep_{sweep.number}"] = sweep.spike_samples / RATE_HZ
        if change is not None:
            change(file)
    return path


def _cell_types_sweep(
    file: h5py.File, sweep: Made, si: bool, stop: bool, storage: dict[str, Any]
) -> None:
    units = ("Volts", "Amps") if sweep.voltage_clamp else ("Amps", "Volts")
    places = {
        "stimulus": (f"stimulus/presentation/Sweep_{sweep.number}", sweep.stimulus, units[0]),
        "response": (f"acquisition/timeseries/Sweep_{sweep.number}", sweep.response, units[1]),
    }
    for role, (place, values, unit) in places.items():
        if role in sweep.skip:
            continue
        scale = np.float32(1e-12 if unit == "Amps" else 1e-3)
        group = file.create_group(place)
        group.attrs["neurodata_type"] = np.bytes_("TimeSeries")
        group.create_dataset("data", data=values * scale if si else values, **storage)
        group["data"].attrs["unit"] = np.bytes_(unit)
        group["data"].attrs["conversion"] = 1e3 if si else float(scale)
        group["starting_time"] = 3.0 * sweep.number
        group["starting_time"].attrs["rate"] = RATE_HZ
        if role == "stimulus":
            told = {"aibs_stimulus_amplitude_pa": sweep.pa, "gain": 5.0, "seal": 2.5,
                    "initial_access_resistance": 12.0}  # fmt: skip
            if sweep.name is not None:
                told["aibs_stimulus_name"] = np.bytes_(sweep.name)
            for name, value in (told | sweep.extra).items():
                group[name] = value
        else:
            group["bridge_balance"] = 14.5
    for word, epoch in (("Sweep", (0, COUNT)), ("Experiment", sweep.epoch)):
        for role, (place, _, _) in places.items():
            if epoch is None or role in sweep.skip:
                continue
            group = file.create_group(f"epochs/{word}_{sweep.number}/{role}")
            group["idx_start"] = epoch[0]
            group["idx_stop" if stop else "count"] = epoch[1] + (epoch[0] - 1 if stop else 0)
            group["timeseries"] = h5py.SoftLink(f"/{place}")


def nwb2(
    path: Path,
    sweeps: Iterable[Made] = SWEEPS,
    *,
    names: tuple[str, str] = ("data_{n:05}_AD0", "data_{n:05}_DA0"),
    numbers: bool = True,
    electrodes: Iterable[str] = ("electrode_0",),
    change: Callable[[h5py.File], object] | None = None,
    **storage: Any,
) -> Path:
    """Write a file of NWB 2, by default as MIES names its series.

    Parameters
    ----------
    path
        Where.
    sweeps
        What is in it; all of one electrode.
    names
        Of responses and stimuli.
    numbers
        Whether series have the attribute ``sweep_number``.
    electrodes
        Names of electrodes; the first recorded the sweeps.
    change
        Changes the file before it is closed.
    **storage
        How samples are stored, as for h5py.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.2.5"
        for name in ("identifier", "session_description", "session_start_time"):
            file[name] = "made up"
        file.create_group("stimulus/presentation")
        for name in electrodes:
            group = file.create_group(f"general/intracellular_ephys/{name}")
            group.attrs["neurodata_type"] = "IntracellularElectrode"
            group["seal"] = "2.5 GOhm"
            group["initial_access_resistance"] = "12000000"
        for sweep in sweeps:
            nwb2_sweep(file, sweep, names, numbers, next(iter(electrodes)), **storage)
        if change is not None:
            change(file)
    return path


def nwb2_sweep(
    file: h5py.File,
    sweep: Made,
    names: tuple[str, str],
    numbers: bool,
    electrode: str,
    **storage: Any,
) -> None:
    """Write the two series of one sweep."""
    clamp = "Voltage" if sweep.voltage_clamp else "Current"
    units = ("amperes", "volts") if sweep.voltage_clamp else ("volts", "amperes")
    for role, folder, values, kind, name, unit in (
        ("response", "acquisition", sweep.response, "ClampSeries", names[0], units[0]),
        ("stimulus", "stimulus/presentation", sweep.stimulus, "ClampStimulusSeries", names[1],
         units[1]),
    ):  # fmt: skip
        if role in sweep.skip:
            continue
        group = file.create_group(f"{folder}/{name.format(n=sweep.number)}")
        group.attrs["neurodata_type"] = f"{clamp}{kind}"
        if sweep.name is not None:
            group.attrs["stimulus_description"] = sweep.name
        if numbers:
            group.attrs["sweep_number"] = np.uint64(sweep.number)
        group.create_dataset("data", data=values, **storage)
        group["data"].attrs["unit"] = unit
        group["data"].attrs["conversion"] = 1e-12 if unit == "amperes" else 1e-3
        group["starting_time"] = 3.0 * sweep.number
        group["starting_time"].attrs.update({"rate": RATE_HZ, "unit": "seconds"})
        group["gain"] = 5.0
        group["electrode"] = h5py.SoftLink(f"/general/intracellular_ephys/{electrode}")
        if role == "response" and clamp == "Current":
            group["bridge_balance"] = 14.5e6
            group["bridge_balance"].attrs["unit"] = "ohms"
