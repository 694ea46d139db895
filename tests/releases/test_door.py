"""The door of releases: every address, web address, part, file and folder, and what is not there."""

from __future__ import annotations

import json
import os
import pickle
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import openallen as oa
from openallen import maintenance
from openallen.address import Address
from openallen.errors import (
    AddressError,
    CorruptError,
    MissingExtraError,
    NotFoundError,
    OfflineError,
    OpenAllenError,
    UsageError,
)
from openallen.settings import Settings
from openallen.sources.context import Context
from openallen.sources.releases import PROJECTS, Release, open_release, open_session
from openallen.sources.releases.buckets import HELD, Held, held_in_settings
from openallen.sources.releases.folders import is_release
from openallen.sources.releases.source import ReleaseSource

NAME = "release:visual-behavior-ophys"
EXPERIMENT = "ophys_experiment/951980471"
BUCKET = "visual-behavior-ophys-data"
FOLDER = "behavior_ophys_experiments"
FILE = f"{FOLDER}/behavior_ophys_experiment_951980471.nwb"
KEY = f"visual-behavior-ophys/{FILE}"


@pytest.fixture
def store() -> Path:
    return Path(os.environ["OPENALLEN_STORE"])


@pytest.fixture
def nowhere(monkeypatch):
    """No network: S3 itself is meant, and may not be asked."""

    def leave() -> None:
        monkeypatch.setenv("OPENALLEN_S3_ENDPOINT", "")
        monkeypatch.setenv("OPENALLEN_OFFLINE", "1")

    return leave


@pytest.fixture
def listed(release, monkeypatch):
    """A project without manifests, with names that are no ids, as Visual Coding has them."""
    array = np.arange(6, dtype="int16").reshape(2, 3)
    path = Path(os.environ["HOME"]) / "a.npy"
    np.save(path, array)
    for name, body in {
        "sessions.csv": b"id,session_type\n721123822,brain_observatory_1.1\n",
        "session_721123822/probe_760640083_lfp.nwb": b"not read here",
        "session_721123822/template.npy": path.read_bytes(),
        "readme.xyz": b"cannot be opened",
    }.items():
        release.put(f"odd/ecephys-cache/{name}", body)
    told = {"plain": {"bucket": release.bucket, "form": "listing", "prefix": "odd/ecephys-cache/"}}
    monkeypatch.setenv("OPENALLEN_PROJECTS", json.dumps(told))
    return array


# --- web addresses --------------------------------------------------------------------------------


SPELLINGS = [
    "s3://{bucket}/{key}",
    "https://{bucket}.s3.us-west-2.amazonaws.com/{key}",
    "https://{bucket}.s3.amazonaws.com/{key}",
    "https://{bucket}.s3-us-west-2.amazonaws.com/{key}",
    "https://{bucket}.s3.dualstack.us-west-2.amazonaws.com/{key}",
    "http://s3.us-west-2.amazonaws.com/{bucket}/{key}",
    "https://s3.amazonaws.com/{bucket}/{key}",
    "S3://{bucket}/{key}",
]
OBJECTS = [
    (BUCKET, KEY, f"{NAME}/files/{FILE}"),
    (
        "visual-behavior-neuropixels-data",
        "visual-behavior-neuropixels/project_metadata/units.csv",
        "release:visual-behavior-neuropixels/files/project_metadata/units.csv",
    ),
    (
        "allen-brain-cell-atlas",
        "metadata/WMB-10X/20231215/cell_metadata.csv",
        "release:abc-atlas/files/metadata/WMB-10X/20231215/cell_metadata.csv",
    ),
    (
        "allen-brain-observatory",
        "visual-coding-neuropixels/ecephys-cache/session_715093703/session_715093703.nwb",
        "release:visual-coding-neuropixels/files/session_715093703/session_715093703.nwb",
    ),
    (
        "allen-brain-observatory",
        "visual-coding-2p/ophys_experiment_data/501940850.nwb",
        "release:visual-coding-2p/files/ophys_experiment_data/501940850.nwb",
    ),
    (
        "visual-coding-ophys-data",
        "visual-coding-ophys/eye.npy",
        "release:visual-coding-ophys/files/eye.npy",
    ),
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("bucket", "key", "address"), OBJECTS)
def test_every_spelling_of_an_object_is_a_file(spelling, bucket, key, address):
    assert str(Address.parse(spelling.format(bucket=bucket, key=key))) == address


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_version_of_an_object_is_a_condition(spelling):
    text = spelling.format(bucket=BUCKET, key=KEY)
    assert str(Address.parse(f"{text}?versionId=aB.c_1")) == (
        f"{NAME}/files/{FILE}?version_id=aB.c_1"
    )
    assert Address.parse(f"{text}?versionId=null").conditions == ()


@pytest.mark.parametrize(
    ("web", "address"),
    [
        (f"s3://{BUCKET}", NAME),
        (f"s3://{BUCKET}/", NAME),
        (f"s3://{BUCKET}/visual-behavior-ophys", NAME),
        (f"s3://{BUCKET}/visual-behavior-ophys/", NAME),
        (f"s3://{BUCKET}/visual-behavior-ophys/manifests/", NAME),
        (f"https://{BUCKET}.s3.us-west-2.amazonaws.com/", NAME),
        (f"https://s3.us-west-2.amazonaws.com/{BUCKET}/visual-behavior-ophys/", NAME),
        ("s3://allen-brain-cell-atlas/", "release:abc-atlas"),
        ("s3://allen-brain-observatory/visual-coding-2p/", "release:visual-coding-2p"),
        ("s3://allen-brain-observatory/visual-coding-neuropixels/", "release:visual-coding-neuropixels"),
        # a folder inside is not the release: nothing of the path is left out
        (f"s3://{BUCKET}/visual-behavior-ophys/{FOLDER}/", f"{NAME}/files/{FOLDER}"),
    ],
)  # fmt: skip
def test_a_prefix_is_the_release(web, address):
    assert str(Address.parse(web)) == address


@pytest.mark.parametrize(
    "web",
    [
        "s3://some-bucket/visual-behavior-ophys/x.nwb",
        "https://dandiarchive.s3.amazonaws.com/blobs/11e/c89/11ec8933",
        "https://some-bucket.s3.us-west-2.amazonaws.com/a/b.nwb",
        f"s3://{BUCKET}/another-project/x.nwb",
        "s3://allen-brain-observatory/visual-coding-neuropixels/raw-data/1/spike_band.dat",
        "s3://allen-brain-observatory/",
        "https://example.org/visual-behavior-ophys/x.nwb",
    ],
)
def test_other_buckets_are_no_releases(web):
    try:
        found = Address.parse(web)
    except AddressError:
        return
    assert found.scheme != "release"


def test_the_light_table_of_buckets_is_that_of_the_projects():
    told = tuple(
        Held(p.name, p.bucket, "" if p.form == "abc-atlas" else p.files_prefix)
        for p in PROJECTS.values()
    )
    assert told == HELD


def test_buckets_of_projects_in_the_settings_are_known(monkeypatch):
    projects = {
        "lab": {"bucket": "lab-bucket"},
        "plain": {"bucket": "plain-bucket", "form": "listing", "prefix": "a/b/"},
    }
    assert [h.prefix for h in held_in_settings(projects)] == ["lab/", "a/b/"]
    monkeypatch.setenv("OPENALLEN_PROJECTS", json.dumps(projects))
    assert str(Address.parse("s3://lab-bucket/lab/x/y.nwb")) == "release:lab/files/x/y.nwb"
    assert str(Address.parse("s3://plain-bucket/a/b/y.csv")) == "release:plain/files/y.csv"
    monkeypatch.setenv("OPENALLEN_PROJECTS", "{")
    with pytest.raises(AddressError):
        Address.parse("s3://lab-bucket/lab/x/y.nwb")


parts = st.text(
    st.characters(codec="utf-8", exclude_characters="/?#%|\x00\\"), min_size=1, max_size=9
)


@given(
    st.lists(
        parts.filter(lambda p: p.strip() == p and p not in {".", ".."}), min_size=1, max_size=4
    )
)
def test_any_key_is_named_whole_and_round_trips(names):
    from urllib.parse import quote

    key = "/".join(names)
    found = Address.parse(f"https://{BUCKET}.s3.amazonaws.com/visual-behavior-ophys/{quote(key)}")
    assert found.path == ("files", *names)
    assert Address.parse(str(found)) == found


@pytest.mark.parametrize("example", ReleaseSource.examples, ids=lambda e: e.address)
def test_examples_print_as_they_are_written(example):
    assert str(Address.parse(example.address)) == example.address
    for web in example.web:
        assert str(Address.parse(web)) == example.address


def test_reading_addresses_and_looking_at_folders_loads_no_library(tmp_path):
    code = (
        "import sys, json\n"
        "from pathlib import Path\n"
        "from openallen.address import Address\n"
        "from openallen.sources.place import Place\n"
        "from openallen.sources.releases.source import ReleaseSource\n"
        f"Address.parse('s3://{BUCKET}/{KEY}')\n"
        f"ReleaseSource.recognise(Place.here(Path({str(tmp_path)!r})))\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "pandas", "h5py", "ssl", "sqlite3", "msgspec", "xarray", "matplotlib"}
    loaded = set(json.loads(done.stdout))
    assert not loaded & (heavy | {"openallen.transport.http", "openallen.sources.releases.models"})


# --- list -----------------------------------------------------------------------------------------


def test_projects_are_listed_and_filtered(release):
    rows = oa.list("release:")
    assert [r["address"] for r in rows][:3] == [
        NAME, "release:visual-behavior-neuropixels", "release:abc-atlas",
    ]  # fmt: skip
    assert rows.shown == ("address", "title", "bucket", "here")
    assert (rows.id_column, rows.noun) == ("address", "project")
    assert not any(r["here"] for r in rows)
    oa.open(NAME)
    assert [r["address"] for r in oa.list("release:", here=True)] == [NAME]
    with pytest.raises(UsageError, match="no column 'bukket'") as caught:
        oa.list("release:", bukket="x")
    assert caught.value.hint == "openallen list release: bucket=x"


def test_projects_of_the_settings_are_listed_too(listed):
    assert "release:plain" in [r["address"] for r in oa.list("release:")]


def test_versions_say_which_is_newest_here_and_used_last(release):
    rows = oa.list(NAME)
    assert [r["version"] for r in rows] == ["1.0.0", "0.2.0", "0.1.0"]
    assert [r["newest"] for r in rows] == [True, False, False]
    assert not any(r["manifest_here"] or r["used_last"] for r in rows)
    oa.open(f"{NAME}@0.2.0")
    rows = oa.list(NAME)
    assert [r["manifest_here"] for r in rows] == [False, True, False]
    assert [r["used_last"] for r in rows] == [False, True, False]
    assert oa.list(NAME, newest=True)[0]["address"] == f"{NAME}@1.0.0"
    limited = oa.list(NAME, limit=1)
    assert (len(limited), limited.total) == (1, 3)
    with pytest.raises(UsageError) as caught:
        oa.list(f"{NAME}@1.0.0")
    assert caught.value.hint == f"openallen list {NAME}@1.0.0/files"


def test_lists_do_not_change_which_version_is_used(release):
    oa.open(f"{NAME}@1.0.0")
    oa.list(f"{NAME}@0.1.0/files", limit=1)
    oa.show(f"{NAME}@0.1.0")
    assert str(oa.open(NAME).version) == "1.0.0"


def test_files_have_sizes_urls_and_addresses_that_are_taken(release, tmp_path):
    rows = oa.list(f"{NAME}@0.2.0/files", kind="table")
    assert len(rows) == 4
    assert all("versionId=" in r["url"] and r["size_bytes"] for r in rows)
    whole = oa.list(f"{NAME}@0.2.0/files", limit=3)
    assert whole.total == len(release.manifests["0.2.0"]["data_files"]) + 4
    large = oa.list(f"{NAME}@0.2.0/files", "size_bytes>100000")
    assert large
    assert all(r["size_bytes"] > 100_000 for r in large)
    for row in (rows[0], large[0]):
        path = oa.fetch(row["address"], to=tmp_path)
        assert path.stat().st_size == row["size_bytes"]
        assert oa.fetch(row["url"], to=tmp_path) == path
    with pytest.raises(UsageError, match="no column 'knid'") as caught:
        oa.list(f"{NAME}/files", knid="table")
    assert caught.value.hint == f"openallen list {NAME}/files kind=table"


def test_an_unknown_column_of_files_is_told_before_anything_is_asked(nowhere):
    nowhere()
    with pytest.raises(UsageError, match="no column 'knid'"):
        oa.list(f"{NAME}/files", knid="table")
    with pytest.raises(UsageError, match="no column 'new'"):
        oa.list(NAME, new="yes")


def test_rows_of_tables_are_filtered(release):
    rows = oa.list(f"{NAME}/ophys_experiment_table", "targeted_structure=VISp", "imaging_depth<200")
    assert rows
    assert all(r["targeted_structure"] == "VISp" and r["imaging_depth"] < 200 for r in rows)
    assert rows.shown[:3] == ("ophys_experiment_id", "targeted_structure", "imaging_depth")
    assert rows.id_column == "ophys_experiment_id"
    assert oa.list(f"{NAME}/ophys_experiment_table?imaging_depth__lt=200", limit=1).total > 1
    assert rows.to_pandas().shape[0] == len(rows)


def test_values_are_told_where_nothing_matches(release):
    rows = oa.list(f"{NAME}@0.2.0/ophys_experiment_table", targeted_structure="VISP")
    assert not rows
    error = rows.empty()
    assert isinstance(error, NotFoundError)
    assert "values of targeted_structure: " in error.why
    assert "VISp" in error.why
    assert error.hint == (
        f"openallen list {NAME}@0.2.0/ophys_experiment_table targeted_structure=VISp"
    )
    many = oa.list(f"{NAME}/ophys_experiment_table", ophys_experiment_id=5).empty()
    assert many.why == "ophys_experiment_id=5"
    kinds = oa.list(f"{NAME}/files", kind="tabel").empty()
    assert kinds.why == "values of kind: behavior_session, ophys_experiment, table"
    with pytest.raises(UsageError, match="no column 'targeted_struture'") as caught:
        oa.list(f"{NAME}/ophys_experiment_table", targeted_struture="VISp")
    assert caught.value.hint == (
        f"openallen list {NAME}/ophys_experiment_table targeted_structure=VISp"
    )


@pytest.mark.parametrize(
    ("part", "hint"),
    [
        ("no_table", f"openallen list {NAME}@1.0.0/"),
        ("ophys_experiment_tabel", f"openallen list {NAME}@1.0.0/ophys_experiment_table"),
        ("ophys_experiment", f"openallen list {NAME}@1.0.0/files kind=ophys_experiment"),
        ("ophys_experiment_table/5", f"openallen list {NAME}@1.0.0/ophys_experiment_table"),
        ("files/x", f"openallen list {NAME}@1.0.0/"),
        ("nonsense/1/2", f"openallen list {NAME}@1.0.0/"),
    ],
)
def test_what_is_no_table_says_what_there_is(release, part, hint):
    with pytest.raises(NotFoundError, match="no table") as caught:
        oa.list(f"{NAME}/{part}")
    assert caught.value.hint.startswith(hint)
    assert "behavior_session_table" in caught.value.why


def test_a_release_without_tables_lists_its_files(listed):
    with pytest.raises(NotFoundError, match="no table 'units'"):
        oa.list("release:plain/units")
    rows = oa.list("release:plain/files")
    assert len(rows) == 4
    for row in rows:
        if not row["path"].endswith(".nwb"):  # a session is opened to be shown; this one is none
            assert oa.show(row["address"])["path"] == row["path"]
        assert Address.parse(row["url"]).path[1:] == tuple(row["path"].split("/"))


# --- show -----------------------------------------------------------------------------------------

DOCUMENT = {
    "address", "title", "version", "newest", "tables", "kinds", "files", "files_here",
    "bytes_missing", "bytes_exact", "opens_in_allensdk", "pipeline", "release_notes", "folder",
    "citation", "terms",
}  # fmt: skip


def test_a_version_is_shown_with_all_its_keys(release, store):
    release.put("visual-behavior-ophys/release_notes.txt", b"1.0.0 repairs one file\n")
    facts = oa.show(NAME)
    told = facts.to_dict()
    assert set(told) >= DOCUMENT
    assert told["address"] == f"{NAME}@1.0.0"
    assert (told["version"], told["newest"], told["files"]) == ("1.0.0", "1.0.0", 51)
    assert (told["files_here"], told["bytes_exact"]) == (0, True)
    assert told["kinds"]["ophys_experiment"]["files"] == 26
    assert told["kinds"]["table"]["size_bytes"] > 0
    assert told["tables"][0] == "behavior_session_table"
    assert told["pipeline"] == [{"name": "AllenSDK", "version": "2.16.2"}]
    assert told["opens_in_allensdk"] is True
    assert told["release_notes"] == "1.0.0 repairs one file\n"
    assert told["folder"] == str(
        store / "releases/visual-behavior-ophys/visual-behavior-ophys-1.0.0"
    )
    assert "alleninstitute.org/terms-of-use" in told["terms"]
    assert told["bytes_missing"] == facts.plan.missing_bytes
    text = str(facts)
    assert "1.0.0 repairs one file" in text
    assert "made with" in text
    old = oa.show(f"{NAME}@0.2.0")
    assert old["opens_in_allensdk"] is False
    assert "cannot open this version" in str(old)
    oa.fetch(f"{NAME}/tables")
    assert oa.show(NAME)["files_here"] == 4


def test_a_project_without_versions_is_shown(listed):
    told = oa.show("release:plain").to_dict()
    assert set(told) >= DOCUMENT - {"citation"}
    assert told["pipeline"] == []
    assert told["release_notes"] is None
    assert told["newest"] == told["version"]
    assert told["files"] == 4


def test_a_session_is_shown_with_a_picture(release, tmp_path):
    facts = oa.show(f"{NAME}@1.0.0/{EXPERIMENT}", picture=tmp_path / "p.png")
    told = facts.to_dict()
    assert told["address"] == f"{NAME}@1.0.0/{EXPERIMENT}"
    assert (told["kind"], told["here"]) == ("ophys_experiment", False)
    assert told["metadata"]["targeted_structure"] == "VISp"
    assert "dff_traces" in told["attributes"]
    assert told["pictures"] == ["overview"]
    assert told["plan"]["files_missing"] == 1
    assert (tmp_path / "p.png").stat().st_size > 10_000
    assert "imaging depth" in str(facts)
    facts.thing.close()
    path = oa.fetch(f"{NAME}@1.0.0/{EXPERIMENT}")
    again = oa.show(f"{NAME}@1.0.0/{EXPERIMENT}")
    assert again["here"] is True
    again.thing.close()
    alone = oa.show(path)
    assert alone["metadata"] == told["metadata"]
    assert alone["kind"] == "ophys_experiment"
    alone.thing.close()


def test_a_session_behind_any_of_its_addresses_is_shown(release):
    opened = oa.open(f"{NAME}@1.0.0")
    url = opened.url("ophys_experiment", 951980471)
    for where in (f"{NAME}@1.0.0/files/{FILE}", url, url.partition("?")[0]):
        facts = oa.show(where)
        assert facts["kind"] == "ophys_experiment"
        facts.thing.close()


def test_behavior_of_an_imaged_session_is_shown(release):
    rows = oa.open(f"{NAME}@1.0.0").rows("ophys_experiment_table")
    number = next(r["behavior_session_id"] for r in rows if r["ophys_experiment_id"] == 951980471)
    facts = oa.show(f"{NAME}@1.0.0/behavior_session/{number}")
    assert facts["kind"] == "behavior_session"
    facts.thing.close()
    with pytest.raises(NotFoundError, match="no behavior_session"):
        oa.show(f"{NAME}@1.0.0/behavior_session/5")


def test_a_table_is_shown_and_what_is_in_it_once_it_is_here(release):
    where = f"{NAME}@1.0.0/ophys_experiment_table"
    told = oa.show(where).to_dict()
    assert told["path"] == "project_metadata/ophys_experiment_table.csv"
    assert told["here"] is False
    assert "columns" not in told
    assert told["plan"]["bytes_missing"] == told["size_bytes"] > 0
    oa.fetch(where)
    told = oa.show(where).to_dict()
    assert told["here"] is True
    assert told["rows"] == 27
    assert told["index"] == "ophys_experiment_id"
    assert "targeted_structure" in told["columns"]


def test_kinds_of_files_are_shown_with_conditions(release):
    every = oa.show(f"{NAME}@0.2.0/ophys_experiment")
    some = oa.show(f"{NAME}@0.2.0/ophys_experiment?targeted_structure=VISp")
    assert every["files"] == 27
    assert 0 < some["files"] < 27
    assert some["bytes_missing"] == some["size_bytes"] < every["size_bytes"]
    assert oa.show(f"{NAME}/tables")["files"] == 4
    with pytest.raises(NotFoundError, match="values of targeted_structure: VISl, VISp") as caught:
        oa.show(f"{NAME}/ophys_experiment?targeted_structure=VISX")
    assert oa.show(shlex.split(caught.value.hint)[2])["files"] > 0
    with pytest.raises(UsageError, match="is not allowed here"):
        oa.show(f"{NAME}?targeted_structure=VISp")


def test_a_resource_is_shown_by_name_and_by_key(release):
    by_name = oa.show(f"{NAME}/resources/natural_movie")
    by_key = oa.show(f"s3://{BUCKET}/visual-behavior-ophys/resources/Movie_TOE1.npy")
    assert by_name["url"] == by_key["url"]
    assert by_name["size_bytes"] == 1100


# --- open -----------------------------------------------------------------------------------------


def test_a_file_is_opened_by_what_it_holds_remotely_then_here(release):
    for where in (f"{NAME}@1.0.0/files/{FILE}", f"s3://{BUCKET}/{KEY}"):
        with oa.open(where) as session:
            assert session.kind == "ophys_experiment"
            assert session.path is None
            copied = pickle.loads(pickle.dumps(session))
        with copied:
            assert copied.ophys_experiment_id == 957759562
    with oa.open(f"{NAME}@1.0.0/files/{FILE}", remote=False) as session:
        path = session.path
        assert path.name == Path(FILE).name
    with oa.open(f"{NAME}@1.0.0/files/{FILE}") as session:
        assert session.path == path
    with oa.open(f"{NAME}@1.0.0/files/{FILE}", remote=True) as session:
        assert session.path is None
    path.write_bytes(path.read_bytes()[:-9] + b"rotten !!")
    with pytest.raises(CorruptError, match="local file is damaged"):
        oa.open(f"{NAME}@1.0.0/files/{FILE}")


def test_options_of_sessions_are_passed_on(release):
    with oa.open(f"{NAME}@1.0.0/{EXPERIMENT}", allensdk_compatible=True) as session:
        assert session.allensdk_compatible
    with pytest.raises(UsageError, match="no such option 'allensdk_compatibel'"):
        oa.open(f"{NAME}@1.0.0/{EXPERIMENT}", allensdk_compatibel=True)


def test_to_names_the_folder_of_the_project(release, tmp_path):
    with oa.open(f"{NAME}@1.0.0/{EXPERIMENT}", to=tmp_path / "p", remote=False) as session:
        assert session.path.is_relative_to(tmp_path / "p")
        again = pickle.loads(pickle.dumps(session))
    with again:
        assert again.path == session.path
    assert oa.open(NAME, to=tmp_path / "p").folder.is_relative_to(tmp_path / "p")


def test_settings_of_the_call_go_with_sessions_to_other_processes(release, tmp_path):
    settings = Settings.load(store=tmp_path / "own")
    found = oa.open(f"{NAME}@1.0.0", settings=settings).sessions("behavior_session")
    one = type(found)({883986743: found.addresses[883986743]}, found.opening, found.name)
    answers = one.map(repr, processes=True, workers=1)
    assert not answers.errors, answers.errors
    assert list((tmp_path / "own" / "ranges").glob("*.data"))
    assert not (Path(os.environ["OPENALLEN_STORE"]) / "ranges").exists()


def test_tables_open_as_tables(release):
    table = oa.open(f"{NAME}@1.0.0/ophys_experiment_table")
    assert table.index.name == "ophys_experiment_id"
    assert len(table) == 27
    assert table.equals(open_release(f"{NAME}@1.0.0").table("ophys_experiment_table"))
    raw = oa.open(f"{NAME}@1.0.0/files/project_metadata/ophys_experiment_table.csv")
    assert "ophys_experiment_id" in raw.columns
    with pytest.raises(UsageError) as caught:
        oa.open(f"{NAME}@1.0.0/ophys_experiment_table?targeted_structure=VISp")
    assert "openallen list" in caught.value.hint
    with pytest.raises(UsageError, match="no such option 'remote'"):
        oa.open(f"{NAME}@1.0.0/ophys_experiment_table", remote=True)
    with pytest.raises(UsageError, match="no such option 'nrows'"):
        oa.open(f"{NAME}@1.0.0/ophys_experiment_table", nrows=3)


def test_a_table_read_remotely_is_of_the_version_that_was_named(release):
    place = "files/project_metadata/behavior_session_table.csv"
    old, new = (oa.open(f"{NAME}@{v}/{place}") for v in ("0.1.0", "0.2.0"))
    assert len(new) - len(old) == 2
    assert len(oa.open(f"{NAME}@0.2.0/{place}", nrows=5, columns=["mouse_id"])) == 5
    for version in ("0.1.0", "0.2.0"):
        oa.fetch(f"{NAME}@{version}/tables")
    assert oa.open(f"{NAME}@0.1.0/{place}").equals(old)


def test_a_web_address_with_a_version_finds_the_release_that_has_it(release, tmp_path):
    changed = oa.open(f"{NAME}@0.1.0").compare("1.0.0")
    older = next(
        c.before for c in changed.changes if c.what == "changed" and c.before.kind != "table"
    )
    path = oa.fetch(older.versioned_url(), to=tmp_path)
    assert path.relative_to(tmp_path).parts[0] in {
        "visual-behavior-ophys-0.1.0", "visual-behavior-ophys-0.2.0",
    }  # fmt: skip
    assert path.stat().st_size == oa.plan(older.versioned_url()).missing_bytes
    gone = f"{older.url}?versionId=none"
    with pytest.raises(NotFoundError, match="another version of the object") as caught:
        oa.fetch(gone, to=tmp_path)
    assert caught.value.hint.startswith("openallen show ")


def test_arrays_and_odd_names_of_a_listing_open(listed):
    found = oa.open("release:plain/files/session_721123822/template.npy")
    assert np.array_equal(found, listed)
    release = oa.open("release:plain")
    assert isinstance(release, Release)
    for kind in ("session_721123822", "", "ophys_experiment"):
        with pytest.raises(OpenAllenError):
            release.sessions(kind)
    with pytest.raises(NotFoundError, match="no table 'no_such'"):
        release.table("no_such")
    where = "release:plain/files/session_721123822/probe_760640083_lfp.nwb"
    with pytest.raises(OpenAllenError):
        oa.open(where)  # its bytes are made up
    with pytest.raises(UsageError, match=r"'\.xyz' files cannot be opened") as caught:
        oa.open("release:plain/files/readme.xyz")
    assert caught.value.hint == "openallen fetch release:plain/files/readme.xyz"
    path = oa.fetch("release:plain/files/session_721123822/template.npy")
    assert path.is_file()
    assert np.array_equal(oa.open("release:plain/files/session_721123822/template.npy"), listed)


def test_a_document_with_the_wrong_digest_is_not_opened(release):
    oa.open(f"{NAME}@0.2.0")
    path = open_release(f"{NAME}@0.2.0").folder.parent
    manifest = path / "visual-behavior-ophys_project_manifest_v0.2.0.json"
    told = json.loads(manifest.read_text())
    told["metadata_files"]["behavior_session_table"]["file_hash"] = "0" * 128
    manifest.write_text(json.dumps(told))
    with pytest.raises(CorruptError, match="not what was published"):
        oa.open(f"{NAME}@0.2.0/files/project_metadata/behavior_session_table.csv")


NONSENSE = [
    ("nonsense", "has no 'nonsense'"),
    ("nonsense/1", "has no 'nonsense'"),
    ("ophys_experiment_table/extra", "has no|table"),
    (f"{EXPERIMENT}/extra", "no ophys_experiment"),
    ("ophys_experiment/abc", "no ophys_experiment"),
    ("behavior_session/abc", "no behavior_session"),
    ("resources/nothing", "no resource"),
    ("files/nothing.nwb", "no such file"),
    (f"files/{FOLDER}/behavior_ophys_experiment_1.nwb", "no such file"),
    (f"files/{FOLDER}", "a folder of the release"),
    (f"files/{FILE}/deeper", "no such file"),
    ("files/manifests/visual-behavior-ophys_project_manifest_v0.2.0.json", "manifest of a version"),
]


@pytest.mark.parametrize(("part", "message"), NONSENSE)
@pytest.mark.parametrize("verb", ["open", "show", "plan"])
def test_nonsense_is_an_error_and_never_the_release(release, verb, part, message):
    with pytest.raises(NotFoundError, match=message) as caught:
        getattr(oa, verb)(f"{NAME}@1.0.0/{part}")
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith("release:")


def test_a_folder_of_files_says_what_it_holds(release):
    with pytest.raises(NotFoundError) as caught:
        oa.open(f"s3://{BUCKET}/visual-behavior-ophys/{FOLDER}/")
    assert "behavior_ophys_experiment_" in caught.value.why
    assert "more" in caught.value.why
    assert caught.value.hint == (f"openallen list {NAME}@1.0.0/files 'path__like={FOLDER}/*'")
    rows = oa.list(f"{NAME}@1.0.0/files", f"path__like={FOLDER}/*")
    assert len(rows) == 26


def test_near_names_are_hints(release):
    with pytest.raises(NotFoundError) as caught:
        oa.open(f"{NAME}@1.0.0/files/{FOLDER}/behavior_ophys_experiment_95198047.nwb")
    assert caught.value.hint.startswith(
        f"openallen show {NAME}@1.0.0/files/{FOLDER}/behavior_ophys"
    )
    with pytest.raises(NotFoundError) as caught:
        oa.open(f"{NAME}@1.0.0/files/project_metadat/ophys_session_table.csv")
    assert caught.value.hint == f"openallen show {NAME}@1.0.0/files/project_metadata"


@pytest.mark.parametrize("part", ["ophys_experiment", "tables", "files"])
def test_many_files_are_not_opened_as_one(release, part):
    with pytest.raises(UsageError, match="files, not one") as caught:
        oa.open(f"{NAME}@1.0.0/{part}")
    oa.show(caught.value.hint.split()[-1])  # what it says to type works
    assert oa.plan(f"{NAME}@1.0.0/{part}").files


@pytest.mark.parametrize("verb", ["open", "show", "fetch"])
def test_no_project_is_an_error(release, verb):
    with pytest.raises(UsageError) as caught:
        getattr(oa, verb)("release:")
    assert caught.value.hint == "openallen list release:"
    with pytest.raises(NotFoundError, match="no such project"):
        getattr(oa, verb)("release:no-such-thing")
    with pytest.raises(NotFoundError, match="no such version"):
        getattr(oa, verb)(f"{NAME}@9.9.9")
    with pytest.raises(AddressError):
        getattr(oa, verb)(f"{NAME}@latest")


def test_options_that_are_not_there(release):
    with pytest.raises(UsageError, match="no such option 'remote'"):
        oa.open(NAME, remote=True)
    with pytest.raises(UsageError, match="no such option 'mirrro'") as caught:
        oa.plan(NAME, mirrro=True)
    assert caught.value.hint == "mirror"
    with pytest.raises(UsageError, match="is not allowed here"):
        oa.open(f"{NAME}?a=b")
    with pytest.raises(UsageError, match="is not allowed here"):
        oa.open(f"{NAME}/files/{FILE}?a=b")
    with pytest.raises(UsageError, match="conditions"):
        oa.open(f"{NAME}/{EXPERIMENT}?a=b")


def test_the_functions_of_before_are_there(release):
    release_ = open_release(f"{NAME}@1.0.0")
    assert release_.address == f"{NAME}@1.0.0"
    with open_session(f"{NAME}@1.0.0/{EXPERIMENT}") as session:
        assert session.kind == "ophys_experiment"
    with pytest.raises(UsageError, match="not a session"):
        open_session(NAME)
    with pytest.raises(UsageError, match="no release"):
        open_release("stack:1")
    with pytest.raises(UsageError, match="a part of a release"):
        open_release(f"{NAME}/{EXPERIMENT}")


# --- offline, and stores that cannot be written to ------------------------------------------------


def everything_here(version: str = "1.0.0") -> None:
    where = f"{NAME}@{version}"
    assert oa.list(NAME)[0]["version"] == "1.0.0"
    assert len(oa.list(f"{where}/ophys_experiment_table")) == 27
    assert oa.list(f"{where}/files", kind="table")
    assert oa.show(where)["files_here"] == 5
    assert oa.show(f"{where}/ophys_experiment_table")["rows"] == 27
    facts = oa.show(f"{where}/{EXPERIMENT}")
    assert facts["here"] is True
    facts.thing.close()
    with oa.open(f"{where}/{EXPERIMENT}") as session:
        assert session.path is not None
    assert len(oa.open(f"{where}/ophys_experiment_table")) == 27
    assert oa.fetch(f"{where}/{EXPERIMENT}").is_file()
    assert oa.fetch(f"{where}/tables").is_dir()
    assert isinstance(oa.open(NAME), Release)


def test_offline_with_everything_here(release, nowhere):
    oa.fetch(f"{NAME}@1.0.0/{EXPERIMENT}")
    oa.fetch(f"{NAME}@1.0.0/tables")
    nowhere()
    everything_here()
    facts = oa.show(f"{NAME}@1.0.0/behavior_session/883986743")  # not here, and cannot be read
    assert facts["here"] is False
    assert any("no network" in note for note in facts.notes)
    with pytest.raises(OfflineError):
        oa.open(f"{NAME}@1.0.0/behavior_session/883986743")
    with pytest.raises(OfflineError):
        oa.fetch(f"{NAME}@1.0.0/behavior_session/883986743")


@pytest.mark.parametrize("verb", ["show", "fetch", "open", "list"])
def test_offline_with_nothing_here(nowhere, verb):
    nowhere()
    with pytest.raises(OfflineError):
        getattr(oa, verb)(NAME)


def test_what_was_read_remotely_is_not_asked_for_again(release):
    table = f"{NAME}@1.0.0/files/project_metadata/ophys_cells_table.csv"
    before = oa.open(table)
    with oa.open(f"{NAME}@1.0.0/{EXPERIMENT}") as session:
        depth = session.metadata["imaging_depth"]
    with oa.open(f"{NAME}@1.0.0/{EXPERIMENT}") as session:
        assert session.metadata["imaging_depth"] == depth
        assert session.tree._ranges.requests == 0
    assert oa.open(table).equals(before)


# --- folders --------------------------------------------------------------------------------------


@pytest.fixture
def cache_folder(release, tmp_path) -> Path:
    folder = tmp_path / "allensdk"
    oa.fetch(f"{NAME}@0.2.0/tables", to=folder)
    oa.fetch(f"{NAME}@1.0.0/tables", to=folder)
    oa.fetch(f"{NAME}@1.0.0/{EXPERIMENT}", to=folder)
    (folder / "_openallen.json").unlink()
    return folder


def test_a_cache_folder_opens_offline_without_a_trace(cache_folder, nowhere):
    nowhere()
    before = sorted(cache_folder.rglob("*"))
    release = oa.open(cache_folder)
    assert isinstance(release, Release)
    assert release.address == f"{NAME}@1.0.0"
    assert len(release.table("ophys_experiment_table")) == 27
    assert release.path("ophys_experiment", 951980471).is_file()
    found = release.sessions("ophys_experiment", ophys_experiment_id=951980471)
    assert found.map(lambda s: s.kind).values == {951980471: "ophys_experiment"}
    assert [p for p in sorted(cache_folder.rglob("*")) if "openallen" not in p.name] == [
        p for p in before if "openallen" not in p.name
    ]
    assert oa.open(str(cache_folder)).address == release.address
    with pytest.raises(UsageError, match="no such option"):
        oa.open(cache_folder, remote=True)


def test_a_folder_of_a_release_is_shown_offline(cache_folder, nowhere):
    nowhere()
    told = oa.show(cache_folder).to_dict()
    assert set(told) >= DOCUMENT
    assert told["address"] == str(cache_folder)
    assert (told["version"], told["files_here"]) == ("1.0.0", 5)
    (cache_folder / "_manifest_last_used.txt").write_text(
        "visual-behavior-ophys_project_manifest_v0.2.0.json"
    )
    assert oa.show(cache_folder)["version"] == "0.2.0"
    assert oa.show(cache_folder / "visual-behavior-ophys-1.0.0")["version"] == "1.0.0"


def test_a_mirror_opens_by_folder(release, tmp_path, nowhere):
    folder = tmp_path / "mirror"
    oa.fetch(f"{NAME}@1.0.0/tables", to=folder, mirror=True)
    oa.fetch(f"{NAME}@1.0.0/{EXPERIMENT}", to=folder)
    nowhere()
    opened = oa.open(folder)
    assert opened.address == f"{NAME}@1.0.0"
    assert opened.path("ophys_experiment", 951980471) == folder / KEY
    assert opened.path("ophys_experiment", 951980471).is_file()
    assert len(opened.table("ophys_experiment_table")) == 27
    assert oa.show(folder)["files_here"] == 5


def test_folders_of_several_projects_or_unknown_ones(cache_folder, nowhere):
    nowhere()
    name = "visual-behavior-ophys_project_manifest_v1.0.0.json"
    other = cache_folder / name.replace("visual-behavior-ophys", "my-mirror")
    told = json.loads((cache_folder / name).read_text()) | {"project_name": "my-mirror"}
    other.write_text(json.dumps(told))
    with pytest.raises(UsageError, match="several projects"):
        oa.open(cache_folder)
    alone = cache_folder.with_name("alone")
    alone.mkdir()
    shutil.move(other, alone)
    opened = oa.open(alone)
    assert opened.address == "release:my-mirror@1.0.0"
    assert opened.manifest.project.bucket == BUCKET


def test_what_is_no_folder_of_a_release(tmp_path):
    for name in ("a", "manifests", "x/manifests", "releases/today", "b-1.0"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "manifest_v1.json").write_text("{}")
    (tmp_path / "_project_manifest_v1.json").write_text("{}")
    (tmp_path / "x/manifests/x_project_manifest_v1.txt").write_text("")
    assert not is_release(tmp_path)
    assert not is_release(tmp_path / "b-1.0")
    assert not is_release(tmp_path / "nothing")
    assert not is_release(Path("/"))
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "x_project_manifest_vnext.json").write_text("not JSON")
    with pytest.raises(OpenAllenError):
        oa.open(odd)
    (odd / "x_project_manifest_v1.0.json").write_text("not JSON")
    with pytest.raises(OpenAllenError):
        oa.open(odd)


# --- looking after the store ----------------------------------------------------------------------


def test_versions_held_have_files_and_bytes(release, store):
    assert not maintenance.held()
    oa.fetch(f"{NAME}@0.2.0")
    oa.fetch(f"{NAME}@1.0.0")
    with Context() as context:
        rows = list(ReleaseSource(context).held())
    assert [r["address"] for r in rows] == [f"{NAME}@1.0.0", f"{NAME}@0.2.0"]
    assert [r["files"] for r in rows] == [r["files_listed"] for r in rows] == [51, 51]
    assert all(r["manifest"] for r in rows)
    assert [r["address"] for r in maintenance.held()] == [r["address"] for r in rows]
    folder = store / "releases/visual-behavior-ophys/visual-behavior-ophys-1.0.0"
    assert rows[0]["folder"] == str(folder)
    sizes = {p: p.stat() for p in folder.rglob("*") if p.is_file()}
    assert rows[0]["size_bytes"] == sum(s.st_size for s in sizes.values())
    assert rows[0]["shared_bytes"] == sum(s.st_size for s in sizes.values() if s.st_nlink > 1)


def test_verify_repair_and_prune_by_the_door(release, store):
    oa.fetch(f"{NAME}@0.2.0")
    oa.fetch(f"{NAME}@1.0.0")
    folder = store / "releases/visual-behavior-ophys"
    spoilt = folder / "visual-behavior-ophys-1.0.0/behavior_sessions/behavior_session_999.nwb"
    shared = folder / "visual-behavior-ophys-1.0.0" / FILE
    twin = folder / "visual-behavior-ophys-0.2.0" / FILE
    assert shared.samefile(twin)
    spoilt.write_bytes(b"rot")
    shared.write_bytes(b"rot")
    with Context() as context:
        source = ReleaseSource(context)
        found = list(source.verify(folder / "visual-behavior-ophys-1.0.0"))
        assert {c.path for c in found if c.status == "damaged"} == {spoilt, shared}
        assert len(found) == 51
        assert len(list(source.verify(folder / "visual-behavior-ophys-0.2.0"))) == 51
        assert len(list(ReleaseSource(context).verify(folder))) == 102
        work = source.repair_job(folder)
        report = context.run(work)
        assert report.ok
        assert {c.status for c in ReleaseSource(context).verify(folder)} == {"intact"}
        assert shared.samefile(twin)
        assert work.result() == folder
    with Context() as context:
        source = ReleaseSource(context)
        planned = source.prune(Address.parse(f"{NAME}@0.2.0"), dry_run=True)
        assert planned["address"] == f"{NAME}@0.2.0"
        assert planned["files"] == 51
        assert twin.exists()
        assert source.prune(Address.parse(f"{NAME}@0.2.0"), dry_run=False) == planned
        assert not twin.exists()
        assert shared.exists()
        for wrong in (NAME, "release:", f"{NAME}@1.0.0/tables"):
            with pytest.raises(UsageError):
                source.prune(Address.parse(wrong), dry_run=True)
        with pytest.raises(NotFoundError):
            source.prune(Address.parse(f"{NAME}@0.2.0"), dry_run=False)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_cache_is_adopted(cache_folder, store, in_place):
    from openallen.sources.releases.maintenance import adopt

    theirs = cache_folder / "visual-behavior-ophys-1.0.0" / FILE
    seen: list[object] = []
    with Context() as context:
        found = adopt(context, cache_folder, in_place, seen.append)
    assert found.project == "visual-behavior-ophys"
    assert [str(v) for v in found.versions] == ["1.0.0", "0.2.0"]
    assert len(seen) == len(found.checked) == 9
    expected = cache_folder if in_place else store / "releases/visual-behavior-ophys"
    assert found.folder == expected
    assert oa.open(f"{NAME}@1.0.0").path("ophys_experiment", 951980471).samefile(theirs)
    with Context() as context:
        source = ReleaseSource(context)
        facts = source.adopt(cache_folder, in_place=in_place, step=seen.append)
        assert set(facts.to_dict()) >= {
            "project",
            "folder",
            "versions",
            "files",
            "how",
            "left_behind",
        }
        assert facts.exit_code == 0
        theirs.unlink()
        theirs.write_bytes(b"cut")
        facts = source.adopt(cache_folder, in_place=in_place, step=seen.append)
        assert facts.exit_code == 7
        assert facts["left_behind"][0]["path"] == str(theirs)
        assert source.adopt(cache_folder.parent, in_place=False, step=seen.append) is None
        with pytest.raises(NotFoundError, match="no cache of a release"):
            adopt(context, cache_folder / "nothing")


# --- what is not installed ------------------------------------------------------------------------


def test_tables_need_pandas_and_say_so(release, monkeypatch):
    oa.fetch(f"{NAME}@1.0.0/ophys_experiment_table")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError):
        oa.open(f"{NAME}@1.0.0/ophys_experiment_table")
    assert len(oa.list(f"{NAME}@1.0.0/ophys_experiment_table")) == 27


def test_comparing_versions_does_not_change_the_one_in_use(bucket):
    assert str(oa.open(f"{NAME}@1.0.0").version) == "1.0.0"
    command = [sys.executable, "-m", "openallen", "diff", f"{NAME}@0.1.0", "0.2.0", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout)
    assert oa.plan(NAME).title.endswith("version 1.0.0")
    assert str(oa.open(f"{NAME}@0.1.0").version) == "0.1.0"  # who opens one uses it
    assert oa.plan(NAME).title.endswith("version 0.1.0")


def test_a_version_that_was_never_fetched_is_said_to_be_missing_when_verified(bucket):
    def verified(address):
        with pytest.raises(NotFoundError) as caught:
            list(maintenance.verify([address]))
        assert caught.value.what == "not in the store"
        assert caught.value.hint == f"openallen fetch {address}"

    for address in (NAME, f"{NAME}@0.1.0"):
        verified(address)
    oa.show(NAME)  # leaves a folder without any release in it, or only a manifest
    verified(f"{NAME}@0.1.0")
    oa.fetch(f"{NAME}@1.0.0/behavior_session_table")
    verified(f"{NAME}@0.1.0")
    assert [c.status for _, c in maintenance.verify([f"{NAME}@1.0.0"])] == ["intact"]


def test_a_plan_says_which_service_it_is_from(bucket):
    assert oa.plan(f"{NAME}/behavior_session_table").source == bucket.endpoint
