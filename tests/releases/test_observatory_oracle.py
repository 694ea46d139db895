"""Tables of Visual Coding Neuropixels against what AllenSDK itself reads in the same cache."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from pathlib import Path

import pytest
from observatory import publish_cache

import openallen as oa
from openallen.errors import NotFoundError

USUAL = Path(__file__).parents[3] / "shared" / "data"
FOLDER = Path(os.environ.get("OPENALLEN_TEST_SHARED", USUAL)) / "nwb_observatory"
CLOSE = 1e-12  # numbers of seventeen digits: pandas 2 rounds some up or down, pandas 3 none
pytestmark = pytest.mark.shared


@pytest.fixture
def oracle():
    path = FOLDER / "oracle_io.py"
    if not path.is_file():
        pytest.skip("no real files here (OPENALLEN_TEST_SHARED names their folder)")
    spec = importlib.util.spec_from_file_location("oracle_io", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Oracle(str(FOLDER / "oracle" / "ecephys_cache"))


def compare(oracle, cache):
    """Return what differs, and how many entries are equal; what AllenSDK refuses, we refuse."""
    differs, equal = {}, 0
    for name, entry in oracle.entries.items():
        if name == "fixed":  # a call that fails in AllenSDK itself
            continue
        call = lambda: eval(entry["call"], {"cache": cache, "inf": math.inf})  # noqa: E731, B023
        if entry["form"] == "raises":
            with pytest.raises(NotFoundError):
                call()
            equal += 1
            continue
        found = oracle.compare(name, call(), rtol=CLOSE, strict=True)
        differs |= {name: found} if found else {}
        equal += not found
    return differs, equal


def test_a_cache_as_allensdk_keeps_it_gives_the_same_tables(oracle, monkeypatch):
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    differs, equal = compare(oracle, oa.open(FOLDER / "ecephys_cache"))
    assert differs == {}
    assert equal == len(oracle.entries) - 1


def test_the_bucket_gives_the_same_tables(oracle, release, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    remove = publish_cache(release.endpoint, FOLDER / "ecephys_cache")
    try:
        differs, equal = compare(oracle, oa.open("release:visual-coding-neuropixels"))
    finally:
        remove()
    assert differs == {}
    assert equal == len(oracle.entries) - 1


def test_rows_are_those_of_the_tables(oracle, monkeypatch):
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    cache = oa.open(FOLDER / "ecephys_cache")
    told = oracle.load("get_units@unfiltered")
    rows = {row["id"]: row for row in cache.rows("units")}
    assert list(rows) == list(told.index)
    for name in ("ecephys_structure_acronym", "session_type", "genotype", "ecephys_probe_id"):
        there = [rows[i][name] for i in told.index]
        assert [v for v in there if v is not None] == told[name].dropna().tolist()


def test_real_containers_and_experiments_are_chosen_as_allensdk_chooses_them(tmp_path, monkeypatch):
    """Counts are those of AllenSDK on the same rows, as a user's cache of 2017 holds them."""
    path = FOLDER.parent / "rma" / "compclub" / "boc_experiment_containers.json"
    if not path.is_file():
        pytest.skip("no real rows here (OPENALLEN_TEST_SHARED names their folder)")
    containers = json.loads(path.read_text())
    experiments = [
        inner
        | {name: container[name] for name in ("specimen", "targeted_structure")}
        | {"experiment_container": {"failed": container["failed"]}}
        for container in containers
        for inner in container["ophys_experiments"]
    ]
    told = {"manifest": [{"key": "EXPERIMENT_CONTAINERS"}, {"key": "EXPERIMENTS"}]}
    (tmp_path / "manifest.json").write_text(json.dumps(told))
    (tmp_path / "experiment_containers.json").write_text(json.dumps(containers))
    (tmp_path / "ophys_experiments.json").write_text(json.dumps(experiments))
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    cache = oa.open(tmp_path)
    assert cache.get_experiment_containers()[0] == {
        "id": 566759225, "imaging_depth": 275, "targeted_structure": "VISam",
        "cre_line": "Cux2-CreERT2", "reporter_line": "Ai93(TITL-GCaMP6f)", "donor_name": "283284",
        "specimen_name": "Cux2-CreERT2;Camk2a-tTA;Ai93-283284", "tags": [], "failed": False,
    }  # fmt: skip
    assert cache.get_all_imaging_depths() == [175, 265, 275, 300, 320, 325, 335, 350, 365, 375]
    assert cache.get_all_cre_lines() == [
        "Cux2-CreERT2", "Emx1-IRES-Cre", "Nr5a1-Cre", "Rbp4-Cre_KL100", "Rorb-IRES2-Cre",
        "Scnn1a-Tg3-Cre",
    ]  # fmt: skip
    counts: list[tuple[dict[str, object], int]] = [
        ({}, 543),
        ({"include_failed": True}, 648),
        ({"stimuli": ["locally_sparse_noise"]}, 86),
        ({"stimuli": ["natural_movie_two", "static_gratings"]}, 362),
        ({"session_types": ["three_session_C2"]}, 95),
        ({"targeted_structures": ["VISp"]}, 138),
        ({"cre_lines": ["cux2-creert2"]}, 186),
        ({"reporter_lines": ["Ai93(TITL-GCaMP6f)"]}, 534),
        ({"transgenic_lines": ["Nr5a1-Cre", "Cux2-CreERT2"]}, 273),
        (
            {
                "cre_lines": ["Cux2-CreERT2"],
                "imaging_depths": [275],
                "targeted_structures": ["VISal"],
            },
            15,
        ),
    ]
    for filters, count in counts:
        assert len(cache.get_ophys_experiments(**filters)) == count, filters
    assert {e["acquisition_age_days"] for e in cache.get_ophys_experiments(ids=[569407590])} == {
        128
    }
