"""Files beside a two-photon session of Visual Coding: events, the analysis, the mapping of cells."""

from __future__ import annotations

import contextlib
import io
import os
import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
from loopback import file_handler
from visualcoding import IDS, write_analysis, write_frame, write_ophys

import openallen as oa
from openallen.errors import (
    CorruptError,
    IntegrityError,
    NotFoundError,
    OpenAllenError,
    RefusedError,
)
from openallen.formats import pickles
from openallen.sessions.visual_coding.ophys_files import AnalysisFile

# --- events ---------------------------------------------------------------------------------------


@pytest.fixture
def events(tmp_path):
    values = np.zeros((3, 900))
    values[1, 7] = 0.5
    np.savez_compressed(tmp_path / "x_events.npz", ev=values)
    return tmp_path / "x_events.npz", values


def test_a_file_of_events_opens_as_one_array(events):
    path, values = events
    found = oa.open(path)
    assert found.dims == ("cell", "sample")
    assert np.array_equal(found, values)


def test_a_session_names_the_cells_and_the_times_of_events(events, tmp_path):
    path, values = events
    with oa.open(write_ophys(tmp_path / "x.nwb")) as session:
        for given in (path, str(path), values, oa.open(path)):
            found = session.events(given)
            assert found.dims == ("cell_specimen_id", "time")
            assert found["cell_specimen_id"].to_numpy().tolist() == list(IDS[:3])
            assert np.array_equal(found["time"], session.ophys_timestamps)
            assert np.array_equal(found, values)


def test_events_have_the_samples_of_dff(tmp_path):
    with oa.open(write_ophys(tmp_path / "x.nwb", dff_more=1)) as session:
        assert session.events(np.zeros((3, 901))).sizes["time"] == 901
        assert session.events(np.zeros((3, 900))).sizes["time"] == 900


@pytest.mark.parametrize("shape", [(2, 900), (3, 899), (900, 3), (3,), ()])
def test_events_of_another_session_are_refused(tmp_path, shape):
    with oa.open(write_ophys(tmp_path / "x.nwb")) as session, pytest.raises(CorruptError):
        session.events(np.zeros(shape))


def test_any_other_archive_of_arrays_is_a_dict(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.arange(3), b=np.eye(2))
    found = oa.open(tmp_path / "x.npz")
    assert sorted(found) == ["a", "b"]
    assert np.array_equal(found["b"], np.eye(2))
    with oa.open(write_ophys(tmp_path / "x.nwb")) as session:
        with pytest.raises(CorruptError, match="no array 'ev'"):
            session.events(tmp_path / "x.npz")
        with pytest.raises(NotFoundError, match="no such file"):
            session.events(tmp_path / "y.npz")


def test_an_archive_that_is_cut_off_or_holds_objects(tmp_path, events):
    path, _ = events
    body = path.read_bytes()
    path.write_bytes(body[: len(body) // 2])
    with pytest.raises(IntegrityError):
        oa.open(path)
    np.savez(path, ev=np.array([[None, {}]], dtype=object))
    with pytest.raises(CorruptError):
        oa.open(path)


# --- the mapping of cells -------------------------------------------------------------------------


def test_the_mapping_of_cells_is_a_table(tmp_path):
    text = "cell_specimen_id_old,cell_specimen_id_new\n517403112,587703112.0\n517415851,\n"
    (tmp_path / "mapping.csv").write_text(text)
    found = oa.open(tmp_path / "mapping.csv")
    assert found["cell_specimen_id_old"].dtype == "int64"
    assert np.isnan(found["cell_specimen_id_new"].iloc[1])


# --- the analysis ---------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_an_analysis_opens_as_a_mapping(tmp_path, protocol):
    with oa.open(write_analysis(tmp_path / "x.h5", protocol=protocol)) as found:
        assert isinstance(found, AnalysisFile)
        assert list(found) == found.keys() == ["binned_dx_sp", "peak", "response_dg",
                                               "stim_table_dg", "sweep_response_dg"]  # fmt: skip
        assert len(found) == 5
        assert "peak" in found
        assert np.array_equal(found["response_dg"], np.arange(24.0).reshape(2, 3, 4))
        table = found["stim_table_dg"]
        assert table.columns.tolist() == ["orientation", "start", "end"]
        assert table["start"].tolist() == [40, 64, 88]
        assert np.isnan(table["orientation"].iloc[2])
        response = found["sweep_response_dg"]
        assert np.array_equal(response["0"].iloc[1], np.arange(4) / 4)
        assert np.array_equal(response["dx"].iloc[2], np.arange(7) / 4)
        peak = found.peak
        assert peak["targeted_structure"].tolist() == ["VISl", "VISl"]
        assert peak["cell_specimen_id"].tolist() == list(IDS[:2])
        assert np.isnan(peak["ptest_dg"].iloc[1])
        assert peak["session_start_time"].iloc[0] == pd.Timestamp("2015-09-02 10:00")
        assert [visual.name for visual in found._visuals()] == ["peak"]
        assert "response_dg" in repr(found)


def test_an_analysis_far_away(tmp_path, monkeypatch, loopback):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    path = write_analysis(tmp_path / "x.h5")
    server = loopback({"/x.h5": file_handler(path.read_bytes())})
    with oa.open(path) as near, oa.open(f"{server.url}/x.h5") as far:
        assert far.keys() == near.keys()
        assert far["stim_table_dg"].equals(near["stim_table_dg"])


def test_what_is_not_in_an_analysis_is_named(tmp_path):
    with oa.open(write_analysis(tmp_path / "x.h5")) as found:
        for key in ("response_sg", "", "peak/axis0", ".."):
            with pytest.raises(NotFoundError, match="there are binned_dx_sp"):
                found[key]


class Command:
    """A pickle of it is a program that makes a folder."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_a_pickle_that_is_a_program_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_analysis(tmp_path / "x.h5")
    cells = np.array([Command(), Command()], dtype=object)
    with h5py.File(path, "r+") as file:
        write_frame(file, "analysis/sweep_response_nm1", {"0": cells})
    with oa.open(path) as found:
        with pytest.raises(RefusedError, match="a pickle that is not run"):
            found["sweep_response_nm1"]
        assert len(found["sweep_response_dg"]) == 3
    assert not (tmp_path / "ran").exists()


def _cut(file):
    place = file["analysis/sweep_response_dg/block0_values"]
    place[0] = place[0][:-9]


def _swap(file):
    place = file["analysis/sweep_response_dg/block0_values"]
    place[0] = np.frombuffer(pickle.dumps([1, 2]), np.uint8)


def _fewer(file):
    del file["analysis/stim_table_dg/axis1"]
    file["analysis/stim_table_dg/axis1"] = np.arange(2)


def _unnamed(file):
    del file["analysis/stim_table_dg/block0_items"]
    file["analysis/stim_table_dg/block0_items"] = np.array([b"x"])


def _endless(file):
    file["analysis/stim_table_dg"].attrs["nblocks"] = 10**9


def _table(file):
    file["analysis/stim_table_dg"].attrs["pandas_type"] = np.bytes_(b"frame_table")


def _deep(file):
    del file["analysis/stim_table_dg/axis0"]
    file["analysis/stim_table_dg/axis0"] = np.zeros((2, 2))


def _gone(file):
    del file["analysis/stim_table_dg/block0_values"]


@pytest.mark.parametrize("change", [_cut, _swap, _fewer, _unnamed, _endless, _table, _deep, _gone])
def test_a_damaged_table_is_refused_and_the_rest_answers(tmp_path, change):
    path = write_analysis(tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        change(file)
    with oa.open(path) as found:
        key = "sweep_response_dg" if change in {_cut, _swap} else "stim_table_dg"
        with pytest.raises(OpenAllenError):
            found[key]
        assert len(found.peak) == 2


def test_a_table_without_rows(tmp_path):
    path = write_analysis(tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        group = file["analysis/stim_table_dg"]
        for name in ("axis1", "block0_values", "block1_values"):
            width = group[name].shape[1:]
            kind = group[name].dtype
            del group[name]
            made = group.create_dataset(name, data=np.zeros(1))
            made.attrs["shape"] = np.array([*width, 0])
            made.attrs["value_type"] = np.bytes_(str(kind).encode())
    with oa.open(path) as found:
        table = found["stim_table_dg"]
        assert (len(table), list(table)) == (0, ["orientation", "start", "end"])
        assert table["start"].dtype == "int64"


def test_a_damaged_analysis_raises_our_errors_alone(tmp_path):
    body = write_analysis(tmp_path / "x.h5").read_bytes()
    rng = np.random.default_rng(6)
    for n in range(60):
        raw = np.frombuffer(body, np.uint8).copy()
        raw[rng.integers(96, len(raw), 40)] = rng.integers(0, 255, 40)
        path = tmp_path / f"{n}.h5"
        path.write_bytes(raw.tobytes())
        try:
            with oa.open(path) as found:
                for key in found:
                    with contextlib.suppress(OpenAllenError):
                        found[key]
        except OpenAllenError:
            continue


def test_hdf5_with_a_group_of_that_name_is_no_analysis(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["analysis/spike_times/Sweep_1"] = np.arange(3.0)
    with pytest.raises(OpenAllenError):
        oa.open(tmp_path / "x.h5")


def test_arrays_that_python_2_pickled():
    """Its pickles keep bytes as text: the published analyses are such."""
    numbers = np.array([0.5, -2.0, np.nan])
    made = io.BytesIO()
    made.write(
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    )
    made.write(b"(K\x01K\x03\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNN")
    made.write(b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x18\x00\x00\x00")
    made.write(numbers.astype("<f8").tobytes() + b"tb.")
    assert np.array_equal(pickles.values(made.getvalue()), numbers, equal_nan=True)
    assert pickles.values(b"\x80\x02U\x04VISl.") == "VISl"
