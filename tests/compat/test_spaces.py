"""Connectivity and reference spaces by AllenSDK's names, on the sample and on a small space."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

import openallen as oa
from openallen.compat.allensdk import (
    MouseConnectivityCache,
    ReferenceSpace,
    ReferenceSpaceCache,
    StructureTree,
)
from openallen.errors import NotFoundError, UsageError

PYTHON = os.environ.get("OPENALLEN_TEST_ALLENSDK", "")
ONE = 181777177


@pytest.fixture
def mcc(sample_url) -> MouseConnectivityCache:
    return MouseConnectivityCache(100, manifest_file="unused.json", base_uri=sample_url)


def test_experiments_and_unionizes(mcc, sample_url):
    ours = oa.open("connectivity:", source=sample_url)
    pd.testing.assert_frame_equal(mcc.get_experiments(dataframe=True), ours.experiments())
    every = mcc.get_experiments()
    assert mcc.filter_experiments(every, cre=False) == mcc.get_experiments(cre=False)
    assert len(mcc.get_experiments(injection_structure_ids=[315])) <= len(every)
    options: dict[str, Any] = {
        "structure_ids": [315],
        "include_descendants": True,
        "is_injection": False,
    }
    pd.testing.assert_frame_equal(
        mcc.get_structure_unionizes([ONE], **options),
        ours.get_structure_unionizes([ONE], **options),
    )
    one = mcc.get_experiment_structure_unionizes(ONE, hemisphere_ids=[3])
    assert set(one["hemisphere_id"]) == {3}
    assert len(mcc.filter_structure_unionizes(one, structure_ids=[385])) <= len(one)
    matrix = mcc.get_projection_matrix([ONE], [385], [3], "projection_density")
    assert matrix["rows"] == [ONE]
    assert matrix["matrix"].shape == (1, len(matrix["columns"]))
    assert mcc.rank_structures([ONE], False, [385])
    assert mcc.default_structure_ids


def test_volumes_of_an_experiment(mcc, tmp_path):
    density, facts = mcc.get_projection_density(ONE)
    assert isinstance(density, np.ndarray)
    assert density.shape == tuple(facts["sizes"]) == (132, 80, 114)
    assert not np.isnan(density).any()
    mask, _ = mcc.get_data_mask(ONE)
    assert mask.shape == density.shape
    with pytest.raises(UsageError, match="store"):
        mcc.manifest_dataframe()


def test_a_reference_space(sample_url, tmp_path):
    cache = ReferenceSpaceCache(25, "annotation/ccf_2017", manifest="unused", base_uri=sample_url)
    tree = cache.get_structure_tree()
    assert isinstance(tree, StructureTree)
    assert tree.get_structures_by_acronym(["VISp"])[0]["id"] == 385
    assert cache.validate_structure_ids(["385", 315]) == [385, 315]
    with pytest.raises(UsageError, match="no id of a structure"):
        cache.validate_structure_id("VISp")


def test_volumes_that_are_files_already(space, sample_url, tmp_path):
    import nrrd

    nrrd.write(str(tmp_path / "annotation.nrrd"), labels())
    cache = ReferenceSpaceCache(100, "annotation/ccf_2017", base_uri=sample_url)
    found, facts = cache.get_annotation_volume(tmp_path / "annotation.nrrd")
    assert np.array_equal(found, labels())
    assert facts["sizes"] == [6, 4, 8]
    mask, _ = cache.get_structure_mask(385, annotation_file_name=str(tmp_path / "annotation.nrrd"))
    assert np.array_equal(mask, space.make_structure_mask([385]))
    assert cache.get_reference_space(None, tmp_path / "annotation.nrrd").resolution == (100,) * 3
    with pytest.raises(NotFoundError):
        ReferenceSpaceCache(25, "annotation/ccf_1999", base_uri=sample_url).get_template_volume()


@pytest.fixture
def space(sample_url) -> ReferenceSpace:
    tree = StructureTree(oa.open("structures:1", source=sample_url))
    return ReferenceSpace(tree, labels(), [100, 100, 100])


def labels() -> np.ndarray:
    """VISp, its layer 1 (593), thalamus, and nothing."""
    found = np.zeros((6, 4, 8), np.uint32)
    found[1:3, :, :4], found[3:5, :2], found[2, 2] = 385, 593, 549
    return found


def test_masks_and_counts(space, tmp_path):
    mask = space.make_structure_mask([385])
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, np.isin(labels(), [385, 593]))
    assert np.array_equal(space.make_structure_mask([385], direct_only=True), labels() == 385)
    assert space.direct_voxel_map[385] == (labels() == 385).sum()
    assert space.total_voxel_map[997] == (labels() > 0).sum()
    assert dict(space.many_structure_masks([549]))[549].sum() == (labels() == 549).sum()
    written = list(
        space.many_structure_masks([549], lambda n, fn: space.check_and_write(tmp_path, n, fn))
    )
    assert written == [549]
    assert (oa.open(tmp_path / "structure_549.nrrd").to_numpy() > 0).sum() == (
        labels() == 549
    ).sum()


def test_coverage_and_other_forms(space, tmp_path):
    assert not space.check_coverage([997], labels() > 0).any()
    overlapping, _ = space.validate_structures([997, 385], labels() > 0)
    assert overlapping == {997}
    kept = space.remove_unassigned()
    assert {385, 593, 549, 997} <= {node["id"] for node in kept}
    assert len(space.structure_tree.node_ids()) == len(kept)
    coarse = space.downsample([200, 200, 200])
    assert coarse.annotation.shape == (3, 2, 4)
    assert coarse.resolution == (200, 200, 200)
    assert space.get_slice_image(0, 150).shape == (4, 8, 3)
    space.write_itksnap_labels(tmp_path / "a.nrrd", tmp_path / "l.txt")
    assert "VISp" in (tmp_path / "l.txt").read_text()
    space.annotation = np.zeros_like(labels())
    assert not space.make_structure_mask([997]).any()


ASK = """
import json, sys
import numpy as np
STAND
from ROOTcore.reference_space import ReferenceSpace
from ROOTcore.structure_tree import StructureTree
tree = MAKE
labels = np.array(json.loads(sys.argv[1]), np.uint32)
space = ReferenceSpace(tree, labels, [100, 100, 100])
told = {}
for ids, direct in (([385], False), ([385, 549], True), ([997], False)):
    found = space.make_structure_mask(ids, direct)
    told[f"mask {ids} {direct}"] = [str(found.dtype), found.tolist()]
told["total"] = {str(k): int(v) for k, v in space.total_voxel_map.items() if v}
told["direct"] = {str(k): int(v) for k, v in space.direct_voxel_map.items() if v}
told["covered"] = space.check_coverage([385], labels > 0).astype(int).tolist()
told["coarse"] = space.downsample([200, 200, 200]).annotation.tolist()
told["slices"] = [np.asarray(space.get_slice_image(a, 150)).astype(int).tolist() for a in (0, 1, 2)]
told["kept"] = sorted(n["id"] for n in space.remove_unassigned(False))
print("told" + json.dumps(told))
"""
STAND = """
from types import ModuleType
sys.modules["nrrd"] = ModuleType("nrrd")
from allensdk.api.queries.rma_api import RmaApi
rows = RmaApi(sys.argv[2]).model_query("Structure", criteria="[graph_id$eq1]", num_rows="all")
for row in rows:
    row["structure_sets"] = []
"""


@pytest.mark.allensdk
@pytest.mark.skipif(not PYTHON, reason="OPENALLEN_TEST_ALLENSDK names no python with AllenSDK")
def test_one_script_gives_the_same_by_either_import(sample_url):
    forms = (
        (PYTHON, "allensdk.", STAND, "StructureTree(StructureTree.clean_structures(rows))", {}),
        (
            sys.executable,
            "openallen.compat.allensdk.",
            "import openallen as oa",
            "StructureTree(oa.open('structures:1', source=sys.argv[2]))",
            {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        ),
    )
    found = []
    for python, root, stand, make, environment in forms:
        script = ASK.replace("STAND", stand).replace("ROOT", root).replace("MAKE", make)
        done = subprocess.run(
            [python, "-W", "ignore", "-c", script, json.dumps(labels().tolist()), sample_url],
            capture_output=True, text=True, check=False, timeout=170, env=os.environ | environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        line = next(text for text in done.stdout.splitlines() if text.startswith("told"))
        found.append(json.loads(line.removeprefix("told")))
    theirs, ours = found
    for name, told in theirs.items():
        assert ours[name] == told, name
