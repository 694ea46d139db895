"""What a tile and an overview of the web view cost: processor time of one thread, and memory.

    python benchmarks/viewer_tiles.py [--width 5760] [--height 7568] [--rounds 5]

Tiles of 512 pixels from a JPEG plane, from OME-Zarr chunk by chunk, as stored, and through
zarr-python (the peer); then the memory of a server that shows ten stacks one after the other. Each
number is the least of the rounds. Processor time hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from openallen.formats.jpeg import JpegCheck, decode
from openallen.formats.omezarr import Geometry, OmeZarr, write_stack
from openallen.formats.overview import encode_jpeg, overview_factor, reduced, scaled_jpeg
from openallen.visuals import StackVisual, visuals_of

TILE_PX = 512
STACKS = 10
PLANES = 6
REPEATS = 20


def main() -> None:
    """Measure, and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--width", type=int, default=5760)
    options.add_argument("--height", type=int, default=7568)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--memory", action="store_true", help="Measure memory only.")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        plane = encode_jpeg(drawn(given.width, given.height), 90)
        print(f"plane of {given.width:,} x {given.height:,} px, gray, {len(plane) / 1e6:.1f} MB")
        costs = {} if given.memory else measured(plane, Path(name), given)
        least = costs.get("tile, zarr-python", 1.0)
        for what, ms in costs.items():
            print(f"{what:46} {ms:9.2f} ms   {ms / least:6.2f}x a tile through zarr-python")
        memory_mb = served(plane, Path(name), given.width, given.height)
        print(f"server after {STACKS} stacks, {PLANES} planes each: peak {memory_mb:,.0f} MB")


def drawn(width: int, height: int) -> Any:
    """Return a picture with fine and coarse detail, as tissue has."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(90, 220, (-(-height // 64), -(-width // 64)), dtype=np.uint8)
    whole = np.kron(coarse, np.ones((64, 64), np.uint8))[:height, :width].astype(np.int16)
    whole += rng.integers(-4, 5, whole.shape, dtype=np.int16)
    return np.clip(whole, 0, 255).astype(np.uint8)


def cpu_ms(call: Callable[[], Any], rounds: int) -> float:
    """Return the least processor time of all threads that a call took, in ms."""
    call()
    least = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        call()
        least = min(least, time.process_time() - start)
    return least * 1e3


def measured(plane: bytes, folder: Path, given: argparse.Namespace) -> dict[str, float]:
    """Return the cost of each way, in ms."""
    rounds, factor = given.rounds, overview_factor(given.width, given.height)
    geometry = geometry_of(given.width, given.height, 2)
    images = {}
    for keep in (False, True):
        to = folder / f"{keep}.ome.zarr"
        write_stack([lambda: plane] * 2, geometry, to, keep_jpeg=keep)
        images[keep] = OmeZarr(to)
    chunked, kept = (shown(images[keep]) for keep in (False, True))
    array = images[False].levels[0]
    whole, small = decode(plane, gray=True), scaled_jpeg(plane, factor, gray=True)
    box = (1024, 1024, 1024 + TILE_PX, 1024 + TILE_PX)
    file = folder / "plane.jpg"
    file.write_bytes(plane)
    assert chunked.region is not None
    assert kept.stored is not None
    region, stored = chunked.region, kept.stored
    once: dict[str, Callable[[], Any]] = {
        "check of a download": lambda: JpegCheck()(file),
        "plane decoded": lambda: decode(plane, gray=True),
        f"plane decoded at 1/{factor}": lambda: scaled_jpeg(plane, factor, gray=True),
        "plane halved": lambda: reduced(whole, 2),
        f"overview 1/{factor} encoded": lambda: encode_jpeg(small),
        "digest that names the overview": lambda: hashlib.sha256(plane).hexdigest(),
    }
    often: dict[str, Callable[[], Any]] = {
        "tile, plane in memory": lambda: encode_jpeg(whole[1024:1536, 1024:1536]),
        "tile, OME-Zarr by chunk": lambda: encode_jpeg(region(0, 0, 0, box)),
        "tile, JPEG as stored": lambda: stored(0, 1, 1, 1),
        "tile, zarr-python": lambda: encode_jpeg(np.asarray(array[0, 1024:1536, 1024:1536])),
    }
    found = {name: cpu_ms(call, rounds) for name, call in once.items()}
    for name, call in often.items():
        found[name] = cpu_ms(partial(repeated, call), rounds) / REPEATS
    return found


def repeated(call: Callable[[], Any]) -> None:
    """Do what takes too little time to be measured once."""
    for _ in range(REPEATS):
        call()


def geometry_of(width: int, height: int, planes: int) -> Geometry:
    """Return the geometry of a stack as the service has them."""
    return Geometry(
        width_px=width, height_px=height, planes=planes, channels=1,
        x_um=0.114, y_um=0.114, z_um=0.28,
    )  # fmt: skip


def shown(image: OmeZarr) -> StackVisual:
    """Return the view of an image."""
    (visual,) = visuals_of(image)
    assert isinstance(visual, StackVisual)
    return visual


def served(plane: bytes, folder: Path, width: int, height: int) -> float:
    """Return the peak memory of a server that shows ten stacks, in MB."""
    places = {f"s{n}": stack_of(plane, folder / f"stack{n}", n) for n in range(STACKS)}
    told = json.dumps({"places": {k: str(v) for k, v in places.items()}, "store": str(folder)})
    command = [sys.executable, __file__, "--serve", told]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdin is not None
        url = run.stdout.readline().strip()
        for name in places:
            look(url, name, width, height)
        run.stdin.close()
        return float(run.stdout.readline())


def stack_of(plane: bytes, folder: Path, number: int) -> Path:
    """Convert planes to a store that keeps them as they are."""
    height, width = decode(plane, gray=True).shape
    geometry = geometry_of(width, height, PLANES)
    to = folder.with_suffix(".ome.zarr")
    if number == 0:
        write_stack([lambda: plane] * PLANES, geometry, to, keep_jpeg=True)
    else:  # of other metadata, so that nothing is shared in memory
        first = folder.with_name("stack0.ome.zarr")
        subprocess.run(["cp", "-al", str(first), str(to)], check=True)
        text = (first / "zarr.json").read_text()
        (to / "zarr.json").unlink()
        (to / "zarr.json").write_text(text.replace('"stack"', f'"stack {number}"'))
    return to


def look(url: str, name: str, width: int, height: int) -> None:
    """Ask for what a browser asks for: overviews, and tiles at full size."""
    import base64

    key = base64.urlsafe_b64encode(f"place/{name}".encode()).decode().rstrip("=")
    base = f"{url}/v/{key}/image/"
    with urllib.request.urlopen(base + "meta.json") as answer:
        meta = json.load(answer)
    paths = ["focus.json", "projection/min_xz.jpg"]
    for plane in meta["planes"]:
        paths += [f"over/{scale}/0/{plane['key']}.jpg" for scale in meta["overviews"]]
        paths += [
            f"tile/0/{plane['key']}/0/{x}_{y}.jpg"
            for x in range(min(4, width // TILE_PX))
            for y in range(min(3, height // TILE_PX))
        ]

    def ask(path: str) -> None:
        with urllib.request.urlopen(base + path) as answer:
            answer.read()

    with ThreadPoolExecutor(6) as browser:  # as many connections as browsers open
        list(browser.map(ask, paths))


def serve(told: dict[str, Any]) -> None:
    """Serve until the input ends, then print the peak of this process in MB."""
    from openallen.serving import serving
    from openallen.settings import Settings
    from openallen.viewer import ViewerOptions, viewer_app

    places = {name: Path(path) for name, path in told["places"].items()}
    settings = Settings.load(store=Path(told["store"]) / "store", source="sample")
    with serving(viewer_app(settings, ViewerOptions(places=places)), lifespan=True) as url:
        print(url, flush=True)
        sys.stdin.read()
        # Of this program alone: what getrusage tells is inherited from who started it.
        told_kb = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
        print(int(told_kb[1]) / 1e3 if told_kb else float("nan"), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(json.loads(sys.argv[2]))
    else:
        main()
