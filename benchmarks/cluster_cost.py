"""What many workers would need for a terabyte, and a petabyte: measured rates, and a model.

    BENCH_DIR=/dev/shm python benchmarks/cluster_cost.py --disk FOLDER
    python benchmarks/cluster_cost.py --rates rates.json --workers 1,16,256 --bytes 1e12

Measured, in seconds of CPU for each GB, since these hardly depend on what else the machine does:
fetching and verifying files from nginx on this machine; BLAKE2b alone; opening an experiment in the
layout of the released ones and reading all its arrays and tables. Also what a disk takes, synced.

The model is of steady work in which everything overlaps, so that the slowest of these counts:

    bucket      requests/s x bytes of a request x prefixes
    link        nodes x link of a node
    processors  workers x cores / (CPU of fetching and verifying + of reading + of your own work)
    store       one shared store, or a disk on each node

and nothing is done before the start is over, nor before one worker has done one file. Everything
that is not measured is an option with a default that is a guess: look at them before you believe
the table. Needs nginx and the extras of openallen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

GB = 1e9
FILES, FILE_BYTES = 4, 250_000_000
REQUESTS_PER_S = 5500
"""GET and HEAD of one prefix of a bucket, as Amazon's documentation of S3 states."""


@dataclass(frozen=True)
class Rates:
    """What was measured on one machine.

    Parameters
    ----------
    fetch_cpu_s_per_gb
        Fetching and verifying, the hash included.
    hash_cpu_s_per_gb
        BLAKE2b alone, in one thread.
    read_cpu_s_per_gb
        Opening a session and reading everything in it, for each GB of its file.
    disk_mb_per_s
        Writing to a disk of this machine, synced.
    """

    fetch_cpu_s_per_gb: float
    hash_cpu_s_per_gb: float
    read_cpu_s_per_gb: float
    disk_mb_per_s: float


@dataclass(frozen=True)
class Assumed:
    """What nobody measured here.

    Parameters
    ----------
    cores, per_node
        Processors of a worker, and workers on a node.
    link_mb_per_s
        Link of a node.
    store_mb_per_s
        A store that all nodes share; None for disks of their own.
    request_bytes, prefixes
        Bytes of one request, and prefixes of the bucket that are read at once.
    file_bytes
        Size of a file.
    work_cpu_s_per_gb
        What is computed beside reading.
    start_s
        From the start of the job until all workers work.
    node_price_per_h
        Price of a node, for an hour.
    """

    cores: int = 2
    per_node: int = 4
    link_mb_per_s: float = 1250.0
    store_mb_per_s: float | None = 2000.0
    request_bytes: float = 16 * 2**20
    prefixes: int = 1
    file_bytes: float = 200e6
    work_cpu_s_per_gb: float = 0.0
    start_s: float = 60.0
    node_price_per_h: float = 0.40


@dataclass(frozen=True)
class Row:
    """What so many workers need.

    Parameters
    ----------
    workers, nodes
        How many.
    limit
        What is slowest: ``bucket``, ``link``, ``processors``, ``store`` or ``one file``.
    mb_per_s
        How fast all go together.
    seconds, node_hours, price
        For everything.
    """

    workers: int
    nodes: int
    limit: str
    mb_per_s: float
    seconds: float
    node_hours: float
    price: float


def limits(workers: int, rates: Rates, assumed: Assumed) -> dict[str, float]:
    """Return how many MB/s each part could do, if the others had no limit."""
    nodes = -(-workers // assumed.per_node)
    shared = assumed.store_mb_per_s
    return {
        "bucket": REQUESTS_PER_S * assumed.prefixes * assumed.request_bytes / 1e6,
        "link": nodes * assumed.link_mb_per_s,
        "processors": workers * assumed.cores * 1000 / cpu_s_per_gb(rates, assumed),
        "store": nodes * rates.disk_mb_per_s if shared is None else shared,
    }


def cpu_s_per_gb(rates: Rates, assumed: Assumed) -> float:
    """Return the seconds of CPU for each GB, all told."""
    return rates.fetch_cpu_s_per_gb + rates.read_cpu_s_per_gb + assumed.work_cpu_s_per_gb


def row(workers: int, size_bytes: float, rates: Rates, assumed: Assumed) -> Row:
    """Return what so many workers need for so many bytes."""
    if workers < 1 or size_bytes <= 0:
        raise ValueError("workers and bytes must be more than 0")
    able = limits(workers, rates, assumed)
    limit = min(able, key=lambda name: able[name])
    seconds = size_bytes / 1e6 / able[limit]
    # A file is read by one thread of one worker: more workers than files do not help.
    least = min(assumed.file_bytes, size_bytes) / GB * cpu_s_per_gb(rates, assumed)
    if least > seconds:
        limit, seconds = "one file", least
    nodes = -(-workers // assumed.per_node)
    hours = nodes * (seconds + assumed.start_s) / 3600
    return Row(
        workers,
        nodes,
        limit,
        size_bytes / 1e6 / seconds,
        seconds + assumed.start_s,
        hours,
        hours * assumed.node_price_per_h,
    )


def table(rows: list[Row]) -> str:
    """Return rows as a table of Markdown."""
    lines = [
        "| workers | nodes | limit | MB/s | time | node hours | price |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.workers:,} | {r.nodes:,} | {r.limit} | {r.mb_per_s:,.0f} | {spoken(r.seconds)} "
        f"| {r.node_hours:,.1f} | {r.price:,.2f} |"
        for r in rows
    ]
    return "\n".join(lines)


def spoken(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


# --- measuring ------------------------------------------------------------------------------------


def measure(disk: Path, rounds: int) -> Rates:
    """Measure on this machine; medians of several rounds."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        root = Path(folder)
        fetched = list(fetching(root / "fetch", rounds))
        read = list(reading(root / "read", rounds))
    return Rates(
        statistics.median(fetched),
        statistics.median(hashing() for _ in range(rounds)),
        statistics.median(read),
        statistics.median(writing(disk) for _ in range(rounds)),
    )


def fetching(root: Path, rounds: int) -> Iterator[float]:
    """Fetch files from nginx into new folders; give seconds of CPU for each GB, start included."""
    from releases import PORT, make, ours_of, served, timed

    keys = make(root, FILES, FILE_BYTES)
    with served(root, FILE_BYTES):
        for number in range(rounds):
            to = root / f"to{number}"
            to.mkdir()
            _, cpu, _ = timed(ours_of(root, keys, [1])["openallen x1"].command(to), to, PORT)
            got = [p for p in to.rglob("*.nwb") if p.stat().st_size == FILE_BYTES]
            if len(got) != FILES:
                raise SystemExit(f"only {len(got)} of {FILES} files came")
            for path in got:
                path.unlink()
            yield cpu / (FILES * FILE_BYTES / GB)


def hashing() -> float:
    """Compute BLAKE2b of 1 GB in pieces; give seconds of CPU for each GB."""
    block = os.urandom(1 << 20)
    digest = hashlib.blake2b()
    start = time.process_time()
    for _ in range(1000):
        digest.update(block)
    return (time.process_time() - start) / (1000 * len(block) / GB)


_READ = """
import sys, warnings
warnings.simplefilter("ignore")
import openallen as oa
experiment = oa.open(sys.argv[1])
for name in ("dff_traces", "corrected_fluorescence_traces", "events", "ophys_timestamps", "trials",
             "stimulus_presentations", "running_speed", "licks", "rewards", "eye_tracking",
             "max_projection", "average_projection", "cell_specimen_table", "metadata"):
    try:
        getattr(experiment, name)
    except Exception as error:
        print(name, type(error).__name__, str(error)[:100], file=sys.stderr)
import h5py
with h5py.File(sys.argv[1]) as file:
    file.visititems(lambda _, item: item[()] if isinstance(item, h5py.Dataset) else None)
"""


def reading(root: Path, rounds: int) -> Iterator[float]:
    """Open and read an experiment in a new process; give seconds of CPU for each GB of its file."""
    from remote_session import make

    root.mkdir(parents=True)
    path = make(root)
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", _READ, str(path)], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        yield used / (path.stat().st_size / GB)


def writing(folder: Path, size_bytes: int = 1_000_000_000) -> float:
    """Write a file and sync it; give MB/s."""
    block = os.urandom(1 << 20)
    path = folder / f"cluster-cost-{os.getpid()}"
    start = time.perf_counter()
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(size_bytes >> 20):
                file.write(block)
            os.fsync(file.fileno())
        return (size_bytes >> 20 << 20) / 1e6 / (time.perf_counter() - start)
    finally:
        path.unlink(missing_ok=True)


# --- the command line -----------------------------------------------------------------------------


def main() -> None:
    """Measure, or read what was measured, and print the table."""
    given = _options().parse_args()
    if given.rates:
        rates = Rates(**json.loads(Path(given.rates).read_text()))
    else:
        rates = measure(Path(given.disk), given.rounds)
    print(json.dumps(asdict(rates), indent=1))
    shared = None if given.own_disks else given.store_mb_per_s
    assumed = Assumed(
        given.cores, given.per_node, given.link_gbit * 125, shared, given.request_mib * 2**20,
        given.prefixes, given.file_mb * 1e6, given.work_cpu_s_per_gb, given.start_s, given.price,
    )  # fmt: skip
    print(f"\nassumed: {asdict(assumed)}\n")
    numbers = [int(word) for word in given.workers.split(",")]
    print(table([row(n, given.bytes, rates, assumed) for n in numbers]))


def _options() -> argparse.ArgumentParser:
    told = Assumed()
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rates", help="a file with what was measured before")
    options.add_argument("--disk", default=tempfile.gettempdir(), help="a folder on the disk")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--bytes", type=float, default=1e12)
    options.add_argument("--workers", default="1,16,256")
    options.add_argument("--cores", type=int, default=told.cores)
    options.add_argument("--per-node", type=int, default=told.per_node)
    options.add_argument("--link-gbit", type=float, default=told.link_mb_per_s / 125)
    options.add_argument("--store-mb-per-s", type=float, default=told.store_mb_per_s)
    options.add_argument("--own-disks", action="store_true", help="each node to its own disk")
    options.add_argument("--request-mib", type=float, default=told.request_bytes / 2**20)
    options.add_argument("--prefixes", type=int, default=told.prefixes)
    options.add_argument("--file-mb", type=float, default=told.file_bytes / 1e6)
    options.add_argument("--work-cpu-s-per-gb", type=float, default=told.work_cpu_s_per_gb)
    options.add_argument("--start-s", type=float, default=told.start_s)
    options.add_argument("--price", type=float, default=told.node_price_per_h, help="a node's hour")
    return options


if __name__ == "__main__":
    main()
