"""Opening a two-photon session of Visual Coding on this machine, beside AllenSDK.

    python benchmarks/visual_coding_ophys.py --allensdk PYTHON [--cells N] [--frames N] [--rounds N]

PYTHON: of an environment with AllenSDK, scikit-image, statsmodels and matplotlib. A file in the
layout of the published ones is made (its numbers are noise). Each step runs in processes of its
own, program after program, so that both find the same machine. Medians of the rounds are printed:
seconds of the first time in a process, imports included, with seconds of CPU; seconds of opening
the file and taking the step again; peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
STEPS = {
    "open, one cell's ΔF/F": "s.get_dff_traces([int(s.get_cell_specimen_ids()[7])])",
    "open, all ΔF/F": "s.get_dff_traces()",
    "open, corrected fluorescence": "s.get_corrected_fluorescence_traces()",
    "open, masks": "s.get_roi_mask_array()",
    "open, all presentations": "s.get_stimulus_table('master')",
    "open, running speed": "s.get_running_speed()",
    "open, what was shown at 20 frames": "[s.get_stimulus(n) for n in range(0, 400, 20)]",
}
OPENING = {
    "openallen": ("import openallen as oa", "oa.open(path)"),
    "AllenSDK": (
        "from allensdk.core.brain_observatory_nwb_data_set import BrainObservatoryNwbDataSet as B",
        "B(path)",
    ),
}
_CODE = """
import json, resource, sys, time, warnings
warnings.simplefilter("ignore")
path = sys.argv[1]
begun, start = time.process_time(), time.perf_counter()
{load}
def take():
    s = {open}
    return {step}
take()
first, cpu = time.perf_counter() - start, time.process_time() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
again, busy = [], time.process_time()
for _ in range(5):
    start = time.perf_counter()
    take()
    again.append(time.perf_counter() - start)
busy = (time.process_time() - busy) / 5
print(json.dumps([first, cpu, sorted(again)[2], busy, peak]))
"""


def main() -> None:
    """Make the file, let both take each step, print ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--allensdk", required=True, help="a python that has AllenSDK")
    options.add_argument("--cells", type=int, default=120)
    options.add_argument("--frames", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    write_ophys = import_module("visualcoding").write_ophys  # which only tests have
    pythons = {"openallen": sys.executable, "AllenSDK": given.allensdk}
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        path = write_ophys(Path(folder) / "x.nwb", cells=given.cells, frames=given.frames)
        print(f"{given.cells} cells, {given.frames:,} frames: {path.stat().st_size / 1e6:.0f} MB")
        for title, step in STEPS.items():
            told: dict[str, list[list[float]]] = {name: [] for name in pythons}
            for _ in range(given.rounds):
                for name, python in pythons.items():
                    told[name].append(run(python, name, step, path))
            show(title, {name: middle(rows) for name, rows in told.items()})


def run(python: str, name: str, step: str, path: Path) -> list[float]:
    """Return seconds and seconds of CPU of the first time, those of later ones, MB at the peak."""
    load, opening = OPENING[name]
    code = _CODE.format(load=load, open=opening, step=step)
    command = [python, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return list(json.loads(done.stdout.splitlines()[-1]))


def middle(rows: list[list[float]]) -> list[float]:
    """Return the median of each figure."""
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def show(title: str, told: dict[str, list[float]]) -> None:
    """Print one step."""
    ours, theirs = told["openallen"], told["AllenSDK"]
    print(f"{title}: {theirs[0] / ours[0]:.1f}x the first time, {theirs[2] / ours[2]:.2f}x again")
    for name, (first, cpu, again, busy, peak) in told.items():
        print(
            f"  {name:10} first {first * 1000:7.0f} ms (CPU {cpu * 1000:7.0f}), "
            f"again {again * 1000:7.1f} ms (CPU {busy * 1000:7.1f}), peak {peak:4.0f} MB"
        )


if __name__ == "__main__":
    main()
