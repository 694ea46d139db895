"""Our view of a stack beside OpenSeadragon: same server, same planes, same Chromium, one run.

    python benchmarks/viewer_stack.py [--rounds 3] [--planes 24] [--rest 1.5] [--store FOLDER]

The stack has gray planes of 5,760 x 7,568 pixels, drawn for this, as JPEG. Each round opens
a fresh server and a fresh headless Chromium (software GL) for either side in turn: the first
picture, then steps to the next plane, with the whole plane on screen ("fit") and at 1:1.
OpenSeadragon is installed from npm into a temporary folder; it reads the same tiles.

Times are taken in the page, from the outside: the picture is read after every frame that painted it
(`viewer_probe.js`). *First* is the first frame after the key whose pixels changed, *whole* the one
after which they change no more. The first picture counts from the navigation, of a server and a
browser that have not shown any. Processor time and peak memory are those of all steps of a round.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STACK = "stack:313862022"
OPENSEADRAGON = "openseadragon@6.1.1"
BUILT = "node_modules/openseadragon/build/openseadragon/openseadragon.min.js"
STEPS = 8
FLAGS = (
    "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--disable-component-update", "--no-first-run",
)  # fmt: skip
WIDE = {"width": 1280, "height": 800}
VIEWS = {"fit": "&plane=11", "1:1": "&plane=19&zoom=1&at=2880,3784"}
PAGE = """<!doctype html><title>OpenSeadragon</title>
<style>body{{margin:0}}#osd{{background:#111}}</style><div id="osd"></div>
<script src="/bench/openseadragon.js"></script><script type="module" src="/bench/page.js"></script>
"""
TARGETS_MS = {"fit, whole": 60, "1:1, first": 100, "first picture, cold": 1000}
OURS, THEIRS = "openallen", "OpenSeadragon"

Figures = dict[str, list[float]]


def main() -> None:
    """Measure, and print a table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--planes", type=int, default=24)
    options.add_argument("--rest", type=float, default=1.5, help="seconds between two steps")
    options.add_argument("--drawer", default="webgl", choices=["webgl", "canvas"])
    options.add_argument("--store", type=Path, help="keep the stack here, for the next run")
    options.add_argument("--openseadragon", type=Path, help="openseadragon.min.js, instead of npm")
    options.add_argument("--pictures", type=Path, help="folder for what both showed last")
    given = options.parse_args()
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")))
        )
        store = given.store or folder / "store"
        fetched(store, given.planes)
        library = given.openseadragon or installed(folder)
        sides = [OURS, THEIRS] if library else [OURS]
        given.room = room_of(store)
        told: dict[str, Figures] = {side: defaultdict(list) for side in sides}
        for n in range(given.rounds):
            for side in sides if n % 2 == 0 else sides[::-1]:
                one_round(side, told[side], store, library, given)
        report(told, given)


def fetched(store: Path, planes: int) -> None:
    """Fetch some small planes of the sample's stack, and put large gray ones in their place.

    The sample draws its planes in colour, and mostly empty.
    """
    import msgspec

    import openallen as oa
    from openallen.settings import Settings
    from openallen.sources.stacks.manifest import read_manifest, write_manifest

    folder = store / "stacks" / STACK.partition(":")[2]
    if (folder / "manifest.json").exists():
        return
    settings = Settings.load(store=store, source="sample")
    oa.fetch(STACK, settings=settings, planes=slice(10, 10 + planes), downsample=5)
    manifest = read_manifest(folder)
    entries = [large(entry, store, folder) if entry.path else entry for entry in manifest.planes]
    write_manifest(msgspec.structs.replace(manifest, planes=tuple(entries)), folder)


def large(entry: Any, store: Path, folder: Path) -> Any:
    """Write a plane of full size, gray, and its overview; returns its entry."""
    import msgspec

    from openallen.formats.overview import encode_jpeg, scaled_jpeg, write_overview
    from openallen.planes.overviews import overviews_folder, plane_key

    body = encode_jpeg(drawn(entry.width_px, entry.height_px, entry.position), 90)
    (folder / entry.path).write_bytes(body)
    sha256 = hashlib.sha256(body).hexdigest()
    key = plane_key(entry.position, sha256)
    small = encode_jpeg(scaled_jpeg(body, 8, gray=True))
    write_overview(overviews_folder(store, folder), key, small)
    return msgspec.structs.replace(
        entry, sha256=sha256, size_bytes=len(body), downsample=0,
        file_width_px=entry.width_px, file_height_px=entry.height_px,
    )  # fmt: skip


def drawn(width: int, height: int, seed: int) -> Any:
    """Return a gray picture with fine and coarse detail, as tissue has."""
    import numpy as np

    rng = np.random.default_rng(seed)
    coarse = rng.integers(90, 220, (-(-height // 64), -(-width // 64)), dtype=np.uint8)
    whole = np.kron(coarse, np.ones((64, 64), np.uint8))[:height, :width]
    noise = rng.integers(0, 9, (1024, 1024), dtype=np.uint8)  # once, and again beside itself
    again = (-(-height // 1024), -(-width // 1024))
    return whole + np.tile(noise, again)[:height, :width]


def installed(folder: Path) -> Path | None:
    """Install OpenSeadragon; returns its file, or None where that does not work."""
    npm = shutil.which("npm")
    if npm is None:
        print("npm is not installed: OpenSeadragon is left out")
        return None
    command = [npm, "install", "--ignore-scripts", "--no-save", "--no-audit", "--no-fund"]
    run = subprocess.run(
        [*command, OPENSEADRAGON], check=False, cwd=folder, capture_output=True, text=True
    )
    if run.returncode:
        print(f"npm cannot install OpenSeadragon, which is left out: {run.stderr[-300:]}")
        return None
    return folder / BUILT


# --- one round ------------------------------------------------------------------------------------


def one_round(
    side: str, told: Figures, store: Path, library: Path | None, given: argparse.Namespace
) -> None:
    """Open a server and a browser, and measure one side."""
    with served(store, library) as (url, server), chromium() as browser:
        before = spent(server)
        for view, query in VIEWS.items():
            page = browser.new_context(viewport=WIDE).new_page()
            page.add_init_script(path=HERE / "viewer_probe.js")
            scripts: list[Any] = []
            page.on("response", lambda answer, to=scripts: to.append(answer))
            page.goto(address(side, url, query, given), wait_until="commit")
            stepped(page, view, told, given.rest)
            if view == "fit":
                told["script, gzipped (kB)"].append(script_kb(scripts))
            if given.pictures:
                given.pictures.mkdir(exist_ok=True, parents=True)
                page.screenshot(path=given.pictures / f"{side}-{view.replace(':', '')}.png")
            told["peak memory, browser (MB)"].append(sum(map(peak_mb, browsers())))
            page.context.close()
        after = spent(server)
        told["processor, server (s)"].append(after[0] - before[0])
        told["processor, browser (s)"].append(after[1] - before[1])
        told["peak memory, server (MB)"].append(peak_mb(server))
    told["load of the machine"].append(os.getloadavg()[0])


def address(side: str, url: str, query: str, given: argparse.Namespace) -> str:
    """Return the page of one side."""
    if side == OURS:
        return f"{url}/item/{STACK}?reconstruction=off{query}"
    key = base64.urlsafe_b64encode(STACK.encode()).decode().rstrip("=")
    width, height = given.room
    told = f"?base=/v/{key}/planes/&w={width}&h={height}&drawer={given.drawer}{query}"
    return f"{url}/bench/osd.html{told}"


def stepped(page: Any, view: str, told: Figures, rest_s: float) -> None:
    """Wait for the first picture, then step through planes."""
    until = time.monotonic() + 60
    while not page.evaluate("() => window.seen.frames.length"):
        assert time.monotonic() < until, "no picture"
        time.sleep(0.1)
    time.sleep(max(4.0, 2 * rest_s))
    frames = page.evaluate("() => window.seen.frames")
    if view == "fit":
        told["first picture, cold"].append(frames[0][0])
    if page.locator(".plane canvas").count():
        page.locator(".plane canvas").focus()
    for _ in range(STEPS):
        before = page.evaluate(
            "() => { window.seen.probe_ms = 0; return window.seen.frames.at(-1)[1]; }"
        )
        page.keyboard.press("ArrowUp")
        time.sleep(rest_s)
        seen = page.evaluate("() => window.seen")
        key_ms = seen["keys"][-1]
        after = [(at, hash_) for at, hash_ in seen["frames"] if at > key_ms]
        first, whole = when(after, before)
        told[f"{view}, first"].append(first - key_ms)
        told[f"{view}, whole"].append(whole - key_ms)


def when(frames: list[tuple[float, int]], before: int) -> tuple[float, float]:
    """Return when the picture changed, and after when it changed no more; infinity for never."""
    changed = [at for at, hash_ in frames if hash_ != before]
    if not changed:
        return float("inf"), float("inf")
    whole = changed[-1]
    for at, hash_ in reversed(frames):
        if hash_ != frames[-1][1]:
            break
        whole = at
    return changed[0], whole


def room_of(store: Path) -> tuple[int, int]:
    """Return the size of the picture on our page, in pixels: OpenSeadragon gets the same."""
    with served(store, None) as (url, _), chromium() as browser:
        page = browser.new_page(viewport=WIDE)
        page.goto(f"{url}/item/{STACK}")
        canvas = page.locator(".plane canvas")
        canvas.wait_for(timeout=60_000)
        time.sleep(1)
        box = canvas.bounding_box()
        return round(box["width"]), round(box["height"])


def script_kb(answers: list[Any]) -> float:
    """Return the scripts that came, as gzip packs them, in kB."""
    bodies = [one.body() for one in answers if one.request.resource_type == "script"]
    return sum(len(gzip.compress(body, 9)) for body in bodies) / 1e3


# --- server, browser, processes -------------------------------------------------------------------


@contextmanager
def served(store: Path, library: Path | None) -> Iterator[tuple[str, int]]:
    """Run a server in a process of its own; yields its URL and the number of the process."""
    command = [sys.executable, __file__, "--serve", str(store), str(library or "")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as run:  # type: ignore[call-overload]
        yield run.stdout.readline().strip(), run.pid
        run.stdin.close()


def serve(store: str, library: str) -> None:
    """Serve the web view, and OpenSeadragon's page beside it, until the input ends."""
    from starlette.applications import Starlette
    from starlette.responses import FileResponse, HTMLResponse
    from starlette.routing import Mount, Route

    from openallen.serving import serving
    from openallen.settings import Settings
    from openallen.viewer import viewer_app

    def script(path: str) -> Route:
        name = "page.js" if path.endswith("viewer_stack.js") else "openseadragon.js"
        return Route(f"/bench/{name}", lambda _: FileResponse(path, media_type="text/javascript"))

    ours = viewer_app(Settings.load(store=Path(store), offline=True))
    scripts = [script(str(HERE / "viewer_stack.js")), *([script(library)] if library else [])]
    page = Route("/bench/osd.html", lambda _: HTMLResponse(PAGE))
    app = Starlette(routes=[page, *scripts, Mount("/", ours)])
    with serving(app, lifespan=True) as url:
        print(url, flush=True)
        sys.stdin.read()


@contextmanager
def chromium() -> Iterator[Any]:
    """Run a headless browser that has not shown anything but an empty page."""
    from playwright.sync_api import sync_playwright

    os.environ.setdefault("DBUS_SESSION_BUS_ADDRESS", "disabled:")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        browser.new_page().goto("about:blank")
        yield browser
        browser.close()


def browsers() -> list[int]:
    """Return the processes of the browser that this program runs."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        parents[int(folder.name)] = int(fields[1])
    found = {os.getpid()}
    for _ in range(8):
        found |= {pid for pid, parent in parents.items() if parent in found}
    return [pid for pid in found if "chrom" in _text(pid, "comm")]


def _text(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def spent(server: int) -> tuple[float, float]:
    """Return the processor time of the server and of the browser so far, in seconds."""
    return cpu_s(server), sum(map(cpu_s, browsers()))


def cpu_s(pid: int) -> float:
    """Return the processor time of a process, and of its children that have ended, in seconds."""
    fields = _text(pid, "stat").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def peak_mb(pid: int) -> float:
    """Return the peak of resident memory of a process, in MB."""
    found = re.search(r"VmHWM:\s*(\d+)", _text(pid, "status"))
    return int(found[1]) / 1e3 if found else 0.0


# --- what is printed ------------------------------------------------------------------------------


def report(told: dict[str, Figures], given: argparse.Namespace) -> None:
    """Print medians, 95th percentiles, and ours as a part of theirs."""
    load = statistics.median(told[OURS]["load of the machine"])
    width, height = given.room
    print(f"{given.rounds} rounds, {STEPS} steps a view, {given.rest:g} s apart, picture of "
          f"{width} x {height} px, {os.cpu_count()} processors, load {load:.1f}")  # fmt: skip
    print(
        f"{'median (95th percentile)':34}"
        + "".join(f"{side:>20}" for side in told)
        + "   ours/theirs"
    )
    for name, ours in told[OURS].items():
        cells = [cell(side[name]) for side in told.values()]
        ratio = ""
        if THEIRS in told:
            ratio = f"{statistics.median(ours) / statistics.median(told[THEIRS][name]):.2f}x"
        unit = "" if "(" in name or "load" in name else " (ms)"
        target = TARGETS_MS.get(name)
        met = "" if target is None else verdict(statistics.median(ours), target)
        print(f"{name + unit:34}" + "".join(f"{one:>20}" for one in cells) + f"{ratio:>14}  {met}")


def cell(values: list[float]) -> str:
    """Return the median, and the 95th percentile in brackets."""
    ordered = sorted(values)
    high = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    places = 0 if statistics.median(ordered) >= 100 else 1
    return f"{statistics.median(ordered):,.{places}f} ({high:,.{places}f})"


def verdict(value: float, target: float) -> str:
    """Return whether a target is met."""
    return f"target {target:,} ms: {'met' if value <= target else 'MISSED'}"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:4])
    else:
        main()
