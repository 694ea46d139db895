"""Counting spikes by unit, presentation and bin, beside AllenSDK in the same run.

    python benchmarks/spike_counts.py --allensdk PYTHON

Spikes are made up: 1,000 units of 0.1 to 40 spikes/s (log-normal, about 6/s on average) over the
length of the session, 1,000 presentations, 50 bins of 10 ms. Each program runs in a process of its
own and counts once for the result, which must be equal, then as often as asked; medians of wall
time and processor time are printed, and the peak of memory.

AllenSDK's method is called on a session that is handed these spikes and tables, so that neither
opens a file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

_COMMON = """
import hashlib, json, resource, statistics, sys, time, warnings
import numpy as np, pandas as pd
warnings.simplefilter("ignore")
units, shown, bins, runs, apart_s, length_s = json.loads(sys.argv[1])
rng = np.random.default_rng(1)
rates = rng.lognormal(1.5, 0.9, units).clip(0.1, 40)
spikes = {i: np.sort(rng.uniform(0, length_s, rng.poisson(r * length_s)))
          for i, r in enumerate(rates)}
starts = 50 + np.arange(shown) * apart_s
table = pd.DataFrame({"start_time": starts, "stop_time": starts + 0.5},
                     index=pd.Index(range(shown), name="stimulus_presentation_id"))
edges = np.linspace(0, 0.01 * bins, bins + 1)
"""
_OURS = """
from openallen.sessions.responses import presentationwise_spike_counts
def count():
    return presentationwise_spike_counts(spikes, table, edges, list(table.index), list(spikes))
"""
_THEIRS = """
from allensdk.brain_observatory.ecephys.ecephys_session import EcephysSession
class Session(EcephysSession):
    def __init__(self): pass
    spike_times = property(lambda self: spikes)
    stimulus_presentations = property(lambda self: table)
    units = property(lambda self: pd.DataFrame({"x": 0}, pd.Index(list(spikes), name="unit_id")))
session = Session()
def count():
    return session.presentationwise_spike_counts(edges, list(table.index), list(spikes))
"""
_TIMED = """
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = count()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
digest = hashlib.sha256(np.ascontiguousarray(found.values)).hexdigest()
del found
wall, cpu = [], []
for _ in range(runs):
    start, used = time.perf_counter(), time.process_time()
    count()
    wall.append(time.perf_counter() - start)
    cpu.append(time.process_time() - used)
print(json.dumps({"digest": digest, "wall_s": statistics.median(wall),
                  "cpu_s": statistics.median(cpu), "peak_kib": peak, "before_kib": before,
                  "spikes": sum(map(len, spikes.values()))}))
"""


def main() -> None:
    """Time both, and print the ratio."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--allensdk", required=True, help="a python that has AllenSDK")
    options.add_argument("--units", type=int, default=1000)
    options.add_argument("--presentations", type=int, default=1000)
    options.add_argument("--bins", type=int, default=50)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--apart", type=float, default=1.0, help="s from start to start")
    options.add_argument("--length", type=float, default=1100.0, help="s of spikes")
    given = options.parse_args()
    what = [
        given.units,
        given.presentations,
        given.bins,
        given.runs,
        given.apart,
        given.length,
    ]
    ours = run(sys.executable, _OURS, what)
    theirs = run(given.allensdk, _THEIRS, what)
    if ours["digest"] != theirs["digest"]:
        raise SystemExit("the counts differ")
    print(
        f"{what[0]:,} units x {what[1]:,} presentations x {what[2]} bins, {ours['spikes']:,} spikes"
    )
    for name, found in (("openallen", ours), ("AllenSDK", theirs)):
        peak_mb, before_mb = found["peak_kib"] / 1024, found["before_kib"] / 1024
        print(
            f"  {name:10} {found['wall_s']:7.3f} s  CPU {found['cpu_s']:7.3f} s  "
            f"peak {peak_mb:6.0f} MiB, of it {peak_mb - before_mb:6.0f} MiB for the first count"
        )
    print(
        f"  equal counts; wall {theirs['wall_s'] / ours['wall_s']:.1f}x, "
        f"CPU {theirs['cpu_s'] / ours['cpu_s']:.1f}x"
    )


def run(python: str, counts: str, what: list[Any]) -> dict[str, Any]:
    """Run one program."""
    command = [python, "-c", _COMMON + counts + _TIMED, json.dumps(what)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
