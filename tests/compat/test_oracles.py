"""The mirrored classes beside AllenSDK's own readings, call by call as AllenSDK was called."""

from __future__ import annotations

import importlib.util
import math
import os
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openallen.compat.allensdk import (
    BrainObservatoryNwbDataSet,
    EcephysProjectCache,
    EcephysSession,
    NwbDataSet,
)
from openallen.errors import OpenAllenError

pytestmark = pytest.mark.shared
CLOSE = 1e-12  # numbers of seventeen digits: pandas 2 rounds some up or down, pandas 3 none
ANALYSES = ("drifting_gratings.", "static_gratings.", "natural_scenes.", "natural_movie_",
            "locally_sparse_noise")  # fmt: skip
ALL = {
    "filter_by_validity": False, "filter_out_of_brain_units": False, "isi_violations_maximum": math.inf,
    "amplitude_cutoff_maximum": math.inf, "presence_ratio_minimum": -math.inf,
}  # fmt: skip
PARTS = {"timestamps": 0, "traces": 1, "dxcm": 0, "dxtime": 1, "location": 1, "areas": 1,
         "template": 0, "mask": 1}  # fmt: skip


USUAL = Path(__file__).parents[3] / "shared" / "data"
FOLDER = Path(os.environ.get("OPENALLEN_TEST_SHARED", USUAL))


@pytest.fixture
def observatory() -> Path:
    found = FOLDER / "nwb_observatory"
    if not (found / "oracle_io.py").is_file():
        pytest.skip("no readings of AllenSDK here (OPENALLEN_TEST_SHARED names their folder)")
    return found


def oracle(folder: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location("oracle_io", folder / "oracle_io.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Oracle(str(folder / "oracle" / name))


@pytest.mark.parametrize("number", [464212183, 313862022])
def test_sweeps_of_a_cell(observatory, number):
    told = oracle(observatory, f"cell_types_{number}")
    data_set = NwbDataSet(str(observatory / "cell_types" / f"cell_types_{number}.nwb"))
    assert isinstance(data_set, NwbDataSet)
    equal = 0
    for entry, one in told.entries.items():
        if "unpatched" in entry:  # what AllenSDK answers where its test of the version fails
            continue
        call, _, rest = entry.partition("@")
        argument, _, part = rest.partition(".")
        at, _, key = argument.partition(",key=")
        given = [int(at)] if at else []
        options = {"key": key} if key else {}
        if one["form"] == "raises":
            with pytest.raises(OpenAllenError):
                getattr(data_set, call)(*given, **options)
            continue
        found = getattr(data_set, call)(*given, **options)
        found = found[part] if part else found
        if isinstance(found, dict):  # AllenSDK hands texts out as bytes
            found = {k: v.encode() if isinstance(v, str) else v for k, v in found.items()}
        assert told.compare(entry, found) == [], entry
        equal += 1
    assert equal >= 60


@pytest.mark.parametrize("number", [501940850, 501559087, 500964514, 590168381])
def test_two_photon_sessions(observatory, number):
    told = oracle(observatory, f"visual_coding_2p_{number}")
    data_set = BrainObservatoryNwbDataSet(str(observatory / "visual_coding_2p" / f"{number}.nwb"))
    equal = 0
    for entry, one in told.entries.items():
        if entry.startswith((*ANALYSES, "get_stimulus@", "get_roi_mask")):
            continue  # analyses are not of this class; the others are objects of AllenSDK's
        if entry == "get_dff_traces@reversed":  # AllenSDK's order of rows fails here
            continue
        call = lambda: eval(one["call"], {"data_set": data_set, "str": str})  # noqa: E731, B023
        if one["form"] == "raises":
            with pytest.raises(OpenAllenError):
                call()
            continue
        part = entry.rpartition(".")[2]
        found = call()
        found = found[PARTS[part]] if isinstance(found, tuple) and part in PARTS else found
        assert told.compare(entry, found, strict=True) == [], entry
        equal += 1
    assert equal >= 40


def test_the_tables_of_neuropixels(observatory):
    told = oracle(observatory, "ecephys_cache")
    manifest = observatory / "ecephys_cache" / "manifest.json"
    for cache in (
        EcephysProjectCache.from_warehouse(manifest=str(manifest)),
        EcephysProjectCache.fixed(manifest=manifest),
    ):
        equal = 0
        for entry, one in told.entries.items():
            if entry == "fixed":  # a call that fails in AllenSDK itself
                continue
            call = lambda: eval(one["call"], {"cache": cache, "inf": math.inf})  # noqa: E731, B023
            if one["form"] == "raises":
                with pytest.raises(OpenAllenError):
                    call()
                continue
            assert told.compare(entry, call(), rtol=CLOSE, strict=True) == [], entry
            equal += 1
        assert equal >= 20


@pytest.mark.parametrize("number", [721123822, 766640955])
def test_neuropixels_sessions(observatory, tmp_path, number):
    told = oracle(observatory, f"ecephys_session_{number}")
    path = observatory / told.index["file"]
    cache = EcephysProjectCache.fixed(manifest=observatory / "ecephys_cache" / "manifest.json")
    alone = shutil.copy(path, tmp_path / "alone.nwb")  # without the tables of its cache
    session = cache.get_session_data(number)
    assert isinstance(session, EcephysSession)
    shown = session.stimulus_presentations["stimulus_name"]
    known = {
        "session": session,
        "cache": cache,
        "bare": EcephysSession.from_nwb_path(str(alone)),
        "unfiltered": cache.get_session_data(number, **ALL),
        "inf": np.inf,
        "UNITS": list(session.units.index),
        "SHOWN": lambda name: list(shown.index[shown == name]),
        "numpy": np,
        "array": np.array,
    }
    equal = 0
    for entry, one in told.entries.items():
        if one["form"] == "raises" or entry == "spike_times@unfiltered":
            continue
        call = one["call"].replace("EcephysSession.from_nwb_path(file)", "bare")
        call = call.replace(f"cache.get_session_data({number}).", "session.")
        call = call.replace("session.api.", "session.").replace("<class 'float'>", "float")
        call = call.replace("first probe", "bare.probes.index[0]")
        # Written out with three digits: the edges of the call were these.
        edges = re.compile(r"array\(\[0\. {3},.*?\]\)", re.DOTALL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = eval(edges.sub("numpy.linspace(0, 0.02, 21)", call), known)
        assert told.compare(entry, recorded(entry, one, found), strict=True) == [], entry
        equal += 1
    assert equal > 115


def recorded(entry: str, told: dict[str, Any], found: Any) -> Any:
    if entry.endswith((".labels", ".intervals")):
        return list(found[0]) if entry.endswith(".labels") else found[1]
    if told["form"] == "mapping":
        return {k: list(v) if isinstance(v, np.ndarray) else v for k, v in found.items()}
    if told["form"] == "dataframe" and "stimulus" in entry and set(found) == set(told["dtypes"]):
        return found[list(told["dtypes"])]  # AllenSDK orders these columns anew at every run
    return found
