"""The annotation of a whole brain, 528 x 320 x 456 voxels, in the web view: ms and bytes.

The volume is the one of the embedded sample, so nothing is fetched from elsewhere. Chromium draws
with software GL; absolute times belong to the machine.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

import openallen as oa
from openallen.serving import serving
from openallen.settings import Settings
from openallen.viewer import viewer_app

ADDRESS = "atlas:ccf-2017/annotation/25"
PAGE = "atlas:ccf-2017"
FLAGS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
WHOLE = 'section.visual[data-state="whole"]'
SIZE = """() => performance.getEntriesByType('resource').reduce((n, r) => n + r.transferSize, 0)"""
# One step of the crosshair, drawn and waited for: reading a pixel ends only when it is there.
MOVE = """async () => {
  const pane = document.querySelector('.cut.coronal');
  const gl = document.querySelector('.cuts canvas').getContext('webgl2');
  const begin = performance.now();
  pane.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', shiftKey: true}));
  await new Promise(done => requestAnimationFrame(() => {
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4)); done(); }));
  return performance.now() - begin;
}"""


def load(browser: Any, url: str) -> tuple[float, int, Any]:
    """Open the page: ms until its slices are drawn, bytes that travelled, the page."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    begin = time.perf_counter()
    page.goto(f"{url}/item/{PAGE}", wait_until="commit")
    page.wait_for_selector(WHOLE, timeout=120_000)
    ms = (time.perf_counter() - begin) * 1e3
    return ms, page.evaluate(SIZE), page


def main() -> None:
    """Measure first and later loads, and steps of the crosshair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    folder = Path(tempfile.mkdtemp())
    settings = Settings.load(store=folder / "store", source="sample")
    oa.fetch(ADDRESS, settings=settings)
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
            browser.new_page().goto("about:blank")
            with serving(viewer_app(settings), lifespan=True) as url:
                first, size, page = load(browser, url)
                page.context.close()
                print(f"first load, labels read and numbered: {first:,.0f} ms, {size:,} bytes")
                again = []
                for _ in range(runs):
                    ms, _, page = load(browser, url)
                    again.append(ms)
                    moves = [page.evaluate(MOVE) for _ in range(20)]
                    page.context.close()
                print(f"later loads: median {statistics.median(again):,.0f} ms")
                print(f"a step of the crosshair: median {statistics.median(moves):,.0f} ms")
            with serving(viewer_app(settings), lifespan=True) as url:
                ms, _, page = load(browser, url)
                print(f"first load of another server, numbered labels on disk: {ms:,.0f} ms")
                page.context.close()
            browser.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
