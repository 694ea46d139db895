"""The real AllenSDK gets from a mirror what it gets from what was mirrored.

Runs it in its own virtual environment, whose python OPENALLEN_TEST_ALLENSDK names.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import openallen as oa
from openallen.archive import archive_app, serving
from openallen.settings import Settings

PYTHON = os.environ.get("OPENALLEN_TEST_ALLENSDK", "")
pytestmark = [
    pytest.mark.allensdk,
    pytest.mark.skipif(not PYTHON, reason="OPENALLEN_TEST_ALLENSDK names no python with AllenSDK"),
]

SCRIPT = """
import hashlib, json, logging, sys, warnings
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
from allensdk.api.queries.cell_types_api import CellTypesApi
from allensdk.api.queries.image_download_api import ImageDownloadApi
from allensdk.api.queries.rma_api import RmaApi
from allensdk.core.cell_types_cache import CellTypesCache
base, folder = sys.argv[1:]
cache = CellTypesCache(base_uri=base, manifest_file=folder + "/manifest.json")
cache.get_ephys_data(313862022)
ImageDownloadApi(base).download_section_image(321549654, folder + "/s.jpg", downsample=4)
digest = lambda name: hashlib.sha256(open(folder + "/" + name, "rb").read()).hexdigest()
print(json.dumps({
    "cells": sorted(cache.get_cells(), key=lambda cell: cell["id"]),  # asked for in no order
    "features": [f for f in cache.get_ephys_features() if f["specimen_id"] == 313862022],
    "sweeps": CellTypesApi(base).get_ephys_sweeps(313862022),
    "compartments": len(cache.get_reconstruction(313862022).compartment_list),
    "structure": RmaApi(base).model_query("Structure", criteria="[acronym$eq'VISp']"),
    "nwb": digest("specimen_313862022/ephys.nwb"),
    "picture": digest("s.jpg"),
}, default=str))
"""


def answers(url: str, folder: Path) -> dict[str, object]:
    folder.mkdir()
    done = subprocess.run(
        [PYTHON, "-c", SCRIPT, url, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.timeout(240)
def test_allensdk_reads_a_mirror_as_the_service(sample_url, tmp_path):
    settings = Settings(store=tmp_path / "store", source=sample_url)
    things = ("cell:313862022", "stack:313862022", "cell:", "structures:1")
    oa.mirror(*things, to=tmp_path / "mirror", settings=settings, downsample=4)
    with serving(archive_app(tmp_path / "mirror")) as url:
        mirrored = answers(url, tmp_path / "then")
    assert mirrored == answers(sample_url, tmp_path / "first")
    assert len(mirrored["cells"]) > 20
    assert mirrored["compartments"] > 2000
