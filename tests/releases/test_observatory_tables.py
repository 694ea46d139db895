"""Visual Coding Neuropixels: joined tables, filters told by number, metrics, templates; bad input."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from observatory import FILES, METRICS, UNITS, publish_cache, write_cache

import openallen as oa
from openallen import maintenance
from openallen.address import Condition
from openallen.errors import CorruptError, NotFoundError, OfflineError, RefusedError, UsageError
from openallen.sources.releases.observatory import NeuropixelsRelease
from openallen.sources.releases.observatory.unit_filters import UnitFilters

NAME = "release:visual-coding-neuropixels"
ALL = {
    "filter_by_validity": False,
    "filter_out_of_brain_units": False,
    "amplitude_cutoff_maximum": math.inf,
    "presence_ratio_minimum": -math.inf,
    "isi_violations_maximum": math.inf,
}


@pytest.fixture
def folder(tmp_path):
    return write_cache(tmp_path / "ecephys_cache")


@pytest.fixture
def cache(folder) -> NeuropixelsRelease:
    return oa.open(folder)


@pytest.fixture
def online(release, tmp_path):
    """The same files in the bucket of the project, on an S3 server on loopback."""
    remove = publish_cache(release.endpoint, write_cache(tmp_path / "published"))
    yield release
    remove()


def ids(frame):
    return [int(i) for i in frame.index]


# --- joins ----------------------------------------------------------------------------------------


def test_units_stand_beside_channel_probe_and_session_in_their_own_order(cache):
    units = cache.table("units", filtered=False, suppress=())
    # 8 has a channel that is in no table, 9 a probe whose session is in none.
    assert ids(units) == [5, 1, 2, 3, 4, 6, 7, 10]
    assert units.index.name == "id"
    assert list(units.columns) == [
        "waveform_PT_ratio", "waveform_amplitude", "amplitude_cutoff", "isi_violations", "L_ratio",
        "presence_ratio", "snr", "ecephys_channel_id", "local_index_unit", "quality",
        "epoch_name_quality_metrics", "epoch_name_waveform_metrics", "ecephys_probe_id",
        "local_index_channel", "probe_horizontal_position", "probe_vertical_position",
        "anterior_posterior_ccf_coordinate", "dorsal_ventral_ccf_coordinate",
        "left_right_ccf_coordinate", "ecephys_structure_id", "ecephys_structure_acronym",
        "air_channel_index", "ecephys_session_id", "lfp_sampling_rate", "name", "phase",
        "sampling_rate", "surface_channel_index", "has_lfp_data", "lfp_temporal_subsampling_factor",
        "date_of_acquisition", "published_at", "specimen_id", "session_type", "isi_experiment_id",
        "age_in_days", "sex", "genotype", "has_nwb",
    ]  # fmt: skip
    assert units.loc[5, "ecephys_structure_acronym"] == "CA1"
    assert units.loc[5, "session_type"] == "functional_connectivity"
    assert units.loc[4, ["local_index_unit", "local_index_channel"]].tolist() == [3, 2]
    assert units["ecephys_structure_acronym"].isna().tolist() == [i in {3, 10} for i in units.index]
    assert units["ecephys_session_id"].dtype == "int64"


def test_default_columns_are_those_of_allensdk(cache):
    assert list(cache.table("channels").columns)[-6:] == [
        "ecephys_session_id", "lfp_sampling_rate", "phase", "sampling_rate", "has_lfp_data",
        "unit_count",
    ]  # fmt: skip
    assert "probe_name" in cache.table("channels", suppress=())
    assert list(cache.table("probes").columns) == [
        "ecephys_session_id", "lfp_sampling_rate", "name", "phase", "sampling_rate", "has_lfp_data",
        "unit_count", "channel_count", "ecephys_structure_acronyms",
    ]  # fmt: skip
    assert list(cache.table("sessions").columns) == [
        "published_at", "specimen_id", "session_type", "age_in_days", "sex", "full_genotype",
        "unit_count", "channel_count", "probe_count", "ecephys_structure_acronyms",
    ]  # fmt: skip
    assert "has_nwb" in cache.get_session_table(suppress=[])
    assert "snr" not in cache.get_units(suppress=["snr"])
    assert "has_nwb" in cache.get_units(suppress=["snr"])


def test_counts_are_of_what_passes_and_is_joined(cache):
    probes = cache.table("probes")
    assert ids(probes) == [101, 102, 103]  # 104 is of a session that is in no table
    assert probes["unit_count"].tolist() == [2, 0, 1]
    assert probes["channel_count"].tolist() == [3, 1, 1]
    rates = probes["lfp_sampling_rate"].tolist()
    assert rates[0] == 1250.0
    assert math.isnan(rates[1])
    assert math.isnan(rates[2])
    sessions = cache.table("sessions")
    assert sessions["unit_count"].tolist() == [2, 1, 0]
    assert sessions["probe_count"].tolist() == [2, 1, 0]
    first, second, none = sessions["ecephys_structure_acronyms"]
    assert first.tolist()[:2] == ["VISp", "VISam"]  # in the order of the channels, each once
    assert math.isnan(first[2])
    assert second.tolist() == ["CA1"]
    assert none.tolist() == []
    assert cache.get_session_table()["ecephys_structure_acronyms"].tolist()[2] == 0
    assert cache.table("sessions", filtered=False)["unit_count"].tolist() == [7, 1, 0]
    assert cache.table("channels")["unit_count"].tolist() == [0, 1, 1, 1, 0]


def test_values_in_the_order_they_come_up(cache):
    assert cache.get_all_session_types() == ["brain_observatory_1.1", "functional_connectivity"]
    assert cache.get_all_ages() == [125.0, 133.0, 118.0]
    assert cache.get_all_sexes() == ["M", "F"]
    genotypes = cache.get_all_full_genotypes(suppress=[])
    assert genotypes[:2] == ["wt/wt", "Pvalb-IRES-Cre/wt"]
    assert math.isnan(genotypes[2])
    assert cache.get_structure_acronyms()[:2] == ["VISp", "VISam"]
    with pytest.raises(UsageError, match="no such option 'supress'"):
        cache.get_all_ages(supress=[])


# --- filters --------------------------------------------------------------------------------------


def test_every_filter_tells_how_many_units_it_leaves_out(cache):
    units = cache.table("units")
    assert ids(units) == [5, 1, 10]
    assert units.attrs["notes"] == [
        "amplitude_cutoff_maximum=0.1 leaves out 2 units",
        "presence_ratio_minimum=0.95 leaves out 1 unit",
        "isi_violations_maximum=0.5 leaves out 1 unit",
        "filter_by_validity leaves out 1 unit",
        "filter_out_of_brain_units leaves out 1 unit",
        "1 unit left out: the channel, probe or session is in no table",
        "3 of 10 units are left; filtered=False: all",
    ]
    assert "quality" not in units
    assert ids(oa.open(cache.folder).get_units()) == ids(units)


def test_filters_by_name_go_before_the_defaults(cache):
    assert ids(cache.table("units", amplitude_cutoff_maximum=0.5)) == [5, 1, 2, 10]
    assert ids(cache.table("units", filtered=False, presence_ratio_minimum=0.99)) == [
        5, 2, 4, 6, 7, 10,
    ]  # fmt: skip
    loose = {"amplitude_cutoff_maximum": None, "presence_ratio_minimum": None}
    assert ids(cache.table("units", **loose)) == [5, 1, 2, 3, 7, 10]
    # A unit without a value passes where there is no limit; AllenSDK leaves it out all the same.
    assert ids(cache.get_units(**loose)) == [5, 1, 2, 3, 10]
    assert ids(cache.get_units(**ALL)) == [5, 1, 2, 3, 4, 6, 10]
    assert "quality" in cache.get_units(filter_by_validity=False)


@given(st.lists(st.floats(0, 1, width=32) | st.none(), max_size=8), st.floats(0, 1, width=32))
def test_plain_rows_and_tables_agree_on_limits(values, limit):
    import pandas as pd

    frame = pd.DataFrame(
        {
            "amplitude_cutoff": pd.Series(values, dtype=float),
            "presence_ratio": 1.0,
            "isi_violations": 0.0,
            "quality": "good",
            "ecephys_channel_id": 1,
        }
    )
    filters = UnitFilters.read({"amplitude_cutoff_maximum": limit}, filtered=True, address="units")
    kept, _ = filters.apply(frame, pd.Index([1]), "units")
    rows = [
        {"amplitude_cutoff": v, "presence_ratio": 1.0, "isi_violations": 0.0, "quality": "good"}
        for v in values
    ]
    assert list(kept.index) == [i for i, row in enumerate(rows) if filters.passes(row)]


@pytest.mark.parametrize(
    ("options", "what", "hint"),
    [
        ({"amplitude_cutof_maximum": 1}, "no such option 'amplitude_cutof_maximum'", "amplitude_"),
        ({"amplitude_cutoff_maximum": "much"}, "is a number, not 'much'", "amplitude_cutoff"),
        ({"isi_violations_maximum": True}, "is a number, not True", "isi_violations_maximum"),
        ({"presence_ratio_minimum": math.nan}, "is a number, not nan", "presence_ratio"),
        ({"filter_by_validity": "perhaps"}, "is true or false, not 'perhaps'", "=true"),
        ({"filtered": 3}, "is true or false, not 3", "filtered=true"),
        ({"suppress": ["snrr"]}, "no such column 'snrr'", "snr"),
    ],
)
def test_filters_that_are_none_are_named_with_what_was_meant(cache, options, what, hint):
    with pytest.raises(UsageError, match=what) as caught:
        cache.table("units", **options)
    assert hint in caught.value.hint
    assert "/units" in caught.value.address


# --- analysis metrics -----------------------------------------------------------------------------


def test_metrics_of_a_type_stand_behind_their_units_in_the_order_of_units(cache):
    metrics = cache.get_unit_analysis_metrics_by_session_type("brain_observatory_1.1")
    assert ids(metrics) == [1, 10]
    assert metrics.index.name == "ecephys_unit_id"
    assert list(metrics.columns)[-3:] == ["pref_ori_dg", "on_screen_rf", "p_value_rf"]
    assert metrics["on_screen_rf"].dtype == bool
    assert metrics["on_screen_rf"].tolist() == [False, True]
    assert metrics["pref_ori_dg"].tolist()[0] == 45.0
    plain = cache.get_unit_analysis_metrics_by_session_type("brain_observatory_1.1", annotate=False)
    assert ids(plain) == [2, 1, 10]
    assert list(plain.columns) == ["pref_ori_dg", "on_screen_rf", "p_value_rf"]
    every = cache.get_unit_analysis_metrics_by_session_type("brain_observatory_1.1", **ALL)
    assert ids(every) == [1, 2, 10]
    table = cache.table("brain_observatory_1.1_analysis_metrics", filtered=False)
    assert ids(table) == [1, 2, 10]


def test_swapped_columns_are_put_back_under_their_own_names(cache):
    swapped = cache.get_unit_analysis_metrics_by_session_type("functional_connectivity")
    assert swapped["p_value_rf"].tolist() == [0.5]
    assert swapped["on_screen_rf"].tolist() == [True]


def test_metrics_of_a_session_come_from_its_own_file_or_from_that_of_its_type(cache, folder):
    own = cache.get_unit_analysis_metrics_for_session(11, annotate=False)
    assert ids(own) == [2, 1]
    (folder / "session_11" / "session_11_analysis_metrics.csv").unlink()
    told = oa.open(folder).get_unit_analysis_metrics_for_session(11, annotate=False)
    assert ids(told) == [2, 1, 10]
    assert ids(oa.open(folder).get_unit_analysis_metrics_for_session(11)) == [1, 10]
    with pytest.raises(NotFoundError, match="no such session"):
        cache.get_unit_analysis_metrics_for_session(77)
    with pytest.raises(NotFoundError, match="no analysis metrics of this session"):
        cache.get_unit_analysis_metrics_for_session(13)


def test_types_of_sessions_that_are_none_are_named_with_what_was_meant(cache):
    with pytest.raises(NotFoundError, match="analysis metrics of sessions of the type") as caught:
        cache.get_unit_analysis_metrics_by_session_type("brain_observatory_1.0")
    assert "functional_connectivity" in caught.value.why
    assert caught.value.hint.endswith("/brain_observatory_1.1_analysis_metrics")


# --- templates and sessions -----------------------------------------------------------------------


def test_movies_and_scenes_are_arrays(cache):
    movie, scene = cache.get_natural_movie_template(1), cache.get_natural_scene_template(5)
    assert movie.tolist()[1][2] == [20, 21, 22, 23]
    assert movie.dtype == scene.dtype == "uint8"
    assert scene.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    with pytest.raises(NotFoundError, match="no natural scene 6") as caught:
        cache.get_natural_scene_template(6)
    assert "there are 5" in caught.value.why


def test_a_movie_opens_by_address_though_its_name_says_another_form(folder, monkeypatch):
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    where = f"{NAME}/files/natural_movie_templates/natural_movie_1.h5"
    assert oa.open(where, to=folder).shape == (2, 3, 4)
    assert oa.open(f"{NAME}/natural_scene_templates/natural_scene_5.tiff", to=folder).shape == (
        3,
        4,
    )


@pytest.mark.parametrize("body", [b"", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY\x01\x00v\x00{'descr'"])
def test_damaged_templates_are_named(cache, folder, body):
    (folder / "natural_movie_templates" / "natural_movie_1.h5").write_bytes(body)
    with pytest.raises(CorruptError, match="not the frames of a movie"):
        cache.get_natural_movie_template(1)
    scene = folder / "natural_scene_templates" / "natural_scene_5.tiff"
    scene.write_bytes(body + scene.read_bytes()[:40])
    with pytest.raises(CorruptError, match="not a scene"):
        cache.get_natural_scene_template(5)


def test_a_pickle_is_never_loaded(cache, folder):
    import numpy as np

    with (folder / "natural_movie_templates" / "natural_movie_1.h5").open("wb") as file:
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CorruptError, match="not the frames of a movie"):
        cache.get_natural_movie_template(1)


def test_a_session_that_is_not_there_is_named(cache):
    with pytest.raises(NotFoundError, match="no 'ecephys_session'"):
        cache.get_session_data(11)


# --- plain rows -----------------------------------------------------------------------------------


def listed(cache, table, *conditions):
    return [row["id"] for row in cache.rows(table, *map(Condition.parse, conditions))]


def test_rows_need_no_table_library(cache, monkeypatch):
    for name in ("pandas", "numpy", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    assert listed(cache, "units") == [5, 1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert listed(cache, "units", "filtered=true") == [5, 1, 9, 10]
    assert listed(cache, "units", "ecephys_structure_acronym=VISam") == [1, 2, 7]
    assert listed(cache, "units", "session_type=functional_connectivity") == [5]
    assert listed(cache, "units", "waveform_amplitude>160", "quality=good") == [8, 9, 10]
    assert listed(cache, "units", "amplitude_cutoff_maximum=0.1") == [5, 1, 3, 4, 6, 8, 9, 10]
    assert listed(cache, "channels", "session_type=functional_connectivity") == [1004]
    assert listed(cache, "probes", "lfp_sampling_rate=1250") == [101, 104]
    assert listed(cache, "sessions", "unit_count>1", "filtered=true") == [11]
    assert listed(cache, "probes", "unit_count>1") == [101, 102]
    assert listed(cache, "channels", "unit_count=3") == [1001]
    row = next(iter(cache.rows("units")))
    assert list(row)[: UNITS.split("\n")[0].count(",") + 1] == UNITS.split("\n")[0].split(",")
    assert row["local_index_channel"] == 1


def test_counts_of_rows_are_those_of_tables(cache):
    told = {row["id"]: row for row in cache.rows("sessions", Condition.parse("filtered=true"))}
    table = cache.table("sessions")
    for name in ("unit_count", "channel_count", "probe_count"):
        assert [told[i][name] for i in table.index] == table[name].tolist()
    assert told[11]["ecephys_structure_acronyms"] == ["VISp", "VISam", None]


def test_a_condition_on_no_column_is_named(cache):
    with pytest.raises(UsageError, match="session_typ"):
        list(cache.rows("units", Condition.parse("session_typ=x")))
    with pytest.raises(UsageError, match="is a number, not 'x'"):
        cache.made_rows("units", [Condition.parse("amplitude_cutoff_maximum=x")])


# --- the bucket, the store, folders ---------------------------------------------------------------


def test_the_bucket_has_the_same_tables_as_the_folder(online, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    opened = oa.open(NAME)
    assert isinstance(opened, NeuropixelsRelease)
    for name in ("sessions", "probes", "channels", "units"):
        assert opened.table(name).equals(cache.table(name)), name
    assert oa.open(f"{NAME}/units", filtered=False).index.tolist() == [5, 1, 2, 3, 4, 6, 7, 10]
    assert opened.get_natural_movie_template(1).shape == (2, 3, 4)
    with pytest.raises(UsageError, match="no such option 'filterd'"):
        oa.open(f"{NAME}/units", filterd=False)
    with pytest.raises(UsageError, match="'remote' of tables"):
        oa.open(f"{NAME}/units", remote=True)
    rows = oa.list(f"{NAME}/units", ecephys_structure_acronym="VISp")
    assert [row["id"] for row in rows] == [4, 6]
    assert "filtered=true" in rows.notes[-1]
    assert [
        r["id"]
        for r in oa.list(f"{NAME}/units", filtered="true", session_type="functional_connectivity")
    ] == [5]
    with pytest.raises(UsageError, match="quallity") as caught:
        oa.list(f"{NAME}/units", quallity="good")
    assert "quality" in caught.value.hint
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", "")
    assert oa.open(NAME).table("units").equals(cache.table("units"))
    with pytest.raises(OfflineError):
        oa.open(NAME).get_natural_scene_template(5)


def test_a_cache_of_allensdk_opens_with_nothing_asked_and_nothing_written(folder, monkeypatch):
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    before = sorted(folder.rglob("*"))
    opened = oa.open(folder)
    assert isinstance(opened, NeuropixelsRelease)
    assert opened.folder == folder
    assert len(opened.files) == len(FILES) + 2
    assert len(opened.get_units()) == 3
    assert oa.open(NAME, to=folder).table("units").equals(opened.table("units"))
    assert sorted(folder.rglob("*")) == before
    assert "sessions" in str(oa.show(folder)["tables"])


def test_a_cache_is_adopted_in_place_or_into_the_store(online, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    (folder / "units.csv").write_text(UNITS.replace("0.5,100.0", "0.5,101.0"))
    told = maintenance.adopt(folder)
    opened = oa.open(NAME)
    assert opened.path("table", "sessions").samefile(folder / "sessions.csv")
    assert not opened.path("table", "units").exists()  # it is not what was published
    assert opened.table("units")["waveform_amplitude"].tolist()[0] == 100.0
    assert told is not None
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "other"))
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", "")
    told = maintenance.adopt(folder, in_place=True)
    assert told["left_behind"] == []
    held = [row for row in maintenance.held() if row["files"]]
    assert [row["files"] for row in held] == [len(FILES) + 2]
    with pytest.raises(RefusedError, match="adopted in place"):
        maintenance.prune([held[0]["address"]], dry_run=False)
    assert oa.open(NAME).table("units")["waveform_amplitude"].tolist()[0] == 101.0


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"manifest": 3}', '{"manifest": [3]}', "\xff", '{"manifest": []}']
)
def test_other_folders_with_a_manifest_are_left_to_others(tmp_path, text):
    from openallen.sources.releases.folders import is_release

    (tmp_path / "manifest.json").write_text(text, "latin-1")
    assert not is_release(tmp_path)


# --- bad tables -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "column", "who"),
    [
        ("units", "ecephys_channel_id", "no column ecephys_channel_id"),
        ("channels", "ecephys_probe_id", "no column ecephys_probe_id"),
        ("probes", "ecephys_session_id", "no column ecephys_session_id"),
        ("units", "quality", "no column quality"),
        ("units", "amplitude_cutoff", "no column amplitude_cutoff"),
        ("sessions", "id", "no column id"),
    ],
)
def test_a_table_without_the_column_that_joins_it_is_named(tmp_path, table, column, who):
    text = FILES[f"{table}.csv"].replace(column, "other", 1)
    opened = oa.open(write_cache(tmp_path / "cache", **{table: text}))
    with pytest.raises(CorruptError) as caught:
        opened.table("units")
    assert who in caught.value.why
    assert table in caught.value.address


@pytest.mark.parametrize("text", ["", "id\n1,2,3\n", "\x00\x01", 'id,a\n1,"x'])
def test_damaged_tables_are_named(tmp_path, text):
    opened = oa.open(write_cache(tmp_path / "cache", units=text))
    with pytest.raises(CorruptError) as caught:
        opened.table("units")
    assert "units" in caught.value.address


def test_ids_that_repeat_are_an_error(tmp_path):
    channels = FILES["channels.csv"] + FILES["channels.csv"].splitlines()[1] + "\n"
    opened = oa.open(write_cache(tmp_path / "cache", channels=channels))
    with pytest.raises(CorruptError, match="ids repeat in the table of channels"):
        opened.table("units")
    metrics = {"brain_observatory_1.1_analysis_metrics": METRICS + METRICS.splitlines()[1] + "\n"}
    opened = oa.open(write_cache(tmp_path / "more", **metrics))
    with pytest.raises(CorruptError, match="units repeat"):
        opened.table("brain_observatory_1.1_analysis_metrics")


def test_a_table_that_is_missing_is_named(folder):
    (folder / "channels.csv").unlink()
    with pytest.raises(NotFoundError, match="no table 'channels'"):
        oa.open(folder).table("units")
    with pytest.raises(NotFoundError, match="no table 'channels'"):
        list(oa.open(folder).rows("units"))
    with pytest.raises(NotFoundError, match="no table 'nonsense'"):
        oa.open(folder).table("nonsense")


def test_tables_without_rows_have_their_columns(tmp_path):
    empty = {n: FILES[f"{n}.csv"].split("\n")[0] + "\n" for n in ("units", "channels")}
    opened = oa.open(write_cache(tmp_path / "cache", **empty))
    assert opened.table("units").empty
    assert opened.table("sessions")["unit_count"].tolist() == [0, 0, 0]
    assert list(opened.rows("units")) == []


def test_tables_go_to_arrow(cache):
    assert cache.to_arrow("units").num_rows == 3
    table = cache.to_arrow("sessions")
    assert table.column("unit_count").to_pylist() == [2, 1, 0]
    assert table.column("ecephys_structure_acronyms").to_pylist()[1] == ["CA1"]
