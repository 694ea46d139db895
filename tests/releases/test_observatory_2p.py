"""Visual Coding, two-photon: tables of rows of a service on loopback, filtered by name."""

from __future__ import annotations

import json
import sys

import pytest
from buckets import connect, empty_bucket
from observatory import BUCKET, CELLS, CONTAINERS, EXPERIMENTS, ROWS, service

import openallen as oa
from openallen.address import Condition
from openallen.errors import AnswerError, CorruptError, NotFoundError, OfflineError, UsageError
from openallen.sources.releases.observatory import TwoPhotonRelease
from openallen.sources.releases.observatory.stimuli import STIMULI, stimuli_of

NAME = "release:visual-coding-2p"
QUERY = "/api/v2/data/query.json"
KEYS = {name: [] for name in ("EXPERIMENT_CONTAINERS", "EXPERIMENTS")}


@pytest.fixture
def folder(tmp_path):
    """A folder as AllenSDK's cache fills it, with rows of all kinds."""
    told = {"manifest": [{"key": key, "type": "file"} for key in KEYS]}
    files = {
        "manifest": told,
        "experiment_containers": CONTAINERS,
        "ophys_experiments": EXPERIMENTS,
        "cell_specimens": CELLS,
        "stimulus_mappings": ROWS["ApiCamStimulusMapping"],
    }
    place = tmp_path / "boc"
    (place / "ophys_experiment_data").mkdir(parents=True)
    for name, rows in files.items():
        (place / f"{name}.json").write_text(json.dumps(rows))
    return place


@pytest.fixture
def cache(folder, monkeypatch) -> TwoPhotonRelease:
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    return oa.open(folder)


def ids(rows):
    return [row["id"] for row in rows]


# --- AllenSDK's simple form -----------------------------------------------------------------------


def test_containers_are_flat_with_allensdk_names(cache):
    assert cache.get_experiment_containers() == [
        {
            "id": 70, "imaging_depth": 175, "targeted_structure": "VISp",
            "cre_line": "Cux2-CreERT2", "reporter_line": "Ai93(TITL-GCaMP6f)", "donor_name": "1",
            "specimen_name": "mouse-1", "tags": [], "failed": False,
        },
        {
            "id": 71, "imaging_depth": 275, "targeted_structure": "VISl",
            "cre_line": "Rorb-IRES2-Cre", "reporter_line": "Ai93(TITL-GCaMP6f)-hyg",
            "donor_name": "2", "specimen_name": "mouse-2", "tags": [], "failed": False,
        },
    ]  # fmt: skip
    failed = cache.get_experiment_containers(ids=[72], include_failed=True)
    assert failed[0]["tags"] == ["odd"]
    assert (failed[0]["cre_line"], failed[0]["reporter_line"]) == (None, None)
    assert cache.get_experiment_containers(simple=False) == CONTAINERS[:2]


def test_experiments_are_flat_with_allensdk_names(cache):
    assert cache.get_ophys_experiments()[1] == {
        "id": 802, "imaging_depth": 175, "targeted_structure": "VISp",
        "cre_line": "Cux2-CreERT2", "reporter_line": "Ai93(TITL-GCaMP6f)",
        "acquisition_age_days": 128, "experiment_container_id": 70,
        "session_type": "three_session_B", "donor_name": "1", "specimen_name": "mouse-1",
        "fail_eye_tracking": True,
    }  # fmt: skip
    assert ids(cache.get_ophys_experiments()) == [801, 802, 803]
    table = cache.table("ophys_experiments")
    assert table.index.name == "id"
    assert table.loc[803, "session_type"] == "three_session_C2"
    assert table.attrs["notes"] == ["1 of 4 rows are of failed containers; include_failed=true"]


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, [801, 802, 803]),
        ({"include_failed": True}, [801, 802, 803, 804]),
        ({"ids": [802, 5]}, [802]),
        ({"ids": 802}, [802]),
        ({"ids": []}, []),
        ({"ids": None}, [801, 802, 803]),
        ({"experiment_container_ids": [71]}, [803]),
        ({"targeted_structures": ["VISp"]}, [801, 802]),
        ({"targeted_structures": "VISl"}, [803]),
        ({"imaging_depths": [275, 300]}, [803]),
        ({"imaging_depths": "275"}, [803]),
        ({"cre_lines": ["cux2-creert2"]}, [801, 802]),
        ({"cre_lines": ["Camk2a-tTA"]}, []),
        ({"reporter_lines": ["Ai93(TITL-GCaMP6f)-hyg"]}, [803]),
        ({"transgenic_lines": ["Camk2a-tTA"]}, [801, 802]),
        ({"stimuli": ["natural_movie_one"]}, [801, 802, 803]),
        ({"stimuli": ["drifting_gratings", "locally_sparse_noise_8deg"]}, [801, 803]),
        ({"session_types": ["three_session_B"]}, [802]),
        ({"cell_specimen_ids": [1001]}, [803]),
        ({"cell_specimen_ids": [5]}, []),
        ({"require_eye_tracking": True}, [801, 803]),
        ({"stimuli": ["spontaneous"], "imaging_depths": [175], "ids": [801, 803]}, [801]),
    ],
)
def test_filters_by_name(cache, filters, wanted):
    assert ids(cache.get_ophys_experiments(**filters)) == wanted
    told = [
        Condition.parse(f"{name}={','.join(map(str, v)) if isinstance(v, list) else v}")
        for name, v in filters.items()
        if v not in ([], None)
    ]
    if len(told) == len(filters):
        assert ids(cache.rows("ophys_experiments", *told)) == wanted


def test_what_there_is(cache):
    assert cache.get_all_targeted_structures() == ["VISl", "VISp"]
    assert cache.get_all_cre_lines() == ["Cux2-CreERT2", "Rorb-IRES2-Cre"]
    assert cache.get_all_reporter_lines() == ["Ai93(TITL-GCaMP6f)", "Ai93(TITL-GCaMP6f)-hyg"]
    assert cache.get_all_imaging_depths() == [175, 275]
    assert cache.get_all_session_types() == [
        "three_session_A", "three_session_B", "three_session_C2",
    ]  # fmt: skip
    assert len(cache.get_all_stimuli()) == 10
    assert cache.get_ophys_experiment_stimuli(804) == [
        "locally_sparse_noise", "natural_movie_one", "natural_movie_two", "spontaneous",
    ]  # fmt: skip


def test_every_type_of_session_has_spontaneous_activity():
    assert all(shown[-1] == "spontaneous" for shown in STIMULI.values())
    assert stimuli_of("three_session_A")[0] == "drifting_gratings"


# --- cells ----------------------------------------------------------------------------------------


def cells(cache, *filters, **options):
    names = ("field", "op", "value")
    told = [dict(zip(names, f, strict=True)) for f in filters]
    return [c["cell_specimen_id"] - 1000 for c in cache.get_cell_specimens(filters=told, **options)]


def test_cells_by_container_and_id_without_pictures_of_the_web(cache):
    assert cells(cache) == list(range(9))
    assert cells(cache, include_failed=True) == list(range(10))
    assert cells(cache, ids=[1003, 1009]) == [3]
    assert cells(cache, experiment_container_ids=[71]) == [1, 3, 5, 7]
    assert "tuning_small" not in cache.get_cell_specimens()[0]
    assert "tuning_small" in cache.get_cell_specimens(simple=False)[0]
    table = cache.table("cell_specimens", experiment_container_ids=71)
    assert table.index.tolist() == [1001, 1003, 1005, 1007]


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (("osi_dg", ">", 0.6), [7, 8]),
        (("osi_dg", "<", 0.2), [0, 1]),
        (("osi_dg", ">=", 0.8), [8]),
        (("osi_dg", "<=", 0.0), [0]),
        (("osi_dg", "=", 0.5), [5]),
        (("osi_dg", "between", [0.2, 0.5]), [2, 3, 5]),
        (("area", "in", ["VISl"]), [1, 3, 5, 7]),
        (("area", "=", "VISl"), [1, 3, 5, 7]),
        (("all_stim", "is", True), [0, 2, 4, 6, 8]),
        (("osi_dg", "is", None), [4]),
    ],
)
def test_filters_of_cells(cache, told, wanted):
    assert cells(cache, told) == wanted
    assert cells(cache, told, ("area", "=", "VISl")) == [i for i in wanted if i % 2]


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ({"field": "osi_dg", "op": "==", "value": 1}, "no such operator '=='"),
        ({"field": "osi", "op": "=", "value": 1}, "no such column 'osi'"),
        ({"field": "osi_dg", "op": "="}, "a field, an op and a value"),
        ("osi_dg>1", "a field, an op and a value"),
        ({"field": "osi_dg", "op": "<", "value": "x"}, "cannot be compared with 'x'"),
        ({"field": "osi_dg", "op": "between", "value": 3}, "takes two values"),
        ({"field": "area", "op": "in", "value": "VISp"}, "takes a list"),
    ],
)
def test_filters_of_cells_that_are_none_are_named(cache, told, what):
    with pytest.raises(UsageError, match=what):
        cache.get_cell_specimens(filters=[told])


# --- what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "what", "hint"),
    [
        ({"stimulis": ["x"]}, "no such option 'stimulis'", "stimuli"),
        ({"targeted_structures": ["visp"]}, "'visp' is none of the targeted", "VISp"),
        ({"session_types": ["three_session_D"]}, "'three_session_D' is none", "three_session_"),
        ({"stimuli": ["natural_movie"]}, "'natural_movie' is none of the stimuli", "natural_movie"),
        ({"cre_lines": ["Cux2"]}, "'Cux2' is none of the cre lines", "Cux2-CreERT2"),
        ({"imaging_depths": ["deep"]}, "takes whole numbers, not 'deep'", "imaging_depths"),
        ({"imaging_depths": [1.5]}, "takes whole numbers, not 1.5", "imaging_depths"),
        ({"ids": [True]}, "takes whole numbers, not True", "ids"),
        ({"stimuli": [3]}, "takes text, not 3", "stimuli"),
        ({"require_eye_tracking": "maybe"}, "is true or false, not 'maybe'", "true"),
    ],
)
def test_filters_that_are_none_are_named_with_what_was_meant(cache, filters, what, hint):
    with pytest.raises(UsageError, match=what) as caught:
        cache.get_ophys_experiments(**filters)
    assert hint in caught.value.hint


def test_experiments_and_types_that_are_none_are_named(cache, folder):
    with pytest.raises(NotFoundError, match="no experiment 5") as caught:
        cache.get_ophys_experiment_stimuli(5)
    assert "ophys_experiments" in caught.value.hint
    with pytest.raises(NotFoundError, match="no data of an experiment 801"):
        cache.get_ophys_experiment_data(801)
    with pytest.raises(NotFoundError, match="no table 'nonsense'"):
        cache.table("nonsense")
    odd = [EXPERIMENTS[0] | {"stimulus_name": "three_session_E"}]
    (folder / "ophys_experiments.json").write_text(json.dumps(odd))
    opened = oa.open(folder)
    with pytest.raises(UsageError, match="no such type of session 'three_session_E'"):
        opened.get_ophys_experiment_stimuli(801)
    assert opened.get_ophys_experiments(stimuli=["spontaneous"]) == []
    assert ids(opened.get_ophys_experiments(session_types=["three_session_E"])) == [801]


def test_rows_with_nothing_nested_have_no_values_there(folder, monkeypatch):
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    (folder / "ophys_experiments.json").write_text('[{"id": 1, "specimen": 3}]')
    assert oa.open(folder).get_ophys_experiments()[0]["cre_line"] is None
    assert oa.open(folder).get_ophys_experiments()[0]["acquisition_age_days"] is None


@pytest.mark.parametrize("text", ["", "[", "{}", "[3]", "[]", '[{"a": 1}]', "\xff"])
def test_damaged_rows_are_named_offline(folder, monkeypatch, text):
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    (folder / "ophys_experiments.json").write_text(text, "latin-1")
    with pytest.raises(CorruptError, match="rows kept here are damaged") as caught:
        oa.open(folder).get_ophys_experiments()
    assert caught.value.hint == f"openallen list {NAME}/ophys_experiments"


def test_offline_with_nothing_says_what_to_run(folder, monkeypatch):
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    (folder / "cell_specimens.json").unlink()
    with pytest.raises(OfflineError, match="rows of cell_specimens are not here") as caught:
        oa.open(folder).table("cell_specimens")
    assert caught.value.hint == f"openallen list {NAME}/cell_specimens"


# --- the service ----------------------------------------------------------------------------------


@pytest.fixture
def online(release, loopback, tmp_path, monkeypatch):
    """The project's bucket with one experiment, and a service with the rows."""
    s3 = connect(release.endpoint)
    empty_bucket(s3, BUCKET)
    key = "visual-coding-2p/ophys_experiment_data/801.nwb"
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"not read here", ACL="public-read")
    server = loopback({QUERY: service(ROWS)})
    monkeypatch.setenv("OPENALLEN_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("OPENALLEN_SOURCE", server.url)
    yield server
    s3.delete_object(Bucket=BUCKET, Key=key)


def asked(server):
    return [request.target for request in server.seen if request.target.startswith(QUERY)]


def test_rows_are_asked_for_once_and_stay_here(online, monkeypatch):
    opened = oa.open(NAME)
    assert isinstance(opened, TwoPhotonRelease)
    assert opened.tables[:2] == ("experiment_containers", "ophys_experiments")
    assert ids(opened.get_ophys_experiments(stimuli=["drifting_gratings"])) == [801]
    assert len(opened.get_cell_specimens()) == 9
    assert opened.get_column_definitions() == ROWS["ApiColumnDefinition"]
    # Experiments, cells, which columns are pictures, and columns: a request each.
    assert len(asked(online)) == 4
    opened.get_cell_specimens()
    assert len(asked(online)) == 4
    monkeypatch.setenv("OPENALLEN_OFFLINE", "1")
    monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", "")
    monkeypatch.setenv("OPENALLEN_SOURCE", "live")
    assert len(oa.open(NAME).get_cell_specimens()) == 9
    assert oa.open(f"{NAME}/ophys_experiments", imaging_depths=275).index.tolist() == [803]
    with pytest.raises(OfflineError, match="experiment_containers are not here"):
        oa.open(NAME).get_experiment_containers()


def test_many_cells_come_page_by_page(online):
    many = [CELLS[0] | {"cell_specimen_id": i} for i in range(4500)]
    online.routes[QUERY] = service(ROWS | {"ApiCamCellMetric": many})
    opened = oa.open(NAME)
    assert len(opened.table("cell_specimens")) == 4500
    assert sum("ApiCamCellMetric" in target for target in asked(online)) == 3
    assert len(oa.open(NAME).table("cell_specimens", fresh=True)) == 4500
    assert sum("ApiCamCellMetric" in target for target in asked(online)) == 6


def test_eye_tracking_is_of_the_session_where_the_service_names_it(online):
    told = [experiment | {"ophys_session_id": 900 + i} for i, experiment in enumerate(EXPERIMENTS)]
    online.routes[QUERY] = service(ROWS | {"OphysExperiment": told})
    opened = oa.open(NAME)
    assert [e["fail_eye_tracking"] for e in opened.get_ophys_experiments()] == [True, False, True]
    assert ids(opened.get_ophys_experiments(require_eye_tracking=True)) == [802]


def test_lists_take_columns_and_filters_by_name(online, monkeypatch):
    rows = oa.list(
        f"{NAME}/ophys_experiments", targeted_structure="VISp", stimuli="static_gratings"
    )
    assert ids(rows) == [802]
    rows = oa.list(f"{NAME}/ophys_experiments", imaging_depth__lt=200)
    assert ids(rows) == [801, 802]
    assert rows.address_of(rows[0]).endswith("/files/ophys_experiment_data/801.nwb")
    assert rows.address_of(rows[1]) is None
    assert rows.notes[-1].startswith("1 of 4 rows are of failed containers")
    assert len(oa.list(f"{NAME}/cell_specimens", osi_dg__gt=0.6)) == 2
    none = oa.list(f"{NAME}/ophys_experiments", targeted_structure="VISx")
    assert len(none) == 0
    assert none.empty is not None
    assert "targeted_structure=VISp" in none.empty().hint
    with pytest.raises(UsageError, match="targetd_structure"):
        oa.list(f"{NAME}/ophys_experiments", targetd_structure="VISp")
    for name in ("pandas", "numpy", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    assert ids(oa.list(f"{NAME}/experiment_containers")) == [70, 71]


def test_facts_of_a_table_that_is_no_file(online):
    facts = oa.show(f"{NAME}/ophys_experiments")
    assert facts["rows"] == 3
    assert "session_type" in facts["columns"]
    assert "experiment_containers" in oa.show(NAME)["tables"]
    with pytest.raises(UsageError, match="conditions choose rows"):
        oa.show(f"{NAME}/ophys_experiments?id=801")
    with pytest.raises(NotFoundError, match="no 'ophys_experiments'"):
        oa.fetch(f"{NAME}/ophys_experiments")


def test_a_service_without_rows_or_with_odd_ones_is_named(online):
    online.routes[QUERY] = service({})
    with pytest.raises(AnswerError, match="no rows of cell_specimens"):
        oa.open(NAME).table("cell_specimens")
    online.routes[QUERY] = service({"ApiCamCellMetric": [{"osi_dg": 1}]})
    with pytest.raises(AnswerError):
        oa.open(NAME).table("cell_specimens")
    online.routes[QUERY] = lambda _, reply: reply.send(b"<html>", headers={"Content-Type": "x"})
    with pytest.raises(AnswerError):
        oa.open(NAME).table("cell_specimens")
