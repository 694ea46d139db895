"""Two-photon sessions of Visual Coding beside AllenSDK's own readings, where these are at hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import openallen as oa
from openallen.errors import OpenAllenError

pytestmark = pytest.mark.shared
# Entries of the analyses of responses, which are computed elsewhere.
ANALYSES = ("drifting_gratings.", "static_gratings.", "natural_scenes.", "natural_movie_",
            "locally_sparse_noise")  # fmt: skip
PARTS = {"timestamps": 0, "traces": 1, "dxcm": 0, "dxtime": 1, "location": 1, "areas": 1,
         "template": 0, "mask": 1}  # fmt: skip
BETTER = {
    # AllenSDK hands the rows to h5py, which takes them in ascending order only.
    "get_dff_traces@reversed",
}


@pytest.fixture(scope="module")
def folder(shared) -> Path:
    found = shared / "nwb_observatory"
    if not (found / "oracle_io.py").exists():
        pytest.skip("no readings of AllenSDK here (OPENALLEN_TEST_SHARED names their folder)")
    return found


@pytest.fixture(scope="module")
def oracle(folder):
    sys.path.insert(0, str(folder))
    try:
        from oracle_io import Oracle
    finally:
        sys.path.remove(str(folder))
    return lambda name: Oracle(str(folder / "oracle" / name))


def sessions(folder: Path) -> list[Path]:
    return sorted((folder / "visual_coding_2p").glob("*.nwb"))


def plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def answer(name: str, call: str, data_set: Any) -> Any:
    found = eval(call, {"data_set": data_set, "str": str})
    if name.startswith("get_stimulus@"):
        shown, image = found
        start, end, row = shown or (None, None, None)
        return {"start": start, "end": end, "row": row, "image": plain(image)}
    if name == "get_roi_mask":
        # The oracle has a mapping by label, which AllenSDK leaves as bytes.
        return {
            repr(mask.label.encode()): {k: plain(v) for k, v in vars(mask).items()}
            | {"label": mask.label.encode()}
            for mask in found
        }
    part = name.rpartition(".")[2]
    return found[PARTS[part]] if isinstance(found, tuple) and part in PARTS else found


def test_every_call_answers_as_allensdk(folder, oracle):
    compared, wrong = 0, []
    for path in sessions(folder):
        told = oracle(f"visual_coding_2p_{path.stem}")
        with oa.open(path) as session:
            for name, entry in told.entries.items():
                if name.startswith(ANALYSES) or name in BETTER:
                    continue
                compared += 1
                if entry["form"] == "raises":
                    with pytest.raises(OpenAllenError):
                        answer(name, entry["call"], session)
                    continue
                found = answer(name, entry["call"], session)
                wrong += [(path.stem, name, d) for d in told.compare(name, found, strict=True)]
    assert wrong == []
    assert compared >= 300


def test_cells_in_any_order(folder):
    for path in sessions(folder):
        with oa.open(path) as session:
            ids = session.get_cell_specimen_ids()[::-1]
            _, every = session.get_dff_traces()
            assert np.array_equal(session.get_dff_traces(ids)[1], every[::-1])


def test_events_and_the_mapping_of_cells(folder, oracle):
    told = oracle("observatory_files")
    for name, entry in told.entries.items():
        call, _, number = name.partition("@")
        if call == "get_cell_specimen_id_mapping":
            found = oa.open(folder / "other" / "cell_specimen_id_mapping.csv")
            assert told.compare(name, found, strict=True) == []
            continue
        assert entry["call"].startswith("cache.get_ophys_experiment_events")
        path = folder / "other" / f"{number}_events.npz"
        assert told.compare(name, oa.open(path).to_numpy()) == []
        with oa.open(folder / "visual_coding_2p" / f"{number}.nwb") as session:
            assert told.compare(name, session.events(path).to_numpy()) == []


def test_what_is_stored_in_an_analysis(folder, oracle):
    # Which table or array of the file an attribute of an analysis is.
    kinds = {"drifting_gratings": "dg", "natural_movie_one": "nm1", "natural_movie_three": "nm3"}
    names = {"noise_correlation": "noise_corr", "signal_correlation": "signal_corr",
             "representational_similarity": "rep_similarity"}  # fmt: skip
    told = oracle("analysis_501940850")
    wrong = []
    with oa.open(folder / "other" / "501940850_three_session_A_analysis.h5") as found:
        assert told.compare("keys", found.keys()) == []
        for name, entry in told.entries.items():
            if name == "keys":
                continue
            kind, _, attribute = name.partition(".")
            key = attribute.removesuffix("@first6")
            if kind in kinds and not key.startswith(("binned_", "peak")):
                key = f"{names.get(key, key)}_{kinds[kind]}"
            value = found[key]
            if entry["form"] == "dataframe":
                value = value.iloc[: entry["shape"][0]]
            wrong += [(name, d) for d in told.compare(name, value, strict=True)]
        started = found.peak["session_start_time"].astype(str).unique().tolist()
    # AllenSDK's pandas takes the microseconds of the file for nanoseconds: 1970.
    assert {d.partition(":")[0] for _, d in wrong} <= {"session_start_time"}
    assert started == ["2015-09-02 10:00:00"]
