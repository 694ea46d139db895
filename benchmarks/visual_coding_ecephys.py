"""Opening Visual Coding Neuropixels sessions on this machine, part by part, beside AllenSDK.

    python benchmarks/visual_coding_ecephys.py --allensdk PYTHON --session FILE.nwb

The file is a session as AllenSDK reads it. It is enlarged first: its units and presentations are
repeated under other ids and at later times until there are as many as asked for, with spikes made
up. Each part is read by each program in a process of its own, which opens the file for it, since
either program keeps what it has read. Wall and processor time without imports, and the peak of
memory, are printed; answers must be equal.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

PARTS = {
    "open": "session.ecephys_session_id",
    "units": "session.units",
    "presentations": "session.stimulus_presentations",
    "counts": (
        "session.presentationwise_spike_counts(np.linspace(0, 0.25, 26), "
        "shown(session.stimulus_presentations, 'flashes'), session.units.index.values)"
    ),
}
_COMMON = """
import hashlib, json, resource, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np, pandas as pd
path = sys.argv[1]
def shown(table, name):
    return table.index[table["stimulus_name"] == name].values
def digest(found):
    if isinstance(found, pd.DataFrame):
        found = found.select_dtypes("number")
        found = found[sorted(found)]
        return hashlib.sha256(found.to_numpy("float64").tobytes()).hexdigest()
    values = np.ascontiguousarray(getattr(found, "values", found))
    return hashlib.sha256(values.tobytes()).hexdigest()
"""
_OURS = """
from openallen.sessions import open_nwb
import openallen.sessions.visual_coding.ecephys, xarray, h5py
def opened(): return open_nwb(path)
"""
_THEIRS = """
from allensdk.brain_observatory.ecephys.ecephys_session import EcephysSession
def opened(): return EcephysSession.from_nwb_path(path)
"""
_TIMED = """
start, used = time.perf_counter(), time.process_time()
session = opened()
found = {part}
wall, cpu = time.perf_counter() - start, time.process_time() - used
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({{"wall_s": wall, "cpu_s": cpu, "peak_kib": peak, "digest": digest(found)}}))
"""


def main() -> None:
    """Time both, and print ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--allensdk", required=True, help="a python that has AllenSDK")
    options.add_argument("--session", required=True, type=Path, help="a session's NWB file")
    options.add_argument("--units", type=int, default=2000)
    options.add_argument("--spikes", type=int, default=5000, help="spikes of each unit")
    options.add_argument("--presentations", type=int, default=30_000)
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "alone" / "session.nwb"
        path.parent.mkdir()
        told = enlarged(given.session, path, given.units, given.spikes, given.presentations)
        print(f"{told}, {path.stat().st_size / 1e6:,.0f} MB")
        for name, part in PARTS.items():
            ours = best(sys.executable, _OURS, part, path, given.runs)
            theirs = best(given.allensdk, _THEIRS, part, path, given.runs)
            same = "equal" if ours["digest"] == theirs["digest"] else "DIFFERENT"
            print(
                f"  {name:14} openallen {_told(ours)}   AllenSDK {_told(theirs)}   "
                f"wall {theirs['wall_s'] / ours['wall_s']:.0f}x, "
                f"CPU {theirs['cpu_s'] / ours['cpu_s']:.0f}x, {same}"
            )


def _told(found: dict[str, Any]) -> str:
    peak_mib = found["peak_kib"] / 1024
    return f"{found['wall_s']:7.3f} s, CPU {found['cpu_s']:7.3f} s, {peak_mib:5.0f} MiB"


def best(python: str, load: str, part: str, path: Path, runs: int) -> dict[str, Any]:
    """Run a program some times, and return the run of the median wall time."""
    code = _COMMON + load + _TIMED.format(part=part)
    found = []
    for _ in range(runs):
        done = subprocess.run(
            [python, "-c", code, str(path)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        found.append(json.loads(done.stdout.splitlines()[-1]))
    found.sort(key=lambda run: run["wall_s"])
    return dict(found[len(found) // 2])


# --- a larger file --------------------------------------------------------------------------------


def enlarged(source: Path, path: Path, units: int, spikes: int, shown: int) -> str:
    """Copy a session, and repeat its units and presentations; return what there is."""
    shutil.copyfile(source, path)
    with h5py.File(path, "r+") as file:
        table = file["units"]
        times = -(-units // len(table["id"]))
        skip = {"spike_times", "spike_times_index", "spike_amplitudes", "spike_amplitudes_index"}
        count = repeated(table, times, skip)
        table["id"][...] = 950_000_000 + np.arange(count)
        rng = np.random.default_rng(1)
        trains = np.sort(rng.uniform(0, 100, (count, spikes)), axis=1).ravel()
        ends = np.arange(1, count + 1, dtype="uint64") * spikes
        for name, values in {"spike_times": trains, "spike_amplitudes": trains * 1e-6}.items():
            replaced(table, name, values)
            replaced(table, f"{name}_index", ends)
            table[f"{name}_index"].attrs["target"] = table[name].ref
        names = [n for n in file["intervals"] if n.endswith("_presentations")]
        there = sum(len(file["intervals"][n]["id"]) for n in names)
        times = -(-shown // there)
        for name in names:
            one = file["intervals"][name]
            rows = len(one["id"])
            repeated(one, times, set())
            later = np.repeat(np.arange(times) * 200.0, rows)
            for column in ("start_time", "stop_time"):
                one[column][...] += later
    return f"{count:,} units of {spikes:,} spikes, {there * times:,} presentations"


def repeated(table: h5py.Group, times: int, skip: set[str]) -> int:
    """Repeat the rows of a table, and return how many there are then."""
    rows = len(table["id"])
    for name in [n for n in table if n not in skip]:
        values = table[name][...]
        made = np.concatenate([values] * times)
        if name.endswith("_index") and name.removesuffix("_index") in table:
            step = int(values[-1]) if rows else 0
            made = np.concatenate([values.astype("uint64") + n * step for n in range(times)])
        replaced(table, name, made)
    for name in list(table):
        if f"{name}_index" in table:
            table[f"{name}_index"].attrs["target"] = table[name].ref
    return rows * times


def replaced(table: h5py.Group, name: str, values: Any) -> None:
    """Replace a column, with its attributes."""
    old = table[name]
    kept, kind = dict(old.attrs), old.dtype
    del table[name]
    dtype = kind if kind.kind in "OV" else None
    made = table.create_dataset(name, data=values, dtype=dtype)
    for key, value in kept.items():
        made.attrs[key] = value


if __name__ == "__main__":
    main()
