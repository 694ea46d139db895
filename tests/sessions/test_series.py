"""Series over time whose times are odd: right values, or an error that says what is wrong."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nwbfiles import Store, h5, put_series

import openallen as oa
from openallen.errors import CorruptError, NotFoundError, UsageError
from openallen.sessions.ophys import BehaviorOphysExperiment


def opened(tmp_path: Path, data, times=None, **attrs):
    return oa.open(
        h5(tmp_path / "x.nwb", lambda f: put_series(f, "acquisition/s", data, times, **attrs))
    )


SAMPLES = np.arange(40.0).reshape(4, 10)


@pytest.mark.parametrize("container", ["HDF5", "Zarr"])
def test_time_on_another_axis_is_found_by_its_length_and_told(tmp_path, container, caplog):
    times = np.arange(10) / 2
    if container == "HDF5":
        session = opened(tmp_path, SAMPLES, times)
    else:
        store = Store(tmp_path / "x.nwb.zarr")
        store.series("acquisition/s", SAMPLES, times)
        session = oa.open(store.folder)
    with caplog.at_level(logging.WARNING, "openallen"):
        found = session.series("s", 1.0, 2.5)
    assert found.dims == ("time", "channel")
    assert found["time"].to_numpy().tolist() == [1.0, 1.5, 2.0]
    assert np.array_equal(found.to_numpy(), SAMPLES[:, 2:5].T)
    assert "time is axis 1" in found.attrs["notes"]
    assert "time is axis 1" in caplog.text
    assert session.series("s", channels=[3, 0]).to_numpy().tolist() == SAMPLES[[3, 0]].T.tolist()


def test_the_first_axis_is_time_where_it_fits(tmp_path):
    found = opened(tmp_path, np.eye(5, 4), np.arange(5.0)).series("s")
    assert np.array_equal(found.to_numpy(), np.eye(5, 4))
    assert "notes" not in found.attrs


@pytest.mark.parametrize(
    ("data", "times"),
    [
        (np.zeros(10), np.arange(9.0)),
        (np.zeros(10), np.arange(11.0)),
        (np.zeros((10, 3)), np.arange(4.0)),
        (np.zeros((3, 7, 7)), np.arange(7.0)),
        (np.zeros(10), np.zeros((2, 10))),
        (np.zeros(10), np.zeros(0)),
        (np.zeros(0), np.arange(3.0)),
        (np.float64(3), np.arange(1.0)),
    ],
)
@pytest.mark.parametrize("window", [(), (0.0, 2.0)])
def test_times_that_do_not_go_with_samples_are_an_error(tmp_path, data, times, window):
    with (
        opened(tmp_path, data, times) as session,
        pytest.raises(CorruptError, match="acquisition/s"),
    ):
        session.series("s", *window)


def test_times_that_are_text_are_an_error(tmp_path):
    with opened(tmp_path, np.zeros(2), ["a", "b"]) as session, pytest.raises(CorruptError):
        session.series("s")


@pytest.mark.parametrize("shape", [(1, 10), (10, 1)])
def test_times_stored_as_a_row_or_a_column_are_times(tmp_path, shape):
    times = np.arange(10.0).reshape(shape)
    found = opened(tmp_path, np.arange(10), times).series("s", 3, 5)
    assert found["time"].to_numpy().tolist() == [3, 4]
    assert found.to_numpy().tolist() == [3, 4]
    assert " x " in found.attrs["notes"]


@settings(max_examples=150)
@given(
    times=st.lists(
        st.floats(-5, 5, width=16) | st.just(float("nan")), min_size=1, max_size=12
    ),
    start=st.none() | st.floats(-6, 6, width=16),
    end=st.none() | st.floats(-6, 6, width=16),
)  # fmt: skip
def test_a_window_holds_the_samples_whose_times_lie_in_it(tmp_path_factory, times, start, end):
    at = np.array(times)
    folder = tmp_path_factory.mktemp("w")
    with opened(folder, np.arange(len(at)), at) as session:
        low, high = -np.inf if start is None else start, np.inf if end is None else end
        whole = start is None and end is None
        kept = np.ones(len(at), bool) if whole else (at >= low) & (at < high)
        if not kept.any():
            with pytest.raises(UsageError, match="no samples in this window"):
                session.series("s", start, end)
            return
        found = session.series("s", start, end)
        assert found.to_numpy().tolist() == np.flatnonzero(kept).tolist()
        assert np.array_equal(found["time"].to_numpy(), at[kept], equal_nan=True)
        odd = np.isnan(at).any() or (np.diff(at) < 0).any()
        assert ("notes" in found.attrs) == odd
    shutil.rmtree(folder)


@pytest.mark.parametrize("window", [(), (0.0, 2.0), (None, 2.0)])
@pytest.mark.parametrize("shape", [(0,), (0, 4)])
def test_an_unused_channel_is_empty(tmp_path, shape, window):
    found = opened(tmp_path, np.zeros(shape), np.zeros(0)).series("s", *window)
    assert found.shape == shape
    assert found.sizes["time"] == 0
    assert found.attrs["units"] == "V"


def test_a_film_kept_in_files_of_its_own_is_empty_and_told(tmp_path):
    def fill(file):
        put_series(file, "acquisition/s", np.zeros((0, 0, 0)), np.arange(5.0))
        file["acquisition/s/external_file"] = ["film.mp4"]

    found = oa.open(h5(tmp_path / "x.nwb", fill)).series("s")
    assert found.shape == (0, 0, 0)
    assert "external_file" in found.attrs["notes"]


@pytest.mark.shared
def test_the_unused_channels_of_a_real_session(shared):
    session = oa.open(shared / "public" / "aind" / "717121_2024-06-15_10-58-01.nwb")
    for name in session.series_names:
        found = session.series(name)
        assert found.sizes["time"] == session.tree.shape(f"acquisition/{name}/data")[0]
    assert session.series("FIP_falling_time").shape == (0,)


def test_numbers_written_as_arrays_of_one_are_numbers(tmp_path):
    def fill(file):
        put_series(file, "acquisition/s", np.arange(4), conversion=np.array([2.0]), offset=[1.0])
        file["acquisition/s/starting_time"] = np.array([10.0])
        file["acquisition/s/starting_time"].attrs["rate"] = np.array([[2.0]])

    found = oa.open(h5(tmp_path / "x.nwb", fill)).series("s")
    assert found.to_numpy().tolist() == [1, 3, 5, 7]
    assert found["time"].to_numpy().tolist() == [10, 10.5, 11, 11.5]


@pytest.mark.parametrize("rate", [0.0, -1.0, np.nan, np.inf, "fast"])
def test_a_rate_that_is_none_is_an_error(tmp_path, rate):
    def fill(file):
        put_series(file, "acquisition/s", np.arange(4))
        file["acquisition/s/starting_time"] = 0.0
        file["acquisition/s/starting_time"].attrs["rate"] = rate

    with pytest.raises(CorruptError):
        oa.open(h5(tmp_path / "x.nwb", fill)).series("s", 0.0, np.inf)


def test_conversions_of_other_channels_are_an_error(tmp_path):
    def fill(file):
        put_series(file, "acquisition/s", np.ones((5, 3)), np.arange(5.0))
        file["acquisition/s/channel_conversion"] = np.ones(2)

    with pytest.raises(CorruptError, match="conversions"):
        oa.open(h5(tmp_path / "x.nwb", fill)).series("s")


@pytest.mark.parametrize("container", ["HDF5", "Zarr"])
def test_annotations_are_text(tmp_path, container):
    words = ["bé", "go", ""]
    if container == "HDF5":
        text = np.array(words, dtype=h5py.string_dtype())
        session = opened(tmp_path, text, np.arange(3.0), conversion=2.0)
    else:
        store = Store(tmp_path / "x.nwb.zarr")
        store.series("acquisition/s", np.array(words), np.arange(3.0))
        session = oa.open(store.folder)
    assert session.series("s").to_numpy().tolist() == words
    assert session.series("s", 0.5, 1.5).to_numpy().tolist() == ["go"]


# --- Visual Behavior ------------------------------------------------------------------------------


@pytest.fixture
def changed(tmp_path, files):
    """Return an experiment one of whose arrays was replaced."""

    def go(path: str, change) -> BehaviorOphysExperiment:
        place = tmp_path / "changed.nwb"
        shutil.copy(files["ophys"], place)
        place.chmod(0o644)
        with h5py.File(place, "r+") as file:
            values, attrs = file[path][()], dict(file[path].attrs)
            del file[path]
            file[path] = change(values)
            file[path].attrs.update(attrs)
        return oa.open(place)

    return go


@pytest.mark.parametrize("more", [-1, 1])
def test_traces_and_times_that_differ_are_an_error(changed, more):
    def change(values):
        return values[:more] if more < 0 else np.append(values, values[-1] + 1)

    session = changed("processing/ophys/dff/traces/timestamps", change)
    for call in (session.trace_array, session.get_dff_traces, lambda: session.align([10.0])):
        with pytest.raises(CorruptError, match="differ in number"):
            call()
    assert len(session.dff_traces) > 0


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("processing/running/speed/timestamps", "running_speed"),
        ("processing/licking/licks/timestamps", "licks"),
        ("processing/rewards/volume/data", "rewards"),
        ("acquisition/EyeTracking/eye_tracking/timestamps", "eye_tracking"),
        ("acquisition/EyeTracking/pupil_tracking/area_raw", "eye_tracking"),
        ("processing/ophys/ophys_motion_correction_x/data", "motion_correction"),
        ("processing/ophys/event_detection/lambdas", "events"),
        ("processing/ophys/corrected_fluorescence/r/data", "corrected_fluorescence_traces"),
    ],
)
def test_parts_that_differ_in_length_are_an_error(changed, path, name):
    with pytest.raises(CorruptError, match="differ in number"):
        getattr(changed(path, lambda values: values[:-1]), name)


def test_traces_stored_cells_first_are_those_of_the_cells(changed, files):
    with oa.open(files["ophys"]) as plain:
        right = np.vstack(list(plain.dff_traces["dff"]))
    session = changed("processing/ophys/dff/traces/data", lambda values: values.T)
    assert np.array_equal(np.vstack(list(session.dff_traces["dff"])), right)


def test_running_times_out_of_order_align_as_in_order(changed, files):
    order = np.random.default_rng(0).permutation
    with oa.open(files["ophys"]) as plain:
        at = plain.running_speed["timestamps"].to_numpy()[[100, 200]]
        right = plain.align(at, (-0.1, 0.1), of="running_speed").to_numpy()
    seen = []

    def change(values):
        seen.append(order(len(values)))
        return values[seen[0]]

    session = changed("processing/running/speed/timestamps", change)
    table = session.running_speed.copy()
    table["speed"] = table["speed"].to_numpy()[seen[0]]
    session.__dict__["running_speed"] = table
    assert np.allclose(session.align(at, (-0.1, 0.1), of="running_speed").to_numpy(), right)


@pytest.mark.parametrize("conversion", [1e-6, 1.95e-7, 3e-9, 1e6])
def test_samples_of_half_precision_keep_their_values_in_the_unit(tmp_path, conversion):
    data = np.arange(30.0).reshape(10, 3).astype("float16")
    found = opened(tmp_path, data, np.arange(10.0), conversion=conversion).series("s")
    assert np.allclose(found.to_numpy(), np.arange(30.0).reshape(10, 3) * conversion, rtol=1e-6)


def test_times_in_another_unit_than_the_second_are_told(tmp_path):
    def fill(file, unit):
        put_series(file, "acquisition/s", np.arange(3), np.arange(3.0))
        file["acquisition/s/timestamps"].attrs["unit"] = unit
        put_series(file, "acquisition/r", np.arange(3))
        file["acquisition/r"].create_dataset("starting_time", data=0.0).attrs["rate"] = 30.0
        file["acquisition/r/starting_time"].attrs["unit"] = unit

    for unit, told in (("milliseconds", True), ("seconds", False), ("Seconds", False)):
        session = oa.open(h5(tmp_path / f"{unit}.nwb", lambda f, unit=unit: fill(f, unit)))
        for name in "sr":
            assert ("unit 'milliseconds'" in session.series(name).attrs.get("notes", "")) == told


@pytest.mark.parametrize("times", [np.arange(4.0), None])
@pytest.mark.parametrize(
    "wrong",
    [{"start_s": float("nan")}, {"end_s": "2"}, {"channels": [0.5]}, {"channels": ["a"]}, {"channels": [True]}],
)  # fmt: skip
def test_windows_and_channels_that_are_no_numbers_are_refused(tmp_path, times, wrong):
    def fill(file):
        put_series(file, "acquisition/s", SAMPLES, times)
        if times is None:
            file["acquisition/s"].create_dataset("starting_time", data=0.0).attrs["rate"] = 30.0

    with pytest.raises(UsageError):
        oa.open(h5(tmp_path / "x.nwb", fill)).series("s", **wrong)


def test_cells_without_ids_do_not_hide_the_others(changed):
    place = "processing/ophys/image_segmentation/cell_specimen_table/cell_specimen_id"
    lost = [0, 3]

    def change(values):
        values[lost] = -1
        return values

    session = changed(place, change)
    with session:
        table = session.cell_specimen_table
        ids = [int(one) for one in table.index if not np.isnan(one)]
        assert len(ids) < len(table)
        rows = session.get_cell_specimen_indices(ids)
        assert [int(table.index[row]) for row in rows] == ids
        times, traces = session.get_dff_traces(ids[::-1])
        assert traces.shape == (len(ids), len(times))
        assert np.array_equal(traces[0], session.dff_traces["dff"].iloc[rows[-1]])
        for wrong in (1, -1, float("nan"), None):
            with pytest.raises(NotFoundError, match="no cell"):
                session.get_cell_specimen_indices([wrong])


def test_of_square_samples_the_first_axis_is_time_and_that_is_said(tmp_path):
    values = np.arange(16.0).reshape(4, 4)
    with h5py.File(tmp_path / "x.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        for place in ("acquisition/square", "processing/brain_observatory_pipeline/DfOverF/plane"):
            group = file.create_group(place)
            group["data"], group["timestamps"] = values, np.arange(4.0)
    session = oa.open(tmp_path / "x.nwb")
    square = session.series("square")
    assert square.sel(time=1.0).to_numpy().tolist() == [4.0, 5.0, 6.0, 7.0]
    assert "several axes" in square.attrs["notes"]
    # Visual Coding has cells first, whatever their number.
    assert session.series("plane").sel(time=1.0).to_numpy().tolist() == [1.0, 5.0, 9.0, 13.0]
