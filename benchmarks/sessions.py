"""Opening sessions on this machine, attribute by attribute, beside AllenSDK.

    python benchmarks/sessions.py --allensdk PYTHON

The files are small ones AllenSDK wrote. Each program runs in a process of its own, opens each file
five times and reads each attribute; medians are printed. AllenSDK reads everything while it opens,
so an attribute's time is its opening and its reading together, for both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

FIXTURES = Path(__file__).parents[1] / "tests" / "data" / "nwb" / "sessions.tar.xz"
FILES = {
    "behavior_session": "setA/behavior_session_883986743.nwb",
    "behavior_ophys_experiment": "setA/behavior_ophys_experiment_957759562.nwb",
    "ecephys_session": "setA/ecephys_session_1053941483.nwb",
}
ATTRIBUTES = {
    "behavior_session": ["trials", "stimulus_presentations", "running_speed", "metadata"],
    "behavior_ophys_experiment": ["max_projection", "dff_traces", "trials", "eye_tracking"],
    "ecephys_session": ["spike_times", "mean_waveforms", "trials", "optotagging_table"],
}
_COMMON = """
import json, statistics, sys, time, warnings
warnings.simplefilter("ignore")
path, names = sys.argv[1], sys.argv[2].split(",")
start = time.perf_counter()
{load}
found = {{"import": time.perf_counter() - start}}
opened, read = [], {{name: [] for name in [*names, "get_performance_metrics"]}}
for _ in range(5):
    start = time.perf_counter()
    session = {open}
    opened.append(time.perf_counter() - start)
    for name in read:
        start = time.perf_counter()
        value = getattr(session, name)
        if callable(value): value()
        read[name].append(time.perf_counter() - start)
found["open"] = statistics.median(opened)
found |= {{n: statistics.median(t) for n, t in read.items()}}
print(json.dumps(found))
"""
_MODULES = {
    "behavior_session": ("behavior_session", "BehaviorSession"),
    "behavior_ophys_experiment": ("behavior_ophys_experiment", "BehaviorOphysExperiment"),
    "ecephys_session": ("behavior_ecephys_session", "BehaviorEcephysSession"),
}


def main() -> None:
    """Time both, and print ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--allensdk", required=True, help="a python that has AllenSDK")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(FIXTURES) as packed:
            packed.extractall(folder)
        for kind, name in FILES.items():
            one(kind, Path(folder) / name, given.allensdk)


def one(kind: str, path: Path, allensdk: str) -> None:
    """Compare one file."""
    module, name = _MODULES[kind]
    package = "ecephys" if kind == "ecephys_session" else ""
    where = f"allensdk.brain_observatory.{package or 'behavior'}.{module}"
    if kind == "ecephys_session":
        where = "allensdk.brain_observatory.ecephys.behavior_ecephys_session"
    ours = timed(
        sys.executable,
        _COMMON.format(
            load="from openallen.sessions import open_session", open="open_session(path)"
        ),
        path,
        kind,
    )
    theirs = timed(
        allensdk,
        _COMMON.format(
            load=f"from {where} import {name} as Session", open="Session.from_nwb_path(path)"
        ),
        path,
        kind,
    )
    print(f"{path.name}, {path.stat().st_size / 1e6:.1f} MB")
    for step, seconds in ours.items():
        both = step not in {"import", "open"}
        a = seconds + ours["open"] * both
        b = theirs[step] + theirs["open"] * both
        print(f"  {step:26} {a * 1000:8.1f} ms  AllenSDK {b * 1000:8.1f} ms  {b / a:6.1f}x")


def timed(python: str, code: str, path: Path, kind: str) -> dict[str, float]:
    """Run one program."""
    command = [python, "-c", code, str(path), ",".join(ATTRIBUTES[kind])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
