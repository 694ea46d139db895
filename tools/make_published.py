"""Sum up the tables of the compression benchmark as its authors committed them.

    python tools/make_published.py DIR > src/openallen/sources/recordings/published.json

DIR holds ``benchmark-lossless-extended.csv`` and ``benchmark-lossy-nogt.csv`` of github
AllenNeuralDynamics/ephys-compression (MIT), results of October 2022 and May 2022.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

PROBES = {"Neuropixels1.0": "NP1", "Neuropixels2.0": "NP2"}
SHUFFLES = {"no": "none", "shuffle": "byte", "bit": "bit"}


def lossless(path: Path) -> list[dict[str, object]]:
    """Return medians over recordings for chunks of 1 s, by codec, level, shuffle and LSB.

    Recordings of IBL were stored in steps of one already: they count among the corrected ones.
    """
    found: dict[tuple[object, ...], dict[str, list[tuple[float, ...]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["chunk_duration"] != "1s":
                continue
            corrected = row["lsb"] == "True" or row["dataset"] == "ibl"
            columns = int(row["channel_chunk_size"])
            way = (row["compressor"], row["level"], SHUFFLES[row["shuffle"]])
            told = tuple(float(row[n]) for n in ("CR", "cspeed_xrt", "dspeed10s_xrt"))
            found[*way, corrected, columns][PROBES[row["probe"]]].append(told)
    rows = []
    for key, probes in sorted(found.items(), key=str):
        names = ("codec", "level", "shuffle", "lsb", "columns")
        made: dict[str, object] = dict(zip(names, key, strict=True))
        for probe, values in sorted(probes.items()):
            made[probe] = [round(median(v), 3) for v in zip(*values, strict=True)]
        rows.append(made)
    return rows


def lossy(path: Path) -> list[dict[str, object]]:
    """Return ratio and error of each way and factor."""
    found: dict[tuple[str, float], dict[str, object]] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            way = {"bit_truncation": "truncate", "wavpack": "wavpack"}[row["strategy"]]
            key = (way, float(row["factor"]))
            made = found.setdefault(key, {"lossy": way, "factor": key[1]})
            made[PROBES[row["probe"]]] = [float(row["CR"]), round(float(row["rmse"]), 3)]
    return [found[key] for key in sorted(found)]


def main() -> None:
    """Write both."""
    folder = Path(sys.argv[1])
    told = {
        "lossless": lossless(folder / "benchmark-lossless-extended.csv"),
        "lossy": lossy(folder / "benchmark-lossy-nogt.csv"),
    }
    lines = [f' "{name}": [\n  ' + ",\n  ".join(map(json.dumps, rows)) + "\n ]"
             for name, rows in told.items()]  # fmt: skip
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
