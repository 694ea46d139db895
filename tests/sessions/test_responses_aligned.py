"""Responses to presentations and tuning: made-up sessions, and files AllenSDK wrote."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from openallen.errors import NotFoundError, UsageError
from openallen.sessions import open_session
from openallen.sessions.responses import responses, tuning


def table(starts: Any, width_s: float = 0.5, **more: Any) -> pd.DataFrame:
    at = np.asarray(starts, dtype="float64")
    return pd.DataFrame(
        {"start_time": at, "stop_time": at + width_s, "stimulus_name": "gratings", **more},
        index=pd.Index(np.arange(len(at)), name="stimulus_presentations_id"),
    )


def spiking(spikes: dict[int, Any], shown: pd.DataFrame) -> Any:
    return SimpleNamespace(name="made-up", spike_times=spikes, stimulus_presentations=shown)


def imaged(values: Any, times: Any, shown: pd.DataFrame) -> Any:
    traces = xr.DataArray(
        np.asarray(values, dtype="float64"),
        dims=("cell_specimen_id", "time"),
        coords={"cell_specimen_id": 10 + np.arange(len(values)), "time": np.asarray(times)},
    )
    return SimpleNamespace(
        name="made-up", trace_array=lambda kind: traces, stimulus_presentations=shown
    )


@settings(max_examples=100, deadline=None)
@given(
    spikes=st.lists(st.integers(0, 80).map(lambda n: n / 8), max_size=40),
    starts=st.lists(st.integers(0, 70).map(lambda n: n / 8), min_size=1, max_size=6),
    bins=st.sampled_from([1, 3, 20]),
)
def test_rates_are_those_of_a_plain_loop(spikes, starts, bins):
    session = spiking({1: np.sort(np.array(spikes))}, table(starts))
    found = responses(session, "gratings", (-0.5, 0.5), bin_s=1 / bins)
    edges = -0.5 + np.arange(bins + 1) / bins
    for row, start in enumerate(starts):
        for number in range(bins):
            low, high = start + edges[number], start + edges[number + 1]
            inside = sum(low <= time < high for time in spikes)
            assert float(found[0, row, number]) == pytest.approx(inside * bins)


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.one_of(st.floats(-5, 5), st.just(np.nan)), min_size=1, max_size=40),
    starts=st.lists(st.floats(-1, 10), min_size=1, max_size=6),
)
def test_means_of_samples_are_those_of_a_plain_loop(values, starts):
    times = np.arange(len(values)) / 4
    found = responses(imaged([values], times, table(starts)), window_s=(0, 1))
    for row, start in enumerate(starts):
        inside = [
            value
            for value, time in zip(values, times, strict=True)
            if start <= time < start + 1 and not np.isnan(value)
        ]
        expected = np.mean(inside) if inside else np.nan
        assert float(found[0, row]) == pytest.approx(expected, nan_ok=True, abs=1e-9)


def test_the_table_becomes_coordinates_without_its_gaps():
    shown = table(
        [0, 1, 2],
        orientation=[0.0, "null", 90.0],
        phase=["null"] * 3,
        frame=[np.nan] * 3,
        image=["a", None, "b"],
        tags=[[1], [2], [3]],
        omitted=pd.array([True, None, False], dtype="boolean"),
    )
    found = responses(spiking({1: np.array([0.1])}, shown))
    assert found.dims == ("unit_id", "stimulus_presentation_id")
    assert found["orientation"].dtype == "float64"
    assert found["image"].values[[0, 2]].tolist() == ["a", "b"]
    assert pd.isna(found["image"].values[1])
    assert not {"phase", "frame", "tags"} & set(found.coords)
    assert found.attrs["units"] == "spikes/s"
    assert found.values.tolist() == [[2.0, 0.0, 0.0]]


def test_tuning_by_one_and_by_two_parameters():
    shown = table(
        np.arange(6),
        orientation=[0.0, 90.0, 0.0, 90.0, np.nan, 0.0],
        temporal_frequency=[1.0, 1.0, 1.0, 2.0, np.nan, np.nan],
    )
    counts = [1, 2, 3, 4, 6, 20]
    spikes = np.concatenate([row + np.full(n, 0.25) for row, n in enumerate(counts)])
    found = responses(spiking({8: spikes}, shown)) / 2
    one = tuning(found, "orientation")
    assert one["mean"].sel(unit_id=8).values.tolist() == [8.0, 3.0]
    assert one["n"].sel(unit_id=8).values.tolist() == [3, 2]
    assert float(one["sem"].sel(unit_id=8, orientation=90)) == pytest.approx(1.0)
    assert one["preferred_orientation"].values.tolist() == [0.0]
    assert one["blank_mean"].values.tolist() == [6.0]
    two = tuning(found, ("orientation", "temporal_frequency"))
    assert two["mean"].dims == ("unit_id", "orientation", "temporal_frequency")
    # What has one of the two parameters only is neither of a condition nor blank.
    assert np.array_equal(two["mean"][0], [[2.0, np.nan], [2.0, 4.0]], equal_nan=True)
    assert two["n"][0].values.tolist() == [[2, 0], [1, 1]]
    assert two["preferred_orientation"].values.tolist() == [90.0]
    assert two["preferred_temporal_frequency"].values.tolist() == [2.0]
    assert np.isnan(two["sem"].sel(orientation=90)).all()


def test_a_cell_without_any_response_prefers_nothing():
    shown = table([0, 1], orientation=[0.0, 90.0], image=["a", "b"])
    session = imaged([[np.nan] * 8, [0, 0, 0, 0, 1, 1, 1, 1]], np.arange(8) / 4, shown)
    found = tuning(responses(session), ("orientation", "image"))
    assert np.isnan(found["preferred_orientation"][0])
    assert pd.isna(found["preferred_image"].values[0])
    assert found["preferred_image"].values[1] == "b"
    assert found["n"].sel(cell_specimen_id=10).sum() == 0


def test_courses_have_their_tuning_too():
    shown = table([0, 1, 2], orientation=[0, 90, 90])
    session = spiking({1: np.array([1.3, 2.3, 2.31])}, shown)
    found = tuning(responses(session, "gratings", (0, 0.5), bin_s=0.25), "orientation")
    assert found["mean"].dims == ("unit_id", "orientation", "time")
    assert found["mean"].sel(orientation=90).values.tolist() == [[0.0, 6.0]]
    assert found["preferred_orientation"].values.tolist() == [90]
    assert found["time"].values.tolist() == [0.125, 0.375]


def test_rows_and_ids_of_ones_own():
    shown = table([0, 1, 2], orientation=[0, 90, 90])
    session = spiking({1: np.array([0.1]), 2: np.array([1.1]), 3: np.array([])}, shown)
    found = responses(session, presentations=shown[shown["orientation"] == 90], ids=[2, 1])
    assert found["unit_id"].values.tolist() == [2, 1]
    assert found.values.tolist() == [[2.0, 0.0], [0.0, 0.0]]
    with pytest.raises(NotFoundError, match="no unit 9"):
        responses(session, ids=[9])
    with pytest.raises(NotFoundError, match="no cell 9"):
        responses(imaged([[0.0]], [0.0], shown), ids=[9])


def test_what_makes_no_sense_is_named():
    session = spiking({1: np.array([0.1])}, table([0], orientation=[1]))
    with pytest.raises(NotFoundError, match=r"no presentation of 'movies'[\s\S]*gratings"):
        responses(session, "movies")
    with pytest.raises(UsageError, match="ends before it begins"):
        responses(session, "gratings", (1, 0))
    with pytest.raises(UsageError, match="do not fit"):
        responses(session, "gratings", (0, 1), bin_s=2)
    with pytest.raises(UsageError, match="bins need a window"):
        responses(session, "gratings", bin_s=0.1)
    with pytest.raises(NotFoundError, match="no dff"):
        responses(session, of="dff")
    with pytest.raises(UsageError, match=r"no 'contrast'[\s\S]*orientation"):
        tuning(responses(session), "contrast")
    with pytest.raises(UsageError, match="no 'stimulus_presentation_id'"):
        tuning(responses(session), "stimulus_presentation_id")


@pytest.mark.parametrize(
    ("kind", "stimulus", "by", "cells"),
    [
        ("ophys", "change_detection_behavior", "image_name", "cell_specimen_id"),
        ("ecephys", "gabor_20_deg_250ms", ("position_x", "orientation"), "unit_id"),
    ],
)
def test_sessions_of_visual_behavior_answer_alike(files, kind, stimulus, by, cells):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_session(files[kind]) as session:
            found = session.responses(stimulus, (-0.25, 0.5), bin_s=0.25)
            whole = responses(session, stimulus)
    assert found.dims == (cells, "stimulus_presentation_id", "time")
    assert found.shape[:2] == whole.shape
    told = tuning(whole, by)
    assert int(told["n"][0].sum()) == whole.sizes["stimulus_presentation_id"]
    assert told["mean"].dims[0] == cells
