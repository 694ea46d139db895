"""Spikes by presentation and condition: against a plain loop, and against AllenSDK's readings."""

from __future__ import annotations

import importlib.util
import re
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openallen.errors import NotFoundError, UsageError
from openallen.sessions.responses import (
    conditionwise_spike_statistics,
    presentationwise_spike_counts,
    presentationwise_spike_times,
)

EIGHTHS = st.integers(0, 400).map(lambda n: n / 8)
TIMES = st.lists(st.one_of(EIGHTHS, st.floats(0, 50)), max_size=60)


def shown(starts: list[float], width_s: float = 0.5) -> pd.DataFrame:
    at = np.array(starts, dtype="float64")
    return pd.DataFrame(
        {
            "start_time": at,
            "stop_time": at + width_s,
            "stimulus_condition_id": np.arange(len(at)) % 3,
        },
        index=pd.Index(np.arange(len(at)) + 100, name="stimulus_presentation_id"),
    )


def naive(spikes: dict[int, Any], domain: np.ndarray) -> np.ndarray:
    counts = np.zeros((domain.shape[0], domain.shape[1] - 1, len(spikes)), dtype=int)
    for column, times in enumerate(spikes.values()):
        at = np.asarray(times, dtype="float64")
        for row, edges in enumerate(domain):
            for number in range(len(edges) - 1):
                inside = (at >= edges[number]) & (at <= edges[number + 1])
                counts[row, number, column] = inside.sum()
    return counts


@settings(max_examples=100, deadline=None)
@given(
    trains=st.lists(TIMES, min_size=1, max_size=3),
    starts=st.lists(st.one_of(EIGHTHS, st.floats(0, 50)), min_size=1, max_size=8),
    edges=st.lists(st.integers(-8, 24), min_size=2, max_size=30, unique=True),
    scale=st.sampled_from([1 / 16, 1 / 8, 0.01, 0.5]),
    how=st.tuples(st.booleans(), st.sampled_from([None, "uint8", "int64", "float32"])),
)
def test_counts_are_those_of_a_plain_loop(trains, starts, edges, scale, how):
    once, dtype = how
    spikes = {7 + n: np.sort(np.array(times)) for n, times in enumerate(trains)}
    bins = np.array(sorted(edges)) * scale
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = presentationwise_spike_counts(
            spikes, shown(starts), bins, binarize=once, dtype=dtype
        )
    domain = np.array(starts, dtype="float64")[:, None] + bins
    expected = naive(spikes, domain)
    assert np.array_equal(found.values, np.minimum(expected, 1) if once else expected)
    assert found.dtype == np.dtype(dtype or ("uint8" if once else "uint16"))


@settings(max_examples=100, deadline=None)
@given(
    trains=st.lists(TIMES, min_size=1, max_size=3),
    count=st.integers(1, 30),
    apart=st.sampled_from([0.25, 0.5, 1.0, 3.0, 7.0]),
    bins=st.sampled_from([1, 5, 16, 40]),
)
def test_windows_apart_touching_and_over_each_other_count_alike(trains, count, apart, bins):
    spikes = {n: np.sort(np.array(times)) for n, times in enumerate(trains)}
    edges = np.linspace(-0.1, 0.4, bins + 1)
    table = shown([n * apart for n in range(count)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = presentationwise_spike_counts(spikes, table, edges)
    domain = table["start_time"].to_numpy()[:, None] + edges
    assert np.array_equal(found.values, naive(spikes, domain))


@settings(max_examples=100, deadline=None)
@given(trains=st.lists(TIMES, min_size=1, max_size=3), starts=st.lists(EIGHTHS, max_size=6))
def test_spike_times_and_statistics_are_those_of_a_plain_loop(trains, starts):
    spikes = {n: np.array(times, dtype="float64") for n, times in enumerate(trains)}
    table = shown(starts)
    expected = sorted(
        (time, unit, row, time - start)
        for unit, times in spikes.items()
        for row, start in zip(table.index, table["start_time"], strict=True)
        for time in times
        if start < time <= start + 0.5
    )
    found = presentationwise_spike_times(spikes, table)
    assert len(found) == len(expected)
    if expected:
        rows = zip(
            found.index,
            found["unit_id"],
            found["stimulus_presentation_id"],
            found["time_since_stimulus_presentation_onset"],
            strict=True,
        )
        assert sorted(rows) == expected
        assert found.index.is_monotonic_increasing
    counts = pd.Series([(unit, row) for _, unit, row, _ in expected], dtype=object).value_counts()
    told = conditionwise_spike_statistics(spikes, table)
    for (unit, condition), row in told.iterrows():
        of = table.index[table["stimulus_condition_id"] == condition]
        values = [counts.get((unit, each), 0) for each in of]
        assert row["spike_count"] == sum(values)
        assert row["stimulus_presentation_count"] == len(values)
        assert row["spike_mean"] == pytest.approx(np.mean(values))
        assert np.isnan(row["spike_std"]) == (len(values) == 1)


def test_order_and_names_are_as_asked():
    spikes = {5: np.array([1.05]), 3: np.array([2.05, 2.15])}
    with pytest.warns(UserWarning, match="not in the order of time"):
        found = presentationwise_spike_counts(
            spikes, shown([1, 2]), [0, 0.1, 0.2], [101, 100], [3, 5]
        )
    assert found.dims == ("stimulus_presentation_id", "time_relative_to_stimulus_onset", "unit_id")
    assert found.name == "spike_counts"
    assert found["stimulus_presentation_id"].values.tolist() == [101, 100]
    assert found["unit_id"].values.tolist() == [3, 5]
    assert found.values.tolist() == [[[1, 0], [1, 0]], [[0, 1], [0, 0]]]
    one = presentationwise_spike_counts(spikes, shown([1, 2]), [0, 0.1], 100, 5)
    assert one.values.tolist() == [[[1]]]


def test_spikes_out_of_order_or_without_a_time_count_as_in_order():
    table, edges = shown([0, 1, 2]), np.linspace(0, 0.5, 21)
    times = np.array([2.01, np.nan, 0.3, 1.11, 0.02])
    found = presentationwise_spike_counts({1: times}, table, edges)
    assert found.sum() == 4
    assert len(presentationwise_spike_times({1: times}, table)) == 4


def test_neighbours_over_each_other_and_wide_bins_are_warned_about():
    table = shown([0, 1, 2, 3, 4])
    with pytest.warns(UserWarning, match=r"by up to 0\.5 s: rows \(0, 1\).* and 1 more"):
        presentationwise_spike_counts({1: [0.5]}, table, [0, 1.5])
    with pytest.warns(UserWarning, match="wide for binarized counts"):
        presentationwise_spike_counts({1: [0.5]}, table, [0, 0.5], binarize=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        presentationwise_spike_counts(
            {1: [0.5]}, table, [0, 0.5], binarize=True, large_bin_size_threshold=1
        )


def test_a_callback_moves_the_edges():
    spikes, table = {1: np.array([0.15, 1.15])}, shown([0, 1])
    moved = presentationwise_spike_counts(
        spikes, table, [0, 0.1], time_domain_callback=lambda edges: edges + 0.1
    )
    assert moved.values.ravel().tolist() == [1, 1]
    with pytest.raises(UsageError, match="another shape"):
        presentationwise_spike_counts(
            spikes, table, [0, 0.1], time_domain_callback=lambda edges: edges[:1]
        )
    with pytest.raises(UsageError, match="not in order"):
        presentationwise_spike_counts(
            spikes, table, [0, 0.1], time_domain_callback=lambda edges: edges[:, ::-1]
        )


@pytest.mark.parametrize("edges", [[], [0.1], [[0, 1]], ["a", "b"], [0, 0.2, 0.1], [0, np.nan]])
def test_edges_that_are_none_are_refused(edges):
    with pytest.raises(UsageError, match="bins"):
        presentationwise_spike_counts({1: [0.5]}, shown([0]), edges)


def test_unknown_units_presentations_and_conditions_are_named():
    spikes, table = {1: np.array([0.5])}, shown([0])
    with pytest.raises(NotFoundError, match="no unit 4, 5"):
        presentationwise_spike_counts(spikes, table, [0, 1], 100, [1, 4, 5])
    with pytest.raises(NotFoundError, match="no presentation 7"):
        presentationwise_spike_times(spikes, table, [7])
    with pytest.raises(NotFoundError, match="no condition 0"):
        conditionwise_spike_statistics(spikes, table, pd.DataFrame(index=[3]))
    with pytest.raises(UsageError, match="presentation 100 without start_time"):
        presentationwise_spike_counts(spikes, shown([np.nan]), [0, 1])
    with pytest.raises(UsageError, match="no stop_time"):
        presentationwise_spike_times(spikes, table.drop(columns="stop_time"))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16"])
def test_counts_that_do_not_fit_their_type_are_refused(dtype):
    most = np.iinfo(dtype).max
    times = np.linspace(0.1, 0.4, most + 1)
    table = shown([0])
    with pytest.raises(UsageError, match=f"more spikes than {dtype}"):
        presentationwise_spike_counts({1: times}, table, [0, 0.5], dtype=dtype)
    fits = presentationwise_spike_counts({1: times[1:]}, table, [0, 0.5], dtype=dtype)
    assert fits.values.tolist() == [[[most]]]


ORACLES = ["ecephys_session_721123822", "ecephys_session_766640955"]


@pytest.fixture(scope="module")
def observatory(shared) -> Any:
    folder = Path(shared) / "nwb_observatory"
    if not folder.is_dir():
        pytest.skip("the observatory's made-up files are not here")
    spec = importlib.util.spec_from_file_location("oracle_io", folder / "oracle_io.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda name: module.Oracle(str(folder / "oracle" / name))


def _session(spikes: dict[int, Any], table: pd.DataFrame, conditions: pd.DataFrame) -> Any:
    def counts(bin_edges, stimulus_presentation_ids, unit_ids, **more):
        return presentationwise_spike_counts(
            spikes, table, bin_edges, stimulus_presentation_ids, unit_ids, **more
        )

    def times(stimulus_presentation_ids=None, unit_ids=None):
        return presentationwise_spike_times(spikes, table, stimulus_presentation_ids, unit_ids)

    def statistics(ids=None, unit_ids=None, use_rates=False):
        return conditionwise_spike_statistics(spikes, table, conditions, ids, unit_ids, use_rates)

    return SimpleNamespace(
        presentationwise_spike_counts=counts,
        presentationwise_spike_times=times,
        conditionwise_spike_statistics=statistics,
    )


@pytest.mark.shared
@pytest.mark.parametrize("name", ORACLES)
def test_each_call_gives_what_allensdk_gave(observatory, name):
    oracle = observatory(name)
    spikes, table = oracle.load("spike_times"), oracle.load("stimulus_presentations")
    conditions = oracle.load("stimulus_conditions")
    every = {**spikes, **oracle.load("spike_times@unfiltered")}
    known = {
        "session": _session(spikes, table, conditions),
        "unfiltered": _session(every, table, conditions),
        "UNITS": list(oracle.load("units").index),
        "SHOWN": lambda stimulus: list(table.index[table["stimulus_name"] == stimulus]),
        "numpy": np,
        "array": np.array,
        "float": float,
    }
    seen = 0
    for entry, told in oracle.entries.items():
        if not re.match("(presentation|condition)wise_", entry):
            continue
        call = told["call"].replace("<class 'float'>", "float")
        # Written out with three digits: the edges of the call were these.
        call = re.sub(
            r"array\(\[0\. {3},.*?\]\)", "numpy.linspace(0, 0.02, 21)", call, flags=re.DOTALL
        )
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            if told["form"] == "raises":
                with pytest.raises((NotFoundError, UsageError)):
                    eval(call, known)
                continue
            found = eval(call, known)
        assert oracle.compare(entry, found, strict=True) == [], entry
        if told["form"] == "dataarray":
            assert (str(found.dtype), list(found.dims)) == (told["dtype"], told["dims"])
            assert found.name == told["name"]
        warned = [text for text in told.get("warns", []) if text.startswith("UserWarning")]
        assert len(said) == len(warned), entry
        seen += 1
    assert seen > 30
