"""Sweeps of patched cells: Cell Types of both pipelines, MIES, and others."""

from __future__ import annotations

import math

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patchclamp import COUNT, EPOCH, RATE_HZ, STEP, SWEEPS, Made, cell_types, nwb2, nwb2_sweep

import openallen as oa
from openallen.errors import NotFoundError, UsageError
from openallen.sessions import NwbTables, PatchClampSession
from openallen.sessions.patch_clamp.steps import after_test_pulse, longest_step, stimulus_bounds

BOTH = pytest.mark.parametrize(
    "write",
    [cell_types, lambda p: cell_types(p, version="1.0.3"), nwb2],
    ids=["pipeline 1.1", "pipeline 1.0", "MIES"],
)


@BOTH
def test_a_sweep_is_in_amperes_and_volts_with_its_place_on_the_clock(tmp_path, write):
    with oa.open(write(tmp_path / "cell.nwb")) as cell:
        assert type(cell) is PatchClampSession
        assert cell.sweep_numbers == [4, 5, 6, 10]
        sweep = cell.sweep(6)
    made = Made(6, 100, 5)
    assert np.allclose(sweep.response, made.response * 1e-3, rtol=1e-6)
    assert np.allclose(sweep.stimulus, made.stimulus * 1e-12, rtol=1e-6)
    assert (sweep.response.attrs["units"], sweep.stimulus.attrs["units"]) == ("V", "A")
    assert (sweep.rate_hz, sweep.start_s, sweep.response.attrs["start_s"]) == (RATE_HZ, 18.0, 18.0)
    assert np.allclose(sweep.response["time"], np.arange(COUNT) / RATE_HZ)
    assert sweep.response.dims == ("time",)
    assert (sweep.stimulus_name, sweep.clamp_mode) == ("Long Square", "current_clamp")


@BOTH
def test_the_table_has_what_the_file_says_of_each_sweep(tmp_path, write):
    with oa.open(write(tmp_path / "cell.nwb")) as cell:
        table = cell.sweeps
    assert (table.index.name, list(table.index)) == ("sweep_number", [4, 5, 6, 10])
    assert list(table["stimulus_name"]) == ["Test", *["Long Square"] * 3]
    assert set(table["clamp_mode"]) == {"current_clamp"}
    assert set(table["rate_hz"]) == {RATE_HZ}
    assert list(table["start_s"]) == [12.0, 15.0, 18.0, 30.0]
    assert np.allclose(table["duration_s"], COUNT / RATE_HZ)
    assert set(table["seal_gohm"]) == {2.5}
    assert set(table["bridge_balance_mohm"]) == {14.5}
    assert set(table["initial_access_resistance_mohm"]) == {12.0}
    assert set(table["gain"]) == {5.0}
    if write is nwb2:  # amplitudes and spikes are not in such files
        assert table["amplitude_pa"].isna().all()
        assert table["spikes"].isna().all()
        assert set(table["electrode"]) == {"electrode_0"}
    else:
        assert list(table["amplitude_pa"]) == [0, -50, 100, 150]
        assert list(table["spikes"]) == [0, 0, 5, 9]
        assert set(table["electrode"]) == {None}


@BOTH
def test_the_experiment_is_without_the_test_pulse(tmp_path, write):
    with oa.open(write(tmp_path / "cell.nwb")) as cell:
        sweep = cell.sweep(5)
        part = sweep.experiment
    first, last = sweep.index_range
    assert (first, last) == ((EPOCH[0], sum(EPOCH) - 1) if write is not nwb2 else (150, COUNT - 1))
    assert part.response.sizes["time"] == last - first + 1
    assert float(part.response["time"][0]) == first / RATE_HZ  # from the begin of the sweep
    assert part.stimulus_span_s() == sweep.stimulus_span_s() == (0.4, 0.9)
    assert set(np.unique(part.stimulus)) == {np.float32(0), np.float32(-50) * np.float32(1e-12)}


def test_epochs_by_their_last_sample_are_the_same(tmp_path):
    cells = [oa.open(cell_types(tmp_path / f"{stop}.nwb", stop=stop)) for stop in (False, True)]
    assert cells[0].sweep(5).index_range == cells[1].sweep(5).index_range == (1_000, 5_799)
    assert cells[1].sweep(4).index_range == (0, COUNT - 1)


def test_allensdk_s_names_answer_as_it_does(tmp_path):
    with oa.open(cell_types(tmp_path / "cell.nwb")) as cell:
        told = cell.get_sweep(6)
        assert set(told) == {
            "stimulus", "response", "stimulus_unit", "index_range", "sampling_rate"
        }  # fmt: skip
        assert (told["stimulus_unit"], told["sampling_rate"]) == ("Amps", RATE_HZ)
        assert told["response"].dtype == np.float32
        assert told["index_range"] == (1_000, 5_799)
        assert cell.get_sweep_numbers() == [10, 4, 5, 6]  # in the order of the names
        assert cell.get_experiment_sweep_numbers() == [10, 5, 6]
        assert cell.experiment_sweep_numbers == [5, 6, 10]
        assert cell.get_pipeline_version() == (1, 1)
        assert cell.get_sweep_metadata(6) == {
            "aibs_stimulus_amplitude_pa": 100.0,
            "aibs_stimulus_name": "Long Square",
            "gain": 5.0,
            "initial_access_resistance": 12.0,
            "seal": 2.5,
        }
        assert cell.get_sweep_metadata(99) == {}
        assert len(cell.get_spike_times(99)) == 0
        assert len(cell.get_spike_times(6, key="aibs_spike_times")) == 0
        with pytest.raises(NotFoundError, match=r"no sweep 99.*4 to 6, 10"):
            cell.get_sweep(99)


@pytest.mark.parametrize("group", ["spike_times", "aibs_spike_times"])
def test_spike_times_are_from_the_begin_of_the_sweep(tmp_path, group):
    with oa.open(cell_types(tmp_path / "cell.nwb", spikes=group)) as cell:
        times = cell.spike_times(6)
        assert np.array_equal(times, cell.get_spike_times(6))
        peaks = cell.sweep(6).response.sel(time=times, method="nearest")
    assert (peaks > 0.03).all()


def test_a_file_that_lists_no_spikes_says_so(tmp_path):
    with oa.open(cell_types(tmp_path / "cell.nwb", spikes=None)) as cell:
        assert cell.sweeps["spikes"].isna().all()
        with pytest.raises(NotFoundError, match="lists no spike times"):
            cell.spike_times(6)
        assert list(cell.fi_curve["spikes"]) == [0, 5, 9]  # counted in the responses


def test_spikes_that_were_added_to_a_file_of_nwb_2(tmp_path):
    def change(file):
        file["processing/spikes/Sweep_6/timestamps"] = [0.5, 0.6]

    with oa.open(nwb2(tmp_path / "cell.nwb", change=change)) as cell:
        assert cell.spike_times(6).tolist() == [0.5, 0.6]
        assert len(cell.spike_times(5)) == 0
        assert cell.sweeps["spikes"].loc[6] == 2


@BOTH
def test_firing_over_current(tmp_path, write):
    with oa.open(write(tmp_path / "cell.nwb")) as cell:
        curve = cell.fi_curve
    assert curve.index.tolist() == [5, 6, 10]
    assert np.allclose(curve["current_pa"], [-50, 100, 150])
    assert np.allclose(curve["rate_hz"], [0, 10, 18])
    assert np.allclose(curve["start_s"], 0.4)
    assert np.allclose(curve["duration_s"], 0.5)


def test_series_of_old_files_are_in_si_too(tmp_path):
    with oa.open(cell_types(tmp_path / "cell.nwb", version="1.0.3")) as cell:
        assert isinstance(cell, NwbTables)
        series = cell.series("timeseries/Sweep_5")
        assert -0.08 < float(series.median()) < -0.06
        assert "not" not in series.attrs["units"]
        assert "1.0" in series.attrs["notes"]
        assert np.array_equal(series, cell.series("timeseries/Sweep_5", scaled=False))
    with oa.open(cell_types(tmp_path / "new.nwb")) as cell:
        series = cell.series("timeseries/Sweep_5")
        assert -0.08 < float(series.median()) < -0.06
        assert "notes" not in series.attrs


@pytest.mark.parametrize(
    ("version", "pair", "scaled"),
    [
        (None, (0, 0), False),
        ("0.9", (0, 9), False),
        ("1.0.99", (1, 0), False),
        ("1.1", (1, 1), True),
        ("1.10.2", (1, 10), True),
        ("2.0", (2, 0), True),
    ],
)
def test_the_version_of_the_pipeline_decides(tmp_path, version, pair, scaled):
    del scaled  # `cell_types` writes accordingly
    with oa.open(cell_types(tmp_path / "cell.nwb", version=version)) as cell:
        assert cell.get_pipeline_version() == pair
        assert -0.08 < float(cell.sweep(5).response.median()) < -0.06


def test_voltage_clamp(tmp_path):
    sweeps = [Made(0, 10, voltage_clamp=True)]
    for write in (cell_types, nwb2):
        with oa.open(write(tmp_path / "cell.nwb", sweeps)) as cell:
            sweep = cell.sweep(0)
            assert sweep.clamp_mode == "voltage_clamp"
            assert (sweep.stimulus.attrs["units"], sweep.response.attrs["units"]) == ("V", "A")
            assert cell.get_sweep(0)["stimulus_unit"] == "Volts"
            with pytest.raises(UsageError, match="current clamp"):
                sweep.to_efel()
            with pytest.raises(NotFoundError, match="no steps of current"):
                _ = cell.fi_curve


# --- other layouts of NWB 2 -----------------------------------------------------------------------


def test_names_that_say_nothing_and_numbers_in_attributes(tmp_path):
    names = ("CurrentClampSeries{n:03}", "CurrentClampStimulusSeries{n:03}")
    with oa.open(nwb2(tmp_path / "cell.nwb", names=names)) as cell:
        assert cell.sweep_numbers == [4, 5, 6, 10]
        assert float(cell.sweep(6).stimulus.max()) == pytest.approx(1e-10)
    with oa.open(nwb2(tmp_path / "bare.nwb", names=names, numbers=False)) as cell:
        assert cell.sweep_numbers == [4, 5, 6, 10]
        assert float(cell.sweep(6).stimulus.max()) == pytest.approx(1e-10)


def test_the_attribute_is_believed_where_a_name_as_mies_gives_says_another_number(tmp_path):
    def change(file):
        for folder, name in (("acquisition", "AD0"), ("stimulus/presentation", "DA0")):
            file.move(f"{folder}/data_00006_{name}", f"{folder}/data_00077_{name}")

    with oa.open(nwb2(tmp_path / "cell.nwb", change=change)) as cell:
        with pytest.raises(NotFoundError, match="no sweep 77"):
            cell.sweep(77)
        assert float(cell.sweep(6).stimulus.max()) == pytest.approx(1e-10)
        assert cell.sweeps.index.tolist() == [4, 5, 6, 10]


def test_the_table_of_sweeps_numbers_series(tmp_path):
    names = ("response_{n}x", "stimulus_{n}x")

    def change(file):
        table = file.create_group("general/intracellular_ephys/sweep_table")
        table.attrs["colnames"] = ["series", "sweep_number"]
        paths = [f"{folder}/{name.format(n=n)}" for n in (4, 5, 6, 10)
                 for folder, name in zip(("acquisition", "stimulus/presentation"), names,
                                         strict=True)]  # fmt: skip
        table["id"] = np.arange(8)
        table.create_dataset("series", data=[file[p].ref for p in paths], dtype=h5py.ref_dtype)
        table["series_index"] = np.arange(1, 9)
        table["series_index"].attrs["neurodata_type"] = "VectorIndex"
        table["series_index"].attrs["target"] = table["series"].ref
        table["sweep_number"] = np.array([14, 14, 15, 15, 16, 16, 20, 20], "u8")

    path = nwb2(tmp_path / "cell.nwb", names=names, numbers=False, change=change)
    with oa.open(path) as cell:
        assert cell.sweep_numbers == [14, 15, 16, 20]
        assert float(cell.sweep(16).stimulus.max()) == pytest.approx(1e-10)


def test_recordings_that_are_parts_of_one_long_series(tmp_path):
    row = np.dtype([("idx_start", "i4"), ("count", "i4"), ("timeseries", h5py.ref_dtype)])

    def change(file):
        for place in ("acquisition/long", "stimulus/presentation/long"):
            data = file[f"{place}/data"][()]
            attrs = dict(file[f"{place}/data"].attrs)
            del file[f"{place}/data"]
            file[f"{place}/data"] = np.concatenate([data, data + 1])
            file[f"{place}/data"].attrs.update(attrs)
        where = file.create_group("general/intracellular_ephys/intracellular_recordings")
        where["id"] = [0, 1]
        for part, column, target in (
            ("responses", "response", "acquisition/long"),
            ("stimuli", "stimulus", "stimulus/presentation/long"),
        ):
            rows = np.empty(2, row)
            spans = [(0, COUNT), (COUNT, COUNT) if part == "responses" else (-1, -1)]
            for n, (first, count) in enumerate(spans):
                rows[n] = (first, count, file[target].ref)
            where[f"{part}/{column}"] = rows
        file["general/intracellular_ephys/simultaneous_recordings/id"] = [7, 8]
        file["general/intracellular_ephys/simultaneous_recordings/recordings"] = [0, 1]
        file["general/intracellular_ephys/simultaneous_recordings/recordings_index"] = [1, 2]

    path = nwb2(tmp_path / "cell.nwb", [Made(0, 80)], names=("long", "long"), change=change)
    with oa.open(path) as cell:
        assert cell.sweep_numbers == [7, 8]
        first, second = cell.sweep(7), cell.sweep(8)
        assert np.allclose(second.response, first.response + 1e-3)
        assert (first.start_s, second.start_s) == (0.0, COUNT / RATE_HZ)
        assert float(second.response["time"][0]) == 0.0
        with pytest.raises(NotFoundError, match="no stimulus"):
            _ = second.stimulus


def test_two_electrodes_at_once(tmp_path):
    other = Made(6, -30)

    def change(file):
        # Channels cross over: only the electrode tells which stimulus goes with which response.
        nwb2_sweep(file, other, ("data_{n:05}_AD1", "data_{n:05}_DA7"), True, "electrode_1")

    path = nwb2(tmp_path / "cell.nwb", electrodes=("electrode_0", "electrode_1"), change=change)
    with oa.open(path) as cell:
        assert cell.sweeps.index.tolist() == [4, 5, 6, 6, 10]
        with pytest.raises(UsageError, match="electrode_0, electrode_1"):
            cell.sweep(6)
        with pytest.raises(UsageError, match="no electrode 'e'"):
            cell.sweep(6, electrode="e")
        assert float(cell.sweep(6, electrode="electrode_1").stimulus.min()) == pytest.approx(-3e-11)
        assert float(cell.sweep(6, electrode="electrode_0").stimulus.max()) == pytest.approx(1e-10)


def test_stimuli_of_one_name_whatever_channel_and_set(tmp_path):
    sweeps = [Made(0, 10, name="X4PS_DA_0"), Made(1, 20, name="X4PS_DA_0[1]"), Made(2, name=None)]
    with oa.open(nwb2(tmp_path / "cell.nwb", sweeps)) as cell:
        assert list(cell.sweeps["stimulus_name"]) == ["X4PS", "X4PS", None]


def test_times_in_place_of_a_rate(tmp_path):
    def change(file):
        for place in ("acquisition/data_00005_AD0", "stimulus/presentation/data_00005_DA0"):
            del file[f"{place}/starting_time"]
            file[f"{place}/timestamps"] = 15.0 + np.arange(COUNT) / RATE_HZ

    with oa.open(nwb2(tmp_path / "cell.nwb", change=change)) as cell:
        sweep = cell.sweep(5)
        assert sweep.rate_hz == pytest.approx(RATE_HZ)
        assert np.allclose(sweep.response["time"], np.arange(COUNT) / RATE_HZ)
        assert sweep.stimulus_span_s() == pytest.approx((0.4, 0.9))


# --- stimuli --------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    pulse=st.tuples(st.integers(1, 200), st.floats(1, 100)),
    rest=st.integers(251, 2_000),
    steps=st.lists(st.tuples(st.integers(300, 900), st.floats(101, 500)), min_size=1, max_size=4),
    holding=st.floats(-100, 100),
)
def test_a_test_pulse_is_told_from_what_follows(pulse, rest, steps, holding):
    parts = [np.zeros(50), np.full(pulse[0], pulse[1]), np.zeros(rest)]
    for length, height in steps:
        parts += [np.full(length, height), np.zeros(40)]
    values = np.concatenate(parts) + holding
    assert after_test_pulse(values, 5_000.0) == 50 + pulse[0]
    assert stimulus_bounds(values) == (50, len(values) - 40)
    found = longest_step(values)
    assert found is not None
    assert found.last - found.first == max(length for length, _ in steps)


def test_the_first_pulse_of_a_train_is_no_test_pulse():
    values = np.zeros(5_000)
    for at in (1_000, 1_600, 2_200):
        values[at : at + 15] = 100.0
    assert after_test_pulse(values, 5_000.0) == 0
    assert stimulus_bounds(values) == (1_000, 2_215)
    assert stimulus_bounds(np.ones(10)) is None
    assert stimulus_bounds(np.empty(0)) is None
    assert longest_step(np.array([math.nan] * 4)) is None


# --- eFEL -----------------------------------------------------------------------------------------


@BOTH
def test_a_sweep_for_efel_is_in_ms_and_mv_without_the_test_pulse(tmp_path, write):
    with oa.open(write(tmp_path / "cell.nwb")) as cell:
        trace = cell.to_efel(6)
        assert set(trace) == {"T", "V", "stim_start", "stim_end"}
        assert (trace["stim_start"], trace["stim_end"]) == ([400.0], [900.0])
        assert trace["T"][0] > 29
        assert trace["V"].max() == pytest.approx(35)
        assert trace["V"].min() == pytest.approx(-78)
        assert cell.sweep(6).experiment.to_efel()["stim_start"] == [400.0]
        assert cell.to_efel(6, (0.1, 0.2))["stim_end"] == [200.0]
        with pytest.raises(UsageError, match="two numbers"):
            cell.to_efel(6, (0.3, 0.2))


@BOTH
def test_efel_finds_the_spikes_that_were_made(tmp_path, write):
    efel = pytest.importorskip("efel", reason="eFEL is not installed")
    with oa.open(write(tmp_path / "cell.nwb")) as cell:
        traces = [cell.to_efel(n) for n in (5, 6, 10)]
    names = ["spike_count_stimint", "peak_time", "voltage_base", "steady_state_voltage_stimend"]
    found = efel.get_feature_values(traces, names, raise_warnings=False)
    assert [int(one["spike_count_stimint"][0]) for one in found] == [0, 5, 9]
    expected = SWEEPS[2].spike_samples / RATE_HZ * 1000
    assert np.allclose(found[1]["peak_time"], expected, atol=0.11)
    assert found[0]["voltage_base"][0] == pytest.approx(-70, abs=0.05)
    assert found[0]["steady_state_voltage_stimend"][0] == pytest.approx(-75, abs=0.01)


def test_efel_of_a_sweep_where_nothing_was_applied_needs_a_stretch(tmp_path):
    with oa.open(cell_types(tmp_path / "cell.nwb", [Made(0, 0), Made(1, 0, skip=("stimulus",)),
                                                    Made(2, 0, epoch=None)])) as cell:  # fmt: skip
        with pytest.raises(NotFoundError, match=r"nothing was applied.*\n.*stimulus_s"):
            cell.to_efel(0)
        assert cell.to_efel(0, (0.4, 0.9))["stim_end"] == [900.0]
        with pytest.raises(NotFoundError, match="no stimulus"):
            cell.to_efel(1)
        assert len(cell.to_efel(1, (0.4, 0.9))["T"]) == EPOCH[1]
        assert cell.to_efel(2)["stim_start"] == [20.0]  # only the test pulse is there


# --- what it looks like ---------------------------------------------------------------------------


def test_cards_pictures_and_views(tmp_path):
    with oa.open(cell_types(tmp_path / "cell.nwb")) as cell:
        text = repr(cell)
        for word in ("PatchClampSession", "4: 4 to 6, 10", "Long Square (3)", "42"):
            assert word in text
        assert "data:image/png" in cell._repr_html_()
        assert "PatchClampSession" in cell._repr_html_()
        figure = cell.plot()
        titles = [axis.get_title() for axis in figure.axes]
        assert "Long Square (3 sweeps)" in titles
        assert "firing rate over current" in titles
        assert len(cell.plot(["Test"]).axes) == 3
        with pytest.raises(NotFoundError, match="Long Square"):
            cell.plot(["Ramp"])
        assert "sweep 6" in repr(cell.sweep(6))
        views = cell._visuals()
        assert [v.name for v in views] == ["sweeps-test", "sweeps-long-square", "fi", "steps"]
        times, values = views[1].tracks[1].read()
        assert (times[-1], values.max()) == (pytest.approx(1.1998), pytest.approx(35))
        assert views[1].tracks[0].title == "sweep 5, -50 pA"
        currents, rates = views[2].tracks[0].read()
        assert (currents.tolist(), rates.tolist()) == ([-50, 100, 150], [0, 10, 18])
        assert set(cell.list_data_attributes_and_methods()) >= {"sweeps", "sweep", "get_sweep"}


def test_the_middle_of_the_step_is_where_it_was_made():
    assert STEP == (0.4 * RATE_HZ, 0.9 * RATE_HZ)


def test_sweeps_in_zarr(tmp_path):
    from nwbfiles import Store

    store = Store(tmp_path / "cell.nwb.zarr")
    store.group("general/intracellular_ephys/e0", neurodata_type="IntracellularElectrode")
    values = np.r_[np.zeros(100), np.ones(500), np.zeros(100)]
    for place, kind, unit, scale in (
        ("acquisition/response", "CurrentClampSeries", "volts", 1e-3),
        ("stimulus/presentation/current", "CurrentClampStimulusSeries", "amperes", 1e-12),
    ):
        store.group(place, neurodata_type=kind, sweep_number=3, stimulus_description="step")
        store.array(f"{place}/data", values, unit=unit, conversion=scale)
        store.array(f"{place}/starting_time", 1.5, rate=1000.0)
    with oa.open(tmp_path / "cell.nwb.zarr") as cell:
        assert type(cell) is PatchClampSession
        sweep = cell.sweep(3)
        assert (sweep.start_s, sweep.clamp_mode) == (1.5, "current_clamp")
        assert float(sweep.stimulus.max()) == pytest.approx(1e-12)
        assert cell.fi_curve.loc[3, "duration_s"] == pytest.approx(0.5)


def test_a_unit_that_is_a_list_of_one_counts(tmp_path):
    def change(file):
        for group in ("stimulus/presentation", "acquisition/timeseries"):
            for series in file[group].values():
                told = series["data"].attrs
                told["unit"] = np.array([told["unit"]])

    with oa.open(cell_types(tmp_path / "cell.nwb", change=change)) as cell:
        assert set(cell.sweeps["clamp_mode"]) == {"current_clamp"}
        assert cell.sweep(6).response.attrs["units"] == "V"
        assert len(cell.fi_curve) == 3


def test_old_files_are_in_volts_whatever_prefix_their_unit_has(tmp_path):
    def change(file):
        for series in file["acquisition/timeseries"].values():
            series["data"].attrs["unit"] = np.bytes_(b"mV")

    with oa.open(cell_types(tmp_path / "cell.nwb", version="1.0.3", change=change)) as cell:
        sweep = cell.sweep(6)
        assert np.allclose(sweep.response, Made(6, 100, 5).response * 1e-3, rtol=1e-6)
        assert sweep.response.attrs["units"] == "V"
