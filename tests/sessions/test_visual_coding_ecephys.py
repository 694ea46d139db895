"""Visual Coding Neuropixels sessions: small ones in their layout, and what AllenSDK read in others."""

from __future__ import annotations

import importlib.util
import math
import pickle
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import h5py
import neuropixels as made_up
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import file_handler
from neuropixels import CHANNELS, PROBES, SESSION, UNITS, put, session_file, spikes_of, text

import openallen as oa
from openallen.errors import CorruptError, NotFoundError, OpenAllenError, UsageError
from openallen.sessions import open_nwb
from openallen.sessions.visual_coding.ecephys import EcephysSession

ALL = {
    "filter_by_validity": False,
    "filter_out_of_brain_units": False,
    "amplitude_cutoff_maximum": math.inf,
    "presence_ratio_minimum": -math.inf,
    "isi_violations_maximum": math.inf,
}


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """A session as AllenSDK's cache has it: LFP beside it, the table of channels above it."""
    folder = tmp_path_factory.mktemp("cache")
    path = session_file(folder / f"session_{SESSION}" / f"session_{SESSION}.nwb")
    made_up.lfp_file(path.with_name(f"probe_{PROBES['probeA']}_lfp.nwb"))
    (folder / "channels.csv").write_text("\n".join(made_up.channel_rows()) + "\n")
    return path


@pytest.fixture
def bare(tmp_path) -> Path:
    """A session by itself."""
    return session_file(tmp_path / "alone" / "session.nwb")


# --- which kind, and what it says of itself -------------------------------------------------------


def test_a_session_is_known_by_what_is_in_it(tmp_path, cache, bare, files):
    assert isinstance(oa.open(bare), EcephysSession)
    shutil.copy(bare, tmp_path / "any name.nwb")
    assert isinstance(open_nwb(tmp_path / "any name.nwb"), EcephysSession)
    lfp = open_nwb(cache.with_name(f"probe_{PROBES['probeA']}_lfp.nwb"))
    assert type(lfp).__name__ == "ProbeLfp"
    assert lfp.probe_id == PROBES["probeA"]
    assert type(open_nwb(files["ecephys"])).__name__ == "BehaviorEcephysSession"
    other = session_file(tmp_path / "other.nwb")
    put(other, "identifier", "no number")
    assert type(open_nwb(other)).__name__ == "NwbTables"


@pytest.mark.parametrize(
    "gone", ["units", "intervals", "general/devices", "general/extracellular_ephys/electrodes"]
)
def test_no_one_group_makes_the_kind(bare, gone):
    with h5py.File(bare, "r+") as file:
        del file[gone]
    assert isinstance(open_nwb(bare), EcephysSession)


def test_who_when_and_with_what(cache):
    session = oa.open(cache)
    assert session.metadata == {
        "specimen_name": "Made-1",
        "session_type": "brain_observatory_1.1",
        "full_genotype": "wt/wt",
        "sex": "F",
        "age_in_days": 120.0,
        "rig_equipment_name": "NP.1",
        "num_units": 4,
        "num_channels": 6,
        "num_probes": 2,
        "num_stimulus_presentations": 16,
        "session_start_time": pd.Timestamp("2019-01-08T00:26:20Z").to_pydatetime(),
        "ecephys_session_id": SESSION,
        "structure_acronyms": ["VISp", "CA1", pytest.approx(math.nan, nan_ok=True)],
        "stimulus_names": ["spontaneous", "gabors", "flashes", "natural_scenes"],
    }
    assert session.get_metadata()["strain"] == "C57BL/6J"
    rig = session.rig_geometry_data
    assert rig.loc["z", "camera_position_mm"] == 3
    assert rig["led_position_mm"].dtype == np.float32
    told = repr(session)
    assert "4 of 8, within the limits for quality" in told
    assert "16 presentations" in told
    assert "data:image/png" in session._repr_html_()


def test_what_is_told_is_what_there_is(cache):
    session = oa.open(cache)
    for name in session.list_data_attributes_and_methods():
        assert hasattr(session, name), name
    assert session.table("gabors_presentations").shape[0] == 6
    assert session.series("running_speed").size == 40
    sent = pickle.loads(pickle.dumps(oa.open(cache, amplitude_cutoff_maximum=0.01)))
    assert sent.num_units == 2


# --- units and channels ---------------------------------------------------------------------------


def test_units_are_filtered_joined_and_sorted(cache):
    session = oa.open(cache)
    units = session.units
    # Unit 1 lies on an invalid channel, 3 outside, 5 is noise, 7 is cut off: limits are inclusive.
    assert units.index.tolist() == [900, 902, 904, 906]
    assert units.index.name == "unit_id"
    assert units["probe_description"].tolist() == ["probeA", "probeA", "probeB", "probeB"]
    assert units["probe_id"].tolist() == [PROBES["probeA"]] * 2 + [PROBES["probeB"]] * 2
    assert list(units.columns[:4]) == [
        "waveform_PT_ratio", "waveform_amplitude", "amplitude_cutoff", "cluster_id",
    ]  # fmt: skip
    assert not {"quality", "valid_data", "waveform_halfwidth", "spike_times"} & set(units)
    assert units.loc[906, "ecephys_structure_acronym"] == "CA1"
    assert units.loc[906, "anterior_posterior_ccf_coordinate"] == 7002
    assert session.structurewise_unit_counts.to_dict() == {"VISp": 2, "CA1": 2}
    assert set(session.spike_times) == {900, 902, 904, 906}
    assert np.array_equal(session.spike_times[906], spikes_of(6))
    assert set(session.spike_amplitudes) == set(UNITS)
    every = oa.open(cache, **ALL)
    assert every.num_units == 8
    assert {"quality", "valid_data"} <= set(every.units)
    # Along a probe from its tip; units of one place as they lie in the file.
    assert every.units.index.tolist() == [900, 901, 902, 903, 904, 905, 906, 907]
    assert every.num_channels == 8
    assert np.isnan(every.channels.loc[CHANNELS["probeB"][3], "ecephys_structure_id"])


@pytest.mark.parametrize(
    ("option", "value", "count"),
    [
        ("filter_by_validity", False, 6),
        ("filter_out_of_brain_units", False, 5),
        ("amplitude_cutoff_maximum", 0.2, 5),
        ("amplitude_cutoff_maximum", 0.0499, 2),
        ("presence_ratio_minimum", 0.951, 0),
        ("isi_violations_maximum", 0.499, 0),
    ],
)
def test_each_limit_leaves_out_what_it_says(cache, option, value, count):
    with oa.open(cache, **{option: value}) as session:
        assert session.num_units == len(session.units) == len(session.spike_times) == count


def test_units_without_a_value_are_left_out(bare):
    put(bare, "units/isi_violations", np.array([np.nan, *[0.0] * 7]))
    assert 900 not in oa.open(bare).units.index
    assert 900 not in oa.open(bare, **ALL).units.index


def test_structures_come_from_a_table_or_the_file(tmp_path, cache, bare):
    alone = oa.open(bare)
    assert "ecephys_structure_acronym" not in alone.channels
    assert alone.structure_acronyms == ["VISp", "CA1", None]
    assert alone.structurewise_unit_counts.to_dict() == {"VISp": 2, "CA1": 2}
    ids = CHANNELS["probeA"]
    labels, begins = alone.channel_structure_intervals(ids[2:3] + ids[:1])
    assert (labels.tolist(), begins.tolist()) == (["CA1", "VISp"], [0, 1, 2])
    told = pd.read_csv(cache.parent.parent / "channels.csv")
    for given_table in (told, lambda: told.set_index("id"), lambda: None):
        session = oa.open(bare, channels=given_table)
        assert session.num_units == 4
    with_table = oa.open(bare, channels=told)
    pd.testing.assert_frame_equal(with_table.channels, oa.open(cache).channels)
    labels, begins = with_table.channel_structure_intervals(CHANNELS["probeA"][2:3])
    assert (labels.tolist(), begins.tolist()) == (["CA1"], [0, 1])
    with pytest.raises(NotFoundError, match="no channel 1"):
        with_table.channel_structure_intervals([1])
    with pytest.raises(UsageError, match="no channels were given"):
        with_table.channel_structure_intervals([])
    # A table of part of the channels leaves the others out, as in AllenSDK.
    assert oa.open(bare, channels=told[told["id"] != CHANNELS["probeA"][0]]).num_units == 3


def test_a_table_of_other_channels(cache, bare):
    other = pd.DataFrame({"ecephys_structure_id": [1], "ecephys_structure_acronym": ["X"]})
    with pytest.raises(UsageError, match="none of this session's"):
        _ = oa.open(bare, channels=other).channels
    with pytest.raises(UsageError, match="no ecephys_structure_id"):
        _ = oa.open(bare, channels=other[[]]).channels
    above = bare.parent.parent / "channels.csv"
    for content in (
        "id,ecephys_structure_id,ecephys_structure_acronym\n1,1,X\n",
        "a,b\n",
        "",
        "\0",
    ):
        above.write_text(content)
        assert oa.open(bare).structure_acronyms == ["VISp", "CA1", None]


def test_waveforms_lie_on_the_channels_of_their_probe(cache):
    found = oa.open(cache).mean_waveforms
    assert list(found) == [900, 902, 904, 906]
    one = found[904]
    assert one.dims == ("channel_id", "time")
    valid = [i for at, i in enumerate(CHANNELS["probeB"]) if at != 1]
    assert one["channel_id"].to_numpy().tolist() == valid
    assert np.allclose(one["time"], np.arange(made_up.SAMPLES) / 30000)
    stored = np.arange(8 * made_up.ROWS * made_up.SAMPLES).reshape(8, made_up.ROWS, -1)
    assert np.array_equal(one, stored[4, [1, 3, 4]])


@given(
    at=st.lists(st.integers(0, 300), unique=True).map(sorted),
    most=st.integers(1, 5),
)
@settings(max_examples=200, deadline=None)
def test_runs_of_rows_are_those_rows(at, most):
    from openallen.sessions.visual_coding.ecephys_units import runs

    found = list(runs(at, most))
    assert [row for first, last in found for row in range(first, last)] == at
    assert all(0 < last - first <= most for first, last in found)


# --- stimuli --------------------------------------------------------------------------------------


def test_presentations_are_one_table_in_order(cache):
    session = oa.open(cache)
    shown = session.stimulus_presentations
    assert shown.index.name == "stimulus_presentation_id"
    assert shown["start_time"].is_monotonic_increasing
    assert list(shown.columns[:4]) == [
        "stimulus_block", "start_time", "stop_time", "stimulus_name",
    ]  # fmt: skip
    assert list(shown.columns[-2:]) == ["duration", "stimulus_condition_id"]
    gabors = shown[shown["stimulus_name"] == "gabors"]
    assert gabors["orientation"].tolist() == [0.0, 45.0, 0.0, 45.0, "null", 90.0]
    assert gabors["size"].tolist() == ["[20.0, 20.0]"] * 5 + ["null"]
    assert gabors["stimulus_condition_id"].tolist() == [1, 2, 1, 2, 3, 4]
    assert shown["color"].tolist()[7:11] == [1.0, -1.0, 1.0, -1.0]
    assert (shown.loc[shown["stimulus_name"] == "spontaneous", "stimulus_block"] == "null").all()
    assert not {"opacity", "units", "stimulus_index", "tags"} & set(shown)
    conditions = session.stimulus_conditions
    assert conditions.index.name == "stimulus_condition_id"
    assert len(conditions) == 1 + 4 + 2 + 3
    assert conditions.loc[1, "opacity"] is True
    assert (conditions["color_triplet"] == "null").all()
    assert session.num_stimulus_presentations == len(shown) == 16


def test_tables_of_a_stimulus(cache):
    session = oa.open(cache)
    flashes = session.get_stimulus_table("flashes")
    assert set(flashes) == {
        "stimulus_block", "start_time", "stop_time", "stimulus_name", "color", "contrast",
        "duration", "stimulus_condition_id",
    }  # fmt: skip
    assert "units" in session.get_stimulus_table("gabors", include_detailed_parameters=True)
    assert "frame" in session.get_stimulus_table("gabors", include_unused_parameters=True)
    two = session.get_stimulus_table(["gabors", "flashes"])
    assert len(two) == 10
    nothing = session.get_stimulus_table("nothing")
    assert nothing.shape == (0, 0)
    assert nothing.index.name == "stimulus_presentation_id"
    values = session.get_parameter_values_for_stimulus("gabors", drop_nulls=False)
    assert values["orientation"].tolist() == [0.0, 45.0, 90.0, "null"]
    values = session.get_parameter_values_for_stimulus("gabors")
    assert values["orientation"].tolist() == [0.0, 45.0, 90.0]
    assert set(values) == {"orientation", "size", "x_position"}
    assert session.get_parameter_values_for_stimulus("spontaneous") == {}
    assert session.get_stimulus_parameter_values(7)["color"].tolist() == [1.0]
    with pytest.raises(NotFoundError, match="no presentation 99"):
        session.get_stimulus_parameter_values([1, 99])


def test_times_between_presentations_and_epochs(cache):
    session = oa.open(cache)
    between = session.inter_presentation_intervals
    assert between.index.names == ["from_presentation_id", "to_presentation_id"]
    assert between.loc[(7, 8), "interval"] == 0.75
    assert len(between) == 15
    assert len(session.get_inter_presentation_intervals_for_stimulus("flashes")) == 3
    assert len(session.get_inter_presentation_intervals_for_stimulus(["gabors", "flashes"])) == 9
    assert len(session.get_inter_presentation_intervals_for_stimulus("spontaneous")) == 0
    epochs = session.get_stimulus_epochs()
    assert epochs["stimulus_name"].tolist() == [
        "spontaneous", "gabors", "flashes", "spontaneous", "natural_scenes",
    ]  # fmt: skip
    assert epochs["duration"].tolist() == [1, 6, 3.25, 2, 2]
    longer = session.get_stimulus_epochs({"spontaneous": 2.0, "flashes": 3.3})
    assert longer.index.tolist() == [1, 3, 4]


def test_names_of_older_files(bare):
    with h5py.File(bare, "r+") as file:
        for name in list(file["intervals"]):
            del file["intervals"][name]
        names = ["natural_movie_1", "natural_movie_shuffled", "flash_250ms", "", "gabor_20_deg_250ms",
                 "natural_movie_1_more_repeats", "natural_movie_12", "Natural Images"]  # fmt: skip
        start = np.arange(8.0)
        made_up.presentations(file, "mixed", start, start + 1, Ori=np.arange(8.0), Pos_x=[5.0] * 8)
        put_names = file["intervals/mixed_presentations/stimulus_name"]
        put_names[:] = names
        made_up.presentations(file, "more", [9.0], [10.0], orientation=[90.0], contrast=[0.0])
        made_up.presentations(
            file, "most", [11.0], [12.0], Contrast=[1.0], color=["[1.0, 0.5, -1]"]
        )
    session = oa.open(bare)
    assert session.stimulus_names == [
        "natural_movie_one", "natural_movie_one_shuffled", "flashes", "spontaneous", "gabors",
        "natural_movie_one_more_repeats", "natural_movie_12", "natural_scenes", "more", "most",
    ]  # fmt: skip
    shown = session.get_stimulus_table(include_detailed_parameters=True)
    assert shown["orientation"].tolist() == [*np.arange(8.0), 90.0, "null"]
    assert shown["x_position"].tolist()[:2] == [5.0, 5.0]
    assert shown["contrast"].tolist()[-2:] == [0.0, 1.0]
    assert shown["color_triplet"].iloc[-1] == "[1.0, 0.5, -1]"
    assert not {"Ori", "Pos_x", "Contrast"} & set(shown)


def test_which_movie_was_shuffled_is_not_guessed(bare):
    with h5py.File(bare, "r+") as file:
        for name in list(file["intervals"]):
            del file["intervals"][name]
        for at, name in enumerate(
            ("natural_movie_one", "natural_movie_3", "natural_movie_shuffled")
        ):
            made_up.presentations(file, name, [float(at)], [at + 1.0])
    session = oa.open(bare)
    assert session.stimulus_names == [
        "natural_movie_one", "natural_movie_three", "natural_movie_shuffled",
    ]  # fmt: skip


def test_colours_that_are_none_stay_as_they_are(bare):
    put(bare, "intervals/flashes_presentations/color", text(["red", "[1.0]", "", "(" * 300]))
    found = oa.open(bare).get_stimulus_table("flashes", include_detailed_parameters=True)
    assert found["color"].tolist() == ["red", "[1.0]", "null", "(" * 300]


CELLS = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 45.0]), st.sampled_from(["a", "", "null"]))


@given(
    rows=st.lists(st.tuples(CELLS, CELLS, st.integers(0, 3)), min_size=1, max_size=25),
)
@settings(max_examples=100, deadline=None)
def test_conditions_number_distinct_rows_in_their_order(rows):
    from openallen.sessions.visual_coding.ecephys_stimuli import condition_ids

    table = pd.DataFrame(
        {
            "start_time": np.arange(len(rows), dtype=float),
            "a": pd.Series(["null" if r[0] is None else r[0] for r in rows], dtype=object),
            "b": pd.Series(["null" if r[1] is None else r[1] for r in rows], dtype=object),
            "c": [r[2] for r in rows],
        }
    )
    seen: dict[Any, int] = {}
    plain = [
        seen.setdefault(row[1:], len(seen)) for row in table.itertuples(index=False, name=None)
    ]
    assert condition_ids(table).tolist() == plain


# --- invalid times --------------------------------------------------------------------------------


def test_presentations_in_invalid_times_are_named_so(bare):
    with oa.open(bare) as session:
        assert session.invalid_times.shape == (0, 0)
    with h5py.File(bare, "r+") as file:
        made_up.invalid_times(
            file,
            (3.5, 4.0, ["stimulus"]),
            (3.6, 4.5, ["stimulus", "more"]),  # overlaps the one before
            (8.0, 8.1, ["EcephysProbe", "800000002", "probeA"]),
        )
    session = oa.open(bare)
    assert session.get_invalid_times()["tags"].tolist()[0] == ["stimulus"]
    shown = session.stimulus_presentations
    bad = shown[shown["stimulus_name"] == "invalid_presentation"]
    assert bad["start_time"].tolist() == [3.0, 4.0]  # 4.0 is when the first of them ends
    assert bad["stimulus_condition_id"].isna().all()
    assert bad["orientation"].isna().all()
    assert shown["stimulus_condition_id"].tolist()[1] == 1
    assert len(session.stimulus_conditions) == 10
    assert list(session.get_stimulus_table("invalid_presentation")) == [
        "start_time", "stop_time", "stimulus_name",
    ]  # fmt: skip
    assert session.get_parameter_values_for_stimulus("invalid_presentation") == {}
    assert "invalid times    3" in repr(session)


def test_lfp_is_masked_where_its_probe_was_invalid(tmp_path, cache):
    folder = tmp_path / "session_1"
    shutil.copytree(cache.parent, folder)
    path = folder / cache.name
    with h5py.File(path, "r+") as file:
        made_up.invalid_times(
            file,
            (10.0, 10.02, ["EcephysProbe", "1", "probeA"]),
            (10.01, 10.05, ["EcephysSession", "1", "all_probes"]),
            (10.5, 10.6, ["EcephysProbe", "2", "probeB"]),
            (10.8, 10.7, ["probeA"]),
        )
    session = oa.open(path)
    probe = PROBES["probeA"]
    stored = np.arange(200, dtype="float32").reshape(100, 2)
    whole = session.get_lfp(probe, mask_invalid_intervals=False)
    assert np.array_equal(whole, stored)
    assert whole["channel"].to_numpy().tolist() == [CHANNELS["probeA"][i] for i in (0, 2)]
    masked = session.get_lfp(probe)
    assert masked.dtype == np.float32
    assert masked.attrs["units"] == "V"
    gone = np.arange(100) <= 5
    expected = np.where(gone[:, None], np.nan, stored)
    assert np.array_equal(masked, expected, equal_nan=True)
    for cut in (np.s_[3], np.s_[3, 1], np.s_[50, 1], np.s_[:, 1], np.s_[4:9, ::-1], np.s_[[2, 70]]):
        assert np.array_equal(masked[cut], expected[cut], equal_nan=True)
    csd = session.get_current_source_density(probe)
    assert csd.dims == ("virtual_channel_index", "time")
    assert csd["horizontal_position"].to_numpy().tolist() == [24.5] * 3
    session.close()


def test_lfp_that_is_not_here_or_never_was(bare, cache):
    session = oa.open(bare)
    with pytest.raises(NotFoundError, match="LFP file of probe probeA is not here"):
        session.get_lfp(PROBES["probeA"])
    with pytest.raises(NotFoundError, match="probe probeB has no LFP"):
        session.get_lfp(PROBES["probeB"])
    with pytest.raises(NotFoundError, match="no probe 1"):
        session.get_current_source_density(1)
    asked = []

    def find(probe_id: int, name: str) -> Any:
        from openallen.formats.nwb import open_h5

        asked.append((probe_id, name))
        place = cache.with_name(f"probe_{probe_id}_lfp.nwb")
        return lambda: open_h5(place, str(place))

    with oa.open(bare, lfp=find) as given_one:
        assert given_one.get_lfp(PROBES["probeA"]).shape == (100, 2)
        assert given_one.get_current_source_density(PROBES["probeA"]).shape == (3, 7)
    assert asked == [(PROBES["probeA"], "probeA")]


# --- behaviour and spikes -------------------------------------------------------------------------


def test_running_eyes_and_light(cache):
    session = oa.open(cache)
    running = session.running_speed
    assert list(running) == ["start_time", "end_time", "velocity"]
    assert running.iloc[3].tolist() == [1.5, 2.0, 3.0]
    assert session.get_running_speed(include_rotation=True)["net_rotation"].iloc[3] == 0.15
    assert list(session.get_raw_running_data()) == [
        "frame_time", "net_rotation", "signal_voltage", "supply_voltage",
    ]  # fmt: skip
    gaze = session.get_screen_gaze_data()
    assert gaze.index.name == "Time (s)"
    assert gaze.shape == (40, 6)
    assert gaze["raw_screen_coordinates_x_cm"].iloc[2] == 101.0  # y lies before x in the file
    assert session.get_screen_gaze_data(include_filtered_data=True).shape == (40, 12)
    pupil = session.get_pupil_data()
    assert pupil["pupil_height"].iloc[0] == 4.0  # twice what the file has
    assert pupil["corneal_reflection_center_y"].iloc[0] == 1.0
    assert session.optogenetic_stimulation_epochs["level"].tolist() == [1.3, 1.9]


def test_spikes_by_presentation(cache):
    session = oa.open(cache)
    counts = session.presentationwise_spike_counts([0, 0.5, 1.0], [1, 2], [906, 900])
    spikes = session.spike_times[906]
    assert counts.dims == (
        "stimulus_presentation_id", "time_relative_to_stimulus_onset", "unit_id",
    )  # fmt: skip
    assert counts.sel(stimulus_presentation_id=2, unit_id=906).to_numpy().tolist() == [
        int(((spikes >= 3.0 + a) & (spikes <= 3.5 + a)).sum()) for a in (0, 0.5)
    ]
    assert session.presentationwise_spike_counts([0, 0.1], None, None).shape == (16, 1, 4)
    times = session.presentationwise_spike_times(1, 900)
    assert times["unit_id"].unique().tolist() == [900]
    statistics = session.conditionwise_spike_statistics([1, 2, 3], [900])
    assert statistics.loc[(900, 1), "stimulus_presentation_count"] == 2
    assert session.responses("gabors").shape == (4, 6)
    for call in (session.presentationwise_spike_times, session.conditionwise_spike_statistics):
        with pytest.raises(NotFoundError, match="no unit 901"):
            call(None, [901])
        with pytest.raises(NotFoundError, match="no presentation 99"):
            call([99], None)


# --- views ----------------------------------------------------------------------------------------


def test_views_draw_what_there_is(cache):
    session = oa.open(cache)
    views = {view.name: view for view in session._visuals()}
    assert list(views) == [
        "raster", "traces", "units", "probes", "channels", "stimulus_presentations",
        "stimulus_conditions", "stimulus_epochs", "light_pulses",
    ]  # fmt: skip
    raster = views["raster"]
    assert [row["id"] for row in raster.units()] == [902, 900, 906, 904]  # from the surface down
    assert [len(s) for s in raster.spikes()] == [len(spikes_of(n)) for n in (2, 0, 6, 4)]
    assert (raster.from_s, raster.to_s) == (0.0, 19.5)
    blocks = {i.name: i for i in raster.intervals}["blocks"].read()
    assert blocks[2] == ["spontaneous", "gabors", "flashes", "spontaneous", "natural_scenes"]
    assert [track.name for track in views["traces"].tracks] == ["running", "pupil"]
    for track in views["traces"].tracks:
        times, values = track.read()
        assert len(times) == len(values) == 40
    for name in list(views)[2:]:
        assert len(views[name].table()) > 0, name
    other = {v.name: v for v in oa.open(cache, **ALL)._visuals()}["raster"]
    assert other.source != raster.source  # counts of other units are kept apart
    assert len(other.units()) == 8


def test_the_overview_has_stimuli_spikes_running_and_pupil(cache):
    figure = oa.open(cache).plot()
    assert figure.get_suptitle().startswith(f"ecephys session {SESSION}")
    shown, spikes, running, pupil = figure.axes
    assert [t.get_text() for t in shown.texts] == ["gabors"]  # the others are too short
    assert len(shown.patches) == 5
    assert spikes.get_ylabel() == "spikes, 4 units"
    assert running.get_ylabel() == "running (cm/s)"
    assert pupil.get_ylabel() == "pupil (cm²)"
    first = oa.open(cache).get_stimulus_epochs({})["start_time"].min()
    assert figure.axes[0].get_xlim() == (first, first + 120.0)
    with pytest.raises(UsageError, match="ends before it begins"):
        oa.open(cache).plot((3, 1))


def test_the_overview_leaves_out_what_is_missing(tmp_path):
    gone = ("units", "intervals", "processing/running")
    figure = oa.open(session_file(tmp_path / "x.nwb", *gone)).plot()
    assert [axis.get_ylabel() for axis in figure.axes] == ["pupil (cm²)"]
    gone = (*gone, "processing/raw_gaze_mapping")
    with pytest.raises(NotFoundError, match="nothing to draw"):
        oa.open(session_file(tmp_path / "y.nwb", *gone)).plot()


def test_spikes_running_and_pupil_are_cut_around_events(cache):
    session = oa.open(cache)
    cut = session.align([2.0, 4.0], (0.0, 1.0), bin_s=1.0, rate=False)
    assert cut.dims == ("unit_id", "event", "time")
    assert cut.attrs["units"] == "spikes per bin"
    times = session.spike_times[900]
    assert cut.sel(unit_id=900)[1, 0] == ((times >= 4) & (times < 5)).sum()
    assert session.align([2.0], of="running_speed").attrs["units"] == "cm/s"
    assert session.align([2.0], of="pupil_area").attrs["units"] == "cm²"
    with pytest.raises(UsageError, match="'licks' cannot be aligned"):
        session.align([2.0], of="licks")


# --- what is missing or damaged -------------------------------------------------------------------

MISSING = {
    "units": ("units", "spike_times", "spike_amplitudes", "mean_waveforms",
              "structurewise_unit_counts"),
    "processing/running": ("running_speed",),
    "processing/optotagging": ("optogenetic_stimulation_epochs",),
    "units/spike_times": ("spike_times",),
    "units/waveform_mean": ("mean_waveforms",),
    "units/peak_channel_id": ("units",),
    "general/extracellular_ephys/electrodes/probe_vertical_position": ("units",),
    "session_start_time": ("session_start_time",),
}  # fmt: skip


@pytest.mark.parametrize("gone", MISSING)
def test_what_is_not_there_is_named_and_the_rest_works(bare, gone):
    with h5py.File(bare, "r+") as file:
        del file[gone]
    session = oa.open(bare)
    for name in MISSING[gone]:
        with pytest.raises(NotFoundError, match=r"not in this file|no units"):
            getattr(session, name)
    assert session.num_stimulus_presentations == 16
    assert session.stimulus_names[1] == "gabors"
    assert repr(session)
    assert all(view.kind for view in session._visuals())


def test_without_units_there_are_none(bare):
    with h5py.File(bare, "r+") as file:
        del file["units"]
    session = oa.open(bare)
    assert session.num_units == 0
    assert session.metadata["num_units"] == 0
    assert "units            none" in repr(session)


def test_without_eye_tracking_answers_are_none_as_in_allensdk(tmp_path):
    names = (
        "eye_tracking",
        "raw_gaze_mapping",
        "filtered_gaze_mapping",
        "eye_tracking_rig_metadata",
    )
    path = session_file(tmp_path / "x.nwb", *(f"processing/{n}" for n in names))
    session = oa.open(path)
    assert session.get_pupil_data() is None
    assert session.get_screen_gaze_data() is None
    assert session.rig_geometry_data is None
    assert session.rig_equipment_name is None
    assert session.metadata["rig_equipment_name"] is None


def test_a_session_without_genotype_and_without_stimuli(tmp_path):
    path = session_file(
        tmp_path / "x.nwb", "general/subject/genotype", "general/stimulus", "intervals"
    )
    session = oa.open(path)
    assert session.full_genotype is None
    assert session.session_type is None
    assert session.stimulus_names == []
    assert len(session.stimulus_presentations) == 0
    assert len(session.stimulus_conditions) == 0
    assert len(session.get_stimulus_epochs()) == 0
    assert len(session.inter_presentation_intervals) == 0
    assert "stimuli          none" in repr(session)
    assert session._picture() == ""


@pytest.mark.parametrize(
    ("place", "values", "name"),
    [
        ("units/id", np.array([900, 900, *range(902, 908)]), "units"),
        ("units/spike_times_index", np.array([5, 3, *range(4, 10)]), "spike_times"),
        ("units/spike_times_index", np.full(8, 10**9), "spike_times"),
        ("units/waveform_mean", np.zeros((8, 3, 5)), "mean_waveforms"),
        ("units/waveform_mean", np.zeros((8, 3)), "mean_waveforms"),
        ("units/waveform_mean", np.zeros((5, 6, 5)), "mean_waveforms"),
        ("units/id", np.zeros((8, 2)), "units"),
        ("units/isi_violations", text("abcdefgh"), "units"),
        ("units/spike_times", text("a" for n in range(8) for _ in spikes_of(n)), "spike_times"),
        ("units/waveform_mean", 1.0, "mean_waveforms"),
        ("session_start_time", "soon", "session_start_time"),
        ("general/extracellular_ephys/electrodes/probe_channel_number", np.full(8, -5),
         "mean_waveforms"),
        ("general/extracellular_ephys/electrodes/location", "one", "structure_acronyms"),
        ("general/extracellular_ephys/electrodes/valid_data", np.zeros((8, 2)), "units"),
        ("processing/optotagging/optogenetic_stimulation/start_time", text("ab"),
         "optogenetic_stimulation_epochs"),
        ("units/amplitude", np.zeros(3), "units"),
        ("processing/running/running_speed/timestamps", np.zeros(3), "running_speed"),
        ("processing/raw_gaze_mapping/eye_area/data", np.zeros(3), "get_screen_gaze_data"),
        ("processing/raw_gaze_mapping/screen_coordinates/data", np.zeros(40),
         "get_screen_gaze_data"),
        ("processing/eye_tracking/eye_ellipse_fits/phi", np.zeros(3), "get_pupil_data"),
        ("intervals/gabors_presentations/start_time", text("abcdef"), "stimulus_presentations"),
        ("intervals/gabors_presentations/orientation", np.zeros(2), "stimulus_presentations"),
    ],
)  # fmt: skip
def test_damage_is_told_and_costs_only_what_it_is_in(bare, place, values, name):
    put(bare, place, values)
    session = oa.open(bare)
    with pytest.raises(CorruptError):
        _read(session, name)
    assert session.ecephys_session_id == SESSION
    assert len(session.probes) == 2


def _read(session: EcephysSession, name: str) -> Any:
    found = getattr(session, name)
    return found() if callable(found) else found


@pytest.mark.parametrize("size", [0, 100, 5_000, 40_000])
def test_a_truncated_file_is_told(bare, size):
    whole = bare.read_bytes()
    bare.write_bytes(whole[:size])
    with pytest.raises(OpenAllenError):
        oa.open(bare)


def test_wrong_options_are_told(bare, files):
    with pytest.raises(UsageError, match="'amplitude' is not an option"):
        oa.open(bare, amplitude=1)
    with pytest.raises(UsageError, match="isi_violations_maximum is a number, or None"):
        oa.open(bare, isi_violations_maximum="much")
    with pytest.raises(OpenAllenError):
        oa.open(files["ecephys"], filter_by_validity=True)


# --- from afar ------------------------------------------------------------------------------------


def test_stimuli_from_afar_cost_nothing_of_the_spikes(tmp_path, loopback):
    path = session_file(tmp_path / "x.nwb")
    heavy = np.random.default_rng(1).uniform(0, 40, 2_000_000)  # 16 MB
    with h5py.File(path, "r+") as file:
        for name in ("spike_times", "spike_amplitudes"):
            del file["units"][name]
            file["units"][name] = heavy
        del file["units/waveform_mean"]
        file["units/waveform_mean"] = np.zeros((8, 374, 82))  # 2 MB
    server = loopback({"/x.nwb": file_handler(path.read_bytes())})

    def asked() -> int:
        """Bytes that were asked for so far."""
        total = 0
        for request in server.seen:
            found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
            total += int(found[2]) - int(found[1]) + 1 if found else 0
        return total

    with oa.open(f"{server.url}/x.nwb") as session:
        assert isinstance(session, EcephysSession)
        assert len(session.stimulus_presentations) == 16
        assert len(session.units) == 4
        assert session.metadata["num_channels"] == 6
        assert repr(session)
        before = asked()
        assert before < 600_000  # of 34 MB
        assert len(session.spike_times) == 4
        assert 15_500_000 < asked() - before < 17_000_000


# --- what AllenSDK read ---------------------------------------------------------------------------

SESSIONS = (721123822, 766640955)


def _oracle(shared: Path, session_id: int) -> Any:
    folder = shared / "nwb_observatory"
    if not folder.is_dir():
        pytest.skip("the observatory's made-up files are not here")
    spec = importlib.util.spec_from_file_location("oracle_io", folder / "oracle_io.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Oracle(str(folder / "oracle" / f"ecephys_session_{session_id}"))


def _call(told: str, session_id: int) -> str:
    """Return a recorded call as it is made here."""
    unfiltered = re.compile(rf"cache\.get_session_data\({session_id}, filter[^)]*\)")
    call = unfiltered.sub("unfiltered", told)
    call = call.replace(f"cache.get_session_data({session_id})", "session")
    call = call.replace("EcephysSession.from_nwb_path(file)", "bare").replace(
        "session.api.", "session."
    )
    call = call.replace("<class 'float'>", "float").replace("first probe", "bare.probes.index[0]")
    # Written out with three digits: the edges of the call were these.
    edges = re.compile(r"array\(\[0\. {3},.*?\]\)", re.DOTALL)
    return edges.sub("numpy.linspace(0, 0.02, 21)", call)


@pytest.mark.shared
@pytest.mark.parametrize("session_id", SESSIONS)
def test_each_call_gives_what_allensdk_gave(shared, tmp_path, session_id):
    oracle = _oracle(shared, session_id)
    path = shared / "nwb_observatory" / oracle.index["file"]
    alone = tmp_path / "alone" / "x.nwb"
    alone.parent.mkdir()
    shutil.copy(path, alone)
    session = oa.open(path)
    shown = session.stimulus_presentations["stimulus_name"]
    known = {
        "session": session,
        "unfiltered": oa.open(path, **ALL),
        "bare": oa.open(alone),
        "UNITS": list(session.units.index),
        "SHOWN": lambda name: list(shown.index[shown == name]),
        "numpy": np,
        "array": np.array,
    }
    equal = 0
    for entry, told in oracle.entries.items():
        call = _call(told["call"], session_id)
        if entry == "spike_times@unfiltered":
            call = (
                "{k: v for k, v in unfiltered.spike_times.items() if k not in session.spike_times}"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if told["form"] == "raises":
                _refused_or_known(call, known)
                continue
            found = eval(call, known)
        assert oracle.compare(entry, _as_recorded(entry, told, found), strict=True) == [], entry
        equal += 1
    assert equal > 115


def _refused_or_known(call: str, known: dict[str, Any]) -> None:
    """Check what AllenSDK raised at: structures are answered from the file, all else is refused."""
    if "structure" in call or "metadata" in call:
        assert len(eval(call, known)) > 0
        return
    with pytest.raises(OpenAllenError):
        eval(call, known)


def _as_recorded(entry: str, told: dict[str, Any], found: Any) -> Any:
    if entry.endswith((".labels", ".intervals")):
        return list(found[0]) if entry.endswith(".labels") else found[1]
    if told["form"] == "mapping":
        return {k: list(v) if isinstance(v, np.ndarray) else v for k, v in found.items()}
    if told["form"] == "dataframe" and "stimulus" in entry and set(found) == set(told["dtypes"]):
        return found[list(told["dtypes"])]  # AllenSDK orders these columns anew at every run
    return found


# --- odd, but legal ------------------------------------------------------------------------------


def test_presentations_without_names_are_spontaneous_activity(tmp_path):
    path = session_file(tmp_path / "s.nwb", "intervals/spontaneous_presentations/stimulus_name")
    with oa.open(path) as session:
        assert session.stimulus_names[0] == "spontaneous"


def test_colours_of_three_parts_that_have_a_column_of_their_own_stay(tmp_path):
    path = session_file(tmp_path / "s.nwb")
    three = text(["", "[0.5, 0.5, 0.5]", "", ""])
    put(path, "intervals/flashes_presentations/color_triplet", three)
    with oa.open(path) as session:
        shown = session.get_stimulus_table("flashes", include_detailed_parameters=True)
        assert shown["color_triplet"].tolist() == ["null", "[0.5, 0.5, 0.5]", "null", "null"]
        assert shown["color"].tolist() == [1.0, -1.0, 1.0, -1.0]


def test_gaze_has_the_clock_of_the_eye(tmp_path):
    path = session_file(tmp_path / "s.nwb")
    times = np.arange(0.0, 20.0, 0.5)
    put(path, "processing/raw_gaze_mapping/pupil_area/timestamps", times + 7)
    with oa.open(path) as session:
        for table in (session.get_screen_gaze_data(), session.get_pupil_data()):
            assert table.index.tolist() == times.tolist()


def test_waveforms_go_along_the_probe_wherever_channels_stand_in_the_file(tmp_path):
    path = session_file(tmp_path / "s.nwb")
    with oa.open(path, **ALL) as session:
        wanted = session.mean_waveforms
    with h5py.File(path, "r+") as file:
        table = file["general/extracellular_ephys/electrodes"]
        for name in table:
            table[name][...] = table[name][()][::-1]
    with oa.open(path, **ALL) as session:
        for unit, found in session.mean_waveforms.items():
            assert found.identical(wanted[unit])


def test_channels_before_the_first_of_a_waveform_are_refused(tmp_path):
    path = session_file(tmp_path / "s.nwb")
    with h5py.File(path, "r+") as file:
        file["general/extracellular_ephys/electrodes/probe_channel_number"][0] = -1
    with (
        oa.open(path, **ALL) as session,
        pytest.raises(CorruptError, match="channels -1 to 4"),
    ):
        _ = session.mean_waveforms


def test_no_limit_is_none(tmp_path):
    path = session_file(tmp_path / "s.nwb")
    names = [n for n in ALL if n.endswith("imum")]
    with oa.open(path, **ALL) as every, oa.open(path, **ALL | dict.fromkeys(names)) as none:
        assert none.units.index.tolist() == every.units.index.tolist()


def test_electrodes_of_older_files(tmp_path):
    path = session_file(tmp_path / "s.nwb")
    with oa.open(path) as session:
        wanted = session.channels
    place = "general/extracellular_ephys/electrodes"
    with h5py.File(path, "r+") as file:
        file.copy(f"{place}/probe_channel_number", f"{place}/local_index")
        del file[f"{place}/filtering"]
    with (
        oa.open(path) as session,
        pytest.raises(CorruptError, match="both local_index and probe_channel_number"),
    ):
        _ = session.channels
    with h5py.File(path, "r+") as file:
        del file[f"{place}/probe_channel_number"]
    with oa.open(path) as session:
        found = session.channels
        assert found["filtering"].str.startswith("AP band").all()
        pd.testing.assert_frame_equal(
            found.drop(columns="filtering"), wanted.drop(columns="filtering")
        )
        assert len(session.mean_waveforms)


def test_presentations_in_invalid_times_are_in_no_condition(tmp_path):
    path = session_file(tmp_path / "s.nwb")
    with oa.open(path) as session:
        wanted = session.conditionwise_spike_statistics()
    with h5py.File(path, "r+") as file:
        made_up.invalid_times(file, (8.5, 9.1, ["stimulus"]))
    with oa.open(path) as session:
        found = session.conditionwise_spike_statistics()
        assert (session.stimulus_presentations["stimulus_name"] == "invalid_presentation").any()
        assert (
            found["stimulus_presentation_count"].sum() < wanted["stimulus_presentation_count"].sum()
        )
        assert set(found.index) <= set(wanted.index)
