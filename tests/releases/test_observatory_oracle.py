"""Tables of Visual Coding Neuropixels against what AllenSDK itself reads in the same cache."""

from __future__ import annotations

import importlib.util
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
