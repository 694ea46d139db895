"""A whole stack and a long table from a service that answers 80 ms late, beside plain loops.

    python benchmarks/stack_fetch.py [--planes 627] [--delay-ms 80] [--rounds 1]

Prints seconds, ratios and peak memory. The archive runs in a process of its own and keeps the
pictures it has drawn: they are asked for once before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openallen.archive.holdings import SAMPLE

SPECIMEN = 313862022
ROWS = 2686


def main() -> None:
    """Run it all and print it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--planes", type=int, default=627)
    options.add_argument("--delay-ms", type=int, default=80)
    options.add_argument("--rounds", type=int, default=1)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = make_archive(Path(folder) / "archive", given.planes)
        with serving(root) as url:
            print(f"warming the archive: {given.planes} planes", file=sys.stderr)
            ours(url, Path(folder) / "warm")
        # The pictures drawn are kept on disk as the archive's own, so that a new process has them.
        keep(Path(folder) / "warm", root)
        with serving(root, f"delay={given.delay_ms / 1000}") as url:
            for index in range(given.rounds):
                fetch_round(url, Path(folder) / str(index), given.planes)
                paging_round(url)
        with serving(root, f"delay={given.delay_ms / 1000}", "cap=50@query") as url:
            paging_round(url, note=" (service caps pages at 50)")


def make_archive(root: Path, planes: int) -> Path:
    """Make an archive of so many planes and 2,686 projection rows out of the sample's."""
    (root / "tables").mkdir(parents=True)
    for path in (SAMPLE / "tables").glob("*.jsonl"):
        (root / "tables" / path.name).write_text(path.read_text())
    (root / "files").symlink_to(SAMPLE / "files")
    (root / "archive.json").write_text((SAMPLE / "archive.json").read_text())
    rows = [
        json.loads(line) for line in (SAMPLE / "tables/sub_images.jsonl").read_text().splitlines()
    ]
    plane = next(r for r in rows if r["_type"] == "SubImage")
    own = [r for r in rows if r["specimen_id"] == SPECIMEN]
    other = next(r for r in rows if r["_type"] == "ProjectionImage" and r not in own)
    made = [
        plane | {"id": 900_000_000 + i, "section_number": 2 + i, "path": f"/plane/{i}.aff"}
        for i in range(planes)
    ]
    made += own
    made += [
        other | {"id": 800_000_000 + i, "path": f"/projection/{i}.aff", "specimen_id": 1000 + i}
        for i in range(ROWS - len(own))
    ]
    text = "\n".join(json.dumps(row) for row in made)
    (root / "tables" / "sub_images.jsonl").write_text(text + "\n")
    return root


def keep(warm: Path, root: Path) -> None:
    """Store drawn planes as pictures of the archive, at the size they are asked for."""
    manifest = json.loads((warm / "manifest.json").read_text())
    (root / "images").mkdir()
    rows = (root / "tables" / "sub_images.jsonl").read_text().splitlines()
    sizes = {p["id"]: p for p in manifest["planes"]}
    made = []
    for line in rows:
        row = json.loads(line)
        plane = sizes.get(row["id"])
        if plane:
            data = (warm / plane["path"]).read_bytes()
            (root / "images" / f"{row['id']}.jpg").write_bytes(data)
            row |= {
                "width": plane["file_width_px"],
                "height": plane["file_height_px"],
                "x": 0,
                "y": 0,
            }
        made.append(json.dumps(row))
    (root / "tables" / "sub_images.jsonl").write_text("\n".join(made) + "\n")


@contextmanager
def serving(root: Path, *faults: str) -> Iterator[str]:
    """Serve the archive from a process of its own."""
    command = [sys.executable, "-m", "openallen", "serve", "--archive", str(root), "--quiet"]
    for fault in faults:
        command += ["--fault", fault]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def ours(url: str, to: Path, *options: str) -> tuple[float, float]:
    """Fetch the stack with openallen; give seconds and peak memory in MB."""
    command = [sys.executable, "-m", "openallen", "fetch", f"stack:{SPECIMEN}", "--to", str(to)]
    command += ["--source", url, "--quiet", "--yes", "--no-projections", "--no-morphology"]
    command += list(options) or ["--downsample", "3"]
    own = {**os.environ, "OPENALLEN_STORE": str(to.parent / "store")}
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=own)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    assert status == 0, command
    return seconds, used.ru_maxrss / 1000


LOOP = """
import sys, requests
from pathlib import Path
base, to = sys.argv[1], Path(sys.argv[2])
to.mkdir(parents=True)
query = "/api/v2/data/query.json?criteria=model::SubImage,rma::criteria," \\
        "data_set[specimen_id$eq{}],rma::options[num_rows$eqall]"
for row in requests.get(base + query.format(313862022)).json()["msg"]:
    answer = requests.get(f"{base}/api/v2/image_download/{row['id']}")
    (to / f"{row['section_number']:04}.jpg").write_bytes(answer.content)
"""


def fetch_round(url: str, to: Path, planes: int) -> None:
    """One round of both, in turn."""
    mine, peak = ours(url, to / "ours", "--downsample", "0")
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", LOOP, url, str(to / "loop")], check=True)
    loop = time.perf_counter() - start
    for folder in (to / "ours" / "planes", to / "loop"):
        assert len(list(folder.glob("*.jpg"))) == planes, folder
    ratio = f"{loop / mine:.1f}x"
    print(f"stack of {planes} planes: ours {mine:.1f} s, requests loop {loop:.1f} s: {ratio}")
    print(f"  peak memory of ours {peak:.0f} MB")


def paging_round(url: str, note: str = "") -> None:
    """All projection rows: ours, and one page after the other at the service's default of 50."""
    import requests

    from openallen.brainmap import Client, parse
    from openallen.transport import Http

    query = parse("model::ProjectionImage")
    with Http() as http:
        start = time.perf_counter()
        rows = list(Client(http=http, base_url=url).rows(query))
        mine = time.perf_counter() - start
    start = time.perf_counter()
    theirs: list[dict[str, Any]] = []
    session = requests.Session()
    while True:
        page = "model::ProjectionImage,rma::options[order$eq'sub_images.id$asc'][start_row$eq{}]"
        answer = session.get(
            f"{url}/api/v2/data/query.json", params={"criteria": page.format(len(theirs))}
        ).json()
        theirs += answer["msg"]
        if len(theirs) >= answer["total_rows"]:
            break
    serial = time.perf_counter() - start
    assert rows == theirs
    print(f"{len(rows)} rows{note}: ours {mine:.2f} s, serial {serial:.2f} s: {serial / mine:.1f}x")


if __name__ == "__main__":
    main()
