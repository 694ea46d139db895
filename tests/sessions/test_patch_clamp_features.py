"""Features of real spikes, by eFEL from `to_efel`, beside the extractor of AllenSDK.

The traces are those that AllenSDK's own tests have; they lie in its package, and are not ours to copy.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from patchclamp import Made, cell_types

import openallen as oa

PYTHON = os.environ.get("OPENALLEN_TEST_ALLENSDK", "")
pytestmark = [
    pytest.mark.allensdk,
    pytest.mark.skipif(not PYTHON, reason="OPENALLEN_TEST_ALLENSDK names no python with AllenSDK"),
]
SCRIPT = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, allensdk
from allensdk.ephys.ephys_extractor import EphysSweepFeatureExtractor
at = os.path.join(os.path.dirname(allensdk.__file__), "test", "ephys", "data", sys.argv[1] + ".txt")
t, v = np.loadtxt(at).T
found = EphysSweepFeatureExtractor(t=t - t[0], v=v)
found.process_spikes()
told = {name: list(found.spike_feature(name)) for name in ("peak_t", "peak_v", "threshold_v")}
print(json.dumps({"file": at, **told}))
"""


@pytest.mark.parametrize("name", ["spike_test_pair", "spike_test_high_init_dvdt"])
def test_spikes_are_where_the_extractor_of_allensdk_finds_them(tmp_path, name):
    efel = pytest.importorskip("efel", reason="eFEL is not installed")
    done = subprocess.run([PYTHON, "-c", SCRIPT, name], capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    times, volts = np.loadtxt(Path(theirs["file"])).T
    rate = (len(times) - 1) / (times[-1] - times[0])

    def change(file):
        del file["epochs"]
        for place, values, unit in (
            ("acquisition/timeseries/Sweep_3", volts, "Volts"),
            ("stimulus/presentation/Sweep_3", np.r_[0, np.full(len(volts) - 2, 50.0), 0], "Amps"),
        ):
            attrs = dict(file[f"{place}/data"].attrs)
            del file[f"{place}/data"]
            file[f"{place}/data"] = values.astype("f4")
            file[f"{place}/data"].attrs.update(attrs)
            file[f"{place}/starting_time"].attrs["rate"] = rate
            assert attrs["unit"] == unit.encode()

    with oa.open(cell_types(tmp_path / "x.nwb", [Made(3, epoch=None)], change=change)) as cell:
        trace = cell.to_efel(3)
    step = 1000 / rate
    efel.reset()
    efel.set_setting("interp_step", step)
    try:
        found = efel.get_feature_values([trace], ["peak_time", "peak_voltage"])[0]
    finally:
        efel.reset()
    assert len(theirs["peak_t"]) > 0
    assert np.allclose(
        found["peak_time"], np.array(theirs["peak_t"]) * 1000, atol=5 * step
    )  # flat peaks
    assert np.allclose(found["peak_voltage"], theirs["peak_v"], atol=0.02)
