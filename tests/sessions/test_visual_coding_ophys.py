"""A two-photon session of Visual Coding, of each generation of the pipeline, made up here."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import file_handler
from visualcoding import FIRST_S, PIPELINE, STEP_S, write_ophys

import openallen as oa
from openallen.errors import NotFoundError, UsageError
from openallen.formats.png import inspect_png
from openallen.sessions import NwbTables, open_nwb
from openallen.sessions.visual_coding.ophys import VisualCodingOphysExperiment
from openallen.visuals import TableVisual, TracesVisual

GENERATIONS = {
    "0.9": ("three_session_C", False),
    "1.0": ("three_session_B", True),
    "2.0": ("three_session_A", True),
    "3.0": ("three_session_C2", True),
}
PLANE = f"{PIPELINE}/Fluorescence/imaging_plane_1"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vc")
    return {
        version: write_ophys(
            folder / f"{version}.nwb", pipeline=version, session_type=kind, eye=eye
        )
        for version, (kind, eye) in GENERATIONS.items()
    }


@pytest.fixture(params=GENERATIONS)
def both(made, request):
    """A session, and its file as h5py has it."""
    with oa.open(made[request.param]) as session, h5py.File(made[request.param]) as file:
        yield session, file


@pytest.fixture
def session(made):
    with oa.open(made["2.0"]) as opened:
        yield opened


# --- what it is -----------------------------------------------------------------------------------


def test_a_file_opens_as_what_it_holds(both):
    session, _ = both
    assert isinstance(session, VisualCodingOphysExperiment)
    assert isinstance(session, NwbTables)  # so that series and tables of any file answer too
    assert session.pipeline_version in GENERATIONS
    assert session.session_type == GENERATIONS[session.pipeline_version][0]
    assert session.get_session_type() == session.session_type
    assert "made up" in repr(session)  # its description
    assert "two-photon" not in repr(session)
    assert "three_session" in repr(session)


def test_other_nwb_files_are_not_taken_for_it(tmp_path):
    from nwbfiles import h5

    with open_nwb(h5(tmp_path / "x.nwb")) as other:
        assert type(other) is NwbTables


def test_metadata_in_both_vocabularies(session):
    told = session.get_metadata()
    assert told["ophys_experiment_id"] == session.ophys_experiment_id == 501940850
    assert told["session_start_time"] == datetime(2015, 9, 2, 10)
    assert (told["imaging_depth_um"], told["age_days"]) == (175, 111)
    assert (told["device"], told["device_name"]) == ("CAM2P.2", "Nikon A1R-MP")
    assert told["cre_line"] == "Cux2-CreERT2/wt"
    ours = session.metadata
    assert ours["date_of_acquisition"] == datetime(2015, 9, 2, 10, tzinfo=UTC)
    assert ours["excitation_lambda"] == 910.0
    assert (ours["imaging_depth"], ours["age_in_days"]) == (175, 111)
    assert ours["ophys_frame_rate"] == 1 / STEP_S
    assert ours["equipment_name"] == "CAM2P.2"


def test_metadata_that_a_file_does_not_say_are_left_out(tmp_path):
    path = write_ophys(tmp_path / "x.nwb")
    with h5py.File(path, "r+") as file:
        for place in ("session_id", "fov", "subject/age", "subject/genotype",
                      "optophysiology/imaging_plane_1/imaging depth"):  # fmt: skip
            del file[f"general/{place}"]
        del file["general/devices/2-photon microscope"]
        file["general/devices/2-photon microscope"] = np.bytes_(b"an odd one")
    with oa.open(path) as session:
        assert "age_days" not in session.get_metadata()
        assert "device" not in session.get_metadata()
        # AllenSDK names these with None, and leaves the others out.
        for name in ("cre_line", "ophys_experiment_id", "imaging_depth_um"):
            assert session.get_metadata()[name] is None
        assert session.metadata["age_in_days"] is None
        assert session.ophys_experiment_id is None
        assert np.isnan(session.max_projection.spacing).all()
        assert "Cre line" not in repr(session)


def test_of_two_logs_of_motion_the_one_that_allensdk_takes(tmp_path):
    path = write_ophys(tmp_path / "x.nwb")
    with h5py.File(path, "r+") as file:
        group = file[f"{PIPELINE}/MotionCorrection/2p_image_series"]
        group.copy("xy_translation", "xy_translations")
        group["xy_translations/data"][...] = 99
    with oa.open(path) as session:
        assert (session.get_motion_correction()["x_motion"] == 99).all()


# --- traces ---------------------------------------------------------------------------------------


def test_traces_are_cells_by_time(both):
    session, file = both
    split = session.pipeline_version >= "2.0"
    around = f"{PLANE}_neuropil_response/data" if split else f"{PLANE}/neuropil_traces"
    measured = f"{PLANE}_demixed_signal/data" if split else f"{PLANE}/data"
    share = file[f"{around.rpartition('/')[0]}/r"][:]
    want = {
        "fluorescence": file[f"{PLANE}/data"][:],
        "neuropil": file[around][:],
        "dff": file[f"{PIPELINE}/DfOverF/imaging_plane_1/data"][:],
        "corrected_fluorescence": file[measured][:] - file[around][:] * share[:, None],
    }
    if split:
        want["demixed"] = file[measured][:]
    times = file[f"{PLANE}/timestamps"][:]
    ids = session.get_cell_specimen_ids()
    assert np.array_equal(session.get_neuropil_r(), share)
    for kind, values in want.items():
        got_times, got = getattr(session, f"get_{kind}_traces")()
        assert np.array_equal(got, values)
        assert got.dtype == values.dtype
        assert np.array_equal(got_times, times)
        table = getattr(session, f"{kind}_traces")
        assert np.array_equal(np.stack(list(table.iloc[:, 1])), values)
        assert table.index.tolist() == ids.tolist()
        array = session.trace_array(kind, [ids[2], ids[0]])
        assert array.dims == ("cell_specimen_id", "time")
        assert np.array_equal(array, values[[2, 0]])
        assert array["cell_specimen_id"].to_numpy().tolist() == [ids[2], ids[0]]
        assert array["cell_roi_id"].to_numpy().tolist() == [ids[2] - 1000, ids[0] - 1000]
    assert session.traces.equals(session.trace_array("dff"))


@pytest.mark.parametrize("version", ["0.9", "1.0"])
def test_demixed_traces_begin_with_the_second_pipeline(made, version):
    with oa.open(made[version]) as session:
        assert session.demixed_traces is None
        with pytest.raises(NotFoundError, match=r"demixed.*begin with pipeline 2\.0"):
            session.get_demixed_traces()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_cells_in_any_order(made, data):
    with oa.open(made["2.0"]) as session:
        ids = session.get_cell_specimen_ids().tolist()
        wanted = data.draw(st.lists(st.sampled_from(ids), max_size=6))
        rows = session.get_cell_specimen_indices(wanted)
        _, every = session.get_dff_traces()
        _, some = session.get_dff_traces(wanted)
        assert np.array_equal(some, every[rows])
        assert np.array_equal(session.get_neuropil_r(wanted), session.get_neuropil_r()[rows])


def test_many_scattered_cells_are_those_asked_for(tmp_path):
    with oa.open(write_ophys(tmp_path / "x.nwb", cells=40, frames=300)) as session:
        ids = session.get_cell_specimen_ids()[::2][::-1]
        assert np.array_equal(
            session.get_dff_traces(ids)[1], session.get_dff_traces()[1][::2][::-1]
        )


def test_a_cell_that_is_not_there_is_named(session):
    for call in (session.get_dff_traces, session.get_roi_mask, session.get_cell_specimen_indices):
        with pytest.raises(NotFoundError, match=r"no cell 1\b.*its 3 cells begin \[517464716"):
            call([1])


def test_a_kind_of_trace_that_is_not_there_is_named(session):
    with pytest.raises(UsageError, match="no traces 'raw'"):
        session.trace_array("raw")


@pytest.mark.parametrize(("more", "word"), [(1, "longer"), (-1, "shorter")])
def test_dff_of_another_length_keeps_its_own_times_and_says_so(tmp_path, caplog, more, word):
    with oa.open(write_ophys(tmp_path / "x.nwb", dff_more=more)) as session:
        times, values = session.get_dff_traces()
        assert values.shape == (3, 900 + more)
        assert len(times) == 900 + more
        note = f"dff is 1 sample {word} than the movie"
        assert session.trace_array("dff").attrs["notes"] == note
        assert session.dff_traces.attrs["notes"] == note
        assert note in caplog.text
        assert "notes" not in session.trace_array("neuropil").attrs


# --- cells ----------------------------------------------------------------------------------------


def test_masks_as_boxes_planes_and_table(both):
    session, file = both
    group = file[f"{PIPELINE}/ImageSegmentation/imaging_plane_1"]
    want = np.stack([group[name.decode()]["img_mask"][:] for name in group["roi_list"][:]])
    assert np.array_equal(session.get_roi_mask_array(), want)
    ids = session.get_cell_specimen_ids()
    assert np.array_equal(session.get_roi_mask_array([ids[2]]), want[2:])
    table = session.cell_specimen_table
    assert table.index.name == "cell_specimen_id"
    for mask, plane, (_, row) in zip(session.get_roi_mask(), want, table.iterrows(), strict=True):
        assert np.array_equal(mask.get_mask_plane(), plane)
        assert (mask.width, mask.height) == (5, 4) == mask.mask.shape[::-1]
        assert (mask.x, mask.y) == (row["x"], row["y"])
        assert (mask.img_rows, mask.img_cols) == plane.shape
        assert np.array_equal(row["roi_mask"], plane.astype(bool))
    assert session.roi_masks.columns.tolist() == ["cell_roi_id", "roi_mask"]
    assert session.number_of_cells == 3
    assert np.array_equal(session.get_roi_ids(), ids - 1000)


def test_the_projection_has_its_scale(session):
    assert session.max_projection.spacing == (0.01, 0.01)
    assert np.array_equal(session.max_projection, session.get_max_projection())


# --- running, pupil, motion -----------------------------------------------------------------------


def test_running_speed_is_filled_up_to_the_frames(both):
    session, file = both
    speed, times = session.get_running_speed()
    stored = file[f"{PIPELINE}/BehavioralTimeSeries/running_speed/data"][:].reshape(-1)
    assert np.array_equal(times, session.get_fluorescence_timestamps())
    assert np.isnan(speed[:3]).all()
    assert np.isnan(speed[-4:]).all()
    assert np.array_equal(speed[3:-4], stored, equal_nan=True)
    assert np.isnan(speed[8])  # of the recording itself
    assert session.running_speed.columns.tolist() == ["timestamps", "speed"]


def test_the_pupil_keeps_its_gaps(session):
    times, places = session.get_pupil_location()
    assert places.shape == (len(times), 2)
    assert np.isnan(places[2:4]).all()
    assert not np.array_equal(places, session.get_pupil_location(as_spherical=False)[1])
    table = session.eye_tracking
    assert table.columns.tolist() == ["timestamps", "pupil_area", "pupil_x_deg", "pupil_y_deg",
                                      "pupil_x_cm", "pupil_y_cm"]  # fmt: skip
    assert np.array_equal(table["pupil_y_deg"], places[:, 1], equal_nan=True)
    assert np.array_equal(session.pupil_size["pupil_area"], table["pupil_area"], equal_nan=True)
    assert len(session.pupil_location) == len(times)


def test_motion_has_the_names_of_its_columns(both):
    session, file = both
    found = session.get_motion_correction()
    assert found.columns.tolist() == ["x_motion", "y_motion", "timestamp"]
    group = next(iter(file[f"{PIPELINE}/MotionCorrection/2p_image_series"].values()))
    assert np.array_equal(found[["x_motion", "y_motion"]], group["data"][:])
    assert session.motion_correction.columns.tolist() == ["x", "y"]


# --- series of any file (time on the second axis) -------------------------------------------------


def test_a_series_of_cells_by_time_has_time_where_it_is(made):
    with oa.open(made["2.0"]) as session, h5py.File(made["2.0"]) as file:
        whole = session.series("DfOverF/imaging_plane_1")
        want = file[f"{PIPELINE}/DfOverF/imaging_plane_1/data"][:]
        assert whole.sizes == {"time": 900, "channel": 3}
        assert np.array_equal(whole.to_numpy().T, want)
        part = session.series("DfOverF/imaging_plane_1", FIRST_S + 1, FIRST_S + 2)
        assert np.array_equal(part.to_numpy().T, want[:, 32:64])


# --- far away -------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_rows", [1, None])
def test_one_cell_of_a_far_session_costs_its_rows(tmp_path, monkeypatch, loopback, chunk_rows):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    path = write_ophys(tmp_path / "x.nwb", cells=48, frames=20_000, chunk_rows=chunk_rows)
    server = loopback({"/x.nwb": file_handler(path.read_bytes())})
    with oa.open(path) as near, oa.open(f"{server.url}/x.nwb") as far:
        cells = near.get_cell_specimen_ids()[[7, 33]]
        assert far.number_of_cells == 48
        opened = len(server.seen)
        assert np.array_equal(far.get_dff_traces(cells)[1], near.get_dff_traces(cells)[1])
        asked = [_span(request.headers["range"]) for request in server.seen[opened:]]
    trace = 20_000 * 4
    # Ranges are whole blocks, and some is read ahead: far less than the traces of all 48 cells.
    assert len(asked) <= 8
    assert sum(asked) < 48 * trace / 2


def _span(text: str) -> int:
    first, last = text.removeprefix("bytes=").split("-")
    return int(last) - int(first) + 1


def test_a_far_session_is_the_near_one_and_can_be_sent_to_a_process(
    made, tmp_path, monkeypatch, loopback
):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    server = loopback({"/x.nwb": file_handler(made["3.0"].read_bytes())})
    with oa.open(made["3.0"]) as near, oa.open(f"{server.url}/x.nwb") as far:
        again = pickle.loads(pickle.dumps(far))
        for one in (far, again):
            assert one.stimulus_presentations.equals(near.stimulus_presentations)
            assert one.eye_tracking.equals(near.eye_tracking)
            assert one.metadata == near.metadata
            assert np.array_equal(one.get_roi_mask_array(), near.get_roi_mask_array())
        again.close()


# --- what it looks like ---------------------------------------------------------------------------


def test_its_views(both):
    session, _ = both
    traces, *tables = session._visuals()
    assert isinstance(traces, TracesVisual)
    assert (traces.from_s, traces.to_s) == (FIRST_S, FIRST_S + 899 * STEP_S)
    for track in traces.tracks:
        times, values = track.read()
        assert len(times) == len(values) > 0
    groups = {track.group for track in traces.tracks}
    assert groups == {"ΔF/F", "running"} | ({"pupil"} if session.pipeline_version > "1" else set())
    for interval in traces.intervals:
        starts, stops, labels = interval.read()
        assert len(starts) == len(stops) == len(labels) > 0
        assert interval.table in {table.name for table in tables}
    assert set(traces.intervals[0].read()[2]) == set(session.list_stimuli())
    labels = traces.rois.labels()
    masks = session.get_roi_mask_array().astype(bool)
    assert np.array_equal(labels > 0, masks.any(axis=0))
    assert set(traces.rois.tracks) <= {track.name for track in traces.tracks}
    for table in tables:
        assert isinstance(table, TableVisual)
        assert len(table.table())


def test_its_pictures(session):
    for figure in (
        session.plot(),
        session.plot_overview((9, 12), 2),
        session.plot_max_projection(),
    ):
        assert inspect_png(figure._repr_png_())
    assert "data:image/png" in session._repr_html_()


def test_signals_are_cut_around_presentations(session):
    shown = session.stimulus_presentations
    at = shown.loc[shown["stimulus_name"] == "drifting_gratings", "start_time"]
    cut = session.align(at, (-0.25, 0.5))
    assert cut.sizes == {"cell_specimen_id": 3, "event": 8, "time": 25}
    frames = shown.loc[at.index, "start_frame"].to_numpy()
    assert np.allclose(cut.sel(time=0), session.get_dff_traces()[1][:, frames])
    assert session.align(at, of="running_speed").sizes["event"] == 8


def test_responses_and_analyses_are_those_of_its_stimuli(session):
    found = session.responses("drifting_gratings")
    assert found.sizes == {"cell_specimen_id": 3, "stimulus_presentation_id": 8}
    shown = session.stimulus_presentations
    first = shown[shown["stimulus_name"] == "drifting_gratings"].iloc[0]
    span = slice(first["start_frame"], first["end_frame"])
    assert np.allclose(found[:, 0], session.get_dff_traces()[1][:, span].mean(axis=1))
    analysis = session.analysis("natural_movie_one")
    assert analysis.stim_table["repeat"].tolist() == [0, 1]
    assert (
        analysis.stim_table["start"]
        .isin(session.get_stimulus_table("natural_movie_one")["start"])
        .all()
    )
    with pytest.raises(NotFoundError, match="no analysis of 'spontaneous'"):
        session.analysis("spontaneous")


def test_every_name_it_lists_answers(both):
    session, _ = both
    for name in session.list_data_attributes_and_methods():
        try:
            getattr(session, name)
        except NotFoundError as error:
            assert "eye" in str(error)
            assert session.pipeline_version == "0.9"
