"""Two-photon files of Visual Coding that lack parts, are damaged, or contradict themselves."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from visualcoding import PIPELINE, write_ophys

import openallen as oa
from openallen.errors import CorruptError, IntegrityError, NotFoundError, OpenAllenError

PLANE = f"{PIPELINE}/Fluorescence/imaging_plane_1"
CELLS = f"{PIPELINE}/ImageSegmentation"
DFF = f"{PIPELINE}/DfOverF/imaging_plane_1"
SHOWN = "stimulus/presentation"


@pytest.fixture
def spoiled(tmp_path):
    opened = []

    def go(change, **options):
        path = write_ophys(tmp_path / f"{len(opened)}.nwb", **options)
        with h5py.File(path, "r+") as file:
            change(file)
        opened.append(oa.open(path))
        return opened[-1]

    yield go
    for session in opened:
        session.close()


def without(*places: str):
    def change(file: h5py.File) -> None:
        for place in places:
            del file[place]

    return change


def instead(place: str, value):
    def change(file: h5py.File) -> None:
        del file[place]
        file[place] = value

    return change


def answers(session) -> None:
    """Whatever else is there still answers."""
    assert session.get_cell_specimen_ids().shape == (3,)
    assert session.get_dff_traces()[1].shape == (3, 900)
    assert "VisualCodingOphysExperiment" in repr(session)
    assert session._repr_html_()
    for visual in session._visuals():
        assert visual.name


# --- parts that are missing -----------------------------------------------------------------------


def test_without_eye_tracking(spoiled):
    session = spoiled(lambda file: None, eye=False)
    for call in (
        session.get_pupil_location,
        session.get_pupil_size,
        lambda: session.eye_tracking,
        lambda: session.pupil_location,
        lambda: session.pupil_size,
    ):
        with pytest.raises(NotFoundError, match="the eye was not filmed"):
            call()
    assert session.plot_overview()
    answers(session)


def test_with_the_size_of_the_pupil_alone(spoiled):
    session = spoiled(without(f"{PIPELINE}/EyeTracking"))
    assert session.eye_tracking.columns.tolist() == ["timestamps", "pupil_area"]
    with pytest.raises(NotFoundError):
        session.get_pupil_location()


def test_pupil_measured_at_other_times_is_put_together_by_time(spoiled):
    place = f"{PIPELINE}/PupilTracking/pupil_size"

    def change(file):
        times = file[f"{place}/timestamps"][:-1]
        area = file[f"{place}/data"][:-1]
        del file[place]
        file[f"{place}/timestamps"], file[f"{place}/data"] = times, area

    table = spoiled(change).eye_tracking
    assert len(table) == 225
    assert np.isnan(table["pupil_area"].iloc[-1])


def test_without_masks(spoiled):
    session = spoiled(without(f"{CELLS}/imaging_plane_1/roi_list"))
    for call in (session.get_roi_mask, session.get_roi_mask_array, lambda: session.roi_masks):
        with pytest.raises(NotFoundError, match="no masks of cells"):
            call()
    table = session.cell_specimen_table
    assert table.columns.tolist() == ["cell_roi_id"]
    assert table.attrs["notes"] == "the file has no masks"
    assert session.plot_max_projection()
    assert session._visuals()[0].rois is None
    answers(session)


def test_without_one_mask(spoiled):
    session = spoiled(without(f"{CELLS}/imaging_plane_1/roi_009"))
    with pytest.raises(NotFoundError, match="roi_009/img_mask"):
        session.get_roi_mask()
    assert len(session.get_roi_mask([session.get_cell_specimen_ids()[0]])) == 1
    answers(session)


@pytest.mark.parametrize(
    ("place", "ask"),
    [
        (f"{PIPELINE}/BehavioralTimeSeries", lambda s: s.running_speed),
        (f"{PIPELINE}/MotionCorrection", lambda s: s.motion_correction),
        (f"{CELLS}/imaging_plane_1/reference_images", lambda s: s.max_projection),
        (f"{PLANE}_neuropil_response", lambda s: s.get_neuropil_traces()),
        (f"{PLANE}_neuropil_response", lambda s: s.get_corrected_fluorescence_traces()),
        (f"{PLANE}_demixed_signal", lambda s: s.get_demixed_traces()),
        (
            f"{SHOWN}/drifting_gratings_stimulus",
            lambda s: s.get_stimulus_table("drifting_gratings"),
        ),
        ("stimulus/templates", lambda s: s.get_stimulus_template("natural_movie_one")),
        ("general/session_type", lambda s: s.session_type),
        ("general/session_type", lambda s: s.get_stimulus_epoch_table()),
    ],
)
def test_a_part_that_is_missing_is_named_and_the_rest_answers(spoiled, place, ask):
    session = spoiled(without(place))
    with pytest.raises(NotFoundError) as caught:
        ask(session)
    assert str(caught.value).startswith(session.name)
    assert caught.value.why
    answers(session)


@pytest.mark.parametrize(
    "names", [["imaging_plane_1"], ["imaging_plane_1", "imaging_plane_1_demixed_signal"]]
)
def test_without_fluorescence_dff_is_still_there(spoiled, names):
    session = spoiled(without(*(f"{PIPELINE}/Fluorescence/{name}" for name in names)))
    assert session.get_dff_traces()[1].shape == (3, 900)
    assert session.fluorescence_traces is None
    assert session.metadata["ophys_frame_rate"] is None
    with pytest.raises(NotFoundError):
        session.get_fluorescence_traces()


def test_without_any_stimulus(spoiled):
    session = spoiled(without("stimulus"))
    assert session.list_stimuli() == []
    assert len(session.stimulus_presentations) == 0
    assert len(session.stimulus_epochs) == 0
    assert len(session.get_stimulus_epoch_table()) == 0
    assert session.get_stimulus(100) == (None, None)
    assert len(session.stimulus_templates) == 0
    answers(session)


def test_without_cells(spoiled):
    def change(file):
        for place in (f"{CELLS}/cell_specimen_ids", f"{CELLS}/roi_ids"):
            del file[place]
            file[place] = np.empty(0, "int64")
        del file[f"{CELLS}/imaging_plane_1/roi_list"]
        file[f"{CELLS}/imaging_plane_1/roi_list"] = np.empty(0, "S7")
        for place in (f"{DFF}/data", f"{PLANE}/data"):
            del file[place]
            file[place] = np.empty((0, 900), "float32")

    session = spoiled(change)
    assert session.number_of_cells == 0
    assert session.get_dff_traces()[1].shape == (0, 900)
    assert session.get_roi_mask_array().shape == (0, 20, 40)
    assert session.traces.shape == (0, 900)
    assert len(session.cell_specimen_table) == 0
    assert session._visuals()


# --- parts that contradict each other -------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "ask"),
    [
        (instead(f"{CELLS}/cell_specimen_ids", [1, 2]), lambda s: s.get_dff_traces()),
        (instead(f"{CELLS}/cell_specimen_ids", [1, 2]), lambda s: s.get_roi_ids()),
        (instead(f"{CELLS}/cell_specimen_ids", [1, 2]), lambda s: s.get_neuropil_r()),
        (instead(f"{CELLS}/cell_specimen_ids", [[1, 2]]), lambda s: s.get_cell_specimen_ids()),
        (instead(f"{DFF}/timestamps", np.arange(7.0)), lambda s: s.get_dff_traces()),
        (instead(f"{DFF}/data", np.zeros(900)), lambda s: s.get_dff_traces()),
        (instead(f"{DFF}/data", np.zeros((900, 3))), lambda s: s.dff_traces),
        (instead(f"{PLANE}/timestamps", np.arange(7.0)), lambda s: s.get_fluorescence_traces()),
        (instead(f"{PLANE}_neuropil_response/r", [0.5]), lambda s: s.get_neuropil_r()),
        (instead(f"{CELLS}/imaging_plane_1/roi_009/img_mask", np.zeros((2, 2))),
         lambda s: s.get_roi_mask()),
        (instead(f"{CELLS}/imaging_plane_1/roi_009/img_mask", np.zeros(4)),
         lambda s: s.get_roi_mask_array()),
        (instead(f"{PIPELINE}/BehavioralTimeSeries/running_speed/timestamps", np.arange(7.0)),
         lambda s: s.get_running_speed()),
        (instead(f"{PIPELINE}/BehavioralTimeSeries/running_speed/timestamps", np.arange(893.0)),
         lambda s: s.get_running_speed()),
        (instead(f"{PIPELINE}/BehavioralTimeSeries/running_speed/data", np.zeros((893, 2))),
         lambda s: s.running_speed),
        (instead(f"{PIPELINE}/EyeTracking/pupil_location/data", np.zeros((225, 3))),
         lambda s: s.get_pupil_location(as_spherical=False)),
        (instead(f"{PIPELINE}/PupilTracking/pupil_size/timestamps", np.arange(7.0)),
         lambda s: s.eye_tracking),
        (instead(f"{PIPELINE}/MotionCorrection/2p_image_series/xy_translation/feature_description",
                 np.array([b"x_motion"])), lambda s: s.get_motion_correction()),
        (instead(f"{SHOWN}/drifting_gratings_stimulus/features", np.array([b"orientation"])),
         lambda s: s.get_stimulus_table("drifting_gratings")),
        (instead(f"{SHOWN}/drifting_gratings_stimulus/features", np.array([b"a", b"a", b"b"])),
         lambda s: s.get_stimulus_table("master")),
        (without(f"{SHOWN}/drifting_gratings_stimulus/features"),
         lambda s: s.get_stimulus_table("drifting_gratings")),
        (instead(f"{SHOWN}/natural_movie_one_stimulus/frame_duration", np.zeros((7, 2))),
         lambda s: s.stimulus_presentations),
        (instead(f"{SHOWN}/natural_movie_one_stimulus/frame_duration", np.zeros(8)),
         lambda s: s.get_stimulus_table("natural_movie_one")),
        (instead(f"{SHOWN}/spontaneous_stimulus/data", [[1], [-1]]),
         lambda s: s.stimulus_presentations),
        (instead(f"{SHOWN}/spontaneous_stimulus/data", [1, 1]),
         lambda s: s.get_stimulus_table("spontaneous")),
    ],
)  # fmt: skip
def test_shapes_that_do_not_go_together_are_refused(spoiled, change, ask):
    session = spoiled(change)
    with pytest.raises(CorruptError) as caught:
        ask(session)
    assert session.name in str(caught.value)
    assert repr(session)


def test_more_epochs_than_a_session_has(spoiled):
    def scatter(file):
        frames = file[f"{SHOWN}/natural_movie_one_stimulus/frame_duration"]
        frames[...] = frames[:] + 60 * np.arange(8)[:, None]

    session = spoiled(scatter)
    with pytest.raises(CorruptError, match="natural_movie_one: 8, gaps of more than 39 frames"):
        session.get_stimulus_epoch_table()
    assert len(session.stimulus_epochs)  # which takes the file's word


def test_a_session_of_an_unknown_type(spoiled):
    session = spoiled(instead("general/session_type", np.bytes_(b"three_session_D")))
    with pytest.raises(NotFoundError, match="three_session_D") as caught:
        session.get_stimulus_epoch_table()
    assert "stimulus_epochs" in caught.value.hint
    assert len(session.stimulus_epochs) == 5


def test_an_image_that_is_not_there(spoiled):
    def change(file):
        shown = file[f"{SHOWN}/natural_movie_one_stimulus/data"]
        shown[...] = 4

    session = spoiled(change)
    frame = int(session.get_stimulus_table("natural_movie_one")["start"].iloc[0])
    with pytest.raises(CorruptError, match="image 4 of 4"):
        session.get_stimulus(frame)


def test_sparse_noise_of_another_size(spoiled):
    place = "stimulus/templates/locally_sparse_noise_8deg_image_stack/data"
    session = spoiled(
        instead(place, np.zeros((6, 7, 14), "uint8")), session_type="three_session_C2"
    )
    with pytest.raises(CorruptError, match=r"\(7, 14\), not \(8, 14\)"):
        session.get_locally_sparse_noise_stimulus_template("locally_sparse_noise_8deg")


@pytest.mark.parametrize("text", [b"", b"yesterday", b"2015-09-02 10:00:00", b"2015-09-02T10:00"])
def test_any_text_for_the_start(spoiled, text):
    session = spoiled(instead("session_start_time", np.bytes_(text)))
    assert str(session.get_metadata()["session_start_time"]).startswith(text.decode()[:10])
    assert repr(session)


@pytest.mark.parametrize("version", [b"", b"nine", b"4.1"])
def test_any_text_for_the_version_of_the_pipeline(spoiled, version):
    session = spoiled(instead("general/generated_by", np.array([b"x", version])))
    assert session.pipeline_version == version.decode()
    answers(session)


def test_an_id_that_is_no_number(spoiled):
    session = spoiled(instead("general/session_id", np.bytes_(b"none")))
    with pytest.raises(CorruptError, match="ophys_experiment_id: none"):
        session.get_metadata()
    assert session.get_dff_traces()[1].shape == (3, 900)
    assert repr(session)


def test_a_cell_id_twice_means_the_first(spoiled):
    session = spoiled(instead(f"{CELLS}/cell_specimen_ids", [5, 5, 6]))
    assert session.get_cell_specimen_indices([5]) == [0]


# --- files that are none --------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7, 0.99])
def test_a_file_that_was_cut_off(tmp_path, kept):
    path = write_ophys(tmp_path / "x.nwb")
    body = path.read_bytes()
    path.write_bytes(body[: int(len(body) * kept)])
    with pytest.raises(IntegrityError):
        oa.open(path).get_dff_traces()


def test_a_damaged_file_raises_our_errors_alone(tmp_path):
    body = write_ophys(tmp_path / "x.nwb", frames=300).read_bytes()
    rng = np.random.default_rng(5)
    for n in range(25):
        raw = np.frombuffer(body, np.uint8).copy()
        raw[rng.integers(0, len(raw), 200)] = rng.integers(0, 255, 200)
        path = tmp_path / f"{n}.nwb"
        path.write_bytes(raw.tobytes())
        try:
            session = oa.open(path)
        except OpenAllenError:
            continue
        with session:
            for name in session.list_data_attributes_and_methods():
                try:
                    value = getattr(session, name, None)
                    if callable(value) and name.startswith("get_"):
                        value()
                except (OpenAllenError, TypeError) as error:
                    # TypeError: calls that need an argument
                    assert isinstance(error, OpenAllenError) or "argument" in str(error)


def test_a_group_where_an_array_should_be(spoiled):
    def change(file):
        del file[f"{DFF}/data"]
        file.create_group(f"{DFF}/data")

    with pytest.raises(OpenAllenError):
        spoiled(change).get_dff_traces()


def test_a_closed_session_says_so(tmp_path):
    session = oa.open(write_ophys(tmp_path / "x.nwb"))
    assert session.number_of_cells == 3
    session.close()
    with pytest.raises(OpenAllenError, match="closed"):
        session.get_dff_traces()
