"""One second of 384 channels from a recording that is far away, packed with WavPack.

    python benchmarks/remote_recording.py [--near] [--seconds 10]

A made-up Neuropixels 2.0 recording is packed as AIND packs raw ones (Zarr 2, chunks of a second of
all channels, WavPack level 3). nginx serves it behind `far_link.py`; each reader runs in a process
of its own, and nginx's log counts requests and bytes. The peer is zarr-python over fsspec, given
the same codec; and all chunks by curl, to say what fetching them first would take.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from far_link import behind
from remote_session import _TIMED, FAR_PORT, PORT, one, served

ASSET = "ecephys_661279_2023-03-23_15-31-18"
STORE = f"aind-open-data/{ASSET}/ecephys/ecephys_compressed/experiment1_ProbeA-AP.zarr"
RATE_HZ, CHANNELS = 30_000, 384


def main() -> None:
    """Make it, serve it, let each reader do the same."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--near", action="store_true", help="without the relay")
    options.add_argument("--seconds", type=int, default=10)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        root = Path(folder)
        size = make(root / "www" / STORE, given.seconds)
        print(f"{given.seconds} s of {CHANNELS} channels: {size / 1e6:.0f} MB")
        url = f"http://127.0.0.1:{PORT if given.near else FAR_PORT}"
        with served(root), nullcontext() if given.near else behind(FAR_PORT, PORT):
            for name, code in readers().items():
                one(name, [sys.executable, "-c", _TIMED + code, url, str(root)])


def make(store: Path, seconds: int) -> int:
    """Write the store as SpikeInterface lays it out; every second second is the same."""
    import numpy as np

    from openallen.formats.wavpack_encode import encode
    from openallen.sources.recordings.generate import generate

    traces = store / "traces_seg0"
    traces.mkdir(parents=True)
    parts = [encode(generate("NP2", 1.0, CHANNELS, seed=n), level=3) for n in range(2)]
    for n in range(seconds):
        (traces / f"{n}.0").write_bytes(parts[n % 2])
    shape = [seconds * RATE_HZ, CHANNELS]
    _array(traces, shape, [RATE_HZ, CHANNELS], "<i2", {"id": "wavpack", "level": 3})
    attributes = {"sampling_frequency": float(RATE_HZ), "num_segments": 1}
    (store / ".zattrs").write_text(json.dumps(attributes))
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    names = np.array([f"AP{n}" for n in range(CHANNELS)], "<U5")
    plain = {
        "channel_ids": names,
        "properties/gain_to_uV": np.full(CHANNELS, 0.195),
        "properties/offset_to_uV": np.zeros(CHANNELS),
    }
    for name, values in plain.items():
        place = store / name
        place.mkdir(parents=True)
        (place / "0").write_bytes(values.tobytes())
        _array(place, [CHANNELS], [CHANNELS], values.dtype.str, None)
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())


def _array(
    place: Path, shape: list[int], chunks: list[int], dtype: str, compressor: object
) -> None:
    told = {"zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": dtype, "order": "C",
            "compressor": compressor, "fill_value": None, "filters": None}  # fmt: skip
    (place / ".zarray").write_text(json.dumps(told))


_OURS = f"""
import os, xarray, zarr
os.environ["OPENALLEN_STORE"] = root + "/store"
os.environ["OPENALLEN_S3_ENDPOINT"] = url
import openallen as oa
recording = step("open", lambda: oa.open("asset:{STORE.partition("/")[2]}"))
step("1 s", lambda: recording.traces(3.0, 4.0).sum())
step("the same", lambda: recording.traces(3.0, 4.0).sum())
step("0.1 s", lambda: recording.traces(5.0, 5.1).sum())
print(json.dumps(steps))
"""
_FSSPEC = f"""
import fsspec, zarr, numpy
from openallen.formats import wavpack
wavpack.register()
def first():
    root = zarr.open_group(url + "/{STORE}", mode="r")
    return root, root["channel_ids"][:], root["properties/gain_to_uV"][:]
group, _, gain = step("open", first)
array = group["traces_seg0"]
step("1 s", lambda: (array[90000:120000] * gain.astype("float32")).sum())
step("the same", lambda: (array[90000:120000] * gain.astype("float32")).sum())
step("0.1 s", lambda: (array[150000:153000] * gain.astype("float32")).sum())
print(json.dumps(steps))
"""
_WHOLE = f"""
import subprocess
names = [f"traces_seg0/{{n}}.0" for n in range(10)]
def all_of_it():
    command = ["curl", "-sfZ"]
    for name in names:
        command += ["-o", root + "/got", url + "/{STORE}/" + name]
    subprocess.run(command, check=True)
step("fetch 10 s", all_of_it)
print(json.dumps(steps))
"""


def readers() -> dict[str, str]:
    """Give a program for each: ours first, and ours again with what it remembered."""
    return {
        "openallen": _OURS,
        "openallen again": _OURS,
        "zarr and fsspec": _FSSPEC,
        "curl, all of it": _WHOLE,
    }


if __name__ == "__main__":
    main()
