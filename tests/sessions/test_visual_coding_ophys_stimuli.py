"""What was shown in a two-photon session of Visual Coding: tables, epochs, images."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from visualcoding import FIRST_S, IMAGES, SHOWN, STEP_S, write_ophys

import openallen as oa
from openallen.errors import NotFoundError, UsageError
from openallen.sessions.visual_coding.ophys_screen import on_screen

TYPES = {"three_session_A": "2.0", "three_session_B": "1.0", "three_session_C": "0.9",
         "three_session_C2": "3.0"}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vc")
    return {
        kind: write_ophys(folder / f"{kind}.nwb", pipeline=version, session_type=kind)
        for kind, version in TYPES.items()
    }


@pytest.fixture(params=TYPES)
def session(made, request):
    with oa.open(made[request.param]) as opened:
        yield opened


@pytest.fixture
def gratings(made):
    with oa.open(made["three_session_A"]) as opened:
        yield opened


@pytest.fixture
def scenes(made):
    with oa.open(made["three_session_B"]) as opened:
        yield opened


def changed(tmp_path, change, **options):
    path = write_ophys(tmp_path / "x.nwb", **options)
    with h5py.File(path, "r+") as file:
        change(file["stimulus/presentation"])
    return oa.open(path)


# --- tables of one stimulus -----------------------------------------------------------------------


def test_names_have_no_ending(session):
    assert session.list_stimuli() == sorted(set(SHOWN[session.session_type]))


def test_gratings_have_the_columns_that_the_file_names(gratings):
    table = gratings.get_stimulus_table("drifting_gratings")
    want = ["temporal_frequency", "orientation", "blank_sweep", "start", "end"]
    assert table.columns.tolist() == want
    assert (table["end"] - table["start"]).eq(16).all()
    assert table["start"].dtype == "int64"
    assert table["orientation"].isna().sum() == 2


def test_movies_count_their_repeats(gratings):
    table = gratings.get_stimulus_table("natural_movie_one")
    assert table["repeat"].tolist() == [0] * 4 + [1] * 4
    assert table.columns.tolist() == ["frame", "start", "end", "repeat"]


def test_spontaneous_activity_has_begins_and_ends(session):
    table = session.get_stimulus_table("spontaneous")
    assert (table["end"] - table["start"]).tolist() == [60]


def test_spontaneous_activity_is_in_order_of_time_wherever_it_stands_in_the_file(tmp_path):
    def turn(shown):
        group = shown["spontaneous_stimulus"]
        for name, values in (("data", [1, -1, 1, -1]),
                             ("frame_duration", [[800] * 2, [860] * 2, [5] * 2, [30] * 2])):  # fmt: skip
            del group[name]
            group[name] = np.array(values)

    with changed(tmp_path, turn) as session:
        table = session.get_stimulus_table("spontaneous")
        assert table.to_numpy().tolist() == [[5, 30], [800, 860]]
        assert table.index.tolist() == [1, 0]
        epochs = session.get_stimulus_epoch_table()
        quiet = epochs[epochs["stimulus"] == "spontaneous"]
        assert quiet[["start", "end"]].to_numpy().tolist() == [[5, 30], [800, 860]]


def test_rows_are_in_order_of_time_and_keep_the_number_they_have_in_the_file(tmp_path):
    def turn(shown):
        for name in ("data", "frame_duration"):
            values = shown[f"drifting_gratings_stimulus/{name}"]
            values[...] = values[:][::-1]

    with changed(tmp_path, turn) as session:
        table = session.get_stimulus_table("drifting_gratings")
        assert table["start"].is_monotonic_increasing
        assert table.index.tolist() == list(range(8))[::-1]


def test_a_stimulus_that_was_not_shown_is_named(session):
    for name in ("flashes", "", "../templates", "spontaneous_stimulus_stimulus"):
        with pytest.raises(NotFoundError, match="no stimulus") as caught:
            session.get_stimulus_table(name)
        assert "spontaneous" in caught.value.why


def test_a_stimulus_of_another_name_is_read_by_what_it_has(tmp_path):
    def copy(shown):
        shown.copy("natural_movie_one_stimulus", shown, name="flashes_stimulus")

    with changed(tmp_path, copy) as session:
        assert session.get_stimulus_table("flashes").columns.tolist() == ["frame", "start", "end"]
        assert "flashes" in set(session.stimulus_presentations["stimulus_name"])


# --- all of them ----------------------------------------------------------------------------------


def test_master_has_all_rows_stimulus_by_stimulus(session):
    master = session.get_stimulus_table("master")
    assert master.columns.tolist() == sorted(master.columns)
    for name in session.list_stimuli():
        table = session.get_stimulus_table(name).reset_index(drop=True)
        rows = master[master["stimulus"] == name].reset_index(drop=True)
        assert rows[list(table)].astype(float).equals(table.astype(float))


def test_presentations_are_in_order_with_times_in_seconds(session):
    shown = session.stimulus_presentations
    assert shown.index.name == "stimulus_presentation_id"
    assert len(shown) == len(session.get_stimulus_table("master"))
    assert shown["start_frame"].is_monotonic_increasing
    assert np.array_equal(shown["start_time"], FIRST_S + shown["start_frame"] * STEP_S)
    assert np.array_equal(shown["stop_time"], FIRST_S + shown["end_frame"] * STEP_S)
    first = shown.groupby("stimulus_block")["stimulus_name"].first()
    assert first.tolist() == list(SHOWN[session.session_type])
    assert "notes" not in shown.attrs


def test_epochs_in_both_vocabularies(session):
    table, ours = session.get_stimulus_epoch_table(), session.stimulus_epochs
    assert table.columns.tolist() == ["stimulus", "start", "end"]
    assert table["stimulus"].tolist() == list(SHOWN[session.session_type])
    assert np.array_equal(table[["start", "end"]], ours[["start_frame", "end_frame"]])
    assert np.allclose(ours["duration"], ours["stop_time"] - ours["start_time"])


@pytest.mark.parametrize(("kind", "gap"), [("three_session_A", 39), ("three_session_B", 15),
                                           ("three_session_C2", 7)])  # fmt: skip
def test_a_gap_longer_than_the_session_type_has_ends_an_epoch(tmp_path, kind, gap):
    for more in (gap, gap + 1):

        def move(shown, by=more):
            frames = shown["natural_movie_one_stimulus/frame_duration"]
            frames[4:] = frames[4:] + by

        with changed(tmp_path, move, session_type=kind) as session:
            names = session.get_stimulus_epoch_table()["stimulus"].tolist()
            assert names.count("natural_movie_one") == 1 + (more > gap)
            assert len(session.stimulus_epochs) >= len(SHOWN[kind]) + (more > gap)


@pytest.mark.parametrize("last", [0, 1])
def test_the_last_presentation_may_end_with_the_movie_and_no_later(tmp_path, caplog, last):
    def move(shown):
        frames = shown["spontaneous_stimulus/frame_duration"]
        frames[1] = 500 + last

    with changed(tmp_path, move, frames=500) as session:
        row = session.stimulus_presentations
        row = row[row["stimulus_name"] == "spontaneous"].iloc[0]
        assert np.isnan(row["stop_time"]) == bool(last)
        assert ("outside of the movie" in caplog.text) == bool(last)
        if not last:
            assert row["stop_time"] == FIRST_S + 500 * STEP_S
        # Frames are told all the same.
        assert session.get_stimulus_table("spontaneous")["end"].tolist() == [500 + last]


# --- what was on the screen -----------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(frame=st.integers(-5, 900), kind=st.sampled_from(sorted(TYPES)))
def test_what_was_shown_at_any_frame_is_in_the_tables(made, frame, kind):
    with oa.open(made[kind]) as session:
        found, image = session.get_stimulus(frame)
        epochs = session.get_stimulus_epoch_table()
        inside = epochs[(epochs["start"] <= frame) & (frame < epochs["end"])]
        shown = "" if inside.empty else inside["stimulus"].iloc[0]
        if shown in {"", "spontaneous"}:
            assert (found, image) == (None, None)
            return
        start, end, row = found
        table = session.get_stimulus_table(shown)
        before = table[table["start"] <= frame].iloc[-1]
        assert (start, end) == (before["start"], before["end"] - 0.01)
        assert (row["stimulus"], row["start"], row["end"]) == (shown, start, before["end"])
        if shown in IMAGES and before["frame"] >= 0:
            images = session.get_stimulus_template(shown)
            assert np.array_equal(image, images[int(before["frame"])])
        else:  # gratings, and the grey screen between pictures
            assert image is None


def test_a_blank_picture_has_no_image(scenes):
    table = scenes.get_stimulus_table("natural_scenes")
    blank = table[table["frame"] == -1].iloc[0]
    found, image = scenes.get_stimulus(int(blank["start"]))
    assert found[2]["frame"] == -1
    assert image is None


def test_images_are_read_as_they_are_sliced(session):
    templates = session.stimulus_templates
    for name, array in templates.items():
        assert array.dims == ("frame", "row", "column")
        assert array.shape == IMAGES[name] == session.get_stimulus_template(name).shape
        assert np.array_equal(array[2, 1:], session.get_stimulus_template(name)[2, 1:])
    assert len(templates) == len(list(templates))
    assert "spontaneous" not in templates
    for ask in (templates.__getitem__, session.get_stimulus_template):
        with pytest.raises(NotFoundError, match="no images of 'spontaneous'"):
            ask("spontaneous")


@pytest.mark.parametrize("kind", ["three_session_C", "three_session_C2"])
def test_sparse_noise_off_the_screen_is_grey(made, kind):
    with oa.open(made[kind]) as session:
        for name in set(SHOWN[kind]):
            if not name.startswith("locally"):
                continue
            images, mask = session.get_locally_sparse_noise_stimulus_template(name)
            whole, same = session.get_locally_sparse_noise_stimulus_template(
                name, mask_off_screen=False
            )
            assert np.array_equal(mask, same)
            assert np.array_equal(whole, session.get_stimulus_template(name))
            assert (images[:, ~mask] == 64).all()
            assert np.array_equal(images[:, mask], whole[:, mask])
        with pytest.raises(UsageError, match="no locally sparse noise"):
            session.get_locally_sparse_noise_stimulus_template("natural_movie_one")


def test_the_curved_screen_cuts_corners():
    fine, coarse = on_screen(16, 28), on_screen(8, 14)
    for mask in (fine, coarse):
        assert np.array_equal(mask, mask[:, ::-1])
        assert np.array_equal(mask, mask[::-1])
        assert mask[len(mask) // 2, mask.shape[1] // 2]
    assert [int(n) for n in fine.sum(axis=1)[:8]] == [20, 22, 24, 24, 24, 24, 24, 26]
    assert [int(n) for n in coarse.sum(axis=1)[:4]] == [10, 12, 12, 12]
