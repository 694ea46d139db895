"""The real AllenSDK, pointed at our archive, must get what our own client gets.

Runs it in its own virtual environment, whose python OPENALLEN_TEST_ALLENSDK names.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from openallen.brainmap import Client, parse
from openallen.formats.jpeg import inspect
from openallen.transport import Http

PYTHON = os.environ.get("OPENALLEN_TEST_ALLENSDK", "")
pytestmark = [
    pytest.mark.allensdk,
    pytest.mark.skipif(not PYTHON, reason="OPENALLEN_TEST_ALLENSDK names no python with AllenSDK"),
]

# Calls its own API classes; one JSON document on stdout.
SCRIPT = """
import json, sys
from allensdk.api.queries.rma_api import RmaApi
from allensdk.api.queries.image_download_api import ImageDownloadApi
from allensdk.api.queries.cell_types_api import CellTypesApi
base, folder = sys.argv[1:]
rma = RmaApi(base)
images = ImageDownloadApi(base)
images.download_projection_image(323637357, folder + "/p.jpg", downsample=4)
images.download_section_image(321549654, folder + "/s.jpg", downsample=4, quality=40)
answers = {
    "projections": rma.model_query(
        "ProjectionImage", criteria="[specimen_id$eq313862022]", num_rows="all"),
    "planes": rma.model_query(
        "SubImage", criteria="data_set[specimen_id$eq313862022]", num_rows="all",
        order=["section_number"]),
    "reconstruction": rma.model_query(
        "NeuronReconstruction", criteria="[specimen_id$eq313862022]",
        include="well_known_files(well_known_file_type)", num_rows="all"),
    "only": rma.model_query(
        "ProjectionImage", criteria="[axes$eq'yz']", only=["id", "width"], num_rows=5,
        order=["id"]),
    "tabular": rma.model_query(
        "WellKnownFile", criteria="well_known_file_type",
        tabular=["well_known_files.id", "well_known_file_types.name as kind"], num_rows="all"),
    "cells": CellTypesApi(base).list_cells_api(id=313862022),
}
print(json.dumps(answers))
"""

OURS = {
    "projections": "model::ProjectionImage,rma::criteria,[specimen_id$eq313862022]",
    "planes": "model::SubImage,rma::criteria,data_set[specimen_id$eq313862022],"
    "rma::options[order$eq'section_number']",
    "reconstruction": "model::NeuronReconstruction,rma::criteria,[specimen_id$eq313862022],"
    "rma::include,well_known_files(well_known_file_type)",
    "only": "model::ProjectionImage,rma::criteria,[axes$eqyz],"
    "rma::options[only$eq'id,width'][order$eqid][num_rows$eq5]",
    "tabular": "model::WellKnownFile,rma::criteria,well_known_file_type,"
    "rma::options[tabular$eq'well_known_files.id,well_known_file_types.name as kind']",
    "cells": "model::ApiCellTypesSpecimenDetail,rma::criteria,[specimen__id$eq313862022]",
}


@pytest.fixture(scope="module")
def theirs(sample_url, tmp_path_factory):
    folder = tmp_path_factory.mktemp("allensdk")
    command = [PYTHON, "-W", "ignore", "-c", SCRIPT, sample_url, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), folder


@pytest.mark.parametrize("name", OURS)
def test_the_same_rows(theirs, sample_url, name):
    with Http() as http:
        ours = list(Client(http=http, base_url=sample_url).rows(parse(OURS[name])))
    assert ours
    by_id = lambda row: row.get("id", 0)  # noqa: E731
    assert sorted(theirs[0][name], key=by_id) == sorted(ours, key=by_id)


def test_the_same_pictures(theirs):
    folder: Path = theirs[1]
    assert inspect((folder / "p.jpg").read_bytes()).width_px == 361
    assert inspect((folder / "s.jpg").read_bytes()).width_px == 360
