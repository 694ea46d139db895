"""Sweeps of a Cell Types file on this machine, beside AllenSDK.

    python benchmarks/cell_sweeps.py --allensdk PYTHON

The file is made up; its sweeps are as long as published ones: 3 s at 200 kHz, compressed. Each
program runs in a process of its own and reads the file seven times; medians of wall and processor
time are printed, with the peak memory of the process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_RATE_HZ = 200_000.0
_COUNT = 600_000
_PROGRAM = """
import json, os, resource, statistics, sys, time, warnings
warnings.simplefilter("ignore")
path, number = sys.argv[1], int(sys.argv[2])
def measured(call, runs=7):
    walls, cpus = [], []
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        found = call()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return found, [statistics.median(walls), statistics.median(cpus)]
wall, cpu = time.perf_counter(), time.process_time()
{load}
told = {{"import": [time.perf_counter() - wall, time.process_time() - cpu]}}
cell, told["open, sweep numbers"] = measured(lambda: {numbers})
sweep, told["open, one sweep"] = measured(lambda: {sweep})
_, told["open, spike times"] = measured(lambda: {spikes})
_, told["all sweeps"] = measured(lambda: {every}, 3)
told["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
told["sum"] = float(sweep["stimulus"].sum(dtype=float)), len(sweep["response"])
print(json.dumps(told))
"""


def main() -> None:
    """Time both, and print ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--allensdk", required=True, help="a python that has AllenSDK")
    options.add_argument("--sweeps", type=int, default=20)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = made(Path(folder) / "ephys.nwb", given.sweeps)
        ours = ran(sys.executable, path, "from openallen.sessions import open_nwb as opened")
        theirs = ran(
            given.allensdk, path, "from allensdk.core.nwb_data_set import NwbDataSet as opened"
        )
        print(f"{given.sweeps} sweeps of {_COUNT:,} samples, {path.stat().st_size / 1e6:.1f} MB")
    for step in ours:
        if step in {"peak_mb", "sum"}:
            continue
        (wall, cpu), (other, other_cpu) = ours[step], theirs[step]
        print(
            f"  {step:22} {wall * 1000:8.1f} ms ({cpu:.3f} CPU s)   "
            f"AllenSDK {other * 1000:8.1f} ms ({other_cpu:.3f} CPU s)  {other / wall:6.1f}x"
        )
    print(f"  peak memory {ours['peak_mb']:.0f} MB, AllenSDK {theirs['peak_mb']:.0f} MB")
    assert ours["sum"][1] == theirs["sum"][1] == _COUNT


def ran(python: str, path: Path, load: str) -> dict[str, Any]:
    """Run one program."""
    code = _PROGRAM.format(
        load=load,
        numbers="opened(path).get_sweep_numbers()",
        sweep="opened(path).get_sweep(number)",
        spikes="opened(path).get_spike_times(number)",
        every="[opened(path).get_sweep(n) for n in opened(path).get_sweep_numbers()][0]",
    )
    done = subprocess.run(
        [python, "-c", code, str(path), "5"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def made(path: Path, sweeps: int) -> Path:
    """Write a file as the Cell Types Database has them, with made-up numbers."""
    import h5py
    import numpy as np

    chance = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        file["nwb_version"] = np.bytes_("NWB-1.0.5")
        file["general/generated_by"] = np.array([b"version", b"1.1.0"])
        for number in range(sweeps):
            volts = (chance.integers(-4, 4, _COUNT) / 32 - 70).astype("f4")
            current = np.zeros(_COUNT, "f4")
            current[200_000:400_000] = 10 * number
            for role, place, values, unit, scale in (
                ("response", "acquisition/timeseries", volts, b"Volts", 1e-3),
                ("stimulus", "stimulus/presentation", current, b"Amps", 1e-12),
            ):
                group = file.create_group(f"{place}/Sweep_{number}")
                group.create_dataset("data", data=values, compression=4)
                group["data"].attrs.update({"unit": np.bytes_(unit), "conversion": scale})
                group["starting_time"] = 3.0 * number
                group["starting_time"].attrs["rate"] = _RATE_HZ
                for word, first in (("Sweep", 0), ("Experiment", 100_000)):
                    epoch = file.create_group(f"epochs/{word}_{number}/{role}")
                    epoch["idx_start"], epoch["count"] = first, _COUNT - first
                    epoch["timeseries"] = h5py.SoftLink(f"/{place}/Sweep_{number}")
            file[f"analysis/spike_times/Sweep_{number}"] = np.linspace(1, 2, number)
    return path


if __name__ == "__main__":
    main()
