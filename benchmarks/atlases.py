"""Grids, atlases, coordinates and reconstructions, each beside a peer in the same run.

    python benchmarks/atlases.py [--only grid,sums,points,swc,annotation] [--navis PYTHON]

Volumes are made by the sample archive: of real shapes, types and structures. Medians of several
runs are printed; ratios above one mean that ours is faster.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import openallen as oa
from openallen.archive.app import archive_app
from openallen.serving.server import serving
from timing import timed

SWC = "reconstruction of 10,000 nodes"


def say(what: str, ours_s: float, peers: dict[str, float]) -> None:
    """Print ours, and each peer's time as a multiple of it."""
    print(f"{what}: ours {ours_s * 1e3:,.1f} ms")
    for name, peer_s in peers.items():
        print(f"    {name:<34} {peer_s * 1e3:>12,.1f} ms   {peer_s / ours_s:,.2f}x ours")


def grid(folder: Path, url: str) -> None:
    """Open one grid zip to a labelled array; the peer unpacks it and reads with SimpleITK."""
    import SimpleITK
    import xarray as xr

    place = folder / "grid"
    oa.fetch("grid:72109410", to=place, source=url)
    packed = next(place.glob("*.zip"))

    def unpack() -> Any:
        with tempfile.TemporaryDirectory() as room:
            zipfile.ZipFile(packed).extractall(room)
            values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(f"{room}/energy.mhd"))
            return xr.DataArray(np.where(values == -1, np.nan, values), dims=("ML", "DV", "AP"))

    def plain() -> Any:
        raw = zipfile.ZipFile(packed).read("energy.raw")
        return np.frombuffer(raw, "<f4").reshape(58, 41, 67)

    from openallen.sources.atlases import ExpressionGrid

    ours = timed(lambda: ExpressionGrid(packed).energy, 20)
    say(
        "open one P56 grid zip to xarray",
        ours,
        {"unpack, SimpleITK, xarray": timed(unpack, 20), "zipfile, frombuffer": timed(plain, 20)},
    )


def sums(folder: Path, url: str) -> None:
    """Sum 1,000 grids up over the whole tree; the peer loops over structures with a mask each."""
    place = folder / "P56"
    atlas = oa.fetch("atlas:P56/gridAnnotation", to=place, source=url)
    annotation = np.ascontiguousarray(atlas.annotation().to_numpy())
    random = np.random.default_rng(0)
    leaves = np.array([s.id for s in atlas.structures if not atlas.structures.children(s.id)])
    # Every leaf of the ontology occurs, as in the real annotation.
    annotation = np.where(annotation > 0, random.choice(leaves, annotation.shape), 0)
    volumes = random.random((1000, *annotation.shape), dtype=np.float32)
    volumes[random.random(volumes.shape) < 0.2] = -1
    from openallen.sources.atlases import Unionizer

    def ours() -> Any:
        return Unionizer(annotation, atlas.structures)(volumes)

    chosen, few = list(atlas.structures)[::40], volumes[:20]

    def loop() -> dict[int, list[float]]:
        found = {}
        for structure in chosen:
            parts = [structure.id, *(s.id for s in atlas.structures.descendants(structure.id))]
            mask = np.isin(annotation, parts)
            means = []
            for volume in few:
                inside = volume[mask]
                inside = inside[inside != -1]
                means.append(float(inside.mean(dtype="float64")) if len(inside) else np.nan)
            found[structure.id] = means
        return found

    table = ours()
    for number, means in loop().items():
        mine = table["mean"].xs(number, level="id").to_numpy()[: len(few)]
        assert np.allclose(mine, means, equal_nan=True)
    share = len(atlas.structures) / len(chosen) * len(volumes) / len(few)
    say(
        f"sum 1,000 grids up over {len(atlas.structures):,} structures",
        timed(ours, 3),
        {"mask loop (a part, scaled up)": timed(loop, 1) * share},
    )


def points(url: str) -> None:
    """Take a million points of an image to reference space; the peer asks once for each point."""
    from openallen.sources.atlases import ImageAlignment

    images = oa.query("SectionImage", source=url).where(id=101945191).include("alignment2d")
    data_sets = oa.query("SectionDataSet", source=url).where(id=123).include("alignment3d")
    image, data_set = next(images.rows()), next(data_sets.rows())
    here = ImageAlignment.of(
        image["alignment2d"], data_set["alignment3d"], image["section_number"], 25.0
    )
    x, y = np.random.default_rng(0).uniform(0, 8000, (2, 1_000_000))
    ours = timed(lambda: here.to_reference(x, y))
    # The least a request costs: the archive's smallest answer, on this machine, connection kept.
    import http.client

    host = url.removeprefix("http://")
    wire = http.client.HTTPConnection(host)

    def ask() -> None:
        for _ in range(200):
            wire.request("GET", "/openallen/about.json")
            wire.getresponse().read()

    one = timed(ask, 3) / 200
    print(f"to reference space: ours {1e6 / ours:,.0f} points/s")
    print(
        f"    one request a point, no distance   {1 / one:,.0f} points/s   {one * 1e6 / ours:,.0f}x"
    )
    print(f"    one request a point, 80 ms away    12 points/s   {0.08 * 1e6 / ours:,.0f}x")


def swc_text(nodes: int = 10_000) -> str:
    """Make a tree that grows at random tips, branching now and then."""
    import random

    draw = random.Random(1)
    place = {1: (0.0, 0.0, 0.0)}
    lines, tips = ["# made for a benchmark", "1 1 0 0 0 5 -1"], [1]
    for number in range(2, nodes + 1):
        at = draw.randrange(len(tips))
        x, y, z = (c + draw.uniform(-1, 1) for c in place[tips[at]])
        place[number] = (x, y, z)
        lines.append(f"{number} 3 {x:.4f} {y:.4f} {z:.4f} 0.1144 {tips[at]}")
        if draw.random() < 0.03 and len(tips) < 60:
            tips.append(number)
        else:
            tips[at] = number
    return "\n".join(lines) + "\n"


def swc(folder: Path, navis: str) -> None:
    """Read 100 reconstructions of 10,000 nodes; peers are MorphIO (C++) and navis."""
    import morphio

    from openallen.formats.swc import read_swc

    files = [folder / f"{n}.swc" for n in range(100)]
    for path in files:
        path.write_text(swc_text(), "ascii")
    peers = {"MorphIO": timed(lambda: [morphio.Morphology(str(p)) for p in files], 3)}
    if navis:
        script = (
            "import sys, time, navis\n"
            "navis.config.pbar_hide = True\n"
            "navis.read_swc(sys.argv[1])\n"
            "start = time.perf_counter()\n"
            "for path in sys.argv[1:11]: navis.read_swc(path)\n"
            "print((time.perf_counter() - start) * 10)\n"
        )
        done = subprocess.run(
            [navis, "-W", "ignore", "-c", script, *map(str, files)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peers["navis (10 files, scaled up)"] = float(done.stdout.split()[-1])
    say(f"read 100 files of one {SWC}", timed(lambda: [read_swc(p) for p in files], 3), peers)


def annotation(folder: Path, url: str) -> None:
    """Read a 25 µm annotation: 528 x 320 x 456 of uint32, gzip NRRD."""
    import nrrd
    import SimpleITK

    path = folder / "annotation_25.nrrd"
    route = "informatics-archive/current-release/mouse_ccf/annotation/ccf_2017/annotation_25.nrrd"
    urllib.request.urlretrieve(f"{url}/{route}", path)
    from openallen.formats.nrrd import read_nrrd

    assert np.array_equal(read_nrrd(path.read_bytes())[1], nrrd.read(str(path))[0])
    say(
        f"read a 25 µm annotation ({path.stat().st_size / 1e6:.1f} MB packed)",
        timed(lambda: read_nrrd(path.read_bytes())),
        {
            "SimpleITK": timed(lambda: SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))),
            "pynrrd": timed(lambda: nrrd.read(str(path))),
        },
    )


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="grid,sums,points,swc,annotation")
    parser.add_argument("--navis", default="", help="a python that has navis")
    asked = parser.parse_args()
    wanted = asked.only.split(",")
    with tempfile.TemporaryDirectory() as room, serving(archive_app("sample")) as url:
        folder = Path(room)
        if "grid" in wanted:
            grid(folder, url)
        if "annotation" in wanted:
            annotation(folder, url)
        if "points" in wanted:
            points(url)
        if "swc" in wanted:
            swc(folder, asked.navis)
        if "sums" in wanted:
            sums(folder, url)


if __name__ == "__main__":
    main()
