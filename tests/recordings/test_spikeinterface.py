"""The same files opened with SpikeInterface, in an environment of its own: it needs zarr below 3."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from farstores import unpacked

from openallen.errors import MissingExtraError, UsageError
from openallen.sources.recordings import open_recording

PYTHON = os.environ.get("OPENALLEN_TEST_SPIKEINTERFACE", "")
ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "ephys" / "recordings.tar.xz"
SCRIPT = """
import json, sys
from pathlib import Path

import numpy as np
import zarr

from openallen.sources.recordings import open_recording

told = {"zarr": zarr.__version__}
folder = Path(sys.argv[1])
for place in sys.argv[2:]:
    try:
        ours = open_recording(folder / place)
        theirs = ours.to_spikeinterface()
        samples = np.asarray(ours.segments[0][0:ours.segments[0].shape[0]])
        told[place] = {
            "same": bool(np.array_equal(samples, theirs.get_traces())),
            "rate": ours.sampling_frequency_hz == theirs.get_sampling_frequency(),
            "ids": list(ours.channel_ids) == [str(i) for i in theirs.get_channel_ids()],
            "gains": bool(np.allclose(ours.gain_uv, theirs.get_channel_gains())),
            "times": bool(np.allclose(ours.times_s(), theirs.get_times(), rtol=0, atol=1e-9)),
            "places": bool(np.allclose(ours.locations_um, theirs.get_channel_locations())),
        }
    except Exception as error:
        told[place] = repr(error)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return unpacked(DATA, tmp_path_factory.mktemp("recordings"))


@pytest.mark.skipif(
    not PYTHON, reason="OPENALLEN_TEST_SPIKEINTERFACE names no python with SpikeInterface"
)
def test_spikeinterface_and_we_read_the_same_of_the_same_files(made):
    places = ["old/binary", "now/binary", "now/blosc.zarr", "now/zstd.zarr", "timed"]
    shutil.copytree(made / "now" / "binary", made / "timed")
    count = open_recording(made / "timed").segments[0].shape[0]
    (100.5 + np.arange(count) / 3e4).tofile(made / "timed" / "times_cached_seg0.raw")
    about = json.loads((made / "timed" / "binary.json").read_text())
    about["kwargs"]["file_timestamps_paths"] = ["times_cached_seg0.raw"]
    (made / "timed" / "binary.json").write_text(json.dumps(about))
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", SCRIPT, str(made), *places],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told.pop("zarr").startswith("2.")
    for place in places:
        assert told[place] == dict.fromkeys(
            ("same", "rate", "ids", "gains", "times", "places"), True
        ), place


def test_where_it_is_not_installed_or_the_recording_not_here(made, monkeypatch):
    found = open_recording(made / "now" / "binary")
    monkeypatch.setitem(sys.modules, "spikeinterface", None)
    with pytest.raises(MissingExtraError, match="pip install spikeinterface"):
        found.to_spikeinterface()
    monkeypatch.setitem(sys.modules, "spikeinterface", sys.modules["json"])
    object.__setattr__(found, "place", "s3://aind-open-data/x")
    with pytest.raises(UsageError, match="local recordings only"):
        found.to_spikeinterface()
