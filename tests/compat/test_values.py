"""Scripts written for AllenSDK run on the sample, on buckets and on files, with changed imports."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from neuropixels import session_file
from observatory import publish_cache, write_cache
from patchclamp import cell_types
from vbncache import write_cache as write_vbn
from visualcoding import write_ophys

import openallen as oa
from openallen.compat.allensdk import (
    BrainObservatoryCache,
    BrainObservatoryNwbDataSet,
    CellTypesCache,
    EcephysProjectCache,
    EcephysSession,
    GridDataApi,
    ImageDownloadApi,
    NwbDataSet,
    RmaApi,
    SynchronizationApi,
    TreeSearchApi,
    VisualBehaviorNeuropixelsProjectCache,
    VisualBehaviorOphysProjectCache,
    read_swc,
)
from openallen.compat.allensdk.core.swc import read_marker_file
from openallen.errors import CorruptError, NotFoundError, RefusedError, UsageError

PYTHON = os.environ.get("OPENALLEN_TEST_ALLENSDK", "")
CELL = 313862022
SWC = "# made up\n5 1 0 0 0 2 -1\n7 3 1 0 0 1 5\n9 3 2 0 0 1 7\n6 2 3 0 0 1 5\n10 3 9 9 9 1 -1\n11 3 9 9 8 1 10\n"


# --- cells ----------------------------------------------------------------------------------------


def test_cells_are_chosen(sample_url):
    cache = CellTypesCache(manifest_file="unused/manifest.json", base_uri=sample_url)
    assert len(cache.get_cells()) == 23
    assert len(cache.get_cells(species=["Homo Sapiens"])) == 4
    assert next(c["id"] for c in cache.get_cells(require_reconstruction=True)) == CELL
    assert len(cache.get_cells(reporter_status="positive", require_morphology=True)) == 3
    assert set(cache.get_cells(simple=False)[0]) >= {"specimen__id", "nr__reconstruction_type"}
    features = cache.get_all_features(dataframe=True)
    assert features["specimen_id"].tolist() == [CELL]
    assert [row["sweep_number"] for row in cache.get_ephys_sweeps(CELL)] == [20, 35, 60]


def test_files_of_a_cell(sample_url, tmp_path):
    cache = CellTypesCache(base_uri=sample_url)
    data_set = cache.get_ephys_data(CELL)
    assert isinstance(data_set, NwbDataSet)
    sweep = data_set.get_sweep(60)
    at = tmp_path / "cell" / "ephys.nwb"
    fetched = cache.get_ephys_data(CELL, str(at))
    assert at.is_file()
    assert np.array_equal(fetched.get_sweep(60)["response"], sweep["response"])
    assert fetched.file_name == at
    morphology = cache.get_reconstruction(CELL)
    again = cache.get_reconstruction(CELL, tmp_path / "cell" / "a.swc")
    assert morphology.compartment_list == again.compartment_list
    assert morphology.soma["id"] == 0
    markers = cache.get_reconstruction_markers(CELL)
    assert [marker["name"] for marker in markers] == [10] * len(markers)
    assert cache.get_reconstruction_markers(CELL, tmp_path / "cell" / "m.marker") == markers
    with pytest.raises(NotFoundError):
        cache.get_ephys_data(1)


def test_a_file_that_is_there_is_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    path = cell_types(tmp_path / "mine.nwb")
    assert CellTypesCache().get_ephys_data(1, str(path)).get_sweep_numbers()
    (tmp_path / "a.swc").write_text(SWC)
    assert CellTypesCache().get_reconstruction(1, tmp_path / "a.swc").num_nodes == 6


def test_writing_is_refused(tmp_path):
    data_set = NwbDataSet(cell_types(tmp_path / "mine.nwb"))
    with pytest.raises(UsageError, match="only reads"):
        data_set.set_sweep(1, None, None)
    assert not hasattr(data_set, "fill_sweep_responses")
    with pytest.raises(AttributeError, match="get_sweep"):
        _ = data_set.get_sweeep


@pytest.mark.parametrize("made", [NwbDataSet, BrainObservatoryNwbDataSet])
def test_a_file_of_another_kind_is_refused(made, tmp_path):
    other = cell_types if made is BrainObservatoryNwbDataSet else write_ophys
    with pytest.raises(UsageError, match="this is no file for") as caught:
        made(str(other(tmp_path / "other.nwb")))
    assert "it opens as" in caught.value.why
    with pytest.raises(UsageError, match="this is no file for"):
        EcephysSession.from_nwb_path(tmp_path / "other.nwb")


# --- reconstructions ------------------------------------------------------------------------------


def test_a_reconstruction_has_its_compartments(tmp_path):
    path = tmp_path / "a.swc"
    path.write_text(SWC)
    found = read_swc(str(path))
    assert found.compartment_list[0] == {
        "id": 0, "type": 1, "x": 0.0, "y": 0.0, "z": 0.0, "radius": 2.0, "parent": -1,
        "tree_id": 0, "children": [1, 3],
    }  # fmt: skip
    assert [c["tree_id"] for c in found.compartment_list] == [0, 0, 0, 0, 1, 1]
    assert (found.num_trees, found.num_nodes) == (2, 6)
    assert found.root is found.soma
    assert [c["id"] for c in found.tree(1)] == [4, 5]
    assert found.tree(7) is None
    assert found.parent_of(found.node(2))["id"] == 1
    assert found.parent_of(found.soma) is None
    assert [c["id"] for c in found.children_of(found.soma)] == [1, 3]
    assert list(found.compartment_index_by_type(3)) == [1, 2, 4, 5]
    found.save(tmp_path / "b.swc")
    assert read_swc(tmp_path / "b.swc").compartment_list == found.compartment_list
    with pytest.raises(UsageError, match="not changed here"):
        found.sparsify(2)


def test_markers_are_moved_as_allensdk_moves_them(tmp_path):
    path = tmp_path / "m.marker"
    path.write_text(
        "##x,y,z,radius,shape,name,comment, color_r,color_g,color_b\n1.5,2,3,0.0,1,10,a,255,0,0\n"
    )
    (marker,) = read_marker_file(path)
    assert set(marker) == {"x", "y", "z", "name"}
    assert marker["name"] == marker.CUT_DENDRITE
    assert marker["z"] == pytest.approx(2.72)


def test_damaged_reconstructions(tmp_path):
    with pytest.raises(NotFoundError):
        read_swc(tmp_path / "none.swc")
    (tmp_path / "bad.swc").write_text("no swc")
    with pytest.raises(CorruptError):
        read_swc(tmp_path / "bad.swc")


# --- Visual Coding --------------------------------------------------------------------------------


def test_two_photon(sample_url, tmp_path, monkeypatch):
    boc = BrainObservatoryCache(base_uri=sample_url)
    (container,) = boc.get_experiment_containers(targeted_structures=["VISp"])
    (experiment,) = boc.get_ophys_experiments(
        experiment_container_ids=[container["id"]], stimuli=["drifting_gratings"]
    )
    ours = oa.open("release:visual-coding-2p", source=sample_url)
    wanted = {"require_eye_tracking": True, "imaging_depths": [175], "include_failed": True}
    assert boc.get_ophys_experiments(**wanted) == ours.get_ophys_experiments(**wanted)
    data_set = boc.get_ophys_experiment_data(experiment["id"])
    assert isinstance(data_set, BrainObservatoryNwbDataSet)
    cells = data_set.get_cell_specimen_ids()
    assert {row["cell_specimen_id"] for row in boc.get_cell_specimens()} >= set(cells.tolist())
    times, traces = data_set.get_dff_traces(cells[:2])
    assert traces.shape == (2, len(times))
    assert boc.get_ophys_experiment_stimuli(experiment["id"]) == sorted(
        boc.get_ophys_experiment_stimuli(experiment["id"])
    )
    assert boc.get_ophys_experiment_analysis(experiment["id"], "drifting_gratings").peak is not None
    with pytest.raises(UsageError, match="no other api"):
        BrainObservatoryCache(api=object())
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    mine = write_ophys(tmp_path / "mine.nwb")
    assert boc.get_ophys_experiment_data(1, str(mine)).nwb_file == str(mine)
    with pytest.raises(UsageError, match="only reads"):
        boc.get_ophys_experiment_data(1, str(mine)).save_analysis_arrays()


def test_tables_of_neuropixels(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    manifest = write_cache(tmp_path / "cache") / "manifest.json"
    for cache in (
        EcephysProjectCache.from_warehouse(manifest=manifest),
        EcephysProjectCache.fixed(manifest=str(manifest)),
        EcephysProjectCache(manifest=manifest),
    ):
        ours = oa.open(tmp_path / "cache")
        pd.testing.assert_frame_equal(cache.get_units(), ours.get_units())
        pd.testing.assert_frame_equal(
            cache.get_units(filter_by_validity=False, amplitude_cutoff_maximum=math.inf),
            ours.get_units(filter_by_validity=False, amplitude_cutoff_maximum=math.inf),
        )
        pd.testing.assert_frame_equal(cache.get_session_table(), ours.get_session_table())
        assert cache.get_all_session_types() == ours.get_all_session_types()
    with pytest.raises(UsageError, match="institute's own network"):
        EcephysProjectCache.from_lims()
    with pytest.raises(UsageError, match="store"):
        cache.manifest_dataframe()


def test_an_empty_folder_is_filled(release, tmp_path):
    remove = publish_cache(release.endpoint, write_cache(tmp_path / "published"))
    try:
        cache = EcephysProjectCache.from_warehouse(manifest=tmp_path / "mine" / "manifest.json")
        assert len(cache.get_session_table())
    finally:
        remove()
    assert list((tmp_path / "mine").rglob("sessions.csv"))


def test_a_session_of_neuropixels(tmp_path):
    path = session_file(tmp_path / "s.nwb")
    session = EcephysSession.from_nwb_path(str(path))
    ours = oa.open(path)
    pd.testing.assert_frame_equal(session.units, ours.units)
    every = EcephysSession.from_nwb_path(
        path,
        api_kwargs={
            "filter_by_validity": False,
            "amplitude_cutoff_maximum": math.inf,
            "presence_ratio_minimum": -math.inf,
            "isi_violations_maximum": math.inf,
            "filter_out_of_brain_units": False,
        },
    )
    assert len(every.units) >= len(session.units)
    for wrong in (
        {"nwb_version": 1},
        {"api_kwargs": {"test": 1}},
        {"other": 1},
        {"api_kwargs": {"probe_lfp_paths": {ours.probes.index[0]: lambda: 5}}},
    ):
        with pytest.raises(UsageError):
            EcephysSession.from_nwb_path(path, **wrong).get_lfp(ours.probes.index[0])
    with pytest.raises(UsageError, match="no api is taken"):
        EcephysSession(object())


# --- Visual Behavior ------------------------------------------------------------------------------


def test_visual_behavior_in_a_folder(release, tmp_path):
    cache = VisualBehaviorOphysProjectCache.from_s3_cache(tmp_path / "vbo")
    names = cache.list_manifest_file_names()
    assert cache.current_manifest() == names[-1] == cache.latest_manifest_file()
    table = cache.get_ophys_experiment_table()
    assert "cre_line" in table.columns
    assert "cre_line" not in cache.get_ophys_experiment_table(suppress=["cre_line", "none"])
    cache.load_manifest(names[1])
    assert cache.current_manifest() == names[1]
    assert cache.list_all_downloaded_manifests() == names[1:]
    assert "behavior" in cache.compare_manifests(names[0], names[2])
    assert cache.current_manifest() == names[1]
    cache.load_latest_manifest()
    assert cache.current_manifest() == names[2]
    experiment = cache.get_behavior_ophys_experiment(951980471)
    assert "release:visual-behavior-ophys@1.0.0/ophys_experiment/951980471" in experiment.name
    local = VisualBehaviorOphysProjectCache.from_local_cache(tmp_path / "vbo")
    pd.testing.assert_frame_equal(local.get_ophys_experiment_table(), table)
    with pytest.raises(RefusedError, match="not made"):
        cache.get_natural_movie_template(n_workers=2)


def test_what_a_cache_of_visual_behavior_cannot_honour_is_said(release, tmp_path):
    made = VisualBehaviorOphysProjectCache
    with pytest.raises(UsageError, match="no other bucket"):
        made.from_s3_cache(tmp_path, "somewhere-else")
    cache = made.from_s3_cache(tmp_path, made.BUCKET_NAME)
    for call in (
        lambda: cache.get_behavior_session_table(as_df=False),
        lambda: cache.get_ophys_session_table(index_column="ophys_experiment_id"),
        lambda: cache.load_manifest("no_manifest.json"),
        lambda: made(object()),
        made.from_lims,
        lambda: cache.construct_local_manifest,
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert caught.value.hint
    with pytest.raises(NotFoundError, match="no such version"):
        cache.load_manifest("visual-behavior-ophys_project_manifest_v7.0.0.json")


def test_visual_behavior_neuropixels_without_a_network(tmp_path):
    cache = VisualBehaviorNeuropixelsProjectCache.from_local_cache(write_vbn(tmp_path / "vbn"))
    assert cache.get_ecephys_session_table().index.tolist() == [1053941483, 1047977240]
    assert len(cache.get_ecephys_session_table(filter_abnormalities=False)) == 4
    behavior = cache.get_behavior_session_table()
    assert len(behavior[behavior.mouse_id == 533537]) == 2
    for table in (cache.get_probe_table(), cache.get_channel_table(), cache.get_unit_table()):
        assert len(table) == 1
    assert cache.get_behavior_session(1022).behavior_session_id
    assert cache.get_ecephys_session(1053941483).stimulus_presentations is not None


# --- services -------------------------------------------------------------------------------------


def test_rows_of_the_service(sample_url):
    rma = RmaApi(sample_url)
    assert len(rma.model_query("Structure", criteria="[graph_id$eq1]")) == 50
    assert len(rma.model_query("Structure", criteria="[graph_id$eq1]", num_rows="all")) == 1198
    only = rma.model_query("Structure", criteria="[id$eq385]", only=["id", "acronym"])
    assert only == [{"id": 385, "acronym": "VISp"}]
    url = rma.build_query_url(rma.model_stage("Structure", criteria="[id$eq385]"))
    assert rma.json_msg_query(url, dataframe=True)["acronym"].tolist() == ["VISp"]
    with pytest.raises(UsageError, match="openallen show rma:MODEL"):
        rma.get_schema("Structure")


def test_images_and_grids_go_where_they_are_told(sample_url, tmp_path):
    images = ImageDownloadApi(sample_url)
    images.download_image(321549654, tmp_path / "a" / "i.jpg", downsample=4)
    assert (tmp_path / "a" / "i.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert images.section_image_query(123)[0]["id"] == 101945191
    assert {row["id"] for row in images.get_section_data_sets_by_product([1])} >= {69855739}
    assert images.get_section_image_ranges([101945191]) == []
    grids = GridDataApi(resolution=100, base_uri=sample_url)
    grids.download_expression_grid_data(69855739, path=tmp_path / "e.zip")
    assert oa.open(tmp_path / "e").energy.shape == (67, 41, 58)
    grids.download_projection_grid_data(
        181777177, [grids.PROJECTION_DENSITY], save_file_path=tmp_path / "p.nrrd"
    )
    before = (tmp_path / "p.nrrd").stat().st_mtime_ns
    grids.download_projection_grid_data(181777177, save_file_path=tmp_path / "p.nrrd")
    assert (tmp_path / "p.nrrd").stat().st_mtime_ns == before


def test_points_of_images(sample_url):
    sync = SynchronizationApi(sample_url)
    place = sync.get_image_to_reference(101945191, 4000, 2500)["image_to_reference"]
    ours = oa.alignment(123, source=sample_url).image(101945191)
    assert [place[axis] for axis in "xyz"] == pytest.approx(ours.to_reference(4000, 2500).tolist())
    (back,) = sync.get_reference_to_image(10, place["x"], place["y"], place["z"], [123])
    assert back["image_sync"]["section_image_id"] == 101945191
    assert back["image_sync"]["section_number"] == 171
    assert back["image_sync"]["x"] == pytest.approx(4000, abs=1)
    (same,) = sync.get_image_to_image(101945191, 4000, 2500, [123])
    assert same == back
    with pytest.raises(NotFoundError, match="no SectionImage 1"):
        sync.get_image_to_reference(1, 0, 0)


def test_trees(sample_url):
    trees = TreeSearchApi(sample_url)
    names = [row["acronym"] for row in trees.get_tree("Structure", 385, ancestors=True)]
    assert names[0] == "root"
    assert "VISp" in names
    with pytest.raises(UsageError, match="no trees"):
        trees.get_tree("Gene", 1)


# --- the real AllenSDK, asked the same ------------------------------------------------------------

ASK = """
import json, os, sys, tempfile
base, swc = sys.argv[1:]
os.chdir(tempfile.mkdtemp())
from ROOTcore.cell_types_cache import CellTypesCache
from ROOTcore.swc import read_swc, read_marker_file
from ROOTapi.queries.rma_api import RmaApi
from ROOTapi.queries.image_download_api import ImageDownloadApi
from ROOTapi.queries.tree_search_api import TreeSearchApi
cells = CellTypesCache(manifest_file="m.json", base_uri=base)
rma, images, trees = RmaApi(base), ImageDownloadApi(base), TreeSearchApi(base)
plain = RmaApi()
told = {}
for text in WANTED:
    told[text] = eval(text)
def kinds(frame):
    return {n: str(t).replace("str", "object") for n, t in frame.dtypes.items()}  # of pandas 3
told["dtypes"] = [kinds(cells.get_ephys_features(dataframe=True)),
    kinds(cells.get_morphology_features(dataframe=True)),
    kinds(cells.get_all_features(dataframe=True))]
m = cells.get_reconstruction(313862022)
told["morphology"] = [m.compartment_list, m.soma, m.root, m.num_nodes, m.num_trees,
    m.parent_of(m.node(5)), m.children_of(m.node(0)), m.compartment_list_by_type(4)]
m = read_swc(swc + "/a.swc")
told["made up"] = [m.compartment_list, m.num_trees, m.tree(1), m.root]
m.save("saved.swc")
told["saved"] = open("saved.swc").read()
told["markers"] = read_marker_file(swc + "/m.marker")
data_set = cells.get_ephys_data(313862022)
told["sweeps"] = sorted(data_set.get_sweep_numbers())
print("told" + json.dumps(told))
"""
WANTED = (
    "cells.get_cells()",
    "cells.get_cells(simple=False)",
    "cells.get_cells(species=['mus musculus'], reporter_status=['positive'])",
    "cells.get_cells(require_reconstruction=True)",
    "cells.get_ephys_features()",
    "cells.get_morphology_features()",
    "cells.get_all_features()",
    "cells.get_all_features(require_reconstruction=False)",
    "cells.get_ephys_sweeps(313862022)",
    "rma.model_query('Structure', criteria='[graph_id$eq1]')",
    "rma.model_query('Structure', criteria='[graph_id$eq1]', num_rows=3, order=['acronym'])",
    "rma.model_query('Structure', criteria='[id$eq385]', only=['id', 'acronym'])",
    "rma.json_msg_query(rma.build_query_url(rma.model_stage('Structure', num_rows=4)))",
    "images.section_image_query(123)",
    "images.get_section_data_sets_by_product([1])",
    "images.get_section_image_ranges([101945191])",
    "trees.get_tree('Structure', 385, ancestors=True)",
    "plain.model_stage('A', criteria='[id$eq1]', include='b', num_rows=3, order=['id'],"
    " only=['id'], start_row=5, count=False)",
    "plain.model_stage('A', criteria=['[a$eq1]', '[b$eq2]'], tabular=['a', 'b as c'], debug='x')",
    "plain.options_clause(excpt=['a', 'b'], num_rows='all', order='x', count=True)",
    "plain.build_query_url(['x', 'y'], fmt='csv')",
    "plain.build_schema_query('Gene')",
    "plain.service_stage('s', [('b', [1, 2]), ('a', 1)])",
    "plain.service_stage('s')",
    "plain.pipe_stage('list', [('x', '$is', \"'id'\")]) if False else plain.filters({'a': 1})",
    "plain.construct_well_known_file_download_url(7)",
)


def answers(python: list[str], root: str, url: str, folder: Path, **environment: str) -> Any:
    script = ASK.replace("ROOT", root).replace("WANTED", repr(WANTED))
    done = subprocess.run(
        [*python, "-W", "ignore", "-c", script, url, str(folder)],
        capture_output=True, text=True, check=False, timeout=170, env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    line = next(text for text in done.stdout.splitlines() if text.startswith("told"))
    return json.loads(line.removeprefix("told").replace("NaN", "null"))


@pytest.mark.allensdk
@pytest.mark.skipif(not PYTHON, reason="OPENALLEN_TEST_ALLENSDK names no python with AllenSDK")
def test_one_script_gives_the_same_by_either_import(sample_url, tmp_path):
    import sys

    (tmp_path / "a.swc").write_text(SWC)
    (tmp_path / "m.marker").write_text(
        "##x,y,z,radius,shape,name,comment, color_r,color_g,color_b\n1.5,2,3,0.0,1,10,a,255,0,0\n"
    )
    theirs = answers([PYTHON], "allensdk.", sample_url, tmp_path)
    path = os.pathsep.join(p for p in sys.path if p)
    ours = answers(
        [sys.executable], "openallen.compat.allensdk.", sample_url, tmp_path, PYTHONPATH=path
    )
    for name, told in theirs.items():
        mine = ours[name]
        if name.startswith("cells.get_cells"):  # in no order that AllenSDK promises
            told, mine = (sorted(x, key=lambda c: c.get("id", c.get("specimen__id")))  # noqa: PLW2901
                          for x in (told, mine))  # fmt: skip
        assert mine == told, name
    assert len(theirs) == len(WANTED) + 6
