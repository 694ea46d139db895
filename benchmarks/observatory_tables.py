"""Tables of Visual Coding Neuropixels beside AllenSDK: 40,000 units, made up.

    python benchmarks/observatory_tables.py --allensdk /path/to/python/with/allensdk

Each call runs in a process of its own, on the same cache, first and then again; modules are loaded
before the clock starts. The answers are compared by a digest of their numbers. Without a peer, only
our own side runs.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

_CALLS: Final = (
    "get_session_table()",
    "get_probes()",
    "get_channels()",
    "get_units()",
    "get_units(filter_by_validity=False, filter_out_of_brain_units=False, "
    "amplitude_cutoff_maximum=inf, presence_ratio_minimum=-inf, isi_violations_maximum=inf)",
    "get_unit_analysis_metrics_by_session_type('brain_observatory_1.1')",
)
_OURS: Final = "import pandas; import openallen as oa; cache = oa.open({folder!r})"
_THEIRS: Final = """
from allensdk.brain_observatory.ecephys.ecephys_project_cache import EcephysProjectCache
cache = EcephysProjectCache.from_warehouse(manifest={folder!r} + "/manifest.json")
"""
_TIMED: Final = """
import hashlib, json, sys, time, warnings
warnings.simplefilter("ignore")
inf = float("inf")
{start}
begin = time.perf_counter()
found = cache.{call}
took = time.perf_counter() - begin
begin = time.perf_counter()
cache.{call}
again = time.perf_counter() - begin
plain = found[[c for c in found.columns if found[c].dtype.kind in "ifb"]].round(9)
text = plain.to_csv(float_format="%.9g")
print(json.dumps([took, again, list(found.shape), hashlib.sha256(text.encode()).hexdigest()]))
"""
_KEYS: Final = {
    "sessions": ("sessions.csv", "BASEDIR"),
    "probes": ("probes.csv", "BASEDIR"),
    "channels": ("channels.csv", "BASEDIR"),
    "units": ("units.csv", "BASEDIR"),
    "session_data": ("session_%d", "BASEDIR"),
    "session_nwb": ("session_%d.nwb", "session_data"),
    "session_analysis_metrics": ("session_%d_analysis_metrics.csv", "session_data"),
    "probe_lfp_nwb": ("probe_%d_lfp.nwb", "session_data"),
    "movie_dir": ("natural_movie_templates", "BASEDIR"),
    "typewise_analysis_metrics": ("%s_analysis_metrics.csv", "BASEDIR"),
    "natural_movie": ("natural_movie_%d.h5", "movie_dir"),
    "natural_scene_dir": ("natural_scene_templates", "BASEDIR"),
    "natural_scene": ("natural_scene_%d.tiff", "natural_scene_dir"),
}
_METRICS: Final = (
    "PT_ratio", "amplitude", "amplitude_cutoff", "cumulative_drift", "d_prime", "duration",
    "firing_rate", "halfwidth", "isi_violations", "isolation_distance", "l_ratio", "max_drift",
    "nn_hit_rate", "nn_miss_rate", "presence_ratio", "recovery_slope", "repolarization_slope",
    "silhouette_score", "snr", "spread", "velocity_above", "velocity_below",
)  # fmt: skip
_AREAS: Final = ("VISp", "VISl", "VISal", "VISam", "CA1", "LGd", "")


def make(folder: Path, units: int) -> None:
    """Write a cache with 58 sessions, 6 probes each, and made-up numbers."""
    pick = random.Random(5)
    keys = [{"key": k, "type": _type(s), "spec": s, "parent_key": p} for k, (s, p) in _KEYS.items()]
    base = [{"type": "manifest_version", "value": "0.3.0"}]
    base += [{"key": "BASEDIR", "type": "dir", "spec": "."}]
    (folder / "manifest.json").write_text(json.dumps({"manifest": [*base, *keys]}))
    sessions: list[list[object]] = [
        [i, "2019-01-08T00:26:20Z", "2019-10-03T00:00:00Z", i, _kind(i), "", 120.0, "M", "wt", True]
        for i in range(1, 59)
    ]
    _write(
        folder / "sessions.csv",
        "id,date_of_acquisition,published_at,specimen_id,session_type,isi_experiment_id,"
        "age_in_days,sex,genotype,has_nwb",
        sessions,
    )
    probes: list[list[object]] = [
        [1000 + i, "", 1 + i // 6, 2500.0, f"probe{'ABCDEF'[i % 6]}", "3a", 30000.0, "", True, 2.0]
        for i in range(58 * 6)
    ]
    _write(
        folder / "probes.csv",
        "id,air_channel_index,ecephys_session_id,lfp_sampling_rate,name,phase,sampling_rate,"
        "surface_channel_index,has_lfp_data,lfp_temporal_subsampling_factor",
        probes,
    )
    channels: list[list[object]] = [
        [10000 + i, 1000 + i // 374, i % 374, 43, i % 374 * 20, 7000.0, 1000.0, 8000.0, 385.0,
         pick.choice(_AREAS)]
        for i in range(58 * 6 * 374)
    ]  # fmt: skip
    _write(
        folder / "channels.csv",
        "id,ecephys_probe_id,local_index,probe_horizontal_position,probe_vertical_position,"
        "anterior_posterior_ccf_coordinate,dorsal_ventral_ccf_coordinate,"
        "left_right_ccf_coordinate,ecephys_structure_id,ecephys_structure_acronym",
        channels,
    )
    names = [*_METRICS, "ecephys_channel_id", "local_index", "quality"]
    rows = [_unit(i, pick, len(channels)) for i in range(units)]
    _write(folder / "units.csv", ",".join(["id", *names]), rows)
    metrics: list[list[object]] = [
        [r[0], *(round(pick.random(), 6) for _ in range(40))] for r in rows[: units // 2]
    ]
    head = ",".join(["ecephys_unit_id", *(f"metric_{i}_dg" for i in range(40))])
    _write(folder / "brain_observatory_1.1_analysis_metrics.csv", head, metrics)


def _type(spec: str) -> str:
    return "file" if "." in spec else "dir"


def _kind(session: int) -> str:
    return "brain_observatory_1.1" if session <= 32 else "functional_connectivity"


def _unit(i: int, pick: random.Random, channels: int) -> list[object]:
    values = {name: round(pick.random(), 6) for name in _METRICS}
    values["presence_ratio"] = pick.choice([0.5, 0.99, 0.99])
    values["amplitude_cutoff"] = round(pick.random() / 5, 6)
    quality = pick.choice(["good", "good", "good", "noise"])
    return [500000 + i, *values.values(), 10000 + pick.randrange(channels), i % 400, quality]


def _write(path: Path, head: str, rows: list[list[object]]) -> None:
    with path.open("w", newline="") as file:
        file.write(head + "\n")
        csv.writer(file, lineterminator="\n").writerows(rows)


def timed(python: str, start: str, call: str, runs: int) -> tuple[float, float, list[int], str]:
    """Return median times of a call and the next in ms, the shape of the answer, its digest."""
    code = _TIMED.format(start=start, call=call)
    times: list[tuple[float, float]] = []
    for _ in range(runs):
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        took, again, shape, digest = json.loads(done.stdout.splitlines()[-1])
        times.append((took * 1000, again * 1000))
    first, second = (statistics.median(part) for part in zip(*times, strict=True))
    return first, second, shape, digest


def main() -> None:
    """Make the cache, time both sides call by call, and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--units", type=int, default=40_000)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--allensdk", help="a python with AllenSDK")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        make(Path(place), asked.units)
        print(f"{asked.units:,} units, median of {asked.runs}: first call, and again (ms)")
        for call in _CALLS:
            start = _OURS.format(folder=place)
            first, second, shape, digest = timed(sys.executable, start, call, asked.runs)
            line = f"{call[:56]:58}{shape!s:14} ours {first:6.0f} {second:6.0f}"
            if asked.allensdk:
                start = _THEIRS.format(folder=place)
                once, again, _, other = timed(asked.allensdk, start, call, asked.runs)
                same = "equal" if other == digest else "DIFFERENT"
                line += f"   AllenSDK {once:6.0f} {again:6.0f}"
                line += f"   {once / first:.1f}x {again / second:.1f}x   {same}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
