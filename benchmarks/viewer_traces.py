"""Measure the web view of sessions: rasters, long series, and their first picture in a browser.

    python benchmarks/viewer_traces.py [--browser]

CPU time of one thread on the server; with ``--browser``, wall time in headless Chromium from the
answer for the view's facts to lines on screen. Spikes and series are made up: 1,000 units with
log-normal rates for an hour (about 17 million spikes), and a million samples.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from openallen.viewer.answers import Query
from openallen.viewer.kinds.raster import RasterKind
from openallen.viewer.kinds.traces import TracesKind
from openallen.viewer.pyramid import pyramid
from openallen.visuals import RasterVisual, TracesVisual, Track

HOUR_S = 3600.0
RUNS = 7


def cpu_ms(call: Callable[[], Any], runs: int = RUNS) -> float:
    """Give the median CPU time of several runs in ms, after one that is not counted."""
    call()
    found = []
    for _ in range(runs):
        start = time.thread_time()
        call()
        found.append(time.thread_time() - start)
    return statistics.median(found) * 1e3


def units(count: int = 1000) -> list[np.ndarray]:
    """Make up spikes."""
    rng = np.random.default_rng(0)
    numbers = rng.poisson(rng.lognormal(1.2, 0.9, count) * HOUR_S)
    return [np.sort(rng.uniform(0, HOUR_S, n)) for n in numbers]


def rasters() -> None:
    """Print what views of a raster take."""
    spikes = units()
    visual = RasterVisual(
        name="raster",
        title="Spikes",
        from_s=0.0,
        to_s=HOUR_S,
        source="made up",
        units=lambda: [{"id": n} for n in range(len(spikes))],
        spikes=lambda: spikes,
    )
    print(f"{len(spikes):,} units, {sum(map(len, spikes)):,} spikes in an hour")
    folder = Path(tempfile.mkdtemp())
    for name in ("counted once", "read from disk"):
        kind = RasterKind(folder)
        start = time.thread_time()
        made = kind.counts(visual)
        took = (time.thread_time() - start) * 1e3
        print(f"  {name:<24}{took:9.0f} ms   {made.bytes / 1e6:.0f} MB")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"  on disk                 {size / 1e6:9.1f} MB")
    shutil.rmtree(folder)
    for name, length in (("hour", HOUR_S), ("10 min", 600.0), ("1 min", 60.0), ("10 s", 10.0)):
        window = {"from": "1000" if length < HOUR_S else "0", "px": "1200"}
        window["to"] = str(float(window["from"]) + length)
        path = "spikes.json" if length <= 10 else "view.bin"

        def ask(path: str = path, window: dict[str, str] = window) -> Any:
            return kind.answer(visual, path, Query(window), lambda: False)

        took, sent = cpu_ms(ask), len(ask().body)
        print(f"  view of {name:<16}{took:9.1f} ms   {sent / 1e3:.0f} kB, {path}")


def million() -> TracesVisual:
    """Make up a million samples."""
    rng = np.random.default_rng(0)
    times = np.arange(1_000_000) / 300
    values = np.cumsum(rng.normal(size=len(times)))
    track = Track(name="walk", title="walk", unit="cm", read=lambda: (times, values))
    return TracesVisual(
        name="traces", title="Traces", from_s=0.0, to_s=float(times[-1]), tracks=(track,)
    )


def series() -> None:
    """Print what views of a million samples take."""
    visual, kind = million(), TracesKind()
    times, values = visual.tracks[0].read()
    print("a million samples")
    print(f"  pyramid, once           {cpu_ms(lambda: pyramid(times, values)):9.1f} ms")
    for length in (visual.to_s, 600.0, 10.0, 1.0):
        query = Query({"from": "0", "to": str(length), "px": "1200"})

        def ask(query: Query = query) -> Any:
            return kind.answer(visual, "track/walk.json", query, lambda: False)

        took = cpu_ms(ask)
        print(f"  view of {length:8.0f} s      {took:9.1f} ms")


def browser() -> None:
    """Print how long a browser takes from a click to a million samples on screen."""
    from playwright.sync_api import sync_playwright

    from openallen.serving import serving
    from openallen.settings import Settings
    from openallen.viewer import ViewerOptions, viewer_app

    folder = Path(tempfile.mkdtemp())
    _written(folder / "walk.nwb")
    options = ViewerOptions(places={"it": folder / "walk.nwb"})
    app = viewer_app(Settings.load(store=folder / "store", offline=True), options)
    flags = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
    with serving(app, lifespan=True) as url, sync_playwright() as driver:
        path = shutil.which("chromium")
        chromium = driver.chromium.launch(executable_path=path, args=flags)
        for name in ("first", "again", "again"):
            page = chromium.new_page(viewport={"width": 1400, "height": 900})
            page.goto(f"{url}/place/it", wait_until="commit")
            page.wait_for_selector(".traces[data-query]", state="attached")
            took = page.evaluate(
                """() => {
                  const asked = performance.getEntriesByType('resource')
                    .find((entry) => entry.name.endsWith('/traces/meta.json'));
                  return performance.now() - asked.startTime;
                }"""
            )
            print(f"  on screen, {name:<13}{took:9.0f} ms")
            page.close()
        chromium.close()
    shutil.rmtree(folder)


def _written(path: Path) -> None:
    import h5py

    times, values = million().tracks[0].read()
    with h5py.File(path, "w") as file:
        file["nwb_version"] = "2.7.0"
        file["identifier"] = "made up"
        file["session_start_time"] = "2020-01-01"
        group = file.create_group("acquisition/walk")
        group["data"] = values
        group["timestamps"] = times


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", action="store_true")
    chosen = parser.parse_args()
    rasters()
    series()
    if chosen.browser:
        browser()


if __name__ == "__main__":
    main()
