"""Opening an experiment that is far away, beside other readers.

    python benchmarks/remote_session.py [--near] [--allensdk PYTHON]

PYTHON: of an environment with AllenSDK and a numpy it can use.

A file of about half a gigabyte is made in the layout of the released ones (the order on disk is
that of a file AllenSDK wrote; the numbers are noise). nginx serves it behind `far_link.py`, each
reader runs in a process of its own, and nginx's log counts its requests and bytes. Needs nginx;
fsspec, aiohttp, remfile and lindi are used where they are found.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from far_link import behind
from web import nginx

PORT, FAR_PORT = 8979, 8980
FIXTURES = Path(__file__).parents[1] / "tests" / "data" / "nwb" / "sessions.tar.xz"
FIXTURE = "setA/behavior_ophys_experiment_957759562.nwb"
FRAMES, CELLS, SIDE, EYE, SHOWN = 140_000, 70, 512, 135_000, 270_000


def main() -> None:
    """Make the file, serve it, let each reader do the same three things."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--near", action="store_true", help="without the relay")
    options.add_argument("--allensdk", default="", help="a python that has AllenSDK")
    options.add_argument("--rounds", type=int, default=1)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        root = Path(folder)
        path = make(root)
        print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB")
        url = f"http://127.0.0.1:{PORT if given.near else FAR_PORT}/{path.name}"
        with served(root), nullcontext() if given.near else behind(FAR_PORT, PORT):
            for _ in range(given.rounds):
                for name, (python, code) in readers(given.allensdk).items():
                    one(name, [python, "-c", code, url, str(root)])


def make(root: Path) -> Path:
    """Write a file of the size of the released ones, objects in the order of the fixture."""
    import h5py

    with tarfile.open(FIXTURES) as packed:
        packed.extract(FIXTURE, root)
    (root / "www").mkdir()
    path = root / "www" / "behavior_ophys_experiment_1.nwb"
    with h5py.File(root / FIXTURE) as old, h5py.File(path, "w", libver="earliest") as new:
        new.attrs.update({k: v for k, v in old.attrs.items() if k != ".specloc"})
        found: list[tuple[int, str]] = []
        old.visititems(lambda n, o: found.append((h5py.h5o.get_info(o.id).addr, n)))
        for _, name in sorted(found):
            item = old[name]
            if isinstance(item, h5py.Group):
                made: Any = new.require_group(name)
            else:
                made = _dataset(new, name, item)
            for key, value in item.attrs.items():
                if not isinstance(value, h5py.Reference):
                    made.attrs[key] = value
        old.visititems_links(lambda n, link: _link(new, n, link))
    return path


def _link(new: Any, name: str, link: Any) -> None:
    import h5py

    if isinstance(link, h5py.SoftLink) and name not in new:
        new[name] = h5py.SoftLink(link.path)


def _dataset(new: Any, name: str, item: Any) -> Any:
    import h5py
    import numpy as np

    text = h5py.check_string_dtype(item.dtype) is not None
    if item.dtype.hasobject and not text:
        return new.require_group(name + "_left_out")  # references nobody reads
    data = item.asstr()[()] if text else item[()]
    shape = _larger(name, item.shape)
    if shape != item.shape:
        data = np.resize(data, shape)
        if name.endswith("lick_times_index"):
            data = np.arange(1, shape[0] + 1, dtype="uint16")
    chunked = {"chunks": (4096, shape[1]), "compression": "gzip"} if item.chunks else {}
    return new.create_dataset(name, data=data, dtype=item.dtype, **chunked)


def _larger(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if name.startswith("intervals/") and len(shape) == 1:
        return (500,) if "/trials/" in name else (5000,)
    sizes = {2276: FRAMES, 8: CELLS, 64: SIDE}
    if name.startswith(("processing/ophys", "general/optophysiology")):
        return tuple(sizes.get(n, n) for n in shape)
    if name.startswith("stimulus/templates") and len(shape) == 3:
        return (shape[0], 1200, 1920)
    if name.startswith("acquisition/EyeTracking") and shape:
        return (EYE, *shape[1:])
    if name.startswith(("processing/running", "processing/stimulus", "acquisition/v_")) and shape:
        return (SHOWN,)
    return shape


def served(root: Path) -> AbstractContextManager[None]:
    """Serve the files, and count."""
    http = f"""
 log_format n '$body_bytes_sent'; access_log {root}/access.log n;
 server {{ listen 127.0.0.1:{PORT}; root {root}/www; }}
"""
    return nginx(root, http, workers=1)


_TIMED = """
import json, sys, time
url, root = sys.argv[1:]
steps, log = [], root + "/access.log"
def step(name, do):
    before, start = len(open(log).readlines()), time.perf_counter()
    value = do()
    seconds = time.perf_counter() - start
    lines = open(log).readlines()[before:]
    steps.append([name, seconds, len(lines), sum(map(int, lines))])
    return value
"""
_OURS = """
import os, h5py, numpy, pandas  # as the others: what is timed begins with the file
os.environ["OPENALLEN_STORE"] = root + "/store"
import openallen as oa
def first():
    session = oa.open(url)
    session.max_projection
    return session
session = step("open, max projection", first)
step("trials", lambda: session.trials)
step("one cell", lambda: session.dff_traces["dff"].iloc[3].mean())
print(json.dumps(steps))
"""
_H5 = """
def first():
    file = h5py.File(opened(), "r")
    file["processing/ophys/images/max_projection"][()]
    return file
file = step("open, max projection", first)
def trials():
    group = file["intervals/trials"]
    return [group[n][()] for n in group.attrs["colnames"]]
step("trials", trials)
step("one cell", lambda: file["processing/ophys/dff/traces/data"][:, 3].mean())
print(json.dumps(steps))
"""
_FSSPEC = "import h5py, fsspec\ndef opened(): return fsspec.open(url, {0}).open()\n"
_REMFILE = "import h5py, remfile\ndef opened(): return remfile.File(url)\n"
_LINDI = """
import lindi
def opened(): return None
class h5py:
    File = staticmethod(lambda *a: lindi.LindiH5pyFile.from_hdf5_file(url))
"""
_ALLENSDK = """
import requests
path = root + "/got.nwb"
def first():
    with requests.get(url, stream=True) as answer, open(path, "wb") as out:
        for piece in answer.iter_content(1 << 20): out.write(piece)
    from allensdk.brain_observatory.behavior.behavior_ophys_experiment import (
        BehaviorOphysExperiment as E)
    # The large file holds no copies of the schemas: it opens the small one, which takes less.
    session = E.from_nwb_path(root + "/setA/behavior_ophys_experiment_957759562.nwb")
    session.max_projection
    return session
session = step("open, max projection", first)
step("trials", lambda: session.trials)
step("one cell", lambda: session.dff_traces["dff"].iloc[3].mean())
print(json.dumps(steps))
"""


def readers(allensdk: str) -> dict[str, tuple[str, str]]:
    """Give a program for each reader: ours first, and ours again with what it remembered."""
    blocks = 'cache_type="blockcache", block_size=1 << 20'
    here = sys.executable
    found = {
        "openallen": (here, _TIMED + _OURS),
        "openallen again": (here, _TIMED + _OURS),
        "remfile": (here, _TIMED + _REMFILE + _H5),
        "fsspec": (here, _TIMED + _FSSPEC.format("") + _H5),
        "fsspec blocks": (here, _TIMED + _FSSPEC.format(blocks) + _H5),
        "lindi": (here, _TIMED + _LINDI + _H5),
    }
    return found | ({"AllenSDK": (allensdk, _TIMED + _ALLENSDK)} if allensdk else {})


def one(name: str, command: list[str]) -> None:
    """Run one reader and print its steps."""
    start = time.perf_counter()
    theirs = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=theirs if name == "AllenSDK" else None,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        print(f"  {name:16} failed: {lines[-1][:90] if lines else '?'}")
        return
    steps = json.loads(done.stdout.splitlines()[-1])
    told = "   ".join(
        f"{what} {s:6.2f} s {requests:5} requests {count / 1e6:7.2f} MB"
        for what, s, requests, count in steps
    )
    print(f"  {name:16} {told}   all {seconds:6.2f} s", flush=True)


if __name__ == "__main__":
    main()
