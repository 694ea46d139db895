"""Sweeps that are damaged, cut, or not all there."""

from __future__ import annotations

import math

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patchclamp import COUNT, RATE_HZ, Made, cell_types, nwb2

import openallen as oa
from openallen.errors import (
    CorruptError,
    IntegrityError,
    NotFoundError,
    OpenAllenError,
    UsageError,
)
from openallen.sessions import NwbTables, PatchClampSession
from openallen.sessions.patch_clamp.table import resistance

A = "acquisition/timeseries/Sweep_5"
P = "stimulus/presentation/Sweep_5"
E = "epochs/Experiment_5/stimulus"


def replaced(path: str, value: object, **attrs: object):
    """Return a change: an array is another, or gone where None."""

    def change(file: h5py.File) -> None:
        if path in file:
            old = dict(file[path].attrs)
            del file[path]
        else:
            old = {}
        if value is not None:
            file[path] = value
            file[path].attrs.update(old | attrs)

    return change


def opened(tmp_path, change) -> PatchClampSession:
    cell = oa.open(cell_types(tmp_path / "cell.nwb", change=change))
    assert type(cell) is PatchClampSession
    return cell


@pytest.mark.parametrize("gone", ["response", "stimulus"])
def test_a_sweep_with_half_of_it_has_the_other_half(tmp_path, gone):
    sweeps = [Made(5, 50, skip=(gone,)), Made(6, 50)]
    for write in (cell_types, nwb2):
        with oa.open(write(tmp_path / "cell.nwb", sweeps)) as cell:
            assert cell.sweep_numbers == [5, 6]
            sweep = cell.sweep(5)
            there = "stimulus" if gone == "response" else "response"
            assert getattr(sweep, there).sizes["time"] == COUNT
            with pytest.raises(NotFoundError, match=f"sweep 5: this sweep has no {gone}"):
                getattr(sweep, gone)
            with pytest.raises(NotFoundError, match=f"no {gone}"):
                cell.get_sweep(5)
            row = cell.sweeps.loc[5]
            assert row["rate_hz"] == RATE_HZ
            assert row["clamp_mode"] == "current_clamp"
            assert f"{gone} trace" in repr(sweep)
            cell.plot()
            cell._repr_html_()
            for view in cell._visuals():
                assert view.name


def test_a_sweep_of_which_only_epochs_are_there(tmp_path):
    def change(file):
        del file[A], file[P]

    cell = opened(tmp_path, change)
    assert 5 in cell.get_sweep_numbers()
    with pytest.raises(NotFoundError):
        cell.sweep(5)
    assert math.isnan(cell.sweeps.loc[5, "rate_hz"])
    assert cell.sweep(6).response.sizes["time"] == COUNT


@pytest.mark.parametrize(
    "value", [h5py.Empty("f8"), math.nan, b"null", np.empty(0), np.arange(3), None]
)
def test_an_amplitude_that_is_none_is_nan(tmp_path, value):
    with opened(tmp_path, replaced(f"{P}/aibs_stimulus_amplitude_pa", value)) as cell:
        assert math.isnan(cell.sweeps.loc[5, "amplitude_pa"])
        assert cell.sweep(5).stimulus_name == "Long Square"
        cell.get_sweep_metadata(5)
        assert cell.fi_curve.loc[5, "current_pa"] == pytest.approx(-50)  # from the stimulus


@pytest.mark.parametrize(
    "change",
    [
        replaced(f"{E}/idx_start", -1),
        replaced(f"{E}/idx_start", COUNT),
        replaced(f"{E}/idx_start", math.nan),
        replaced(f"{E}/idx_start", np.arange(3)),
        replaced(f"{E}/idx_start", b"many"),
        replaced(f"{E}/idx_start", 2**62),
        replaced(f"{E}/idx_start", math.inf),
        replaced(f"{E}/count", 0),
        replaced(f"{E}/count", COUNT),
        replaced(f"{E}/count", -5),
        replaced(f"{E}/count", None),
        replaced(f"{E}/count", math.nan),
    ],
)
def test_an_epoch_that_does_not_lie_in_its_sweep_is_said_where_it_matters(tmp_path, change):
    with opened(tmp_path, change) as cell:
        sweep = cell.sweep(5)
        assert sweep.response.sizes["time"] == COUNT
        with pytest.raises(CorruptError, match=r"Experiment_5/stimulus|not a number"):
            _ = sweep.experiment
        with pytest.raises(CorruptError):
            cell.get_sweep(5)
        with pytest.raises(CorruptError):
            cell.to_efel(5)
        assert cell.get_sweep(6)["index_range"] == (1_000, 5_799)
        assert len(cell.sweeps) == 4


def test_a_sweep_without_an_experiment(tmp_path):
    with opened(tmp_path, replaced("epochs/Experiment_5", None)) as cell:
        assert cell.get_sweep(5)["index_range"] == (0, COUNT - 1)
        with pytest.raises(NotFoundError, match="epochs/Experiment_5 is not in the file"):
            _ = cell.sweep(5).experiment
        assert cell.to_efel(5)["stim_start"] == [400.0]  # its test pulse is told by the stimulus
        assert cell.get_experiment_sweep_numbers() == [10, 6]
    with opened(tmp_path, replaced("epochs", None)) as cell:
        assert cell.get_sweep_numbers() == cell.sweep_numbers == [4, 5, 6, 10]
        assert cell.get_experiment_sweep_numbers() == []
        assert cell.get_sweep(5)["index_range"] == (0, COUNT - 1)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf, "fast", np.arange(2.0), None])
def test_a_rate_that_is_none(tmp_path, rate):
    def change(file):
        for place in (A, P):
            del file[f"{place}/starting_time"].attrs["rate"]
            if rate is not None:
                file[f"{place}/starting_time"].attrs["rate"] = rate

    with opened(tmp_path, change) as cell:
        row = cell.sweeps.loc[5]
        assert math.isnan(row["rate_hz"])
        assert math.isnan(row["duration_s"])
        with pytest.raises(CorruptError, match="a sweep without a rate"):
            cell.sweep(5)
        assert [v.name for v in cell._visuals()]
        cell.plot()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros((4, 4)), "4 x 4"),
        (np.float64(3), "one value"),
        (np.array([b"a", b"b"]), "not numbers"),
    ],
)
def test_samples_that_are_no_row_of_numbers(tmp_path, data, words):
    with opened(tmp_path, replaced(f"{A}/data", data)) as cell:
        sweep = cell.sweep(5)
        with pytest.raises(CorruptError, match=words):
            _ = sweep.response
        assert sweep.stimulus.sizes["time"] == COUNT
        assert cell._visuals()
        cell.plot()


def test_a_sweep_without_samples(tmp_path):
    def change(file):
        replaced(f"{A}/data", np.empty(0))(file)
        replaced(f"{P}/data", np.empty(0))(file)

    with opened(tmp_path, change) as cell:
        assert cell.sweeps.loc[5, "duration_s"] == 0
        assert cell.sweep(5).response.sizes["time"] == 0
        assert "no samples" in repr(cell.sweep(5))
        with pytest.raises(OpenAllenError):
            cell.to_efel(5)
        cell.plot()


@pytest.mark.parametrize("conversion", ["x", np.arange(2.0)])
def test_a_conversion_that_is_no_number(tmp_path, conversion):
    def change(file):
        file[f"{A}/data"].attrs["conversion"] = conversion

    with opened(tmp_path, change) as cell, pytest.raises(CorruptError, match="conversion"):
        _ = cell.sweep(5).response


@pytest.mark.parametrize(
    "words",
    [
        np.array([b"version"]),
        np.array([b"version", b"new"]),
        np.array([[b"pipeline", b"x"], [b"version", b"1.0"]]),
        np.float64(1.0),
        np.empty(0),
    ],
)
def test_a_version_that_cannot_be_read_is_an_old_one(tmp_path, words):
    with opened(tmp_path, replaced("general/generated_by", words)) as cell:
        assert cell.get_pipeline_version() in {(0, 0), (1, 0)}
        assert np.array_equal(cell.sweep(5).response, cell.h5()[f"{A}/data"][()])


@pytest.mark.parametrize("name", ["Sweep_", "Sweep_x", "Sweep_-3", "Sweep_٣", "Sweep_1e3",
                                  "Sweep_" + "9" * 40, "Sweep_5.0", "Notes"])  # fmt: skip
def test_names_that_are_no_numbers_are_no_sweeps(tmp_path, name):
    def change(file):
        for folder in ("acquisition/timeseries", "stimulus/presentation", "epochs",
                       "analysis/spike_times"):  # fmt: skip
            file.create_group(f"{folder}/{name}")

    with opened(tmp_path, change) as cell:
        assert cell.sweep_numbers == [4, 5, 6, 10]
        assert len(cell.sweeps) == 4
        assert len(cell.spike_times(6)) == 5


def test_a_number_that_is_written_in_two_ways(tmp_path):
    def change(file):
        file.copy(A, "acquisition/timeseries/Sweep_005")
        file.copy(A.replace("5", "6"), "acquisition/timeseries/Sweep_0007")

    with opened(tmp_path, change) as cell:
        assert cell.sweep_numbers == [4, 5, 6, 7, 10]
        assert cell.sweep(7).response.sizes["time"] == COUNT


@pytest.mark.parametrize("number", ["5", 5.0, None, True, [5], math.nan])
def test_a_sweep_is_named_by_a_whole_number(tmp_path, number):
    with opened(tmp_path, None) as cell:
        for call in (cell.sweep, cell.get_sweep, cell.spike_times, cell.get_spike_times,
                     cell.get_sweep_metadata):  # fmt: skip
            with pytest.raises(UsageError, match="named by its number"):
                call(number)
        assert cell.sweep(np.int64(5)).number == 5


@pytest.mark.parametrize("raw", [math.nan, -1, "7", 2**63, np.arange(2), 1.5])
def test_numbers_in_attributes_that_are_none(tmp_path, raw):
    def change(file):
        for name in ("acquisition/data_00005_AD0", "stimulus/presentation/data_00005_DA0"):
            file[name].attrs["sweep_number"] = raw

    with oa.open(nwb2(tmp_path / "cell.nwb", change=change)) as cell:
        assert cell.sweeps.index.tolist() == [4, 5, 6, 10]
        assert cell.sweep(5).response.sizes["time"] == COUNT


def test_links_that_lead_nowhere(tmp_path):
    def change(file):
        del file[f"{A}/data"], file["stimulus/presentation/Sweep_6"]
        file[f"{A}/data"] = h5py.SoftLink("/nowhere")
        file["stimulus/presentation/Sweep_6"] = h5py.ExternalLink("gone.nwb", "/x")

    with opened(tmp_path, change) as cell:
        with pytest.raises(NotFoundError):
            _ = cell.sweep(5).response
        with pytest.raises(OpenAllenError):
            _ = cell.sweep(6).stimulus
        assert cell.sweep(10).response.sizes["time"] == COUNT
        assert len(cell.sweeps) == 4
        assert cell._visuals()
        cell.plot()


def test_spike_times_that_are_none(tmp_path):
    def change(file):
        for number, value in ((5, np.zeros((2, 2))), (6, b"many"), (10, h5py.Empty("f8"))):
            replaced(f"analysis/spike_times/Sweep_{number}", value)(file)

    with opened(tmp_path, change) as cell:
        for number in (5, 6):
            with pytest.raises(CorruptError, match="no row of numbers"):
                cell.spike_times(number)
        assert len(cell.spike_times(10)) == 0
        assert cell.fi_curve.index.tolist() == [10]


def test_a_damaged_chunk_costs_its_trace_only(tmp_path):
    path = cell_types(tmp_path / "cell.nwb", chunks=(COUNT,), compression="gzip", fletcher32=True)
    with h5py.File(path) as file:
        at = file[f"{A}/data"].id.get_chunk_info(0)
    with path.open("r+b") as raw:
        raw.seek(at.byte_offset + at.size // 2)
        raw.write(b"\0rotten\0")
    with oa.open(path) as cell:
        with pytest.raises(IntegrityError):
            _ = cell.sweep(5).response
        assert cell.sweep(5).stimulus.sizes["time"] == COUNT
        with pytest.raises(IntegrityError):
            cell.get_sweep(5)
        assert len(cell.sweeps) == 4
        assert len(cell.fi_curve) == 3
        cell.plot()
        cell._repr_html_()


@settings(max_examples=25, deadline=None)
@given(kept=st.floats(0.05, 0.999))
def test_a_truncated_file_is_an_error_of_ours(tmp_path_factory, kept):
    folder = tmp_path_factory.mktemp("cut")
    whole = cell_types(folder / "cell.nwb").read_bytes()
    (folder / "cut.nwb").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(IntegrityError):
        oa.open(folder / "cut.nwb")


def test_nwb_1_without_sweeps_is_no_patch_clamp_file(tmp_path):
    def change(file):
        for folder in ("acquisition/timeseries", "stimulus/presentation", "epochs"):
            del file[folder]
        for name in ("2p_image_series", "Sweep", "Sweep_old"):
            group = file.create_group(f"acquisition/timeseries/{name}")
            group.attrs["ancestry"] = ["TimeSeries"]
            group["data"] = np.arange(4.0)
            group["starting_time"] = 0.0
            group["starting_time"].attrs["rate"] = 1.0

    opened_as = oa.open(cell_types(tmp_path / "other.nwb", change=change))
    assert type(opened_as) is NwbTables
    assert opened_as.series("Sweep").sizes == {"time": 4}


def test_closed_files_keep_the_sweeps_that_were_read(tmp_path):
    with opened(tmp_path, None) as cell:
        sweep = cell.sweep(6)
    assert sweep.experiment.response.sizes["time"] == 4_800
    assert sweep.to_efel()["stim_end"] == [900.0]
    with pytest.raises(UsageError, match="closed"):
        cell.sweep(5)


@pytest.mark.parametrize(
    ("told", "gohm"),
    [
        ("2.5 GOhm", 2.5),
        ("2500 MOhm", 2.5),
        ("2500000 kΩ", 2.5),
        ("2.5e9 Ohm", 2.5),
        ("2.5", 2.5),
        ("2500000000", 2.5),
        (2.5e9, 2.5),
        (2.5, 2.5),
        ("no data", math.nan),
        ("", math.nan),
        ("nan", math.nan),
        (math.nan, math.nan),
    ],
)
def test_resistances_of_electrodes(told, gohm):
    assert resistance(told, 1e9) == pytest.approx(gohm, nan_ok=True)
