"""The analyses by stimulus: made-up cells whose answer is known, and AllenSDK's readings."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from visualcoding import write_ophys

import openallen as oa
from openallen.errors import CorruptError, NotFoundError, UsageError
from openallen.sessions.responses import (
    drifting_gratings,
    locally_sparse_noise,
    natural_movie,
    natural_scenes,
    static_gratings,
)
from openallen.sessions.responses.statistics import anova, spearman, two_groups, welch

RATE_HZ = 30.0
# From scipy.stats 1.11.4: f_oneway, ttest_ind(equal_var=False), spearmanr.
TWO_GROUPS = [0.27756051996351716, 0.8193784460814925, 4.630541802539439e-05]
ANOVA = 0.0019732729251431343
WELCH = [0.08251288729515989, 0.012781483049561585]
RHO = [0.7142857142857143, -0.7714285714285715]
RHO_P = [0.1107871720116618, 0.07239650145772597]


def test_tests_give_the_values_of_scipy():
    first = np.array([[1.0, 2, 3, 4], [0.5, 0.7, 0.1, 0.9], [10, 11, 10, 12]])
    second = np.array([[2.0, 4, 6], [0.5, 0.6, 0.4], [1, 2, 0.0]])
    assert two_groups(first, second) == pytest.approx(TWO_GROUPS, rel=1e-12)
    groups = [np.array([1.0, 2, 3]), np.array([2.0, 5, 4, 6]), np.array([9.0, 8, 7.5])]
    assert anova(groups) == pytest.approx(ANOVA, rel=1e-12)
    assert anova([*groups, np.empty(0)]) == pytest.approx(ANOVA, rel=1e-12)
    assert welch(groups[0], groups[1]) == pytest.approx(WELCH[0], rel=1e-12)
    assert welch(groups[1], groups[2]) == pytest.approx(WELCH[1], rel=1e-12)
    columns = np.array([[1, 2, 9], [2, 1, 7], [3, 5, 8], [4, 4, 1], [5, 3, 3.0], [6, 9, 2]])
    found, tests = spearman(columns)
    assert found[0, 1:] == pytest.approx(RHO, rel=1e-12)
    assert tests[0, 1:] == pytest.approx(RHO_P, rel=1e-12)


def test_tests_of_what_does_not_vary():
    flat = np.ones((1, 4))
    assert np.isnan(two_groups(flat, flat)).all()
    assert two_groups(flat, flat * 2).tolist() == [0.0]
    assert np.isnan(two_groups(np.array([[1.0, np.nan]]), np.array([[1.0, 2.0]]))).all()
    assert np.isnan(anova([np.ones(3), np.ones(2)]))
    assert anova([np.ones(3), np.zeros(2)]) == 0.0
    assert np.isnan(anova([np.ones(1), np.zeros(1)]))
    assert np.isnan(welch(np.ones(1), np.ones(3)))
    assert np.isnan(spearman(np.array([[1.0, 2.0], [2.0, 1.0]]))[1]).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=30).filter(
        lambda rows: all(len({row[side] for row in rows}) > 1 for side in (0, 1))
    )
)
def test_spearmans_correlation_is_that_of_pandas(rows):
    table = pd.DataFrame(np.array(rows, dtype="float64"))
    ranks = table.rank().corr().to_numpy()
    assert spearman(table.to_numpy())[0] == pytest.approx(ranks, abs=1e-12)


def _recording(
    table: pd.DataFrame, size: Any, cells: int = 2, frames: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return traces that rise by `size` (cell, row of the table) while something is shown."""
    length = frames or int(table["end"].max()) + 80
    rng = np.random.default_rng(5)
    traces = 100 + rng.normal(0, 0.5, (cells, length))
    for row, (start, end) in enumerate(zip(table["start"], table["end"], strict=True)):
        for cell in range(cells):
            traces[cell, int(start) : int(end)] += size(cell, row)
    return traces, np.arange(length) / RATE_HZ, np.where(np.arange(length) % 400 < 200, 0.0, 9.0)


@pytest.fixture(scope="module")
def drifting() -> Any:
    conditions = [(ori, tf) for ori in range(0, 360, 45) for tf in (1, 2, 4, 8, 15)]
    shown = [*conditions, (np.nan, np.nan)] * 4
    order = np.random.default_rng(1).permutation(len(shown))
    rows = [shown[n] for n in order]
    starts = 60 + 90 * np.arange(len(rows))
    table = pd.DataFrame(rows, columns=["orientation", "temporal_frequency"], dtype="float64")
    table["blank_sweep"] = table["orientation"].isna().astype("float64")
    table["start"], table["end"] = starts, starts + 60

    def size(cell: int, row: int) -> float:
        ori, tf = rows[row]
        if cell == 0:  # direction: 90 degrees at 4 Hz, half as much the other way
            return {90: 40.0, 270: 20.0}.get(ori, 0.0) if tf == 4 else 0.0
        return 10.0 if ori in {0, 180} else 0.0  # orientation, at any frequency

    traces, times, running = _recording(table, size)
    return table, traces, times, running


def test_drifting_gratings_find_what_was_put_in(drifting):
    table, traces, times, running = drifting
    found = drifting_gratings(traces, times, table, running, cell_specimen_ids=[11, 22])
    assert found.orivals.tolist() == list(range(0, 360, 45))
    assert found.tfvals.tolist() == [0, 1, 2, 4, 8, 15]
    assert found.response.shape == (8, 6, 3, 3)
    assert found.response[2, 3, 0, 0] == pytest.approx(40, abs=1)
    assert found.response[2, 3, 0, 2] == 4
    assert np.isnan(found.response[1:, 0]).all()
    first, second = found.peak.iloc[0], found.peak.iloc[1]
    assert (first["ori_dg"], first["tf_dg"], first["cell_specimen_id"]) == (2, 3, 11)
    assert first["peak_dff_dg"] == pytest.approx(40, abs=1)
    assert first["dsi_dg"] == pytest.approx(1 / 3, abs=0.03)
    assert first["osi_dg"] == pytest.approx(1, abs=0.03)
    assert first["cv_os_dg"] == pytest.approx(1, abs=0.05)
    assert first["cv_ds_dg"] == pytest.approx(1 / 3, abs=0.05)
    assert first["ptest_dg"] < 1e-6
    assert first["tf_index_dg"] > 0.5
    assert second["ori_dg"] in {0, 4}
    assert second["dsi_dg"] == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("rows", [0, 1])
def test_one_row_has_no_correlation_and_no_warning(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, tests = spearman(np.ones((rows, 3)))
    assert found.shape == tests.shape == (3, 3)
    assert np.isnan(found).all()


def test_an_analysis_says_what_it_is_of_in_a_few_lines(drifting):
    table, traces, times, running = drifting
    text = repr(drifting_gratings(traces, times, table, running, cell_specimen_ids=[11, 22]))
    assert text.startswith("DriftingGratings\n")
    assert "cells    2" in text
    assert "peak, response" in text
    assert "array(" not in text


def test_sweeps_are_percent_of_what_was_before(drifting):
    table, traces, times, running = drifting
    found = drifting_gratings(traces, times, table, running)
    sweep = found.sweep_response.iloc[3, 1]
    start = int(table["start"][3])
    before = traces[1, start - 30 : start].mean()
    assert sweep == pytest.approx((traces[1, start - 30 : start + 90] / before - 1) * 100)
    assert found.mean_sweep_response.iloc[3, 1] == pytest.approx(sweep[30:90].mean())
    assert found.sweep_response.columns.tolist() == ["0", "1", "dx"]
    assert found.sweep_response["dx"][3].tolist() == running[start - 30 : start + 90].tolist()


def test_correlations_have_the_shape_of_cells_and_conditions(drifting):
    found = drifting_gratings(drifting[1], drifting[2], drifting[0], drifting[3])
    noise, tests, blank, blank_tests = found.get_noise_correlation()
    assert noise.shape == tests.shape == (2, 2, 8, 5)
    assert blank.shape == (2, 2)
    assert (tests[1, 0] == 0).all()
    assert blank_tests[1, 0] == 0
    assert found.get_signal_correlation()[0].shape == (2, 2)
    assert found.get_representational_similarity()[0].shape == (40, 40)


def test_static_gratings_find_what_was_put_in():
    conditions = [
        (float(ori), sf, phase)
        for ori in range(0, 180, 30)
        for sf in (0.02, 0.04, 0.08, 0.16, 0.32)
        for phase in (0.0, 0.25, 0.5, 0.75)
    ]
    shown = [*conditions, (np.nan, np.nan, np.nan)] * 2
    table = pd.DataFrame(shown, columns=["orientation", "spatial_frequency", "phase"])
    table["start"] = 60 + 40 * np.arange(len(table))
    table["end"] = table["start"] + 8
    best = (60.0, 0.08, 0.5)

    def size(cell: int, row: int) -> float:
        return 50.0 if cell == 0 and shown[row] == best else 0.0

    found = static_gratings(*_args(table, size))
    assert (found.sweeplength, found.interlength, found.extralength) == (8, 32, 8)
    assert found.response.shape == (6, 6, 4, 3, 3)
    first = found.peak.iloc[0]
    assert (first["ori_sg"], first["sf_sg"], first["phase_sg"]) == (2, 3, 2)
    # Eight frames of response and eight behind it count.
    assert first["peak_dff_sg"] == pytest.approx(25, abs=2)
    assert first["osi_sg"] == pytest.approx(1, abs=0.1)
    assert 0 <= first["time_to_peak_sg"] < 8 / RATE_HZ
    assert np.isnan(first["p_run_sg"])  # fewer than five sweeps on either side
    assert found.get_signal_correlation()[0].shape == (2, 2)
    assert found.get_representational_similarity()[0].shape == (120, 120)


def _args(table: pd.DataFrame, size: Any) -> tuple[Any, Any, pd.DataFrame, Any]:
    traces, times, running = _recording(table, size)
    return traces, times, table, running


def test_natural_scenes_find_what_was_put_in():
    shown = list(range(-1, 20)) * 12
    table = pd.DataFrame({"frame": shown})
    table["start"] = 60 + 40 * np.arange(len(table))
    table["end"] = table["start"] + 7

    def size(cell: int, row: int) -> float:
        return 60.0 if cell == 0 and shown[row] == 13 else 0.0

    found = natural_scenes(*_args(table, size))
    assert found.number_scenes == 21
    assert found.response.shape == (21, 3, 3)
    first = found.peak.iloc[0]
    assert first["scene_ns"] == 13
    assert first["image_selectivity_ns"] > 0.8
    assert first["ptest_ns"] < 1e-6
    assert abs(first["run_modulation_ns"]) < 0.1
    assert first["p_run_ns"] > 1e-3
    assert found.peak["cell_specimen_id"].tolist() == [0, 1]


def test_running_at_rest_and_modulation():
    shown = [0] * 20 + [-1] * 2
    table = pd.DataFrame({"frame": shown})
    table["start"] = 60 + 100 * np.arange(len(table))
    table["end"] = table["start"] + 7
    traces, times, _ = _recording(table, lambda cell, row: 40.0 if row % 2 else 20.0)
    running = np.zeros(len(times))
    for start in table["start"][1::2]:
        running[start - 30 : start + 40] = 5.0
    found = natural_scenes(traces, times, table, running).peak.iloc[0]
    assert found["run_modulation_ns"] == pytest.approx(0.5, abs=0.05)
    assert found["p_run_ns"] < 1e-6


def test_natural_movies_find_what_was_put_in():
    length = 24
    frames = np.tile(np.arange(length), 5)
    table = pd.DataFrame({"frame": frames, "repeat": np.repeat(np.arange(5), length)})
    table["start"] = 30 + np.arange(len(table))
    table["end"] = table["start"] + 1
    rng = np.random.default_rng(2)
    traces = rng.normal(0, 0.01, (2, 200))
    traces[0, 30 + np.flatnonzero(frames == 9)] += 1
    found = natural_movie(traces, np.arange(200) / RATE_HZ, table, "natural_movie_two")
    assert found.sweeplength == length
    assert found.sweep_response.shape == (5, 2)
    first = found.peak.iloc[0]
    assert first["peak_nm2"] == 9
    assert first["response_reliability_nm2"] > 0.9
    assert abs(found.peak["response_reliability_nm2"][1]) < 0.4


def test_sparse_noise_finds_what_was_put_in():
    rng = np.random.default_rng(3)
    template = np.full((40, 4, 6), 127, dtype="uint8")
    for image in template:
        spots = rng.choice(24, 4, replace=False)
        image.ravel()[spots] = [0, 255, 0, 255]
    template[0, 1, 2] = 255
    table = pd.DataFrame({"frame": np.arange(40)})
    table["start"] = 60 + 40 * np.arange(len(table))
    table["end"] = table["start"] + 7

    def size(cell: int, row: int) -> float:
        return 80.0 if cell == 1 and template[row, 1, 2] == 255 else 0.0

    found = locally_sparse_noise(*_args(table, size), template)
    assert found.mean_response.shape == (4, 6, 3, 2)
    on = found.mean_response[..., 1, 0]
    assert np.unravel_index(np.nanargmax(on), on.shape) == (1, 2)
    assert on[1, 2] == pytest.approx(40, abs=2)
    with pytest.raises(UsageError, match="do not belong together"):
        locally_sparse_noise(*_args(table, size), template[:5])


def test_sweeps_at_the_ends_of_a_recording():
    table = pd.DataFrame({"frame": [0, 1, 0, 1]})
    table["start"] = [10, 100, 200, 290]
    table["end"] = table["start"] + 7
    traces, times, running = _recording(table, lambda cell, row: 30.0, frames=303)
    found = natural_scenes(traces, times, table, running)
    lengths = [len(each) for each in found.sweep_response["0"]]
    # The first begins before there is anything to compare with, the last is cut short.
    assert lengths == [0, 63, 63, 41]
    means = found.mean_sweep_response["0"]
    assert np.isnan(means[0])
    assert means[3] == pytest.approx(30 * 7 / 13, abs=1.5)


def test_cells_without_a_number_prefer_nothing(drifting):
    table, traces, times, running = drifting
    silent = np.vstack([traces[:1], np.full((1, traces.shape[1]), np.nan)])
    found = drifting_gratings(silent, times, table, running).peak
    assert found["ori_dg"][0] == 2
    assert np.isnan(found["ori_dg"][1])


def test_what_does_not_belong_together_is_named(drifting):
    table, traces, times, running = drifting
    with pytest.raises(UsageError, match="no 'orientation'"):
        drifting_gratings(traces, times, table.drop(columns="orientation"), running)
    with pytest.raises(UsageError, match="too few rows"):
        drifting_gratings(traces, times, table[:1], running)
    with pytest.raises(CorruptError, match="differ in length"):
        drifting_gratings(traces, times[:-5], table, running)
    with pytest.raises(CorruptError, match="no cell x frame"):
        drifting_gratings(traces[0], times, table, running)
    with pytest.raises(CorruptError, match="3 ids"):
        drifting_gratings(traces, times, table, running, cell_specimen_ids=[1, 2, 3])


ORACLES = ["501940850", "501559087", "500964514", "590168381"]
# Made by a sort that leaves equal speeds in any order, so that they differ between machines.
_ANY_ORDER = "binned_"


@pytest.mark.shared
@pytest.mark.parametrize("name", ORACLES)
def test_each_table_is_what_allensdk_gave(shared, name):
    folder = Path(shared) / "nwb_observatory"
    if not folder.is_dir():
        pytest.skip("the observatory's made-up files are not here")
    spec = importlib.util.spec_from_file_location("oracle_io", folder / "oracle_io.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    oracle = module.Oracle(str(folder / "oracle" / f"visual_coding_2p_{name}"))
    made: dict[str, Any] = {}
    seen = 0
    for entry in oracle.names():
        stimulus, _, attribute = entry.partition(".")
        if not attribute or stimulus.startswith("get_") or attribute.startswith(_ANY_ORDER):
            continue
        if stimulus not in made:
            made[stimulus] = _analysed(oracle, stimulus)
        attribute, _, part = attribute.partition("@")
        attribute, _, number = attribute.partition(".")
        found = getattr(made[stimulus], attribute)
        found = found()[int(number)] if number else found
        found = found.iloc[:6] if part else found
        assert oracle.compare(entry, found, rtol=1e-9, strict=True) == [], entry
        seen += 1
    assert seen >= 15


def _analysed(oracle: Any, stimulus: str) -> Any:
    times = oracle.load("get_corrected_fluorescence_traces.timestamps")
    traces = oracle.load("get_corrected_fluorescence_traces.traces")
    table = oracle.load(f"get_stimulus_table@{stimulus}")
    running = oracle.load("get_running_speed.dxcm")
    ids = {"cell_specimen_ids": oracle.load("get_cell_specimen_ids")}
    if stimulus.startswith("natural_movie"):
        dff = oracle.load("get_dff_traces.traces")
        return natural_movie(dff, times, table, stimulus, **ids)
    if stimulus.startswith("locally"):
        images, mask = oracle.load(f"{stimulus}.LSN"), oracle.load(f"{stimulus}.LSN_mask")
        return locally_sparse_noise(traces, times, table, running, images, mask=mask, **ids)
    kinds = {
        "drifting_gratings": drifting_gratings,
        "static_gratings": static_gratings,
        "natural_scenes": natural_scenes,
    }
    return kinds[stimulus](traces, times, table, running, **ids)


@pytest.mark.parametrize("kind", ["three_session_A", "three_session_B", "three_session_C2"])
def test_a_session_analyses_all_it_showed(tmp_path, kind):
    path = write_ophys(tmp_path / "x.nwb", session_type=kind)
    with oa.open(path) as session:
        names = [name for name in session.list_stimuli() if name != "spontaneous"]
        assert len(names) >= 3
        for name in names:
            found = session.analysis(name)
            assert found.stim_table["start"].tolist()
            assert len(found.sweep_response) == len(found.stim_table)
            assert found.cell_specimen_ids.tolist() == session.get_cell_specimen_ids().tolist()
        with pytest.raises(
            NotFoundError, match=r"no analysis of 'spontaneous'[\s\S]*natural_movie"
        ):
            session.analysis("spontaneous")


def test_an_analysis_of_a_session_is_that_of_its_arrays(tmp_path):
    with oa.open(write_ophys(tmp_path / "x.nwb")) as session:
        times, traces = session.get_corrected_fluorescence_traces()
        found = session.analysis("drifting_gratings")
        table = session.get_stimulus_table("drifting_gratings")
        expected = drifting_gratings(traces, times, table, session.get_running_speed()[0])
        pd.testing.assert_frame_equal(found.mean_sweep_response, expected.mean_sweep_response)
        responses = session.responses("drifting_gratings")
    assert responses.dims == ("cell_specimen_id", "stimulus_presentation_id")
    assert responses.sizes["stimulus_presentation_id"] == len(table)
    assert {"orientation", "temporal_frequency"} <= set(responses.coords)
