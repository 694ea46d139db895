"""Planes per second from JPEG to projections and OME-Zarr, beside decoding alone and peers.

    python benchmarks/convert.py [--planes 60] [--side 4096] [--rounds 3] [--rgb] [--threads 1,2,4]

Each way runs in a process of its own, in turn, and the median of the rounds is printed with its
ratio to decoding alone and its peak memory. With ``--threads`` our own ways run with these numbers
of threads instead. Printed are how the rate grows and the share of the work that must then have
been done one after the other (Karp and Flatt), both of which mean something on an idle machine with
as many cores; and CPU time and how often threads waited, which mean something on any.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from openallen.formats.parallel import cores

CHUNK = 512
GROWING = ("decode", "keep-jpeg", "ome-zarr")


def main() -> None:
    """Run every way, in turn, and print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--planes", type=int, default=60)
    options.add_argument("--side", type=int, default=4096)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--rgb", action="store_true")
    options.add_argument("--only", choices=WAYS)
    options.add_argument("--threads", help="numbers of threads: 1,2,4")
    options.add_argument("--workers", type=int, default=0, help=argparse.SUPPRESS)
    options.add_argument("--make", action="store_true")
    options.add_argument("--folder", type=Path)
    given = options.parse_args()
    if given.make:
        make_planes(given.folder, given.planes, given.side, rgb=given.rgb)
        return
    if given.only:
        one(given.only, given.folder, rgb=given.rgb, workers=given.workers or None)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: a child's peak memory begins with its parent's.
        making = [sys.executable, __file__, "--make", "--folder", name]
        making += ["--planes", str(given.planes), "--side", str(given.side)]
        subprocess.run([*making, *(["--rgb"] if given.rgb else [])], check=True)
        size = next((folder / "planes").iterdir()).stat().st_size
        print(f"{given.planes} planes of {given.side} x {given.side}, {size / 1e6:.1f} MB each")
        if given.threads:
            report_growth(given, folder, [int(n) for n in given.threads.split(",")])
            return
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        peaks: dict[str, float] = {}
        for _ in range(given.rounds):
            for way in WAYS:
                rate, peak, *_ = measured(way, folder, rgb=given.rgb)
                found[way].append(rate)
                peaks[way] = max(peaks.get(way, 0), peak)
        report(found, peaks)


def measured(way: str, folder: Path, *, rgb: bool, workers: int = 0) -> tuple[float, ...]:
    """Run one way in a process of its own: planes/s, peak MB, CPU seconds and waits a plane."""
    command = [sys.executable, __file__, "--only", way, "--folder", str(folder)]
    command += ["--workers", str(workers), *(["--rgb"] if rgb else [])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return tuple(map(float, done.stdout.split()))


def report_growth(given: argparse.Namespace, folder: Path, threads: list[int]) -> None:
    """Measure our own ways with each number of threads, in turn, and print how they grow."""
    found: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    for _ in range(given.rounds):
        for count in threads:
            for way in GROWING:
                result = measured(way, folder, rgb=given.rgb, workers=count)
                found.setdefault((way, count), []).append(result)
    middle = {
        key: [statistics.median(values) for values in zip(*results, strict=True)]
        for key, results in found.items()
    }
    print(f"{cores()} cores, load {os.getloadavg()[0]:.1f}")
    for (way, count), (rate, peak, cpu, waits) in middle.items():
        line = f"{way:10} {count:3} threads {rate:7.1f} planes/s {cpu * 1e3:6.0f} ms CPU,"
        beside = rate / middle["decode", count][0]
        line += f" {waits:4.0f} waits a plane {peak:5.0f} MB {beside:5.2f}x decoding"
        if count > 1 and (way, 1) in middle:
            growth = rate / middle[way, 1][0]
            serial = (1 / growth - 1 / count) / (1 - 1 / count)
            line += f"   {growth:4.2f}x one thread, serial share {serial:6.1%}"
        print(line)


def report(found: dict[str, list[float]], peaks: dict[str, float]) -> None:
    """Print medians and ratios."""
    decode = statistics.median(found["decode"])
    for way, rates in found.items():
        rate = statistics.median(rates)
        print(
            f"{way:22} {rate:6.1f} planes/s   {decode / rate:5.2f}x decode   {peaks[way]:6.0f} MB"
        )
    ours = statistics.median(found["ome-zarr"])
    for peer in ("zarr-python", "tensorstore"):
        print(f"ome-zarr is {ours / statistics.median(found[peer]):.2f}x {peer}")


def make_planes(folder: Path, count: int, side: int, *, rgb: bool) -> None:
    """Make textured planes that compress like real ones."""
    import numpy as np
    import simplejpeg

    (folder / "planes").mkdir(parents=True)
    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 12, (side // 64 + 1, side // 64 + 1))
    field = 200 + np.kron(coarse, np.ones((64, 64)))[:side, :side]
    for z in range(count):
        gray = (field + rng.normal(0, 2.2, (side, side))).clip(0, 255).astype(np.uint8)
        if rgb:
            pixels = np.stack([gray, gray - gray // 30, gray - gray // 12], axis=-1)
            data = simplejpeg.encode_jpeg(pixels, 88, "RGB", "420")
        else:
            data = simplejpeg.encode_jpeg(gray[..., None], 88, "GRAY", "Gray")
        (folder / "planes" / f"{z:04}.jpg").write_bytes(data)


def one(way: str, folder: Path, *, rgb: bool, workers: int | None) -> None:
    """Run one way and print planes per second, peak memory in MB, CPU seconds and waits a plane."""
    planes = [p.read_bytes() for p in sorted((folder / "planes").iterdir())]
    with tempfile.TemporaryDirectory() as to:
        start, busy = time.perf_counter(), time.process_time()
        WAYS[way](planes, Path(to) / "out", rgb, workers)
        elapsed = time.perf_counter() - start
        cpu = (time.process_time() - busy) / len(planes)
        waits = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw / len(planes)
    held = sum(map(len, planes)) / 1e6  # the benchmark's own copies of the JPEGs
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000 - held
    print(len(planes) / elapsed, peak, cpu, waits)


def _decoded(data: bytes, *, rgb: bool) -> Any:
    from openallen.formats.jpeg import decode

    return decode(data, gray=not rgb)


def decode_only(planes: list[bytes], workers: int | None, *, rgb: bool) -> None:
    """Decode, on all cores, and throw away."""
    with ThreadPoolExecutor(workers or cores()) as pool:
        for _ in pool.map(lambda data: _decoded(data, rgb=rgb).shape, planes):
            pass


def _project(planes: list[bytes], *, mean: bool) -> None:
    from openallen.formats.jpeg import decode
    from openallen.formats.omezarr.projections import Projections
    from openallen.formats.parallel import ordered_map

    height, width = decode(planes[0], gray=True).shape
    gathered = Projections(len(planes), height, width, mean=mean)

    def add(item: tuple[int, bytes]) -> None:
        gathered.add(item[0], decode(item[1], gray=True))

    for _ in ordered_map(add, enumerate(planes)):
        pass
    gathered.results()


def _ours(
    planes: list[bytes], to: Path, workers: int | None, *, rgb: bool, keep_jpeg: bool
) -> None:
    from openallen.formats.jpeg import inspect
    from openallen.formats.omezarr import Geometry, write_stack

    facts = inspect(planes[0])
    geometry = Geometry(
        width_px=facts.width_px,
        height_px=facts.height_px,
        planes=len(planes),
        channels=3 if rgb else 1,
        x_um=0.1144,
        y_um=0.1144,
        z_um=0.28,
        chunk_px=CHUNK,
    )
    sources: list[Callable[[], bytes]] = [lambda data=data: data for data in planes]  # type: ignore[misc]
    write_stack(sources, geometry, to, keep_jpeg=keep_jpeg, workers=workers)


def _pyramid(pixels: Any) -> list[Any]:
    from openallen.formats.omezarr.pyramid import halve

    levels = [pixels]
    while max(levels[-1].shape) > CHUNK:
        levels.append(halve(levels[-1]))
    return levels


def _write_with(
    planes: list[bytes], arrays: list[Any], put: Callable[[Any, int, Any], Any]
) -> None:
    """Do the same job as ours, projections included, with somebody else's arrays."""
    from openallen.formats.omezarr.projections import Projections

    height, width = arrays[0].shape[1:]
    gathered = Projections(len(planes), height, width)

    def write(item: tuple[int, bytes]) -> None:
        z, data = item
        pixels = _decoded(data, rgb=False)
        gathered.add(z, pixels)
        for array, level in zip(arrays, _pyramid(pixels), strict=True):
            put(array, z, level)

    with ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(write, enumerate(planes)):
            pass
    gathered.results()


def by_zarr_python(planes: list[bytes], to: Path) -> None:
    """Write the same levels with zarr-python as it comes: its sharding, its threads."""
    import zarr
    from zarr.codecs import ZstdCodec

    first = _pyramid(_decoded(planes[0], rgb=False))
    arrays = [
        zarr.create_array(
            str(to / str(level)),
            shape=(len(planes), *pixels.shape),
            chunks=(1, CHUNK, CHUNK),
            shards=(1, *(-(-n // CHUNK) * CHUNK for n in pixels.shape)),
            dtype="uint8",
            compressors=ZstdCodec(level=1),
        )
        for level, pixels in enumerate(first)
    ]

    def put(array: Any, z: int, pixels: Any) -> None:
        array[z] = pixels

    _write_with(planes, arrays, put)


def by_tensorstore(planes: list[bytes], to: Path) -> None:
    """Write the same levels with tensorstore."""
    import tensorstore as ts

    first = _pyramid(_decoded(planes[0], rgb=False))
    arrays = []
    for level, pixels in enumerate(first):
        shard = [1, *(-(-n // CHUNK) * CHUNK for n in pixels.shape)]
        inner = {
            "chunk_shape": [1, CHUNK, CHUNK],
            "codecs": [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 1}}],
            "index_codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "crc32c"},
            ],
        }
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": str(to / str(level))},
            "metadata": {
                "shape": [len(planes), *pixels.shape],
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
                "codecs": [{"name": "sharding_indexed", "configuration": inner}],
                "data_type": "uint8",
            },
            "create": True,
        }
        arrays.append(ts.open(spec).result())

    _write_with(planes, arrays, lambda array, z, pixels: array[z].write(pixels).result())


WAYS: dict[str, Callable[[list[bytes], Path, bool, int | None], None]] = {
    "decode": lambda planes, _to, rgb, workers: decode_only(planes, workers, rgb=rgb),
    "min, max (six)": lambda planes, _to, _rgb, _workers: _project(planes, mean=False),
    "min, max, mean (nine)": lambda planes, _to, _rgb, _workers: _project(planes, mean=True),
    "keep-jpeg": lambda planes, to, rgb, workers: _ours(
        planes, to, workers, rgb=rgb, keep_jpeg=True
    ),
    "ome-zarr": lambda planes, to, rgb, workers: _ours(
        planes, to, workers, rgb=rgb, keep_jpeg=False
    ),
    "zarr-python": lambda planes, to, _rgb, _workers: by_zarr_python(planes, to),
    "tensorstore": lambda planes, to, _rgb, _workers: by_tensorstore(planes, to),
}


if __name__ == "__main__":
    main()
