"""Hand-over to BrainGlobe and back, with the real ``brainglobe-atlasapi`` in its own environment.

It cannot share one with the S3 test server: their pins disagree.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest

import openallen as oa
from openallen.errors import MissingExtraError, RefusedError

PYTHON = os.environ.get("OPENALLEN_TEST_BRAINGLOBE", "")

SCRIPT = """
import json, sys
import numpy as np
import openallen as oa
from openallen.sources.atlases import Atlas
from openallen.sources.atlases.brainglobe import from_brainglobe

ours = Atlas(sys.argv[1])
theirs = ours.to_brainglobe(sys.argv[2])
um = (7050, 1500, 4050)
width = theirs.shape[2] * theirs.resolution[2]
back = from_brainglobe(theirs)
print(json.dumps({
    "resolution": theirs.resolution,
    "shape": theirs.annotation.shape,
    "same_voxels": bool(np.array_equal(theirs.annotation[:, :, ::-1], ours.annotation())),
    "same_template": bool(np.array_equal(theirs.template[:, :, ::-1], ours.template())),
    "rgb": theirs.structures["VISp"]["rgb_triplet"],
    "ancestors": theirs.get_structure_ancestors("VISp"),
    "there": theirs.structure_from_coords((um[0], um[1], width - um[2]), microns=True, as_acronym=True),
    "here": ours.structure_at(um).acronym,
    "back": bool(back.annotation().equals(ours.annotation())),
    "structures": [s.id for s in back.structures] == [s.id for s in ours.structures],
    "parents": [s.parent_id for s in back.structures] == [s.parent_id for s in ours.structures],
    "colours": [s.color for s in back.structures] == [s.color for s in ours.structures],
}))
"""


@pytest.fixture
def ccf(sample_url, tmp_path):
    for part in ("annotation/100", "template/100"):
        oa.fetch(f"atlas:ccf-2017/{part}", to=tmp_path / "ccf-2017", source=sample_url)
    return tmp_path / "ccf-2017"


@pytest.mark.skipif(not PYTHON, reason="OPENALLEN_TEST_BRAINGLOBE names no python with BrainGlobe")
def test_there_and_back(ccf, tmp_path):
    done = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", SCRIPT, str(ccf), str(tmp_path / "bg")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["resolution"] == [100.0] * 3
    assert told["shape"] == [132, 80, 114]
    assert told["rgb"] == [0x70, 0xFF, 0x62]
    assert told["ancestors"] == ["root", "grey", "CH", "CTX", "CTXpl", "Isocortex", "VIS"]
    assert told["there"] == told["here"] != "Outside atlas"
    assert all(told[name] for name in ("same_voxels", "same_template", "back", "structures", "parents", "colours"))  # fmt: skip


def test_without_it_that_is_said(ccf, tmp_path):
    pytest.importorskip("zarr")
    try:
        import brainglobe_atlasapi  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match="brainglobe-atlasapi"):
            oa.open(ccf).to_brainglobe(tmp_path / "bg")
    else:
        (tmp_path / "bg").mkdir()
        (tmp_path / "bg" / "x").write_text("")
        with pytest.raises(RefusedError):
            oa.open(ccf).to_brainglobe(tmp_path / "bg")
