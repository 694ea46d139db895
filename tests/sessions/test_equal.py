"""Every attribute of a session is what AllenSDK 2.16.2 gives, on both generations of files."""

from __future__ import annotations

import gzip
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from oracle import differences, summary

from openallen.formats.nwb import open_h5
from openallen.sessions import BehaviorSession, open_session

DATA = Path(__file__).parents[1] / "data" / "nwb"
ORACLE = json.loads(gzip.decompress((DATA / "allensdk.json.gz").read_bytes()))
CASES = [
    (generation, name, attribute)
    for generation in ("setA", "setA_core2.2.5")
    for name, told in ORACLE.items()
    for attribute in told["attributes"]
]
LIMITS = {
    "amplitude_cutoff_maximum": 0.1,
    "presence_ratio_minimum": 0.8,
    "isi_violations_maximum": 0.5,
}
# How the session was opened, and how the attribute was called, by what stands behind the @.
OPENED: dict[str, dict[str, Any]] = {
    "exclude_invalid_rois=False": {"exclude_invalid_rois": False},
    "scale=0.2,steps=7": {"events_filter_scale_seconds": 0.2, "events_filter_n_time_steps": 7},
    "z=2,dilation=0": {"eye_tracking_z_threshold": 2, "eye_tracking_dilation_frames": 0},
    "stored": {"allensdk_compatible": False},
}
CALLED: dict[str, dict[str, Any]] = {
    "engaged=0.5": {"engaged_trial_reward_rate_threshold": 0.5},
    "filter_by_validity=False": {"filter_by_validity": False},
    "filter_by_validity=True": {"filter_by_validity": True},
    "filter_out_of_brain_units=True": {"filter_out_of_brain_units": True},
    "limits": LIMITS,
    "1054059289": {"probe_id": 1054059289},
    "1054059291": {"probe_id": 1054059291},  # has no LFP file
}


@pytest.fixture(scope="module")
def sessions():
    opened: dict[tuple[Path, str], BehaviorSession] = {}
    yield opened
    for session in opened.values():
        session.close()


def session_for(sessions, path: Path, how: str) -> BehaviorSession:
    if (path, how) not in sessions:
        if how.startswith("as_BehaviorSession"):
            options = OPENED["z=2,dilation=0"]
            sessions[path, how] = BehaviorSession(lambda: open_h5(path, "x"), "x", **options)
        else:
            options = {"allensdk_compatible": True} | OPENED.get(how, {})
            sessions[path, how] = open_session(path, **options)
    return sessions[path, how]


def answer(session: BehaviorSession, name: str, how: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        name, _, part = name.partition(".")
        found = getattr(session, name)
        if part:
            return found()[int(part)]
        if name == "get_cell_specimen_indices":
            return found(session.get_cell_specimen_ids()[:3])
        if callable(found):
            found = found(**CALLED.get(how, {}))
    if found is not None and name in {"get_lfp", "get_current_source_density"}:
        return {"values": found.to_numpy()} | {
            f"coord_{n}": c.to_numpy() for n, c in found.coords.items()
        }
    return found.data if hasattr(found, "spacing") else found


@pytest.mark.parametrize(("generation", "file", "attribute"), CASES)
def test_attribute(nwb, sessions, generation, file, attribute):
    want = ORACLE[file]["attributes"][attribute]
    name, _, how = attribute.partition("@")
    got = answer(session_for(sessions, nwb / generation / f"{file}.nwb", how), name, how)
    if isinstance(got, pd.DataFrame) and name == "stimulus_presentations":
        # AllenSDK's order of the columns behind the fixed ones changes from run to run.
        fixed = want["fixed"]
        got = got[[*got.columns[:fixed], *want["columns"][fixed:]]]
    shown = {k: v for k, v in want.items() if k != "fixed"} if isinstance(want, dict) else want
    assert differences(shown, summary(got)) == []


@pytest.mark.parametrize("file", ORACLE)
def test_names_are_those_of_allensdk(nwb, file):
    names = open_session(nwb / "setA" / f"{file}.nwb").list_data_attributes_and_methods()
    left_out = {"update_targeted_imaging_depth"}  # needs the institute's own database
    assert set(ORACLE[file]["names"]) - left_out == set(names)
    assert names == sorted(names)


def test_where_allensdk_is_wrong_the_right_value_is_given(nwb):
    path = nwb / "setA" / "behavior_ophys_experiment_957759562.nwb"
    ours, theirs = open_session(path), open_session(path, allensdk_compatible=True)
    assert "neuropil_trace" in ours.neuropil_traces
    assert "demixed_trace" in theirs.neuropil_traces
    stored = ours.tree.array("processing/ophys/neuropil_trace/traces/data")
    assert np.array_equal(np.vstack(list(ours.neuropil_traces["neuropil_trace"])), stored.T)


@pytest.mark.parametrize("kind", ["behavior", "ophys", "ecephys"])
def test_no_warning_on_a_good_file(files, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session = open_session(files[kind])
        for name in session.list_data_attributes_and_methods():
            found = getattr(session, name)
            if callable(found) and name not in {
                "get_cell_specimen_indices",
                "behavior_data_class",
                "get_lfp",
                "get_current_source_density",
            }:
                found()
        assert repr(session)
        assert "<table" in session._repr_html_()
