"""A large table of the ABC Atlas beside `pandas.read_csv`: made up, as large as is asked for.

    python benchmarks/abc_tables.py --rows 200000          # 40 MB; 4,000,000 rows are 0.8 GB

Each call runs in a process of its own. Ours reads the CSV once and keeps a copy as Parquet; after
that it reads the copy. Modules are loaded before the clock starts; the most memory is that of the
process, modules included. Answers are compared by digests of all their cells.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

_START: Final = """
import hashlib, json, resource, sys, time
import pandas as pd
from pathlib import Path
from openallen.sources.releases.abc.tables import KeptTable
from openallen.address import Condition
import pyarrow.dataset, pyarrow.csv, pyarrow.parquet
source, folder = Path({source!r}), Path({folder!r})
kept = KeptTable(lambda: source, "md5:" + "0" * 32, folder, "table")
begin = time.perf_counter()
found = {call}
took = time.perf_counter() - begin
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
text = pd.util.hash_pandas_object(found.astype(object), index=False).to_numpy().tobytes()
print(json.dumps([took, peak, list(found.shape), hashlib.sha256(text).hexdigest()]))
"""
_READ: Final = "pd.read_csv(source, dtype={'cell_label': str}"
_SOME: Final = "['cell_label', 'x', 'y', 'subclass']"
_LABEL: Final = "WMB-10Xv2-TH"
_CASES: Final = {
    "whole": ("kept.frame()", f"{_READ})"),
    "four columns": (f"kept.frame({_SOME})", f"{_READ}, usecols={_SOME})[{_SOME}]"),
    "one matrix of ten": (
        f"kept.frame(None, [Condition.of('feature_matrix_label', '{_LABEL}')])",
        f"(lambda t: t[t['feature_matrix_label'] == '{_LABEL}'].reset_index(drop=True))({_READ}))",
    ),
}


def make(path: Path, rows: int) -> None:
    """Write a table of cells as the atlas has them, with made-up values."""
    pick = random.Random(3)
    matrices = [_LABEL, *(f"WMB-10Xv3-{i}" for i in range(9))]
    with path.open("w", encoding="utf-8") as file:
        file.write(
            "cell_label,cell_barcode,library_label,feature_matrix_label,entity,brain_section_label,"
            "donor_label,donor_genotype,donor_sex,dataset_label,x,y,cluster_alias,neurotransmitter,"
            "class,subclass,supertype,cluster,class_color,subclass_color\n"
        )
        for number in range(rows):
            code = "".join(pick.choices("ACGT", k=16))
            kind, matrix = pick.randrange(5000), matrices[number * 10 // rows]
            file.write(
                f"{code}-{number},{code},L8TX_{number % 300:06d},{matrix},cell,,"
                f"Snap25-{number % 60},{'wt/wt' if number % 3 else ''},{'FM'[number % 2]},"
                f"{matrix[:9]},{pick.random() * 20:.6f},{pick.random() * 20:.6f},{kind},"
                f"{'Glut' if kind % 4 else ''},{kind // 150:02d} Class,{kind // 15:03d} Subclass,"
                f"{kind // 4:04d} Supertype,{kind:04d} Cluster,#EF2E7A,#40872A\n"
            )


def run(call: str, source: Path, folder: Path) -> tuple[float, float, list[int], str]:
    """Return seconds, bytes of memory at most, shape and digest of one call in a new process."""
    code = _START.format(source=str(source), folder=str(folder), call=call)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    took, peak, shape, digest = json.loads(done.stdout)
    return took, peak, shape, digest


def main() -> None:
    """Print seconds and memory of both, and the ratio, for each case."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        source, folder = Path(name) / "cells.csv", Path(name) / "tables"
        make(source, given.rows)
        print(f"{given.rows:,} rows, {source.stat().st_size / 1e6:,.0f} MB of CSV")
        first = run("kept.frame()", source, folder)
        print(f"first read, which makes the copy: {first[0]:.2f} s, {first[1] / 1e6:,.0f} MB")
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"the copy: {size / 1e6:,.0f} MB")
        for case, (ours, theirs) in _CASES.items():
            mine = [run(ours, source, folder) for _ in range(given.rounds)]
            peer = [run(theirs, source, folder) for _ in range(given.rounds)]
            a, b = (statistics.median(r[0] for r in runs) for runs in (mine, peer))
            same = "equal" if mine[0][2:] == peer[0][2:] else "DIFFERENT"
            print(
                f"{case:18} {a:7.2f} s {mine[0][1] / 1e6:7,.0f} MB | pandas {b:7.2f} s "
                f"{peer[0][1] / 1e6:7,.0f} MB | {b / a:5.1f} times | {same}"
            )


if __name__ == "__main__":
    main()
